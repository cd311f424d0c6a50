//! Invoices from the ledger: the same for the control API and for the command line without a server.
//!
//! Reads sums and writes down what `domain::billing` makes of them. Knows nothing of requests, files or
//! terminals.

use std::collections::BTreeMap;

use domain::billing::invoice::{
    Adjustment, AdjustmentKind, Invoice, Line, LineKey, MB_MS_PER_GB_SECOND, Use,
};
use domain::billing::month::Month;
use domain::billing::{Tariff, signed_usd_text, usd_text};
use domain::{FunctionName, Status};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use storage::{
    EntryQuery, Ledger, LedgerHead, LedgerReader, Period, StorageError, SummaryQuery, SummaryRow,
};

use crate::config::{Config, InvoiceConfig};
use crate::time_text::rfc3339_ms;

/// An invoice, as `billing invoice --format json` shows it. Amounts are given twice: as whole
/// pico-dollars, and as dollars in text with all twelve decimals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InvoiceView {
    /// `MONTH-XXXXXXXX`, where the second part follows from what the invoice says: the same records give
    /// the same number.
    pub(crate) number: String,
    pub(crate) month: String,
    /// The first instant, RFC 3339 UTC.
    pub(crate) from: String,
    /// The first instant after it.
    pub(crate) until: String,
    /// Whether the month is over. If not, there will be more.
    pub(crate) is_final: bool,
    pub(crate) made_at: String,
    pub(crate) issuer: Option<String>,
    pub(crate) customer: Option<String>,
    pub(crate) region: String,
    /// The one function that it is about; all if `null`.
    pub(crate) function: Option<String>,
    pub(crate) lines: Vec<LineView>,
    pub(crate) adjustments: Vec<AdjustmentView>,
    pub(crate) sums: SumsView,
    pub(crate) total_picousd: u128,
    pub(crate) total_usd: String,
    pub(crate) prices: PricesView,
    pub(crate) ledger: LedgerView,
}

/// What a function, version and trigger used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LineView {
    pub(crate) function: String,
    /// `null` where it is not known any more.
    pub(crate) version: Option<String>,
    /// `null` where it is not known any more.
    pub(crate) trigger: Option<String>,
    pub(crate) sums: SumsView,
}

/// Sums of records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SumsView {
    /// Attempts, however they ended.
    pub(crate) requests: u64,
    /// Those that are paid for.
    pub(crate) requests_billed: u64,
    /// Attempts by how they ended; only those that there are.
    pub(crate) by_status: BTreeMap<String, u64>,
    pub(crate) billed_ms: u128,
    /// Memory in MB times billed milliseconds; 1,024,000 are a GB-second.
    pub(crate) mb_ms: u128,
    /// With nine decimals, rounded half up.
    pub(crate) gb_seconds: String,
    pub(crate) charge_picousd: u128,
    pub(crate) charge_usd: String,
}

/// What is added or taken off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AdjustmentView {
    /// `free_requests`, `free_gb_seconds` or `tier`.
    pub(crate) kind: String,
    /// For people.
    pub(crate) text: String,
    /// Requests, or MB-milliseconds.
    pub(crate) quantity: u128,
    /// `requests` or `mb_ms`.
    pub(crate) unit: String,
    pub(crate) amount_picousd: i128,
    pub(crate) amount_usd: String,
}

/// What the amounts were worked out with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PricesView {
    pub(crate) gb_second_picousd: u64,
    pub(crate) request_picousd: u64,
    pub(crate) rounding_ms: u32,
    pub(crate) free_requests: u64,
    pub(crate) free_gb_seconds: u64,
    pub(crate) tiers: Vec<TierView>,
}

/// A price from an amount of use on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TierView {
    pub(crate) from_gb_seconds: u64,
    pub(crate) gb_second_picousd: u64,
}

/// What it was read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LedgerView {
    /// Records that this invoice adds up.
    pub(crate) records: u64,
    /// The charges of those records, in pico-dollars.
    pub(crate) charge_picousd: u128,
    /// The records that the ledger held when it was read, with those that retention dropped: from the
    /// first to this one. The billed ones are among them. `null` when there are none.
    pub(crate) last_record: Option<u64>,
    /// The digest of all of them, as `billing verify --head` takes it.
    pub(crate) head: Option<String>,
}

/// What an invoice is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) month: Month,
    pub(crate) function: Option<FunctionName>,
    /// Unix microseconds.
    pub(crate) now_us: i64,
}

