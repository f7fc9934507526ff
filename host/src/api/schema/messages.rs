//! What `GET` hands out.

#![expect(dead_code, reason = "messages are made elsewhere; these types describe them")]

use utoipa::ToSchema;

/// The outcome of a provisioning job.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "code": 200,
    "content": {
        "request": {"portfolioId": "b02e77d1-234d-4e3d-bc85-b57ca5a93952"},
        "response": {
            "portfolio": {"id": "b02e77d1-234d-4e3d-bc85-b57ca5a93952", "name": "Sample Portfolio"},
            "$metadata": {"status": 200, "request": {"method": "GET", "path": "/portfolios/b02e77d1-234d-4e3d-bc85-b57ca5a93952"}}
        }
    },
    "initialSnowRequest": {
        "jobId": "81b31a89-e3e5-46ee-acfe-75436bd14577", "portfolioId": "b02e77d1-234d-4e3d-bc85-b57ca5a93952",
        "operationType": "GET_PORTFOLIO", "targetCspName": "CSP_A", "payload": {}
    }
}))]
pub struct ProvisioningMessage {
    /// 200: done. From 400 on: the CSP refused with this status. From 500 on:
    /// the job failed, or HOTH could not get an answer.
    #[schema(minimum = 200, maximum = 599)]
    code: u16,
    content: Content,
    /// What was posted, as it was posted.
    #[schema(value_type = Object)]
    initial_snow_request: (),
}

/// The outcome of a cost request.
#[derive(ToSchema)]
#[schema(example = json!({
    "code": 200,
    "content": {
        "request": {
            "requestId": "81b31a89-e3e5-46ee-acfe-75436bd14577", "portfolioId": "b02e77d1-234d-4e3d-bc85-b57ca5a93952",
            "targetCspName": "CSP_A", "startDate": "2026-01", "endDate": "2026-12"
        },
        "response": {"taskOrders": [{"taskOrderNumber": "1234567890123", "clins": []}]}
    }
}))]
pub struct CostMessage {
    /// As in a provisioning message.
    #[schema(minimum = 200, maximum = 599)]
    code: u16,
    /// `request` is the cost request as it was posted, `response` the costs.
    content: Content,
}

/// What the CSP was asked, and what it answered.
#[derive(ToSchema)]
struct Content {
    #[schema(value_type = Object)]
    request: (),
    /// The CSP's answer in camelCase. When the job failed, `details` says why.
    #[schema(value_type = Object)]
    response: (),
}
