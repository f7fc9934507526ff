//! CSPs: status, pause and resume.

use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::extract::Path;
use axum::extract::State;
use serde::Serialize;

use super::error::AdminError;
use super::state::AdminState;
use crate::http::audit;
use crate::http::auth::Principal;
use crate::worker::CspRuntime;

#[derive(Debug, Serialize)]
pub struct CspState {
    name: String,
    paused: bool,
}

#[derive(Debug, Serialize)]
pub struct Csps {
    csps: Vec<Csp>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Csp {
    name: String,
    adapter: String,
    paused: bool,
    breaker: Breaker,
    /// Credential names that the adapter needs and the configuration lacks.
    missing_credentials: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Breaker {
    /// `closed`, `open`, `half-open`, `given-up`.
    state: &'static str,
    /// RFC 3339, UTC.
    since: String,
    /// Jobs with a failed call since the last response; counted up to the
    /// number that opens the breaker.
    failures: usize,
}

/// Handles `GET /csps`.
pub async fn list(State(state): State<Arc<AdminState>>) -> Json<Csps> {
    Json(Csps { csps: state.csps.values().map(|csp| row(&state, csp)).collect() })
}

/// Handles `GET /csps/{name}`.
pub async fn show(
    State(state): State<Arc<AdminState>>,
    Path(name): Path<String>,
) -> Result<Json<Csp>, AdminError> {
    Ok(Json(row(&state, find(&state, &name)?)))
}

fn row(state: &AdminState, csp: &CspRuntime) -> Csp {
    let standing = csp.status(&state.registry);
    Csp {
        name: csp.name.to_string(),
        adapter: csp.adapter.clone(),
        paused: standing.paused,
        breaker: Breaker {
            state: standing.breaker.phase.as_str(),
            since: standing.breaker.since.to_rfc3339(),
            failures: standing.breaker.failures,
        },
        missing_credentials: standing.missing_credentials,
    }
}

/// Handles `POST /csps/{name}/pause`: queued jobs wait; running jobs continue.
pub async fn pause(
    State(state): State<Arc<AdminState>>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
) -> Result<Json<CspState>, AdminError> {
    find(&state, &name)?.pause.pause();
    audit::paused(&principal, &name);
    Ok(Json(CspState { name, paused: true }))
}

/// Handles `POST /csps/{name}/resume`: queued jobs run again.
pub async fn resume(
    State(state): State<Arc<AdminState>>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
) -> Result<Json<CspState>, AdminError> {
    find(&state, &name)?.pause.resume();
    audit::resumed(&principal, &name);
    Ok(Json(CspState { name, paused: false }))
}

fn find<'a>(state: &'a AdminState, name: &str) -> Result<&'a CspRuntime, AdminError> {
    let found = name.parse().ok().and_then(|name| state.csps.get(&name));
    found.ok_or_else(|| AdminError::NotFound(format!("CSP `{name}` is not configured")))
}
