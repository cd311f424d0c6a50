//! What functions and the whole server have spent this month, and what they may.
//!
//! An admission costs one relaxed load here, a record an addition and comparisons; only crossing 80 or
//! 100 % takes a lock. What is spent is added up from charges, before free use and price tiers; the ledger
//! has the exact sums. They are taken from there at a start, and whenever it is another month by the clock
//! than the one that is counted: a later one as a rule, or whichever it was when the clock was wrong.
//! Records that are made at that moment may count for either month, or twice.
//!
//! Knows nothing of triggers and of how an invocation runs.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use dashmap::DashMap;
use domain::billing::budget::{Budget, Level};
use domain::billing::month::Month;
use domain::billing::{PicoUsd, usd_text};
use domain::{Clock, FunctionName, Report};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use storage::{Ledger, StorageError, SummaryQuery};

use crate::time_text::day;

/// All budgets of the process.
#[derive(Debug)]
pub(crate) struct Budgets {
    functions: DashMap<FunctionName, Arc<Spending>>,
    /// Of all functions together; only counted where there is a budget for it.
    server: Option<Arc<Spending>>,
    /// The month that is counted: its first microsecond, and the first one after it.
    month_start_us: AtomicI64,
    month_end_us: AtomicI64,
    /// Held while another month begins.
    turning: Mutex<()>,
    /// Has the exact sums; without it a month begins with nothing.
    ledger: Option<Ledger>,
    clock: Clock,
}

/// What one function, or the server, has spent this month.
#[derive(Debug)]
pub(crate) struct Spending {
    /// `None` for the server.
    function: Option<FunctionName>,
    spent: AtomicU64,
    /// From here on there is something to tell.
    watch_from: AtomicU64,
    /// Whether nothing more may run this month.
    is_closed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    budget: Option<Budget>,
    /// What was told this month.
    told: Level,
}

/// A budget is nearly spent, or spent. Told once a month for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Warning {
    /// `None` for the server.
    pub(crate) function: Option<FunctionName>,
    pub(crate) budget: Budget,
    pub(crate) level: Level,
    pub(crate) spent: PicoUsd,
}

/// A budget is spent, and was meant to stop what would be more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the budget of {} is spent until {} (UTC)", whose(.function.as_ref()), day(*.until_us))]
pub(crate) struct BudgetSpent {
    /// `None` for the server's.
    pub(crate) function: Option<FunctionName>,
    /// When the month ends, in Unix microseconds.
    pub(crate) until_us: i64,
    /// After how many seconds to ask again: until then, at most [`RETRY_AFTER_S_MAX`], for the budget may
    /// be raised.
    pub(crate) retry_after_s: u64,
}

/// Most seconds that a caller is told to wait.
const RETRY_AFTER_S_MAX: i64 = 3_600;

impl BudgetSpent {
    /// For callers from outside, who are not told how the function is called.
    pub(crate) fn for_anybody(&self) -> String {
        let whose = match self.function {
            Some(_) => "this function",
            None => "this server",
        };
        format!(
            "The budget of {whose} is spent until {} (UTC)",
            day(self.until_us)
        )
    }
}

/// A budget, as `mayfly billing budgets` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BudgetView {
    /// `null` for the whole server.
    pub(crate) function: Option<String>,
    /// `YYYY-MM`, UTC.
    pub(crate) month: String,
    pub(crate) monthly_picousd: u64,
    pub(crate) monthly_usd: String,
    pub(crate) spent_picousd: u64,
    pub(crate) spent_usd: String,
    /// With two decimals, rounded down.
    pub(crate) percent: String,
    pub(crate) throttle: bool,
    /// Whether invocations are refused now.
    pub(crate) throttled: bool,
}

impl Budgets {
    /// Budgets, with what the ledger knows to be spent this month.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when its sums can't be read.
    pub(crate) fn open(
        clock: Clock,
        server: Option<Budget>,
        ledger: &Ledger,
    ) -> Result<Self, StorageError> {
        let spent = spent_in(ledger, Month::of(clock.unix_us()))?;
        Ok(Self {
            ledger: Some(ledger.clone()),
            ..Self::new(clock, server, &spent)
        })
    }

