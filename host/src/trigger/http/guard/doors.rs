//! How each kind of caller is known: by an API key, a token, a signature, or not at all.
//!
//! Knows nothing of allowances or of pages.

use std::sync::Arc;
use std::time::Duration;

use domain::names::ACCOUNT_ID;
use domain::policy::{Context, PolicyDocument, Principal, Request, evaluate};
use domain::routing::RequestPath;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::{Asks, Entrant, FORBIDDEN, Refusal, Signed, Signing};
use crate::app::App;
use crate::audit::Answered;
use crate::auth::authentication::{Listener, Source};
use crate::auth::jwt::{JwtError, Token, token_of};
use crate::auth::sigv4::AuthError;
use crate::auth::trail::Trail;
use crate::auth::{Caller, Identity};
use crate::http::listener::Peer;
use crate::manifest::route_rules::JwtRules;
use crate::registry::ResourcePolicy;
use crate::time_text::rfc3339_ms;
use crate::trigger::http::rate::TooMany;

/// What whoever uses a function URL has to be allowed.
pub(super) const URL_ACTION: &str = "lambda:InvokeFunctionUrl";

/// The name of a request's API key.
pub(super) fn api_key(app: &App, headers: &HeaderMap) -> Result<Arc<str>, Refusal> {
    let mut values = headers.get_all("x-api-key").iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(FORBIDDEN);
    };
    let key = value.to_str().map_err(|_| FORBIDDEN)?;
    app.identities.api_key_name(key).ok_or(FORBIDDEN)
}

/// What tells a caller from others with the same name: a user's id; the account for its owner.
pub(super) fn user_id(app: &App, identity: &Identity) -> Arc<str> {
    let state = app.identities.now();
    let user = identity.user_name().and_then(|name| state.users.get(name));
    user.map_or(ACCOUNT_ID, |user| &user.record.id).into()
}

/// Looks at a signature as far as that goes without the body.
pub(super) fn signer(
    app: &App,
    errand: &Signed,
    parts: &Parts,
    asks: Asks,
) -> Result<Entrant, Refusal> {
    let path = RequestPath::parse(parts.uri.path()).map_err(|_| FORBIDDEN)?;
    if path.has_empty_part() {
        return Err(Refusal::EmptyPart);
    }
    let source = Source {
        address: asks.peer.remote.ip(),
        is_secure: asks.peer.is_secure,
        listener: Listener::Functions,
    };
    let pending = app.authentication.head(parts, source);
    let pending = pending.map_err(|error| refused_signature(app, &error, asks))?;
    let is_ours = match errand {
        Signed::Route { .. } => matches!(pending.service(), "execute-api" | "lambda"),
        Signed::Url { .. } => pending.service() == "lambda",
    };
    if !is_ours {
        return Err(FORBIDDEN);
    }
    let (action, resource) = match errand {
        Signed::Route { resource } => {
            // Decoded, as it was routed: no spelling of a path gets around a policy.
            let resource = format!("{resource}{}{}", parts.method, path.decoded());
            ("execute-api:Invoke", resource)
        }
        Signed::Url { resource } => (URL_ACTION, resource.clone()),
    };
    Ok(Entrant::Signing(Box::new(Signing {
        pending,
        action,
        resource,
    })))
}

/// As AWS has it: why a signature is no good is told to who signs, at the control API. The audit log has
/// it, but for requests that are not signed at all.
pub(super) fn refused_signature(app: &App, error: &AuthError, asks: Asks) -> Refusal {
    let refusal = match error {
        AuthError::Missing => return FORBIDDEN,
        AuthError::Throttled => Refusal::TooMany(TooMany(Duration::from_secs(1))),
        AuthError::Malformed(_)
        | AuthError::UnknownKey
        | AuthError::Invalid(_)
        | AuthError::Mismatch
        | AuthError::Replayed => FORBIDDEN,
    };
    let status = match refusal {
        Refusal::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::FORBIDDEN,
    };
    record(app, &Trail::default(), asks, (status, error.code()));
    refusal
}

