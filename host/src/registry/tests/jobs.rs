//! Versions as jobs meet them.

use super::*;
use hoth_core::domain::Step;
use hoth_core::domain::Timestamp;
use hoth_runtime::Adapter;
use hoth_runtime::Call;
use hoth_runtime::CallError;
use hoth_runtime::Entry;
use hoth_runtime::Facts;
use hoth_runtime::testing::TestGuest;

#[tokio::test]
async fn a_version_stays_loaded_as_long_as_a_job_runs_on_it() {
    let house = house().await;
    let first = house.install("1").await.begin_job();
    house.install("2").await;
    assert_eq!(house.versions(), "2* 1");
    // The same component is the same version, with the jobs that it has.
    let again = house.install("1").await;
    assert_eq!((house.versions(), again.jobs_in_flight()), ("1* (2)".to_owned(), 1));
    house.install("3").await;
    drop(again);
    assert_eq!(house.versions(), "3* 1 (2)");
    drop(first);
    assert_eq!(house.versions(), "3* (1) (2)");
}

#[tokio::test]
async fn a_waiting_job_goes_to_a_version_that_reads_its_state() {
    let house = house().await;
    let old = house.registry.install("atat", wasm("1", (1, 1))).await.unwrap();
    let new = house.registry.install("atat", wasm("2", (2, 3))).await.unwrap();
    let resuming = async |state, written_by: Digest| {
        let version = house.registry.resuming(&csp("CSP_A"), state, &written_by).await;
        version.map(|version| version.adapter().info().version.clone())
    };
    let [old, new] = [old, new].map(|version| version.adapter().digest());
    assert_eq!(house.versions(), "2* (1)", "the old one has to be loaded for it");
    assert_eq!(resuming(1, old).await, Ok("1".to_owned()));
    assert_eq!(resuming(2, old).await, Ok("2".to_owned()));
    assert_eq!(resuming(3, new).await, Ok("2".to_owned()));
    let gone = resuming(1, Digest::of(b"gone")).await.unwrap_err();
    assert!(matches!(gone, NotServing::StateUnreadable { state_version: 1, .. }), "{gone}");
}

/// Numbers of states are an adapter's own.
#[tokio::test]
async fn a_waiting_job_stays_with_its_adapter_when_another_takes_the_name() {
    let house = house().await;
    let old = house.registry.install("atat", wasm("1", (1, 1))).await.unwrap();
    let old = old.adapter().digest();
    let foreign = TestGuest { name: "foreign", version: "9", ..TestGuest::default() }.build();
    house.registry.install("atat", foreign).await.unwrap();
    let serving = house.registry.serving(&csp("CSP_A")).unwrap();
    assert!(serving.adapter().info().version == "9" && serving.adapter().resumes(1));
    let resumed = house.registry.resuming(&csp("CSP_A"), 1, &old).await.unwrap();
    assert_eq!(resumed.adapter().info().version, "1");
}

async fn ask(adapter: &Adapter) -> Result<Step, CallError> {
    let facts = Facts {
        id: "job".to_owned(),
        operation: "add-portfolio".to_owned(),
        input: "{}".to_owned(),
        settings: "{}".to_owned(),
        attempt: 1,
        context: Vec::new(),
    };
    let (now, entry) = (Timestamp::from_millis(0), Entry::Begin);
    adapter.call(Call { facts: &facts, now, entropy: (0, 0), entry }).await
}

#[tokio::test]
async fn a_version_that_keeps_trapping_is_reported_and_goes_on_counting_when_it_comes_back() {
    let house = house().await;
    let bad = TestGuest { version: "bad", begin: "(unreachable)", ..TestGuest::default() };
    let bad = house.registry.install("atat", bad.build()).await.unwrap();
    for _ in 0..5 {
        ask(bad.adapter()).await.unwrap_err();
    }
    let digest = bad.adapter().digest();
    drop(bad);
    house.install("good").await;
    house.roll_back(Some(&digest)).await.unwrap();
    let listed = house.registry.list().remove(0).versions.remove(0);
    assert!(listed.active && listed.version == "bad");
    assert_eq!((listed.usage.calls, listed.usage.traps), (5, 5));
    // The guest has 64 pages.
    assert!(listed.usage.memory_max_bytes >= 64 << 16, "{:?}", listed.usage);
    let failing = listed.failing.unwrap();
    assert!(failing.starts_with("the last 5 calls failed"), "{failing}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_go_on_while_versions_change() {
    let house = house().await;
    house.install("0").await;
    let stop = CancellationToken::new();
    let jobs = tokio::spawn({
        let (registry, stop) = (Arc::clone(&house.registry), stop.clone());
        async move {
            let mut done = 0_u32;
            while !stop.is_cancelled() {
                let job = registry.serving(&csp("CSP_A")).unwrap().begin_job();
                ask(job.adapter()).await.unwrap();
                done += 1;
            }
            done
        }
    });
    for version in ["1", "2", "3", "4", "5", "6", "7", "8"] {
        house.install(version).await;
        house.roll_back(None).await.unwrap();
    }
    stop.cancel();
    assert!(jobs.await.unwrap() > 0);
    assert!(house.registry.list()[0].versions.iter().all(|version| version.jobs_in_flight == 0));
}
