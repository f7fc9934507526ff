//! The trace contexts of clients, jobs and CSPs.

use serde_json::json;

use super::PARENT;
use super::PROCESS;
use super::TRACE_ID;
use super::host;
use super::post;
use super::receiver;
use super::span_of_job;
use super::spans_of;
use crate::csp;
use crate::csp::Answer;
use crate::harness::Setup;
use crate::harness::client;
use crate::harness::eventually;
use crate::harness::guest;
use crate::harness::job;

#[tokio::test]
async fn only_the_csps_that_the_operator_names_get_a_context() {
    let (named, other, receiver) = (csp::sync().await, csp::sync().await, receiver().await);
    let telemetry = format!("{}propagate_to = [\"CSP_A\"]\n", receiver.table());
    let setup = Setup::new().csp("CSP_A", &named).csp("CSP_B", &other);
    let host = setup.with(&telemetry).start().await;
    let headers = [("traceparent", PARENT), ("tracestate", "congo=t61")];
    for (id, csp) in [("job-1", "CSP_A"), ("job-2", "CSP_B")] {
        post(&host, &job(id, csp, "ADD_PORTFOLIO"), &headers).await;
    }
    host.servicenow().collect_all("/provisioning-jobs", 2).await;
    let call = &csp::calls(&named)[0];
    let spans = spans_of(&receiver, "POST", 2).await;
    let sent = csp::header(call, "traceparent").expect("the CSP gets a context");
    let ids: Vec<String> =
        spans.iter().map(|span| format!("00-{TRACE_ID}-{}-01", span.span_id)).collect();
    assert!(ids.contains(&sent), "{sent} is none of {ids:?}");
    assert_eq!(csp::header(call, "tracestate").as_deref(), Some("congo=t61"));
    let call = &csp::calls(&other)[0];
    for name in ["traceparent", "tracestate"] {
        assert_eq!(csp::header(call, name), None);
    }
}

#[tokio::test]
async fn a_host_without_spans_passes_the_context_of_the_client_on() {
    let csp = csp::asynchronous(1).await;
    let telemetry = "[telemetry]\npropagate_to = [\"CSP_TEST\"]";
    let host = Setup::new().csp("CSP_TEST", &csp).with(telemetry).start().await;
    let new = job("job-1", "CSP_TEST", "ADD_PORTFOLIO");
    post(&host, &new, &[("traceparent", PARENT)]).await;
    host.servicenow().outcome().await;
    let calls = csp::calls(&csp);
    assert!(calls.len() > 1, "there is a poll");
    for call in calls {
        assert_eq!(csp::header(&call, "traceparent").as_deref(), Some(PARENT));
    }
    // Without a context there is none to pass on.
    post(&host, &job("job-2", "CSP_TEST", "ADD_PORTFOLIO"), &[]).await;
    host.servicenow().outcome().await;
    let last = csp::calls(&csp).pop().expect("there are calls");
    assert_eq!(csp::header(&last, "traceparent"), None);
}

#[tokio::test]
async fn an_adapter_gets_the_context_in_which_its_job_was_created() {
    let csp = csp::scripted([Answer::json(200, &json!({}))]).await;
    let receiver = receiver().await;
    let steps = std::fs::read(guest("steps")).expect("the guest was built");
    let table = format!(
        "{}[csp.CSP_TEST]\nadapter = \"steps\"\nbase_url = \"{}\"\n",
        receiver.table(),
        csp.base_url()
    );
    let host = Setup::new().adapter("steps", steps).with(&table).start().await;
    for (id, headers) in [("job-1", &[("traceparent", PARENT)][..]), ("job-2", &[])] {
        post(&host, &job(id, "CSP_TEST", "ADD_PORTFOLIO"), headers).await;
        let outcome = host.servicenow().outcome().await;
        let traced = outcome.response()["traced"].as_str().expect("a text").to_owned();
        let send = span_of_job(&receiver, "send provisioning-requests", id).await;
        let expected = format!("00-{}-{}-", send.trace_id, send.span_id);
        assert!(traced.starts_with(&expected), "{traced} and not {expected}");
        assert_eq!(send.trace_id == TRACE_ID, id == "job-1");
    }
}

