//! Adapters and their versions: list, deploy, roll back.

use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::body::Bytes;
use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::extract::rejection::QueryRejection;
use axum::http::HeaderMap;
use axum::response::IntoResponse as _;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde::Serialize;
use tracing::warn;

use super::error::AdminError;
use super::state::AdminState;
use crate::http::audit;
use crate::http::auth::Principal;
use crate::registry::AdapterListing;
use crate::registry::InstallError;
use crate::registry::Package;
use crate::registry::Refusal;
use crate::registry::ReplayError;
use crate::registry::RollBackError;
use crate::registry::SIGNATURE_BYTES_MAX;
use crate::registry::Version;
use crate::replay::Policy;
use crate::replay::ReplayReport;
use hoth_core::domain::Digest;
use hoth_trail::TrailError;

/// The largest component that can be deployed.
pub use crate::registry::COMPONENT_BYTES_MAX;

/// The response to `GET /adapters`.
#[derive(Debug, Serialize)]
pub struct Adapters {
    adapters: Vec<AdapterListing>,
}

/// The response to a deployment or a rollback.
#[derive(Debug, Serialize)]
pub struct Activated {
    name: String,
    /// The digest of the version that serves now.
    sha256: String,
}

/// Handles `GET /adapters`.
pub async fn list(State(state): State<Arc<AdminState>>) -> Json<Adapters> {
    Json(Adapters { adapters: listings(&state).await })
}

/// Lists all adapters, with the jobs that wait for each version as far as the
/// trail of this host tells.
pub async fn listings(state: &AdminState) -> Vec<AdapterListing> {
    let mut adapters = state.registry.list();
    let versions = || adapters.iter().flat_map(|adapter| &adapter.versions);
    let digests = versions().map(|version| version.sha256.prefix()).collect();
    match state.trail.waiting(digests).await {
        Ok(waiting) => {
            let versions = adapters.iter_mut().flat_map(|adapter| &mut adapter.versions);
            for (version, jobs) in versions.zip(waiting) {
                version.waiting_jobs = Some(jobs);
            }
        }
        Err(TrailError::Off) => {}
        Err(error) => {
            warn!(error = &error as &dyn std::error::Error, "Cannot count waiting jobs");
        }
    }
    adapters
}

/// Returns one adapter of [`listings`].
///
/// # Errors
///
/// Returns an error if there is no such adapter.
pub async fn listing(state: &AdminState, name: &str) -> Result<AdapterListing, AdminError> {
    // Compared as text: a path that is not a valid name is not found either.
    let found = listings(state).await.into_iter().find(|adapter| adapter.name.as_str() == name);
    found.ok_or_else(|| AdminError::NotFound(format!("adapter `{name}` not found")))
}

/// Handles `GET /adapters/{name}`.
pub async fn show(
    State(state): State<Arc<AdminState>>,
    Path(name): Path<String>,
) -> Result<Json<AdapterListing>, AdminError> {
    listing(&state, &name).await.map(Json)
}

/// The request header with a component's signature: the text of minisign's
/// signature file in base64.
pub const SIGNATURE_HEADER: &str = "hoth-signature";

/// The query parameters of a deployment.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DeployParams {
    /// Only validates and replays; nothing changes.
    pub dry_run: bool,
    /// Overrides the configured replay policy.
    pub replay: Option<Policy>,
}

/// The result of a deployment.
pub enum Deployed {
    Activated(Activated),
    /// Nothing has changed; the behavior of the candidate on past jobs.
    DryRun(Box<ReplayReport>),
}

/// Handles `PUT /adapters/{name}`.
pub async fn put(
    State(state): State<Arc<AdminState>>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
    params: Result<Query<DeployParams>, QueryRejection>,
    headers: HeaderMap,
    wasm: Bytes,
) -> Result<Response, AdminError> {
    let Query(params) = params.map_err(|bad| AdminError::BadRequest(bad.body_text()))?;
    let signature = signature(&headers)?;
    Ok(match deploy(&state, &principal, name, wasm, signature, &params).await? {
        Deployed::Activated(activated) => Json(activated).into_response(),
        Deployed::DryRun(report) => Json(report).into_response(),
    })
}

/// Validates a component, then activates it. A dry run changes nothing.
///
/// # Errors
///
/// Returns the reason and the remedy if the component is refused. The version
/// that was active stays active.
pub async fn deploy(
    state: &AdminState,
    by: &Principal,
    name: String,
    wasm: Bytes,
    signature: Option<Bytes>,
    params: &DeployParams,
) -> Result<Deployed, AdminError> {
    let (package, replay) = (Package { wasm, signature }, params.replay);
    // Not audited, because nothing changes.
    if params.dry_run {
        let report = state.registry.dry_run(&name, package, replay).await.map_err(refused)?;
        return Ok(Deployed::DryRun(Box::new(report)));
    }
    let version = state.registry.install(&name, package, replay).await.map_err(refused)?;
    // Audited after the activation: a refused component is no deployment. A
    // crash in between loses only this line; the registry logs the activation.
    let activated = activated(name, &version);
    let replay = replay.map_or("configured", Policy::as_str);
    audit::deployed(by, &activated.name, &activated.sha256, replay);
    Ok(Deployed::Activated(activated))
}

