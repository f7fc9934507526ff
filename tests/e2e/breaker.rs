//! What an outage of one CSP does to its jobs, and does not do to others.

use std::time::Duration;
use std::time::Instant;

use mock_csp::MockCsp;
use serde_json::Value;
use serde_json::json;

use crate::csp;
use crate::csp::Answer;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::client;
use crate::harness::cost;
use crate::harness::eventually;
use crate::harness::job;

/// Opens when five jobs have had failing calls over 300 ms, and holds jobs for
/// longer than any test takes.
const BREAKER: &str = "breaker = { failures = 5, over_ms = 300, open_ms = 50, max_open_ms = 200, max_hold_ms = 3600000 }";

/// No job makes its third call before the breaker has opened, also where the
/// machine takes seconds to accept five jobs.
const RETRY: &str = "[retry]\ninitial_backoff_ms = 4000\nmax_backoff_ms = 8000";

/// Portfolios at each CSP; more than open its breaker.
const PORTFOLIOS: usize = 20;

fn work(csp: &str, number: usize) -> Value {
    let mut job = job(&format!("{csp}-{number}"), csp, "ADD_TASK_ORDER");
    job["portfolioId"] = json!(format!("p-{number}"));
    job
}

async fn state(host: &TestHost, csp: &str) -> String {
    let csp = host.admin_json(&format!("/csps/{csp}")).await;
    csp["breaker"]["state"].as_str().expect("a word").to_owned()
}

async fn metric(host: &TestHost, name: &str, csp: &str) -> Option<f64> {
    let url = format!("{}/metrics", host.admin());
    let text = client().get(url).send().await.expect("it answers").text().await.expect("text");
    let line = format!("{name}{{csp=\"{csp}\"}} ");
    let value = text.lines().find_map(|found| found.strip_prefix(&line))?;
    Some(value.parse().expect("a number"))
}

/// How a CSP goes down.
fn go_down(csp: &MockCsp, outage: &str) {
    match outage {
        "FAILS" => csp.script([Answer::text(503, "")]),
        "RESETS" => csp.script([Answer::reset_after_read()]),
        "HANGS" => csp.script([Answer::hang()]),
        "TOKENLESS" => csp.script_tokens([Answer::text(503, "")]),
        other => panic!("no outage is called {other}"),
    }
}

