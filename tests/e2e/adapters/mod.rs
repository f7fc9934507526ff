//! Replacement of adapters while jobs run, through the API, the drop directory
//! and rollbacks, and across kills of the host.

mod coverage;
mod files;

use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;
use serde_json::json;

use hoth_platform::failpoint::FailPoint;

use crate::csp;
use crate::csp::Answer;
use crate::csp::Gate;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::client;
use crate::harness::component;
use crate::harness::eventually;
use crate::harness::guest;
use crate::harness::job;

/// The number of swaps under load.
const SWAPS: usize = 200;

/// The pause of each CSP's client between two jobs.
const PACE: Duration = Duration::from_millis(20);

/// Returns a version of the guest that makes three requests in a run and fails
/// if another version goes on with the run.
fn version(number: u32) -> Vec<u8> {
    const MARK: &[u8] = b"hoth-guest-mark-0000";
    let mut wasm = std::fs::read(guest("steps")).expect("the guest can be read");
    let at = wasm.windows(MARK.len()).position(|window| window == MARK).expect("it has a mark");
    wasm[at..at + MARK.len()].copy_from_slice(mark(number).as_bytes());
    wasm
}

fn mark(number: u32) -> String {
    format!("hoth-guest-mark-{number:04}")
}

fn sha256(wasm: &[u8]) -> String {
    hoth_core::domain::Digest::of(wasm).to_string()
}

/// Returns the `atat` adapter with other bytes: one more custom section.
fn another_atat() -> Vec<u8> {
    let mut wasm = std::fs::read(component("atat")).expect("the adapter can be read");
    // Section 0 of four bytes, with a name of three.
    wasm.extend([0, 4, 3, b'n', b'e', b'w']);
    wasm
}

async fn put(host: &TestHost, wasm: Vec<u8>) -> reqwest::Result<(StatusCode, Value)> {
    let request = client().put(format!("{}/adapters/atat", host.admin())).body(wasm);
    let answer = request.send().await?;
    Ok((answer.status(), answer.json().await?))
}

async fn roll_back(host: &TestHost, to: Option<&str>) -> reqwest::Result<(StatusCode, Value)> {
    let body = to.map(|sha256| json!({ "sha256": sha256 }).to_string()).unwrap_or_default();
    let request = client().post(format!("{}/adapters/atat/rollback", host.admin())).body(body);
    let answer = request.send().await?;
    Ok((answer.status(), answer.json().await?))
}

async fn atat(host: &TestHost) -> Value {
    host.admin_json("/adapters/atat").await
}

/// Returns the digests of the active versions, of which there should be one.
fn active(listing: &Value) -> Vec<String> {
    let versions = listing["versions"].as_array().expect("a list").iter();
    let active = versions.filter(|version| version["active"] == true);
    active.map(|version| version["sha256"].as_str().expect("a digest").to_owned()).collect()
}

async fn becomes_active(host: &TestHost, sha256: &str) {
    eventually("a version to become active", || async {
        (active(&atat(host).await) == [sha256]).then_some(())
    })
    .await;
}

fn rename_into(folder: &Path, wasm: &[u8]) {
    let aside: PathBuf = folder.join("upload");
    std::fs::write(&aside, wasm).expect("a file can be written");
    std::fs::rename(&aside, folder.join("atat.wasm")).expect("a file can be renamed");
}

/// Submits jobs to one CSP until `stop` is set, and counts them in `submitted`.
async fn submit(host: &TestHost, csp: &str, submitted: &AtomicUsize, stop: &AtomicBool) {
    let snow = host.servicenow();
    while !stop.load(Ordering::SeqCst) {
        let number = submitted.load(Ordering::SeqCst);
        snow.provision(&job(&format!("{csp}-{number}"), csp, "ADD_PORTFOLIO")).await;
        submitted.store(number + 1, Ordering::SeqCst);
        tokio::time::sleep(PACE).await;
    }
}

