//! The errors of the API and their HTTP meaning, decided once.

use std::collections::BTreeMap;

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
use crate::http::FrontError;
use crate::http::Reason;
use hoth_core::domain::request::NESTING_MAX;
use hoth_core::domain::request::Refusal;
use hoth_queue::InvalidArgument;
use hoth_queue::QueueError;

/// Seconds after which a client may retry while the queue accepts nothing.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// An error that a client of the API can get.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// An error of the HTTP layer below.
    #[error(transparent)]
    Front(#[from] FrontError),
    /// Holds the problem of the body, and its place.
    #[error("A valid request body must be provided")]
    NotJson(String),
    #[error("The request body is nested deeper than {NESTING_MAX} levels")]
    TooDeep,
    #[error("Request failed validation")]
    Invalid(BTreeMap<String, String>),
    #[error("A Content-Type header must be provided")]
    NoContentType,
    #[error("The request body must be application/json")]
    NotJsonContentType,
    #[error("The request body must have no content coding")]
    Coded,
    #[error("The request body must be UTF-8")]
    NotUtf8Charset,
    #[error("This id was used before with different content")]
    IdReused,
    #[error("The lease has expired; unconsumed outcomes are on the queue again")]
    LeaseEnded,
    #[error("{0} is not supported by this queue backend")]
    NotOffered(&'static str),
    /// Nothing was done. The client gets only this text; the cause goes to the
    /// log.
    #[error("The queue cannot be reached; nothing was done")]
    Unavailable(#[source] QueueError),
    /// A fault of HOTH. The client gets only this text; the cause goes to the
    /// log.
    #[error("Internal error")]
    Internal(#[source] QueueError),
}

impl From<QueueError> for ApiError {
    fn from(error: QueueError) -> Self {
        match error {
            // Both pass without a change of the request, so the client may
            // repeat it: 503 with `Retry-After`.
            QueueError::Full | QueueError::Unreachable(_) => Self::Unavailable(error),
            QueueError::LeaseEnded => Self::LeaseEnded,
            QueueError::NotOffered(what) => Self::NotOffered(what),
            // The queue may take less than `max_body_bytes` allows, as an older
            // queue on SQS does.
            QueueError::Refused(InvalidArgument::MessageTooLarge { bytes_max, .. }) => {
                Self::Front(FrontError::TooLarge(bytes_max))
            }
            // Requests are validated before they reach the queue, so a refusal
            // is a fault of HOTH.
            QueueError::Refused(_) => Self::Internal(error),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotJson(problem) => Self::NotJson(problem),
            Refusal::TooDeep => Self::TooDeep,
            Refusal::Invalid(errors) => Self::Invalid(errors),
        }
    }
}

impl ApiError {
    /// Returns the error for a `field` that holds no valid batch name.
    pub fn not_a_batch(field: &str) -> Self {
        let problem = "is not a Hoth-Batch of this resource".to_owned();
        Self::Invalid(BTreeMap::from([(field.to_owned(), problem)]))
    }

    /// Returns the word for programs. [`FrontError`] has its own.
    fn reason(&self) -> Reason {
        match self {
            Self::NotJson(_) | Self::Invalid(_) => Reason::Validation,
            Self::Front(_) | Self::TooDeep | Self::NoContentType => Reason::BadRequest,
            Self::NotJsonContentType | Self::Coded | Self::NotUtf8Charset => {
                Reason::UnsupportedMediaType
            }
            Self::IdReused => Reason::Conflict,
            Self::LeaseEnded => Reason::LeaseExpired,
            Self::NotOffered(_) => Reason::NotSupported,
            Self::Unavailable(_) => Reason::Unavailable,
            Self::Internal(_) => Reason::Internal,
        }
    }

    /// Returns the wrong fields by their paths, if the error names fields.
    fn error_map(&self) -> Option<BTreeMap<String, String>> {
        match self {
            Self::Invalid(errors) => Some(errors.clone()),
            Self::NotJson(problem) => Some(BTreeMap::from([("body".to_owned(), problem.clone())])),
            Self::Front(_)
            | Self::TooDeep
            | Self::NoContentType
            | Self::NotJsonContentType
            | Self::Coded
            | Self::NotUtf8Charset
            | Self::IdReused
            | Self::LeaseEnded
            | Self::NotOffered(_)
            | Self::Unavailable(_)
            | Self::Internal(_) => None,
        }
    }

    /// Returns the header that this error adds to its response.
    fn header(&self) -> Option<(header::HeaderName, HeaderValue)> {
        match self {
            Self::Unavailable(_) => Some((header::RETRY_AFTER, RETRY_AFTER)),
            // RFC 9110 section 15.5.16: the codings that would be accepted.
            Self::Coded => Some((header::ACCEPT_ENCODING, HeaderValue::from_static("identity"))),
            Self::Front(_)
            | Self::NotJson(_)
            | Self::TooDeep
            | Self::Invalid(_)
            | Self::NoContentType
            | Self::NotJsonContentType
            | Self::NotUtf8Charset
            | Self::IdReused
            | Self::LeaseEnded
            | Self::NotOffered(_)
            | Self::Internal(_) => None,
        }
    }

    /// Returns the status of the response.
    fn status(&self) -> StatusCode {
        match self {
            Self::Front(error) => error.status(),
            Self::NotJson(_) | Self::TooDeep | Self::Invalid(_) | Self::NoContentType => {
                StatusCode::BAD_REQUEST
            }
            Self::NotJsonContentType | Self::Coded | Self::NotUtf8Charset => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
            Self::IdReused | Self::LeaseEnded => StatusCode::CONFLICT,
            Self::NotOffered(_) => StatusCode::NOT_IMPLEMENTED,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Self::Front(error) = self {
            return error.into_response();
        }
        if let Self::Unavailable(cause) = &self {
            warn!(
                error = cause as &dyn std::error::Error,
                "Request refused: the queue is unavailable"
            );
        }
        if let Self::Internal(cause) = &self {
            error!(error = cause as &dyn std::error::Error, "Request failed");
        }
        let error_map = self.error_map();
        let code = if error_map.is_some() { Code::InvalidInput } else { Code::Other };
        let problem = Problem { code, reason: self.reason(), message: self.to_string(), error_map };
        let mut response = (self.status(), Json(&problem)).into_response();
        response.headers_mut().extend(self.header());
        response
    }
}
