//! Who sent a request, as far as its route wants to know, and how the function hears of it.

use std::net::SocketAddr;
use std::sync::Arc;

use domain::names::ACCOUNT_ID;

use super::json::JsonWriter;
use super::rate::RateKey;
use crate::auth::Caller;
use crate::auth::jwt::Token;

/// Who asks.
#[derive(Debug)]
pub(crate) enum Authorizer {
    /// Anybody may.
    Open,
    /// The holder of an API key, by its name.
    ApiKey(Arc<str>),
    /// The bearer of a token.
    Jwt(Token),
    /// Who signed.
    Iam {
        caller: Caller,
        /// A user's id, `AIDA...`; the account for its owner.
        user_id: Arc<str>,
    },
}

impl Authorizer {
    /// Who has an allowance: who is known by name, or else an address.
    pub(super) fn rate_key(&self, peer: SocketAddr) -> RateKey {
        match self {
            Self::ApiKey(name) => RateKey::of_name(name),
            Self::Jwt(Token {
                subject: Some(subject),
                ..
            }) => RateKey::of_name(subject),
            Self::Iam { caller, .. } => RateKey::of_name(&caller.arn()),
            Self::Open | Self::Jwt(_) => RateKey::of_address(peer.ip()),
        }
    }

    /// The member `authorizer` of an event's context, and a comma; nothing for anybody.
    pub(super) fn write(&self, event: &mut JsonWriter) {
        match self {
            Self::Open => return,
            Self::ApiKey(name) => {
                event.raw(r#""authorizer":{"apiKey":{"name":"#);
                event.text(name);
                event.raw("}");
            }
            Self::Iam { caller, user_id } => {
                event.raw(r#""authorizer":{"iam":{"accessKey":"#);
                event.text(&caller.access_key_id);
                event.raw(r#","accountId":""#);
                event.raw(ACCOUNT_ID);
                event.raw(r#"","callerId":"#);
                event.text(user_id);
                event.raw(r#","cognitoIdentity":null,"principalOrgId":null,"userArn":"#);
                event.text(&caller.arn());
                event.raw(r#","userId":"#);
                event.text(user_id);
                event.raw("}");
            }
            Self::Jwt(token) => {
                let claims = token.claims.iter();
                event.raw(r#""authorizer":{"jwt":{"claims":"#);
                event.object(claims.map(|(name, value)| (name.as_str(), value.as_str())));
                event.raw(r#","scopes":"#);
                match &token.scopes {
                    None => event.raw("null"),
                    Some(scopes) => write_list(event, scopes),
                }
                event.raw("}");
            }
        }
        event.raw("},");
    }
}

fn write_list(event: &mut JsonWriter, texts: &[String]) {
    event.raw("[");
    for (at, text) in texts.iter().enumerate() {
        if at > 0 {
            event.raw(",");
        }
        event.text(text);
    }
    event.raw("]");
}
