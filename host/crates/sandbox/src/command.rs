//! The `command` kind: a WASI program that reads the event from stdin and answers on stdout.
//!
//! Whether an answer that is not JSON is acceptable depends on the trigger, so it is not decided
//! here: stdout is passed on as it is.

use bytes::Bytes;
use domain::{FunctionError, Outcome};
use serde::Deserialize;
use wasmtime::{Extern, Instance, ModuleExport, Store};

use crate::execute::State;
use crate::failure::{self, Phase};
use crate::run::SandboxError;
use crate::wasi::Exit;

/// Calls `_start`.
pub(crate) async fn call(
    store: &mut Store<State>,
    instance: Instance,
    start: &ModuleExport,
) -> Result<Outcome, SandboxError> {
    let Some(Extern::Func(start)) = instance.get_module_export(&mut *store, start) else {
        return Err(SandboxError::NotLoaded);
    };
    let called = match start.typed::<(), ()>(&*store) {
        Ok(start) => start.call_async(&mut *store, ()).await,
        Err(_) => return Err(SandboxError::NotLoaded),
    };
    let (stdout, too_large) = take_answer(store.data());
    match called {
        Ok(()) => Ok(answer(stdout, too_large)),
        Err(error) => {
            if failure::is_interrupt(&error) {
                return failure::outcome(store.data(), &error, Phase::Call);
            }
            if too_large {
                return Ok(Outcome::Failed(FunctionError::ResponseTooLarge));
            }
            match error.downcast_ref::<Exit>() {
                Some(Exit(0)) => Ok(answer(stdout, too_large)),
                Some(Exit(_)) => match returned_error(&stdout) {
                    Some(returned) => Ok(Outcome::Failed(returned)),
                    None => failure::outcome(store.data(), &error, Phase::Call),
                },
                None => failure::outcome(store.data(), &error, Phase::Call),
            }
        }
    }
}

fn take_answer(state: &State) -> (Bytes, bool) {
    state
        .answer
        .as_ref()
        .map_or_else(Default::default, |answer| {
            let mut answer = answer.lock();
            (
                Bytes::from(std::mem::take(&mut answer.bytes)),
                answer.too_large,
            )
        })
}

fn answer(stdout: Bytes, too_large: bool) -> Outcome {
    if too_large {
        Outcome::Failed(FunctionError::ResponseTooLarge)
    } else {
        Outcome::Payload(stdout)
    }
}

/// The error that a failed program described on stdout, if it did.
fn returned_error(stdout: &Bytes) -> Option<FunctionError> {
    let text = std::str::from_utf8(stdout).ok()?;
    Some(ErrorObject::parse(text)?.returned(stdout.clone()))
}

/// The members of an error object that mean something here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErrorObject {
    /// Anything but a text counts as none.
    #[serde(default, deserialize_with = "text_or_none")]
    error_type: Option<String>,
    error_message: String,
}

impl ErrorObject {
    /// Reads `text` if it is a JSON object with an `errorMessage` that is a text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // A sequence would be accepted for a struct, too.
        if !text.trim_start().starts_with('{') {
            return None;
        }
        serde_json::from_str(text).ok()
    }

    /// What it means; `payload` is the whole object.
    pub(crate) fn returned(self, payload: Bytes) -> FunctionError {
        FunctionError::returned(self.error_type.as_deref(), self.error_message, payload)
    }
}

fn text_or_none<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Text {
        Text(String),
        Other(serde::de::IgnoredAny),
    }
    Ok(match Text::deserialize(deserializer)? {
        Text::Text(text) => Some(text),
        Text::Other(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(stdout: &str, expected: Option<(&str, &str)>) {
        let found = returned_error(&Bytes::copy_from_slice(stdout.as_bytes()));
        let found = found.map(|error| match error {
            FunctionError::Returned {
                error_type,
                message,
                ..
            } => (error_type, message),
            other => panic!("{other:?}"),
        });
        let expected = expected.map(|(kind, message)| (kind.to_owned(), message.to_owned()));
        assert_eq!(found, expected, "{stdout}");
    }

    #[test]
    fn only_an_object_with_an_error_message_is_a_returned_error() {
        check(
            r#"{"errorMessage":"no"}"#,
            Some(("Runtime.ExitError", "no")),
        );
        check(
            r#" {"errorType":"E","errorMessage":"no","x":[1]} "#,
            Some(("E", "no")),
        );
        check(
            r#"{"errorType":"","errorMessage":"no"}"#,
            Some(("Runtime.ExitError", "no")),
        );
        check(
            r#"{"errorType":"E\tStatus: ok\nREPORT","errorMessage":"no"}"#,
            Some(("E Status: ok REPORT", "no")),
        );
        check(
            r#"{"errorType":5,"errorMessage":"no"}"#,
            Some(("Runtime.ExitError", "no")),
        );
        check(r#"{"errorMessage":5}"#, None);
        check(r#"{"errorType":"E"}"#, None);
        check(r#"["E","no"]"#, None);
        check("oops", None);
        check("", None);
    }

    #[test]
    fn deep_nesting_is_no_error_object_and_no_stack_overflow() {
        let deep = "[".repeat(1_000_000);
        check(&format!(r#"{{"errorType":{deep}"#), None);
        check(&format!(r#"{{"x":{deep}"#), None);
    }
}
