//! What runs by itself: `[[schedule]]` in manifests, and the API of EventBridge Scheduler.

use std::process::Command;

use serde_json::{Value, json};
use support::guests::printing;
use support::identity::statement;
use support::lambda::{arn, encode};
use support::{Request, Site, TestHost, wait};

const MISSING: (u16, &str) = (404, "ResourceNotFoundException");
const CONFLICT: (u16, &str) = (409, "ConflictException");
const INVALID: (u16, &str) = (400, "ValidationException");

/// `at(…)` for two seconds from now: what has an expression of whole minutes would be waited for in vain.
fn soon() -> String {
    let mut date = Command::new("date");
    date.args(["-u", "-d", "2 seconds", "+at(%Y-%m-%dT%H:%M:%S)"]);
    let output = date.output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn all(host: &TestHost) -> Vec<Value> {
    host.control_json("/mayfly/schedules")["schedules"]
        .as_array()
        .unwrap()
        .clone()
}

fn find(host: &TestHost, key: &str) -> Option<Value> {
    all(host)
        .into_iter()
        .find(|schedule| schedule["key"] == key)
}

/// The records of a function that its schedules caused.
fn runs(host: &TestHost, function: &str) -> usize {
    let is_one = |entry: &&Value| entry["trigger"] == "schedule" && entry["function"] == function;
    host.ledger().entries.iter().filter(is_one).count()
}

/// What `CreateSchedule` is asked for.
fn schedule(expression: &str) -> Value {
    json!({
        "ScheduleExpression": expression,
        "FlexibleTimeWindow": { "Mode": "OFF" },
        "Target": { "Arn": arn("f"), "RoleArn": "arn:aws:iam::000000000000:role/r" },
    })
}

fn with(mut schedule: Value, member: &str, value: Value) -> Value {
    schedule[member] = value;
    schedule
}

#[test]
fn a_schedule_of_a_manifest_runs_and_goes_with_its_function() {
    let host = TestHost::start();
    let manifest = format!(
        "[[schedule]]\nname = \"once\"\nexpression = \"{}\"\n[[schedule]]\nname = \"daily\"\nexpression = \"cron(30 2 * * ? *)\"\ntimezone = \"Europe/Berlin\"\n",
        soon()
    );
    host.deploy_with("f", &manifest, &printing("1"));
    wait::until("the schedule runs", || {
        find(&host, "drop/f/once").filter(|once| once["last_due_at"].is_string())
    });
    wait::until("its event runs", || (runs(&host, "f") == 1).then_some(()));
    let once = find(&host, "drop/f/once").unwrap();
    assert_eq!(
        (&once["state"], &once["next_due_at"]),
        (&json!("over"), &json!([]))
    );
    let daily = find(&host, "drop/f/daily").unwrap();
    assert_eq!(daily["state"], "enabled");
    assert_eq!(daily["next_due_at"].as_array().unwrap().len(), 5);
    let listed = host.cli(&["schedules", "list"]).ok();
    assert!(
        listed.contains("drop/f/daily") && listed.contains("cron(30 2 * * ? *)"),
        "{listed}"
    );
    assert_eq!(
        host.cli(&["schedules", "list", "--function", "f"]).ok(),
        listed
    );
    let shown = host.cli(&["schedules", "show", "daily"]).ok();
    assert_eq!(shown.matches("\nNext ").count(), 5, "{shown}");
    let shown: Value =
        serde_json::from_str(&host.cli(&["schedules", "show", "f/daily", "--json"]).ok()).unwrap();
    assert_eq!(shown["timezone"], "Europe/Berlin");
    let refused = host.cli(&["schedules", "show", "other"]).failed();
    assert!(
        refused.contains("there is no schedule `other`"),
        "{refused}"
    );
    host.site().manifest(
        "f",
        "[[schedule]]\nname = \"daily\"\nexpression = \"rate(7 days)\"\n",
    );
    wait::until("the manifest is followed", || {
        let daily = find(&host, "drop/f/daily")?;
        (daily["expression"] == "rate(7 days)" && all(&host).len() == 1).then_some(())
    });
    host.site().delete("f.wasm");
    wait::until("the schedule goes with its function", || {
        all(&host).is_empty().then_some(())
    });
    assert_eq!(runs(&host, "f"), 1);
    host.stop();
}

#[test]
fn a_schedule_that_is_none_is_refused_with_its_place() {
    let host = TestHost::start();
    host.site().manifest(
        "f",
        "[[schedule]]\nname = \"x\"\nexpression = \"cron(0 25 * * ? *)\"\n",
    );
    host.site().drop_wat("f", &printing("1"));
    let reason = host.wait_refused("f.wasm");
    assert!(
        reason.contains("3:14: `schedule[1].expression` is no schedule: column 8: expected an hour from 0 to 23, found `25`"),
        "{reason}"
    );
    assert!(all(&host).is_empty());
}

#[test]
fn schedules_of_functions_survive_a_restart_and_pause_while_the_file_is_gone() {
    let site = Site::new();
    let host = site.start();
    host.deploy_with(
        "f",
        "[[schedule]]\nname = \"n\"\nexpression = \"rate(1 day)\"\n",
        &printing("1"),
    );
    let _version = host.lambda_ok("POST", "/2015-03-31/functions/f/versions", &json!({}), 201);
    let next = |host: &TestHost| find(host, "drop/f/n").map(|n| n["next_due_at"][0].clone());
    let before = wait::until("the schedule is there", || next(&host));
    host.stop();
    let host = site.start();
    host.wait_live("f");
    assert_eq!(next(&host), Some(before.clone()));
    site.delete("f.wasm");
    wait::until("it pauses", || {
        find(&host, "drop/f/n").filter(|n| n["state"] == "paused")
    });
    site.drop_wat("f", &printing("1"));
    wait::until("it goes on", || {
        find(&host, "drop/f/n").filter(|n| n["state"] == "enabled")
    });
    assert_eq!(next(&host), Some(before));
    host.stop();
}

#[test]
#[expect(clippy::too_many_lines, reason = "the life of one schedule")]
fn a_schedule_of_the_api_is_made_read_changed_listed_and_deleted() {
    let host = TestHost::start();
    let _f = host.create("f", &printing("1"));
    let asked = with(
        schedule("cron(0 9 ? * MON-FRI *)"),
        "Description",
        json!("work"),
    );
    let asked = with(
        asked,
        "ScheduleExpressionTimezone",
        json!("America/New_York"),
    );
    let asked = with(asked, "ClientToken", json!("t1"));
    let made = host.lambda_ok("POST", "/schedules/work", &asked, 200);
    let name = "arn:aws:scheduler:local:000000000000:schedule/default/work";
    assert_eq!(made, json!({ "ScheduleArn": name }));
    // The same request again is answered, another one is not.
    assert_eq!(host.lambda_ok("POST", "/schedules/work", &asked, 200), made);
    let other = with(asked, "ClientToken", json!("t2"));
    let message = host.lambda_error(("POST", "/schedules/work"), &other, CONFLICT);
    assert_eq!(message, "Schedule work already exists.");
    let mut read = host.lambda_ok("GET", "/schedules/work", &Value::Null, 200);
    assert!(read["CreationDate"].is_number() && read["LastModificationDate"].is_number());
    let members = read.as_object_mut().unwrap();
    members.remove("CreationDate");
    members.remove("LastModificationDate");
    let mut expected = json!({
        "Arn": name, "GroupName": "default", "Name": "work", "Description": "work",
        "ScheduleExpression": "cron(0 9 ? * MON-FRI *)",
        "ScheduleExpressionTimezone": "America/New_York", "State": "ENABLED",
        "FlexibleTimeWindow": { "Mode": "OFF" }, "ActionAfterCompletion": "NONE",
    });
    expected["Target"] = json!({
        "Arn": arn("f"), "RoleArn": "arn:aws:iam::000000000000:role/r",
        "RetryPolicy": { "MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185 },
    });
    assert_eq!(read, expected);
    // An update replaces all that is said.
    let changed = with(schedule("rate(2 days)"), "State", json!("DISABLED"));
    let _changed = host.lambda_ok("PUT", "/schedules/work", &changed, 200);
    let read = host.lambda_ok("GET", "/schedules/work", &Value::Null, 200);
    assert_eq!(
        (&read["State"], read.get("Description")),
        (&json!("DISABLED"), None)
    );
    host.lambda_error(("PUT", "/schedules/none"), &changed, MISSING);
    for n in 0..5 {
        let _made = host.lambda_ok("POST", &format!("/schedules/page-{n}"), &changed, 200);
    }
    let (mut names, mut token) = (Vec::new(), String::new());
    loop {
        let target = format!("/schedules?MaxResults=2&NamePrefix=page{token}");
        let page = host.lambda_ok("GET", &target, &Value::Null, 200);
        let items = page["Schedules"].as_array().unwrap();
        assert!(items.len() <= 2);
        names.extend(
            items
                .iter()
                .map(|item| item["Name"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["NextToken"].as_str() else {
            break;
        };
        token = format!("&NextToken={}", encode(next));
    }
    assert_eq!(names, ["page-0", "page-1", "page-2", "page-3", "page-4"]);
    host.lambda_error(
        ("GET", "/schedules?NextToken=forged"),
        &Value::Null,
        INVALID,
    );
    let _gone = host.lambda_ok("DELETE", "/schedules/work", &Value::Null, 200);
    let message = host.lambda_error(("GET", "/schedules/work"), &Value::Null, MISSING);
    assert_eq!(message, "Schedule work does not exist.");
    host.lambda_error(("DELETE", "/schedules/work"), &Value::Null, MISSING);
}

#[test]
fn a_schedule_of_the_api_runs_once_and_deletes_itself() {
    let host = TestHost::start();
    let _f = host.create("f", &printing("1"));
    let asked = with(schedule(&soon()), "ActionAfterCompletion", json!("DELETE"));
    let _made = host.lambda_ok("POST", "/schedules/once", &asked, 200);
    wait::until("its event runs", || (runs(&host, "f") == 1).then_some(()));
    wait::until("it deletes itself", || all(&host).is_empty().then_some(()));
    // A rate without a start begins at once.
    let _made = host.lambda_ok("POST", "/schedules/rate", &schedule("rate(1 day)"), 200);
    wait::until("a rate begins at once", || {
        (runs(&host, "f") == 2).then_some(())
    });
    host.stop();
}

#[test]
fn groups_hold_schedules_and_take_them_along() {
    let host = TestHost::start();
    let _f = host.create("f", &printing("1"));
    let in_group = with(schedule("rate(2 days)"), "GroupName", json!("g"));
    let message = host.lambda_error(("POST", "/schedules/s"), &in_group, MISSING);
    assert_eq!(message, "Schedule group g does not exist.");
    let tags = json!({ "Tags": [{ "Key": "team", "Value": "a" }] });
    let made = host.lambda_ok("POST", "/schedule-groups/g", &tags, 200);
    let group = made["ScheduleGroupArn"].as_str().unwrap().to_owned();
    assert_eq!(
        group,
        "arn:aws:scheduler:local:000000000000:schedule-group/g"
    );
    host.lambda_error(("POST", "/schedule-groups/g"), &json!({}), CONFLICT);
    host.lambda_error(("POST", "/schedule-groups/default"), &json!({}), CONFLICT);
    let target = format!("/tags/{}", encode(&group));
    let read = host.lambda_ok("GET", &target, &Value::Null, 200);
    assert_eq!(read, tags);
    let more = json!({ "Tags": [{ "Key": "x", "Value": "y" }] });
    let _tagged = host.lambda_ok("POST", &target, &more, 200);
    let _untagged = host.lambda_ok(
        "DELETE",
        &format!("{target}?TagKeys=team"),
        &Value::Null,
        200,
    );
    assert_eq!(host.lambda_ok("GET", &target, &Value::Null, 200), more);
    let _made = host.lambda_ok("POST", "/schedules/s", &in_group, 200);
    let _other = host.lambda_ok("POST", "/schedules/s", &schedule("rate(2 days)"), 200);
    let read = host.lambda_ok("GET", "/schedules/s?groupName=g", &Value::Null, 200);
    assert_eq!(read["GroupName"], "g");
    let listed = host.lambda_ok("GET", "/schedule-groups", &Value::Null, 200);
    let names: Vec<_> = listed["ScheduleGroups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|g| &g["Name"])
        .collect();
    assert_eq!(names, ["default", "g"]);
    let _gone = host.lambda_ok("DELETE", "/schedule-groups/g", &Value::Null, 200);
    host.lambda_error(("GET", "/schedule-groups/g"), &Value::Null, MISSING);
    host.lambda_error(("GET", "/schedules?ScheduleGroup=g"), &Value::Null, MISSING);
    host.lambda_error(
        ("DELETE", "/schedule-groups/default"),
        &Value::Null,
        INVALID,
    );
    let left = host.lambda_ok("GET", "/schedules", &Value::Null, 200);
    assert_eq!(left["Schedules"].as_array().unwrap().len(), 1);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_can_t_be_a_schedule_is_refused_and_nothing_is_kept() {
    let host = TestHost::start();
    let _f = host.create("f", &printing("1"));
    let target = |member: &str, value: Value| {
        let mut asked = schedule("rate(1 day)");
        asked["Target"][member] = value;
        asked
    };
    let long = "x".repeat(65);
    for (name, asked, expected) in [
        (
            "s",
            schedule("cron(0 10 * * ?)"),
            "Invalid Schedule Expression cron(0 10 * * ?): column 16: expected six fields",
        ),
        (
            "s",
            schedule("rate(1 minutes)"),
            "column 8: 1 goes with `minute`, found `minutes`; an example is `rate(5 minutes)`",
        ),
        (
            "s",
            schedule("at(2020-01-01T00:00:00)"),
            "at(2020-01-01T00:00:00) has no run in the future.",
        ),
        (
            "s",
            schedule("cron(0 0 31 2 ? *)"),
            "no day from 1970 to 2199 fits",
        ),
        (
            "s",
            with(
                schedule("rate(1 day)"),
                "ScheduleExpressionTimezone",
                json!("Europe/Belin"),
            ),
            "there is no time zone `Europe/Belin`; did you mean `Europe/Berlin`?",
        ),
        (
            "s",
            target("Arn", json!(arn("none"))),
            "Function not found: arn:aws:lambda:local:000000000000:function:none",
        ),
        (
            "s",
            target("Arn", json!(format!("{}:7", arn("f")))),
            "Function not found",
        ),
        (
            "s",
            target("Arn", json!("arn:aws:sqs:local:000000000000:q")),
            "A target is the ARN of a function",
        ),
        (
            "s",
            target(
                "DeadLetterConfig",
                json!({ "Arn": "arn:aws:sqs:local:000000000000:q" }),
            ),
            "DeadLetterConfig is not offered",
        ),
        (
            "s",
            target("SqsParameters", json!({})),
            "SqsParameters is for targets that are no function.",
        ),
        (
            "s",
            target("Input", json!("{not json")),
            "Target.Input is no JSON",
        ),
        (
            "s",
            target("RoleArn", Value::Null),
            "Value null at 'target.roleArn'",
        ),
        (
            "s",
            target("RetryPolicy", json!({ "MaximumEventAgeInSeconds": 59 })),
            "Value '59' at 'target.retryPolicy.maximumEventAgeInSeconds'",
        ),
        (
            "s",
            with(
                schedule("rate(1 day)"),
                "FlexibleTimeWindow",
                json!({ "Mode": "FLEXIBLE" }),
            ),
            "MaximumWindowInMinutes",
        ),
        (
            "s",
            with(
                schedule("rate(1 day)"),
                "FlexibleTimeWindow",
                json!({ "Mode": "FLEXIBLE", "MaximumWindowInMinutes": 1_441 }),
            ),
            "less than or equal to 1440",
        ),
        (
            "s",
            with(schedule("rate(1 day)"), "State", json!("ON")),
            "satisfy enum value set: [ENABLED, DISABLED]",
        ),
        (
            "s",
            with(schedule("rate(1 day)"), "StartDate", json!(1_000_000_000)),
            "cannot be earlier than 5 minutes ago",
        ),
        (
            "s",
            with(schedule("rate(1 day)"), "EndDate", json!(1_000_000_000)),
            "has no run in the future",
        ),
        (
            "s",
            with(schedule("rate(1 day)"), "EndDate", json!(-1e300)),
            "EndDate must be in seconds since 1970",
        ),
        ("s", json!({}), "Value null at 'scheduleExpression'"),
        (&long, schedule("rate(1 day)"), "less than or equal to 64"),
        (
            "a%20b",
            schedule("rate(1 day)"),
            "regular expression pattern: [0-9a-zA-Z-_.]+",
        ),
    ] {
        let path = format!("/schedules/{name}");
        let message = host.lambda_error(("POST", &path), &asked, INVALID);
        assert!(message.contains(expected), "{asked}: {message}");
    }
    for body in [
        "[]",
        "{",
        "\"x\"",
        "{\"ScheduleExpression\": 5}",
        "{\"Target\": []}",
    ] {
        let response = host.control_send(&Request::post("/schedules/s", body));
        assert_eq!(response.status, 400, "{body}: {}", response.text());
    }
    assert!(all(&host).is_empty());
    assert_eq!(runs(&host, "f"), 0);
}

#[test]
fn who_makes_a_schedule_must_be_allowed_to_invoke_its_function() {
    let host = TestHost::start();
    let _f = host.create("f", &printing("1"));
    let asked = schedule("rate(2 days)");
    let own = "arn:aws:scheduler:*:*:schedule/default/*";
    let allowed = statement("Allow", "scheduler:*", own);
    let bob = host.user("bob");
    host.put_policy("bob", &allowed);
    let send = |signer: &support::sign::Signer| {
        let request = Request::post("/schedules/s", asked.to_string());
        host.control_send(&signer.sign(&request, host.control()))
    };
    let refused = send(&bob);
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(
        refused.text().contains("lambda:InvokeFunction"),
        "{}",
        refused.text()
    );
    assert!(all(&host).is_empty());
    let invokes = statement("Allow", "lambda:InvokeFunction", &arn("f"));
    let eve = host.user("eve");
    host.put_policy("eve", &json!([allowed, invokes]));
    assert_eq!(send(&eve).status, 200);
    assert_eq!(all(&host).len(), 1);
}