/// Calls of the CSP and its identity provider so far.
fn touched(csp: &MockCsp) -> usize {
    csp.call_count() + csp.token_call_count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_wait_for_the_end_of_an_outage_and_then_all_end_well() {
    let outages = ["FAILS", "RESETS", "HANGS", "TOKENLESS"];
    let mut setup = Setup::new().with(RETRY);
    let mut csps = Vec::new();
    for outage in outages {
        let csp = csp::sync().await;
        setup = setup.csp_with(outage, &csp, &format!("timeout_ms = 1000\n{BREAKER}"));
        go_down(&csp, outage);
        csps.push((outage, csp));
    }
    let host = setup.start().await;
    let snow = host.servicenow();
    for (name, _) in &csps {
        for number in 0..PORTFOLIOS {
            snow.provision(&work(name, number)).await;
        }
    }
    for (name, csp) in &csps {
        eventually("the breaker to open", || async {
            (state(&host, name).await != "closed").then_some(())
        })
        .await;
        // What comes during the outage waits, too.
        snow.provision(&work(name, PORTFOLIOS)).await;
        snow.ask_cost(&cost(&format!("{name}-cost"), name)).await;
        // It is looked after from time to time, which costs nobody a try.
        let seen = touched(csp);
        eventually("further probes", || async { (touched(csp) > seen + 6).then_some(()) }).await;
        assert_ne!(state(&host, name).await, "closed", "{name}");
        assert_eq!(metric(&host, "hoth_breaker_open", name).await, Some(1.0), "{name}");
        let openings = metric(&host, "hoth_breaker_openings_total", name).await;
        assert!(openings >= Some(1.0), "{name}: {openings:?}");
    }
    assert_eq!(snow.collect("/provisioning-jobs").await, Vec::<Value>::new());
    assert_eq!(snow.collect("/cost-jobs").await, Vec::<Value>::new());

    for (_, csp) in &csps {
        csp.script([]);
        csp.script_tokens([]);
    }
    for message in snow.collect_all("/provisioning-jobs", csps.len() * (PORTFOLIOS + 1)).await {
        assert_eq!(message["code"], 200, "{message}");
    }
    for message in snow.collect_all("/cost-jobs", csps.len()).await {
        assert_eq!(message["code"], 200, "{message}");
    }
    for (name, csp) in &csps {
        assert_eq!(state(&host, name).await, "closed", "{name}");
        assert_eq!(metric(&host, "hoth_breaker_open", name).await, Some(0.0), "{name}");
        csp::assert_lawful(csp);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_that_does_not_end_holds_no_job_for_longer_than_it_may() {
    let csp = csp::scripted([Answer::text(503, "")]).await;
    let breaker = BREAKER.replace("3600000", "2000");
    let host = Setup::new().with(RETRY).csp_with("CSP_TEST", &csp, &breaker).start().await;
    let snow = host.servicenow();
    let begun = Instant::now();
    for number in 0..PORTFOLIOS {
        snow.provision(&work("CSP_TEST", number)).await;
    }
    for message in snow.collect_all("/provisioning-jobs", PORTFOLIOS).await {
        assert_eq!(message["code"], 503, "{message}");
        assert_eq!(message["content"]["response"]["status"]["status"], "FAILURE", "{message}");
    }
    assert!(begun.elapsed() > Duration::from_secs(2), "they were held: {:?}", begun.elapsed());
    assert_eq!(state(&host, "CSP_TEST").await, "given-up");
    // Whoever comes now is not held at all.
    let calls = csp.call_count();
    snow.provision(&work("CSP_TEST", PORTFOLIOS)).await;
    assert_eq!(snow.outcome().await["code"], 503);
    assert_eq!(csp.call_count(), calls + 3);

    csp.script([]);
    snow.provision(&work("CSP_TEST", PORTFOLIOS + 1)).await;
    assert_eq!(snow.outcome().await["code"], 200);
    assert_eq!(state(&host, "CSP_TEST").await, "closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_csp_that_answers_is_not_down_however_badly_it_answers() {
    let csp = csp::scripted([Answer::json(500, &json!({"it_is": "a bug"}))]).await;
    let host = Setup::new().csp_with("CSP_TEST", &csp, BREAKER).start().await;
    let snow = host.servicenow();
    for number in 0..PORTFOLIOS {
        snow.provision(&work("CSP_TEST", number)).await;
    }
    for message in snow.collect_all("/provisioning-jobs", PORTFOLIOS).await {
        assert_eq!(message["code"], 500, "{message}");
    }
    assert_eq!(csp.call_count(), 3 * PORTFOLIOS);
    assert_eq!(metric(&host, "hoth_breaker_openings_total", "CSP_TEST").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_of_a_healthy_csp_end_while_another_csp_hangs() {
    /// As many calls of one CSP as a host makes at once.
    const AT_ONCE: usize = 64;
    const JOBS: usize = 100;
    let (well, hanging) = (csp::sync().await, csp::scripted([Answer::hang()]).await);
    let setup = Setup::new().csp("WELL", &well);
    let host = setup.csp_with("HANGS", &hanging, "timeout_ms = 3600000").start().await;
    let snow = host.servicenow();
    // More than may be in hand at once.
    for number in 0..400 {
        snow.provision(&work("HANGS", number)).await;
    }
    csp::wait_for_calls(&hanging, AT_ONCE).await;
    // Each waits for the one before it, and all of them would wait for an hour
    // if they waited for the CSP that hangs.
    for number in 0..JOBS {
        snow.provision(&work("WELL", number)).await;
        let outcome = snow.outcome().await;
        assert_eq!(outcome["code"], 200, "{outcome}");
        assert_eq!(outcome["initialSnowRequest"]["jobId"], format!("WELL-{number}"));
    }
    assert_eq!((hanging.at_once(), hanging.call_count()), (AT_ONCE, AT_ONCE), "it hung meanwhile");
}
