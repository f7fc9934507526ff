//! Traces: the spans that a receiver gets, and the contexts that CSPs get.

mod contexts;
mod deploys;
mod receivers;
mod spans;

use std::collections::BTreeMap;

use hoth_testkit::OtlpReceiver;
use hoth_testkit::ReceivedSpan;
use mock_csp::MockCsp;
use serde_json::Value;

use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::client;
use crate::harness::eventually;

/// A trace of ServiceNow, and its header.
const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The name of the span of a first run.
const PROCESS: &str = "process provisioning-requests";

async fn receiver() -> OtlpReceiver {
    OtlpReceiver::start().await.expect("a port is free")
}

/// Starts a host with the CSP `CSP_TEST` that exports to `receiver`, with more
/// lines for the table `[telemetry]`.
async fn host(csp: &MockCsp, receiver: &OtlpReceiver, lines: &str) -> TestHost {
    let telemetry = format!("{}{lines}\n", receiver.table());
    Setup::new().csp("CSP_TEST", csp).with(&telemetry).start().await
}

/// Posts a provisioning job with these headers. Returns the status, and true for
/// a job that was accepted before.
async fn post(host: &TestHost, job: &Value, headers: &[(&str, &str)]) -> (u16, bool) {
    let mut request = client().post(format!("{}/provisioning-jobs", host.api()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.json(job).send().await.expect("HOTH answers");
    let is_repeated = response.headers().contains_key("hoth-repeated");
    (response.status().as_u16(), is_repeated)
}

/// Waits until `count` spans of this name have been received, and returns them in
/// the order of their start.
async fn spans_of(receiver: &OtlpReceiver, name: &str, count: usize) -> Vec<ReceivedSpan> {
    let mut found = eventually(&format!("{count} spans `{name}`"), || async {
        let mut spans = receiver.spans();
        spans.retain(|span| span.name == name);
        (spans.len() >= count).then_some(spans)
    })
    .await;
    found.sort_by_key(|span| span.start_ns);
    assert_eq!(found.len(), count, "{found:#?}");
    found
}

/// Waits for the span of this name that names the job `id`.
async fn span_of_job(receiver: &OtlpReceiver, name: &str, id: &str) -> ReceivedSpan {
    eventually(&format!("the span `{name}` of {id}"), || async {
        let is_wanted = |span: &ReceivedSpan| {
            let found = span.attributes.get("messaging.message.conversation_id");
            span.name == name && found.is_some_and(|found| found == id)
        };
        receiver.spans().into_iter().find(is_wanted)
    })
    .await
}

/// Returns those attributes of a span that have these names.
fn attributes<'s>(span: &'s ReceivedSpan, names: &[&'s str]) -> BTreeMap<&'s str, &'s str> {
    let value = |name: &&'s str| Some((*name, span.attributes.get(*name)?.as_str()));
    names.iter().filter_map(value).collect()
}

/// Returns the values of a metric of the host, by their labels.
async fn metric(host: &TestHost, name: &str) -> BTreeMap<String, u64> {
    let text = client().get(format!("{}/metrics", host.admin())).send().await;
    let text = text.expect("the host answers").text().await.expect("metrics are text");
    let value = |line: &str| {
        let (labels, value) = line.strip_prefix(name)?.rsplit_once(' ')?;
        let is_whole = labels.is_empty() || labels.starts_with('{');
        is_whole.then(|| (labels.to_owned(), value.parse().expect("a counter is a whole number")))
    };
    text.lines().filter_map(value).collect()
}
