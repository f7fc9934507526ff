//! Accepts a job: stores it durably and answers before any of it runs.

use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use uuid::Uuid;

use super::authed_request::AuthedRequest;
use super::error::ApiError;
use crate::http::audit;
use crate::http::audit::Submission;
use hoth_core::domain::JobEventKind;
use hoth_core::domain::JobFacts;
use hoth_core::domain::JobKind;
use hoth_core::domain::JobRecord;
use hoth_core::domain::QueuedJob;
use hoth_core::domain::request;
use hoth_core::domain::request::Known;
use hoth_platform::failpoint;
use hoth_platform::failpoint::FailPoint;
use hoth_queue::NewMessage;
use hoth_queue::QueueName;
use hoth_queue::Sent;

/// The response header of a request that was accepted before.
const REPEATED_HEADER: HeaderName = HeaderName::from_static("hoth-repeated");

/// Queues the job that the body describes. Answers with the request as posted,
/// with a generated job id if it had none.
pub async fn accept(authed: AuthedRequest, kind: JobKind) -> Result<Response, ApiError> {
    let principal = authed.principal.clone();
    let (api, trace) = (authed.api.clone(), authed.trace.clone());
    let body = authed.json().await?;
    let known = Known { csps: &api.csps, served: &*api.served };
    // Validated completely before the queue is touched: a refused request
    // leaves no trace.
    let (job, status) = match kind {
        JobKind::Provisioning => {
            let new_id = || Uuid::now_v7().to_string().parse().expect("a UUID is a valid job id");
            (request::provisioning(&body, known, new_id)?, StatusCode::CREATED)
        }
        JobKind::Cost => (request::cost(&body, known)?, api.cost_accepted),
    };
    // The text as it was posted, not serialized again: numbers and the order of
    // keys stay as ServiceNow wrote them.
    let echo = job.request.get().to_owned();
    let (id, csp, operation) = (job.id.clone(), job.csp.clone(), job.operation);
    let queue = QueueName::requests(kind, &csp);
    trace.set("hoth.job.id", id.as_str());
    let sending = trace.send(&queue, id.as_str());
    // No part of what is compared: a repetition may come in another trace.
    let queued = QueuedJob::new(job, api.clock.now()).traced(sending.job_trace());
    let (mut facts, message) = (JobFacts::of_queued(&queued), NewMessage::accepted(&queued));
    failpoint::reach(FailPoint::RequestReceived);
    // The queue commits before it returns. Only then may the client be told
    // that the job is accepted. After a crash between the two the client repeats
    // its request, and the queue recognizes the id. (A request without an id
    // becomes another job.)
    let sent = api.queue.send(&queue, message).await;
    sending.end(sent.as_ref().err());
    let sent = sent?;
    failpoint::reach(FailPoint::JobAccepted);
    let repeated = match sent {
        Sent::Queued => {
            audit::submitted(&principal, &id, &csp, operation, Submission::New);
            false
        }
        // The client has lost the first response, so it gets the same one, with
        // a mark.
        Sent::Duplicate => {
            audit::submitted(&principal, &id, &csp, operation, Submission::Repeat);
            trace.set("hoth.again", true);
            true
        }
        Sent::Conflict => return Err(ApiError::IdReused),
    };
    let accepted_at = queued.accepted_at;
    if repeated {
        // The job was accepted at an earlier time, which is not known here.
        facts.accepted_at = None;
    }
    let by = Some(principal.name().into());
    let what = JobEventKind::Accepted { by, repeated };
    api.observers.observe(JobRecord::of_one(facts, accepted_at, what));
    let json = [(header::CONTENT_TYPE, "application/json")];
    let mut response = (status, json, echo).into_response();
    if repeated {
        response.headers_mut().insert(REPEATED_HEADER, HeaderValue::from_static("true"));
    }
    Ok(response)
}