/// A month that can't be billed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the month {0} has not begun")]
pub(crate) struct NotBegun(pub(crate) Month);

/// A ledger that is owned or only read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source<'a> {
    Owned(&'a Ledger),
    Read(&'a LedgerReader),
}

impl Asked {
    /// What is asked for; the month of now when none is named.
    ///
    /// # Errors
    ///
    /// [`NotBegun`].
    pub(crate) fn new(
        month: Option<Month>,
        function: Option<FunctionName>,
        now_us: i64,
    ) -> Result<Self, NotBegun> {
        let this = Month::of(now_us);
        let month = month.unwrap_or(this);
        if month > this {
            return Err(NotBegun(month));
        }
        Ok(Self {
            month,
            function,
            now_us,
        })
    }

    /// The records that an export of the month has.
    pub(crate) fn records(&self) -> EntryQuery {
        EntryQuery {
            function: self.function.clone(),
            since_us: Some(self.month.start_us()),
            until_us: Some(self.month.end_us()),
            limit: usize::MAX,
        }
    }
}

/// Makes an invoice.
///
/// # Errors
///
/// [`StorageError`] when the sums can't be read.
pub(crate) fn make(
    source: Source<'_>,
    config: &Config,
    asked: &Asked,
) -> Result<InvoiceView, StorageError> {
    let query = SummaryQuery {
        function: None,
        since_us: Some(asked.month.start_us()),
        until_us: Some(asked.month.end_us()),
        by: Period::Month,
        by_version: true,
        by_trigger: true,
    };
    // In this order: the head covers everything that was added up.
    let (rows, head) = match source {
        Source::Owned(ledger) => (ledger.summary(&query)?, ledger.head()?),
        Source::Read(ledger) => (ledger.summary(&query)?, ledger.head()?),
    };
    let mut uses = BTreeMap::<LineKey, Use>::new();
    for row in rows {
        let key = LineKey {
            function: row.function.clone(),
            version: row.version,
            trigger: row.trigger,
        };
        uses.entry(key).or_default().merge(&used(&row));
    }
    let (tariff, plan) = (&config.billing, &config.invoices.plan);
    let whole = Invoice::new(asked.month, uses, tariff, plan);
    let invoice = match &asked.function {
        Some(function) => whole.of_function(function, tariff),
        None => whole,
    };
    Ok(view(&invoice, config, asked, head))
}

fn used(row: &SummaryRow) -> Use {
    Use {
        by_status: Status::ALL.map(|status| row.statuses.get(status)),
        billed_ms: row.billed_ms.into(),
        mb_ms: row.mb_ms,
        charge: row.charge_picousd,
    }
}

fn view(
    invoice: &Invoice,
    config: &Config,
    asked: &Asked,
    head: Option<LedgerHead>,
) -> InvoiceView {
    let month = invoice.month;
    let sums = sums(&invoice.used);
    InvoiceView {
        number: number(invoice, asked),
        month: month.to_string(),
        from: rfc3339_ms(month.start_us()),
        until: rfc3339_ms(month.end_us()),
        is_final: asked.now_us >= month.end_us(),
        made_at: rfc3339_ms(asked.now_us),
        issuer: config.invoices.issuer.clone(),
        customer: config.invoices.customer.clone(),
        region: config.region.clone(),
        function: asked.function.as_ref().map(ToString::to_string),
        lines: invoice.lines.iter().map(line).collect(),
        adjustments: invoice.adjustments.iter().map(adjustment).collect(),
        total_picousd: invoice.total,
        total_usd: usd_text(invoice.total),
        prices: prices(&config.billing, &config.invoices),
        ledger: LedgerView {
            records: sums.requests,
            charge_picousd: sums.charge_picousd,
            last_record: head.map(|head| head.sequence),
            head: head.map(|head| head.to_string()),
        },
        sums,
    }
}

/// Follows from what is billed, not from when it is written down.
fn number(invoice: &Invoice, asked: &Asked) -> String {
    let mut hash = Sha256::new();
    let mut add = |text: String| {
        hash.update(text);
        hash.update([0]);
    };
    add(invoice.month.to_string());
    add(asked
        .function
        .as_ref()
        .map_or_else(String::new, ToString::to_string));
    for Line { key, used } in &invoice.lines {
        add(format!("{key:?} {used:?}"));
    }
    for adjustment in &invoice.adjustments {
        add(format!("{adjustment:?}"));
    }
    let digest = hash.finalize();
    let digits: String = digest
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02X}"))
        .collect();
    format!("{}-{digits}", invoice.month)
}

