//! The acts of forms. Each is an act of the admin API, and leaves its audit
//! line there.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::Form;
use axum::extract::Multipart;
use axum::extract::Path;
use axum::extract::State;
use axum::extract::multipart::MultipartError;
use axum::response::IntoResponse as _;
use axum::response::Redirect;
use axum::response::Response;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::ConsoleState;
use super::notice;
use super::pages;
use super::pages::PageError;
use super::text::segment;
use crate::admin;
use crate::admin::AdminError;
use crate::admin::AdminState;
use crate::admin::DeployParams;
use crate::admin::Selection;
use crate::admin::VersionParams;
use crate::http::auth::Access;
use crate::http::auth::Principal;
use crate::replay::Policy;
use hoth_core::domain::Digest;
use hoth_core::domain::JobKind;

type Console = State<Arc<ConsoleState>>;
type Caller = Extension<Principal>;

/// Returns to a page with a notice.
fn back(path: &str, done: &str, n: u64) -> Response {
    Redirect::to(&format!("/console{path}{}", notice::query(done, n))).into_response()
}

/// Checks the role: the guard lets every role in that may see the console.
fn require(principal: &Principal, access: Access) -> Result<(), PageError> {
    match principal.role.permits(access) {
        true => Ok(()),
        false => Err(PageError::Forbidden(principal.role)),
    }
}

/// Handles `POST /console/csps/{csp}/pause`.
pub async fn pause(
    state: Console,
    caller: Caller,
    csp: Path<String>,
) -> Result<Response, PageError> {
    operate(&state, &caller, &csp, admin::pause, "paused")
}

/// Handles `POST /console/csps/{csp}/resume`.
pub async fn resume(
    state: Console,
    caller: Caller,
    csp: Path<String>,
) -> Result<Response, PageError> {
    operate(&state, &caller, &csp, admin::resume, "resumed")
}

/// Handles `POST /console/csps/{csp}/reset-breaker`.
pub async fn reset_breaker(
    State(state): Console,
    Extension(principal): Caller,
    Path(csp): Path<String>,
) -> Result<Response, PageError> {
    require(&principal, Access::Operate)?;
    let reset = admin::reset_breaker(&state.admin, &principal, &csp)?;
    Ok(back(&format!("/csps/{}", segment(&csp)), "reset", reset as u64))
}

/// Carries out an act on a CSP, and returns to its page.
fn operate(
    state: &ConsoleState,
    principal: &Principal,
    csp: &str,
    act: fn(&AdminState, &Principal, &str) -> Result<(), AdminError>,
    done: &str,
) -> Result<Response, PageError> {
    require(principal, Access::Operate)?;
    act(&state.admin, principal, csp)?;
    Ok(back(&format!("/csps/{}", segment(csp)), done, 1))
}

/// Handles `POST /console/host/drain`.
pub async fn drain(state: Console, caller: Caller) -> Result<Response, PageError> {
    require(&caller, Access::Operate)?;
    admin::drain(&state.admin, &caller);
    Ok(back("/hosts", "drained", 1))
}

/// Handles `POST /console/host/resume`.
pub async fn resume_host(state: Console, caller: Caller) -> Result<Response, PageError> {
    require(&caller, Access::Operate)?;
    admin::resume_host(&state.admin, &caller);
    Ok(back("/hosts", "host-resumed", 1))
}

/// The form that selects dead letters of a queue.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct SelectionForm {
    /// The id of one dead letter.
    id: String,
    /// A part of the reason.
    reason: String,
    /// The largest number; empty for all.
    max: String,
    /// The queue's name again; required to purge.
    confirm: String,
}

impl SelectionForm {
    fn selection(&self) -> Result<Selection, PageError> {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let max = match self.max.trim() {
            "" => None,
            max => Some(max.parse().map_err(|_| {
                AdminError::BadRequest(format!("`{max}` is not a number of dead letters"))
            })?),
        };
        let ids = given(&self.id).map(|id| vec![id]);
        Ok(Selection::new(ids, given(&self.reason), max, given(self.confirm.trim())))
    }
}

/// Handles `POST /console/queues/{queue}/redrive`.
pub async fn redrive(
    State(state): Console,
    Extension(principal): Caller,
    Path(queue): Path<String>,
    Form(form): Form<SelectionForm>,
) -> Result<Response, PageError> {
    require(&principal, Access::Operate)?;
    let done = admin::redrive(&state.admin, &principal, &queue, &form.selection()?).await?;
    Ok(back("/dead-letters", "redriven", done.redriven()))
}

/// Handles `POST /console/queues/{queue}/purge`.
pub async fn purge(
    State(state): Console,
    Extension(principal): Caller,
    Path(queue): Path<String>,
    Form(form): Form<SelectionForm>,
) -> Result<Response, PageError> {
    require(&principal, Access::Operate)?;
    let selection = form.selection()?;
    if form.confirm.trim() != queue {
        let message = format!("Nothing was deleted: type the queue's name, {queue}, to confirm.");
        return Err(AdminError::Conflict(message).into());
    }
    let done = admin::purge(&state.admin, &principal, &queue, &selection).await?;
    Ok(back("/dead-letters", "purged", done.purged()))
}

/// The form of an act on a job; a field that the act does not have is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct JobForm {
    kind: Option<JobKind>,
    reason: String,
    code: String,
    /// A JSON object.
    response: String,
}

/// Returns to the page of a job with a notice.
fn back_to_job(id: &str, kind: JobKind, done: &str) -> Response {
    let (path, kind) = (format!("/console/jobs/{}", segment(id)), kind.as_str());
    Redirect::to(&format!("{path}{}&kind={kind}", notice::query(done, 1))).into_response()
}

