//! Errors that both APIs answer alike, with their HTTP meaning.

use std::time::Duration;

use axum::Json;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use serde::Serialize;

/// The two authentication schemes, as a `WWW-Authenticate` header.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer, AWS4-HMAC-SHA256");

/// The reason of an error, as a word for programs. The words are a contract;
/// [`Reason::meaning`] describes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    Validation,
    BadRequest,
    Unauthenticated,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Timeout,
    Conflict,
    LeaseExpired,
    TooLarge,
    UnsupportedMediaType,
    Refused,
    TooManyRequests,
    Internal,
    NotSupported,
    Unavailable,
}

impl Reason {
    /// Every reason, in the order of statuses.
    pub const ALL: [Self; 16] = [
        Self::Validation,
        Self::BadRequest,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Timeout,
        Self::Conflict,
        Self::LeaseExpired,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::Refused,
        Self::TooManyRequests,
        Self::Internal,
        Self::NotSupported,
        Self::Unavailable,
    ];

    /// Returns the meaning of the word, for the documentation.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Validation => "`errorMap` names what is wrong",
            Self::BadRequest => "the request is wrong in another way, which `message` names",
            Self::Unauthenticated => "the credentials are missing or wrong",
            Self::Forbidden => "the credentials do not allow this",
            Self::NotFound => "there is no such path or object",
            Self::MethodNotAllowed => "`Allow` lists the methods of the path",
            Self::Timeout => "the body did not arrive in time",
            Self::Conflict => {
                "the id was used with different content, or the state does not allow this"
            }
            Self::LeaseExpired => "the lease of the batch has expired",
            Self::TooLarge => "the body is too large",
            Self::UnsupportedMediaType => {
                "the type, charset or coding of the body is not supported"
            }
            Self::Refused => "the component is refused (admin API)",
            Self::TooManyRequests => "the rate limit is reached; `Retry-After` has the pause",
            Self::Internal => "HOTH has failed; the log has the cause",
            Self::NotSupported => "the queue backend does not have this function",
            Self::Unavailable => "nothing was done; `Retry-After` has the pause",
        }
    }
}

/// An error of the HTTP layer itself, found before or beside a handler.
#[derive(Debug, thiserror::Error)]
pub enum FrontError {
    /// The body is missing, or its framing is broken.
    #[error("A valid request body must be provided")]
    MissingBody,
    /// Holds the bound.
    #[error("The request body is larger than {0} bytes")]
    TooLarge(usize),
    /// The body needs a declared digest, which is signed. Holds the bound
    /// without one.
    #[error(
        "The request body is larger than {0} bytes; to send more, sign the body's digest in the header X-Amz-Content-Sha256"
    )]
    DigestNeeded(usize),
    #[error("The request body did not arrive in time")]
    Slow,
    #[error("The request must name its host once and at most one transfer coding")]
    Ambiguous,
    #[error("Credentials are missing or unknown")]
    Unauthenticated,
    #[error("These credentials do not allow this request")]
    Forbidden,
    #[error("Without configured keys, the Host header must be localhost or a loopback address")]
    ForeignHost,
    /// Another connection or body needed the place of this one.
    #[error("Too many connections; this one was closed")]
    Evicted,
    /// Holds the time until the next request is let through.
    #[error("Too many requests")]
    TooMany(Duration),
    #[error("Not found")]
    NotFound,
    /// Holds the methods of the path, or `None` where axum adds the `Allow`
    /// header itself.
    #[error("Method not allowed")]
    MethodNotAllowed(Option<HeaderValue>),
}

impl FrontError {
    /// Returns the status of the response.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::MissingBody | Self::Ambiguous => StatusCode::BAD_REQUEST,
            Self::TooLarge(_) | Self::DigestNeeded(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::ForeignHost => StatusCode::FORBIDDEN,
            Self::Evicted => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    /// Returns the word for programs.
    fn reason(&self) -> Reason {
        match self {
            Self::MissingBody | Self::Ambiguous => Reason::BadRequest,
            Self::TooLarge(_) | Self::DigestNeeded(_) => Reason::TooLarge,
            Self::Slow => Reason::Timeout,
            Self::Unauthenticated => Reason::Unauthenticated,
            Self::Forbidden | Self::ForeignHost => Reason::Forbidden,
            Self::Evicted => Reason::Unavailable,
            Self::TooMany(_) => Reason::TooManyRequests,
            Self::NotFound => Reason::NotFound,
            Self::MethodNotAllowed(_) => Reason::MethodNotAllowed,
        }
    }

    /// Returns the header that this error adds to its response.
    fn header(&self) -> Option<(header::HeaderName, HeaderValue)> {
        match self {
            // A 401 must have it (RFC 9110 section 15.5.2).
            Self::Unauthenticated => Some((header::WWW_AUTHENTICATE, CHALLENGE)),
            Self::TooMany(wait) => {
                // Rounded up: an early retry would be refused again.
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                Some((header::RETRY_AFTER, HeaderValue::from(seconds)))
            }
            // A 405 must have it (RFC 9110 section 15.5.6).
            Self::MethodNotAllowed(methods) => Some((header::ALLOW, methods.clone()?)),
            // The rest of the body stays unread, or cannot be trusted. The next
            // request on this connection would begin somewhere inside it.
            Self::TooLarge(_)
            | Self::DigestNeeded(_)
            | Self::Slow
            | Self::Ambiguous
            | Self::Evicted => Some((header::CONNECTION, HeaderValue::from_static("close"))),
            Self::MissingBody | Self::Forbidden | Self::ForeignHost | Self::NotFound => None,
        }
    }
}

impl IntoResponse for FrontError {
    fn into_response(self) -> Response {
        let mut response = problem(self.status(), self.reason(), &self.to_string());
        response.headers_mut().extend(self.header());
        if matches!(self, Self::Evicted) {
            // As with every 503: the same request may succeed later.
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// Returns the JSON form of an error without an error map.
pub fn problem(status: StatusCode, reason: Reason, message: &str) -> Response {
    // With the fields in the order of the documentation and of the other
    // errors.
    #[derive(Serialize)]
    struct Body<'a> {
        code: &'a str,
        reason: Reason,
        message: &'a str,
    }
    (status, Json(Body { code: "OTHER", reason, message })).into_response()
}
