//! This host: its version, its roles, how it is, and its drain.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde::Serialize;

use super::state::AdminState;
use super::state::HostFacts;
use crate::http::audit;
use crate::http::auth::Principal;
use hoth_core::domain::Timestamp;
use hoth_core::domain::rfc3339;

/// The longest wait for the queue.
const READY_MAX: Duration = Duration::from_millis(500);

/// A host, as its operators and the consoles of other hosts see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostView {
    /// The name of the machine.
    pub name: String,
    pub version: String,
    pub roles: Vec<String>,
    #[serde(with = "rfc3339")]
    pub started_at: Timestamp,
    /// `true` if it accepts work, as `/readyz` says.
    pub ready: bool,
    /// The disk of the queue; `null` if the queue is elsewhere.
    pub disk: Option<Disk>,
    /// The time since which it takes no more jobs, because an operator has
    /// drained it; `null` if it takes them.
    #[serde(with = "rfc3339::option", default)]
    pub drained_since: Option<Timestamp>,
    /// The jobs that its workers have in hand.
    #[serde(default)]
    pub jobs_in_hand: usize,
}

/// The room on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Disk {
    pub free_bytes: u64,
    pub total_bytes: u64,
}

/// Handles `GET /host`.
pub async fn show(State(state): State<Arc<AdminState>>) -> Json<HostView> {
    Json(view(&state).await)
}

/// Returns this host.
pub async fn view(state: &AdminState) -> HostView {
    let HostFacts { name, version, roles, started_at, configuration: _, queue: _, folder: _ } =
        &state.host;
    let disk = state.host.disk();
    HostView {
        name: name.clone(),
        version: (*version).to_owned(),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        started_at: *started_at,
        ready: state.health.is_ready(READY_MAX).await,
        disk: disk.map(|room| Disk { free_bytes: room.free, total_bytes: room.total }),
        drained_since: state.drain.switch.since(),
        jobs_in_hand: state.drain.jobs_in_hand(),
    }
}

/// Handles `POST /host/drain`.
pub async fn post_drain(
    State(state): State<Arc<AdminState>>,
    Extension(principal): Extension<Principal>,
) -> Json<HostView> {
    drain(&state, &principal);
    Json(view(&state).await)
}

/// Drains this host: its workers receive no more jobs, and jobs in hand go on.
/// Both listeners go on, too, so requests are accepted and wait.
///
/// A repetition changes nothing, but is audited. The drain is in memory; a
/// restart ends it.
pub fn drain(state: &AdminState, by: &Principal) {
    state.drain.switch.pause(state.clock.now());
    audit::drained(by, &state.host.name);
}

/// Handles `POST /host/resume`.
pub async fn post_resume(
    State(state): State<Arc<AdminState>>,
    Extension(principal): Extension<Principal>,
) -> Json<HostView> {
    resume(&state, &principal);
    Json(view(&state).await)
}

/// Ends the drain: the workers receive jobs again.
pub fn resume(state: &AdminState, by: &Principal) {
    state.drain.switch.resume();
    audit::host_resumed(by, &state.host.name);
}
