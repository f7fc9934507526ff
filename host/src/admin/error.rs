//! The errors of the admin API and their HTTP meaning.

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::Response;
use serde_json::json;
use tracing::error;

use super::queue_stats::StatsError;
use crate::http::Reason;
use crate::http::problem;
use crate::replay::ReplayReport;
use hoth_queue::QueueError;
use hoth_trail::TrailError;

/// An error that an operator can get.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("{0}")]
    BadRequest(String),
    /// The body is not JSON.
    #[error("{0}")]
    MediaType(String),
    #[error("{0}")]
    NotFound(String),
    /// The component or request is not acceptable; the text gives the reason and
    /// the remedy.
    #[error("{0}")]
    Refused(String),
    /// On replayed jobs the candidate behaves differently from the active
    /// version.
    #[error("{message}")]
    Replayed { message: String, report: Box<ReplayReport> },
    #[error("{0}")]
    Conflict(String),
    #[error("{0} is not supported by this queue backend")]
    NotOffered(&'static str),
    /// The queue backend cannot be reached, or takes too long. The cause goes to
    /// the log.
    #[error("the queue backend does not answer; see the host's log for the cause")]
    Unavailable(#[source] StatsError),
    /// The trail is off, or cannot be read. The cause goes to the log.
    #[error("{0}")]
    Trail(#[source] TrailError),
    /// The operator gets only this text; the cause goes to the log.
    #[error("internal error; see the host's log for the cause")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<QueueError> for AdminError {
    fn from(error: QueueError) -> Self {
        match error {
            // The arguments of admin requests go to the queue unchecked, so a
            // refusal is about one of them.
            QueueError::Refused(why) => Self::BadRequest(why.to_string()),
            QueueError::NotOffered(what) => Self::NotOffered(what),
            QueueError::Full | QueueError::Unreachable(_) | QueueError::LeaseEnded => {
                Self::Internal(error.into())
            }
        }
    }
}

impl From<TrailError> for AdminError {
    fn from(error: TrailError) -> Self {
        match error {
            TrailError::BadCursor => Self::BadRequest(format!("cursor: {error}")),
            TrailError::Off | TrailError::TooSlow | TrailError::Unavailable(_) => {
                Self::Trail(error)
            }
        }
    }
}

impl From<StatsError> for AdminError {
    fn from(error: StatsError) -> Self {
        Self::Unavailable(error)
    }
}

impl AdminError {
    /// Returns the status and the reason of the response, and logs causes that
    /// the response does not contain.
    pub fn answer(&self) -> (StatusCode, Reason) {
        match self {
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, Reason::BadRequest),
            Self::MediaType(_) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, Reason::UnsupportedMediaType)
            }
            Self::NotFound(_) => (StatusCode::NOT_FOUND, Reason::NotFound),
            Self::Refused(_) | Self::Replayed { .. } => {
                (StatusCode::UNPROCESSABLE_ENTITY, Reason::Refused)
            }
            Self::Conflict(_) => (StatusCode::CONFLICT, Reason::Conflict),
            Self::NotOffered(_) => (StatusCode::NOT_IMPLEMENTED, Reason::NotSupported),
            Self::Unavailable(cause) => {
                error!(error = cause as &dyn std::error::Error, "Admin request failed");
                (StatusCode::SERVICE_UNAVAILABLE, Reason::Unavailable)
            }
            Self::Trail(TrailError::Off) => (StatusCode::NOT_IMPLEMENTED, Reason::NotSupported),
            Self::Trail(cause) => {
                error!(error = cause as &dyn std::error::Error, "Admin request failed");
                (StatusCode::SERVICE_UNAVAILABLE, Reason::Unavailable)
            }
            Self::Internal(cause) => {
                error!(error = &**cause as &dyn std::error::Error, "Admin request failed");
                (StatusCode::INTERNAL_SERVER_ERROR, Reason::Internal)
            }
        }
    }
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        let (status, reason) = self.answer();
        match &self {
            // With the report beside the usual fields, for
            // `hoth adapters deploy` to print.
            Self::Replayed { message, report } => {
                let body = json!({
                    "code": "OTHER", "reason": reason, "message": message, "report": report
                });
                (status, Json(body)).into_response()
            }
            Self::BadRequest(_)
            | Self::MediaType(_)
            | Self::NotFound(_)
            | Self::Refused(_)
            | Self::Conflict(_)
            | Self::NotOffered(_)
            | Self::Unavailable(_)
            | Self::Trail(_)
            | Self::Internal(_) => problem(status, reason, &self.to_string()),
        }
    }
}
