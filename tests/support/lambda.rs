//! The Lambda API of a server, as a client of AWS would call it.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::TestHost;
use crate::bodies::to_base64;
use crate::guests::assemble;
use crate::http::{Request, Response};

/// Where functions are.
pub const FUNCTIONS: &str = "/2015-03-31/functions";

/// The name of a function in the region that tests sign for.
#[must_use]
pub fn arn(name: &str) -> String {
    format!("arn:aws:lambda:local:000000000000:function:{name}")
}

/// Percent-encodes what has a meaning in paths and queries.
#[must_use]
pub fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _written = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// What `CreateFunction` is asked for a module made from text.
#[must_use]
pub fn creation(name: &str, wat: &str) -> Value {
    json!({
        "FunctionName": name,
        "Runtime": "provided.al2023",
        "Handler": "bootstrap",
        "Role": "arn:aws:iam::000000000000:role/r",
        "Code": { "ZipFile": to_base64(&assemble(wat)) },
    })
}

impl TestHost {
    /// Sends a request of the Lambda API; without a body when it is `null`.
    #[track_caller]
    #[must_use]
    pub fn lambda(&self, method: &str, target: &str, body: &Value) -> Response {
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.control_send(&Request::new(method, target).with_body(text))
    }

    /// The same, whose answer must have this status; its JSON, `null` when there is none.
    #[track_caller]
    #[must_use]
    pub fn lambda_ok(&self, method: &str, target: &str, body: &Value, status: u16) -> Value {
        let response = self.lambda(method, target, body);
        assert_eq!(
            response.status,
            status,
            "{method} {target}: {}",
            response.text()
        );
        if response.body.is_empty() {
            Value::Null
        } else {
            response.json()
        }
    }

    /// The same, whose answer must be this error; its message.
    #[track_caller]
    pub fn lambda_error(
        &self,
        (method, target): (&str, &str),
        body: &Value,
        (status, code): (u16, &str),
    ) -> String {
        let response = self.lambda(method, target, body);
        let found = (response.status, response.header("x-amzn-errortype"));
        assert_eq!(
            found,
            (status, Some(code)),
            "{method} {target}: {}",
            response.text()
        );
        let body = response.json();
        let message = if body["message"].is_string() {
            &body["message"]
        } else {
            &body["Message"]
        };
        message.as_str().unwrap().to_owned()
    }

    /// Creates a function from text.
    #[track_caller]
    pub fn create(&self, name: &str, wat: &str) -> Value {
        self.lambda_ok("POST", FUNCTIONS, &creation(name, wat), 201)
    }
}
