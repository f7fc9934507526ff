//! The effect of a CSP's outage on its jobs, and the isolation of other CSPs.

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
use crate::several;

/// A breaker that opens when five jobs have had failing calls over 300 ms, and
/// holds jobs for longer than any test takes.
const BREAKER: &str = "breaker = { failures = 5, over_ms = 300, open_ms = 50, max_open_ms = 200, max_hold_ms = 3600000 }";

/// A backoff with which no job makes its third call before the breaker has
/// opened, even if the machine takes seconds to accept five jobs.
const RETRY: &str = "[retry]\ninitial_backoff_ms = 4000\nmax_backoff_ms = 8000";

/// Portfolios at each CSP: more than it takes to open its breaker.
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
    // Other labels may follow, such as the origin of a breaker.
    let line = format!("{name}{{csp=\"{csp}\"");
    let found = text.lines().find_map(|found| found.strip_prefix(&line))?;
    let (_, value) = found.split_once("} ").expect("a value follows the labels");
    Some(value.parse().expect("a number"))
}

/// Takes the CSP down in the way that `outage` names.
fn go_down(csp: &MockCsp, outage: &str) {
    match outage {
        "FAILS" => csp.script([Answer::text(503, "")]),
        "RESETS" => csp.script([Answer::reset_after_read()]),
        "HANGS" => csp.script([Answer::hang()]),
        "NO_TOKENS" => csp.script_tokens([Answer::text(503, "")]),
        other => panic!("no outage is called {other}"),
    }
}