/// Maps an installation error to its HTTP meaning.
fn refused(error: InstallError) -> AdminError {
    let message = error.to_string();
    match error {
        InstallError::Refused(Refusal::Replay(report)) => AdminError::Replayed { message, report },
        InstallError::BadName(_)
        | InstallError::Refused(
            Refusal::Signature(_) | Refusal::Component(_) | Refusal::Incompatible(_),
        ) => AdminError::Refused(message),
        InstallError::NotWritten { .. } => AdminError::Internal(error.into()),
    }
}

/// Returns the decoded signature, or `None` if the header is missing.
fn signature(headers: &HeaderMap) -> Result<Option<Bytes>, AdminError> {
    let Some(value) = headers.get(SIGNATURE_HEADER) else { return Ok(None) };
    // In base64, because the file has several lines and a header value cannot.
    // The bound keeps an oversized file away from the parser.
    let text = BASE64.decode(value).ok().filter(|text| text.len() <= SIGNATURE_BYTES_MAX);
    text.map(|text| Some(text.into())).ok_or_else(|| {
        AdminError::BadRequest(format!(
            "`{SIGNATURE_HEADER}` must be minisign's signature file in base64: `base64 -w0 \
             FILE.wasm.minisig`"
        ))
    })
}

/// The body of a request about a retained version.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VersionParams {
    /// The version to activate or to replay. If it is missing, the previously
    /// active one is activated, or the candidate of the last report replayed.
    pub sha256: Option<Digest>,
}

impl VersionParams {
    /// Parses a body, which may be empty.
    fn parse(body: &[u8]) -> Result<Self, AdminError> {
        // Not by axum's extractor, which refuses a request without a body and
        // without a content type: the usual form of these.
        match body {
            b"" => Ok(Self::default()),
            body => serde_json::from_slice(body).map_err(|error| {
                AdminError::BadRequest(format!(
                    "the body must be empty or {{\"sha256\": \"…\"}}, with 64 hex digits: {error}"
                ))
            }),
        }
    }
}

/// Handles `POST /adapters/{name}/rollback`.
pub async fn post_rollback(
    State(state): State<Arc<AdminState>>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Activated>, AdminError> {
    let params = VersionParams::parse(&body)?;
    roll_back(&state, &principal, name, &params).await.map(Json)
}

/// Activates an earlier version.
///
/// # Errors
///
/// Returns an error if there is no such version, or if it cannot be used.
pub async fn roll_back(
    state: &AdminState,
    by: &Principal,
    name: String,
    params: &VersionParams,
) -> Result<Activated, AdminError> {
    match state.registry.roll_back(&name, params.sha256.as_ref()).await {
        Ok(version) => {
            let activated = activated(name, &version);
            audit::rolled_back(by, &activated.name, &activated.sha256);
            Ok(activated)
        }
        Err(error) => Err(match error {
            RollBackError::Unknown => AdminError::NotFound(error.to_string()),
            RollBackError::NothingEarlier
            | RollBackError::NotRetained(_)
            | RollBackError::Changed => AdminError::Conflict(error.to_string()),
            RollBackError::Unusable { .. } => AdminError::Refused(error.to_string()),
            RollBackError::NotWritten(_) => AdminError::Internal(error.into()),
        }),
    }
}

/// Handles `POST /adapters/{name}/replay`.
pub async fn post_replay(
    State(state): State<Arc<AdminState>>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<ReplayReport>, AdminError> {
    let params = VersionParams::parse(&body)?;
    replay(&state, &principal, &name, &params).await.map(Json)
}

/// Replays the journals of an adapter on a retained version, and keeps the report
/// as the last one.
///
/// # Errors
///
/// Returns an error if there is no such version, or nothing to compare it with.
pub async fn replay(
    state: &AdminState,
    by: &Principal,
    name: &str,
    params: &VersionParams,
) -> Result<ReplayReport, AdminError> {
    match state.registry.replay_again(name, params.sha256.as_ref()).await {
        Ok(report) => {
            let candidate = report.candidate.sha256.to_string();
            audit::replayed(by, name, &candidate, report.verdict.as_str());
            Ok(report)
        }
        Err(error) => Err(match error {
            ReplayError::Unknown => AdminError::NotFound(error.to_string()),
            ReplayError::NotRetained(_) | ReplayError::NothingToCompare | ReplayError::Running => {
                AdminError::Conflict(error.to_string())
            }
            ReplayError::Unusable { .. } => AdminError::Refused(error.to_string()),
        }),
    }
}

fn activated(name: String, version: &Version) -> Activated {
    Activated { name, sha256: version.adapter().digest().to_string() }
}
