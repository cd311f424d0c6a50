//! The `#[handler]` attribute of `mayfly-sdk`.
//!
//! Reads the signature of a function, refuses what cannot be a handler with one error at the right
//! place, and adds the module's exports after the function. What the exports do is code of
//! `mayfly-sdk`; types are judged by the compiler, from the traits there.

use proc_macro::TokenStream;

mod expand;
mod handler;
mod options;

/// Makes a function the handler of this module: the one that answers events.
///
/// The function itself stays as it is. `#[handler(init = path)]` names a `fn()` that prepares the
/// module once, before the first event; see the guide of `mayfly-sdk` for what it may do.
///
/// A crate has one handler: a second one makes the build for wasm fail, since both would be exported
/// under one name.
#[proc_macro_attribute]
pub fn handler(options: TokenStream, item: TokenStream) -> TokenStream {
    expand::expand(options.into(), &item.into()).into()
}
