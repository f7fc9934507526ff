//! The adapters and their versions.

use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::body::Bytes;
use axum::extract::Path;
use axum::extract::State;
use serde::Deserialize;
use serde::Serialize;
use tracing::warn;

use super::AdminState;
use super::error::AdminError;
use crate::audit;
use crate::auth::Principal;
use crate::domain::Digest;
use crate::registry::AdapterListing;
use crate::registry::InstallError;
use crate::registry::RollBackError;
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

/// `PUT /adapters/{name}`: validates the component, then makes it the active
/// version.
pub async fn deploy(
    State(state): State<Arc<AdminState>>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
    component: Bytes,
) -> Result<Json<Activated>, AdminError> {
    match state.registry.install(&name, component).await {
        Ok(version) => {
            let activated = activated(name, &version);
            audit::deployed(&principal, &activated.name, &activated.sha256);
            Ok(Json(activated))
        }
        Err(refused) => {
            warn!(adapter = %name, error = &refused as &dyn std::error::Error, "Adapter refused");
            Err(match refused {
                InstallError::BadName(_) | InstallError::Refused(_) => {
                    AdminError::Refused(chain(&refused))
                }
                InstallError::NotWritten { .. } => AdminError::Internal(refused.into()),
            })
        }
    }
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

/// An error with its causes, for an operator who must act on it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
