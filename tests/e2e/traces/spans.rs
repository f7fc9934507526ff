//! The spans of jobs.

use std::collections::BTreeMap;

use hoth_testkit::SpanKind;
use serde_json::json;

use super::PARENT;
use super::PROCESS;
use super::TRACE_ID;
use super::attributes;
use super::host;
use super::post;
use super::receiver;
use super::spans_of;
use crate::csp;
use crate::csp::Answer;
use crate::harness::cost;
use crate::harness::job;

/// The trace of a job that its CSP carries out at once.
const TREE: &str = "\
POST /provisioning-jobs
  send provisioning-requests
    process provisioning-requests
      adapter begin
      token
      POST
      adapter resume
      settle provisioning-requests
      collect provisioning-jobs
";

#[tokio::test]
async fn a_job_from_post_to_collection_is_one_trace() {
    let (csp, receiver) = (csp::sync().await, receiver().await);
    let host = host(&csp, &receiver, "").await;
    let headers = [("traceparent", PARENT), ("tracestate", "congo=t61")];
    let new = job("job-1", "CSP_TEST", "ADD_PORTFOLIO");
    assert_eq!(post(&host, &new, &headers).await, (201, false));
    host.servicenow().outcome().await;
    let collect = spans_of(&receiver, "collect provisioning-jobs", 1).await.remove(0);
    let post = spans_of(&receiver, "POST /provisioning-jobs", 1).await.remove(0);
    let process = spans_of(&receiver, PROCESS, 1).await.remove(0);
    assert_eq!(receiver.tree(TRACE_ID), TREE);
    assert!(include_str!("../../../docs/traces.md").contains(TREE), "the page shows this trace");
    assert_eq!((post.parent.as_str(), post.kind), ("00f067aa0ba902b7", SpanKind::Server));
    assert_eq!((process.kind, process.state.as_str()), (SpanKind::Consumer, "congo=t61"));
    assert_eq!(
        attributes(&post, &["http.request.method", "http.route", "http.response.status_code"]),
        BTreeMap::from([
            ("http.request.method", "POST"),
            ("http.route", "/provisioning-jobs"),
            ("http.response.status_code", "201"),
        ])
    );
    let named = ["hoth.operation", "hoth.csp", "hoth.end", "hoth.attempt", "hoth.code"];
    assert_eq!(
        attributes(&process, &named),
        BTreeMap::from([
            ("hoth.operation", "ADD_PORTFOLIO"),
            ("hoth.csp", "CSP_TEST"),
            ("hoth.end", "done"),
            ("hoth.attempt", "1"),
            ("hoth.code", "200"),
        ])
    );
    let messaging = [
        "messaging.system",
        "messaging.destination.name",
        "messaging.operation.type",
        "messaging.message.conversation_id",
    ];
    assert_eq!(
        attributes(&process, &messaging),
        BTreeMap::from([
            ("messaging.system", "hoth"),
            ("messaging.destination.name", "provisioning-requests-CSP_TEST"),
            ("messaging.operation.type", "process"),
            ("messaging.message.conversation_id", "job-1"),
        ])
    );
    let begin = spans_of(&receiver, "adapter begin", 1).await.remove(0);
    assert_eq!(
        attributes(&begin, &["hoth.adapter.name", "hoth.step"])["hoth.adapter.name"],
        "atat"
    );
    assert_eq!(begin.attributes["hoth.adapter.digest"].len(), 12);
    // The request that collected the outcome has a trace of its own, with a link
    // to the job.
    let send = spans_of(&receiver, "send provisioning-requests", 1).await.remove(0);
    let gets = eventually_linked(&receiver).await;
    assert_eq!(gets.links, [(TRACE_ID.to_owned(), send.span_id)]);
    assert_eq!(collect.links, [(gets.trace_id.clone(), gets.span_id.clone())]);
    assert_eq!(gets.resource["service.name"], "hoth");
    assert!(receiver.tree(&gets.trace_id).contains("\n  receive provisioning-jobs\n"));
    assert!(receiver.server().violations().is_empty());
}

/// Waits for the span of a `GET` that returned an outcome.
async fn eventually_linked(receiver: &hoth_testkit::OtlpReceiver) -> hoth_testkit::ReceivedSpan {
    crate::harness::eventually("a GET with a link", || async {
        let is_linked = |span: &hoth_testkit::ReceivedSpan| {
            span.name == "GET /provisioning-jobs" && !span.links.is_empty()
        };
        receiver.spans().into_iter().find(is_linked)
    })
    .await
}

