//! What an operator is told when something is wrong.

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::Response;
use serde_json::json;
use tracing::error;

use crate::replay::ReplayReport;
use hoth_queue::QueueError;

/// Everything that an operator's call can fail with.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("{0}")]
    BadRequest(String),
    #[error("{0}")]
    NotFound(String),
    /// The component, or what was asked, cannot be taken; the text says why
    /// and what to do.
    #[error("{0}")]
    Refused(String),
    /// A candidate does on jobs of the past what the active version did not.
    #[error("{message}")]
    Replayed { message: String, report: Box<ReplayReport> },
    #[error("{0}")]
    Conflict(String),
    #[error("{0} is not offered by this queue backend")]
    NotOffered(&'static str),
    /// The caller sees these words, the log sees the cause.
    #[error("internal error; the host's log has the cause")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<QueueError> for AdminError {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Refused(why) => Self::BadRequest(why.to_owned()),
            QueueError::NotOffered(what) => Self::NotOffered(what),
            QueueError::Full | QueueError::Unreachable(_) | QueueError::LeaseEnded => {
                Self::Internal(error.into())
            }
        }
    }
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Replayed { message, report } => {
                let body = json!({"code": "OTHER", "message": message, "report": report});
                return (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response();
            }
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::NotOffered(_) => StatusCode::NOT_IMPLEMENTED,
            Self::Internal(cause) => {
                error!(error = &**cause as &dyn std::error::Error, "An admin call failed");
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        answer(status, &self.to_string())
    }
}

fn answer(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({"code": "OTHER", "message": message}))).into_response()
}

pub async fn not_found() -> Response {
    answer(StatusCode::NOT_FOUND, "there is nothing at this path")
}

pub async fn method_not_allowed() -> Response {
    answer(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method")
}
