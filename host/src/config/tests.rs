//! Which layer wins, and the exact words for what is wrong.

use domain::billing::Prices;
use domain::billing::plan::{FreeTier, Plan, Tier};

use super::*;

/// Resolves a file's text with variables and flags.
fn resolve(file: &str, env: &[(&str, &str)], flags: Flags) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    std::fs::write(&path, file).unwrap();
    let lookup = |name: &str| {
        env.iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| (*value).to_owned())
    };
    let folder_text = format!("{}/", folder.path().display());
    Config::resolve(Some(&path), lookup, flags)
        .map_err(|error| error.to_string().replace(&folder_text, ""))
        .map(|mut config| {
            // Paths in the file are relative to the file; tests see them so.
            for path in [&mut config.functions_dir, &mut config.data_dir] {
                if let Ok(inside) = path.strip_prefix(folder.path()) {
                    *path = Path::new("FILE").join(inside);
                }
            }
            config
        })
}

#[track_caller]
fn check_refused(file: &str, env: &[(&str, &str)], expected: &str) {
    assert_eq!(resolve(file, env, Flags::default()).unwrap_err(), expected);
}

#[test]
fn without_any_layer_every_value_has_its_default() {
    let config = Config::resolve(None, |_| None, Flags::default()).unwrap();
    assert_eq!(config.functions_dir, Path::new("functions"));
    assert_eq!(config.data_dir, Path::new(".mayfly"));
    assert_eq!(config.listen.to_string(), "127.0.0.1:3000");
    assert_eq!(config.control.to_string(), "127.0.0.1:3002");
    assert_eq!(config.region, "local");
    assert_eq!(config.drain_timeout, Duration::from_secs(30));
    assert_eq!(config.sandbox.concurrency_max, 1_000);
    assert!(config.sandbox.memory_budget_mb > 0);
    assert_eq!(config.billing, Tariff::default());
    assert_eq!(config.ledger.retention_days, None);
    assert_eq!(config.ledger.retention_mb, None);
    assert_eq!(
        (config.ledger.is_strict, config.ledger.minutes_days),
        (false, 15)
    );
    assert_eq!(
        (config.logs.segment_kb, config.logs.segments_per_function),
        (1_024, 8)
    );
    assert_eq!(config.http.header_timeout, Duration::from_secs(10));
    assert_eq!(config.http.body_idle_timeout, Duration::from_secs(10));
    assert_eq!(config.http.body_timeout, Duration::from_secs(30));
    assert_eq!(config.http.connections_max, 10_000);
    assert_eq!(config.http.connections_per_ip_max, None);
    assert_eq!(config.drop.stable, Duration::from_millis(500));
    assert_eq!(config.drop.rescan, Duration::from_millis(2_000));
    assert_eq!((config.tls.triggers, config.tls.control), (None, None));
    assert_eq!(config.tls.handshake_timeout, Duration::from_secs(5));
    assert_eq!(config.tls.rescan, Duration::from_secs(2));
}

#[test]
fn function_urls_may_have_a_domain() {
    let domain = |text: &str| {
        let env = [("MAYFLY_URL_DOMAIN", text)];
        resolve("", &env, Flags::default()).map(|config| config.url_domain)
    };
    assert_eq!(
        domain("fn.example.com"),
        Ok(Some("fn.example.com".to_owned()))
    );
    assert_eq!(domain(""), Ok(None));
    for bad in ["Example.com", "a..b", ".a", "a/b", "a:1", "http://a"] {
        let expected = format!(
            "MAYFLY_URL_DOMAIN must be a domain in lower case, such as example.com, not \"{bad}\""
        );
        assert_eq!(domain(bad), Err(expected));
    }
}

#[test]
fn a_certificate_and_its_key_belong_together() {
    let both = "[tls]\ncertificate = '/c.pem'\ncontrol_certificate = '/d.pem'\n";
    let env = [
        ("MAYFLY_TLS_KEY", "/k.pem"),
        ("MAYFLY_TLS_CONTROL_KEY", "/l.pem"),
    ];
    let tls = resolve(both, &env, Flags::default()).unwrap().tls;
    let files = |certificate: &str, key: &str| CertificateFiles {
        certificate: certificate.into(),
        key: key.into(),
    };
    assert_eq!(tls.triggers, Some(files("/c.pem", "/k.pem")));
    assert_eq!(tls.control, Some(files("/d.pem", "/l.pem")));
    check_refused(
        both,
        &env[..1],
        "`tls.control_certificate` is set, and `tls.control_key` is not; the two belong together",
    );
}

