//! CSPs: status, pause, resume, and reset of breakers.

use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::extract::Path;
use axum::extract::State;
use serde::Serialize;

use super::calls::Calls;
use super::error::AdminError;
use super::state::AdminState;
use crate::http::audit;
use crate::http::auth::Principal;
use crate::worker::CspRuntime;
use hoth_core::domain::Timestamp;
use hoth_egress::BreakerStatus;

/// The response to a pause or a resumption.
#[derive(Debug, Serialize)]
pub struct CspState {
    name: String,
    paused: bool,
}

/// The response to `GET /csps`.
#[derive(Debug, Serialize)]
pub struct Csps {
    csps: Vec<Csp>,
}

/// A configured CSP.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Csp {
    name: String,
    /// The name of its adapter, which may be missing or refused.
    adapter: String,
    paused: bool,
    /// The time of the pause (RFC 3339, UTC); `null` if the CSP is not paused.
    paused_since: Option<String>,
    calls: Calls,
    /// The breaker of the origin of its base URL.
    breaker: Breaker,
    /// The breakers of its other origins.
    other_origins: Vec<OtherOrigin>,
    /// The secret that cannot be read, and the reason. Jobs wait meanwhile.
    missing_secret: Option<String>,
    /// Credential names that the adapter needs and the configuration lacks.
    missing_credentials: Vec<String>,
}

/// Another origin of a CSP.
#[derive(Debug, Serialize)]
struct OtherOrigin {
    origin: String,
    breaker: Breaker,
}

/// The state of a circuit breaker.
#[derive(Debug, Serialize)]
struct Breaker {
    /// `closed`, `open`, `half-open` or `given-up`.
    state: &'static str,
    /// The time of the last change of state (RFC 3339, UTC).
    since: String,
    /// Jobs with a failed call since the last response; counted up to the
    /// number that opens the breaker.
    failures: usize,
    /// The time of the next call that is let through (RFC 3339, UTC); `null` if
    /// the breaker is not open.
    next_probe_at: Option<String>,
}

impl Breaker {
    fn of(status: &BreakerStatus) -> Self {
        Self {
            state: status.phase.as_str(),
            since: status.since.to_rfc3339(),
            failures: status.failures,
            next_probe_at: status.next_probe_at.map(Timestamp::to_rfc3339),
        }
    }
}

/// Handles `GET /csps`.
pub async fn list(State(state): State<Arc<AdminState>>) -> Json<Csps> {
    Json(Csps { csps: state.csps.values().map(|csp| row(&state, csp)).collect() })
}

/// Returns a CSP as the list has it.
pub fn row(state: &AdminState, csp: &CspRuntime) -> Csp {
    let status = csp.status(&state.registry);
    Csp {
        name: csp.name.to_string(),
        adapter: csp.adapter.clone(),
        paused: status.paused_since.is_some(),
        paused_since: status.paused_since.map(Timestamp::to_rfc3339),
        calls: Calls::of(&state.activity, &csp.name),
        breaker: Breaker::of(&status.breaker),
        other_origins: status
            .other_breakers
            .iter()
            .map(|(origin, breaker)| OtherOrigin {
                origin: origin.to_string(),
                breaker: Breaker::of(breaker),
            })
            .collect(),
        missing_secret: status.missing_secret,
        missing_credentials: status.missing_credentials,
    }
}

/// Handles `POST /csps/{name}/pause`.
pub async fn post_pause(
    State(state): State<Arc<AdminState>>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
) -> Result<Json<CspState>, AdminError> {
    pause(&state, &principal, &name)?;
    Ok(Json(CspState { name, paused: true }))
}

/// Pauses a CSP: queued jobs wait; running jobs continue.
///
/// A repetition changes nothing, but is audited, because it shows the
/// operator's intent. The switch is in memory; a restart resets it to the
/// configuration.
///
/// # Errors
///
/// Returns an error if there is no such CSP.
pub fn pause(state: &AdminState, by: &Principal, name: &str) -> Result<(), AdminError> {
    find(state, name)?.pause.pause(state.clock.now());
    audit::paused(by, name);
    Ok(())
}

/// Handles `POST /csps/{name}/resume`.
pub async fn post_resume(
    State(state): State<Arc<AdminState>>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
) -> Result<Json<CspState>, AdminError> {
    resume(&state, &principal, &name)?;
    Ok(Json(CspState { name, paused: false }))
}

/// Resumes a CSP: queued jobs run again.
///
/// # Errors
///
/// Returns an error if there is no such CSP.
pub fn resume(state: &AdminState, by: &Principal, name: &str) -> Result<(), AdminError> {
    find(state, name)?.pause.resume();
    audit::resumed(by, name);
    Ok(())
}

/// The response to a reset.
#[derive(Debug, Serialize)]
pub struct BreakersReset {
    name: String,
    /// The breakers that were open.
    reset: usize,
}

/// Handles `POST /csps/{name}/reset-breaker`.
pub async fn post_reset_breaker(
    State(state): State<Arc<AdminState>>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
) -> Result<Json<BreakersReset>, AdminError> {
    let reset = reset_breaker(&state, &principal, &name)?;
    Ok(Json(BreakersReset { name, reset }))
}

/// Closes the breakers of a CSP, so that its jobs run at once, and returns the
/// number of those that were open. A breaker opens again if calls still fail.
///
/// A repetition changes nothing, but is audited.
///
/// # Errors
///
/// Returns an error if there is no such CSP.
pub fn reset_breaker(state: &AdminState, by: &Principal, name: &str) -> Result<usize, AdminError> {
    let reset = find(state, name)?.client.reset_breakers();
    audit::breaker_reset(by, name, reset);
    Ok(reset)
}

/// Returns the running parts of a configured CSP.
///
/// # Errors
///
/// Returns an error if there is no such CSP.
pub fn find<'a>(state: &'a AdminState, name: &str) -> Result<&'a CspRuntime, AdminError> {
    // A path that is not a valid name gets the same 404 as an unknown CSP.
    let found = name.parse().ok().and_then(|name| state.csps.get(&name));
    found.ok_or_else(|| AdminError::NotFound(format!("CSP `{name}` is not configured")))
}