/// Swaps versions at least [`SWAPS`] times, until both CSPs had load.
async fn swap(host: &TestHost, versions: &[Vec<u8>; 2], load: &[AtomicUsize; 2]) {
    let folder = host.directory().join("adapters");
    let there_was_load =
        || load.iter().all(|submitted| submitted.load(Ordering::SeqCst) > SWAPS / 4);
    for n in (0..).take_while(|n| *n < SWAPS || !there_was_load()) {
        let wasm = &versions[n % 2];
        // Through each way of activation in turn.
        match n % 3 {
            0 => {
                let (status, answer) = put(host, wasm.clone()).await.expect("HOTH answers");
                assert_eq!(status, StatusCode::OK, "{answer}");
            }
            1 => rename_into(&folder, wasm),
            _ => {
                let (status, answer) =
                    roll_back(host, Some(&sha256(wasm))).await.expect("HOTH answers");
                assert_eq!(status, StatusCode::OK, "{answer}");
            }
        }
        becomes_active(host, &sha256(wasm)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_swaps_under_load_fail_no_job_and_no_run_sees_two_versions() {
    let csps = [csp::sync().await, csp::sync().await];
    for csp in &csps {
        csp.script([Answer::json(200, &json!({}))]);
    }
    // The only operation of the guest.
    let list = r#"operations = ["ADD_PORTFOLIO"]"#;
    let host = Setup::new().csp_with("CSP_A", &csps[0], list).csp_with("CSP_B", &csps[1], list);
    let host = host.start().await;
    let versions = [version(1), version(2)];
    for wasm in &versions {
        put(&host, wasm.clone()).await.expect("HOTH answers");
    }

    let (stop, load) = (AtomicBool::new(false), [AtomicUsize::new(0), AtomicUsize::new(0)]);
    let swapping = async {
        swap(&host, &versions, &load).await;
        stop.store(true, Ordering::SeqCst);
    };
    tokio::join!(
        submit(&host, "CSP_A", &load[0], &stop),
        submit(&host, "CSP_B", &load[1], &stop),
        swapping
    );
    let [a, b] = load.map(AtomicUsize::into_inner);
    let outcomes = host.servicenow().collect_all("/provisioning-jobs", a + b).await;

    let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome["code"] != 200).collect();
    assert!(failed.is_empty(), "{} of {}: {:#}", failed.len(), a + b, failed[0]);
    let marks: BTreeSet<_> = outcomes
        .iter()
        .map(|outcome| outcome["content"]["response"]["mark"].as_str().expect("a mark"))
        .collect();
    assert_eq!(marks.into_iter().collect::<Vec<_>>(), [mark(1), mark(2)], "both have worked");
    let calls: usize = csps.iter().map(|csp| csp::calls(csp).len()).sum();
    assert_eq!(calls, 3 * (a + b), "each run has made its three requests");
    let listing = atat(&host).await;
    assert!(listing["versions"].as_array().expect("a list").iter().all(|v| v["jobsInFlight"] == 0));
}

/// Kills the host at `point` during a deploy or a rollback, and starts it
/// again. Returns the digests before, after, and of the version that is active
/// then.
async fn killed_at(point: FailPoint, rolling_back: bool) -> (String, String, String) {
    let csp = csp::sync().await;
    let mut host = Setup::new().csp("CSP_TEST", &csp).start().await;
    let old = active(&atat(&host).await).remove(0);
    let new = another_atat();
    let mut to = sha256(&new);
    let mut from = old.clone();
    if rolling_back {
        put(&host, new.clone()).await.expect("HOTH answers");
        std::mem::swap(&mut from, &mut to);
    }
    host.kill().await;
    host.set_environment("HOTH_FAIL_POINT", &at(point));
    host.restart().await;
    let acted = match rolling_back {
        true => roll_back(&host, None).await,
        false => put(&host, new).await,
    };
    assert!(acted.is_err(), "{}: {acted:?}", point.name());
    host.died().await;
    // A fail point that is never reached, since no client leases here.
    host.set_environment("HOTH_FAIL_POINT", FailPoint::BatchReleased.name());
    host.restart().await;
    let [now] = active(&atat(&host).await).try_into().expect("exactly one is active");
    // The active version also runs.
    let snow = host.servicenow();
    snow.provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    assert_eq!(snow.outcome().await.code(), 200);
    (from, to, now)
}

/// Returns the fail point at its second pass. The first one is at the start,
/// which activates the version that was active.
fn at(point: FailPoint) -> String {
    let again = if point == FailPoint::VersionActivated { "@2" } else { "" };
    format!("{}{again}", point.name())
}

#[tokio::test]
async fn a_deploy_that_is_killed_at_any_step_leaves_one_active_version() {
    for point in FailPoint::DEPLOY {
        let (from, to, now) = killed_at(*point, false).await;
        // Before the version is in the drop directory nothing has happened;
        // after that the deploy is complete.
        let happened = !matches!(point, FailPoint::ComponentValidated | FailPoint::ComponentStored);
        assert_eq!(now, if happened { to } else { from }, "{}", point.name());
    }
}

#[tokio::test]
async fn a_rollback_killed_after_its_record_takes_effect() {
    for point in [FailPoint::ChoiceRecorded, FailPoint::VersionActivated] {
        let (_, to, now) = killed_at(point, true).await;
        assert_eq!(now, to, "{}", point.name());
    }
}

#[tokio::test]
async fn two_hosts_on_one_directory_serve_the_same_version() {
    let csp = csp::sync().await;
    let one = Setup::new().csp("CSP_TEST", &csp).start().await;
    let folder = one.directory().join("adapters");
    let shared = folder.to_str().expect("a path of text");
    let two = Setup::new()
        .csp("CSP_TEST", &csp)
        .environment("HOTH__ADAPTERS__DIRECTORY", shared)
        .start()
        .await;
    let old = active(&atat(&one).await).remove(0);
    let new = another_atat();
    let digest = sha256(&new);

    put(&one, new.clone()).await.expect("HOTH answers");
    becomes_active(&two, &digest).await;
    // One host deploys, and the other rolls back.
    let (status, answer) = roll_back(&two, None).await.expect("HOTH answers");
    assert_eq!((status, &answer["sha256"]), (StatusCode::OK, &json!(old)));
    becomes_active(&one, &old).await;
    // The host that sees a file first adopts it, once.
    rename_into(&folder, &new);
    becomes_active(&one, &digest).await;
    becomes_active(&two, &digest).await;
    for host in [&one, &two] {
        let snow = host.servicenow();
        snow.provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
        assert_eq!(snow.outcome().await.code(), 200);
        assert_eq!(atat(host).await["versions"].as_array().expect("a list").len(), 2);
    }
}

/// Returns a component of one large function, whose compilation takes long.
fn endless_to_compile() -> Vec<u8> {
    const BLOCKS: usize = 60_000;
    let mut text = String::from("(component (core module (func (param i32) (result i32)\n");
    for n in 0..BLOCKS {
        let step = format!("(if (i32.eq (local.get 0) (i32.const {n})) (then (local.set 0 ");
        text.push_str(&step);
        text.push_str("(i32.mul (local.get 0) (i32.const 3)))))\n");
    }
    text.push_str("(local.get 0))))");
    wat::parse_str(text).expect("it is a component")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_that_takes_too_much_to_compile_is_refused_and_jobs_go_on() {
    let csp = csp::sync().await;
    // The least that can be set is enough for an ordinary adapter. This fills a
    // cache, so that the limits below are not for that adapter.
    let least = "67108864";
    let cache = tempfile::tempdir().expect("a temporary folder can be made");
    let cache = cache.path().join("cache").display().to_string();
    let setup = Setup::new()
        .csp("CSP_TEST", &csp)
        .environment("HOTH__ADAPTERS__CACHE_DIRECTORY", &cache)
        .environment("HOTH__ADAPTERS__COMPILE_MAX_MEMORY_BYTES", least);
    drop(setup.start().await);
    let wasm = endless_to_compile();
    // Each time the other bound is far away.
    for (time_ms, memory_bytes, expected) in [
        ("300", "68719476736", "takes longer than 300 ms"),
        ("3600000", least, "more than 67108864 bytes"),
    ] {
        let host = Setup::new()
            .csp("CSP_TEST", &csp)
            .environment("HOTH__ADAPTERS__CACHE_DIRECTORY", &cache)
            .environment("HOTH__ADAPTERS__COMPILE_TIMEOUT_MS", time_ms)
            .environment("HOTH__ADAPTERS__COMPILE_MAX_MEMORY_BYTES", memory_bytes)
            .start()
            .await;
        let snow = host.servicenow();
        let working = async {
            snow.provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
            assert_eq!(snow.outcome().await.code(), 200);
        };
        let (refused, ()) = tokio::join!(put(&host, wasm.clone()), working);
        let (status, answer) = refused.expect("HOTH answers");
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
        let message = answer["message"].as_str().expect("a message");
        assert!(message.contains(expected), "{message}");
        assert_eq!(atat(&host).await["refused"]["reason"], "compile-limit");
        let metrics = client().get(format!("{}/metrics", host.admin())).send().await;
        let metrics = metrics.expect("HOTH answers").text().await.expect("metrics are text");
        let line = r#"hoth_adapter_refusals_total{adapter="atat",reason="compile-limit"} 1"#;
        assert!(metrics.contains(line), "{metrics}");
        assert!(metrics.contains("hoth_adapter_calls_total{adapter=\"atat\""), "{metrics}");
    }
}

#[tokio::test]
async fn metrics_have_no_series_of_versions_that_do_nothing() {
    const VERSIONS: u8 = 3;
    let csp = csp::sync().await;
    let host = Setup::new().csp("CSP_TEST", &csp).start().await;
    let metrics = async || {
        let metrics = client().get(format!("{}/metrics", host.admin())).send().await;
        metrics.expect("HOTH answers").text().await.expect("metrics are text")
    };
    let series = |sha256: &str| {
        let digits = &sha256[..12];
        format!("hoth_adapter_active{{adapter=\"atat\",sha256=\"{digits}\"}} ")
    };
    let first = active(&atat(&host).await).remove(0);
    assert!(metrics().await.contains(&format!("{}1\n", series(&first))));
    let other = |number: u8| [another_atat(), vec![0, 2, 1, number]].concat();
    for number in 1..=VERSIONS {
        let (status, answer) = put(&host, other(number)).await.expect("HOTH answers");
        assert_eq!(status, StatusCode::OK, "{answer}");
    }
    let text = metrics().await;
    assert!(text.contains(&format!("{}1\n", series(&sha256(&other(VERSIONS))))), "{text}");
    assert!(!text.contains(&series(&first)), "{text}");
    assert_eq!(text.matches("hoth_adapter_active{").count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_of_a_version_end_with_its_last_job() {
    let gate = Gate::closed();
    let csp = csp::scripted([Answer::behave().held_by(&gate)]).await;
    let host = Setup::new().csp("CSP_TEST", &csp).start().await;
    let first = active(&atat(&host).await).remove(0);
    let snow = host.servicenow();
    snow.provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    csp::wait_for_calls(&csp, 1).await;
    let (status, answer) = put(&host, another_atat()).await.expect("HOTH answers");
    assert_eq!(status, StatusCode::OK, "{answer}");
    let digits = &first[..12];
    let of_first = |name: &str| format!("{name}{{adapter=\"atat\",sha256=\"{digits}\"}} ");
    let text = host.metrics().await;
    for line in [
        "hoth_adapter_versions_draining{adapter=\"atat\"} 1".to_owned(),
        "hoth_adapter_activations_total{adapter=\"atat\"} 2".to_owned(),
        format!("{}1", of_first("hoth_adapter_jobs_in_flight")),
        format!("{}1", of_first("hoth_adapter_call_seconds_count")),
        format!("{}0", of_first("hoth_adapter_active")),
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    gate.open();
    assert_eq!(snow.outcome().await.code(), 200);
    eventually("the series of the first version to end", async || {
        let text = host.metrics().await;
        let is_drained = text.contains("hoth_adapter_versions_draining{adapter=\"atat\"} 0\n");
        (is_drained && !text.contains(digits)).then_some(())
    })
    .await;
    let (status, answer) = roll_back(&host, None).await.expect("HOTH answers");
    assert_eq!(status, StatusCode::OK, "{answer}");
    let text = host.metrics().await;
    assert!(text.contains("hoth_adapter_rollbacks_total{adapter=\"atat\"} 1\n"), "{text}");
    assert!(text.contains(&format!("{}1\n", of_first("hoth_adapter_active"))), "{text}");
}
