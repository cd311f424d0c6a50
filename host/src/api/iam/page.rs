//! Lists in pages. A marker holds the last name that was shown, is authenticated, and is good for the
//! same list only.

use super::Call;
use crate::api::error::ApiError;
use crate::api::form::validation;
use crate::api::xml::Node;

const ITEMS_MAX: u32 = 1_000;
const ITEMS_DEFAULT: u32 = 100;

/// The page of `items`, sorted by their names, that `Marker` and `MaxItems` ask for.
///
/// # Errors
///
/// 400 when `MaxItems` is out of range, or `Marker` is not one of ours for this list.
pub(super) fn page(
    list: &'static str,
    items: impl Iterator<Item = (String, Node)>,
    call: &Call<'_>,
) -> Result<Node, ApiError> {
    let max = call.form.number("MaxItems", 1..=ITEMS_MAX)?;
    let max = usize::try_from(max.unwrap_or(ITEMS_DEFAULT)).unwrap_or(usize::MAX);
    let purpose = format!("iam {}", call.form.others(&["Marker", "MaxItems"]));
    let open = |marker| call.tokens.open(&purpose, marker);
    let after = match call.form.text("Marker") {
        None => None,
        Some(marker) => Some(open(marker).ok_or_else(|| {
            let message = "Marker is not one that this list was given; begin without";
            validation(message.to_owned())
        })?),
    };
    let mut rest = items
        .filter(|(name, _)| after.as_ref().is_none_or(|after| name > after))
        .peekable();
    let mut shown = Vec::new();
    let mut last = String::new();
    while shown.len() < max
        && let Some((name, node)) = rest.next()
    {
        shown.push(node);
        last = name;
    }
    let is_truncated = rest.peek().is_some();
    let mut fields = vec![
        (list, Node::List(shown)),
        ("IsTruncated", Node::text(is_truncated.to_string())),
    ];
    if is_truncated {
        fields.push(("Marker", Node::Text(call.tokens.seal(&purpose, &last))));
    }
    Ok(Node::Fields(fields))
}

/// A list of what there is never any of here.
pub(super) fn empty(list: &'static str) -> Node {
    Node::Fields(vec![
        (list, Node::List(Vec::new())),
        ("IsTruncated", Node::text("false")),
    ])
}
