//! The schemas of outcomes: the messages that `GET` returns.
//!
//! The bodies of CSPs in them are open: an adapter passes on what its CSP
//! answers. A success and a failure have schemas of their own, because a CSP
//! that refuses may use any key in any form.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::reference;

const JOB: &str = "81b31a89-e3e5-46ee-acfe-75436bd14577";
const PORTFOLIO: &str = "b02e77d1-234d-4e3d-bc85-b57ca5a93952";

/// Returns the schemas of outcomes, by name.
pub fn schemas() -> Map<String, Value> {
    let schemas = [
        ("ProvisioningOutcome", provisioning_outcome()),
        ("ProvisioningSuccess", provisioning(success_code(), &reference("ProvisioningResult"))),
        ("ProvisioningFailure", provisioning(failure_code(), &failure_or_refusal())),
        ("ProvisioningResult", provisioning_result()),
        ("SubmittedJob", submitted_job()),
        ("Portfolio", object("A portfolio", json!({ "id": text(), "name": text() }))),
        ("Environment", object("An environment", json!({ "id": text(), "name": text() }))),
        ("ProvisionedTaskOrder", object("A task order", json!({ "id": text() }))),
        ("ProvisionedOperators", provisioned_operators()),
        ("JobStatus", job_status()),
        ("Metadata", metadata()),
        ("CostOutcome", cost_outcome()),
        ("CostSuccess", cost(success_code(), &reference("Costs"))),
        ("CostFailure", cost(failure_code(), &failure_or_refusal())),
        ("SubmittedCostRequest", submitted_cost_request()),
        ("Costs", costs()),
        ("TaskOrderCosts", task_order_costs()),
        ("ClinCosts", clin_costs()),
        ("CostSum", cost_sum()),
        ("MonthlyCost", monthly_cost()),
        ("Failure", failure()),
        ("CreatedObject", created_object()),
        ("CspRefusal", open("The JSON body of a CSP that refused, in camelCase.", json!({}), &[])),
    ];
    schemas.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

/// Returns the schema of an object that may have further keys.
fn open(description: &str, properties: Value, required: &[&str]) -> Value {
    let mut schema = json!({
        "type": "object",
        "description": description,
        "additionalProperties": true,
    });
    if properties.as_object().is_some_and(|properties| !properties.is_empty()) {
        schema["properties"] = properties;
    }
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    schema
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn optional_text() -> Value {
    json!({ "type": ["string", "null"] })
}

/// Returns the schema of an object that the CSP has made.
fn object(what: &str, properties: Value) -> Value {
    open(&format!("{what} as its CSP describes it, with keys in camelCase."), properties, &[])
}

fn success_code() -> Value {
    json!({
        "type": "integer",
        "format": "int32",
        "minimum": 200,
        "maximum": 399,
        "description": "Success. 200 from the adapters that HOTH comes with. Another adapter may \
                        pass on the status of its CSP, such as 201, which means the same. 207: a \
                        part of the request was carried out; each object in `response` has a \
                        `status`, and `details` if it failed.",
    })
}

fn failure_code() -> Value {
    json!({
        "type": "integer",
        "format": "int32",
        "minimum": 400,
        "maximum": 599,
        "description": "From 400: the CSP refused the request with this status, or cannot do \
                        what it asks for. From 500: the job failed, or HOTH got no usable \
                        response. `response.details` states the reason.",
    })
}

fn provisioning_outcome() -> Value {
    json!({
        "description": "The outcome of a provisioning job. `code` tells a success (under 400) \
                        from a failure.",
        "anyOf": [reference("ProvisioningSuccess"), reference("ProvisioningFailure")],
        "examples": [
            {
                "code": 200,
                "content": {
                    "request": { "portfolioId": PORTFOLIO },
                    "response": {
                        "portfolio": { "id": PORTFOLIO, "name": "Sample Portfolio" },
                        "$metadata": {
                            "status": 200,
                            "request": { "portfolioId": PORTFOLIO },
                        },
                    },
                },
                "initialSnowRequest": get_portfolio(),
            },
            {
                "code": 502,
                "content": {
                    "request": {},
                    "response": {
                        "details": "CSP_A could not be reached: connection refused (3 tries)",
                        "status": {
                            "provisioningJobId": JOB,
                            "portfolioId": PORTFOLIO,
                            "status": "FAILURE",
                        },
                    },
                },
                "initialSnowRequest": get_portfolio(),
            },
        ],
    })
}

fn get_portfolio() -> Value {
    json!({
        "jobId": JOB,
        "portfolioId": PORTFOLIO,
        "operationType": "GET_PORTFOLIO",
        "targetCspName": "CSP_A",
        "payload": {},
    })
}

fn provisioning(code: Value, response: &Value) -> Value {
    let content = open(
        "The request to the CSP and its response.",
        json!({
            "request": open("The request as the adapter carried it out.", json!({}), &[]),
            "response": response,
        }),
        &["request", "response"],
    );
    let properties = json!({
        "code": code,
        "content": content,
        "initialSnowRequest": reference("SubmittedJob"),
    });
    open(
        "The outcome of a provisioning job.",
        properties,
        &["code", "content", "initialSnowRequest"],
    )
}

fn failure_or_refusal() -> Value {
    json!({ "anyOf": [reference("Failure"), reference("CspRefusal")] })
}

fn provisioning_result() -> Value {
    let properties = json!({
        "portfolio": reference("Portfolio"),
        "environment": reference("Environment"),
        "taskOrder": reference("ProvisionedTaskOrder"),
        "operators": reference("ProvisionedOperators"),
        "status": reference("JobStatus"),
        "location": {
            "type": "string",
            "description": "The place or the name at which the CSP reported the progress.",
        },
        "$metadata": reference("Metadata"),
    });
    open(
        "The result of a job: the object that the request was for, or the last status of a job \
         that the CSP carried out later.",
        properties,
        &[],
    )
}

fn submitted_job() -> Value {
    let properties = json!({
        "jobId": text(),
        "userId": optional_text(),
        "portfolioId": optional_text(),
        "operationType": text(),
        "targetCspName": text(),
        "payload": open("The payload of the request.", json!({}), &[]),
    });
    open(
        "The request exactly as it was posted, with its `jobId`: a `ProvisioningRequest`. Of a \
         job that HOTH could not read, the `jobId` alone.",
        properties,
        &["jobId"],
    )
}

fn provisioned_operators() -> Value {
    let administrators = json!({
        "type": "array",
        "items": open("An operator.", json!({}), &[]),
    });
    object("The operators", json!({ "administrators": administrators }))
}

fn job_status() -> Value {
    let properties = json!({
        "provisioningJobId": text(),
        "portfolioId": optional_text(),
        "environmentId": optional_text(),
        "status": {
            "type": "string",
            "description": "The CSP's word. `FAILURE` in failures that HOTH reports.",
        },
    });
    open("The last status of a job.", properties, &["status"])
}

fn metadata() -> Value {
    let properties = json!({
        "status": { "type": "integer", "format": "int32", "description": "The CSP's last status." },
        "request": open("A copy of `content.request`.", json!({}), &[]),
    });
    open("The origin of a result.", properties, &[])
}

fn cost_outcome() -> Value {
    json!({
        "description": "The outcome of a cost request. `code` tells a success (under 400) from a \
                        failure.",
        "anyOf": [reference("CostSuccess"), reference("CostFailure")],
        "examples": [{
            "code": 200,
            "content": {
                "request": {
                    "requestId": JOB,
                    "portfolioId": PORTFOLIO,
                    "targetCspName": "CSP_A",
                    "startDate": "2026-01",
                    "endDate": "2026-12",
                },
                "response": {
                    "taskOrders": [{
                        "taskOrderNumber": "1234567890123",
                        "clins": [{
                            "clinNumber": "0001",
                            "actual": {
                                "total": "50.00",
                                "results": [{ "month": "2026-01", "value": "50.00" }],
                            },
                        }],
                    }],
                },
            },
        }],
    })
}

fn cost(code: Value, response: &Value) -> Value {
    let content = open(
        "The cost request and its response.",
        json!({ "request": reference("SubmittedCostRequest"), "response": response }),
        &["request", "response"],
    );
    open(
        "The outcome of a cost request.",
        json!({ "code": code, "content": content }),
        &["code", "content"],
    )
}

fn submitted_cost_request() -> Value {
    let properties = json!({
        "requestId": text(),
        "portfolioId": text(),
        "targetCspName": text(),
        "startDate": text(),
        "endDate": text(),
        "taskOrderNumber": optional_text(),
        "clin": optional_text(),
    });
    open(
        "The request exactly as it was posted: a `CostRequest`. Of a request that HOTH could not \
         read, the `requestId` alone.",
        properties,
        &["requestId"],
    )
}

fn costs() -> Value {
    let task_orders = json!({ "type": "array", "items": reference("TaskOrderCosts") });
    open("The costs of a portfolio or of a CLIN.", json!({ "taskOrders": task_orders }), &[])
}

fn task_order_costs() -> Value {
    let properties = json!({
        "taskOrderId": optional_text(),
        "taskOrderNumber": text(),
        "clins": { "type": "array", "items": reference("ClinCosts") },
    });
    open("The costs of a task order.", properties, &[])
}

fn clin_costs() -> Value {
    let properties = json!({
        "clinNumber": text(),
        "actual": { "anyOf": [reference("CostSum"), { "type": "null" }] },
        "forecast": { "anyOf": [reference("CostSum"), { "type": "null" }] },
    });
    open("The costs of a CLIN.", properties, &[])
}

fn cost_sum() -> Value {
    let properties = json!({
        "total": amount(),
        "results": { "type": "array", "items": reference("MonthlyCost") },
    });
    open("Costs by month, and their sum.", properties, &[])
}

fn monthly_cost() -> Value {
    let month = json!({ "type": "string", "examples": ["2026-01"] });
    open("The costs of a month.", json!({ "month": month, "value": amount() }), &[])
}

fn amount() -> Value {
    json!({
        "type": "string",
        "description": "A decimal number, in the currency of the contract.",
        "examples": ["50.00"],
    })
}

fn failure() -> Value {
    let properties = json!({
        "details": {
            "type": "string",
            "description": "The reason, as a sentence for people, without secrets.",
        },
        "status": reference("JobStatus"),
        "cspResponse": open("The last JSON answer of the CSP.", json!({}), &[]),
        "made": {
            "type": "array",
            "description": "The objects that exist although the job failed, in the order of \
                            their creation.",
            "items": reference("CreatedObject"),
        },
    });
    open("The response of a job that failed.", properties, &["details"])
}

fn created_object() -> Value {
    let kind = json!({
        "type": "string",
        "description": "The CSP's word for the object, in kebab case.",
        "examples": ["account"],
    });
    open(
        "An object that a job created before it failed.",
        json!({ "kind": kind, "id": text() }),
        &["kind", "id"],
    )
}
