//! The JSON of this API, as its description has it.
//!
//! What is read by hand (see [`hoth_core::domain::request`]) is described here by
//! types that nobody makes; the tests of this module hold the one to the other.

mod messages;
mod requests;
mod values;

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

pub use messages::CostMessage;
pub use messages::ProvisioningMessage;
pub use requests::CostRequest;
pub use requests::ProvisioningRequest;

/// It is done; there is nothing to say about it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Done {}

/// How many outcomes are back on their queue.
#[derive(Debug, Serialize, ToSchema)]
pub struct Redelivered {
    pub redelivered: u64,
}

/// What is wrong, for a program and for a person.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    pub code: Code,
    pub message: String,
    /// Every wrong field or parameter, by its path, with what is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = json!({"payload.administrators[0].dodId": "is required"}))]
    pub error_map: Option<BTreeMap<String, String>>,
}

/// Whether there are single fields to correct.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// `errorMap` names them.
    InvalidInput,
    Other,
}

/// A leased batch.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it is read by hand")]
pub struct Batch {
    /// The `Hoth-Batch` of the answer that leased it.
    #[schema(min_length = 1)]
    batch: String,
}

/// Provisioning outcomes that were consumed.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is read by hand")]
pub enum JobRedelivery {
    Jobs(TheseJobs),
    Since(ConsumedSince),
}

/// Cost outcomes that were consumed.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is read by hand")]
pub enum CostRedelivery {
    Requests(TheseRequests),
    Since(ConsumedSince),
}

/// The outcomes of these jobs.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "it is read by hand")]
pub struct TheseJobs {
    #[schema(max_items = 1000)]
    job_ids: Vec<String>,
}

/// The outcomes of these cost requests.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "it is read by hand")]
pub struct TheseRequests {
    #[schema(max_items = 1000)]
    request_ids: Vec<String>,
}

/// Whatever was consumed at this time (RFC 3339) or later.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it is read by hand")]
pub struct ConsumedSince {
    #[schema(format = DateTime, example = "2026-07-01T12:00:00Z")]
    since: String,
}
