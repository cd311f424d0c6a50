//! Users of a server, their keys and their policies, as a client of AWS would make them.

use serde_json::{Value, json};

use crate::TestHost;
use crate::http::{Request, Response};
use crate::lambda::encode;
use crate::sign::Signer;

/// How IAM and STS are asked.
pub const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// What stands in the first element of this name.
#[track_caller]
#[must_use]
pub fn element(xml: &str, name: &str) -> String {
    match try_element(xml, name) {
        Some(text) => text,
        None => panic!("no <{name}> in {xml}"),
    }
}

/// The same, if there is one.
#[must_use]
pub fn try_element(xml: &str, name: &str) -> Option<String> {
    let (_, after) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = after.split_once(&format!("</{name}>"))?;
    Some(text.to_owned())
}

/// The code of an error, in whichever protocol.
#[must_use]
pub fn error_code(response: &Response) -> Option<String> {
    let header = response.header("x-amzn-errortype").map(str::to_owned);
    header.or_else(|| try_element(&response.text(), "Code"))
}

/// A policy of these statements.
#[must_use]
pub fn document(statements: &Value) -> String {
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

/// A statement that allows or denies one action on one resource.
#[must_use]
pub fn statement(effect: &str, action: &str, resource: &str) -> Value {
    json!({"Effect": effect, "Action": action, "Resource": resource})
}

impl TestHost {
    /// Sends a request to the control API that `signer` signs.
    #[track_caller]
    #[must_use]
    pub fn send_as(&self, signer: &Signer, request: &Request) -> Response {
        self.control_send(&signer.sign(request, self.control()))
    }

    /// Asks IAM or STS as `signer`, with exactly this form.
    #[track_caller]
    #[must_use]
    pub fn ask_as(&self, signer: &Signer, service: &str, form: &str) -> Response {
        let request = Request::post("/", form).header("content-type", FORM);
        self.send_as(&signer.clone().for_service(service), &request)
    }

    /// Asks IAM as `signer`.
    #[track_caller]
    #[must_use]
    pub fn iam_as(&self, signer: &Signer, form: &str) -> Response {
        self.ask_as(signer, "iam", &format!("{form}&Version=2010-05-08"))
    }

    /// Asks IAM as the owner, who is not refused; the answer.
    #[track_caller]
    pub fn iam(&self, form: &str) -> String {
        let response = self.iam_as(&self.root_signer(), form);
        assert_eq!(response.status, 200, "{form}: {}", response.text());
        assert_eq!(response.header("content-type"), Some("text/xml"));
        response.text()
    }

    /// A new user with a key, who may do nothing.
    #[track_caller]
    #[must_use]
    pub fn user(&self, name: &str) -> Signer {
        self.iam(&format!("Action=CreateUser&UserName={name}"));
        self.new_key(name)
    }

    /// A new key of a user.
    #[track_caller]
    #[must_use]
    pub fn new_key(&self, user: &str) -> Signer {
        let key = self.iam(&format!("Action=CreateAccessKey&UserName={user}"));
        Signer {
            access_key_id: element(&key, "AccessKeyId"),
            secret: element(&key, "SecretAccessKey"),
            ..self.root_signer()
        }
    }

    /// Gives a user the one policy `p`, instead of what it said before.
    #[track_caller]
    pub fn put_policy(&self, user: &str, statements: &Value) {
        let form = policy_form(user, "p", &document(statements));
        self.iam(&form);
    }

    /// Invokes a function as `signer`.
    #[track_caller]
    #[must_use]
    pub fn invoke_as(&self, signer: &Signer, function: &str) -> Response {
        self.send_as(signer, &crate::host::invocation(function, "{}"))
    }
}

/// What puts a policy of a user.
#[must_use]
pub fn policy_form(user: &str, name: &str, document: &str) -> String {
    let document = encode(document);
    format!("Action=PutUserPolicy&UserName={user}&PolicyName={name}&PolicyDocument={document}")
}