#[test]
fn flags_outrank_the_environment_and_that_the_file() {
    let file = "listen = '127.0.0.1:1'\ncontrol = '127.0.0.1:1'\nregion = 'file-1'\n";
    let env = [
        ("MAYFLY_LISTEN", "127.0.0.1:2"),
        ("MAYFLY_CONTROL", "localhost:2"),
    ];
    let flags = Flags {
        listen: Some("[::1]:3".to_owned()),
        ..Flags::default()
    };
    let config = resolve(file, &env, flags).unwrap();
    assert_eq!(config.listen.to_string(), "[::1]:3");
    assert_eq!(config.control.to_string(), "127.0.0.1:2");
    assert_eq!(config.region, "file-1");
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let config = resolve("region = 'a'", &[("MAYFLY_REGION", "")], Flags::default()).unwrap();
    assert_eq!(config.region, "a");
}

#[test]
fn every_table_is_read_from_file_and_environment() {
    let file = "
        [sandbox]
        concurrency_max = 7
        memory_budget_mb = 64
        [billing]
        rounding_ms = 100
        request_picousd = 0
        [ledger]
        retention_days = 30
        mode = 'group'
        [http]
        connections_per_ip_max = 9
    ";
    let env = [
        ("MAYFLY_SANDBOX_CONCURRENCY_MAX", "8"),
        ("MAYFLY_LEDGER_RETENTION_MB", "100"),
        ("MAYFLY_LEDGER_MODE", "strict"),
        ("MAYFLY_LEDGER_MINUTES_DAYS", "2"),
        ("MAYFLY_DROP_STABLE_MS", "50"),
        ("MAYFLY_DRAIN_TIMEOUT_MS", "0"),
        ("MAYFLY_BILLING_GB_SECOND_PICOUSD", "13333400"),
    ];
    let config = resolve(file, &env, Flags::default()).unwrap();
    assert_eq!(config.sandbox.concurrency_max, 8);
    assert_eq!(config.sandbox.memory_budget_mb, 64);
    assert_eq!(config.billing.rounding.ms(), 100);
    assert_eq!(
        config.billing.prices,
        Prices {
            gb_second: 13_333_400,
            request: 0
        }
    );
    assert_eq!(config.ledger.retention_days, Some(30));
    assert_eq!(config.ledger.retention_mb, Some(100));
    assert!(config.ledger.is_strict);
    assert_eq!(config.ledger.minutes_days, 2);
    assert_eq!(config.http.connections_per_ip_max, Some(9));
    assert_eq!(config.drop.stable, Duration::from_millis(50));
    assert_eq!(config.drain_timeout, Duration::ZERO);
}

#[test]
fn a_path_in_the_file_is_relative_to_the_file_and_data_lies_beside_the_functions() {
    let in_file = resolve("functions = 'f/g'", &[], Flags::default()).unwrap();
    assert_eq!(in_file.functions_dir, Path::new("FILE/f/g"));
    assert_eq!(in_file.data_dir, Path::new("FILE/f/.mayfly"));
    let env = [("MAYFLY_FUNCTIONS", "/srv/functions/")];
    let in_env = resolve("functions = 'f'", &env, Flags::default()).unwrap();
    assert_eq!(in_env.functions_dir, Path::new("/srv/functions/"));
    assert_eq!(in_env.data_dir, Path::new("/srv/.mayfly"));
    let flags = Flags {
        functions: Some(PathBuf::from(".")),
        ..Flags::default()
    };
    assert_eq!(
        resolve("", &[], flags).unwrap().data_dir,
        Path::new("./../.mayfly")
    );
}

