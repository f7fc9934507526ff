//! A host that has done some of everything that the metrics are about.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;

use mock_csp::MockCsp;

use crate::csp;
use crate::csp::Answer;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::client;
use crate::harness::cost;
use crate::harness::eventually;
use crate::harness::job;

/// Metrics that have series only after an event that this run does not have.
pub const MAY_BE_ABSENT: &[&str] = &[
    "hoth_adapter_refusals_total",
    "hoth_replays_total",
    "hoth_requests_refused_total",
    "hoth_span_export_seconds",
    "hoth_spans_dropped_total",
    // Written with the first events, about a second later.
    "hoth_trail_writable",
];

/// Series of this run, and their values.
pub const EXPECTED: &[(&str, f64)] = &[
    ("hoth_jobs_accepted_total{csp=\"CSP_GOOD\",kind=\"provisioning\"}", 2.0),
    (
        "hoth_jobs_finished_total{csp=\"CSP_GOOD\",operation=\"ADD_PORTFOLIO\",end=\"done\",\
         code_class=\"2xx\"}",
        2.0,
    ),
    (
        "hoth_jobs_finished_total{csp=\"CSP_BAD\",operation=\"ADD_PORTFOLIO\",end=\"failed\",\
         code_class=\"4xx\"}",
        1.0,
    ),
    (
        "hoth_jobs_finished_total{csp=\"CSP_BUSY\",operation=\"COST_BY_PORTFOLIO\",end=\"done\",\
         code_class=\"2xx\"}",
        1.0,
    ),
    ("hoth_job_seconds_count{csp=\"CSP_GOOD\",operation=\"ADD_PORTFOLIO\"}", 2.0),
    ("hoth_job_runs_total{csp=\"CSP_SLOW\",stage=\"requests\"}", 1.0),
    ("hoth_job_runs_total{csp=\"CSP_SLOW\",stage=\"polls\"}", 3.0),
    ("hoth_csp_retries_total{csp=\"CSP_BUSY\",reason=\"429\"}", 1.0),
    ("hoth_csp_calls_total{csp=\"CSP_BUSY\",outcome=\"4xx\"}", 1.0),
    ("hoth_csp_calls_total{csp=\"CSP_BUSY\",outcome=\"2xx\"}", 1.0),
    ("hoth_csp_call_seconds_count{csp=\"CSP_BUSY\",method=\"GET\",status_class=\"4xx\"}", 1.0),
    ("hoth_token_fetch_seconds_count{csp=\"CSP_BAD\",outcome=\"obtained\"}", 1.0),
    ("hoth_outcomes_collected_total{kind=\"provisioning\"}", 4.0),
    ("hoth_outcome_wait_seconds_count{kind=\"cost\"}", 1.0),
    ("hoth_csp_paused{csp=\"CSP_PAUSED\"}", 1.0),
    ("hoth_csp_paused{csp=\"CSP_GOOD\"}", 0.0),
    ("hoth_ready", 1.0),
    ("hoth_config_reload_success", 1.0),
    ("hoth_storage_reserve_bytes", 8_388_608.0),
];

/// A host with its CSPs.
pub struct BusyHost {
    pub host: TestHost,
    _csps: Vec<MockCsp>,
    _certificate: TempDir,
}

/// Starts a host, and has it run jobs that succeed, fail, wait and are tried
/// again. One CSP is paused, and one gets a client certificate. At the end it is
/// drained.
pub async fn busy_host() -> BusyHost {
    let good = csp::sync().await;
    let slow = csp::asynchronous(2).await;
    let bad = csp::scripted([Answer::text(403, "not you")]).await;
    let costs = json!({"costs": []});
    let busy = csp::scripted([Answer::text(429, ""), Answer::json(200, &costs)]).await;
    let (certificate, tls) = client_certificate();
    let setup = Setup::new()
        .csp_with("CSP_GOOD", &good, &tls)
        .csp("CSP_SLOW", &slow)
        .csp("CSP_BAD", &bad)
        .csp("CSP_BUSY", &busy)
        .csp("CSP_PAUSED", &good);
    let host = setup.start().await;
    let pause = format!("{}/csps/CSP_PAUSED/pause", host.admin());
    let paused = client().post(pause).send().await.expect("the host answers");
    assert!(paused.status().is_success());
    let snow = host.servicenow();
    for (id, csp, operation) in [
        ("job-1", "CSP_GOOD", "ADD_PORTFOLIO"),
        ("job-2", "CSP_GOOD", "ADD_PORTFOLIO"),
        ("job-3", "CSP_BAD", "ADD_PORTFOLIO"),
        ("job-4", "CSP_SLOW", "ADD_ENVIRONMENT"),
    ] {
        snow.provision(&job(id, csp, operation)).await;
    }
    snow.ask_cost(&cost("cost-1", "CSP_BUSY")).await;
    snow.collect_all("/provisioning-jobs", 4).await;
    snow.cost_outcome().await;
    // A route that is unknown, and one that is not for this method.
    for (method, path) in [(Method::GET, "/nowhere"), (Method::PUT, "/cost-jobs")] {
        snow.send(method, path, None).await;
    }
    // Outcomes are counted when their responses have left, jobs when their
    // messages are settled, and journals when they are written.
    let journals = ("hoth_journals_written_total{adapter=\"atat\"}", 5.0);
    for (series, expected) in EXPECTED.iter().chain([&journals]) {
        eventually(series, async || {
            (value(&host.metrics().await, series) == Some(*expected)).then_some(())
        })
        .await;
    }
    // Only a host that is drained has the time since when it is.
    let drained = client().post(format!("{}/host/drain", host.admin())).send().await;
    assert!(drained.expect("the host answers").status().is_success());
    BusyHost { host, _csps: vec![good, slow, bad, busy], _certificate: certificate }
}

/// Makes a client certificate, and the lines of a CSP that name it.
fn client_certificate() -> (TempDir, String) {
    let directory = tempfile::tempdir().expect("a temporary folder can be made");
    let made = rcgen::generate_simple_self_signed(["hoth".to_owned()]);
    let made = made.expect("a certificate can be made");
    let (certificate, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).expect("a file can be written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("a file can be written");
    let tls = format!(
        "tls = {{ certificate = \"{}\", key = \"{}\" }}",
        certificate.display(),
        key.display()
    );
    (directory, tls)
}

/// Returns the metrics that `docs/metrics.md` lists, each with its labels.
pub fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let page = include_str!("../../../docs/metrics.md");
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let name = cells.next()?.strip_suffix('`')?.to_owned();
        let is_metric = name.starts_with("hoth_") || name.starts_with("process_");
        let labels = cells.nth(1)?.split(", ").map(|label| label.trim_matches('`').to_owned());
        is_metric.then(|| (name, labels.filter(|label| !label.is_empty()).collect()))
    };
    page.lines().filter_map(row).collect()
}

/// Returns the names of the metrics in a text.
pub fn names_in(text: &str) -> BTreeSet<&str> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.filter_map(|line| line.split(' ').next()).collect()
}

/// Returns the value of a series.
pub fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}