/// Returns the number of calls of the CSP and its identity provider so far.
fn all_calls(csp: &MockCsp) -> usize {
    csp.call_count() + csp.token_call_count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_wait_for_the_end_of_an_outage_and_succeed() {
    let outages = ["FAILS", "RESETS", "HANGS", "NO_TOKENS"];
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
        // Jobs that arrive during the outage wait, too.
        snow.provision(&work(name, PORTFOLIOS)).await;
        snow.ask_cost(&cost(&format!("{name}-cost"), name)).await;
        // Probes go on, and none of them uses up an attempt of a job.
        let seen = all_calls(csp);
        eventually("further probes", || async { (all_calls(csp) > seen + 6).then_some(()) }).await;
        assert_ne!(state(&host, name).await, "closed", "{name}");
        assert_eq!(metric(&host, "hoth_breaker_open", name).await, Some(1.0), "{name}");
        let openings = metric(&host, "hoth_breaker_openings_total", name).await;
        assert!(openings >= Some(1.0), "{name}: {openings:?}");
    }
    assert_eq!(snow.collect("/provisioning-jobs").await.len(), 0);
    assert_eq!(snow.collect("/cost-jobs").await.len(), 0);

    for (_, csp) in &csps {
        csp.script([]);
        csp.script_tokens([]);
    }
    for message in snow.collect_all("/provisioning-jobs", csps.len() * (PORTFOLIOS + 1)).await {
        assert_eq!(message.code(), 200, "{message}");
    }
    for message in snow.collect_all("/cost-jobs", csps.len()).await {
        assert_eq!(message.code(), 200, "{message}");
    }
    for (name, csp) in &csps {
        assert_eq!(state(&host, name).await, "closed", "{name}");
        assert_eq!(metric(&host, "hoth_breaker_open", name).await, Some(0.0), "{name}");
        csp::assert_no_violations(csp);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permanent_outage_holds_no_job_longer_than_the_limit() {
    let csp = csp::scripted([Answer::text(503, "")]).await;
    let breaker = BREAKER.replace("3600000", "2000");
    let host = Setup::new().with(RETRY).csp_with("CSP_TEST", &csp, &breaker).start().await;
    let snow = host.servicenow();
    let started_at = Instant::now();
    for number in 0..PORTFOLIOS {
        snow.provision(&work("CSP_TEST", number)).await;
    }
    for message in snow.collect_all("/provisioning-jobs", PORTFOLIOS).await {
        assert_eq!(message.code(), 503, "{message}");
        assert_eq!(message.status(), "FAILURE", "{message}");
    }
    assert!(
        started_at.elapsed() > Duration::from_secs(2),
        "they were held: {:?}",
        started_at.elapsed()
    );
    assert_eq!(state(&host, "CSP_TEST").await, "given-up");
    // A job that arrives now is not held at all.
    let calls = csp.call_count();
    snow.provision(&work("CSP_TEST", PORTFOLIOS)).await;
    assert_eq!(snow.outcome().await.code(), 503);
    assert_eq!(csp.call_count(), calls + 3);

    csp.script([]);
    snow.provision(&work("CSP_TEST", PORTFOLIOS + 1)).await;
    assert_eq!(snow.outcome().await.code(), 200);
    assert_eq!(state(&host, "CSP_TEST").await, "closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_csp_that_answers_with_errors_does_not_open_its_breaker() {
    let csp = csp::scripted([Answer::json(500, &json!({"it_is": "a bug"}))]).await;
    let host = Setup::new().csp_with("CSP_TEST", &csp, BREAKER).start().await;
    let snow = host.servicenow();
    for number in 0..PORTFOLIOS {
        snow.provision(&work("CSP_TEST", number)).await;
    }
    for message in snow.collect_all("/provisioning-jobs", PORTFOLIOS).await {
        assert_eq!(message.code(), 500, "{message}");
    }
    assert_eq!(csp.call_count(), 3 * PORTFOLIOS);
    assert_eq!(metric(&host, "hoth_breaker_openings_total", "CSP_TEST").await, Some(0.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_of_a_healthy_csp_end_while_another_csp_hangs() {
    /// The number of calls that a host makes to one CSP at once.
    const AT_ONCE: usize = 64;
    const JOBS: usize = 100;
    let (well, hanging) = (csp::sync().await, csp::scripted([Answer::hang()]).await);
    let setup = Setup::new().csp("WELL", &well);
    let host = setup.csp_with("HANGS", &hanging, "timeout_ms = 3600000").start().await;
    host.leaves_work("the hanging CSP answers no job");
    let snow = host.servicenow();
    // More than the limit of jobs in flight.
    for number in 0..400 {
        snow.provision(&work("HANGS", number)).await;
    }
    csp::wait_for_calls(&hanging, AT_ONCE).await;
    // Each waits for the one before it, and all of them would wait for an hour
    // if they waited for the CSP that hangs.
    for number in 0..JOBS {
        snow.provision(&work("WELL", number)).await;
        let outcome = snow.outcome().await;
        assert_eq!(outcome.code(), 200, "{outcome}");
        assert_eq!(outcome.job_id(), format!("WELL-{number}"));
    }
    assert_eq!((hanging.at_once(), hanging.call_count()), (AT_ONCE, AT_ONCE), "it hung meanwhile");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polls_at_an_origin_that_responds_go_on_while_the_base_url_is_down() {
    let status = |word: &str| {
        let ids = json!({"provisioning_job_id": "9", "portfolio_id": "p-1", "environment_id": "e-9", "status": word});
        Answer::json(200, &ids)
    };
    let statuses = csp::scripted([status("IN_PROGRESS")]).await;
    let location = format!("{}/jobs/1", csp::origin(&statuses));
    let accepted = Answer::json(202, &json!({})).header("location", &location);
    let csp = csp::scripted([accepted]).await;
    // The breaker stays open for longer than the test takes.
    let breaker = "breaker = { failures = 5, over_ms = 0, open_ms = 300000, max_open_ms = 300000 }";
    let lines = format!("allowed_origins = [\"{}\"]\n{breaker}", csp::origin(&statuses));
    let host = Setup::new().with(RETRY).csp_with("CSP_TEST", &csp, &lines).start().await;
    host.leaves_work("the breaker holds the other jobs");
    let snow = host.servicenow();
    snow.provision(&job("job-1", "CSP_TEST", "ADD_ENVIRONMENT")).await;
    csp::wait_for_calls(&statuses, 1).await;

    go_down(&csp, "FAILS");
    for number in 0..PORTFOLIOS {
        snow.provision(&work("CSP_TEST", number)).await;
    }
    eventually("the breaker to open", || async {
        (state(&host, "CSP_TEST").await == "open").then_some(())
    })
    .await;
    let metrics = format!("{}/metrics", host.admin());
    let metrics = client().get(metrics).send().await.expect("it answers").text().await;
    let metrics = metrics.expect("a text");
    for (origin, open) in [(csp::origin(&csp), 1), (csp::origin(&statuses), 0)] {
        let line = format!("hoth_breaker_open{{csp=\"CSP_TEST\",origin=\"{origin}\"}} {open}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
    statuses.script([status("SUCCESS")]);
    let outcome = snow.outcome().await;
    assert_eq!((outcome.job_id(), outcome.code()), ("job-1", 200), "{outcome}");
    assert_eq!(state(&host, "CSP_TEST").await, "open");
}

/// Has jobs wait through more probes than a job may have deliveries, and
/// expects that none of them notices.
async fn jobs_wait_through_many_probes(setup: Setup) {
    /// More than the deliveries after which a job becomes a dead letter.
    const PROBES: usize = 40;
    // Probes that fail at once: a receive is then often in progress when the
    // breaker opens again.
    let csp = csp::sync().await;
    let breaker = BREAKER.replace("max_open_ms = 200", "max_open_ms = 50");
    let host = setup.with(RETRY).csp_with("CSP_TEST", &csp, &breaker).start().await;
    go_down(&csp, "RESETS");
    let snow = host.servicenow();
    for number in 0..PORTFOLIOS {
        let mut cost = cost(&format!("cost-{number}"), "CSP_TEST");
        cost["portfolioId"] = json!(format!("p-{number}"));
        snow.ask_cost(&cost).await;
    }
    eventually("the breaker to open", || async {
        (state(&host, "CSP_TEST").await != "closed").then_some(())
    })
    .await;
    // Those that were posted later, of which no call is waiting.
    for number in 0..PORTFOLIOS {
        snow.provision(&work("CSP_TEST", number)).await;
    }
    csp::wait_for_calls(&csp, csp.call_count() + PROBES).await;
    csp.script([]);
    for message in snow.collect_all("/provisioning-jobs", PORTFOLIOS).await {
        assert_eq!(message.code(), 200, "{message}");
    }
    for message in snow.collect_all("/cost-jobs", PORTFOLIOS).await {
        assert_eq!(message.code(), 200, "{message}");
    }
    host.logged_ends(2 * PORTFOLIOS).await;
    let begins: Vec<Value> =
        host.log().into_iter().filter(|line| line["event"] == "begin").collect();
    assert_eq!(begins.len(), 2 * PORTFOLIOS);
    for begin in begins {
        assert_eq!(begin["attempt"], 1, "{begin}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_the_end_of_an_outage_costs_a_job_no_delivery() {
    jobs_wait_through_many_probes(Setup::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_the_end_of_an_outage_costs_a_job_no_delivery_on_sqs() {
    jobs_wait_through_many_probes(several::on_sqs()).await;
}

/// Stops a host with a job that hangs in its call and a job that waits for
/// the only connection, and expects that only the first one was tried.
async fn a_stop_counts_only_for_jobs_that_made_a_call(setup: Setup) {
    let csp = csp::scripted([Answer::hang()]).await;
    let setup = setup.with("[worker]\ndrain_ms = 100");
    let limits = "max_concurrent = 1\ntimeout_ms = 3600000";
    let mut host = setup.csp_with("CSP_TEST", &csp, limits).start().await;
    let begins = |host: &TestHost| -> Vec<(String, u64)> {
        let lines = host.log().into_iter().filter(|line| line["event"] == "begin");
        let begin = |line: Value| {
            let job = line["job.id"].as_str().expect("a job's id").to_owned();
            (job, line["attempt"].as_u64().expect("a number"))
        };
        lines.map(begin).collect()
    };
    host.servicenow().provision(&work("CSP_TEST", 0)).await;
    csp::wait_for_calls(&csp, 1).await;
    host.servicenow().provision(&work("CSP_TEST", 1)).await;
    eventually("both jobs to begin", || async { (begins(&host).len() == 2).then_some(()) }).await;
    assert_eq!(host.terminate().await, Some(0));

    csp.script([]);
    host.restart().await;
    for message in host.servicenow().collect_all("/provisioning-jobs", 2).await {
        assert_eq!(message.code(), 200, "{message}");
    }
    host.logged_ends(2).await;
    let mut begins = begins(&host);
    begins.sort();
    assert_eq!(begins, [("CSP_TEST-0".to_owned(), 2), ("CSP_TEST-1".to_owned(), 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_costs_a_job_that_made_no_call_no_delivery() {
    a_stop_counts_only_for_jobs_that_made_a_call(Setup::new()).await;
}
