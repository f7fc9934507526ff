//! The errors of a read.

/// The reason why the trail cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum TrailError {
    /// The trail is off by the configuration.
    #[error("the trail is off (`trail.enabled`)")]
    Off,
    /// The query took longer than the trail permits. A narrower filter helps.
    #[error("the query took too long; give a narrower filter")]
    TooSlow,
    /// The text that continues a list is not one that the trail gave.
    #[error("the cursor is not one that this list returned")]
    BadCursor,
    /// The file cannot be read now.
    #[error("the trail cannot be read")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<rusqlite::Error> for TrailError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::OperationInterrupted) => Self::TooSlow,
            _ => Self::Unavailable(error.into()),
        }
    }
}
