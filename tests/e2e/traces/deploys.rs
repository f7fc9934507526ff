//! The spans of deployments and replays, and of the receives of workers.

use std::collections::BTreeMap;

use hoth_core::domain::Digest;
use hoth_testkit::OtlpReceiver;
use hoth_testkit::ReceivedSpan;
use hoth_testkit::SpanKind;

use super::PARENT;
use super::TRACE_ID;
use super::attributes;
use super::host;
use super::metric;
use super::post;
use super::receiver;
use super::spans_of;
use crate::csp;
use crate::harness::TestHost;
use crate::harness::client;
use crate::harness::eventually;
use crate::harness::job;
use crate::replay::variant;

async fn put(host: &TestHost, query: &str, wasm: Vec<u8>) -> u16 {
    let url = format!("{}/adapters/atat{query}", host.admin());
    client().put(url).body(wasm).send().await.expect("HOTH answers").status().as_u16()
}

/// Waits for the span `name` of a candidate.
async fn span_of(receiver: &OtlpReceiver, name: &str, wasm: &[u8]) -> ReceivedSpan {
    let digest = Digest::of(wasm);
    eventually(&format!("the span {name} of {digest}"), || async {
        let is_wanted = |span: &ReceivedSpan| {
            span.name == name && span.attributes["hoth.candidate"] == digest.prefix()
        };
        receiver.spans().into_iter().find(is_wanted)
    })
    .await
}

#[tokio::test]
async fn deployments_and_replays_have_spans_with_candidate_and_verdict() {
    let (csp, receiver) = (csp::sync().await, receiver().await);
    // Kept whatever the ratio is.
    let host = host(&csp, &receiver, "sample_ratio = 0\n[replay]\nmax_ms = 60000").await;
    let named = ["hoth.adapter.name", "hoth.source", "hoth.verdict", "error.type"];
    let first = spans_of(&receiver, "deploy", 1).await.remove(0);
    assert_eq!((first.kind, first.parent.as_str()), (SpanKind::Internal, ""));
    assert_eq!(
        attributes(&first, &named),
        BTreeMap::from([
            ("hoth.adapter.name", "atat"),
            ("hoth.source", "directory"),
            ("hoth.verdict", "activated"),
        ])
    );

    let active = variant("first");
    assert_eq!(put(&host, "?replay=off", active.clone()).await, 200);
    let second = span_of(&receiver, "deploy", &active).await;
    assert_eq!(attributes(&second, &["hoth.source"])["hoth.source"], "api");
    let snow = host.servicenow();
    snow.provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    assert_eq!(snow.outcome().await.code(), 200);
    eventually("a journal", || async {
        let written = metric(&host, "hoth_journals_written_total").await;
        written.get("{adapter=\"atat\"}").filter(|written| **written == 1).copied()
    })
    .await;

    let different = variant("trap");
    assert_eq!(put(&host, "?replay=block", different.clone()).await, 422);
    let deploy = span_of(&receiver, "deploy", &different).await;
    let replay = span_of(&receiver, "replay", &different).await;
    assert_eq!((&replay.trace_id, &replay.parent), (&deploy.trace_id, &deploy.span_id));
    assert_eq!(
        attributes(&deploy, &named),
        BTreeMap::from([
            ("hoth.adapter.name", "atat"),
            ("hoth.source", "api"),
            ("hoth.verdict", "refused"),
            ("error.type", "replay"),
        ])
    );
    assert!(deploy.is_error && !replay.is_error);
    let told = attributes(&replay, &["hoth.verdict", "hoth.replay.journals"]);
    assert_eq!(told, BTreeMap::from([("hoth.verdict", "trap"), ("hoth.replay.journals", "1")]));

    // A dry run deploys nothing. Under `warn`, the replay follows the deployment.
    let same = variant("second");
    assert_eq!(put(&host, "?dry-run=true", same.clone()).await, 200);
    let dry_run = span_of(&receiver, "replay", &same).await;
    assert_eq!((dry_run.parent.as_str(), &dry_run.attributes["hoth.verdict"][..]), ("", "same"));
    let warned = variant("header");
    assert_eq!(put(&host, "?replay=warn", warned.clone()).await, 200);
    let deploy = span_of(&receiver, "deploy", &warned).await;
    let replay = span_of(&receiver, "replay", &warned).await;
    assert_eq!((&deploy.attributes["hoth.verdict"][..], deploy.is_error), ("activated", false));
    assert_eq!(
        (&replay.parent, &replay.attributes["hoth.verdict"][..]),
        (&deploy.span_id, "different")
    );
    let wrong = b"no component".to_vec();
    assert_eq!(put(&host, "", wrong.clone()).await, 422);
    assert_eq!(span_of(&receiver, "deploy", &wrong).await.attributes["hoth.verdict"], "refused");
    assert_eq!(receiver.spans().iter().filter(|span| span.name == "deploy").count(), 5);
}

#[tokio::test]
async fn a_receive_of_a_worker_is_a_span_with_links_to_its_jobs() {
    let (csp, receiver) = (csp::asynchronous(1).await, receiver().await);
    let host = host(&csp, &receiver, "sample_ratio = 0").await;
    // Not sampled, so there is no span of its receive.
    host.servicenow().provision(&job("job-0", "CSP_TEST", "ADD_PORTFOLIO")).await;
    host.servicenow().outcome().await;
    let new = job("job-1", "CSP_TEST", "ADD_PORTFOLIO");
    assert_eq!(post(&host, &new, &[("traceparent", PARENT)]).await, (201, false));
    host.servicenow().outcome().await;
    let send = spans_of(&receiver, "send provisioning-requests", 1).await.remove(0);
    let created = (TRACE_ID.to_owned(), send.span_id);
    for (family, queue) in [
        ("provisioning-requests", "provisioning-requests-CSP_TEST"),
        ("async-provisioning-jobs", "async-provisioning-jobs-CSP_TEST"),
    ] {
        let name = format!("receive {family}");
        let receive = eventually(&name, || async {
            receiver.spans().into_iter().find(|span| span.name == name)
        })
        .await;
        assert_eq!((receive.kind, receive.parent.as_str()), (SpanKind::Client, ""));
        assert_ne!(receive.trace_id, TRACE_ID, "a batch may have jobs of several traces");
        assert_eq!(receive.links, std::slice::from_ref(&created));
        let named = [
            "messaging.system",
            "messaging.operation.type",
            "messaging.destination.name",
            "messaging.batch.message_count",
        ];
        assert_eq!(
            attributes(&receive, &named),
            BTreeMap::from([
                ("messaging.system", "hoth"),
                ("messaging.operation.type", "receive"),
                ("messaging.destination.name", queue),
                ("messaging.batch.message_count", "1"),
            ])
        );
    }
    let received = receiver.spans();
    let received: Vec<_> =
        received.iter().filter(|span| span.name == "receive provisioning-requests").collect();
    assert_eq!(received.len(), 1, "{received:#?}");
}
