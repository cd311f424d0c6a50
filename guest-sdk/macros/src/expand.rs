//! The code that `#[handler]` adds: the conversions around one call, and the exports.
//!
//! The conversions are there on every target, so that a wrong type is found by `cargo check`; the
//! exports on wasm only. Everything sits in an unnamed constant and adds no name to the crate.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Error, Path, ReturnType};

use crate::handler::Handler;
use crate::options::Options;

/// The item as it was, followed by what makes it a handler, or by one error.
pub(crate) fn expand(options: TokenStream, item: &TokenStream) -> TokenStream {
    let added = syn::parse2::<Options>(options)
        .and_then(|options| Ok((options, syn::parse2::<Handler>(item.clone())?)))
        .map(|(options, handler)| glue(&options, &handler))
        .unwrap_or_else(Error::into_compile_error);
    quote! { #item #added }
}

fn glue(options: &Options, handler: &Handler) -> TokenStream {
    let call = call(handler);
    let init = init(options.init.as_ref());
    let exports = exports();
    quote! {
        const _: () = {
            #call
            const __MAYFLY_CALL: ::mayfly_sdk::__private::Call = __mayfly_call;
            const __MAYFLY_INIT: ::core::option::Option<fn()> = #init;
            // Keeps both in use where there are no exports.
            const _: (::mayfly_sdk::__private::Call, ::core::option::Option<fn()>) =
                (__MAYFLY_CALL, __MAYFLY_INIT);
            #exports
        };
    }
}

/// A function of type `Call`: event and context in, the handler, the answer out.
fn call(handler: &Handler) -> TokenStream {
    let name = &handler.name;
    let event = handler.event.as_ref().map(|ty| {
        // The type is inferred from the handler's signature. Naming it here would have to repeat
        // the handler's lifetimes; the span alone puts an error where the type is written.
        let read = quote_spanned! { at(ty.span()) => __mayfly_input.event()? };
        quote! { let __mayfly_event = #read; }
    });
    let context = handler.context.as_ref().map(|ty| {
        let borrow = quote_spanned! { at(ty.span()) => &__mayfly_context };
        (
            quote! { let __mayfly_context = __mayfly_input.context()?; },
            borrow,
        )
    });
    let (make_context, pass_context) = context.unzip();
    let pass_event = handler.event.as_ref().map(|_| quote! { __mayfly_event, });

    let mut returned = quote! { #name(#pass_event #pass_context) };
    if handler.is_async {
        returned = quote! { ::mayfly_sdk::__private::block_on(#returned)? };
    }
    let span = match &handler.output {
        ReturnType::Default => name.span(),
        ReturnType::Type(_, ty) => ty.span(),
    };
    let write = quote_spanned! { at(span) =>
        ::mayfly_sdk::__private::Returned(#returned).write(__mayfly_output)
    };
    quote! {
        fn __mayfly_call(
            __mayfly_input: ::mayfly_sdk::__private::Input<'_>,
            __mayfly_output: &mut ::std::vec::Vec<u8>,
        ) -> ::core::result::Result<(), ::mayfly_sdk::__private::Error> {
            #[allow(unused_imports, reason = "a `Result` does not need it")]
            use ::mayfly_sdk::__private::PlainAnswer as _;
            #event
            #make_context
            #write
        }
    }
}

/// Code of the macro's, so that no lint of the crate looks at it, that errors show at `place`.
fn at(place: Span) -> Span {
    Span::call_site().located_at(place)
}

fn init(path: Option<&Path>) -> TokenStream {
    match path {
        Some(path) => quote_spanned! { at(path.span()) => ::core::option::Option::Some(#path) },
        None => quote! { ::core::option::Option::None },
    }
}

/// The exports of ABI version 1, as `mayfly_sdk`'s `abi` module documents them.
fn exports() -> TokenStream {
    quote! {
        #[cfg(target_family = "wasm")]
        const _: () = {
            #[unsafe(export_name = "mayfly_v1_input")]
            static __MAYFLY_INPUT: ::mayfly_sdk::__private::InputBuffer =
                ::mayfly_sdk::__private::InputBuffer::new();

            #[unsafe(export_name = "_initialize")]
            extern "C" fn __mayfly_initialize() {
                ::mayfly_sdk::__private::initialize()
            }

            #[unsafe(export_name = "mayfly_v1_init")]
            extern "C" fn __mayfly_init() {
                ::mayfly_sdk::__private::init(__MAYFLY_INIT)
            }

            #[unsafe(export_name = "mayfly_v1_alloc")]
            extern "C" fn __mayfly_alloc(length: usize) -> *mut u8 {
                ::mayfly_sdk::__private::alloc(length)
            }

            #[unsafe(export_name = "mayfly_v1_handle")]
            extern "C" fn __mayfly_handle(address: *const u8, length: usize) -> u64 {
                // SAFETY: the host passes the address and length of the input that it wrote.
                unsafe {
                    ::mayfly_sdk::__private::handle(address, length, __MAYFLY_INIT, __MAYFLY_CALL)
                }
            }
        };
    }
}
