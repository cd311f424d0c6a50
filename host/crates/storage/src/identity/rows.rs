//! Rows of `identity.db`, in and out.

use rusqlite::types::Type;
use rusqlite::{Connection, Row, Transaction, params};

use super::{
    AccessKeyRecord, ApiKeyRecord, IdentityRecords, InlinePolicyRecord, KeyUse, PolicyRecord,
    RoleRecord, UserRecord,
};

/// All rows.
pub(super) fn read(connection: &Connection) -> rusqlite::Result<IdentityRecords> {
    Ok(IdentityRecords {
        users: all(
            connection,
            "SELECT id, name, path, tags, created_at_us FROM users ORDER BY id",
            user,
        )?,
        roles: all(
            connection,
            "SELECT id, name, path, trust, description, session_seconds_max, tags, created_at_us
             FROM roles ORDER BY id",
            role,
        )?,
        access_keys: all(
            connection,
            "SELECT id, owner, secret, active, created_at_us, used_at_us, used_service, used_region
             FROM access_keys ORDER BY id",
            access_key,
        )?,
        inline_policies: all(
            connection,
            "SELECT owner, name, document FROM inline_policies ORDER BY owner, name",
            |row| {
                Ok(InlinePolicyRecord {
                    owner: row.get(0)?,
                    name: row.get(1)?,
                    document: row.get(2)?,
                })
            },
        )?,
        policies: all(
            connection,
            "SELECT arn, id, name, path, description, document, created_at_us
             FROM policies ORDER BY arn",
            policy,
        )?,
        attachments: all(
            connection,
            "SELECT owner, policy FROM attachments ORDER BY owner, policy",
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?,
        api_keys: all(
            connection,
            "SELECT name, sha256, enabled, created_at_us FROM api_keys ORDER BY name",
            api_key,
        )?,
    })
}

fn all<T>(
    connection: &Connection,
    query: &str,
    record: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    let mut statement = connection.prepare(query)?;
    statement.query_map([], record)?.collect()
}

/// Tags are a JSON list of pairs.
fn tags(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<(String, String)>> {
    let json: String = row.get(column)?;
    serde_json::from_str(&json).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
    })
}

fn tags_text(tags: &[(String, String)]) -> String {
    serde_json::json!(tags).to_string()
}

fn user(row: &Row<'_>) -> rusqlite::Result<UserRecord> {
    Ok(UserRecord {
        id: row.get(0)?,
        name: row.get(1)?,
        path: row.get(2)?,
        tags: tags(row, 3)?,
        created_at_us: row.get(4)?,
    })
}

fn role(row: &Row<'_>) -> rusqlite::Result<RoleRecord> {
    Ok(RoleRecord {
        id: row.get(0)?,
        name: row.get(1)?,
        path: row.get(2)?,
        trust: row.get(3)?,
        description: row.get(4)?,
        session_seconds_max: row.get(5)?,
        tags: tags(row, 6)?,
        created_at_us: row.get(7)?,
    })
}

fn api_key(row: &Row<'_>) -> rusqlite::Result<ApiKeyRecord> {
    Ok(ApiKeyRecord {
        name: row.get(0)?,
        sha256: row.get(1)?,
        is_enabled: row.get(2)?,
        created_at_us: row.get(3)?,
    })
}

fn access_key(row: &Row<'_>) -> rusqlite::Result<AccessKeyRecord> {
    let used_at_us: Option<i64> = row.get(5)?;
    let (service, region) = (row.get(6)?, row.get(7)?);
    Ok(AccessKeyRecord {
        id: row.get(0)?,
        owner: row.get(1)?,
        secret: row.get(2)?,
        is_active: row.get(3)?,
        created_at_us: row.get(4)?,
        used: used_at_us.map(|at_us| KeyUse {
            at_us,
            service,
            region,
        }),
    })
}

fn policy(row: &Row<'_>) -> rusqlite::Result<PolicyRecord> {
    Ok(PolicyRecord {
        arn: row.get(0)?,
        id: row.get(1)?,
        name: row.get(2)?,
        path: row.get(3)?,
        description: row.get(4)?,
        document: row.get(5)?,
        created_at_us: row.get(6)?,
    })
}

// Rows are updated in place, never replaced: `INSERT OR REPLACE` would drop another row that has the
// same unique name.

pub(super) fn put_user(transaction: &Transaction<'_>, user: &UserRecord) -> rusqlite::Result<()> {
    transaction.execute(
        "INSERT INTO users (id, name, path, tags, created_at_us) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (id) DO UPDATE SET name = ?2, path = ?3, tags = ?4, created_at_us = ?5",
        params![
            user.id,
            user.name,
            user.path,
            tags_text(&user.tags),
            user.created_at_us
        ],
    )?;
    Ok(())
}

pub(super) fn put_role(transaction: &Transaction<'_>, role: &RoleRecord) -> rusqlite::Result<()> {
    transaction.execute(
        "INSERT INTO roles
         (id, name, path, trust, description, session_seconds_max, tags, created_at_us)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (id) DO UPDATE SET name = ?2, path = ?3, trust = ?4, description = ?5,
         session_seconds_max = ?6, tags = ?7, created_at_us = ?8",
        params![
            role.id,
            role.name,
            role.path,
            role.trust,
            role.description,
            role.session_seconds_max,
            tags_text(&role.tags),
            role.created_at_us
        ],
    )?;
    Ok(())
}

pub(super) fn put_access_key(
    transaction: &Transaction<'_>,
    key: &AccessKeyRecord,
) -> rusqlite::Result<()> {
    let (service, region) = key
        .used
        .as_ref()
        .map_or(("", ""), |used| (&used.service, &used.region));
    transaction.execute(
        "INSERT OR REPLACE INTO access_keys
         (id, owner, secret, active, created_at_us, used_at_us, used_service, used_region)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            key.id,
            key.owner,
            key.secret,
            key.is_active,
            key.created_at_us,
            key.used.as_ref().map(|used| used.at_us),
            service,
            region
        ],
    )?;
    Ok(())
}

pub(super) fn put_policy(
    transaction: &Transaction<'_>,
    policy: &PolicyRecord,
) -> rusqlite::Result<()> {
    transaction.execute(
        "INSERT OR REPLACE INTO policies
         (arn, id, name, path, description, document, created_at_us)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            policy.arn,
            policy.id,
            policy.name,
            policy.path,
            policy.description,
            policy.document,
            policy.created_at_us
        ],
    )?;
    Ok(())
}

/// Removes a user or a role, and what hangs on its id.
pub(super) fn delete_owner(
    transaction: &Transaction<'_>,
    table: &'static str,
    id: &str,
) -> rusqlite::Result<()> {
    transaction.execute(&format!("DELETE FROM {table} WHERE id = ?1"), [id])?;
    for table in ["access_keys", "inline_policies", "attachments"] {
        transaction.execute(&format!("DELETE FROM {table} WHERE owner = ?1"), [id])?;
    }
    Ok(())
}