#[tokio::test]
async fn a_poll_has_a_trace_of_its_own_with_links() {
    let (csp, receiver) = (csp::asynchronous(2).await, receiver().await);
    let host = host(&csp, &receiver, "").await;
    let new = job("job-1", "CSP_TEST", "ADD_PORTFOLIO");
    post(&host, &new, &[("traceparent", PARENT)]).await;
    host.servicenow().outcome().await;
    let first = spans_of(&receiver, PROCESS, 1).await.remove(0);
    let send = spans_of(&receiver, "send provisioning-requests", 1).await.remove(0);
    let polls = spans_of(&receiver, "process async-provisioning-jobs", 3).await;
    assert_eq!((first.trace_id.as_str(), first.parent.clone()), (TRACE_ID, send.span_id.clone()));
    assert_eq!(first.attributes["hoth.end"], "wait");
    assert_eq!(first.attributes["hoth.wait.purpose"], "poll");
    let created = (TRACE_ID.to_owned(), send.span_id);
    let mut before = first;
    for poll in polls {
        assert_eq!(poll.parent, "", "a trace of its own");
        assert_ne!(poll.trace_id, before.trace_id);
        let last_run = (before.trace_id.clone(), before.span_id.clone());
        assert_eq!(poll.links, [created.clone(), last_run]);
        assert!(poll.is_sampled, "as the job is");
        before = poll;
    }
    // The outcome was collected soon after the last run, and is in its trace.
    let collect = spans_of(&receiver, "collect provisioning-jobs", 1).await.remove(0);
    assert_eq!((collect.trace_id, collect.parent), (before.trace_id, before.span_id));
}

#[tokio::test]
async fn every_try_of_a_request_is_a_span() {
    let answers =
        [Answer::text(503, ""), Answer::reset_after_read(), Answer::json(200, &json!({}))];
    let (csp, receiver) = (csp::scripted(answers).await, receiver().await);
    let host = host(&csp, &receiver, "").await;
    host.servicenow().ask_cost(&cost("r-1", "CSP_TEST")).await;
    host.servicenow().cost_outcome().await;
    let tries = spans_of(&receiver, "GET", 3).await;
    let named = ["http.response.status_code", "http.request.resend_count", "error.type"];
    let found: Vec<_> = tries.iter().map(|span| attributes(span, &named)).collect();
    assert_eq!(
        found,
        [
            BTreeMap::from([("http.response.status_code", "503"), ("error.type", "503")]),
            BTreeMap::from([("http.request.resend_count", "1"), ("error.type", "reset")]),
            BTreeMap::from([
                ("http.request.resend_count", "2"),
                ("http.response.status_code", "200"),
            ]),
        ]
    );
    let port = csp::origin(&csp).rsplit(':').next().expect("a port");
    for span in &tries {
        assert_eq!(
            (span.kind, span.is_error),
            (SpanKind::Client, span.attributes.contains_key("error.type"))
        );
        assert_eq!(span.attributes["server.address"], "127.0.0.1");
        assert_eq!(span.attributes["server.port"], port);
        assert!(!span.attributes.contains_key("url.path"));
    }
}

#[tokio::test]
async fn paths_are_exported_if_the_operator_wants_them_and_queries_never() {
    for (lines, expected) in
        [("csp_paths = true", Some("/atat/api/v1/portfolios/p-1/costs")), ("", None)]
    {
        let (csp, receiver) = (csp::sync().await, receiver().await);
        let host = host(&csp, &receiver, lines).await;
        host.servicenow().ask_cost(&cost("r-1", "CSP_TEST")).await;
        host.servicenow().cost_outcome().await;
        let call = spans_of(&receiver, "GET", 1).await.remove(0);
        assert_eq!(call.attributes.get("url.path").map(String::as_str), expected);
        spans_of(&receiver, "collect cost-responses", 1).await;
        let payload: Vec<u8> =
            receiver.server().calls().iter().flat_map(|call| call.body.to_vec()).collect();
        let payload = String::from_utf8_lossy(&payload);
        for unwanted in ["2022-01-01", "start_date", csp.client_secret(), "Bearer"] {
            assert!(!payload.contains(unwanted), "{unwanted} is in a span");
        }
        assert_eq!(payload.contains("portfolios"), expected.is_some());
    }
}

#[tokio::test]
async fn a_run_that_fails_is_kept_whatever_the_ratio_is() {
    let answers = [Answer::json(200, &json!({})), Answer::json(403, &json!({"why": 1}))];
    let (csp, receiver) = (csp::scripted(answers).await, receiver().await);
    let host = host(&csp, &receiver, "sample_ratio = 0").await;
    for id in ["job-1", "job-2"] {
        host.servicenow().provision(&job(id, "CSP_TEST", "GET_PORTFOLIO")).await;
        host.servicenow().outcome().await;
    }
    let failed = spans_of(&receiver, PROCESS, 1).await.remove(0);
    assert_eq!(failed.attributes["messaging.message.conversation_id"], "job-2");
    assert_eq!(failed.attributes["hoth.end"], "fail");
    assert_eq!(failed.attributes["error.type"], "refused");
    assert!(failed.is_error && !failed.is_sampled);
    let names: Vec<String> = receiver.spans().into_iter().map(|span| span.name).collect();
    assert!(names.iter().all(|name| !name.contains("/provisioning-jobs")), "{names:?}");
}
