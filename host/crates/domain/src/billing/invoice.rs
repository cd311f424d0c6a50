//! The invoice of a month: what its records add up to, and the lines that adjust that.
//!
//! The rule: `total = sum of the records' charges + sum of the adjustments`, in whole pico-dollars. A
//! record's charge never changes; free use and price tiers are adjustments. They belong to the whole
//! server, and each function gets its part, so that the invoices of all functions add up to the
//! server's.
//!
//! Knows nothing of where sums come from or how an invoice is written.

use std::collections::BTreeMap;

use super::month::Month;
use super::plan::Plan;
use super::share::{mul_div, part, shares};
use super::{PicoUsd, Tariff};
use crate::invocation::Trigger;
use crate::names::{FunctionName, VersionId};
use crate::report::{Report, Status};

/// MB-milliseconds of a GB-second.
pub const MB_MS_PER_GB_SECOND: u128 = 1_024 * 1_000;

/// What one line is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineKey {
    /// Which function.
    pub function: FunctionName,
    /// Which version ran; unknown in sums of records that were dropped before sums knew it.
    pub version: Option<VersionId>,
    /// What produced the events; unknown likewise.
    pub trigger: Option<Trigger>,
}

/// What records add up to. Sums that do not fit stay at their greatest value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Use {
    /// Attempts by [`Status`], in the order of [`Status::ALL`].
    pub by_status: [u64; Status::ALL.len()],
    /// Milliseconds billed.
    pub billed_ms: u128,
    /// Configured memory in MB times billed milliseconds.
    pub mb_ms: u128,
    /// Charges, in pico-dollars.
    pub charge: u128,
}

/// One line of an invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What it is about.
    pub key: LineKey,
    /// What it adds up.
    pub used: Use,
}

/// Why an amount is added or taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AdjustmentKind {
    /// Requests that are free.
    FreeRequests,
    /// GB-seconds that are free.
    FreeGbSeconds,
    /// GB-seconds that have another price, from this many on.
    Tier {
        /// Where the tier begins, in GB-seconds of the month.
        from_gb_seconds: u64,
        /// Its price.
        gb_second: PicoUsd,
    },
}

/// What is added to the charges of the records, or taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adjustment {
    /// Why.
    pub kind: AdjustmentKind,
    /// For how much use: requests, or MB-milliseconds.
    pub quantity: u128,
    /// Pico-dollars; negative when it is taken off.
    pub amount: i128,
}

/// An invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoice {
    /// Which month.
    pub month: Month,
    /// Sorted by function, version and trigger.
    pub lines: Vec<Line>,
    /// Those with an effect, in the order in which they were worked out.
    pub adjustments: Vec<Adjustment>,
    /// What all lines add up to.
    pub used: Use,
    /// What is to be paid, in pico-dollars: charges and adjustments. Never less than 0.
    pub total: u128,
}

impl Use {
    /// Adds a record.
    pub fn add(&mut self, report: &Report) {
        if let Some(count) = self.by_status.get_mut(report.status as usize) {
            *count = count.saturating_add(1);
        }
        let billed_ms = u128::from(report.billed_ms);
        let mb_ms = u128::from(report.memory.get()).saturating_mul(billed_ms);
        self.billed_ms = self.billed_ms.saturating_add(billed_ms);
        self.mb_ms = self.mb_ms.saturating_add(mb_ms);
        self.charge = self
            .charge
            .saturating_add(u128::from(report.charge_picousd));
    }