    /// Budgets, with what each function has spent this month until now, in pico-dollars.
    pub(crate) fn new(
        clock: Clock,
        server: Option<Budget>,
        spent: &HashMap<FunctionName, PicoUsd>,
    ) -> Self {
        let month = Month::of(clock.unix_us());
        let functions = spent.iter().map(|(name, spent)| {
            let spending = Spending::new(Some(name.clone()), *spent);
            (name.clone(), Arc::new(spending))
        });
        let functions = functions.collect();
        let server = server.map(|budget| {
            let spending = Spending::new(None, sum_of(spent));
            tell(spending.set_budget(Some(budget)));
            Arc::new(spending)
        });
        Self {
            functions,
            server,
            month_start_us: AtomicI64::new(month.start_us()),
            month_end_us: AtomicI64::new(month.end_us()),
            turning: Mutex::new(()),
            ledger: None,
            clock,
        }
    }

    /// The spending of a function, whether it has a budget or not.
    pub(crate) fn of(&self, name: &FunctionName) -> Arc<Spending> {
        let new = || Arc::new(Spending::new(Some(name.clone()), 0));
        Arc::clone(&self.functions.entry(name.clone()).or_insert_with(new))
    }

    /// Whether a budget leaves room for one more invocation of whom `spending` belongs to.
    ///
    /// # Errors
    ///
    /// [`BudgetSpent`] when one is spent and throttles.
    pub(crate) fn check(&self, spending: &Spending) -> Result<(), BudgetSpent> {
        for budget in self.server.as_deref().into_iter().chain([spending]) {
            if budget.is_closed() {
                // That ends with the month.
                let now_us = self.clock.unix_us();
                self.turn(now_us);
                if budget.is_closed() {
                    return Err(self.spent(budget, now_us));
                }
            }
        }
        Ok(())
    }

    fn spent(&self, budget: &Spending, now_us: i64) -> BudgetSpent {
        let until_us = self.month_end_us.load(Ordering::Relaxed);
        let left_s = until_us
            .saturating_sub(now_us)
            .div_euclid(1_000_000)
            .saturating_add(1);
        let retry_after_s = left_s.clamp(1, RETRY_AFTER_S_MAX);
        BudgetSpent {
            function: budget.function.clone(),
            until_us,
            retry_after_s: u64::try_from(retry_after_s).unwrap_or(1),
        }
    }

    /// Adds a record, which the ledger has, to what is spent, and says whom to warn.
    pub(crate) fn spend(&self, spending: &Spending, report: &Report) -> Vec<Warning> {
        if !self.is_counted(report.started_at_us) {
            // It belongs to another month, or is in the sums of the one that begins.
            self.turn(self.clock.unix_us());
            return Vec::new();
        }
        let charge = report.charge_picousd;
        let of_function = spending.add(charge);
        let of_server = self.server.as_ref().and_then(|server| server.add(charge));
        // Nothing is allocated for the usual: no warning.
        let warnings: Vec<_> = of_function.into_iter().chain(of_server).collect();
        for warning in &warnings {
            warning.log();
        }
        warnings
    }

    /// Whether an instant is in the month that is counted.
    fn is_counted(&self, unix_us: i64) -> bool {
        unix_us >= self.month_start_us.load(Ordering::Relaxed)
            && unix_us < self.month_end_us.load(Ordering::Relaxed)
    }

