//! What is stored of a function, and how it is read back from a row.

use domain::{AliasName, ArtifactId, FunctionName};
use rusqlite::Row;

/// How a function came here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// As a file in the drop folder.
    Drop,
    /// As a file in the drop folder that is gone from there.
    Absent,
    /// Through the control API.
    Api,
}

impl Origin {
    /// The word used in records and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Absent => "absent",
            Self::Api => "api",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "drop" => Some(Self::Drop),
            "absent" => Some(Self::Absent),
            "api" => Some(Self::Api),
            _ => None,
        }
    }
}

/// A function as it is stored, its numbered versions and its aliases apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionRecord {
    /// Its name.
    pub name: FunctionName,
    /// How it came here.
    pub origin: Origin,
    /// When it came here, in Unix microseconds.
    pub created_at_us: i64,
    /// The number of the version that is published next, from 1.
    pub next_version: u64,
    /// JSON that belongs to the host.
    pub settings: String,
    /// `$LATEST`.
    pub latest: VersionRecord,
}

/// A version as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRecord {
    /// The module's bytes.
    pub artifact: ArtifactId,
    /// SHA-256 of what was uploaded, which may be an archive with the module.
    pub code_sha256: [u8; 32],
    /// Size of what was uploaded, in bytes.
    pub code_bytes: u64,
    /// JSON that belongs to the host.
    pub configuration: String,
    /// Changes with every change.
    pub revision: [u8; 16],
    /// When it was last changed, in Unix microseconds.
    pub updated_at_us: i64,
}

/// A numbered version as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberedRecord {
    /// Whose it is.
    pub function: FunctionName,
    /// From 1.
    pub number: u64,
    /// The revision of `$LATEST` that it was made from.
    pub published_from: [u8; 16],
    /// What it is.
    pub version: VersionRecord,
}

/// An alias as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AliasRecord {
    /// Whose it is.
    pub function: FunctionName,
    /// Its name.
    pub name: AliasName,
    /// JSON that belongs to the host.
    pub alias: String,
}

/// A value of a row, or what is wrong with it.
type Read<T> = rusqlite::Result<Result<T, String>>;

/// `name, origin, created_at_us, next_version, settings, source`, then a version; the source comes
/// apart.
pub(super) fn function(row: &Row<'_>) -> Read<(FunctionRecord, Option<String>)> {
    let (name, origin): (String, String) = (row.get(0)?, row.get(1)?);
    let next_version = number(row, 3)?;
    let (created_at_us, settings, source) = (row.get(2)?, row.get(4)?, row.get(5)?);
    let latest = version(row, 6)?;
    Ok((|| {
        let record = FunctionRecord {
            name: function_name(&name)?,
            origin: Origin::parse(&origin)
                .ok_or_else(|| format!("function `{name}` has the unknown origin `{origin}`"))?,
            created_at_us,
            next_version,
            settings,
            latest,
        };
        Ok((record, source))
    })())
}

/// `function, number, published_from`, then a version.
pub(super) fn numbered(row: &Row<'_>) -> Read<NumberedRecord> {
    let function: String = row.get(0)?;
    let (number, published_from) = (number(row, 1)?, row.get(2)?);
    let version = version(row, 3)?;
    Ok(function_name(&function).map(|function| NumberedRecord {
        function,
        number,
        published_from,
        version,
    }))
}

/// `function, name, alias`.
pub(super) fn alias(row: &Row<'_>) -> Read<AliasRecord> {
    let (function, name, alias): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
    Ok((|| {
        Ok(AliasRecord {
            function: function_name(&function)?,
            name: AliasName::parse(&name).map_err(|error| error.to_string())?,
            alias,
        })
    })())
}

/// `artifact, code_sha256, code_bytes, configuration, revision, updated_at_us`, from column `at` on.
fn version(row: &Row<'_>, at: usize) -> rusqlite::Result<VersionRecord> {
    Ok(VersionRecord {
        artifact: ArtifactId::from_bytes(row.get(at)?),
        code_sha256: row.get(at + 1)?,
        code_bytes: number(row, at + 2)?,
        configuration: row.get(at + 3)?,
        revision: row.get(at + 4)?,
        updated_at_us: row.get(at + 5)?,
    })
}

/// The schema has no negative numbers where this is used.
fn number(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(at)
        .map(|number| u64::try_from(number).unwrap_or(0))
}

fn function_name(name: &str) -> Result<FunctionName, String> {
    FunctionName::parse(name).map_err(|error| error.to_string())
}