    /// Adds what others add up to.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.by_status.iter_mut().zip(other.by_status) {
            *count = count.saturating_add(more);
        }
        self.billed_ms = self.billed_ms.saturating_add(other.billed_ms);
        self.mb_ms = self.mb_ms.saturating_add(other.mb_ms);
        self.charge = self.charge.saturating_add(other.charge);
    }

    /// Attempts, however they ended.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        let all = self.by_status.iter();
        all.fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Attempts that are paid for.
    #[must_use]
    pub fn requests_billed(&self) -> u64 {
        let all = Status::ALL.iter().zip(self.by_status);
        all.filter(|(status, _)| status.is_billed())
            .fold(0, |sum, (_, count)| sum.saturating_add(count))
    }

    /// Attempts that ended so.
    #[must_use]
    pub fn count(&self, status: Status) -> u64 {
        self.by_status.get(status as usize).copied().unwrap_or(0)
    }

    /// What of the charge is for requests, in pico-dollars. Records that were priced otherwise before
    /// are split as if they had been priced so.
    fn request_charge(&self, tariff: &Tariff) -> u128 {
        let requests = u128::from(self.requests_billed());
        let charge = requests.saturating_mul(u128::from(tariff.prices.request));
        charge.min(self.charge)
    }

    /// What of the charge is for GB-seconds, in pico-dollars.
    fn compute_charge(&self, tariff: &Tariff) -> u128 {
        self.charge.saturating_sub(self.request_charge(tariff))
    }
}

impl Invoice {
    /// The invoice of the whole server for what `uses` add up to in `month`.
    #[must_use]
    pub fn new(month: Month, uses: BTreeMap<LineKey, Use>, tariff: &Tariff, plan: &Plan) -> Self {
        let lines: Vec<_> = uses
            .into_iter()
            .map(|(key, used)| Line { key, used })
            .collect();
        let adjustments = adjustments(&split_sum(&lines, tariff), tariff, plan);
        Self::of(month, lines, adjustments)
    }

    /// The part of one function: its lines, and its share of each adjustment, by what it was charged for
    /// requests or GB-seconds. The parts of all functions add up to the whole.
    #[must_use]
    pub fn of_function(&self, function: &FunctionName, tariff: &Tariff) -> Self {
        let is_its = |line: &&Line| line.key.function == *function;
        let lines: Vec<_> = self.lines.iter().filter(is_its).cloned().collect();
        let mut functions: Vec<&FunctionName> =
            self.lines.iter().map(|line| &line.key.function).collect();
        functions.dedup();
        let at = functions.iter().position(|name| *name == function);
        let mut splits: Vec<Split> = functions
            .iter()
            .map(|name| {
                let lines = self.lines.iter();
                split_sum(lines.filter(|line| line.key.function == **name), tariff)
            })
            .collect();
        let mut adjustments = Vec::new();
        for adjustment in &self.adjustments {
            let quantities: Vec<u128> = splits
                .iter()
                .map(|split| split.quantity_of(adjustment.kind))
                .collect();
            let charges: Vec<u128> = splits
                .iter_mut()
                .map(|split| *split.charge_of(adjustment.kind))
                .collect();
            // By what is left of each charge: nobody is given more than they were charged.
            let amounts = shares(adjustment.amount.unsigned_abs(), &charges);
            let signed = |amount: u128| match adjustment.amount < 0 {
                true => off(amount),
                false => i128::try_from(amount).unwrap_or(i128::MAX),
            };
            for (split, amount) in splits.iter_mut().zip(&amounts) {
                let charge = split.charge_of(adjustment.kind);
                *charge = charge.saturating_add_signed(signed(*amount));
            }
            let amount = signed(part(&amounts, at));
            if amount != 0 {
                let quantity = part(&shares(adjustment.quantity, &quantities), at);
                adjustments.push(Adjustment {
                    amount,
                    quantity,
                    ..*adjustment
                });
            }
        }
        Self::of(self.month, lines, adjustments)
    }

    fn of(month: Month, lines: Vec<Line>, adjustments: Vec<Adjustment>) -> Self {
        let used = sum(&lines);
        let total = adjustments.iter().fold(used.charge, |total, adjustment| {
            total.saturating_add_signed(adjustment.amount)
        });
        Self {
            month,
            lines,
            adjustments,
            used,
            total,
        }
    }
}

fn sum<'a>(lines: impl IntoIterator<Item = &'a Line>) -> Use {
    lines.into_iter().fold(Use::default(), |mut sum, line| {
        sum.merge(&line.used);
        sum
    })
}

/// What use was charged, by what it was charged for.
#[derive(Debug, Clone, Copy, Default)]
struct Split {
    requests: u128,
    request_charge: u128,
    mb_ms: u128,
    compute_charge: u128,
}

