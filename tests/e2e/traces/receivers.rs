//! Receivers that are down, slow or refuse spans, and cost no job anything.

use std::time::Duration;
use std::time::Instant;

use mock_csp::Answer;

use super::host;
use super::metric;
use super::receiver;
use super::spans_of;
use crate::csp;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::eventually;
use crate::harness::job;

/// Jobs of each test. With eight spans each they fill the smallest queue and the
/// export under way.
const JOBS: usize = 150;

/// The settings of the smallest queue.
const SMALL: &str = "max_queued_spans = 256";

async fn run_jobs(host: &TestHost) {
    let snow = host.servicenow();
    for n in 0..JOBS {
        snow.provision(&job(&format!("job-{n}"), "CSP_TEST", "ADD_PORTFOLIO")).await;
    }
    snow.collect_all("/provisioning-jobs", JOBS).await;
}

/// Waits until spans have been dropped for this reason.
async fn dropped(host: &TestHost, reason: &str) {
    let label = format!("{{reason=\"{reason}\"}}");
    eventually(&format!("spans dropped because of {reason}"), || async {
        metric(host, "hoth_spans_dropped_total").await.get(&label).copied()
    })
    .await;
}

#[tokio::test]
async fn a_receiver_that_is_down_costs_spans_and_no_jobs() {
    let csp = csp::sync().await;
    let nowhere = csp::nowhere();
    let telemetry = format!("[telemetry]\notlp_endpoint = \"{}\"\n{SMALL}\n", &*nowhere);
    let mut host = Setup::new().csp("CSP_TEST", &csp).with(&telemetry).start().await;
    run_jobs(&host).await;
    dropped(&host, "queue-full").await;
    host.logged("the failure", |line| line["event"] == "span-export-failed").await;
    host.emptied().await;
    host.leaves_work("it is stopped to see how long that takes");
    let stopping = Instant::now();
    assert_eq!(host.terminate().await, Some(0));
    assert!(stopping.elapsed() < Duration::from_secs(60), "the last spans have a bound");
}

#[tokio::test]
async fn a_receiver_that_hangs_costs_spans_and_no_jobs() {
    let (csp, receiver) = (csp::sync().await, receiver().await);
    receiver.server().script([Answer::hang()]);
    let host = host(&csp, &receiver, SMALL).await;
    run_jobs(&host).await;
    dropped(&host, "queue-full").await;
}

#[tokio::test]
async fn an_overloaded_receiver_gets_the_same_spans_again() {
    let (csp, receiver) = (csp::sync().await, receiver().await);
    let busy = Answer::text(503, "").header("retry-after", "0");
    receiver.server().script([busy.clone(), busy, Answer::behave()]);
    let host = host(&csp, &receiver, "").await;
    host.servicenow().provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    host.servicenow().outcome().await;
    spans_of(&receiver, "POST /provisioning-jobs", 1).await;
    let calls = receiver.server().calls();
    assert_eq!(calls[0].body, calls[2].body);
    host.logged("the failure", |line| line["event"] == "span-export-failed").await;
    host.logged("the recovery", |line| line["event"] == "span-export-recovered").await;
    let exported = metric(&host, "hoth_spans_exported_total").await;
    assert!(exported[""] > 0, "{exported:?}");
}

#[tokio::test]
async fn spans_that_a_receiver_refuses_are_not_sent_again() {
    let (csp, receiver) = (csp::sync().await, receiver().await);
    receiver.server().script([Answer::text(401, "who are you?")]);
    let host = host(&csp, &receiver, "").await;
    run_jobs(&host).await;
    dropped(&host, "refused").await;
    let calls = receiver.server().calls();
    let is_repeated = |call: &[_]| matches!(call, [one, other] if same_body(one, other));
    assert!(!calls.windows(2).any(is_repeated));
}

fn same_body(one: &std::sync::Arc<mock_csp::Call>, other: &std::sync::Arc<mock_csp::Call>) -> bool {
    one.body == other.body
}

#[tokio::test]
async fn an_export_carries_the_configured_headers() {
    let (csp, receiver) = (csp::sync().await, receiver().await);
    let telemetry =
        format!("{}otlp_headers = {{ X-Api-Key = {{ env = \"OTLP_KEY\" }} }}\n", receiver.table());
    let setup = Setup::new().csp("CSP_TEST", &csp).with(&telemetry);
    let setup = setup.environment("OTLP_KEY", "s3cret-of-the-receiver");
    let attributes = "service.name=hoth-east,deployment.environment.name=test";
    let host = setup.environment("OTEL_RESOURCE_ATTRIBUTES", attributes).start().await;
    host.servicenow().provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    host.servicenow().outcome().await;
    let span = spans_of(&receiver, "POST /provisioning-jobs", 1).await.remove(0);
    assert_eq!(span.resource["service.name"], "hoth-east");
    assert_eq!(span.resource["deployment.environment.name"], "test");
    for call in receiver.server().calls() {
        assert_eq!(call.header("x-api-key"), Some("s3cret-of-the-receiver"));
    }
    let log = format!("{:?}", host.log());
    assert!(!log.contains("s3cret-of-the-receiver"), "the key is in the log");
}