    /// Begins the month of an instant, unless it is the one that is counted.
    fn turn(&self, now_us: i64) {
        if self.is_counted(now_us) {
            return;
        }
        let _turning = self.turning.lock();
        if self.is_counted(now_us) {
            return;
        }
        let month = Month::of(now_us);
        let spent = self.ledger.as_ref().map(|ledger| spent_in(ledger, month));
        let spent = spent.transpose().unwrap_or_else(|error| {
            tracing::error!(%error, "what was spent in {month} can't be read, and counts as nothing: {error}");
            None
        });
        let mut spent = spent.unwrap_or_default();
        if let Some(server) = &self.server {
            tell(server.begin(sum_of(&spent)));
        }
        self.functions.retain(|name, spending| {
            tell(spending.begin(spent.remove(name).unwrap_or(0)));
            !spending.is_needless()
        });
        for (name, spent) in spent {
            let spending = self.of(&name);
            tell(spending.begin(spent));
        }
        self.month_start_us
            .store(month.start_us(), Ordering::Relaxed);
        self.month_end_us.store(month.end_us(), Ordering::Relaxed);
    }

    /// Forgets a function that is gone, unless it has spent something this month or still runs.
    pub(crate) fn forget(&self, name: &FunctionName) {
        self.functions.remove_if(name, |_, spending| {
            drop(spending.set_budget(None));
            spending.is_needless()
        });
    }

    /// The budgets there are: the server's, then those of functions by name.
    pub(crate) fn list(&self) -> Vec<BudgetView> {
        self.turn(self.clock.unix_us());
        let month = Month::of(self.month_start_us.load(Ordering::Relaxed)).to_string();
        let mut functions: Vec<_> = self
            .functions
            .iter()
            .map(|entry| Arc::clone(entry.value()))
            .collect();
        functions.sort_by(|a, b| a.function.cmp(&b.function));
        let all = self.server.iter().chain(&functions);
        all.filter_map(|spending| spending.view(&month)).collect()
    }

    /// For Prometheus.
    pub(crate) fn render(&self) -> String {
        use std::fmt::Write as _;

        type Value = fn(&BudgetView) -> u64;
        let views = self.list();
        let mut text = String::new();
        let families: [(&str, &str, Value); 3] = [
            (
                "mayfly_budget_picousd",
                "What a month may cost, in 10^-12 US dollars; without a function for the whole server.",
                |view| view.monthly_picousd,
            ),
            (
                "mayfly_budget_spent_picousd",
                "What of a budget is spent this month, in 10^-12 US dollars.",
                |view| view.spent_picousd,
            ),
            (
                "mayfly_budget_throttled",
                "1 while invocations are refused because a budget is spent.",
                |view| view.throttled.into(),
            ),
        ];
        for (name, help, value) in families {
            let _written = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
            for view in &views {
                let labels = match &view.function {
                    Some(function) => format!("{{function=\"{function}\"}}"),
                    None => String::new(),
                };
                let _written = writeln!(text, "{name}{labels} {}", value(view));
            }
        }
        text
    }
}

impl Spending {
    fn new(function: Option<FunctionName>, spent: PicoUsd) -> Self {
        Self {
            function,
            spent: AtomicU64::new(spent),
            watch_from: AtomicU64::new(u64::MAX),
            is_closed: AtomicBool::new(false),
            state: Mutex::new(State {
                budget: None,
                told: Level::Within,
            }),
        }
    }

    /// Gives it a budget, or none. What is spent stays.
    pub(crate) fn set_budget(&self, budget: Option<Budget>) -> Option<Warning> {
        let mut state = self.state.lock();
        if state.budget != budget {
            state.budget = budget;
            state.told = Level::Within;
        }
        self.look(&mut state)
    }

    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Whether nothing is lost with it: it has no budget, spent nothing, and nobody else has it who could
    /// spend something yet.
    fn is_needless(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1
            && self.spent.load(Ordering::Relaxed) == 0
            && self.state.lock().budget.is_none()
    }

    fn add(&self, charge: PicoUsd) -> Option<Warning> {
        let before = self.spent.fetch_add(charge, Ordering::Relaxed);
        if before.saturating_add(charge) < self.watch_from.load(Ordering::Relaxed) {
            return None;
        }
        self.look(&mut self.state.lock())
    }

