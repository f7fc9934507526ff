//! Authenticates every request, limits its sender's rate, and checks its role.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use axum::body::Body;
use axum::extract::Request;
use axum::extract::State;
use axum::http::Extensions;
use axum::http::HeaderMap;
use axum::http::Method;
use axum::http::header;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http_body::Body as _;
use http_body::Frame;
use http_body_util::BodyExt as _;
use tracing::info;

use super::audit;
use super::auth::Access;
use super::auth::AuthDecision;
use super::auth::Denied;
use super::auth::Keys;
use super::auth::PendingSignature;
use super::auth::Principal;
use super::body;
use super::error::FrontError;
use super::listener::Activation;
use super::listener::Evicted;
use super::listener::PeerAddr;
use super::loopback_only;
use super::rate::Rate;
use super::rate::RateLimiter;
use super::unproven::UNPROVEN_BYTES_MAX;
use super::unproven::UnprovenBodies;
use crate::metrics::table;
use hoth_platform::clock::Clock;

/// The largest body that is read before its sender is authenticated, which is
/// the case for a signature that declares no digest. A client with a larger body
/// declares its digest in `X-Amz-Content-Sha256`.
const UNAUTHENTICATED_BODY_BYTES_MAX: usize = 512 * 1_024;

/// The largest body whose digest is computed on a thread of the runtime, which
/// takes half a millisecond. A component has up to 64 MiB.
const INLINE_DIGEST_BYTES_MAX: usize = 256 * 1_024;

/// The most characters of a path in a log line about a sender that is unknown.
const LOGGED_PATH_MAX: usize = 256;

/// The longest id of an AWS access key, by the documentation of IAM.
const ACCESS_KEY_ID_MAX: usize = 128;

/// The rate of log lines about failed authentications. Anyone can cause them, so
/// they must not fill the log.
const DENIAL_LOG_RATE: Rate = Rate {
    per_second: const { NonZeroU32::new(1).expect("it is not zero") },
    burst: const { NonZeroU32::new(10).expect("it is not zero") },
};

/// A function that returns the access that a request needs, or `None` if the
/// request needs no key.
pub type RequiredAccess = fn(&Method, &str) -> Option<Access>;

/// The authentication and the rate limit of one listener.
pub struct Authenticator {
    /// Shared with the reload of the configuration, which replaces the keys.
    keys: Keys,
    /// The wall clock, which limits the age of signatures.
    clock: Clock,
    /// `None` if requests are not limited.
    limiter: Option<RateLimiter>,
    /// Limits the log lines about failed authentications.
    denial_log: RateLimiter,
    body_bytes_max: usize,
    body_timeout: Duration,
    /// The bodies of senders that are not authenticated yet.
    unproven: UnprovenBodies,
}

impl Authenticator {
    /// Creates an authenticator that accepts the holders of `keys`, each at
    /// `rate` if there is one.
    ///
    /// A signed body may have `body_bytes_max` bytes, and has `body_timeout` to
    /// arrive.
    pub fn new(
        keys: Keys,
        clock: Clock,
        rate: Option<Rate>,
        body_bytes_max: usize,
        body_timeout: Duration,
    ) -> Self {
        let (limiter, denial_log) = (rate.map(RateLimiter::new), RateLimiter::new(DENIAL_LOG_RATE));
        let unproven = UnprovenBodies::new(UNPROVEN_BYTES_MAX);
        Self { keys, clock, limiter, denial_log, body_bytes_max, body_timeout, unproven }
    }

    /// Returns the sender and the request. The body is either untouched or has
    /// been read into memory.
    ///
    /// The connection becomes active as soon as the sender is authenticated,
    /// and not before: until then a new connection may take its slot.
    async fn authenticate(&self, request: Request) -> Result<(Principal, Request), FrontError> {
        let (head, body) = request.into_parts();
        let deny = |denied| self.deny(&denied, &head);
        let pending = match self.keys.authenticate(&head, self.clock.wall()).map_err(deny)? {
            AuthDecision::Authenticated(principal) => {
                // Without a key only the name of the host tells a client on
                // this machine from a web page that has rebound its name.
                if principal.key.is_none() {
                    loopback_only::check(&head)?;
                }
                activate(&head.extensions)?;
                return Ok((principal, Request::from_parts(head, body)));
            }
            AuthDecision::NeedsBody(pending) => pending,
        };
        let is_proven = pending.covers_declared_digest();
        if is_proven {
            activate(&head.extensions)?;
        }
        // hyper knows from the head that a request has no body. A signed `GET`
        // then needs neither a read nor a timer.
        let body = match (body.is_end_stream(), is_proven) {
            (true, _) => Bytes::new(),
            (false, true) => body::read(body, self.body_bytes_max, self.body_timeout).await?,
            (false, false) => self.read_unproven(body).await?,
        };
        // The handler gets the body only after this check, so it cannot act on
        // bytes that the sender has not signed.
        let principal = verify(pending, &body).await.map_err(deny)?;
        if !is_proven {
            activate(&head.extensions)?;
        }
        Ok((principal, Request::from_parts(head, Body::from(body))))
    }

