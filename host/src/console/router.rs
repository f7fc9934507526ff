//! The routes of the console, and what each of them passes.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware;
use axum::response::Redirect;
use axum::routing::get;
use axum::routing::post;

use super::ConsoleState;
use super::acts;
use super::assets;
use super::guard;
use super::layout;
use super::login;
use super::pages;
use crate::admin::COMPONENT_BYTES_MAX;

/// The largest form, in bytes. Only a component is larger.
const FORM_BYTES_MAX: usize = 64 * 1_024;

/// The bytes of a form around a component.
const ENVELOPE_BYTES_MAX: usize = 64 * 1_024;

/// Builds the console under `/console`, ready to be merged into the routes of
/// the admin listener.
pub fn router(state: ConsoleState) -> Router {
    let state = Arc::new(state);
    let deploy =
        post(acts::deploy).layer(DefaultBodyLimit::max(COMPONENT_BYTES_MAX + ENVELOPE_BYTES_MAX));
    let guarded = Router::new()
        .route("/", get(pages::now::show))
        .route("/jobs", get(pages::jobs::list))
        .route("/jobs.csv", get(pages::jobs::export))
        .route("/jobs/{id}", get(pages::job::show))
        .route("/jobs/{id}/look-now", post(acts::look_now))
        .route("/jobs/{id}/cancel", post(acts::cancel))
        .route("/jobs/{id}/settle", post(acts::settle))
        .route("/queues", get(pages::queues::list))
        .route("/queues/{queue}", get(pages::queues::show))
        .route("/queues/{queue}/redrive", post(acts::redrive))
        .route("/queues/{queue}/purge", post(acts::purge))
        .route("/dead-letters", get(pages::dead_letters::list))
        .route("/dead-letters/{queue}/{id}", get(pages::dead_letters::show))
        .route("/dead-letters/{queue}/{id}/body", post(pages::dead_letters::body))
        .route("/csps", get(pages::csps::list))
        .route("/csps/{csp}", get(pages::csp::show))
        .route("/csps/{csp}/pause", post(acts::pause))
        .route("/csps/{csp}/resume", post(acts::resume))
        .route("/csps/{csp}/reset-breaker", post(acts::reset_breaker))
        .route("/adapters", get(pages::adapters::list))
        .route("/adapters/{adapter}", get(pages::adapters::show))
        .route("/adapters/{adapter}/replay", get(pages::replay::show).post(acts::replay))
        .route("/adapters/{adapter}/rollback", post(acts::roll_back))
        .route("/adapters/{adapter}/deploy", deploy)
        .route("/journals/{adapter}", get(pages::journals::list))
        .route("/journals/{adapter}/{name}", get(pages::journals::show))
        .route("/journals/{adapter}/{name}/bodies", post(pages::journals::bodies))
        .route("/journals/{adapter}/{name}/file", post(pages::journals::file))
        .route("/audit", get(pages::audit::list))
        .route("/hosts", get(pages::hosts::list))
        .route("/host/drain", post(acts::drain))
        .route("/host/resume", post(acts::resume_host))
        .route("/errors", get(pages::errors::list))
        .route("/logout", post(login::log_out))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&state), guard::authenticate));
    let console = Router::new()
        .route("/login", get(login::show).post(login::log_in))
        .route("/assets/{digest}/{name}", get(assets::serve))
        .merge(guarded)
        .fallback(async || layout::error(StatusCode::NOT_FOUND, "There is no such page."))
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        // Acts of other sites are refused before a session is looked at.
        .layer(middleware::from_fn(guard::same_origin))
        .layer(middleware::from_fn(guard::protect))
        .with_state(state);
    let to_console = get(async || Redirect::to("/console"));
    Router::new()
        .route("/", to_console.clone())
        .route("/console/", to_console)
        .nest("/console", console)
}
