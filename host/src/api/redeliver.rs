//! Redelivers consumed outcomes: returns them from the archive to their queue.

use axum::Json;

use super::authed_request::AuthedRequest;
use super::error::ApiError;
use super::schema::Redelivered;
use crate::http::audit;
use hoth_core::domain::JobEventKind;
use hoth_core::domain::JobKind;
use hoth_core::domain::request;
use hoth_core::domain::request::Redelivery;
use hoth_platform::failpoint;
use hoth_platform::failpoint::FailPoint;
use hoth_queue::QueueName;
use hoth_queue::Redeliver;

/// Redelivers the selected outcomes; answers with their number.
pub async fn redeliver(
    authed: AuthedRequest,
    kind: JobKind,
) -> Result<Json<Redelivered>, ApiError> {
    let (api, principal) = (authed.api.clone(), authed.principal.clone());
    let which = match request::redelivery(kind, &authed.json().await?)? {
        Redelivery::Ids(ids) => Redeliver::Keys(ids),
        Redelivery::Since(since) => Redeliver::Since(api.clock.of_wall(since)),
    };
    let asked = describe(&which);
    let ids = match &which {
        Redeliver::Keys(keys) => keys.clone(),
        // The queue does not say which; the outcomes are seen again when they
        // are collected.
        Redeliver::Since(_) => Vec::new(),
    };
    // An outcome whose response was just flushed reaches the archive only when
    // it is deleted, so wait for deletions under way.
    api.in_flight.wait_for(kind).await;
    let redelivered = api.queue.redeliver(&QueueName::outcomes(kind), which).await?;
    failpoint::reach(FailPoint::OutcomesRedelivered);
    audit::redelivered(&principal, kind, &asked, redelivered);
    if redelivered > 0 {
        for id in ids {
            let by = Some(principal.name().into());
            api.observe(kind, &id, JobEventKind::Redelivered { by });
        }
    }
    Ok(Json(Redelivered { redelivered }))
}

/// Returns the selection as text for the audit trail.
fn describe(which: &Redeliver) -> String {
    match which {
        Redeliver::Keys(keys) => format!("{keys:?}"),
        Redeliver::Since(since) => format!("since {} ms", since.as_millis()),
    }
}
