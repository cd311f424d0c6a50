//! The schema of `registry.db`, one step for each version of it.
//!
//! A step that was released is never changed.

/// From an empty file to schema version 1, and so on.
pub(super) const SCHEMA: &[&str] = &[
    "CREATE TABLE functions (
    name TEXT NOT NULL PRIMARY KEY,
    version TEXT NOT NULL,
    artifact BLOB NOT NULL CHECK (length(artifact) = 32),
    origin TEXT NOT NULL,
    configuration TEXT NOT NULL,
    updated_at_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;",
    // What the files looked like from outside that it was published from.
    "ALTER TABLE functions ADD COLUMN source TEXT;",
    VERSIONS_AND_ALIASES,
];

/// What is true of a function whatever its versions are, `$LATEST` beside it, and tables for the other
/// versions and for aliases. What was stored before was uploaded as it is, so the upload has the hash of
/// the artifact; where the size is not known it is 0.
const VERSIONS_AND_ALIASES: &str = "
CREATE TABLE functions_3 (
    name TEXT NOT NULL PRIMARY KEY,
    origin TEXT NOT NULL,
    created_at_us INTEGER NOT NULL,
    next_version INTEGER NOT NULL CHECK (next_version > 0),
    settings TEXT NOT NULL,
    source TEXT,
    artifact BLOB NOT NULL CHECK (length(artifact) = 32),
    code_sha256 BLOB NOT NULL CHECK (length(code_sha256) = 32),
    code_bytes INTEGER NOT NULL,
    configuration TEXT NOT NULL,
    revision BLOB NOT NULL CHECK (length(revision) = 16),
    updated_at_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO functions_3
    SELECT name, origin, updated_at_us, 1, '{}', source, artifact, artifact,
           CASE WHEN json_valid(configuration)
                THEN coalesce(CAST(json_extract(configuration, '$.size_bytes') AS INTEGER), 0)
                ELSE 0 END,
           configuration, randomblob(16), updated_at_us
    FROM functions;
DROP TABLE functions;
ALTER TABLE functions_3 RENAME TO functions;
CREATE TABLE versions (
    function TEXT NOT NULL REFERENCES functions (name) ON DELETE CASCADE,
    number INTEGER NOT NULL CHECK (number > 0),
    artifact BLOB NOT NULL CHECK (length(artifact) = 32),
    code_sha256 BLOB NOT NULL CHECK (length(code_sha256) = 32),
    code_bytes INTEGER NOT NULL,
    configuration TEXT NOT NULL,
    revision BLOB NOT NULL CHECK (length(revision) = 16),
    published_from BLOB NOT NULL CHECK (length(published_from) = 16),
    updated_at_us INTEGER NOT NULL,
    PRIMARY KEY (function, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE aliases (
    function TEXT NOT NULL REFERENCES functions (name) ON DELETE CASCADE,
    name TEXT NOT NULL,
    alias TEXT NOT NULL,
    PRIMARY KEY (function, name)
) STRICT, WITHOUT ROWID;
";
