//! Journals of finished jobs: which there are, and what is in one.
//!
//! A journal is redacted, and has the bodies of responses. So the lists are for
//! every role, and its content for operators, with an audit line.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::extract::rejection::QueryRejection;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response;
use serde::Deserialize;
use serde::Serialize;
use tracing::warn;

use super::error::AdminError;
use super::state::AdminState;
use crate::http::audit;
use crate::http::auth::Principal;
use crate::replay::JournalName;
use crate::replay::JournalStore;
use hoth_core::domain::CspName;
use hoth_core::domain::JobKind;

/// The journals of one list.
const LIST_MAX: usize = 200;

/// A journal that exists.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JournalLink {
    pub adapter: String,
    /// The name of its file, without the ending.
    pub name: String,
    #[serde(flatten)]
    pub described: JournalName,
}

/// The newest journals of an adapter.
#[derive(Debug, Serialize)]
pub struct Journals {
    pub journals: Vec<JournalLink>,
    /// The number of all.
    pub count: usize,
}

impl JournalLink {
    fn new(adapter: &str, described: JournalName) -> Self {
        Self { adapter: adapter.to_owned(), name: described.to_string(), described }
    }

    /// Returns the name under which the journal is saved.
    pub fn file_name(&self) -> String {
        format!("{}.{}.json", self.adapter, self.name)
    }
}

/// Reads the store on a thread that may block.
async fn on_disk<T: Send + 'static>(
    state: &AdminState,
    read: impl FnOnce(&JournalStore) -> io::Result<T> + Send + 'static,
) -> Result<T, AdminError> {
    let store = Arc::clone(&state.journals);
    let read = tokio::task::spawn_blocking(move || read(&store)).await;
    let read = read.map_err(|panicked| AdminError::Internal(panicked.into()))?;
    read.map_err(|error| AdminError::Internal(error.into()))
}

/// Finds the last journal of a job. Only the names of one folder are read if its
/// CSP is known, and those of every configured adapter otherwise.
///
/// # Errors
///
/// Returns an error if a folder cannot be read.
async fn search(
    state: &AdminState,
    kind: JobKind,
    csp: Option<&CspName>,
    id: &str,
) -> Result<Option<JournalLink>, AdminError> {
    let adapters: BTreeSet<String> = match csp {
        Some(csp) => state.csps.get(csp).map(|csp| csp.adapter.clone()).into_iter().collect(),
        None => state.csps.values().map(|csp| csp.adapter.clone()).collect(),
    };
    let id = id.to_owned();
    on_disk(state, move |store| {
        for adapter in adapters {
            if let Some(found) = store.find(&adapter, kind, &id)? {
                return Ok(Some(JournalLink::new(&adapter, found)));
            }
        }
        Ok(None)
    })
    .await
}

/// Finds the last journal of a job, for its page. A folder that cannot be read is
/// logged, and counts as empty.
pub async fn of_job(
    state: &AdminState,
    kind: JobKind,
    csp: Option<&CspName>,
    id: &str,
) -> Option<JournalLink> {
    search(state, kind, csp, id).await.unwrap_or_else(|error| {
        warn!(error = &error as &dyn std::error::Error, "Cannot look for the journal of a job");
        None
    })
}

/// Lists the newest journals of an adapter.
///
/// # Errors
///
/// Returns an error if no CSP uses the adapter, or if its folder cannot be read.
pub async fn list(state: &AdminState, adapter: &str) -> Result<Journals, AdminError> {
    check_adapter(state, adapter)?;
    let folder = adapter.to_owned();
    let (names, count) = on_disk(state, move |store| store.list(&folder, LIST_MAX)).await?;
    let journals = names.into_iter().map(|name| JournalLink::new(adapter, name)).collect();
    Ok(Journals { journals, count })
}

/// Reads the text of a journal.
///
/// # Errors
///
/// Returns an error if there is no such journal, or if it cannot be read.
pub async fn read(
    state: &AdminState,
    adapter: &str,
    name: &str,
) -> Result<(JournalLink, String), AdminError> {
    let missing = || AdminError::NotFound(format!("`{adapter}` has no journal `{name}`"));
    check_adapter(state, adapter)?;
    let described = JournalName::parse(name).ok_or_else(missing)?;
    let (folder, file) = (adapter.to_owned(), described.clone());
    let text = on_disk(state, move |store| store.read(&folder, &file)).await?;
    Ok((JournalLink::new(adapter, described), text.ok_or_else(missing)?))
}

/// Refuses an adapter that no CSP uses: its name becomes part of a path.
fn check_adapter(state: &AdminState, adapter: &str) -> Result<(), AdminError> {
    match state.csps.values().any(|csp| csp.adapter == adapter) {
        true => Ok(()),
        false => Err(AdminError::NotFound(format!("no CSP uses an adapter `{adapter}`"))),
    }
}

/// Handles `GET /adapters/{name}/journals`.
pub async fn get_list(
    State(state): State<Arc<AdminState>>,
    Path(adapter): Path<String>,
) -> Result<Json<Journals>, AdminError> {
    list(&state, &adapter).await.map(Json)
}

/// Handles `GET /adapters/{name}/journals/{file}`.
pub async fn get_one(
    State(state): State<Arc<AdminState>>,
    Extension(principal): Extension<Principal>,
    Path((adapter, name)): Path<(String, String)>,
) -> Result<Response, AdminError> {
    let (link, text) = read(&state, &adapter, &name).await?;
    Ok(file(&principal, &link, text))
}

/// The query parameters of `GET /jobs/{id}/journal`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalQuery {
    /// Needed only if a job and a request have the same id.
    kind: Option<JobKind>,
}

/// Handles `GET /jobs/{id}/journal`: returns the last journal of a job.
pub async fn get_of_job(
    State(state): State<Arc<AdminState>>,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
    query: Result<Query<JournalQuery>, QueryRejection>,
) -> Result<Response, AdminError> {
    let Query(query) = query.map_err(|bad| AdminError::BadRequest(bad.body_text()))?;
    for kind in query.kind.map_or_else(|| JobKind::ALL.to_vec(), |kind| vec![kind]) {
        if let Some(link) = search(&state, kind, None, &id).await? {
            let (link, text) = read(&state, &link.adapter, &link.name).await?;
            return Ok(file(&principal, &link, text));
        }
    }
    Err(AdminError::NotFound(format!(
        "there is no journal of a job {id:?}: a job has one for a time after its end, if one \
         process has begun and ended it, and if the host was not too busy to record it"
    )))
}

/// Returns a journal as a file, and writes the audit line.
pub fn file(by: &Principal, link: &JournalLink, text: String) -> Response {
    audit::journal_read(by, &link.adapter, &link.name);
    let disposition = format!("attachment; filename=\"{}\"", link.file_name());
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    (headers, text).into_response()
}
