//! The way of a request once it is known where it leads: let in, body, event, invocation.
//!
//! The same for routes and for function URLs; each writes what stops a request in its own words.

use bytes::Bytes;
use domain::{Fault, FunctionName, Invocation, Qualifier, RequestId, Trigger};
use http::StatusCode;
use http::request::Parts;
use hyper::body::Incoming;

use super::body::{BodyError, read_body};
use super::dispatch::Functions;
use super::listener::Peer;
use crate::concurrency::Refused;
use crate::invoke::{Completed, InvokeError, invoke};
use crate::metrics::RefusedBy;
use crate::trigger::http::authorizer::Authorizer;
use crate::trigger::http::event::{Entrance, Source, event_from};
use crate::trigger::http::guard::{Asks, Entrant, Guard, Refusal};

/// What is answered to [`Refusal::EmptyPart`].
pub(super) const EMPTY_PART: &str =
    "Bad Request: the path of a signed request must not have slashes in a row";

/// A request but for its body.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) parts: &'a Parts,
    pub(super) peer: Peer,
    pub(super) id: RequestId,
}

/// Where a request leads.
#[derive(Clone, Copy)]
pub(super) struct Destination<'a> {
    pub(super) function: &'a FunctionName,
    pub(super) qualifier: Option<&'a Qualifier>,
    pub(super) entrance: Entrance<'a>,
    /// Decoded, without what led to a function URL.
    pub(super) path: &'a str,
}

/// Why a request has no outcome.
#[derive(Debug)]
pub(super) enum Stopped {
    /// It was not let in.
    Refused(Refusal),
    /// Its body is of no use, or makes an event that is too large.
    Body(BodyError),
    /// Nothing ran, or we failed.
    Invoke(InvokeError),
}

impl Functions {
    /// Carries a request to its function and waits for the outcome. Without a guard it is let in.
    pub(super) async fn carry(
        &self,
        asked: Asked<'_>,
        body: &mut Incoming,
        guard: Option<&Guard>,
        destination: Destination<'_>,
    ) -> Result<Completed, Stopped> {
        let asks = Asks {
            peer: asked.peer,
            id: asked.id,
        };
        let entrant = match guard {
            None => Entrant::Known(Authorizer::Open),
            // Boxed, so that requests without rules carry nothing of it.
            Some(guard) => Box::pin(guard.admit(&self.app, asked.parts, asks))
                .await
                .map_err(|refusal| self.refused(refusal))?,
        };
        // The room is held as long as the event may be.
        let (body, _room) = read_body(
            body,
            self.body_limits,
            &self.app.room,
            asked.peer.remote.ip(),
        )
        .await
        .map_err(Stopped::Body)?;
        let authorizer = match guard {
            None => Authorizer::Open,
            Some(guard) => guard
                .recognise(&self.app, entrant, &body, asks)
                .map_err(|refusal| self.refused(refusal))?,
        };
        let event = self.event(asked, &body, &destination, &authorizer);
        let invocation = Invocation {
            id: asked.id,
            attempt: 1,
            function: destination.function.clone(),
            qualifier: destination.qualifier.cloned(),
            trigger: Trigger::Http,
            event: event.ok_or(Stopped::Body(BodyError::TooLarge))?,
            client_context: None,
            keep_log: false,
        };
        invoke(&self.app, invocation).await.map_err(|error| {
            match error.fault() {
                Fault::Caller | Fault::Function => {
                    tracing::debug!(invocation.id = %asked.id, "refused: {error}");
                }
                Fault::Host => self.app.faults.note(&self.app.clock, &error),
            }
            Stopped::Invoke(error)
        })
    }

    fn event(
        &self,
        asked: Asked<'_>,
        body: &Bytes,
        destination: &Destination<'_>,
        authorizer: &Authorizer,
    ) -> Option<Bytes> {
        event_from(&Source {
            parts: asked.parts,
            body,
            entrance: destination.entrance,
            authorizer,
            path: destination.path,
            peer: asked.peer.remote,
            local_port: asked.peer.local_port,
            is_secure: asked.peer.is_secure,
            id: asked.id,
            received_us: self.app.clock.unix_us(),
        })
    }

    /// Counts a refusal.
    fn refused(&self, refusal: Refusal) -> Stopped {
        self.app.metrics.refused(match &refusal {
            Refusal::TooMany(_) => RefusedBy::Rate,
            Refusal::Unknown { .. } | Refusal::Forbidden { .. } | Refusal::EmptyPart => {
                RefusedBy::Auth
            }
            Refusal::Unavailable => RefusedBy::Unavailable,
        });
        Stopped::Refused(refusal)
    }
}

impl Stopped {
    /// The status to answer with.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Refused(Refusal::TooMany(_))
            | Self::Invoke(InvokeError::Refused(
                Refused::Function { .. } | Refused::Process { .. } | Refused::Budget(_),
            )) => StatusCode::TOO_MANY_REQUESTS,
            Self::Refused(Refusal::EmptyPart) => StatusCode::BAD_REQUEST,
            Self::Refused(Refusal::Unknown { .. }) => StatusCode::UNAUTHORIZED,
            Self::Refused(Refusal::Forbidden { .. }) => StatusCode::FORBIDDEN,
            Self::Body(error) => error.status(),
            Self::Invoke(
                InvokeError::UnknownFunction { .. } | InvokeError::UnknownQualifier { .. },
            ) => StatusCode::NOT_FOUND,
            Self::Refused(Refusal::Unavailable)
            | Self::Invoke(
                InvokeError::Refused(Refused::Memory { .. })
                | InvokeError::LedgerClosed { .. }
                | InvokeError::Sandbox { .. }
                | InvokeError::Record { .. },
            ) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}
