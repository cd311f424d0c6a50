//! Whom a statement of a resource policy is about. Requests and answers say it with an ARN; what is
//! stored is the id, so that nobody who gets the name later gets what was meant for another.

use domain::names::ACCOUNT_ID;
use domain::policy::is_principal_id;
use serde_json::{Value, json};

use super::super::error::ApiError;
use crate::auth::identities::State;

/// `statement` as it is stored.
///
/// # Errors
///
/// 400 when it is about a user or role that is not there.
pub(super) fn stored(state: &State, mut statement: Value) -> Result<Value, ApiError> {
    if let Some(named) = statement["Principal"]["AWS"].as_str() {
        let own = format!("arn:aws:iam::{ACCOUNT_ID}:");
        if named.strip_prefix(&own).is_some_and(|who| who != "root") {
            let id = state.id_of(named).ok_or_else(invalid)?;
            statement["Principal"] = json!({ "AWS": id });
        }
    }
    Ok(statement)
}

/// A stored statement as it is shown: with the name that whom it is about has now, or the id that they
/// had.
pub(super) fn shown(state: &State, statement: &Value) -> Value {
    let mut statement = statement.clone();
    let id = statement["Principal"]["AWS"].as_str();
    if let Some(arn) = id
        .filter(|id| is_principal_id(id))
        .and_then(|id| state.arn_of(id))
    {
        statement["Principal"] = json!({ "AWS": arn });
    }
    statement
}

/// Who may: everybody, a service, an account, or who an ARN names.
///
/// # Errors
///
/// 400.
pub(super) fn read(text: &str) -> Result<Value, ApiError> {
    if text == "*" {
        Ok(json!("*"))
    } else if is_account(text) {
        Ok(json!({ "AWS": format!("arn:aws:iam::{text}:root") }))
    } else if is_identity(text) {
        Ok(json!({ "AWS": text }))
    } else if is_service(text) {
        Ok(json!({ "Service": text }))
    } else {
        Err(invalid())
    }
}

fn invalid() -> ApiError {
    ApiError::validation(
        "The provided principal was invalid. Please check the principal and try again.",
    )
}

pub(super) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_service(text: &str) -> bool {
    let name = text.strip_suffix(".amazonaws.com");
    name.is_some_and(|name| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
    })
}

fn is_identity(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", "aws", service @ ("iam" | "sts"), "", account, who] = parts.as_slice() else {
        return false;
    };
    let kinds: &[&str] = match *service {
        "iam" => &["user/", "role/"],
        _ => &["assumed-role/"],
    };
    let is_root = *service == "iam" && *who == "root";
    let is_named = kinds
        .iter()
        .any(|kind| who.strip_prefix(kind).is_some_and(|name| !name.is_empty()));
    is_account(account) && (is_root || is_named) && !who.contains(['*', '?', '$'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::identities::UserUpdate;
    use crate::auth::identities::tests::Home;

    #[test]
    fn principals_are_told_apart() {
        let root = json!({ "AWS": format!("arn:aws:iam::{ACCOUNT_ID}:root") });
        assert_eq!(read(ACCOUNT_ID).unwrap(), root);
        assert_eq!(read("*").unwrap(), json!("*"));
        assert_eq!(
            read("s3.amazonaws.com").unwrap(),
            json!({ "Service": "s3.amazonaws.com" })
        );
        let user = "arn:aws:iam::000000000000:user/ada";
        assert_eq!(read(user).unwrap(), json!({ "AWS": user }));
        for bad in [
            "",
            "ada",
            "arn:aws:iam::1:user/x",
            "arn:aws:iam::000000000000:user/*",
            "arn:aws:iam::000000000000:user/",
            "arn:aws:iam::000000000000:group/x",
            ".amazonaws.com",
            "a b.amazonaws.com",
        ] {
            read(bad).unwrap_err();
        }
    }

    #[test]
    fn what_is_stored_is_the_id_and_what_is_shown_the_name() {
        let home = Home::new();
        let statement = |path: &str| json!({"Principal": {"AWS": format!("arn:aws:iam::000000000000:user{path}")}});
        stored(&home.identities.now(), statement("/bob")).unwrap_err();
        let bob = home.identities.create_user("bob", "/", Vec::new()).unwrap();
        stored(&home.identities.now(), statement("/other/bob")).unwrap_err();
        let kept = stored(&home.identities.now(), statement("/bob")).unwrap();
        assert_eq!(kept, json!({"Principal": {"AWS": bob.record.id}}));
        let shown = || shown(&home.identities.now(), &kept);
        assert_eq!(shown(), statement("/bob"));
        let update = UserUpdate {
            name: Some("rob".to_owned()),
            path: None,
        };
        home.identities.update_user("bob", update).unwrap();
        assert_eq!(shown(), statement("/rob"));
        home.identities.delete_user("rob").unwrap();
        assert_eq!(shown(), kept);
        let root = json!({"Principal": {"AWS": "arn:aws:iam::000000000000:root"}});
        for same in [
            root,
            json!({"Principal": "*"}),
            json!({"Principal": {"Service": "a.b"}}),
        ] {
            assert_eq!(stored(&home.identities.now(), same.clone()).unwrap(), same);
        }
    }
}