/// What is answered to a caller who may not, with the line in the audit log that says so.
pub(super) fn denied(app: &App, caller: &Caller, asks: Asks) -> Refusal {
    let trail = &caller.trail;
    trail.recognise(caller.arn(), Arc::clone(&caller.access_key_id));
    record(
        app,
        trail,
        asks,
        (StatusCode::FORBIDDEN, "AccessDeniedException"),
    );
    FORBIDDEN
}

fn record(app: &App, trail: &Trail, asks: Asks, (status, error): (StatusCode, &'static str)) {
    let answered = Answered {
        id: asks.id,
        source: asks.peer.remote.ip(),
        trail,
        status,
        error: Some(error),
    };
    app.audit.record_refused(&app.clock, &answered);
}

pub(super) fn policy_of(policy: &ResourcePolicy, resource: &str) -> Option<PolicyDocument> {
    let text = json!({"Version": "2012-10-17", "Statement": policy.statements}).to_string();
    match PolicyDocument::parse_resource(&text) {
        Ok(policy) => Some(policy),
        Err(error) => {
            tracing::error!(
                "the policy of {resource} can't be read, so its URL is closed: {error}"
            );
            None
        }
    }
}

/// Whether a policy lets anybody use a URL.
pub(super) fn is_public(app: &App, policy: &PolicyDocument, resource: &str, peer: Peer) -> bool {
    let now_us = app.clock.unix_us();
    let mut context = Context::default();
    context.set("lambda:FunctionUrlAuthType", "NONE");
    context.set("lambda:InvokedViaFunctionUrl", "true");
    context.set("aws:SourceIp", peer.remote.ip().to_canonical().to_string());
    context.set("aws:SecureTransport", peer.is_secure.to_string());
    context.set("aws:CurrentTime", rfc3339_ms(now_us));
    context.set("aws:EpochTime", now_us.div_euclid(1_000_000).to_string());
    let request = Request {
        principal: Principal::Anonymous,
        action: URL_ACTION,
        resource,
        region: &app.config.region,
        context,
    };
    evaluate(&[], &[policy], &request).is_allowed()
}

/// The token of a request, if it is good for a route.
pub(super) async fn bearer(
    app: &App,
    rules: &JwtRules,
    headers: &HeaderMap,
) -> Result<Token, Refusal> {
    let token = token_of(headers).map_err(|error| refusal(&error, rules))?;
    let key = match app.key_sets.key(rules, &token.key_id).await {
        Ok(Some(key)) => key,
        Ok(None) => {
            let unknown = JwtError::Invalid("the issuer has no such key");
            return Err(refusal(&unknown, rules));
        }
        // The operator was told when it failed.
        Err(_) => return Err(Refusal::Unavailable),
    };
    let now_s = app.clock.unix_us().div_euclid(1_000_000);
    token
        .verify(&key, rules, now_s)
        .map_err(|error| refusal(&error, rules))
}

/// As RFC 6750 has it, and API Gateway writes it.
fn refusal(error: &JwtError, rules: &JwtRules) -> Refusal {
    let scopes = rules.scopes.join(" ");
    match error {
        JwtError::Missing => Refusal::Unknown {
            challenge: "Bearer".to_owned(),
        },
        JwtError::Invalid(what) => Refusal::Unknown {
            challenge: format!(
                r#"Bearer scope="{scopes}" error="invalid_token" error_description="{what}""#
            ),
        },
        JwtError::Scope => Refusal::Forbidden {
            challenge: Some(format!(
                r#"Bearer scope="{scopes}" error="insufficient_scope" error_description="{error}""#
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_token_is_told_what_is_missing() {
        let rules = JwtRules {
            issuer: String::new(),
            audience: Vec::new(),
            jwks: None,
            scopes: vec!["a".to_owned(), "b".to_owned()],
        };
        for (error, expected) in [
            (JwtError::Missing, "Bearer"),
            (
                JwtError::Invalid("why"),
                r#"Bearer scope="a b" error="invalid_token" error_description="why""#,
            ),
        ] {
            let challenge = expected.to_owned();
            assert_eq!(refusal(&error, &rules), Refusal::Unknown { challenge });
        }
    }
}
