//! The promises of the registry, with real components in a real directory.

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

struct House {
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
    let config = Config { directory: directory.to_owned(), ..Config::default() };
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
    Registry::open(engine, trust, replayer, clock, directory, bindings).await.unwrap()
}

async fn house() -> House {
    let directory = tempfile::tempdir().unwrap();
    House { registry: Arc::new(open(directory.path()).await), directory }
}

impl House {
    fn serving(&self) -> String {
        let version = self.registry.serving(&csp("CSP_A")).unwrap();
        version.adapter().info().version.clone()
    }

    /// What an operator sees of `atat`: versions, the active one with a star,
    /// those that are on disk only in brackets.
    fn versions(&self) -> String {
        let adapters = self.registry.list();
        let atat = adapters.iter().find(|adapter| adapter.name.as_str() == "atat").unwrap();
        let words = atat.versions.iter().map(|each| match (each.active, each.loaded) {
            (true, _) => format!("{}*", each.version),
            (false, true) => each.version.clone(),
            (false, false) => format!("({})", each.version),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    async fn roll_back(&self, to: Option<&Digest>) -> Result<String, String> {
        match self.registry.roll_back("atat", to).await {
            Ok(version) => Ok(version.adapter().info().version.clone()),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn install(&self, version: &'static str) -> Arc<Version> {
        self.registry.install("atat", wasm(version, (1, 1))).await.unwrap()
    }
}

#[tokio::test]
async fn a_bad_file_stops_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("atat.wasm"), wasm("1.0.0", (1, 1))).unwrap();
    fs::write(directory.path().join("other.wasm"), "half a comp").unwrap();
    fs::write(directory.path().join("README.md"), "not an adapter").unwrap();
    let registry = open(directory.path()).await;

    assert!(registry.serving(&csp("CSP_B")).is_ok());
    for (name, expected) in [
        (
            "CSP_C",
            "the adapter `other` has no version that can run: `other.wasm` is refused: not a \
             WebAssembly component: it does not begin like one",
        ),
        ("CSP_D", "no CSP is named `CSP_D`"),
    ] {
        assert_eq!(registry.serving(&csp(name)).unwrap_err().to_string(), expected);
    }
}

#[tokio::test]
async fn what_is_listed_is_what_operators_were_promised() {
    let house = house().await;
    let version = house.install("1.0.0").await;
    let _job = version.begin_job();
    let listed = serde_json::to_string_pretty(&house.registry.list()).unwrap();
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
                  "hoth:adapter/types@0.1.0"
                ],
                "arrivedAt": "2023-11-14T22:13:20.123Z",
                "loaded": true,
                "loadedAt": "2023-11-14T22:13:20.123Z",
                "jobsInFlight": 1,
                "usage": {
                  "calls": 0,
                  "traps": 0,
                  "timeouts": 0,
                  "outOfMemory": 0,
                  "invalid": 0,
                  "seconds": 0.0,
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
            "problem": "there is no `other.wasm` in the directory of adapters"
          }
        ]"#]]
    .assert_eq(&listed);
}

#[tokio::test]
async fn an_install_is_heard_of_and_survives_a_restart() {
    let house = house().await;
    let mut changed = house.registry.changed();
    assert!(matches!(house.registry.serving(&csp("CSP_A")), Err(NotServing::Missing { .. })));
    house.install("1.0.0").await;
    assert!(changed.has_changed().unwrap());
    changed.mark_unchanged();
    house.install("1.1.0").await;
    assert!(changed.has_changed().unwrap());
    assert_eq!(house.serving(), "1.1.0");

    let again = open(house.directory.path()).await;
    let version = again.serving(&csp("CSP_A")).unwrap();
    assert_eq!(version.adapter().info().version, "1.1.0");
}

#[tokio::test]
async fn a_refused_install_changes_nothing() {
    let house = house().await;
    house.install("1.0.0").await;
    let before = fs::read(house.directory.path().join("atat.wasm")).unwrap();
    let refused = house.registry.install("atat", "nonsense").await.unwrap_err();
    assert!(matches!(refused, InstallError::Refused(_)), "{refused}");
    let refused = house.registry.install("../atat", wasm("2.0.0", (1, 1))).await.unwrap_err();
    assert!(matches!(refused, InstallError::BadName(_)), "{refused}");
    assert_eq!(house.versions(), "1.0.0*");
    assert_eq!(fs::read(house.directory.path().join("atat.wasm")).unwrap(), before);
}

#[tokio::test]
async fn rolling_back_goes_to_what_was_active_before_or_to_what_is_named() {
    let house = house().await;
    assert_eq!(house.roll_back(None).await, Err("no adapter has this name".to_owned()));
    let first = house.install("1").await.adapter().digest();
    assert_eq!(house.roll_back(None).await, Err("no earlier version is kept".to_owned()));
    house.install("2").await;
    house.install("3").await;
    assert_eq!(house.versions(), "3* (2) (1)");
    assert_eq!(house.roll_back(None).await, Ok("2".to_owned()));
    assert_eq!(house.versions(), "2* (1) (3)");
    house.install("4").await;
    assert_eq!(house.roll_back(Some(&first)).await, Ok("1".to_owned()));
    assert_eq!((house.serving(), house.versions()), ("1".to_owned(), "1* (2) (4) (3)".to_owned()));
    let unknown = Digest::of(b"unknown");
    assert_eq!(
        house.roll_back(Some(&unknown)).await,
        Err(format!("no version {unknown} is kept; `hoth adapters list` shows those that are"))
    );
}

#[tokio::test]
async fn a_rollback_survives_a_restart_and_holds_until_something_arrives() {
    let house = house().await;
    house.install("1").await;
    house.install("2").await;
    house.roll_back(None).await.unwrap();
    let serving = async || {
        let registry = open(house.directory.path()).await;
        registry.serving(&csp("CSP_A")).unwrap().adapter().info().version.clone()
    };
    assert_eq!(serving().await, "1");
    // It was put there again while no host ran.
    fs::write(house.directory.path().join("atat.wasm"), wasm("2", (1, 1))).unwrap();
    assert_eq!(serving().await, "2");
    assert_eq!(serving().await, "2");
}

#[tokio::test]
async fn what_was_active_comes_back_without_its_file_and_a_bad_file_does_not_replace_it() {
    let house = house().await;
    let door = house.directory.path().join("atat.wasm");
    house.install("1").await;
    fs::remove_file(&door).unwrap();
    let again = open(house.directory.path()).await;
    assert_eq!(again.serving(&csp("CSP_A")).unwrap().adapter().info().version, "1");

    fs::write(&door, "half a comp").unwrap();
    let again = open(house.directory.path()).await;
    assert_eq!(again.serving(&csp("CSP_A")).unwrap().adapter().info().version, "1");
    let problem = again.list()[0].problem.clone().unwrap();
    assert!(problem.contains("not a WebAssembly component"), "{problem}");
}

#[tokio::test]
async fn a_damaged_store_stops_nobody_else_and_says_what_to_do() {
    let house = house().await;
    let version = house.install("1").await.adapter().digest();
    house.registry.install("other", wasm("1", (1, 1))).await.unwrap();
    let store = house.directory.path().join(".store");
    let said = async || {
        let registry = open(house.directory.path()).await;
        assert!(registry.serving(&csp("CSP_C")).is_ok(), "the other one serves");
        registry.serving(&csp("CSP_A")).unwrap_err().to_string()
    };

    // Neither in the store nor at the door.
    let kept = store.join("atat").join(format!("{version}.wasm"));
    let good = fs::read(&kept).unwrap();
    fs::write(&kept, "damaged").unwrap();
    fs::remove_file(house.directory.path().join("atat.wasm")).unwrap();
    let reason = said().await;
    assert!(reason.contains("cannot be read from the store: it is damaged"), "{reason}");
    fs::write(&kept, &good).unwrap();

    fs::write(house.directory.path().join("atat.wasm"), &good).unwrap();
    fs::write(store.join("atat.json"), "{").unwrap();
    let reason = said().await;
    assert!(reason.contains("deploy the component again"), "{reason}");

    let again = open(house.directory.path()).await;
    again.install("atat", wasm("2", (1, 1))).await.unwrap();
    let again = open(house.directory.path()).await;
    assert_eq!(again.serving(&csp("CSP_A")).unwrap().adapter().info().version, "2");
}

#[tokio::test]
async fn hosts_that_share_a_directory_follow_each_other() {
    let house = house().await;
    let other = Arc::new(open(house.directory.path()).await);
    let stop = CancellationToken::new();
    let watching = tokio::spawn({
        let (registry, stop) = (Arc::clone(&other), stop.clone());
        async move { registry.watch(stop).await }
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
        let followed = tokio::time::timeout(Duration::from_secs(20), wait).await;
        assert!(followed.is_ok(), "{expected}: {:?}", other.list());
    };
    house.install("1").await;
    follows("1").await;
    house.install("2").await;
    follows("2").await;
    house.roll_back(None).await.unwrap();
    follows("1").await;
    // The other way round: what one knows, the other goes back from.
    other.install("atat", wasm("3", (1, 1))).await.unwrap();
    assert_eq!(house.roll_back(None).await, Ok("1".to_owned()));
    follows("1").await;
    stop.cancel();
    watching.await.unwrap();
}

/// Waits until `condition` holds, and looks again at every change.
async fn eventually(house: &House, condition: impl Fn(&House) -> bool) {
    let mut changed = house.registry.changed();
    let wait = async {
        while !condition(house) {
            changed.changed().await.unwrap();
        }
    };
    if tokio::time::timeout(Duration::from_secs(20), wait).await.is_err() {
        panic!("still {:?}", house.registry.list());
    }
}

#[tokio::test]
async fn files_that_arrive_are_taken_in_and_a_rollback_holds_until_then() {
    let house = house().await;
    let stop = CancellationToken::new();
    let watching = tokio::spawn({
        let (registry, stop) = (Arc::clone(&house.registry), stop.clone());
        async move { registry.watch(stop).await }
    });
    let put = |version, how: fn(&Path, &Path)| {
        let aside = house.directory.path().join("upload");
        fs::write(&aside, wasm(version, (1, 1))).unwrap();
        how(&aside, &house.directory.path().join("atat.wasm"));
    };
    let rename: fn(&Path, &Path) = |from, to| fs::rename(from, to).unwrap();
    let copy: fn(&Path, &Path) = |from, to| {
        fs::copy(from, to).unwrap();
    };

    put("1", rename);
    eventually(&house, |house| house.versions() == "1*").await;
    put("2", copy);
    eventually(&house, |house| house.versions() == "2* (1)").await;

    // A bad file is told of, and changes nothing.
    fs::write(house.directory.path().join("atat.wasm"), "nonsense").unwrap();
    eventually(&house, |house| house.registry.list()[0].problem.is_some()).await;
    assert_eq!(house.versions(), "2* (1)");

    house.install("3").await;
    assert_eq!(house.registry.list()[0].problem, None);
    house.roll_back(None).await.unwrap();
    // Another adapter's file stirs the directory; ours is not taken in again.
    fs::copy(house.directory.path().join("atat.wasm"), house.directory.path().join("other.wasm"))
        .unwrap();
    eventually(&house, |house| house.registry.serving(&csp("CSP_C")).is_ok()).await;
    assert_eq!(house.versions(), "2* (1) (3)");
    // The same file, put there again, is an act.
    put("3", copy);
    eventually(&house, |house| house.versions() == "3* (2) (1)").await;

    stop.cancel();
    watching.await.unwrap();
}

#[tokio::test]
async fn signed_components_come_in_by_both_doors_and_others_do_not() {
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
    let refused = registry.install("atat", one.clone()).await.unwrap_err();
    assert!(refused.to_string().contains("`minisign -S -m FILE.wasm`"), "{refused}");
    assert_eq!(listed().refused.unwrap().reason, "unsigned");
    let package = Package { signature: sign(&keys[0], &one), wasm: one.into() };
    registry.install("atat", package).await.unwrap();
    assert!(listed().refused.is_none());

    // The file first and then its signature, which a scan may come between.
    let door = directory.path().join("atat.wasm");
    let two = wasm("2", (1, 1));
    fs::write(&door, &two).unwrap();
    registry.reconcile().await.unwrap();
    assert_eq!(listed().refused.unwrap().reason, "bad-signature");
    let signature: Option<bytes::Bytes> = sign(&keys[1], &two);
    fs::write(door.with_extension("wasm.minisig"), signature.unwrap()).unwrap();
    registry.reconcile().await.unwrap();
    assert_eq!(listed().versions[0].version, "2");
    registry.roll_back("atat", None).await.unwrap();

    // What is kept is kept with its signature, and has to satisfy the host
    // that starts.
    let active = async |trust| {
        let registry = open_with(directory.path(), trust).await;
        let serving = registry.serving(&csp("CSP_A"));
        serving.map(|version| version.adapter().info().version.clone()).map_err(|e| e.to_string())
    };
    assert_eq!(active(trust).await, Ok("1".to_owned()));
    let rotated = Trust::new(&trusted[1..], true).unwrap();
    let reason = active(rotated).await.unwrap_err();
    assert!(reason.contains("not among `adapters.trusted_keys`"), "{reason}");
}
