//! A word about a function that somebody filters by and that there is none of.
//!
//! What a function left behind stays when it goes, so this is no error.

use domain::FunctionName;
use http::StatusCode;

use super::output::note;
use crate::client::{Client, ClientError, FUNCTIONS};

/// Says on stderr that there is no such function, if the server says so.
pub(super) fn note_if_unknown(client: &Client, function: Option<&FunctionName>) {
    let Some(function) = function else { return };
    let asked = client.get_text(&format!("{FUNCTIONS}/{function}/configuration"));
    // Whoever may not ask is told nothing.
    if let Err(ClientError::Refused { status, .. }) = asked
        && status == StatusCode::NOT_FOUND
    {
        note(&format!("there is no function `{function}`"));
    }
}
