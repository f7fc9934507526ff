//! The adapters and their versions.

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

use super::AdminState;
use super::error::AdminError;
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
use hoth_core::domain::Digest;

/// The largest component that can be sent.
pub use crate::registry::COMPONENT_BYTES_MAX;

#[derive(Debug, Serialize)]
pub struct Adapters {
    adapters: Vec<AdapterListing>,
}

#[derive(Debug, Serialize)]
pub struct Activated {
    name: String,
    sha256: String,
}

/// `GET /adapters`.
pub async fn list(State(state): State<Arc<AdminState>>) -> Json<Adapters> {
    Json(Adapters { adapters: state.registry.list() })
}

/// `GET /adapters/{name}`.
pub async fn show(
    State(state): State<Arc<AdminState>>,
    Path(name): Path<String>,
) -> Result<Json<AdapterListing>, AdminError> {
    let found = state.registry.list().into_iter().find(|adapter| adapter.name.as_str() == name);
    found.map(Json).ok_or_else(|| AdminError::NotFound(format!("there is no adapter `{name}`")))
}

/// The header with a component's signature: the text of the file that minisign
/// writes, in base64.
pub const SIGNATURE_HEADER: &str = "hoth-signature";

/// How a component is deployed.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Deployment {
    /// Only says what would be.
    dry_run: bool,
    /// What a replay decides, instead of what the configuration says.
    replay: Option<Policy>,
}

/// `PUT /adapters/{name}`: validates the component, then makes it the active
/// version; with `dry-run=true` it changes nothing, and answers what a replay
/// shows.
pub async fn deploy(
    State(state): State<Arc<AdminState>>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
    deployment: Result<Query<Deployment>, QueryRejection>,
    headers: HeaderMap,
    wasm: Bytes,
) -> Result<Response, AdminError> {
    let Query(Deployment { dry_run, replay }) =
        deployment.map_err(|bad| AdminError::BadRequest(bad.body_text()))?;
    let package = Package { wasm, signature: signature(&headers)? };
    if dry_run {
        let report = state.registry.dry_run(&name, package, replay).await.map_err(refused)?;
        return Ok(Json(report).into_response());
    }
    let version =
        state.registry.install_with_policy(&name, package, replay).await.map_err(refused)?;
    let activated = activated(name, &version);
    let replay = replay.map_or("configured", Policy::as_str);
    audit::deployed(&principal, &activated.name, &activated.sha256, replay);
    Ok(Json(activated).into_response())
}

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

fn signature(headers: &HeaderMap) -> Result<Option<Bytes>, AdminError> {
    let Some(value) = headers.get(SIGNATURE_HEADER) else { return Ok(None) };
    let text = BASE64.decode(value).ok().filter(|text| text.len() <= SIGNATURE_BYTES_MAX);
    text.map(|text| Some(text.into())).ok_or_else(|| {
        AdminError::BadRequest(format!(
            "`{SIGNATURE_HEADER}` must be the file that minisign writes, in base64: `base64 -w0 \
             FILE.wasm.minisig`"
        ))
    })
}

/// What a rollback goes to.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RollBack {
    /// A version that is kept; else the one that was active before.
    sha256: Option<Digest>,
}

/// `POST /adapters/{name}/rollback`: makes an earlier version active again.
pub async fn roll_back(
    State(state): State<Arc<AdminState>>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Activated>, AdminError> {
    let RollBack { sha256 } = match &body[..] {
        b"" => RollBack::default(),
        body => serde_json::from_slice(body).map_err(|error| {
            AdminError::BadRequest(format!(
                "the body must be empty or {{\"sha256\": \"…\"}}, with 64 hex digits: {error}"
            ))
        })?,
    };
    match state.registry.roll_back(&name, sha256.as_ref()).await {
        Ok(version) => {
            let activated = activated(name, &version);
            audit::rolled_back(&principal, &activated.name, &activated.sha256);
            Ok(Json(activated))
        }
        Err(error) => Err(match error {
            RollBackError::Unknown => AdminError::NotFound(error.to_string()),
            RollBackError::NothingEarlier | RollBackError::NotRetained(_) => {
                AdminError::Conflict(error.to_string())
            }
            RollBackError::Unusable { .. } => AdminError::Refused(error.to_string()),
            RollBackError::NotWritten(_) => AdminError::Internal(error.into()),
        }),
    }
}

fn activated(name: String, version: &Version) -> Activated {
    Activated { name, sha256: version.adapter().digest().to_string() }
}
