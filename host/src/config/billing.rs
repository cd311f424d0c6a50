//! Tables `[billing]` and `[budget]`: prices, what only invoices know, and what the server may spend.
//!
//! Knows nothing of where a value was written.

use domain::billing::budget::Budget;
use domain::billing::plan::{FreeTier, Plan, Tier};
use domain::billing::{Prices, Rounding, Tariff};

use super::layers::Section;
use crate::manifest::document::Table;

/// The highest price that can be set: a dollar.
const PICOUSD_MAX: u64 = 1_000_000_000_000;

/// What an invoice says besides its sums.
#[derive(Debug, Clone)]
pub(crate) struct InvoiceConfig {
    /// What is free each month, keys `billing.free_requests`, default 1,000,000, and
    /// `billing.free_gb_seconds`, default 400,000, both from 0 (nothing) to 10¹⁵; variables
    /// `MAYFLY_BILLING_FREE_REQUESTS` and `MAYFLY_BILLING_FREE_GB_SECONDS`. Tables `[[billing.tiers]]`, at
    /// most 20, with `from_gb_seconds`, ascending, and `gb_second_picousd`; default Lambda's two, or none
    /// where `billing.gb_second_picousd` is not Lambda's.
    pub(crate) plan: Plan,

    /// Who sends it, one line, default none. Key `billing.issuer`, variable `MAYFLY_BILLING_ISSUER`.
    pub(crate) issuer: Option<String>,

    /// Who gets it, one line, default none. Key `billing.customer`, variable
    /// `MAYFLY_BILLING_CUSTOMER`.
    pub(crate) customer: Option<String>,
}

impl InvoiceConfig {
    pub(super) fn from_section(billing: &Section<'_>, tariff: &Tariff) -> Self {
        const MAX: u64 = 1_000_000_000_000_000;
        let FreeTier {
            requests,
            gb_seconds,
        } = FreeTier::default();
        let tiers = billing
            .tables("tiers")
            .map(|tables| tiers(billing, &tables));
        let usual = if tariff.prices.gb_second == Prices::default().gb_second {
            Tier::LAMBDA.to_vec()
        } else {
            Vec::new()
        };
        Self {
            plan: Plan {
                free: FreeTier {
                    requests: billing
                        .integer("free_requests", 0..=MAX)
                        .unwrap_or(requests),
                    gb_seconds: billing
                        .integer("free_gb_seconds", 0..=MAX)
                        .unwrap_or(gb_seconds),
                },
                tiers: tiers.unwrap_or(usual),
            },
            issuer: billing.words("issuer"),
            customer: billing.words("customer"),
        }
    }
}

/// Tables `[[billing.tiers]]`.
fn tiers(billing: &Section<'_>, tables: &[Table<'_>]) -> Vec<Tier> {
    const TIERS_MAX: usize = 20;
    const FROM_MAX: u64 = 1_000_000_000_000_000;
    let mut tiers: Vec<Tier> = Vec::new();
    for table in tables {
        let from = table.integer("from_gb_seconds", &(1..=FROM_MAX));
        let gb_second = table.integer("gb_second_picousd", &(0..=PICOUSD_MAX));
        for key in ["from_gb_seconds", "gb_second_picousd"] {
            if !table.has(key) {
                table.wrong(format!("a tier of `billing.tiers` needs `{key}`"));
            }
        }
        if let (Some(from_gb_seconds), Some(gb_second)) = (from, gb_second) {
            if tiers
                .last()
                .is_some_and(|last| last.from_gb_seconds >= from_gb_seconds)
            {
                table.wrong(
                    "`from_gb_seconds` must be more than that of the tier before".to_owned(),
                );
            }
            tiers.push(Tier {
                from_gb_seconds,
                gb_second,
            });
        }
    }
    if tables.len() > TIERS_MAX {
        billing.wrong(&format!(
            "has {} tiers; at most {TIERS_MAX} are allowed",
            tables.len()
        ));
    }
    tiers
}

/// What the whole server may spend.
pub(super) fn budget(section: &Section<'_>) -> Option<Budget> {
    let monthly = section.usd("monthly_usd", 1..=Budget::MAX);
    let throttle = section.flag("throttle");
    if monthly.is_none() && throttle.is_some() {
        section.wrong("has `throttle`, and no `monthly_usd` that it could be about");
    }
    monthly.map(|monthly| Budget {
        monthly,
        throttle: throttle.unwrap_or(false),
    })
}

pub(super) fn tariff(billing: &Section<'_>) -> Tariff {
    let Prices { gb_second, request } = Prices::default();
    let rounding_ms = billing.u32(
        "rounding_ms",
        1..=Rounding::MAX_MS,
        Rounding::default().ms(),
    );
    Tariff {
        prices: Prices {
            gb_second: billing
                .integer("gb_second_picousd", 0..=PICOUSD_MAX)
                .unwrap_or(gb_second),
            request: billing
                .integer("request_picousd", 0..=PICOUSD_MAX)
                .unwrap_or(request),
        },
        rounding: Rounding::new(rounding_ms).unwrap_or_default(),
    }
}
