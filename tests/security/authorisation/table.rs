//! The table of operations as requests: each one about things of fixed names, with every member that
//! says what it is about, whether the things are there or not.

#![expect(clippy::panic, reason = "a table that is not understood tests nothing")]

use support::Request;
use support::http::Response;
use support::identity::{FORM, document, error_code, statement};
use support::lambda::{arn, encode};

const OPERATIONS: &str = include_str!("../operations.tsv");

/// The id of an event that there never was.
const EVENT: &str = "0193573b-0ab1-7f3c-8d2e-4b5a6c7d8e9f";

/// An operation and a request for it.
pub(super) struct Row {
    pub(super) service: &'static str,
    pub(super) name: &'static str,
    pub(super) action: &'static str,
    about: &'static str,
    pub(super) request: Request,
}

/// All operations of all services.
pub(super) fn rows() -> Vec<Row> {
    let rows = OPERATIONS.lines().skip(1).map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [service, name, action, method, target, about] = fields[..] else {
            panic!("{line}");
        };
        Row {
            service,
            name,
            action,
            about,
            request: request((service, name), method, target),
        }
    });
    rows.collect()
}

fn request((service, name): (&str, &str), method: &str, target: &str) -> Request {
    let request = |target: &str, body: &str| Request::new(method, target).with_body(body);
    match service {
        "lambda" => {
            let tagged = encode(&arn("f"));
            let first = match target.contains("/tags/") {
                true => tagged.as_str(),
                false => "f",
            };
            let target = target.replacen("{}", first, 1).replace("{}", "live");
            request(&target, r#"{"FunctionName":"f"}"#)
        }
        "logs" => {
            let group = "arn:aws:logs:local:000000000000:log-group:/aws/lambda/f";
            let body = format!(
                r#"{{"logGroupName":"/aws/lambda/f","logStreamName":"s","resourceArn":"{group}","logGroupIdentifiers":["{group}"]}}"#
            );
            request(target, &body)
                .header("x-amz-target", &format!("Logs_20140328.{name}"))
                .header("content-type", "application/x-amz-json-1.1")
        }
        "iam" => {
            let policy = encode(&document(&statement("Allow", "logs:GetLogEvents", "*")));
            let form = format!(
                "Action={name}&Version=2010-05-08&UserName=bob&RoleName=r&PolicyName=p&PolicyArn=arn:aws:iam::000000000000:policy/p&AccessKeyId=AKIAIOSFODNN7EXAMPLE&Status=Active&PolicyDocument={policy}&PolicySourceArn=arn:aws:iam::000000000000:user/bob&ActionNames.member.1=lambda:Invoke"
            );
            request(target, &form).header("content-type", FORM)
        }
        "sts" => {
            let form = format!("Action={name}&Version=2011-06-15");
            request(target, &form).header("content-type", FORM)
        }
        "mayfly" => {
            let label = match name {
                _ if target.contains("api-keys") => "k",
                "GetEvent" => EVENT,
                _ => "f",
            };
            request(&target.replace("{}", label), "{}")
        }
        "scheduler" => {
            let label = match target.starts_with("/tags/") {
                true => encode(&scheduler("schedule-group/g")),
                false if target.starts_with("/schedule-groups/") => "g".to_owned(),
                false => "s".to_owned(),
            };
            request(&target.replace("{}", &label), "{}")
        }
        other => panic!("how is {other} asked?"),
    }
}

fn scheduler(rest: &str) -> String {
    format!("arn:aws:scheduler:local:000000000000:{rest}")
}

impl Row {
    /// Whether nobody's permission is asked.
    pub(super) fn is_free(&self) -> bool {
        self.about == "-"
    }

    /// What has to be allowed, when there is everything that the request names; and something of the
    /// same kind that is not it.
    pub(super) fn resources(&self) -> (String, String) {
        let logs = |rest: &str| format!("arn:aws:logs:local:000000000000:log-group:{rest}");
        let iam = |rest: &str| format!("arn:aws:iam::000000000000:{rest}");
        let own = |rest: &str| format!("arn:aws:mayfly:::{rest}");
        match self.about {
            "*" => ("*".to_owned(), arn("f")),
            "function" => (arn("f"), arn("f2")),
            "alias" => (arn("f:live"), arn("f")),
            "groups" => (logs("*"), logs("/aws/lambda/f:*")),
            "group" => (logs("/aws/lambda/f:*"), logs("/aws/lambda/g:*")),
            "stream" => (
                logs("/aws/lambda/f:log-stream:s"),
                logs("/aws/lambda/f:log-stream:t"),
            ),
            "user" => (iam("user/team/bob"), iam("user/bob")),
            "role" => (iam("role/team/r"), iam("role/r")),
            "policy" => (iam("policy/p"), iam("policy/p2")),
            "users" => (iam("user/"), iam("user/bob")),
            "roles" => (iam("role/"), iam("role/r")),
            "policies" => (iam("policy/"), iam("policy/p")),
            "api-key" => (own("api-key/k"), own("api-key/k2")),
            "log" => (own("logs/f"), own("logs/g")),
            "event" => (own(&format!("event/{EVENT}")), own("event/x")),
            "topic" => (own("topic/f"), own("topic/g")),
            "schedule" => (
                scheduler("schedule/default/s"),
                scheduler("schedule/default/t"),
            ),
            "schedule-group" => (
                scheduler("schedule-group/g"),
                scheduler("schedule-group/default"),
            ),
            other => panic!("what is {other}?"),
        }
    }

    /// Status and code of an error in the protocol of the service, for those of Lambda.
    #[track_caller]
    pub(super) fn check_error(&self, response: &Response, code: &str) {
        let expected = match self.service {
            "logs" => (400, code),
            "iam" | "sts" => (
                403,
                match code {
                    "MissingAuthenticationTokenException" => "MissingAuthenticationToken",
                    "UnrecognizedClientException" => "InvalidClientTokenId",
                    "InvalidSignatureException" => "SignatureDoesNotMatch",
                    "AccessDeniedException" => "AccessDenied",
                    other => other,
                },
            ),
            _ => (403, code),
        };
        let said = error_code(response);
        let found = (response.status, said.as_deref().unwrap_or("none"));
        let (service, name) = (self.service, self.name);
        assert_eq!(found, expected, "{service} {name}: {}", response.text());
    }
}
