//! Lists page by page: at most as many as asked for and fifty, and a marker for the next page.
//!
//! A marker holds the place of the last item, is authenticated, and is good for one operation on one
//! function only. What was added or removed between two pages shifts nothing.

use super::super::error::ApiError;
use super::call::Call;
use super::checks::Checks;

/// Most items of a page.
const PAGE_MAX: usize = 50;

/// One page.
#[derive(Debug)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    /// `None` on the last.
    pub(super) next_marker: Option<String>,
}

/// Which page is asked for.
#[derive(Debug)]
pub(super) struct Asked {
    /// How many items.
    pub(super) wanted: usize,
    /// The place of the item that comes before; `None` for the first page.
    pub(super) after: Option<String>,
    purpose: String,
}

/// The page of `items` that `call` asks for; see [`asked`] and [`Asked::page`].
///
/// # Errors
///
/// Those of [`asked`].
pub(super) fn page<T>(
    call: &Call<'_>,
    max_items: i64,
    items: Vec<T>,
    place: impl Fn(&T) -> String,
) -> Result<Page<T>, ApiError> {
    Ok(asked(call, max_items)?.page(call, items, place))
}

/// What `call` asks for with `Marker` and `MaxItems`, which may be as high as `max_items`.
///
/// # Errors
///
/// 400 for a marker that is not one of ours for this list, or a number that is none.
pub(super) fn asked(call: &Call<'_>, max_items: i64) -> Result<Asked, ApiError> {
    let wanted = match call.query.text("MaxItems") {
        None => PAGE_MAX,
        Some(text) => {
            let number: i64 = text.parse().map_err(|_| {
                ApiError::validation(format!(
                    "MaxItems is `{}`; it must be a number",
                    text.escape_debug()
                ))
            })?;
            let mut checks = Checks::default();
            checks.range("maxItems", Some(number), &(1..=max_items));
            checks.done()?;
            usize::try_from(number).map_or(PAGE_MAX, |number| number.min(PAGE_MAX))
        }
    };
    let purpose = purpose(call);
    let marker = call.query.text("Marker");
    let after = marker
        .filter(|marker| !marker.is_empty())
        .map(|marker| {
            let last = call.request.app.tokens.open(&purpose, marker);
            last.ok_or_else(|| {
                ApiError::validation("Marker is not one that this list was given; begin without")
            })
        })
        .transpose()?;
    Ok(Asked {
        wanted,
        after,
        purpose,
    })
}

impl Asked {
    /// The page of `items`, which are in the order of their unique `place`s. They may begin before the
    /// page, and need not go further than one item beyond it.
    pub(super) fn page<T>(
        &self,
        call: &Call<'_>,
        items: Vec<T>,
        place: impl Fn(&T) -> String,
    ) -> Page<T> {
        let after = self.after.as_ref();
        let start = after.map_or(0, |last| items.partition_point(|item| place(item) <= *last));
        let has_more = items.len() > start + self.wanted;
        let items: Vec<T> = items.into_iter().skip(start).take(self.wanted).collect();
        let last = items.last().filter(|_| has_more);
        let tokens = &call.request.app.tokens;
        Page {
            next_marker: last.map(|last| tokens.seal(&self.purpose, &place(last))),
            items,
        }
    }
}

/// What a marker is good for: the operation, on the same resource, with the same filters.
fn purpose(call: &Call<'_>) -> String {
    let filter = |name| call.query.text(name).unwrap_or("");
    format!(
        "page\n{}\n{}\n{}",
        call.operation.spec().name,
        call.resource,
        filter("FunctionVersion"),
    )
}
