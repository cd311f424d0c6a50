//! What may stand in the parentheses of `#[handler(..)]`.
//!
//! Knows the names of the options and nothing of the function below them.

use syn::parse::{Parse, ParseStream};
use syn::{Error, Path, Result, Token};

/// The options of one attribute, checked.
#[derive(Default)]
pub(crate) struct Options {
    /// The function that prepares the module.
    pub(crate) init: Option<Path>,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut options = Self::default();
        while !input.is_empty() {
            let name: Path = input.parse()?;
            if !name.is_ident("init") {
                return Err(unknown(&name));
            }
            if options.init.is_some() {
                return Err(Error::new_spanned(name, "`init` is given twice"));
            }
            if !input.peek(Token![=]) {
                return Err(Error::new_spanned(
                    name,
                    "`init` names a function: `init = prepare`",
                ));
            }
            input.parse::<Token![=]>()?;
            options.init = Some(input.call(Path::parse_mod_style)?);
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }
}

/// Refuses an option, with a guess where the name looks like one that exists.
fn unknown(name: &Path) -> Error {
    let written = name
        .get_ident()
        .map(ToString::to_string)
        .unwrap_or_default();
    let message = if looks_like_init(&written) {
        format!("unknown option `{written}`; did you mean `init`?")
    } else {
        "unknown option; the only one is `init`, as in `#[handler(init = prepare)]`".to_owned()
    };
    Error::new_spanned(name, message)
}

/// There is one option, so no table of names is needed to find the nearest.
fn looks_like_init(written: &str) -> bool {
    let written = written.to_ascii_lowercase();
    written.starts_with("in") || written.contains("init")
}