#[test]
fn what_is_wrong_names_file_line_and_column() {
    check_refused(
        "[sandbox]\nconcurency_max = 5",
        &[],
        "mayfly.toml:2:1: `sandbox.concurency_max` is not a known key; did you mean `concurrency_max`?",
    );
    check_refused(
        "[http]\nconnections_max = 0",
        &[],
        "mayfly.toml:2:19: `http.connections_max` must be a whole number from 1 to 1000000, not 0",
    );
    check_refused(
        "listen = 3000",
        &[],
        "mayfly.toml:1:10: `listen` must be text in quotes, not 3000",
    );
    check_refused(
        "region = 'EU'",
        &[],
        "mayfly.toml:1:10: `region` must be 1 to 32 of a-z, 0-9 and `-`, not \"EU\"",
    );
    check_refused(
        "sandbox = 1",
        &[],
        "mayfly.toml:1:11: `sandbox` must be a table, not 1",
    );
    check_refused(
        "= 1",
        &[],
        "mayfly.toml:1:1: not TOML: unquoted keys cannot be empty, expected letters, numbers, `-`, `_`",
    );
}

#[test]
fn what_is_wrong_in_the_environment_names_the_variable() {
    check_refused(
        "",
        &[
            ("MAYFLY_SANDBOX_CONCURRENCY_MAX", "many"),
            ("MAYFLY_LISTEN", "3000"),
        ],
        "MAYFLY_LISTEN must be an address with a port, such as 127.0.0.1:3000, not \"3000\"; MAYFLY_SANDBOX_CONCURRENCY_MAX must be a whole number from 1 to 20000, not \"many\"",
    );
}

#[test]
fn a_variable_does_not_hide_a_bad_line() {
    check_refused(
        "drain_timeout_ms = -1",
        &[("MAYFLY_DRAIN_TIMEOUT_MS", "5")],
        "mayfly.toml:1:20: `drain_timeout_ms` must be a whole number from 0 to 3600000, not -1",
    );
}

#[test]
fn keys_lie_beside_the_data_directory_unless_they_are_named() {
    let config = Config::resolve(None, |_| None, Flags::default()).unwrap();
    assert_eq!(config.key_file, Path::new(".mayfly-key"));
    assert_eq!(config.credentials, Path::new(".mayfly-credentials"));
    assert!(!config.credentials_are_named && !config.control_is_named);
    let flags = Flags {
        data: Some("/var/lib/mayfly".into()),
        ..Flags::default()
    };
    let config = resolve("", &[], flags).unwrap();
    assert_eq!(config.key_file, Path::new("/var/lib/.mayfly-key"));
    assert_eq!(
        config.credentials,
        Path::new("/var/lib/.mayfly-credentials")
    );
    let flags = Flags {
        credentials: Some("/a".into()),
        control: Some("0.0.0.0:3002".to_owned()),
        ..Flags::default()
    };
    let env = [("MAYFLY_KEY_FILE", "/k"), ("MAYFLY_CREDENTIALS", "/b")];
    let config = resolve("", &env, flags).unwrap();
    assert_eq!(config.key_file, Path::new("/k"));
    assert_eq!(config.credentials, Path::new("/a"));
    assert!(config.credentials_are_named && config.control_is_named);
    assert_eq!(config.control.to_string(), "0.0.0.0:3002");
}

#[test]
fn how_strict_to_be_is_said_with_true_or_false() {
    let auth =
        |file: &str, env: &[(&str, &str)]| resolve(file, env, Flags::default()).map(|c| c.auth);
    assert!(!auth("", &[]).unwrap().replay_cache);
    assert_eq!(auth("", &[]).unwrap().failures_per_second, 50);
    assert!(
        auth("[auth]\nreplay_cache = true", &[])
            .unwrap()
            .replay_cache
    );
    let env = [("MAYFLY_AUTH_REPLAY_CACHE", "false")];
    assert!(
        !auth("[auth]\nreplay_cache = true", &env)
            .unwrap()
            .replay_cache
    );
    check_refused(
        "[auth]\nreplay_cache = 1",
        &[("MAYFLY_AUTH_FAILURES_PER_SECOND", "0")],
        "mayfly.toml:2:16: `auth.replay_cache` must be true or false, not 1; MAYFLY_AUTH_FAILURES_PER_SECOND must be a whole number from 1 to 1000000, not \"0\"",
    );
    check_refused(
        "",
        &[("MAYFLY_AUTH_REPLAY_CACHE", "yes")],
        "MAYFLY_AUTH_REPLAY_CACHE must be true or false, not \"yes\"",
    );
}