    /// Begins a month in which so much is spent.
    fn begin(&self, spent: PicoUsd) -> Option<Warning> {
        let mut state = self.state.lock();
        self.spent.store(spent, Ordering::Relaxed);
        state.told = Level::Within;
        self.look(&mut state)
    }

    /// Works out what follows from what is spent: the warning that was not told yet, whether it is
    /// closed, and where to look again.
    fn look(&self, state: &mut State) -> Option<Warning> {
        let Some(budget) = state.budget else {
            self.watch_from.store(u64::MAX, Ordering::Relaxed);
            self.is_closed.store(false, Ordering::Relaxed);
            return None;
        };
        let spent = self.spent.load(Ordering::Relaxed);
        let level = budget.level(spent);
        self.is_closed
            .store(budget.throttle && level == Level::Spent, Ordering::Relaxed);
        let next = match level {
            Level::Within => budget.near(),
            Level::Near => budget.monthly,
            Level::Spent => u64::MAX,
        };
        self.watch_from.store(next, Ordering::Relaxed);
        if level <= state.told {
            return None;
        }
        state.told = level;
        Some(Warning {
            function: self.function.clone(),
            budget,
            level,
            spent,
        })
    }

    fn view(&self, month: &str) -> Option<BudgetView> {
        let budget = self.state.lock().budget?;
        let spent = self.spent.load(Ordering::Relaxed);
        let percent = budget.hundredths_of_percent(spent);
        Some(BudgetView {
            function: self.function.as_ref().map(ToString::to_string),
            month: month.to_owned(),
            monthly_picousd: budget.monthly,
            monthly_usd: usd_text(budget.monthly.into()),
            spent_picousd: spent,
            spent_usd: usd_text(spent.into()),
            percent: format!("{}.{:02}", percent / 100, percent % 100),
            throttle: budget.throttle,
            throttled: self.is_closed(),
        })
    }
}

impl Warning {
    /// What a function's log and the server's say.
    pub(crate) fn text(&self) -> String {
        let whose = whose(self.function.as_ref());
        let (spent, monthly) = (
            usd_text(self.spent.into()),
            usd_text(self.budget.monthly.into()),
        );
        let follows = match (self.level, self.budget.throttle) {
            (Level::Spent, true) => "; invocations are refused until the month ends (UTC)",
            (Level::Spent, false) => "; it only warns, so invocations go on",
            _ => "",
        };
        let part = match self.level {
            Level::Spent => "all",
            Level::Near | Level::Within => "80 %",
        };
        format!(
            "BUDGET {part} of the budget of {whose} for this month is spent: {spent} of {monthly} USD{follows}"
        )
    }

    /// Tells the operator.
    pub(crate) fn log(&self) {
        tracing::warn!("{}", self.text());
    }
}

/// Tells the operator, if there is something to tell.
pub(crate) fn tell(warning: Option<Warning>) {
    if let Some(warning) = warning {
        warning.log();
    }
}

/// What each function spent in a month, as the ledger has it.
fn spent_in(ledger: &Ledger, month: Month) -> Result<HashMap<FunctionName, PicoUsd>, StorageError> {
    let rows = ledger.summary(&SummaryQuery {
        since_us: Some(month.start_us()),
        until_us: Some(month.end_us()),
        ..SummaryQuery::default()
    })?;
    let mut spent: HashMap<FunctionName, PicoUsd> = HashMap::new();
    for row in rows {
        let charge = PicoUsd::try_from(row.charge_picousd).unwrap_or(PicoUsd::MAX);
        let sum = spent.entry(row.function).or_default();
        *sum = sum.saturating_add(charge);
    }
    Ok(spent)
}

fn sum_of(spent: &HashMap<FunctionName, PicoUsd>) -> PicoUsd {
    let spent = spent.values();
    spent.fold(0, |sum, one| sum.saturating_add(*one))
}

fn whose(function: Option<&FunctionName>) -> String {
    match function {
        Some(function) => format!("function `{function}`"),
        None => "this server".to_owned(),
    }
}

#[cfg(test)]
mod tests;
