//! Tests of the registry, with real components in a real directory.

mod cancelled;
mod jobs;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::replay;
use hoth_core::domain::Timestamp;
use hoth_runtime::Config;
use hoth_runtime::testing::TestGuest;

/// The longest wait for something that ends by itself.
const PATIENCE: Duration = Duration::from_secs(120);

const HOUR: Duration = Duration::from_secs(3_600);

struct TestRegistry {
    registry: Arc<Registry>,
    directory: tempfile::TempDir,
}

fn csp(name: &str) -> CspName {
    name.parse().unwrap()
}

fn wasm(version: &'static str, states: (u32, u32)) -> Vec<u8> {
    TestGuest { version, states, ..TestGuest::default() }.build()
}

async fn open(directory: &Path) -> Registry {
    open_with(directory, Trust::default()).await
}

async fn open_with(directory: &Path, trust: Trust) -> Registry {
    // No guest here is to meet its deadline, however busy the machine is.
    let config =
        Config { directory: directory.to_owned(), deadline_ms: 60_000, ..Config::default() };
    let engine = Engine::new(&config).unwrap();
    let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_123));
    let bindings = BTreeMap::from([
        (csp("CSP_A"), ("atat".to_owned(), Requirements::default())),
        (csp("CSP_B"), ("atat".to_owned(), Requirements::default())),
        (csp("CSP_C"), ("other".to_owned(), Requirements::default())),
    ]);
    let journals =
        replay::JournalStore::new(directory.join("journals"), replay::Config::default().limits());
    let replayer = Replayer::new(replay::Config::default(), Arc::new(journals), clock.clone());
    let tools = Tools { engine, trust, replayer, clock, tracer: Tracer::off() };
    let registry = Registry::open(tools, directory, bindings, 240 * HOUR).await.unwrap();
    reconcile(&registry).await;
    registry
}

/// Applies all changes since the last pass, as [`Registry::watch`] does.
async fn reconcile(registry: &Registry) {
    for name in registry.names().await.unwrap() {
        registry.follow_ledger(&name).await;
        registry.follow_drop(&name).await;
    }
}

async fn test_registry() -> TestRegistry {
    let directory = tempfile::tempdir().unwrap();
    TestRegistry { registry: Arc::new(open(directory.path()).await), directory }
}

impl TestRegistry {
    fn serving(&self) -> String {
        let version = self.registry.serving(&csp("CSP_A")).unwrap();
        version.adapter().info().version.clone()
    }

    /// Lists the versions of `atat`: the active version with a star, versions
    /// that are only on disk in brackets.
    fn versions(&self) -> String {
        let adapters = self.registry.list();
        let atat = adapters.iter().find(|adapter| adapter.name.as_str() == "atat").unwrap();
        let versions = atat.versions.iter().map(|each| match (each.active, each.loaded) {
            (true, _) => format!("{}*", each.version),
            (false, true) => each.version.clone(),
            (false, false) => format!("({})", each.version),
        });
        versions.collect::<Vec<_>>().join(" ")
    }

    async fn roll_back(&self, to: Option<&Digest>) -> Result<String, String> {
        match self.registry.roll_back("atat", to).await {
            Ok(version) => Ok(version.adapter().info().version.clone()),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn install(&self, version: &'static str) -> Arc<Version> {
        self.registry.install("atat", wasm(version, (1, 1)), None).await.unwrap()
    }
}

#[tokio::test]
async fn a_bad_file_does_not_affect_other_adapters() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("atat.wasm"), wasm("1.0.0", (1, 1))).unwrap();
    fs::write(directory.path().join("other.wasm"), "half a comp").unwrap();
    fs::write(directory.path().join("README.md"), "not an adapter").unwrap();
    let registry = open(directory.path()).await;

    assert!(registry.serving(&csp("CSP_B")).is_ok());
    for (name, expected) in [
        (
            "CSP_C",
            "adapter `other` has no usable version: refused `other.wasm`: not a WebAssembly \
             component: it does not begin like one",
        ),
        ("CSP_D", "unknown CSP `CSP_D`"),
    ] {
        assert_eq!(registry.serving(&csp(name)).unwrap_err().to_string(), expected);
    }
}

