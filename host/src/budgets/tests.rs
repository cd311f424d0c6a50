//! Budgets by a clock that is moved by hand.

use std::time::Duration;

use domain::{MemoryMb, RequestId, Status, Trigger, VersionId};

use super::*;
use storage::{DataDir, LedgerSettings};

/// 2026-11-30T23:59:59Z.
const LAST_SECOND_US: i64 = 1_796_083_199_000_000;

/// The first day after it.
const NEXT_MONTH: &str = "2026-12-01";

fn name(text: &str) -> FunctionName {
    FunctionName::parse(text).unwrap()
}

fn record(function: &str, started_at_us: i64, charge: u64) -> Report {
    Report {
        request_id: RequestId::new(0, [0; 10]),
        attempt: 1,
        function: name(function),
        version: VersionId::Latest,
        trigger: Trigger::Http,
        started_at_us,
        status: Status::Success,
        error_type: None,
        init_ns: None,
        duration_ns: 0,
        cpu_ns: 0,
        billed_ms: 1,
        memory: MemoryMb::DEFAULT,
        memory_used_mb: 1,
        charge_picousd: charge,
    }
}

fn budget(monthly: u64, throttle: bool) -> Budget {
    Budget { monthly, throttle }
}

/// Budgets over a ledger that has what was spent in November.
struct Site {
    clock: Clock,
    budgets: Budgets,
    ledger: Ledger,
    _root: tempfile::TempDir,
}

impl Site {
    fn new(server: Option<Budget>, spent: &[(&str, u64)]) -> Self {
        Self::at(LAST_SECOND_US, server, spent)
    }

    fn at(now_us: i64, server: Option<Budget>, spent: &[(&str, u64)]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(root.path()).unwrap();
        let clock = Clock::manual(now_us);
        let ledger = Ledger::open(&data_dir, LedgerSettings::default()).unwrap();
        for (function, charge) in spent {
            let record = record(function, LAST_SECOND_US, *charge);
            ledger.append(&record).unwrap();
        }
        Self {
            budgets: Budgets::open(clock.clone(), server, &ledger).unwrap(),
            clock,
            ledger,
            _root: root,
        }
    }

    fn spend(&self, function: &str, charge: u64) -> Vec<Level> {
        let spending = self.budgets.of(&name(function));
        let record = record(function, self.clock.unix_us(), charge);
        self.ledger.append(&record).unwrap();
        let warnings = self.budgets.spend(&spending, &record);
        warnings.into_iter().map(|warning| warning.level).collect()
    }

    fn check(&self, function: &str) -> Result<(), BudgetSpent> {
        self.budgets.check(&self.budgets.of(&name(function)))
    }
}

#[test]
fn it_warns_once_at_eighty_percent_once_at_all_and_then_refuses() {
    let site = Site::new(None, &[]);
    let spending = site.budgets.of(&name("f"));
    assert_eq!(spending.set_budget(Some(budget(1_000, true))), None);
    assert_eq!(site.spend("f", 799), []);
    assert_eq!(site.spend("f", 1), [Level::Near]);
    assert_eq!(site.spend("f", 199), []);
    assert_eq!(site.check("f"), Ok(()));
    assert_eq!(site.spend("f", 1), [Level::Spent]);
    let spent = site.check("f").unwrap_err();
    assert_eq!(
        spent.to_string(),
        format!("the budget of function `f` is spent until {NEXT_MONTH} (UTC)")
    );
    assert_eq!(
        spent.for_anybody(),
        format!("The budget of this function is spent until {NEXT_MONTH} (UTC)")
    );
    assert!((1..=2).contains(&spent.retry_after_s), "{spent:?}");
    assert_eq!(site.spend("f", 500), []);
    // Others go on.
    assert_eq!(site.check("g"), Ok(()));
}

#[test]
fn a_budget_that_only_warns_refuses_nothing() {
    let site = Site::new(None, &[]);
    site.budgets
        .of(&name("f"))
        .set_budget(Some(budget(10, false)));
    assert_eq!(site.spend("f", 100), [Level::Spent]);
    assert_eq!(site.check("f"), Ok(()));
    let view = &site.budgets.list()[0];
    assert_eq!((&*view.percent, view.throttled), ("1000.00", false));
}

#[test]
fn a_new_month_in_utc_starts_from_nothing() {
    let site = Site::new(None, &[]);
    site.budgets
        .of(&name("f"))
        .set_budget(Some(budget(10, true)));
    assert_eq!(site.spend("f", 10), [Level::Spent]);
    site.check("f").unwrap_err();
    assert_eq!(site.budgets.list()[0].month, "2026-11");
    let late = record("f", site.clock.unix_us(), 9);
    site.clock.advance(Duration::from_secs(1));
    assert_eq!(site.check("f"), Ok(()));
    let spending = site.budgets.of(&name("f"));
    // What started in the month before belongs to it.
    assert_eq!(site.budgets.spend(&spending, &late), []);
    let view = &site.budgets.list()[0];
    assert_eq!((&*view.month, view.spent_picousd), ("2026-12", 0));
    // And it warns again.
    assert_eq!(site.spend("f", 8), [Level::Near]);
    assert_eq!(site.spend("f", 2), [Level::Spent]);
}

