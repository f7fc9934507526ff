//! The JSON of this API: the bodies of its responses, and the schemas of its
//! description.
//!
//! The schemas of requests are generated from the table that requests are
//! checked against, [`hoth_core::domain::request::shape`].

mod generate;
mod outcomes;
mod responses;
pub mod status;

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

pub use responses::Code;
pub use responses::Done;
pub use responses::Problem;
pub use responses::Redelivered;

use hoth_core::domain::JobKind;
use hoth_core::domain::request::shape;

/// Returns all schemas of the description, by name.
pub fn all() -> Map<String, Value> {
    let mut schemas = responses::schemas();
    schemas.extend(outcomes::schemas());
    schemas.extend(status::schemas());
    schemas.extend(generate::schemas(
        &[
            &shape::PROVISIONING_REQUEST,
            shape::redelivery(JobKind::Provisioning),
            shape::redelivery(JobKind::Cost),
        ],
        &[&shape::COST_REQUEST, &shape::BATCH],
    ));
    schemas
}

/// Returns a reference to the schema `name`.
pub fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}
