//! The pages.

pub mod adapters;
pub mod audit;
pub mod csp;
pub mod csps;
pub mod dead_letters;
pub mod errors;
pub mod hosts;
pub mod job;
mod job_acts;
pub mod jobs;
pub mod journals;
pub mod now;
mod peers;
pub mod queues;
pub mod replay;
mod timeline;

use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::Response;
use maud::Markup;
use maud::html;

use super::layout;
use crate::admin::AdminError;
use crate::admin::StatsError;
use crate::http::auth::Role;
use hoth_queue::QueueError;

/// An error that a person gets as a page.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[error("The role {} may not do this. Log in with a key that has a higher role.", .0.as_str())]
    Forbidden(Role),
}

impl From<QueueError> for PageError {
    fn from(error: QueueError) -> Self {
        Self::Admin(error.into())
    }
}

impl From<StatsError> for PageError {
    fn from(error: StatsError) -> Self {
        Self::Admin(error.into())
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Admin(error) => error.answer().0,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
        };
        layout::error(status, &self.to_string())
    }
}

/// The judgment of a state, for the color of its mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Good,
    Plain,
    Warn,
    Bad,
}

/// Returns a state as a mark. The words carry the meaning, not the color.
pub fn state(mood: Mood, words: &str) -> Markup {
    let class = match mood {
        Mood::Good => "state good",
        Mood::Plain => "state",
        Mood::Warn => "state warn",
        Mood::Bad => "state bad",
    };
    html! { span class=(class) { (words) } }
}

/// Returns a form that acts after a second click: the first one opens it.
pub fn act(label: &str, action: &str, consequence: &str, fields: &Markup, danger: bool) -> Markup {
    html! {
        details class="act" {
            summary { (label) "…" }
            form method="post" action=(action) {
                p { (consequence) }
                (fields)
                button class=[danger.then_some("danger")] { (label) }
            }
        }
    }
}
