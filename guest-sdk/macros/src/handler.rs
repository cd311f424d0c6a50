//! What a function must look like to be a handler.
//!
//! Only the signature is read; the body is nobody's business here. Types are not judged either,
//! but for the one thing that decides what is passed: a reference is the context.

use proc_macro2::{Ident, TokenStream};
use syn::parse::{Parse, ParseStream};
use syn::{
    Attribute, Error, FnArg, GenericParam, Result, ReturnType, Safety, Signature, Token, Type,
    Visibility,
};

/// A function that can be a handler.
pub(crate) struct Handler {
    pub(crate) name: Ident,
    pub(crate) is_async: bool,
    pub(crate) event: Option<Type>,
    pub(crate) context: Option<Type>,
    pub(crate) output: ReturnType,
}

impl Parse for Handler {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        input.call(Attribute::parse_outer)?;
        input.parse::<Visibility>()?;
        if !starts_function(input) {
            return Err(input.error("`#[handler]` goes on a function"));
        }
        let signature: Signature = input.parse()?;
        // The body, whatever it is.
        input.parse::<TokenStream>()?;
        Self::check(signature)
    }
}

fn starts_function(input: ParseStream<'_>) -> bool {
    let ahead = input.fork();
    while !ahead.is_empty() && !ahead.peek(Token![fn]) {
        let qualifier = ahead.peek(Token![const])
            || ahead.peek(Token![async])
            || ahead.peek(Token![unsafe])
            || ahead.peek(Token![extern]);
        if !qualifier || ahead.parse::<proc_macro2::TokenTree>().is_err() {
            return false;
        }
        // The ABI of an `extern` function.
        if ahead.peek(syn::LitStr) && ahead.parse::<syn::LitStr>().is_err() {
            return false;
        }
    }
    ahead.peek(Token![fn])
}

impl Handler {
    fn check(signature: Signature) -> Result<Self> {
        refuse_qualifiers(&signature)?;
        refuse_generics(&signature)?;
        let (event, context) = parameters(&signature)?;
        Ok(Self {
            name: signature.ident,
            is_async: signature.asyncness.is_some(),
            event,
            context,
            output: signature.output,
        })
    }
}

fn refuse_qualifiers(signature: &Signature) -> Result<()> {
    if let Some(abi) = &signature.abi {
        return Err(Error::new_spanned(
            abi,
            "a handler is an ordinary function, without `extern`",
        ));
    }
    if let Safety::Unsafe(keyword) = &signature.safety {
        return Err(Error::new_spanned(
            keyword,
            "a handler must be safe to call with any event",
        ));
    }
    Ok(())
}

fn refuse_generics(signature: &Signature) -> Result<()> {
    let generic = signature
        .generics
        .params
        .iter()
        .find(|parameter| !matches!(parameter, GenericParam::Lifetime(_)));
    match generic {
        Some(parameter) => Err(Error::new_spanned(
            parameter,
            "a handler cannot be generic: its event has one type",
        )),
        None => Ok(()),
    }
}

/// Sorts the parameters: an event comes by value, the context by reference and last.
fn parameters(signature: &Signature) -> Result<(Option<Type>, Option<Type>)> {
    let mut types = Vec::new();
    for parameter in &signature.inputs {
        match parameter {
            FnArg::Receiver(receiver) => {
                let message = "a handler is a free function, not a method with `self`";
                return Err(Error::new_spanned(receiver, message));
            }
            FnArg::Typed(parameter) => types.push(&*parameter.ty),
        }
    }
    for ty in &types {
        refuse_type(ty)?;
    }
    match types[..] {
        [] => Ok((None, None)),
        [context @ Type::Reference(_)] => Ok((None, Some(context.clone()))),
        [event] => Ok((Some(event.clone()), None)),
        [Type::Reference(_), event] => Err(Error::new_spanned(
            event,
            "the event comes first and by value, then the context: `(event: E, context: &Context)`",
        )),
        [event, context @ Type::Reference(_)] => Ok((Some(event.clone()), Some(context.clone()))),
        [_, context] => Err(Error::new_spanned(
            context,
            "the second parameter is the context: `&Context`",
        )),
        [_, _, third, ..] => Err(Error::new_spanned(
            third,
            "a handler takes an event and a `&Context` at most, so no third parameter",
        )),
    }
}

/// Refuses parameter types that can be neither, whatever they turn out to name.
fn refuse_type(ty: &Type) -> Result<()> {
    match ty {
        Type::ImplTrait(_) => Err(Error::new_spanned(
            ty,
            "a handler cannot be generic: its event has one type",
        )),
        Type::Reference(reference) if reference.mutability.is_some() => Err(Error::new_spanned(
            ty,
            "only the context is borrowed, and it is `&Context`",
        )),
        Type::Reference(reference) if !may_be_context(&reference.elem) => Err(Error::new_spanned(
            ty,
            "an event is taken by value, such as `String` or `Vec<u8>`; only `&Context` is borrowed",
        )),
        _ => Ok(()),
    }
}

/// Whether a name could be one for `Context`. It may be imported under another, so this only
/// rules out what no import can change.
fn may_be_context(ty: &Type) -> bool {
    matches!(ty, Type::Path(path) if !path.path.is_ident("str"))
}