#[test]
fn destinations_are_allowed_by_a_list() {
    let allowed = |file: &str, env: &[(&str, &str)], text: &str| {
        let config = resolve(file, env, Flags::default()).unwrap();
        let target = crate::trigger::queue::destination::parse(text).unwrap();
        config.destinations.allow.check(&target).is_ok()
    };
    let file = "[destinations]\nallow = [\"https://a.example\", \"file:x\"]";
    assert!(!allowed("", &[], "file:x"));
    assert!(allowed(file, &[], "file:x"));
    assert!(allowed(file, &[], "https://a.example/b"));
    let env = [("MAYFLY_DESTINATIONS_ALLOW", "file:y, http://127.0.0.1:9/z")];
    assert!(!allowed(file, &env, "file:x"));
    assert!(allowed(file, &env, "file:y"));
    assert!(allowed(file, &env, "http://127.0.0.1:9/z/1"));
    let rule = "which is neither the beginning of an address, such as https://hooks.example.com/team, nor a file, such as file:failures";
    check_refused(
        "[destinations]\nallow = [\"file:x\", \"a.example\"]",
        &[("MAYFLY_DESTINATIONS_ALLOW", "file:../x")],
        &format!(
            "mayfly.toml:2:20: `destinations.allow` has \"a.example\", {rule}; MAYFLY_DESTINATIONS_ALLOW has \"file:../x\", {rule}"
        ),
    );
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let error = Config::resolve(
        Some(Path::new("/nowhere/m.toml")),
        |_| None,
        Flags::default(),
    );
    assert_eq!(
        error.unwrap_err().to_string(),
        "reading `/nowhere/m.toml` failed"
    );
}

#[test]
fn what_a_month_has_for_free_and_may_cost_is_a_setting() {
    let config = Config::resolve(None, |_| None, Flags::default()).unwrap();
    assert_eq!(config.invoices.plan, Plan::default());
    assert_eq!(config.budget, None);
    // Lambda's tiers are below Lambda's price, and no other.
    let other = resolve("[billing]\ngb_second_picousd = 1", &[], Flags::default());
    assert_eq!(other.unwrap().invoices.plan.tiers, []);
    let file = "[billing]\nfree_requests = 7\ncustomer = \"Blue\"\n\
                [[billing.tiers]]\nfrom_gb_seconds = 5\ngb_second_picousd = 3\n\
                [budget]\nmonthly_usd = 1\nthrottle = true\n";
    let env = [
        ("MAYFLY_BILLING_FREE_GB_SECONDS", "0"),
        ("MAYFLY_BUDGET_MONTHLY_USD", "2.5"),
    ];
    let config = resolve(file, &env, Flags::default()).unwrap();
    let tier = Tier {
        from_gb_seconds: 5,
        gb_second: 3,
    };
    assert_eq!(config.invoices.plan.tiers, [tier]);
    let free = FreeTier {
        requests: 7,
        gb_seconds: 0,
    };
    assert_eq!(config.invoices.plan.free, free);
    assert_eq!(config.invoices.customer.as_deref(), Some("Blue"));
    let budget = Budget {
        monthly: 2_500_000_000_000,
        throttle: true,
    };
    assert_eq!(config.budget, Some(budget));
    for (file, part) in [
        (
            "[budget]\nmonthly_usd = 0",
            "`budget.monthly_usd` must be dollars",
        ),
        ("[budget]\nthrottle = true", "no `monthly_usd`"),
        (
            "[billing]\nissuer = \"a\\nb\"",
            "`billing.issuer` must be one line",
        ),
        (
            "[[billing.tiers]]\nfrom_gb_seconds = 5",
            "needs `gb_second_picousd`",
        ),
        (
            "[[billing.tiers]]\nfrom_gb_seconds = 5\ngb_second_picousd = 3\n\
             [[billing.tiers]]\nfrom_gb_seconds = 5\ngb_second_picousd = 2",
            "must be more than that of the tier before",
        ),
    ] {
        let refused = resolve(file, &[], Flags::default()).unwrap_err();
        assert!(refused.contains(part), "{file}: {refused}");
    }
}
