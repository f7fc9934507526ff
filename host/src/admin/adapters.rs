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

use super::error::AdminError;
use super::state::AdminState;
use crate::http::audit;
use crate::http::auth::Principal;
use crate::registry::AdapterListing;
use crate::registry::InstallError;
use crate::registry::Package;
use crate::registry::Refusal;
use crate::registry::RollBackError;
use crate::registry::SIGNATURE_BYTES_MAX;
use crate::registry::Version;
use crate::replay::Policy;
use crate::replay::ReplayReport;
use hoth_core::domain::Digest;

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
    Json(Adapters { adapters: state.registry.list() })
}

/// Handles `GET /adapters/{name}`.
pub async fn show(
    State(state): State<Arc<AdminState>>,
    Path(name): Path<String>,
) -> Result<Json<AdapterListing>, AdminError> {
    // Compared as text: a path that is not a valid name is not found either.
    let found = state.registry.list().into_iter().find(|adapter| adapter.name.as_str() == name);
    found.map(Json).ok_or_else(|| AdminError::NotFound(format!("adapter `{name}` not found")))
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

/// The body of a rollback request.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RollBackParams {
    /// The retained version to activate; the previously active one if missing.
    pub sha256: Option<Digest>,
}

/// Handles `POST /adapters/{name}/rollback`.
pub async fn post_rollback(
    State(state): State<Arc<AdminState>>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Activated>, AdminError> {
    // Parsed here: axum's extractor refuses a request without a body and without
    // a content type, which is the usual form of this one.
    let params = match &body[..] {
        b"" => RollBackParams::default(),
        body => serde_json::from_slice(body).map_err(|error| {
            AdminError::BadRequest(format!(
                "the body must be empty or {{\"sha256\": \"…\"}}, with 64 hex digits: {error}"
            ))
        })?,
    };
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
    params: &RollBackParams,
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

fn activated(name: String, version: &Version) -> Activated {
    Activated { name, sha256: version.adapter().digest().to_string() }
}