    /// Returns the request, with its sender as an extension, if the sender's role
    /// permits it.
    ///
    /// This is the only place that puts a [`Principal`] into a request's
    /// extensions. Handlers take it from there, so a handler that is reached
    /// another way fails.
    ///
    /// # Errors
    ///
    /// Returns [`FrontError::Unauthenticated`], [`FrontError::Forbidden`] or
    /// [`FrontError::TooMany`], or an error of the body if it is part of a
    /// signature.
    pub async fn admit(
        &self,
        required_access: RequiredAccess,
        request: Request,
    ) -> Result<Request, FrontError> {
        let Some(access) = required_access(request.method(), request.uri().path()) else {
            return Ok(request);
        };
        let (principal, mut request) = self.authenticate(request).await?;
        // The role comes before the rate: a request that is forbidden anyway
        // uses up none of the key's tokens.
        if !principal.role.permits(access) {
            audit::forbidden(&principal, request.method().as_str(), request.uri().path());
            table::REQUESTS_REFUSED.with(&["forbidden"]).increment(1);
            return Err(FrontError::Forbidden);
        }
        self.limit(&principal, request.extensions())?;
        request.extensions_mut().insert(principal);
        Ok(request)
    }

    /// Reads a body whose sender is unknown until the whole of it has been
    /// read. Its bound is lower, and all such bodies have one bound together.
    async fn read_unproven(&self, body: Body) -> Result<Bytes, FrontError> {
        let bytes_max = self.body_bytes_max.min(UNAUTHENTICATED_BODY_BYTES_MAX);
        let unproven = Arc::new(self.unproven.begin());
        let counting = Arc::clone(&unproven);
        let body = Body::new(body.map_frame(move |frame: Frame<Bytes>| {
            counting.add(frame.data_ref().map_or(0, Bytes::len));
            frame
        }));
        let read = tokio::select! {
            read = body::read(body, bytes_max, self.body_timeout) => read,
            () = unproven.evicted() => Err(FrontError::Evicted),
        };
        // The listener takes larger bodies, from senders that it knows.
        let has_remedy = bytes_max < self.body_bytes_max;
        read.map_err(|error| {
            if has_remedy && matches!(error, FrontError::TooLarge(_)) {
                return FrontError::DigestNeeded(bytes_max);
            }
            error
        })
    }

    /// Counts and logs a failed authentication.
    fn deny(&self, denied: &Denied, head: &Parts) -> FrontError {
        table::REQUESTS_REFUSED.with(&["unauthenticated"]).increment(1);
        // One bucket for all peers: a caller with many addresses must not get
        // one for each.
        if self.denial_log.take("", Instant::now()).is_ok() {
            let (peer, method, path) = (peer(&head.extensions), &head.method, head.uri.path());
            let path = path.get(..LOGGED_PATH_MAX).unwrap_or(path);
            let access_key_id = access_key_id(&head.headers);
            info!(
                event = "authentication-failed",
                %method, path, peer, access_key_id, reason = %denied, "Authentication failed"
            );
        }
        FrontError::Unauthenticated
    }

    /// Counts the request against its key, or against its sender's address on
    /// a host without keys.
    fn limit(&self, principal: &Principal, extensions: &Extensions) -> Result<(), FrontError> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        let taken = match &principal.key {
            Some(key) => limiter.take(key, Instant::now()),
            None => limiter.take(&peer(extensions), Instant::now()),
        };
        taken.map_err(|wait| {
            table::REQUESTS_REFUSED.with(&["rate"]).increment(1);
            FrontError::TooMany(wait)
        })
    }
}

/// Verifies a body. A large one takes a thread for blocking work.
async fn verify(pending: PendingSignature, body: &Bytes) -> Result<Principal, Denied> {
    if body.len() <= INLINE_DIGEST_BYTES_MAX {
        return pending.verify_body(body);
    }
    let body = body.clone();
    let verified = tokio::task::spawn_blocking(move || pending.verify_body(&body));
    verified.await.expect("the check does not panic, and is not cancelled")
}

/// Returns the id of the AWS access key that a request names, which is no
/// secret. Returns `None` if it names none, or no valid one.
fn access_key_id(headers: &HeaderMap) -> Option<&str> {
    let authorization = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (_, credential) = authorization.split_once("Credential=")?;
    let id = credential.split('/').next()?;
    let is_valid = (1..=ACCESS_KEY_ID_MAX).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    is_valid.then_some(id)
}

fn peer(extensions: &Extensions) -> String {
    extensions.get::<PeerAddr>().map(|peer| peer.0.ip().to_string()).unwrap_or_default()
}

/// Makes the connection of an authenticated request active. A request that did
/// not come through a listener has none.
pub fn activate(extensions: &Extensions) -> Result<(), FrontError> {
    let activated = extensions.get::<Activation>().map_or(Ok(()), Activation::activate);
    activated.map_err(|Evicted| FrontError::Evicted)
}

/// Passes a request on if its sender's role permits it.
///
/// # Errors
///
/// The errors of [`Authenticator::admit`].
pub async fn authorize(
    State((authenticator, required_access)): State<(Arc<Authenticator>, RequiredAccess)>,
    request: Request,
    next: Next,
) -> Result<Response, FrontError> {
    Ok(next.run(authenticator.admit(required_access, request).await?).await)
}
