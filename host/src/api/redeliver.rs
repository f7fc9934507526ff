//! `POST …/redeliver`: puts consumed outcomes back on their queue.

use super::ApiError;
use super::call::Call;
use super::schema::Redelivered;
use crate::http::audit;
use axum::Json;
use hoth_core::domain::JobKind;
use hoth_core::domain::request;
use hoth_core::domain::request::Redelivery;
use hoth_platform::failpoint;
use hoth_platform::failpoint::FailPoint;
use hoth_queue::QueueName;
use hoth_queue::Redeliver;

/// Puts them back, and says how many there were.
pub async fn redeliver(call: Call, kind: JobKind) -> Result<Json<Redelivered>, ApiError> {
    let (api, principal) = (call.api.clone(), call.principal.clone());
    let which = match request::redelivery(kind, &call.json().await?)? {
        Redelivery::Ids(ids) => Redeliver::Keys(ids),
        Redelivery::Since(since) => Redeliver::Since(api.clock.of_wall(since)),
    };
    let asked = in_words(&which);
    api.settling.settled(kind).await;
    let redelivered = api.queue.redeliver(&QueueName::outcomes(kind), which).await?;
    failpoint::reach(FailPoint::OutcomesRedelivered);
    audit::redelivered(&principal, kind, &asked, redelivered);
    Ok(Json(Redelivered { redelivered }))
}

/// Which were asked for, as the audit trail has it.
fn in_words(which: &Redeliver) -> String {
    match which {
        Redeliver::Keys(keys) => format!("{keys:?}"),
        Redeliver::Since(since) => format!("since {} ms", since.as_millis()),
    }
}
