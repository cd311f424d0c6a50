//! An invoice as a person reads it and sends it on.
//!
//! Knows nothing of where it came from.

use domain::billing::usd_text;

use crate::cli::output::printable;
use crate::cli::table::{Align, aligned};
use crate::invoices::{InvoiceView, SumsView};

/// The whole text.
pub(super) fn text(invoice: &InvoiceView) -> String {
    let mut text = head(invoice);
    text.push_str(&lines(invoice));
    text.push('\n');
    text.push_str(&amounts(invoice));
    text.push('\n');
    text.push_str(&how(invoice));
    text
}

fn head(invoice: &InvoiceView) -> String {
    let kind = if invoice.is_final {
        "INVOICE"
    } else {
        "INVOICE, SO FAR"
    };
    let mut head = format!("{kind} {}\n\n", invoice.number);
    let mut say = |name: &str, value: &str| {
        head.push_str(&format!("{:<10}{}\n", format!("{name}:"), printable(value)));
    };
    let issuer = invoice.issuer.as_deref().unwrap_or("Mayfly");
    say("From", &format!("{issuer} (region {})", invoice.region));
    if let Some(customer) = &invoice.customer {
        say("To", customer);
    }
    let function = invoice.function.as_deref();
    say(
        "About",
        &function.map_or_else(
            || "all functions".to_owned(),
            |name| format!("function {name}"),
        ),
    );
    say(
        "Period",
        &format!(
            "{} (UTC), from {} until {}",
            invoice.month, invoice.from, invoice.until
        ),
    );
    say("Made at", &invoice.made_at);
    if !invoice.is_final {
        say("Note", "the month is not over; there may be more");
    }
    head.push('\n');
    head
}

fn lines(invoice: &InvoiceView) -> String {
    if invoice.lines.is_empty() {
        return "no invocations\n".to_owned();
    }
    let columns = [
        ("FUNCTION", Align::Left),
        ("VERSION", Align::Left),
        ("TRIGGER", Align::Left),
        ("REQUESTS", Align::Right),
        ("BILLED MS", Align::Right),
        ("GB-SECONDS", Align::Right),
        ("AMOUNT USD", Align::Right),
    ];
    let rows: Vec<_> = invoice
        .lines
        .iter()
        .map(|line| {
            vec![
                line.function.clone(),
                line.version.clone().unwrap_or_else(|| "-".to_owned()),
                line.trigger.clone().unwrap_or_else(|| "-".to_owned()),
                line.sums.requests_billed.to_string(),
                line.sums.billed_ms.to_string(),
                line.sums.gb_seconds.clone(),
                line.sums.charge_usd.clone(),
            ]
        })
        .collect();
    aligned(&columns, &rows)
}

fn amounts(invoice: &InvoiceView) -> String {
    let mut rows = vec![vec!["use".to_owned(), invoice.sums.charge_usd.clone()]];
    for adjustment in &invoice.adjustments {
        rows.push(vec![adjustment.text.clone(), adjustment.amount_usd.clone()]);
    }
    rows.push(vec!["TOTAL".to_owned(), invoice.total_usd.clone()]);
    let table = aligned(&[("SUM", Align::Left), ("USD", Align::Right)], &rows);
    format!(
        "{table}\nTo pay: {} USD, rounded half up to cents\n",
        cents(invoice.total_picousd)
    )
}

/// Rounded half up.
fn cents(picousd: u128) -> String {
    const CENT: u128 = 10_000_000_000;
    let cents = picousd.saturating_add(CENT / 2) / CENT;
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn how(invoice: &InvoiceView) -> String {
    let prices = &invoice.prices;
    let mut how = format!(
        "How it was worked out\n  Each attempt: {} USD for the request, and {} USD for each GB-second (1,024 MB for a second)\n  of configured memory times billed time, rounded up to {} ms; rounded half up to 10^-12 USD.\n",
        usd_text(prices.request_picousd.into()),
        usd_text(prices.gb_second_picousd.into()),
        prices.rounding_ms,
    );
    if prices.free_requests > 0 || prices.free_gb_seconds > 0 {
        how.push_str(&format!(
            "  Free each month, for all functions together: {} requests and {} GB-seconds.\n",
            prices.free_requests, prices.free_gb_seconds
        ));
    }
    for tier in &prices.tiers {
        how.push_str(&format!(
            "  Beyond {} paid GB-seconds: {} USD for each.\n",
            tier.from_gb_seconds,
            usd_text(tier.gb_second_picousd.into())
        ));
    }
    if invoice.function.is_some() {
        how.push_str("  Of what is free and of other prices the function has its part, by what it was charged.\n");
    }
    how.push_str(&format!(
        "  Read from the ledger: {} records, {} USD.{}\n",
        invoice.ledger.records,
        usd_text(invoice.ledger.charge_picousd),
        outcomes(&invoice.sums)
    ));
    if let (Some(last), Some(head)) = (invoice.ledger.last_record, &invoice.ledger.head) {
        how.push_str(&format!(
            "  The ledger held records 1 to {last} then, with the head\n  {head}\n"
        ));
    }
    how
}

/// How attempts ended, and which of them are not paid for.
fn outcomes(sums: &SumsView) -> String {
    if sums.by_status.is_empty() {
        return String::new();
    }
    let counts: Vec<_> = sums
        .by_status
        .iter()
        .map(|(status, count)| format!("{status} {count}"))
        .collect();
    let free = sums.requests.saturating_sub(sums.requests_billed);
    let free = match free {
        0 => String::new(),
        free => format!("; {free} not billed, since the host failed"),
    };
    format!("\n  Outcomes: {}{free}.", counts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::invoice::tests::november;
    use super::*;

    #[test]
    fn a_text_says_who_when_what_and_how() {
        let text = text(&november(None));
        for part in [
            "INVOICE 2026-11-",
            "From:     Acme (region local)\n",
            "To:       Team, \"Blue\"\n",
            "About:    all functions\n",
            "Period:   2026-11 (UTC), from 2026-11-01T00:00:00.000Z until 2026-12-01T00:00:00.000Z\n",
            "a         3        http            1       1000  0.125000000  0.000002283338\n",
            "free tier: 1 requests  -0.000000200000\n",
            "TOTAL                   0.000004366676\n",
            "To pay: 0.00 USD, rounded half up to cents\n",
            "  Read from the ledger: 3 records, 0.000004566676 USD.\n",
            "  The ledger held records 1 to 5 then, with the head\n  ",
            "@5\n",
            "Outcomes: host_crash 1, success 1, timeout 1; 1 not billed, since the host failed.\n",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn cents_are_rounded_half_up_and_only_shown() {
        assert_eq!(cents(4_999_999_999), "0.00");
        assert_eq!(cents(5_000_000_000), "0.01");
        assert_eq!(cents(12_345_000_000_000), "12.35");
    }
}