#[tokio::test]
async fn the_listing_has_its_documented_form() {
    let test = test_registry().await;
    let version = test.install("1.0.0").await;
    let _job = version.begin_job();
    let listed = serde_json::to_string_pretty(&test.registry.list()).unwrap();
    let listed = listed
        .replace(&version.adapter().digest().to_string(), "<sha256>")
        .replace(&version.adapter().size_bytes().to_string(), "<size>");
    expect_test::expect![[r#"
        [
          {
            "name": "atat",
            "csps": [
              "CSP_A",
              "CSP_B"
            ],
            "versions": [
              {
                "sha256": "<sha256>",
                "version": "1.0.0",
                "active": true,
                "size": <size>,
                "imports": [
                  "hoth:adapter/types@0.2.0"
                ],
                "arrivedAt": "2023-11-14T22:13:20.123Z",
                "loaded": true,
                "loadedAt": "2023-11-14T22:13:20.123Z",
                "jobsInFlight": 1,
                "waitingJobs": null,
                "states": [
                  1,
                  1
                ],
                "usage": {
                  "calls": 0,
                  "traps": 0,
                  "timeouts": 0,
                  "outOfMemory": 0,
                  "invalid": 0,
                  "seconds": 0.0,
                  "secondsP50": null,
                  "secondsP99": null,
                  "secondsMax": 0.0,
                  "memoryMaxBytes": 0
                }
              }
            ]
          },
          {
            "name": "other",
            "csps": [
              "CSP_C"
            ],
            "versions": [],
            "problem": "no `other.wasm` in the adapter directory"
          }
        ]"#]]
    .assert_eq(&listed);
}

#[tokio::test]
async fn an_installation_notifies_subscribers_and_survives_a_restart() {
    let test = test_registry().await;
    let mut changed = test.registry.changed();
    assert!(matches!(test.registry.serving(&csp("CSP_A")), Err(NotServing::Missing { .. })));
    test.install("1.0.0").await;
    assert!(changed.has_changed().unwrap());
    changed.mark_unchanged();
    test.install("1.1.0").await;
    assert!(changed.has_changed().unwrap());
    assert_eq!(test.serving(), "1.1.0");

    let again = open(test.directory.path()).await;
    let version = again.serving(&csp("CSP_A")).unwrap();
    assert_eq!(version.adapter().info().version, "1.1.0");
}

#[tokio::test]
async fn a_refused_installation_changes_nothing() {
    let test = test_registry().await;
    test.install("1.0.0").await;
    let before = fs::read(test.directory.path().join("atat.wasm")).unwrap();
    let refused = test.registry.install("atat", "nonsense", None).await.unwrap_err();
    assert!(matches!(refused, InstallError::Refused(_)), "{refused}");
    let refused = test.registry.install("../atat", wasm("2.0.0", (1, 1)), None).await.unwrap_err();
    assert!(matches!(refused, InstallError::BadName(_)), "{refused}");
    assert_eq!(test.versions(), "1.0.0*");
    assert_eq!(fs::read(test.directory.path().join("atat.wasm")).unwrap(), before);
}

#[tokio::test]
async fn a_rollback_activates_the_previous_or_the_named_version() {
    let test = test_registry().await;
    assert_eq!(test.roll_back(None).await, Err("no such adapter".to_owned()));
    let first = test.install("1").await.adapter().digest();
    assert_eq!(test.roll_back(None).await, Err("no earlier version is retained".to_owned()));
    test.install("2").await;
    test.install("3").await;
    assert_eq!(test.versions(), "3* (2) (1)");
    assert_eq!(test.roll_back(None).await, Ok("2".to_owned()));
    assert_eq!(test.versions(), "2* (1) (3)");
    test.install("4").await;
    assert_eq!(test.roll_back(Some(&first)).await, Ok("1".to_owned()));
    assert_eq!((test.serving(), test.versions()), ("1".to_owned(), "1* (2) (4) (3)".to_owned()));
    let unknown = Digest::of(b"unknown");
    assert_eq!(
        test.roll_back(Some(&unknown)).await,
        Err(format!(
            "version {unknown} is not retained; run `hoth adapters list` to see the retained versions"
        ))
    );
}

#[tokio::test]
async fn a_rollback_survives_a_restart_and_holds_until_a_component_arrives() {
    let test = test_registry().await;
    test.install("1").await;
    test.install("2").await;
    test.roll_back(None).await.unwrap();
    let serving = async || {
        let registry = open(test.directory.path()).await;
        registry.serving(&csp("CSP_A")).unwrap().adapter().info().version.clone()
    };
    assert_eq!(serving().await, "1");
    // The file is written again while no host runs.
    fs::write(test.directory.path().join("atat.wasm"), wasm("2", (1, 1))).unwrap();
    assert_eq!(serving().await, "2");
    assert_eq!(serving().await, "2");
}

#[tokio::test]
async fn the_active_version_survives_the_loss_of_its_file_and_a_bad_file() {
    let test = test_registry().await;
    let drop_file = test.directory.path().join("atat.wasm");
    test.install("1").await;
    fs::remove_file(&drop_file).unwrap();
    let again = open(test.directory.path()).await;
    assert_eq!(again.serving(&csp("CSP_A")).unwrap().adapter().info().version, "1");

    fs::write(&drop_file, "half a comp").unwrap();
    let again = open(test.directory.path()).await;
    assert_eq!(again.serving(&csp("CSP_A")).unwrap().adapter().info().version, "1");
    let problem = again.list()[0].problem.clone().unwrap();
    assert!(problem.contains("not a WebAssembly component"), "{problem}");
}

#[tokio::test]
async fn a_damaged_store_does_not_affect_other_adapters_and_has_a_remedy() {
    let test = test_registry().await;
    let version = test.install("1").await.adapter().digest();
    test.registry.install("other", wasm("1", (1, 1)), None).await.unwrap();
    let store = test.directory.path().join(".store");
    let not_serving = async || {
        let registry = open(test.directory.path()).await;
        assert!(registry.serving(&csp("CSP_C")).is_ok(), "the other adapter serves");
        registry.serving(&csp("CSP_A")).unwrap_err().to_string()
    };

    // Neither in the store nor in the drop directory.
    let kept = store.join("atat").join(format!("{version}.wasm"));
    let good = fs::read(&kept).unwrap();
    fs::write(&kept, "damaged").unwrap();
    fs::remove_file(test.directory.path().join("atat.wasm")).unwrap();
    let reason = not_serving().await;
    assert!(reason.contains("not readable in the store: damaged component"), "{reason}");
    fs::write(&kept, &good).unwrap();

    fs::write(test.directory.path().join("atat.wasm"), &good).unwrap();
    fs::write(store.join("atat.json"), "{").unwrap();
    let reason = not_serving().await;
    assert!(reason.contains("deploy the component again"), "{reason}");

    let again = open(test.directory.path()).await;
    again.install("atat", wasm("2", (1, 1)), None).await.unwrap();
    let again = open(test.directory.path()).await;
    assert_eq!(again.serving(&csp("CSP_A")).unwrap().adapter().info().version, "2");
}

#[tokio::test]
async fn hosts_that_share_a_directory_follow_each_other() {
    let test = test_registry().await;
    let other = Arc::new(open(test.directory.path()).await);
    let stop = CancellationToken::new();
    let watching = tokio::spawn({
        let (registry, stop) = (Arc::clone(&other), stop.clone());
        async move { registry.watch(stop, || {}).await }
    });
    let follows = async |expected: &str| {
        let mut changed = other.changed();
        let serves = || {
            let serving = other.serving(&csp("CSP_A"));
            serving.is_ok_and(|version| version.adapter().info().version == expected)
        };
        let wait = async {
            while !serves() {
                changed.changed().await.unwrap();
            }
        };
        let followed = tokio::time::timeout(PATIENCE, wait).await;
        assert!(followed.is_ok(), "{expected}: {:?}", other.list());
    };
    test.install("1").await;
    follows("1").await;
    test.install("2").await;
    follows("2").await;
    test.roll_back(None).await.unwrap();
    follows("1").await;
    // A version that one host installs can be rolled back by the other.
    other.install("atat", wasm("3", (1, 1)), None).await.unwrap();
    assert_eq!(test.roll_back(None).await, Ok("1".to_owned()));
    follows("1").await;
    stop.cancel();
    watching.await.unwrap();
}

/// Waits until `condition` holds; it is checked at every change.
async fn eventually(test: &TestRegistry, condition: impl Fn(&TestRegistry) -> bool) {
    let mut changed = test.registry.changed();
    let wait = async {
        while !condition(test) {
            changed.changed().await.unwrap();
        }
    };
    if tokio::time::timeout(PATIENCE, wait).await.is_err() {
        panic!("still {:?}", test.registry.list());
    }
}

#[tokio::test]
async fn dropped_files_are_ingested_and_a_rollback_holds_until_then() {
    let test = test_registry().await;
    let stop = CancellationToken::new();
    let watching = tokio::spawn({
        let (registry, stop) = (Arc::clone(&test.registry), stop.clone());
        async move { registry.watch(stop, || {}).await }
    });
    let put = |version, how: fn(&Path, &Path)| {
        let aside = test.directory.path().join("upload");
        fs::write(&aside, wasm(version, (1, 1))).unwrap();
        how(&aside, &test.directory.path().join("atat.wasm"));
    };
    let rename: fn(&Path, &Path) = |from, to| fs::rename(from, to).unwrap();
    let copy: fn(&Path, &Path) = |from, to| {
        fs::copy(from, to).unwrap();
    };

    put("1", rename);
    eventually(&test, |test| test.versions() == "1*").await;
    put("2", copy);
    eventually(&test, |test| test.versions() == "2* (1)").await;

    // A bad file is reported, and changes nothing.
    fs::write(test.directory.path().join("atat.wasm"), "nonsense").unwrap();
    eventually(&test, |test| test.registry.list()[0].problem.is_some()).await;
    assert_eq!(test.versions(), "2* (1)");

    test.install("3").await;
    assert_eq!(test.registry.list()[0].problem, None);
    test.roll_back(None).await.unwrap();
    // Another adapter's file causes a pass, which must not ingest this one
    // again.
    fs::copy(test.directory.path().join("atat.wasm"), test.directory.path().join("other.wasm"))
        .unwrap();
    eventually(&test, |test| test.registry.serving(&csp("CSP_C")).is_ok()).await;
    assert_eq!(test.versions(), "2* (1) (3)");
    // The same component, written again, is a new arrival.
    put("3", copy);
    eventually(&test, |test| test.versions() == "3* (2) (1)").await;

    stop.cancel();
    watching.await.unwrap();
}

#[tokio::test]
async fn only_signed_components_are_accepted_over_the_api_and_from_the_directory() {
    let keys: Vec<_> =
        (0..2).map(|_| minisign::KeyPair::generate_unencrypted_keypair().unwrap()).collect();
    let trusted: Vec<_> = keys.iter().map(|key| key.pk.to_base64()).collect();
    let sign = |key: &minisign::KeyPair, wasm: &[u8]| {
        let signature = minisign::sign(Some(&key.pk), &key.sk, wasm, None, None).unwrap();
        Some(signature.into_string().into())
    };
    let directory = tempfile::tempdir().unwrap();
    let trust = Trust::new(&trusted, true).unwrap();
    let registry = open_with(directory.path(), trust.clone()).await;
    let listed = || registry.list().into_iter().find(|each| each.name.as_str() == "atat").unwrap();

    let one = wasm("1", (1, 1));
    let refused = registry.install("atat", one.clone(), None).await.unwrap_err();
    assert!(refused.to_string().contains("`minisign -S -m FILE.wasm`"), "{refused}");
    assert_eq!(listed().refused.unwrap().reason, "unsigned");
    let package = Package { signature: sign(&keys[0], &one), wasm: one.into() };
    registry.install("atat", package, None).await.unwrap();
    assert!(listed().refused.is_none());

    // The file first and then its signature, with a pass in between.
    let drop_file = directory.path().join("atat.wasm");
    let two = wasm("2", (1, 1));
    fs::write(&drop_file, &two).unwrap();
    reconcile(&registry).await;
    assert_eq!(listed().refused.unwrap().reason, "bad-signature");
    let signature: Option<bytes::Bytes> = sign(&keys[1], &two);
    fs::write(drop_file.with_extension("wasm.minisig"), signature.unwrap()).unwrap();
    reconcile(&registry).await;
    assert_eq!(listed().versions[0].version, "2");
    registry.roll_back("atat", None).await.unwrap();

    // Retained components keep their signatures, which are checked again at
    // every start.
    let active = async |trust| {
        let registry = open_with(directory.path(), trust).await;
        let serving = registry.serving(&csp("CSP_A"));
        serving.map(|version| version.adapter().info().version.clone()).map_err(|e| e.to_string())
    };
    assert_eq!(active(trust).await, Ok("1".to_owned()));
    let rotated = Trust::new(&trusted[1..], true).unwrap();
    let reason = active(rotated).await.unwrap_err();
    assert!(reason.contains("not in `adapters.trusted_keys`"), "{reason}");
}
