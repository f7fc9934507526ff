//! Pausing and resuming a CSP.

use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::extract::Path;
use axum::extract::State;
use serde::Serialize;

use super::AdminState;
use super::error::AdminError;
use crate::audit;
use crate::auth::Principal;
use crate::worker::Gate;

#[derive(Debug, Serialize)]
pub struct CspState {
    name: String,
    paused: bool,
}

/// `POST /csps/{name}/pause`: its jobs wait; those in hand go on.
pub async fn pause(
    State(state): State<Arc<AdminState>>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
) -> Result<Json<CspState>, AdminError> {
    gate(&state, &name)?.close();
    audit::paused(&principal, &name);
    Ok(Json(CspState { name, paused: true }))
}

/// `POST /csps/{name}/resume`.
pub async fn resume(
    State(state): State<Arc<AdminState>>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
) -> Result<Json<CspState>, AdminError> {
    gate(&state, &name)?.open();
    audit::resumed(&principal, &name);
    Ok(Json(CspState { name, paused: false }))
}

fn gate<'a>(state: &'a AdminState, name: &str) -> Result<&'a Gate, AdminError> {
    let found = name.parse().ok().and_then(|name| state.gates.get(&name));
    found.ok_or_else(|| AdminError::NotFound(format!("no CSP named `{name}` is configured")))
}
