//! Where the record of an event's end may go: as people write it, and what the operator allows.
//!
//! Knows nothing of which functions there are and of how a record gets there.

mod origin;
#[cfg(test)]
mod tests;

use domain::FunctionRef;
use domain::event::Target;
use domain::function_ref::FunctionRefError;

use crate::manifest::document::quoted;

use self::origin::address;
pub(crate) use self::origin::{Origin, shown_address};

/// Longest destination, in characters. The rule of Lambda's `DestinationArn`.
pub(crate) const DESTINATION_CHARS_MAX: usize = 350;

/// Longest name of a file.
const FILE_CHARS_MAX: usize = 64;

/// What there is to choose from.
const KINDS: &str = "a destination is a function (`NAME`, `NAME:QUALIFIER` or its ARN), `https://HOST/PATH` or `http://HOST/PATH`, or `file:NAME`";

/// Why a text is no destination, or none for this function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DestinationError {
    /// A resource of a service that is not here.
    #[error("`{text}` is a resource of `{service}`, which Mayfly does not have; {KINDS}")]
    Service { text: String, service: String },
    /// No function's name.
    #[error("{0}; {KINDS}")]
    Function(#[from] FunctionRefError),
    /// No address.
    #[error("`{text}` {rule}; {KINDS}")]
    Url { text: String, rule: &'static str },
    /// No file's name.
    #[error(
        "`{text}` must be `file:` and 1 to {FILE_CHARS_MAX} of letters, digits, `.`, `_` and `-`, not a dot first; {KINDS}"
    )]
    File { text: String },
    /// Longer than [`DESTINATION_CHARS_MAX`].
    #[error("`{text}` is too long; a destination has at most {DESTINATION_CHARS_MAX} characters")]
    TooLong { text: String },
    /// It would hear of its own end.
    #[error(
        "function `{name}` can't be its own destination: each record would give rise to the next one"
    )]
    Itself { name: String },
    /// The operator does not allow it.
    #[error(
        "`{text}` is not among the destinations that the operator of this server allows; they are listed in mayfly.toml, such as `[destinations] allow = [\"https://hooks.example.com\", \"file:failures\"]`"
    )]
    NotAllowed { text: String },
}

/// The addresses and files that the operator allows. Functions need none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AllowList(Vec<Allowed>);

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// All that begins with this path there.
    Url { origin: Origin, path: String },
    /// A file, by its name.
    File(String),
}

/// Reads a destination.
///
/// # Errors
///
/// [`DestinationError`] says what there is to choose from.
pub(crate) fn parse(text: &str) -> Result<Target, DestinationError> {
    if text.chars().count() > DESTINATION_CHARS_MAX {
        let text = quoted(&shown_address(text));
        return Err(DestinationError::TooLong { text });
    }
    if let Some(name) = text.strip_prefix("file:") {
        return file(text, name).map(|name| Target::File { name });
    }
    if text.contains("://") {
        let _address = address(text)?;
        let url = text.to_owned();
        return Ok(Target::Http { url });
    }
    if let Some(service) = other_service(text) {
        return Err(DestinationError::Service {
            text: quoted(text),
            service: quoted(service),
        });
    }
    let FunctionRef {
        name, qualifier, ..
    } = FunctionRef::parse(text)?;
    Ok(Target::Function { name, qualifier })
}

/// The service of an ARN that is not of Lambda.
fn other_service(text: &str) -> Option<&str> {
    let mut parts = text.strip_prefix("arn:")?.split(':');
    let _partition = parts.next()?;
    parts.next().filter(|service| *service != "lambda")
}

fn file(text: &str, name: &str) -> Result<String, DestinationError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let good = (1..=FILE_CHARS_MAX).contains(&name.len())
        && name.bytes().all(allowed)
        && !name.starts_with('.');
    if good {
        return Ok(name.to_owned());
    }
    let text = quoted(text);
    Err(DestinationError::File { text })
}

/// A target as people see it: of an address, see [`shown_address`].
pub(crate) fn shown(target: &Target) -> String {
    shown_address(&target.queue())
}

impl Allowed {
    /// Reads an entry of the operator's list.
    ///
    /// # Errors
    ///
    /// [`DestinationError`].
    pub(crate) fn parse(text: &str) -> Result<Self, DestinationError> {
        if let Some(name) = text.strip_prefix("file:") {
            return file(text, name).map(Self::File);
        }
        let (origin, uri) = address(text)?;
        if uri.query().is_some() {
            let text = shown_address(text);
            let rule = "must end with the path: what follows a `?` is not looked at";
            return Err(DestinationError::Url { text, rule });
        }
        let path = uri.path().to_owned();
        Ok(Self::Url { origin, path })
    }

    fn allows(&self, target: &Target) -> bool {
        match (self, target) {
            (_, Target::Function { .. }) => true,
            (Self::File(allowed), Target::File { name }) => allowed == name,
            (Self::Url { origin, path }, Target::Http { url }) => address(url)
                .is_ok_and(|(wanted, uri)| wanted == *origin && is_below(uri.path(), path)),
            (Self::File(_), Target::Http { .. }) | (Self::Url { .. }, Target::File { .. }) => false,
        }
    }
}

/// Whether `path` is `folder` or in it.
fn is_below(path: &str, folder: &str) -> bool {
    match path.strip_prefix(folder) {
        Some(rest) => rest.is_empty() || folder.ends_with('/') || rest.starts_with('/'),
        None => false,
    }
}

impl AllowList {
    pub(crate) fn new(allowed: Vec<Allowed>) -> Self {
        Self(allowed)
    }

    /// Whether records may be sent there.
    ///
    /// # Errors
    ///
    /// [`DestinationError::NotAllowed`].
    pub(crate) fn check(&self, target: &Target) -> Result<(), DestinationError> {
        if target.function().is_some() || self.0.iter().any(|allowed| allowed.allows(target)) {
            return Ok(());
        }
        let text = shown(target);
        Err(DestinationError::NotAllowed { text })
    }

    /// Whether records of the events of `function` may be sent there.
    ///
    /// # Errors
    ///
    /// [`DestinationError::Itself`] and [`DestinationError::NotAllowed`].
    pub(crate) fn check_for(
        &self,
        function: &domain::FunctionName,
        target: &Target,
    ) -> Result<(), DestinationError> {
        if target.function() == Some(function) {
            let name = function.to_string();
            return Err(DestinationError::Itself { name });
        }
        self.check(target)
    }
}
