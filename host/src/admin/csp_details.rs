//! One CSP in detail: the history of its breakers, the state of its
//! credentials, its limits and operations.

use std::sync::Arc;

use axum::Json;
use axum::extract::Path;
use axum::extract::State;
use serde::Serialize;

use super::csps;
use super::csps::Csp;
use super::error::AdminError;
use super::state::AdminState;
use crate::worker::CspRuntime;
use hoth_core::domain::Operation;
use hoth_core::domain::SupportedOperations;
use hoth_core::domain::Timestamp;
use hoth_core::domain::rfc3339;
use hoth_egress::Breaker;
use hoth_egress::BreakerChange;
use hoth_egress::BreakerChangeKind;
use hoth_egress::CredentialStatus;

/// The response to `GET /csps/{name}`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CspDetails {
    #[serde(flatten)]
    csp: Csp,
    /// The version that new jobs run on; `null` if there is none.
    adapter_version: Option<AdapterVersion>,
    /// Names of the operations that new jobs can have.
    operations: Vec<&'static str>,
    limits: Limits,
    /// The last changes of all breakers since the host started, the newest
    /// first.
    breaker_history: Vec<Change>,
    credentials: Vec<Credential>,
}

#[derive(Debug, Serialize)]
struct AdapterVersion {
    version: String,
    sha256: String,
}

/// The bounds of calls.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Limits {
    calls_in_flight: usize,
    calls_max: usize,
}

/// A change of a breaker.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    origin: String,
    #[serde(with = "rfc3339")]
    at: Timestamp,
    /// `opened`, `probes-failed`, `closed` or `reset`.
    change: &'static str,
    /// The kind of the last failure: `status 503`, `connect`.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    /// Different jobs with a failed call, when it opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    jobs: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    probes: Option<u32>,
    /// The time for which it was not closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    after_seconds: Option<f64>,
}

impl Change {
    fn of(origin: &str, BreakerChange { at, what }: &BreakerChange) -> Self {
        let (origin, at) = (origin.to_owned(), *at);
        let none = Self {
            origin,
            at,
            change: "closed",
            cause: None,
            jobs: None,
            probes: None,
            after_seconds: None,
        };
        match what {
            BreakerChangeKind::Opened { jobs, cause } => {
                Self { change: "opened", jobs: Some(*jobs), cause: Some(cause.to_string()), ..none }
            }
            BreakerChangeKind::ProbesFailed { probes, until: _, cause } => Self {
                change: "probes-failed",
                probes: Some(*probes),
                cause: Some(cause.to_string()),
                ..none
            },
            BreakerChangeKind::Closed { after } => {
                Self { after_seconds: Some(after.as_secs_f64()), ..none }
            }
            BreakerChangeKind::Reset { after } => {
                Self { change: "reset", after_seconds: Some(after.as_secs_f64()), ..none }
            }
        }
    }
}

/// A configured credential, without its secret.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Credential {
    /// `null` for the default credential.
    name: Option<String>,
    kind: &'static str,
    /// `null` for a key or a password.
    token: Option<Token>,
}

/// The tokens or temporary keys of a credential since the host started.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Token {
    usable: usize,
    #[serde(with = "rfc3339::option")]
    used_until: Option<Timestamp>,
    #[serde(with = "rfc3339::option")]
    obtained_at: Option<Timestamp>,
    #[serde(with = "rfc3339::option")]
    refused_at: Option<Timestamp>,
    #[serde(with = "rfc3339::option")]
    failed_at: Option<Timestamp>,
    failure: Option<String>,
}

impl From<CredentialStatus> for Credential {
    fn from(CredentialStatus { name, kind, token }: CredentialStatus) -> Self {
        let token = token.map(|token| {
            let (failed_at, failure) = token.failure.unzip();
            Token {
                usable: token.usable,
                used_until: token.used_until,
                obtained_at: token.obtained_at,
                refused_at: token.refused_at,
                failed_at,
                failure,
            }
        });
        Self { name, kind, token }
    }
}

/// Handles `GET /csps/{name}`.
pub async fn show(
    State(state): State<Arc<AdminState>>,
    Path(name): Path<String>,
) -> Result<Json<CspDetails>, AdminError> {
    let csp = csps::find(&state, &name)?;
    let version = state.registry.serving(&csp.name).ok();
    Ok(Json(CspDetails {
        csp: csps::row(&state, csp),
        adapter_version: version.map(|version| AdapterVersion {
            version: version.adapter().info().version.clone(),
            sha256: version.adapter().digest().to_string(),
        }),
        operations: csp_operations(&state, csp),
        limits: Limits {
            calls_in_flight: csp.client.calls_in_flight(),
            calls_max: csp.client.calls_max(),
        },
        breaker_history: breaker_history(csp)
            .iter()
            .map(|(origin, change)| Change::of(origin, change))
            .collect(),
        credentials: csp.client.credentials().into_iter().map(Credential::from).collect(),
    }))
}

/// Returns the names of the operations that new jobs of a CSP can have.
pub fn csp_operations(state: &AdminState, csp: &CspRuntime) -> Vec<&'static str> {
    match state.registry.operations(&csp.name) {
        SupportedOperations::Any => Operation::ALL.map(Operation::api_name).to_vec(),
        SupportedOperations::Only(offered) => offered.iter().map(|one| one.api_name()).collect(),
    }
}

/// Returns the changes of all breakers of a CSP with their origins, the newest
/// first. Each breaker keeps a bounded number of them.
pub fn breaker_history(csp: &CspRuntime) -> Vec<(String, BreakerChange)> {
    let of = |origin: String, breaker: &Breaker| {
        breaker.history().into_iter().map(move |change| (origin.clone(), change))
    };
    let mut all: Vec<_> = of(csp.client.origin().to_string(), csp.client.breaker()).collect();
    for (origin, breaker) in csp.client.other_breakers() {
        all.extend(of(origin.to_string(), breaker));
    }
    all.sort_by_key(|(_, change)| std::cmp::Reverse(change.at));
    all
}
