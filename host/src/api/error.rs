//! What a caller is told when something is wrong: decided here, once.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use tracing::error;
use tracing::warn;

use super::schema::Code;
use super::schema::Problem;
use hoth_core::domain::request::NESTING_MAX;
use hoth_core::domain::request::Refusal;
use hoth_queue::QueueError;

/// When a client may try again while the queue takes nothing, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// The two ways to prove who one is.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer, AWS4-HMAC-SHA256");

/// Everything an HTTP caller can be told has gone wrong.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("A valid request body must be provided")]
    NoBody,
    #[error("The request body is nested deeper than {NESTING_MAX} levels")]
    TooDeep,
    #[error("Request failed validation")]
    Invalid(BTreeMap<String, String>),
    #[error("A Content-Type header must be provided")]
    NoContentType,
    #[error("The request body must be application/json")]
    NotJsonContentType,
    #[error("The request body is larger than {0} bytes")]
    TooLarge(usize),
    #[error("The request body did not arrive in time")]
    Slow,
    #[error("The request must name its host once, and one transfer coding at most")]
    Ambiguous,
    #[error("Credentials are missing or unknown")]
    Unauthenticated,
    #[error("These credentials do not allow this")]
    Forbidden,
    /// When the next one would be let in.
    #[error("These are too many requests")]
    TooMany(Duration),
    #[error("There is nothing at this path")]
    NotFound,
    /// With the methods that it takes.
    #[error("This path does not take this method")]
    MethodNotAllowed(HeaderValue),
    #[error("This id was used before, with other content")]
    IdReused,
    #[error("The lease has ended; what nobody has consumed since is on the queue again")]
    LeaseEnded,
    #[error("{0} is not offered by this queue backend")]
    NotOffered(&'static str),
    /// Nothing was done. The caller sees these words, the log the cause.
    #[error("The queue cannot be reached; nothing was done")]
    Unavailable(#[source] QueueError),
    /// A fault of ours. The caller sees these words, the log the cause.
    #[error("Internal error")]
    Internal(#[source] QueueError),
}

impl From<QueueError> for ApiError {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Full | QueueError::Unreachable(_) => Self::Unavailable(error),
            QueueError::LeaseEnded => Self::LeaseEnded,
            QueueError::NotOffered(what) => Self::NotOffered(what),
            QueueError::Refused(_) => Self::Internal(error),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotJson => Self::NoBody,
            Refusal::TooDeep => Self::TooDeep,
            Refusal::Invalid(errors) => Self::Invalid(errors),
        }
    }
}

impl ApiError {
    /// For the name of a batch, given as `field`, that HOTH never gave.
    pub fn not_a_batch(field: &str) -> Self {
        let problem = "is not a Hoth-Batch that this resource gave".to_owned();
        Self::Invalid(BTreeMap::from([(field.to_owned(), problem)]))
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::NoBody
            | Self::TooDeep
            | Self::Invalid(_)
            | Self::NoContentType
            | Self::Ambiguous => StatusCode::BAD_REQUEST,
            Self::NotJsonContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::IdReused | Self::LeaseEnded => StatusCode::CONFLICT,
            Self::NotOffered(_) => StatusCode::NOT_IMPLEMENTED,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Self::Unavailable(cause) = &self {
            warn!(error = cause as &dyn std::error::Error, "A request was turned away");
        }
        if let Self::Internal(cause) = &self {
            error!(error = cause as &dyn std::error::Error, "A request failed");
        }
        let error_map = if let Self::Invalid(errors) = &self { Some(errors.clone()) } else { None };
        let code = if error_map.is_some() { Code::InvalidInput } else { Code::Other };
        let problem = Problem { code, message: self.to_string(), error_map };
        let mut response = (self.status(), Json(&problem)).into_response();
        let headers = response.headers_mut();
        if let Self::MethodNotAllowed(methods) = &self {
            headers.insert(header::ALLOW, methods.clone());
        }
        if matches!(self, Self::Unavailable(_)) {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        if let Self::TooMany(wait) = &self {
            // Whole seconds, and never too few.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if matches!(self, Self::Unauthenticated) {
            headers.insert(header::WWW_AUTHENTICATE, CHALLENGE);
        }
        if matches!(self, Self::TooLarge(_) | Self::Slow | Self::Ambiguous) {
            // The rest of the body is not read, or not to be believed, so the
            // connection is over.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
