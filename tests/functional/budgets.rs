//! Budgets: what may be spent in a month, warned of and kept to.

use serde_json::{Value, json};
use support::guests::printing;
use support::{Site, TestHost, until};

/// A request of 1,000,000 pico-dollars and nothing for its time.
fn site() -> support::site::SiteBuilder {
    Site::builder()
        .env("MAYFLY_BILLING_GB_SECOND_PICOUSD", "0")
        .env("MAYFLY_BILLING_REQUEST_PICOUSD", "1000000")
}

fn budgets(host: &TestHost) -> Value {
    host.control_json("/mayfly/billing/budgets")
}

/// Five requests.
const FIVE: &str = "[budget]\nmonthly_usd = 0.000005\nthrottle = true\n";

#[test]
fn a_budget_warns_at_eighty_percent_refuses_when_it_is_spent_and_survives_a_start_and_a_redeployment()
 {
    let site = site().build();
    let host = site.start();
    host.deploy_with("f", FIVE, &printing("1"));
    host.deploy("other", &printing("2"));
    for _ in 0..3 {
        assert_eq!(host.get("/f").status, 200);
    }
    assert_eq!(host.log_of_budget("f"), 0);
    assert_eq!(host.get("/f").status, 200);
    host.wait_log_of_budget("f", 1);
    assert_eq!(host.get("/f").status, 200);
    host.wait_log_of_budget("f", 2);

    let refused = host.get("/f");
    assert_eq!(refused.status, 429);
    let said = refused.json()["message"].as_str().unwrap().to_owned();
    assert!(
        said.starts_with("The budget of this function is spent until 2"),
        "{said}"
    );
    let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=3_600).contains(&after), "{after}");
    let refused = host.invoke("f", "{}");
    assert_eq!(refused.status, 429);
    assert_eq!(refused.json()["Reason"], "BudgetExceeded");
    for arguments in [
        &["invoke", "f", "-d", "{}"][..],
        &["invoke", "f", "--dry-run", "-d", "{}"],
    ] {
        let said = host.cli(arguments).failed();
        assert!(
            said.contains("the budget of function `f` is spent until 2"),
            "{said}"
        );
    }
    assert_eq!(host.get("/other").status, 200);
    let shown = &budgets(&host)[0];
    assert_eq!(shown["function"], "f");
    assert_eq!(shown["percent"], "100.00");
    assert_eq!(shown["spent_usd"], "0.000005000000");
    assert_eq!(shown["throttled"], json!(true));
    let table = host.cli(&["billing", "budgets"]).ok();
    assert!(
        table.contains("100.00") && table.contains("refuses now"),
        "{table}"
    );
    assert_eq!(
        host.metric("mayfly_budget_throttled", &["function=\"f\""]),
        1
    );

    // Another module spends from the same budget, and so does another process.
    let module = wat::parse_str(printing("3")).unwrap();
    host.site().drop_wasm("f", &module);
    host.wait_artifact("f", &module);
    assert_eq!(host.get("/f").status, 429);
    host.stop();
    let host = site.start();
    host.wait_live("f");
    assert_eq!(host.get("/f").status, 429);

    // A larger one lets go at once.
    host.manifest(
        "f",
        "[budget]\nmonthly_usd = \"0.000006\"\nthrottle = true\n",
    );
    until("the larger budget", || {
        (host.get("/f").status == 200).then_some(())
    });
    assert_eq!(host.get("/f").status, 429);
    host.delete("f.toml");
    until("no budget", || (host.get("/f").status == 200).then_some(()));
    assert_eq!(budgets(&host), json!([]));
}

#[test]
fn the_server_has_a_budget_of_its_own_and_one_that_only_warns_refuses_nothing() {
    let host = site()
        .env("MAYFLY_BUDGET_MONTHLY_USD", "0.000003")
        .env("MAYFLY_BUDGET_THROTTLE", "true")
        .start();
    host.deploy_with("f", "[budget]\nmonthly_usd = 0.000001\n", &printing("1"));
    host.deploy("g", &printing("2"));
    for target in ["/f", "/f", "/g"] {
        assert_eq!(host.get(target).status, 200);
    }
    for target in ["/f", "/g"] {
        assert_eq!(host.get(target).status, 429);
    }
    let shown = budgets(&host);
    assert_eq!(shown[0]["function"], Value::Null);
    assert_eq!(shown[1]["percent"], "200.00");
    assert_eq!(shown[1]["throttled"], json!(false));
}

#[test]
fn a_budget_that_is_none_is_refused_with_its_place() {
    let host = TestHost::start();
    host.deploy("f", &printing("1"));
    for (text, expected) in [
        (
            "[budget]\nmonthly_usd = 0\n",
            "f.toml:2:15: `budget.monthly_usd` must be dollars from 0.000000000001 to 10000000, with at most 12 decimals and no exponent, not 0",
        ),
        ("[budget]\nmonthly_usd = 1e3\n", "not 1e3"),
        ("[budget]\nmonthly_usd = 0.0000000000001\n", "f.toml:2:15: "),
        (
            "[budget]\nthrottle = true\n",
            "`budget` needs `monthly_usd`",
        ),
    ] {
        host.manifest("f", text);
        until("the refusal", || {
            let refusal = host.refusal("f.wasm")?;
            refusal.contains(expected).then_some(())
        });
        assert_eq!(host.get("/f").status, 200);
    }
}

trait BudgetLog {
    fn log_of_budget(&self, function: &str) -> usize;
    fn wait_log_of_budget(&self, function: &str, count: usize);
}

impl BudgetLog for TestHost {
    /// Warnings in the function's log.
    fn log_of_budget(&self, function: &str) -> usize {
        let lines = self.logs(function);
        lines.iter().filter(|line| line.contains("BUDGET ")).count()
    }

    fn wait_log_of_budget(&self, function: &str, count: usize) {
        until("a warning in the log", || {
            (self.log_of_budget(function) == count).then_some(())
        });
    }
}