/// Handles `POST /console/jobs/{id}/look-now`.
pub async fn look_now(
    State(state): Console,
    Extension(principal): Caller,
    Path(id): Path<String>,
    Form(form): Form<JobForm>,
) -> Result<Response, PageError> {
    require(&principal, Access::Operate)?;
    let admin = Arc::clone(&state.admin);
    let done = admin::look_now(admin, principal, form.kind, id.clone()).await?;
    Ok(back_to_job(&id, done.kind(), "looked-now"))
}

/// Handles `POST /console/jobs/{id}/cancel`.
pub async fn cancel(
    State(state): Console,
    Extension(principal): Caller,
    Path(id): Path<String>,
    Form(form): Form<JobForm>,
) -> Result<Response, PageError> {
    require(&principal, Access::Operate)?;
    let admin = Arc::clone(&state.admin);
    let done = admin::cancel(admin, principal, form.kind, id.clone(), form.reason).await?;
    Ok(back_to_job(&id, done.kind(), "cancelled"))
}

/// Handles `POST /console/jobs/{id}/settle`.
pub async fn settle(
    State(state): Console,
    Extension(principal): Caller,
    Path(id): Path<String>,
    Form(form): Form<JobForm>,
) -> Result<Response, PageError> {
    require(&principal, Access::Operate)?;
    let bad = |problem: String| PageError::from(AdminError::BadRequest(problem));
    let code = form.code.trim();
    let code = code.parse().map_err(|_| bad(format!("`{code}` is not a code from 200 to 599")))?;
    let response = RawValue::from_string(form.response)
        .map_err(|error| bad(format!("the response is not JSON: {error}")))?;
    let outcome = admin::ByHand { reason: form.reason, code, response, request: None };
    let admin = Arc::clone(&state.admin);
    let done = admin::settle_by_hand(admin, principal, form.kind, id.clone(), outcome).await?;
    Ok(back_to_job(&id, done.kind(), "settled"))
}

/// The form that names a retained version.
#[derive(Debug, Deserialize)]
pub struct VersionForm {
    /// The version to activate or to replay.
    sha256: String,
}

impl VersionForm {
    fn params(&self) -> Result<VersionParams, PageError> {
        let sha256: Digest = self.sha256.parse().map_err(|_| {
            AdminError::BadRequest("the version is not a SHA-256 digest".to_owned())
        })?;
        Ok(VersionParams { sha256: Some(sha256) })
    }
}

/// Handles `POST /console/adapters/{adapter}/rollback`.
pub async fn roll_back(
    State(state): Console,
    Extension(principal): Caller,
    Path(adapter): Path<String>,
    Form(form): Form<VersionForm>,
) -> Result<Response, PageError> {
    require(&principal, Access::Administer)?;
    let params = form.params()?;
    let path = format!("/adapters/{}", segment(&adapter));
    admin::roll_back(&state.admin, &principal, adapter, &params).await?;
    Ok(back(&path, "rolled-back", 1))
}

/// Handles `POST /console/adapters/{adapter}/replay`: replays a retained version,
/// and returns to the report.
pub async fn replay(
    State(state): Console,
    Extension(principal): Caller,
    Path(adapter): Path<String>,
    Form(form): Form<VersionForm>,
) -> Result<Response, PageError> {
    require(&principal, Access::Administer)?;
    admin::replay_adapter(&state.admin, &principal, &adapter, &form.params()?).await?;
    Ok(back(&format!("/adapters/{}/replay", segment(&adapter)), "replayed", 1))
}

/// Handles `POST /console/adapters/{adapter}/deploy`: a form with a component,
/// its signature and the replay policy.
pub async fn deploy(
    State(state): Console,
    Extension(principal): Caller,
    Path(adapter): Path<String>,
    mut form: Multipart,
) -> Result<Response, PageError> {
    require(&principal, Access::Administer)?;
    let bad = |error: MultipartError| PageError::from(AdminError::BadRequest(error.body_text()));
    let (mut wasm, mut signature) = (Bytes::new(), None);
    let mut params = DeployParams::default();
    // Ends, because the body is bounded.
    while let Some(field) = form.next_field().await.map_err(bad)? {
        match field.name().unwrap_or_default() {
            "component" => wasm = field.bytes().await.map_err(bad)?,
            "signature" => {
                let text = field.bytes().await.map_err(bad)?;
                signature = (!text.is_empty()).then_some(text);
            }
            "replay" => {
                params.replay = match field.text().await.map_err(bad)?.as_str() {
                    "block" => Some(Policy::Block),
                    "warn" => Some(Policy::Warn),
                    "off" => Some(Policy::Off),
                    _ => None,
                };
            }
            "dry-run" => params.dry_run = field.text().await.map_err(bad)? == "yes",
            _ => {}
        }
    }
    if wasm.is_empty() {
        return Err(AdminError::BadRequest("choose a component, a .wasm file".to_owned()).into());
    }
    let path = format!("/adapters/{}", segment(&adapter));
    match admin::deploy(&state.admin, &principal, adapter.clone(), wasm, signature, &params).await {
        Ok(admin::Deployed::Activated(_)) => Ok(back(&path, "deployed", 1)),
        Ok(admin::Deployed::DryRun(report)) => {
            Ok(pages::replay::report_page(&principal, &adapter, "Dry run", &report, false))
        }
        Err(AdminError::Replayed { report, .. }) => {
            let title = "Refused by the replay gate";
            Ok(pages::replay::report_page(&principal, &adapter, title, &report, true))
        }
        Err(error) => Err(error.into()),
    }
}
