//! Letting callers in, before a handler sees their request.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use axum::body::Body;
use axum::extract::Request;
use axum::extract::State;
use axum::http::Extensions;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http_body::Body as _;
use metrics::counter;
use tracing::info;

use super::ApiError;
use super::call;
use crate::http::Limiter;
use crate::http::Rate;
use crate::http::audit;
use crate::http::auth::Denied;
use crate::http::auth::Judgement;
use crate::http::auth::Keys;
use crate::http::auth::Principal;
use crate::http::auth::Role;
use crate::http::listener::Peer;
use hoth_platform::clock::Clock;

/// The largest body that is read of a caller who has not proved anything yet:
/// whose signature stands or falls with the body. Whoever has more to send
/// signs its digest in `X-Amz-Content-Sha256`.
const UNPROVEN_BODY_BYTES_MAX: usize = 512 * 1_024;

/// How often a log line says why a caller is not known: anybody can cause
/// one, so there are no more than these, a second and at once.
const COMPLAINTS: Rate = Rate {
    per_second: const { std::num::NonZeroU32::new(1).expect("it is not zero") },
    burst: const { std::num::NonZeroU32::new(10).expect("it is not zero") },
};

/// How callers are let in: by which keys, and how often.
pub struct Admission {
    keys: Keys,
    clock: Clock,
    limiter: Option<Limiter>,
    complaints: Limiter,
    body_bytes_max: usize,
    body_timeout: Duration,
}

impl Admission {
    /// Lets in whoever holds a key, at `rate` where there is one. A body that
    /// is signed has at most `body_bytes_max`, and `body_timeout` to arrive.
    pub fn new(
        keys: Keys,
        clock: Clock,
        rate: Option<Rate>,
        body_bytes_max: usize,
        body_timeout: Duration,
    ) -> Self {
        let (limiter, complaints) = (rate.map(Limiter::new), Limiter::new(COMPLAINTS));
        Self { keys, clock, limiter, complaints, body_bytes_max, body_timeout }
    }

    /// Who sent the request. Its body is as it was, or has been read.
    async fn authenticate(&self, request: Request) -> Result<(Principal, Request), ApiError> {
        let (head, body) = request.into_parts();
        let denied = |denied| self.deny(&denied, &head.extensions);
        let unproven = match self.keys.judge(&head, self.clock.wall()).map_err(denied)? {
            Judgement::Known(principal) => return Ok((principal, Request::from_parts(head, body))),
            Judgement::Unproven(unproven) => unproven,
        };
        let bytes_max = match unproven.is_signed() {
            true => self.body_bytes_max,
            false => self.body_bytes_max.min(UNPROVEN_BODY_BYTES_MAX),
        };
        let body = match body.is_end_stream() {
            true => Bytes::new(),
            false => call::read(body, bytes_max, self.body_timeout).await?,
        };
        let principal = unproven.prove(&body).map_err(denied)?;
        Ok((principal, Request::from_parts(head, Body::from(body))))
    }

    fn deny(&self, denied: &Denied, extensions: &Extensions) -> ApiError {
        counter!("hoth_requests_refused_total", "reason" => "unauthenticated").increment(1);
        if self.complaints.take("", Instant::now()).is_ok() {
            info!(peer = peer(extensions), reason = %denied, "A caller is not known");
        }
        ApiError::Unauthenticated
    }

    fn limit(&self, principal: &Principal, extensions: &Extensions) -> Result<(), ApiError> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        let taken = match &principal.key {
            Some(key) => limiter.take(key, Instant::now()),
            None => limiter.take(&peer(extensions), Instant::now()),
        };
        taken.map_err(|wait| {
            counter!("hoth_requests_refused_total", "reason" => "rate").increment(1);
            ApiError::TooMany(wait)
        })
    }
}

fn peer(extensions: &Extensions) -> String {
    extensions.get::<Peer>().map(|peer| peer.0.ip().to_string()).unwrap_or_default()
}

/// Lets a request through to its handler when its sender holds `role`; the
/// handler finds the [`Principal`] in the request's extensions.
///
/// # Errors
///
/// [`ApiError::Unauthenticated`], [`ApiError::Forbidden`] or
/// [`ApiError::TooMany`]; and for a signed body that is too large, too slow or
/// broken.
pub async fn admit(
    State((admission, role)): State<(Arc<Admission>, Role)>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let (principal, mut request) = admission.authenticate(request).await?;
    if principal.role < role {
        audit::forbade(&principal, request.method().as_str(), request.uri().path());
        counter!("hoth_requests_refused_total", "reason" => "forbidden").increment(1);
        return Err(ApiError::Forbidden);
    }
    admission.limit(&principal, request.extensions())?;
    request.extensions_mut().insert(principal);
    Ok(next.run(request).await)
}