impl Split {
    fn charge_of(&mut self, kind: AdjustmentKind) -> &mut u128 {
        match kind {
            AdjustmentKind::FreeRequests => &mut self.request_charge,
            AdjustmentKind::FreeGbSeconds | AdjustmentKind::Tier { .. } => &mut self.compute_charge,
        }
    }

    fn quantity_of(&self, kind: AdjustmentKind) -> u128 {
        match kind {
            AdjustmentKind::FreeRequests => self.requests,
            AdjustmentKind::FreeGbSeconds | AdjustmentKind::Tier { .. } => self.mb_ms,
        }
    }
}

/// Each line is split for itself, so that the splits of functions add up to the split of all.
fn split_sum<'a>(lines: impl IntoIterator<Item = &'a Line>, tariff: &Tariff) -> Split {
    lines.into_iter().fold(Split::default(), |sum, line| Split {
        requests: sum
            .requests
            .saturating_add(line.used.requests_billed().into()),
        request_charge: sum
            .request_charge
            .saturating_add(line.used.request_charge(tariff)),
        mb_ms: sum.mb_ms.saturating_add(line.used.mb_ms),
        compute_charge: sum
            .compute_charge
            .saturating_add(line.used.compute_charge(tariff)),
    })
}

/// Takes what is free first, then prices the rest by its tiers. No more is taken off than was charged.
fn adjustments(all: &Split, tariff: &Tariff, plan: &Plan) -> Vec<Adjustment> {
    let mut adjustments = Vec::new();
    let mut push = |kind, quantity, amount: i128| {
        if amount != 0 {
            adjustments.push(Adjustment {
                kind,
                quantity,
                amount,
            });
        }
    };

    let free_requests = all.requests.min(plan.free.requests.into());
    let credit = match free_requests == all.requests {
        true => all.request_charge,
        false => free_requests
            .saturating_mul(tariff.prices.request.into())
            .min(all.request_charge),
    };
    push(AdjustmentKind::FreeRequests, free_requests, off(credit));

    let free_mb_ms = all.mb_ms.min(mb_ms(plan.free.gb_seconds));
    let credit = match free_mb_ms == all.mb_ms {
        // All of it, with what was rounded record by record.
        true => all.compute_charge,
        false => price(free_mb_ms, tariff.prices.gb_second).min(all.compute_charge),
    };
    push(AdjustmentKind::FreeGbSeconds, free_mb_ms, off(credit));

    let paid_mb_ms = all.mb_ms.saturating_sub(free_mb_ms);
    let mut left = all.compute_charge.saturating_sub(credit);
    for (at, tier) in plan.tiers.iter().enumerate() {
        let from = mb_ms(tier.from_gb_seconds);
        let next = plan.tiers.get(at.saturating_add(1));
        let to = next.map_or(u128::MAX, |next| mb_ms(next.from_gb_seconds));
        let quantity = paid_mb_ms.min(to).saturating_sub(from);
        let kind = AdjustmentKind::Tier {
            from_gb_seconds: tier.from_gb_seconds,
            gb_second: tier.gb_second,
        };
        let usual = tariff.prices.gb_second;
        if tier.gb_second <= usual {
            let credit = price(quantity, usual.saturating_sub(tier.gb_second)).min(left);
            left = left.saturating_sub(credit);
            push(kind, quantity, off(credit));
        } else {
            let more = price(quantity, tier.gb_second.saturating_sub(usual));
            left = left.saturating_add(more);
            push(kind, quantity, i128::try_from(more).unwrap_or(i128::MAX));
        }
    }
    adjustments
}

fn off(credit: u128) -> i128 {
    i128::try_from(credit).unwrap_or(i128::MAX).saturating_neg()
}

fn mb_ms(gb_seconds: u64) -> u128 {
    u128::from(gb_seconds).saturating_mul(MB_MS_PER_GB_SECOND)
}

/// Pico-dollars for use, rounded half up.
fn price(mb_ms: u128, gb_second: PicoUsd) -> u128 {
    let (whole, rest) = mul_div(mb_ms, gb_second.into(), MB_MS_PER_GB_SECOND);
    let is_up = rest >= MB_MS_PER_GB_SECOND / 2;
    whole.saturating_add(u128::from(is_up))
}

#[cfg(test)]
mod tests;
