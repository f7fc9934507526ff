//! A host that stops while a guest's request is delayed.

use std::fs;

use serde_json::json;

use super::add_misbehaving_csp;
use super::asks;
use super::misbehaviors::Misbehavior;
use crate::csp;
use crate::harness::Setup;
use crate::harness::eventually;

/// The bound on the pause before a request: much longer than a stop may take.
const AN_HOUR: &str = "max_backoff_ms = 3600000";

#[tokio::test]
async fn a_stop_during_a_pause_before_a_request_ends_in_time_and_loses_nothing() {
    let answer = csp::Answer::json(200, &json!({}));
    let (csp, elsewhere) = (csp::scripted([answer]).await, csp::sync().await);
    let setup = Setup::new().with(&format!(
        "[retry]
        {AN_HOUR}
        [worker]
        drain_ms = 100"
    ));
    let setup = add_misbehaving_csp(setup, "CSP_PAUSES", &csp, &elsewhere);
    let mut host = setup.start().await;
    host.servicenow().provision(&asks("CSP_PAUSES", Misbehavior::PausesAnAge, "job-1")).await;
    // The pause follows the end of the first call.
    let called = async || {
        let adapters = host.admin_json("/adapters").await;
        let adapters = adapters["adapters"].as_array().expect("a list");
        let adapter = adapters.iter().find(|adapter| adapter["name"] == "csp-pauses")?;
        (adapter["versions"][0]["usage"]["calls"] == 1).then_some(())
    };
    eventually("the adapter to return its request", called).await;
    assert_eq!(host.terminate().await, Some(0));
    assert!(csp::calls(&csp).is_empty(), "the request was sent without its pause");

    let file = host.directory().join("hoth.toml");
    let text = fs::read_to_string(&file).expect("the configuration can be read");
    assert!(text.contains(AN_HOUR));
    fs::write(&file, text.replace(AN_HOUR, "max_backoff_ms = 20"))
        .expect("the configuration can be written");
    host.restart().await;
    let message = host.servicenow().outcome().await;
    assert_eq!((message.job_id(), message.code()), ("job-1", 200), "{message}");
    assert_eq!(csp::calls(&csp).len(), 1);
    // The run before the stop made no call, and cost the job no delivery.
    host.logged_ends(1).await;
    let lines = host.log().into_iter();
    let attempts: Vec<_> =
        lines.filter(|line| line["event"] == "begin").map(|line| line["attempt"].clone()).collect();
    assert_eq!(attempts, [1]);
}