#[tokio::test]
async fn the_lines_of_a_job_have_its_trace() {
    let (csp, receiver) = (csp::sync().await, receiver().await);
    let host = host(&csp, &receiver, "").await;
    let new = job("job-1", "CSP_TEST", "ADD_PORTFOLIO");
    post(&host, &new, &[("traceparent", PARENT)]).await;
    host.servicenow().outcome().await;
    let process = spans_of(&receiver, PROCESS, 1).await.remove(0);
    let server = spans_of(&receiver, "POST /provisioning-jobs", 1).await.remove(0);
    for (key, word, span) in
        [("event", "begin", &process), ("event", "end", &process), ("act", "submit", &server)]
    {
        let line = host.logged(word, |line| line[key] == word).await;
        assert_eq!((&line["trace_id"], &line["span_id"]), (&json!(TRACE_ID), &json!(span.span_id)));
        assert_eq!(line["job.id"], "job-1");
    }
    // The trail is written a moment later.
    eventually("the trace id in the timeline of the job", || async {
        let job = client().get(format!("{}/jobs/job-1", host.admin())).send().await;
        let job = job.expect("the host answers").text().await.expect("it is text");
        job.contains(&format!("\"traceId\":\"{TRACE_ID}\"")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_trace_survives_a_restart_between_post_and_run() {
    let (csp, receiver) = (csp::sync().await, receiver().await);
    let setup = Setup::new().csp("CSP_TEST", &csp).with(&receiver.table()).roles("api");
    let mut accepting = setup.start().await;
    let new = job("job-1", "CSP_TEST", "ADD_PORTFOLIO");
    post(&accepting, &new, &[("traceparent", PARENT)]).await;
    let send = spans_of(&receiver, "send provisioning-requests", 1).await.remove(0);
    accepting.kill().await;
    accepting.set_roles("api,worker,watcher");
    accepting.restart().await;
    accepting.servicenow().outcome().await;
    let process = spans_of(&receiver, PROCESS, 1).await.remove(0);
    assert_eq!((process.trace_id.as_str(), process.parent), (TRACE_ID, send.span_id));
    assert_ne!(
        process.resource["service.instance.id"], send.resource["service.instance.id"],
        "two processes"
    );
}

#[tokio::test]
async fn a_repetition_may_come_in_another_trace() {
    let (csp, receiver) = (csp::sync().await, receiver().await);
    let host = host(&csp, &receiver, "").await;
    let new = job("job-1", "CSP_TEST", "ADD_PORTFOLIO");
    let another = PARENT.replace("4bf9", "aaaa");
    assert_eq!(post(&host, &new, &[("traceparent", PARENT)]).await, (201, false));
    assert_eq!(post(&host, &new, &[("traceparent", &another)]).await, (201, true));
    assert_eq!(post(&host, &new, &[]).await, (201, true));
    host.servicenow().outcome().await;
    let process = spans_of(&receiver, PROCESS, 1).await.remove(0);
    assert_eq!(process.trace_id, TRACE_ID, "that of the first request");
    let posts = spans_of(&receiver, "POST /provisioning-jobs", 3).await;
    let again: Vec<bool> =
        posts.iter().map(|span| span.attributes.contains_key("hoth.again")).collect();
    assert_eq!(again, [false, true, true]);
}

#[tokio::test]
async fn a_hostile_context_is_ignored() {
    let (csp, receiver) = (csp::sync().await, receiver().await);
    let host = host(&csp, &receiver, "propagate_to = [\"CSP_TEST\"]").await;
    let long = format!("01-{}{}", &PARENT[3..], "-x".repeat(2_000));
    let big_state = format!("k={}", "v".repeat(8_000));
    let contexts: [&[(&str, &str)]; 5] = [
        &[("traceparent", "00-00000000000000000000000000000000-00f067aa0ba902b7-01")],
        &[("traceparent", &long)],
        &[("traceparent", PARENT), ("traceparent", PARENT)],
        &[("traceparent", "' or 1=1 --"), ("tracestate", "a=1")],
        &[("traceparent", PARENT), ("tracestate", &big_state)],
    ];
    for (index, headers) in contexts.iter().enumerate() {
        let new = job(&format!("job-{index}"), "CSP_TEST", "ADD_PORTFOLIO");
        assert_eq!(post(&host, &new, headers).await, (201, false), "{index}");
    }
    host.servicenow().collect_all("/provisioning-jobs", contexts.len()).await;
    let spans = spans_of(&receiver, PROCESS, contexts.len()).await;
    // The last one has a valid parent, whose state alone is ignored.
    for span in spans {
        let is_valid = span.attributes["messaging.message.conversation_id"] == "job-4";
        assert_eq!(span.trace_id == TRACE_ID, is_valid, "{span:#?}");
        assert_eq!(span.state, "");
    }
    for call in csp::calls(&csp) {
        let sent = csp::header(&call, "traceparent").expect("every job has a trace");
        assert_eq!((sent.len(), csp::header(&call, "tracestate")), (55, None));
    }
}
