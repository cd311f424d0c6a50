//! How requests name a function: every spelling, and the one form they all become.
//!
//! | spelling | means |
//! |---|---|
//! | `NAME`, `NAME:QUALIFIER` | the function, or one of its versions or aliases |
//! | `function:NAME[:QUALIFIER]` | the same |
//! | `ACCOUNT:function:NAME[:QUALIFIER]` | the same |
//! | `REGION:ACCOUNT:function:NAME[:QUALIFIER]` | the same, in a region |
//! | `arn:aws:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]` | the same, in a region |
//!
//! Two spellings of one thing are equal once they are read, so a decision about the value can't depend
//! on how it was written. A text is taken as it is: whoever reads it from a URL decodes it, once.
//!
//! Knows nothing of which functions there are. A region is reported, not judged: any is accepted.

use crate::names::{ACCOUNT_ID, FunctionName, NameError};
use crate::qualifier::{Qualifier, QualifierError, shown};

/// Longest region, in characters: room for every region of AWS and for names of one's own.
pub const REGION_CHARS_MAX: usize = 32;

/// A function, or one of its versions or aliases, as a request names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FunctionRef {
    /// Which function.
    pub name: FunctionName,
    /// Which version or alias, if it is named.
    pub qualifier: Option<Qualifier>,
    /// The region of an ARN. It is no part of what is named.
    pub region: Option<String>,
}

/// Why a text does not name a function. Texts are shown escaped, and cut when they are long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FunctionRefError {
    /// It has none of the forms.
    #[error("`{text}` is neither a function's name nor its ARN, {rule}")]
    Malformed {
        /// The text.
        text: String,
        /// Which rule it breaks.
        rule: &'static str,
    },
    /// The name in it.
    #[error(transparent)]
    Name(#[from] NameError),
    /// What follows the name.
    #[error(transparent)]
    Qualifier(#[from] QualifierError),
    /// An ARN of another account.
    #[error("account `{account}` is another one; this server has the account {ACCOUNT_ID}")]
    OtherAccount {
        /// Twelve digits.
        account: String,
    },
}

impl FunctionRef {
    /// Reads any spelling.
    ///
    /// # Errors
    ///
    /// [`FunctionRefError`].
    pub fn parse(text: &str) -> Result<Self, FunctionRefError> {
        let malformed = |rule| FunctionRefError::Malformed {
            text: shown(text),
            rule,
        };
        // One more than the longest form has.
        let parts: Vec<&str> = text.splitn(9, ':').collect();
        let (region, account, rest) = match parts.as_slice() {
            [
                "arn",
                partition,
                service,
                region,
                account,
                "function",
                rest @ ..,
            ] => {
                if *partition != "aws" {
                    return Err(malformed("whose partition is `aws`"));
                }
                if *service != "lambda" {
                    return Err(malformed("whose service is `lambda`"));
                }
                (Some(*region), Some(*account), rest)
            }
            ["arn", _, ..] => {
                return Err(malformed(
                    "which is `arn:aws:lambda:REGION:ACCOUNT:function:NAME`",
                ));
            }
            ["function", rest @ ..] if !rest.is_empty() => (None, None, rest),
            [account, "function", rest @ ..] if !rest.is_empty() && is_account(account) => {
                (None, Some(*account), rest)
            }
            [region, account, "function", rest @ ..] if !rest.is_empty() => {
                (Some(*region), Some(*account), rest)
            }
            rest => (None, None, rest),
        };
        if let Some(region) = region
            && !is_region(region)
        {
            return Err(malformed(
                "whose region has lower-case letters, digits and `-`",
            ));
        }
        if let Some(account) = account
            && account != ACCOUNT_ID
        {
            if !is_account(account) {
                return Err(malformed("whose account has twelve digits"));
            }
            let account = account.to_owned();
            return Err(FunctionRefError::OtherAccount { account });
        }
        let (name, qualifier) = match rest {
            [name] => (name, None),
            [name, qualifier] => (name, Some(Qualifier::parse(qualifier)?)),
            _ => return Err(malformed("with at most one version or alias")),
        };
        Ok(Self {
            name: FunctionName::parse(name)?,
            qualifier,
            region: region.map(str::to_owned),
        })
    }

    /// The Amazon resource name in `region`, with the version or alias if one is named.
    #[must_use]
    pub fn arn(&self, region: &str) -> String {
        let mut arn = self.name.arn(region);
        if let Some(qualifier) = &self.qualifier {
            arn.push(':');
            arn.push_str(&qualifier.to_string());
        }
        arn
    }
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_region(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=REGION_CHARS_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests;