fn line(line: &Line) -> LineView {
    let Line { key, used } = line;
    LineView {
        function: key.function.to_string(),
        version: key.version.map(|version| version.to_string()),
        trigger: key.trigger.map(|trigger| trigger.as_str().to_owned()),
        sums: sums(used),
    }
}

fn sums(used: &Use) -> SumsView {
    let by_status = Status::ALL.iter().filter_map(|status| {
        let count = used.count(*status);
        (count > 0).then(|| (status.to_string(), count))
    });
    SumsView {
        requests: used.attempts(),
        requests_billed: used.requests_billed(),
        by_status: by_status.collect(),
        billed_ms: used.billed_ms,
        mb_ms: used.mb_ms,
        gb_seconds: gb_seconds_text(used.mb_ms),
        charge_picousd: used.charge,
        charge_usd: usd_text(used.charge),
    }
}

fn adjustment(adjustment: &Adjustment) -> AdjustmentView {
    let Adjustment {
        kind,
        quantity,
        amount,
    } = *adjustment;
    let (name, unit, text) = match kind {
        AdjustmentKind::FreeRequests => (
            "free_requests",
            "requests",
            format!("free tier: {quantity} requests"),
        ),
        AdjustmentKind::FreeGbSeconds => (
            "free_gb_seconds",
            "mb_ms",
            format!("free tier: {} GB-seconds", gb_seconds_text(quantity)),
        ),
        AdjustmentKind::Tier {
            from_gb_seconds,
            gb_second,
        } => (
            "tier",
            "mb_ms",
            format!(
                "{} GB-seconds beyond {from_gb_seconds} at {} USD",
                gb_seconds_text(quantity),
                usd_text(gb_second.into())
            ),
        ),
    };
    AdjustmentView {
        kind: name.to_owned(),
        text,
        quantity,
        unit: unit.to_owned(),
        amount_picousd: amount,
        amount_usd: signed_usd_text(amount),
    }
}

fn prices(tariff: &Tariff, invoices: &InvoiceConfig) -> PricesView {
    let tiers = invoices.plan.tiers.iter().map(|tier| TierView {
        from_gb_seconds: tier.from_gb_seconds,
        gb_second_picousd: tier.gb_second,
    });
    PricesView {
        gb_second_picousd: tariff.prices.gb_second,
        request_picousd: tariff.prices.request,
        rounding_ms: tariff.rounding.ms(),
        free_requests: invoices.plan.free.requests,
        free_gb_seconds: invoices.plan.free.gb_seconds,
        tiers: tiers.collect(),
    }
}

/// MB-milliseconds as GB-seconds with nine decimals, rounded half up.
fn gb_seconds_text(mb_ms: u128) -> String {
    const BILLIONTHS: u128 = 1_000_000_000;
    let (whole, rest) = (mb_ms / MB_MS_PER_GB_SECOND, mb_ms % MB_MS_PER_GB_SECOND);
    let billionths = (rest * BILLIONTHS + MB_MS_PER_GB_SECOND / 2) / MB_MS_PER_GB_SECOND;
    // The rest is less than one GB-second by a thousandth of a thousandth, so this never reaches one.
    format!("{whole}.{billionths:09}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gb_seconds_are_rounded_half_up_where_they_are_shown() {
        assert_eq!(gb_seconds_text(128 * 4), "0.000500000");
        // One MB-ms is 0.000000976 5625 GB-s.
        assert_eq!(gb_seconds_text(1), "0.000000977");
        assert_eq!(gb_seconds_text(MB_MS_PER_GB_SECOND - 1), "0.999999023");
        assert_eq!(gb_seconds_text(7 * MB_MS_PER_GB_SECOND), "7.000000000");
    }

    #[test]
    fn a_month_that_has_not_begun_is_not_billed_and_this_one_is_the_default() {
        let november: Month = "2026-11".parse().unwrap();
        let now_us = november.end_us() - 1;
        assert_eq!(Asked::new(None, None, now_us).unwrap().month, november);
        let december = Month::of(november.end_us());
        let refused = Asked::new(Some(december), None, now_us).unwrap_err();
        assert_eq!(refused, NotBegun(december));
        Asked::new(Some(Month::FIRST), None, now_us).unwrap();
    }
}