#[test]
fn the_first_record_of_a_month_begins_it_too() {
    let site = Site::new(None, &[("f", 700)]);
    site.budgets
        .of(&name("f"))
        .set_budget(Some(budget(1_000, true)));
    site.clock.advance(Duration::from_secs(1));
    assert_eq!(site.spend("f", 100), []);
    assert_eq!(site.budgets.list()[0].spent_picousd, 100);
    assert_eq!(site.spend("f", 100), []);
    assert_eq!(site.budgets.list()[0].spent_picousd, 200);
}

#[test]
fn a_clock_that_is_set_right_finds_what_was_spent_before_the_start() {
    // In 1970 at the start, and in 2099.
    for wrong_us in [5_000_000, 4_080_000_000_000_000] {
        let spent = [("f", 600), ("g", 300)];
        let site = Site::at(wrong_us, Some(budget(1_000, true)), &spent);
        site.budgets
            .of(&name("f"))
            .set_budget(Some(budget(1_000, true)));
        // Nothing is spent in that month but this.
        assert_eq!(site.spend("f", 950), [Level::Near, Level::Near]);
        site.clock.set_unix_us(LAST_SECOND_US);
        assert_eq!(site.spend("f", 50), []);
        let spent = |site: &Site| {
            let views = site.budgets.list().into_iter();
            let months = views.map(|view| (view.month, view.spent_picousd));
            months.collect::<Vec<_>>()
        };
        let november = |spent| ("2026-11".to_owned(), spent);
        assert_eq!(spent(&site), [november(950), november(650)], "{wrong_us}");
        assert_eq!(site.spend("g", 50), [Level::Spent]);
        assert_eq!(site.check("h").unwrap_err().function, None);
        // What began while the clock was wrong is not of this month.
        let late = record("f", wrong_us, 9);
        site.budgets.spend(&site.budgets.of(&name("f")), &late);
        assert_eq!(spent(&site), [november(1_000), november(650)]);
        // And it may have been right before.
        site.clock.set_unix_us(wrong_us);
        assert_eq!(site.check("h"), Ok(()));
        assert_eq!(site.budgets.list()[0].spent_picousd, 950);
    }
}

#[test]
fn a_function_that_is_deleted_while_it_runs_has_spent_what_it_cost() {
    let site = Site::new(None, &[]);
    let running = site.budgets.of(&name("f"));
    site.budgets.forget(&name("f"));
    let record = record("f", LAST_SECOND_US, 70);
    site.budgets.spend(&running, &record);
    // Deployed again under that name, it goes on from there.
    let again = site.budgets.of(&name("f"));
    assert_eq!(again.spent.load(Ordering::Relaxed), 70);
    drop((running, again));
    site.clock.advance(Duration::from_secs(1));
    site.budgets.list();
    assert!(site.budgets.functions.is_empty(), "it is over");
}

#[test]
fn what_was_spent_before_a_start_and_under_another_budget_counts() {
    let site = Site::new(None, &[("f", 900)]);
    let spending = site.budgets.of(&name("f"));
    let level = |warning: Option<Warning>| warning.map(|warning| warning.level);
    assert_eq!(
        level(spending.set_budget(Some(budget(1_000, true)))),
        Some(Level::Near)
    );
    // The same again, as each redeployment says it, is no news.
    assert_eq!(level(spending.set_budget(Some(budget(1_000, true)))), None);
    assert_eq!(
        level(spending.set_budget(Some(budget(500, true)))),
        Some(Level::Spent)
    );
    site.check("f").unwrap_err();
    assert_eq!(level(spending.set_budget(Some(budget(10_000, true)))), None);
    assert_eq!(site.check("f"), Ok(()));
    spending.set_budget(Some(budget(1, true)));
    spending.set_budget(None);
    assert_eq!(site.check("f"), Ok(()));
    assert_eq!(site.budgets.list(), []);
}

#[test]
fn the_servers_budget_is_that_of_all_functions_together() {
    let site = Site::new(Some(budget(1_000, true)), &[("f", 300), ("g", 400)]);
    assert_eq!(site.spend("f", 100), [Level::Near]);
    assert_eq!(site.check("h"), Ok(()));
    assert_eq!(site.spend("g", 200), [Level::Spent]);
    assert_eq!(site.check("h").unwrap_err().function, None);
    let view = &site.budgets.list()[0];
    assert_eq!(
        (view.function.as_deref(), view.spent_picousd),
        (None, 1_000)
    );
    let text = site.budgets.render();
    assert!(text.contains("\nmayfly_budget_throttled 1\n"), "{text}");
    assert!(
        text.contains("\nmayfly_budget_spent_picousd 1000\n"),
        "{text}"
    );
}

#[test]
fn a_function_that_was_deleted_keeps_what_it_spent_and_loses_its_budget() {
    let site = Site::new(None, &[("f", 900)]);
    for function in ["f", "new"] {
        site.budgets
            .of(&name(function))
            .set_budget(Some(budget(10, true)));
        site.budgets.forget(&name(function));
    }
    assert_eq!(site.budgets.functions.len(), 1);
    assert_eq!(site.check("f"), Ok(()));
    assert_eq!(
        site.budgets.of(&name("f")).spent.load(Ordering::Relaxed),
        900
    );
}

#[test]
fn a_warning_says_whose_how_much_and_what_follows() {
    let warning = Warning {
        function: Some(name("f")),
        budget: budget(5_000_000_000_000, true),
        level: Level::Spent,
        spent: 5_000_000_200_000,
    };
    assert_eq!(
        warning.text(),
        "BUDGET all of the budget of function `f` for this month is spent: 5.000000200000 of 5.000000000000 USD; invocations are refused until the month ends (UTC)"
    );
}
