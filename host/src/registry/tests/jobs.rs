//! Tests of versions that jobs run on.

use super::*;
use hoth_core::domain::Step;
use hoth_core::domain::Timestamp;
use hoth_runtime::Adapter;
use hoth_runtime::Call;
use hoth_runtime::CallError;
use hoth_runtime::EntryPoint;
use hoth_runtime::JobContext;
use hoth_runtime::testing::TestGuest;

#[tokio::test]
async fn a_version_stays_loaded_while_a_job_runs_on_it() {
    let test = test_registry().await;
    let first = test.install("1").await.begin_job();
    test.install("2").await;
    assert_eq!(test.versions(), "2* 1");
    // The same component is the same version, and keeps its jobs.
    let again = test.install("1").await;
    assert_eq!((test.versions(), again.jobs_in_flight()), ("1* (2)".to_owned(), 1));
    test.install("3").await;
    drop(again);
    assert_eq!(test.versions(), "3* 1 (2)");
    drop(first);
    assert_eq!(test.versions(), "3* (1) (2)");
}

#[tokio::test]
async fn a_waiting_job_resumes_on_a_version_that_reads_its_state() {
    let test = test_registry().await;
    let old = test.registry.install("atat", wasm("1", (1, 1)), None).await.unwrap();
    let new = test.registry.install("atat", wasm("2", (2, 3)), None).await.unwrap();
    let resuming = async |state, written_by: Digest| {
        let version = test.registry.resuming(&csp("CSP_A"), state, &written_by).await;
        version.map(|version| version.adapter().info().version.clone())
    };
    let [old, new] = [old, new].map(|version| version.adapter().digest());
    assert_eq!(test.versions(), "2* (1)", "the old version is not loaded");
    assert_eq!(resuming(1, old).await, Ok("1".to_owned()));
    assert_eq!(resuming(2, old).await, Ok("2".to_owned()));
    assert_eq!(resuming(3, new).await, Ok("2".to_owned()));
    let gone = resuming(1, Digest::of(b"gone")).await.unwrap_err();
    assert!(matches!(gone, NotServing::StateUnreadable { state_version: 1, .. }), "{gone}");
}

/// Checks that equal state versions of two programs are not taken for one format.
#[tokio::test]
async fn a_waiting_job_stays_with_its_program_when_another_is_installed() {
    let test = test_registry().await;
    let old = test.registry.install("atat", wasm("1", (1, 1)), None).await.unwrap();
    let old = old.adapter().digest();
    let foreign = TestGuest { name: "foreign", version: "9", ..TestGuest::default() }.build();
    test.registry.install("atat", foreign, None).await.unwrap();
    let serving = test.registry.serving(&csp("CSP_A")).unwrap();
    assert!(serving.adapter().info().version == "9" && serving.adapter().resumes(1));
    let resumed = test.registry.resuming(&csp("CSP_A"), 1, &old).await.unwrap();
    assert_eq!(resumed.adapter().info().version, "1");
}

#[tokio::test]
async fn the_refusal_of_a_version_that_jobs_wait_for_is_remembered_until_an_activation() {
    let test = test_registry().await;
    let old = test.install("1").await.adapter().digest();
    test.registry.install("atat", wasm("2", (2, 2)), None).await.unwrap();
    let resumes = async || test.registry.resuming(&csp("CSP_A"), 1, &old).await.is_ok();
    let stored = test.directory.path().join(format!(".store/atat/{old}.wasm"));
    fs::write(&stored, "damaged").unwrap();
    assert!(!resumes().await);
    fs::write(&stored, wasm("1", (1, 1))).unwrap();
    assert!(!resumes().await, "the version was loaded again");
    test.registry.install("atat", wasm("3", (2, 2)), None).await.unwrap();
    assert!(resumes().await);
}

#[tokio::test]
async fn a_version_that_takes_long_to_load_delays_no_job_of_another_one() {
    let test = test_registry().await;
    let slow = test.install("1").await.adapter().digest();
    let other = test.install("2").await.adapter().digest();
    test.registry.install("atat", wasm("3", (2, 2)), None).await.unwrap();
    let name: AdapterName = "atat".parse().unwrap();
    let load = test.registry.resume_loads.of(&name, &slow);
    // As while it is compiled.
    let _loading = load.lock().await;
    let csp = csp("CSP_A");
    let resumed = test.registry.resuming(&csp, 1, &other);
    let resumed = tokio::time::timeout(PATIENCE, resumed).await.expect("it does not wait");
    assert_eq!(resumed.unwrap().adapter().digest(), other);
}

#[tokio::test]
async fn a_version_that_a_waiting_job_names_is_retained_for_as_long_as_it_waits() {
    let test = test_registry().await;
    let old = test.install("1").await.adapter().digest();
    let resumes = async || test.registry.resuming(&csp("CSP_A"), 1, &old).await.is_ok();
    for number in 2..=20 {
        let version: &str = format!("{number}").leak();
        test.registry.install("atat", wasm(version, (2, 2)), None).await.unwrap();
        assert!(resumes().await, "{number}");
        test.registry.clock.advance(100 * HOUR);
    }
    // No job waits longer.
    test.registry.clock.advance(200 * HOUR);
    test.registry.install("atat", wasm("last", (2, 2)), None).await.unwrap();
    assert!(!resumes().await);
}

async fn call(adapter: &Adapter) -> Result<Step, CallError> {
    let facts = JobContext {
        id: "job".to_owned(),
        operation: "add-portfolio".to_owned(),
        input: "{}".to_owned(),
        settings: "{}".to_owned(),
        attempt: 1,
        context: Vec::new(),
    };
    let (now, entry) = (Timestamp::from_millis(0), EntryPoint::Begin);
    adapter.call(Call { facts: &facts, now, entropy: (0, 0), entry }).await
}

#[tokio::test]
async fn a_trapping_version_is_reported_and_continues_its_counters_after_a_rollback() {
    let test = test_registry().await;
    let bad = TestGuest { version: "bad", begin: "(unreachable)", ..TestGuest::default() };
    let bad = test.registry.install("atat", bad.build(), None).await.unwrap();
    for _ in 0..5 {
        call(bad.adapter()).await.unwrap_err();
    }
    let digest = bad.adapter().digest();
    drop(bad);
    test.install("good").await;
    test.roll_back(Some(&digest)).await.unwrap();
    let listed = test.registry.list().remove(0).versions.remove(0);
    assert!(listed.active && listed.version == "bad");
    assert_eq!((listed.usage.calls, listed.usage.traps), (5, 5));
    // The guest has 64 pages.
    assert!(listed.usage.memory_max_bytes >= 64 << 16, "{:?}", listed.usage);
    let failing = listed.failing.unwrap();
    assert!(failing.starts_with("the last 5 calls failed"), "{failing}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_run_while_versions_change() {
    let test = test_registry().await;
    test.install("0").await;
    let stop = CancellationToken::new();
    let jobs = tokio::spawn({
        let (registry, stop) = (Arc::clone(&test.registry), stop.clone());
        async move {
            let mut done = 0_u32;
            while !stop.is_cancelled() {
                let version = registry.serving(&csp("CSP_A")).unwrap();
                let _job = version.begin_job();
                call(version.adapter()).await.unwrap();
                done += 1;
            }
            done
        }
    });
    for version in ["1", "2", "3", "4", "5", "6", "7", "8"] {
        test.install(version).await;
        test.roll_back(None).await.unwrap();
    }
    stop.cancel();
    assert!(jobs.await.unwrap() > 0);
    assert!(test.registry.list()[0].versions.iter().all(|version| version.jobs_in_flight == 0));
}
