//! One invocation between bytes and bytes: what `#[handler]` plugs into.
//!
//! [`answer`] turns the host's input into the answer, whatever the handler does. Knows nothing of
//! addresses and exports (that is `abi`), so all of it runs in native tests.

use crate::error::Error;
use crate::event::Input;

/// First byte of an answer that is a payload.
const PAYLOAD: u8 = 0;
/// First byte of an answer that is an error object.
const ERROR: u8 = 1;
/// Room that an answer has from the start, so that a small one is written without moving.
#[cfg(target_family = "wasm")]
pub(crate) const ANSWER_BYTES_USUAL: usize = 1024;

/// A handler behind its conversions. `#[handler]` writes one for each function it stands on.
pub type Call = fn(Input<'_>, &mut Vec<u8>) -> Result<(), Error>;

/// Runs a handler on one input and leaves its answer, and nothing else, in `output`.
pub fn answer(bytes: &[u8], call: Call, output: &mut Vec<u8>) {
    output.clear();
    output.push(PAYLOAD);
    if let Err(error) = Input::split(bytes).and_then(|input| call(input, output)) {
        // Part of a payload may be there already.
        output.clear();
        output.push(ERROR);
        error.write_json(output);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::input_bytes;

    #[track_caller]
    fn check(call: Call, event: &str, first: u8, rest: &str) {
        let mut output = b"left over from before".to_vec();
        answer(&input_bytes("{}", event), call, &mut output);
        assert_eq!(output[0], first);
        assert_eq!(str::from_utf8(&output[1..]).unwrap(), rest);
    }

    #[test]
    fn a_payload_follows_a_zero() {
        let call: Call = |input, output| {
            let number: u8 = input.event()?;
            output.extend_from_slice(number.to_string().as_bytes());
            Ok(())
        };
        check(call, "7", PAYLOAD, "7");
    }

    #[test]
    fn an_error_follows_a_one_and_replaces_what_was_written() {
        let call: Call = |_, output| {
            output.extend_from_slice(b"{\"half\":");
            Err(Error::new("Late", "no time"))
        };
        check(
            call,
            "null",
            ERROR,
            r#"{"errorType":"Late","errorMessage":"no time"}"#,
        );
    }

    #[test]
    fn input_that_makes_no_sense_is_answered_too() {
        let mut output = Vec::new();
        answer(b"\xff", |_, _| Ok(()), &mut output);
        assert_eq!(output[0], ERROR);
    }
}
