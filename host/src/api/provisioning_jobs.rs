//! `/provisioning-jobs`: its routes, and what the API's description says of them.

use axum::Json;
use axum::response::Response;

use super::accept;
use super::authed_request::AuthedRequest;
use super::batch;
use super::collect;
use super::error::ApiError;
use super::openapi::BodyRefused;
use super::openapi::IdReused;
use super::openapi::LeaseEnded;
use super::openapi::NoArchive;
use super::openapi::Refused;
use super::redeliver;
use super::schema::Batch;
use super::schema::Done;
use super::schema::JobRedelivery;
use super::schema::ProvisioningMessage;
use super::schema::ProvisioningRequest;
use super::schema::Redelivered;
use hoth_core::domain::JobKind;

const KIND: JobKind = JobKind::Provisioning;

/// Start a provisioning job
///
/// Answers when the request is stored durably, before any of it has been done.
/// Its outcome is had by `GET`. Role `write`.
#[utoipa::path(
    post,
    path = "/provisioning-jobs",
    tag = "provisioning",
    operation_id = "startProvisioningJob",
    request_body(
        content = ProvisioningRequest,
        description = "The request. Types are not coerced; no key is given twice; nesting ends at 64 levels.",
        examples(
            ("portfolio" = (value = json!({
                "jobId": "81b31a89-e3e5-46ee-acfe-75436bd14577",
                "userId": "21d18790-bf3e-4529-a361-460ee6d16e0b",
                "operationType": "ADD_PORTFOLIO",
                "targetCspName": "CSP_A",
                "payload": {
                    "name": "Sample Portfolio",
                    "taskOrders": [{
                        "taskOrderNumber": "1234567890123",
                        "popStartDate": "2026-07-01",
                        "popEndDate": "2027-07",
                        "clins": [{
                            "clinNumber": "0001",
                            "type": "CLOUD",
                            "classificationLevel": "UNCLASSIFIED",
                            "popStartDate": "2026-07-01",
                            "popEndDate": "2027-07-01"
                        }]
                    }]
                }
            }))),
            ("operators" = (value = json!({
                "userId": "21d18790-bf3e-4529-a361-460ee6d16e0b",
                "portfolioId": "b02e77d1-234d-4e3d-bc85-b57ca5a93952",
                "operationType": "ADD_OPERATORS",
                "targetCspName": "CSP_A",
                "payload": {
                    "environmentId": "5a1f0d3e",
                    "administrators": [{"email": "admin@mail.mil", "dodId": "1234567890", "needsReset": false}]
                }
            })))
        )
    ),
    responses(
        (status = CREATED, description = "Accepted: the request as it was posted, with its `jobId`.", body = ProvisioningRequest),
        BodyRefused,
        IdReused,
        Refused
    )
)]
pub async fn accept(authed: AuthedRequest) -> Result<Response, ApiError> {
    accept::accept(authed, KIND).await
}

/// Collect outcomes of provisioning jobs
///
/// At most ten, oldest first per portfolio. Without `lease` they are consumed
/// once the response has left; with it they are leased. Role `read`.
#[utoipa::path(
    get,
    path = "/provisioning-jobs",
    tag = "provisioning",
    operation_id = "collectProvisioningOutcomes",
    params(super::openapi::Wish),
    responses(
        (
            status = OK,
            description = "The outcomes; an empty list when there are none.",
            body = inline(Vec<ProvisioningMessage>),
            headers(("Hoth-Batch" = String, description = "The name of the leased batch; not there when nothing was leased."))
        ),
        LeaseEnded,
        Refused
    )
)]
pub async fn collect(authed: AuthedRequest) -> Result<Response, ApiError> {
    collect::collect(authed, KIND).await
}

/// Acknowledge a leased batch
///
/// Its outcomes are deleted. Doing so twice is as good as once. Role `read`.
#[utoipa::path(
    post,
    path = "/provisioning-jobs/ack",
    tag = "provisioning",
    operation_id = "acknowledgeProvisioningOutcomes",
    request_body(content = Batch, example = json!({"batch": "2vXk3mZ2n3gxLjE4"})),
    responses(
        (status = OK, description = "They are deleted.", body = Done),
        BodyRefused,
        LeaseEnded,
        Refused
    )
)]
pub async fn ack(authed: AuthedRequest) -> Result<Json<Done>, ApiError> {
    batch::ack(authed, KIND).await
}

/// Release a leased batch
///
/// Its outcomes are on the queue again, in their order. Role `read`.
#[utoipa::path(
    post,
    path = "/provisioning-jobs/release",
    tag = "provisioning",
    operation_id = "releaseProvisioningOutcomes",
    request_body(content = Batch, example = json!({"batch": "2vXk3mZ2n3gxLjE4"})),
    responses(
        (status = OK, description = "They are on the queue again.", body = Done),
        BodyRefused,
        LeaseEnded,
        Refused
    )
)]
pub async fn release(authed: AuthedRequest) -> Result<Json<Done>, ApiError> {
    batch::release(authed, KIND).await
}

/// Have consumed outcomes again
///
/// Puts outcomes that were consumed or acknowledged in the last 24 hours
/// (`api.redelivery_hours`) back on the queue, each in its old place. Role
/// `write`.
#[utoipa::path(
    post,
    path = "/provisioning-jobs/redeliver",
    tag = "provisioning",
    operation_id = "redeliverProvisioningOutcomes",
    request_body(
        content = JobRedelivery,
        examples(
            ("jobs" = (value = json!({"jobIds": ["81b31a89-e3e5-46ee-acfe-75436bd14577"]}))),
            ("since" = (value = json!({"since": "2026-07-01T12:00:00Z"})))
        )
    ),
    responses(
        (status = OK, description = "They are on the queue again.", body = Redelivered),
        BodyRefused,
        NoArchive,
        Refused
    )
)]
pub async fn redeliver(authed: AuthedRequest) -> Result<Json<Redelivered>, ApiError> {
    redeliver::redeliver(authed, KIND).await
}
