//! The requests of the clients.

use crate::client::post;

/// Encodes the POST of a small job for a portfolio of its own.
pub fn job(prefix: &str, client: usize, n: u64) -> Vec<u8> {
    let id = format!("{prefix}-{client}-{n}");
    job_of(&id, &format!("p-{id}"))
}

/// Encodes the POST of a small job for `portfolio`.
pub fn job_of(id: &str, portfolio: &str) -> Vec<u8> {
    post("/provisioning-jobs", &job_body(id, portfolio))
}

/// Returns the body of a small job.
pub fn job_body(id: &str, portfolio: &str) -> String {
    format!(
        r#"{{"jobId":"{id}","userId":"bench","portfolioId":"{portfolio}","targetCspName":"CSP_A","operationType":"ADD_PORTFOLIO","payload":{{"name":"Bench","taskOrders":[{{"taskOrderNumber":"1234567890123","popStartDate":"2026-07-01","popEndDate":"2027-07-01","clins":[{{"clinNumber":"0001","type":"CLOUD","classificationLevel":"UNCLASSIFIED","popStartDate":"2026-07-01","popEndDate":"2027-07-01"}}]}}]}}}}"#
    )
}

/// Returns the number of messages in the body of an answer to a GET.
pub fn messages(body: &[u8]) -> anyhow::Result<usize> {
    let messages: Vec<&serde_json::value::RawValue> = serde_json::from_slice(body)?;
    Ok(messages.len())
}
