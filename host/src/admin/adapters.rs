//! The adapters and their versions.

use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::body::Bytes;
use axum::extract::Path;
use axum::extract::State;
use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde::Serialize;

use super::AdminState;
use super::error::AdminError;
use crate::audit;
use crate::auth::Principal;
use crate::domain::Digest;
use crate::registry::AdapterListing;
use crate::registry::InstallError;
use crate::registry::Package;
use crate::registry::RollBackError;
use crate::registry::SIGNATURE_BYTES_MAX;
use crate::registry::Version;

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

/// `PUT /adapters/{name}`: validates the component, then makes it the active
/// version.
pub async fn deploy(
    State(state): State<Arc<AdminState>>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
    headers: HeaderMap,
    wasm: Bytes,
) -> Result<Json<Activated>, AdminError> {
    let package = Package { wasm, signature: signature(&headers)? };
    match state.registry.install(&name, package).await {
        Ok(version) => {
            let activated = activated(name, &version);
            audit::deployed(&principal, &activated.name, &activated.sha256);
            Ok(Json(activated))
        }
        Err(refused @ (InstallError::BadName(_) | InstallError::Refused(_))) => {
            Err(AdminError::Refused(refused.to_string()))
        }
        Err(failed @ InstallError::NotWritten { .. }) => Err(AdminError::Internal(failed.into())),
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
            RollBackError::NothingEarlier | RollBackError::NotKept(_) => {
                AdminError::Conflict(error.to_string())
            }
            RollBackError::Unusable(_) => AdminError::Refused(error.to_string()),
            RollBackError::NotWritten(_) => AdminError::Internal(error.into()),
        }),
    }
}

fn activated(name: String, version: &Version) -> Activated {
    Activated { name, sha256: version.adapter().digest().to_string() }
}
