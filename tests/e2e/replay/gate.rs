//! Replays of recorded jobs with candidate versions.

use std::time::Duration;

use serde_json::Value;
use serde_json::json;

use mock_csp::MockCsp;

use super::OPERATIONS;
use super::journals;
use super::journals_of;
use super::recording::personal;
use super::run_all;
use super::run_all_as;
use crate::csp;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::eventually;
use crate::harness::guest;

/// Returns the guest `varies` with one change.
pub fn variant(name: &str) -> Vec<u8> {
    hoth_testkit::variant_of(&guest("varies"), name).expect("the guest can be read")
}

async fn put(host: &TestHost, query: &str, wasm: Vec<u8>) -> (u16, Value) {
    let url = format!("{}/adapters/atat{query}", host.admin());
    let answer = crate::harness::client().put(url).body(wasm).send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

async fn active(host: &TestHost) -> String {
    let listing = host.admin_json("/adapters/atat").await;
    let versions = listing["versions"].as_array().expect("a list");
    let active = versions.iter().find(|version| version["active"] == true).expect("one is active");
    active["sha256"].as_str().expect("a digest").to_owned()
}

fn sha256(wasm: &[u8]) -> String {
    hoth_core::domain::Digest::of(wasm).to_string()
}

/// Starts a host that has done every operation once, one of them with polls,
/// with the guest `varies` as its adapter.
async fn experienced(policy: &str) -> (TestHost, MockCsp) {
    let csp = csp::asynchronous(2).await;
    // A replay has all the time that it needs, and only what computes for much
    // longer is slower: the machine may have other work while versions are
    // timed.
    let host = Setup::new()
        .csp("CSP_TEST", &csp)
        .with("[replay]\nmax_ms = 60000\nslower_ratio = 5.0")
        .environment("HOTH__REPLAY__POLICY", policy)
        .start()
        .await;
    let (status, answer) = put(&host, "", variant("first")).await;
    assert_eq!(status, 200, "{answer}");
    run_all(&host).await;
    journals(&host, OPERATIONS.len() + 1).await;
    (host, csp)
}

async fn dry_run(host: &TestHost, wasm: Vec<u8>) -> Value {
    let before = active(host).await;
    let (status, report) = put(host, "?dry-run=true", wasm).await;
    assert_eq!(status, 200, "{report:#}");
    assert_eq!(active(host).await, before, "a dry run changes nothing");
    report
}

/// Formats all differences of a report, as an operator reads them.
fn diff(report: &Value) -> String {
    let report: hoth::replay::ReplayReport =
        serde_json::from_value(report.clone()).expect("it is a report");
    report.to_string()
}

#[tokio::test]
async fn a_replay_reports_the_differences_of_a_candidate() {
    let (host, csp) = experienced("warn").await;
    let jobs = OPERATIONS.len() + 1;
    let calls = csp::calls(&csp).len();
    for name in ["first", "second"] {
        let report = dry_run(&host, variant(name)).await;
        assert_eq!(report["verdict"], "same", "{}", diff(&report));
        assert_eq!(report["jobs"]["same"], jobs, "{}", diff(&report));
        assert_eq!(report["jobs"]["notComparable"], 0, "redaction has changed no way");
        assert_eq!(report["findings"], json!([]));
    }
    for (name, lines) in [
        ("header", &["+ header x-more: 1"][..]),
        (
            "path",
            &[
                "- request POST /portfolios/p-1/environments",
                "+ request POST /v2/portfolios/p-1/environments",
                "the comparison of this job ends here",
            ],
        ),
        ("body", &["+ body /more: true"]),
    ] {
        let report = dry_run(&host, variant(name)).await;
        assert_eq!(report["verdict"], "different", "{name}: {}", diff(&report));
        for line in lines {
            assert!(diff(&report).contains(line), "{name}: {line}: {}", diff(&report));
        }
        let told = diff(&report);
        for word in personal() {
            assert!(!told.contains(&word), "{word}: {told}");
        }
    }
    let report = dry_run(&host, variant("trap")).await;
    assert_eq!((&report["verdict"], &report["jobs"]["trap"]), (&json!("trap"), &json!(jobs)));
    assert!(diff(&report).contains("+ step the adapter trapped"), "{}", diff(&report));
    let report = dry_run(&host, variant("slow")).await;
    assert_eq!(report["verdict"], "slower", "{}", diff(&report));
    assert_eq!(report["timing"]["slower"], true);
    assert_eq!(csp::calls(&csp).len(), calls, "no CSP was called");
    assert_eq!(host.servicenow().collect("/provisioning-jobs").await.len(), 0);
}

#[tokio::test]
async fn a_replay_finds_that_waiting_jobs_could_not_be_resumed() {
    let (host, _csp) = experienced("block").await;
    // A job that starts with it has no difference; a resumed one has.
    let report = dry_run(&host, variant("state")).await;
    assert_eq!(report["verdict"], "different", "{}", diff(&report));
    assert!(diff(&report).contains("from the active version's state"), "{}", diff(&report));
}

#[tokio::test]
async fn the_block_policy_keeps_the_active_version() {
    let (host, _csp) = experienced("block").await;
    let before = active(&host).await;
    let (status, answer) = put(&host, "", variant("header")).await;
    assert_eq!(status, 422, "{answer}");
    assert_eq!(answer["report"]["verdict"], "different", "{answer}");
    assert!(answer["message"].as_str().expect("a text").contains("--dry-run"), "{answer}");
    assert_eq!(active(&host).await, before);

    let replay = &host.admin_json("/adapters/atat").await["replay"];
    let jobs = OPERATIONS.len() + 1;
    let expected = json!({
        "at": replay["at"], "candidate": sha256(&variant("header")), "policy": "block",
        "verdict": "different", "slower": false,
        "jobs": {
            "journals": jobs, "same": 0, "different": jobs, "trap": 0, "mended": 0,
            "notComparable": 0, "notReplayed": 0
        },
        "summary": format!("different: of {jobs} jobs, 0 the same, {jobs} different"),
    });
    assert_eq!(*replay, expected);
    dry_run(&host, variant("trap")).await;
    assert_eq!(
        host.admin_json("/adapters/atat").await["replay"],
        expected,
        "a dry run decides nothing"
    );

    // The policy also applies to a file in the drop directory.
    let file = host.directory().join("adapters/atat.wasm");
    std::fs::write(&file, variant("body")).expect("the file can be written");
    let problem = eventually("the file to be refused", || async {
        let listing = host.admin_json("/adapters/atat").await;
        listing["problem"].as_str().map(str::to_owned)
    })
    .await;
    assert!(problem.contains("behaves differently from the active version"), "{problem}");
    assert_eq!(active(&host).await, before);

    let (status, answer) = put(&host, "", variant("second")).await;
    assert_eq!((status, active(&host).await), (200, sha256(&variant("second"))), "{answer}");
    let replay = &host.admin_json("/adapters/atat").await["replay"];
    assert_eq!((&replay["verdict"], &replay["jobs"]["same"]), (&json!("same"), &json!(jobs)));
    // An operator can override the policy.
    let (status, answer) = put(&host, "?replay=warn", variant("header")).await;
    assert_eq!((status, active(&host).await), (200, sha256(&variant("header"))), "{answer}");
    let metrics = crate::harness::client().get(format!("{}/metrics", host.admin())).send().await;
    let metrics = metrics.expect("an answer").text().await.expect("a text");
    assert!(
        metrics.contains("hoth_replays_total{adapter=\"atat\",verdict=\"different\"}"),
        "{metrics}"
    );
    let (status, _) = put(&host, "?replay=maybe", variant("header")).await;
    assert_eq!(status, 400);
}

/// Waits for a refusal of the adapter's file after `before`, and returns its
/// time.
async fn refused_after(host: &TestHost, before: &str) -> String {
    eventually("another refusal", || async {
        let listing = host.admin_json("/adapters/atat").await;
        let refused = &listing["refused"];
        assert!(refused.is_null() || refused["reason"] == "replay", "{listing}");
        refused["at"].as_str().filter(|at| *at > before).map(str::to_owned)
    })
    .await
}

#[tokio::test]
async fn a_blocked_file_is_replayed_again_when_it_is_replaced_and_at_a_start() {
    let (mut host, _csp) = experienced("block").await;
    let before = active(&host).await;
    let folder = host.directory().join("adapters");
    let (file, aside) = (folder.join("atat.wasm"), folder.join("upload"));
    std::fs::write(&file, variant("body")).expect("the file can be written");
    let first = refused_after(&host, "").await;

    // Replaced with its old modification time, as `mv` and `cp -p` do.
    std::fs::copy(&file, &aside).expect("the file can be copied");
    let written = std::fs::metadata(&file).and_then(|file| file.modified()).expect("it has a time");
    let times = std::fs::FileTimes::new().set_modified(written);
    let copy = std::fs::File::options().write(true).open(&aside).expect("it can be opened");
    copy.set_times(times).expect("its time can be set");
    std::fs::rename(&aside, &file).expect("it can be renamed");
    let second = refused_after(&host, &first).await;

    // The journals are removed, which alone does not trigger a replay.
    for journal in journals_of(&host, "atat") {
        std::fs::remove_file(journal).expect("a journal can be removed");
    }
    let listing = host.admin_json("/adapters/atat").await;
    assert_eq!((&listing["refused"]["at"], active(&host).await), (&json!(second), before));
    // A new modification time, as `touch` sets it.
    let touched = std::fs::File::options().append(true).open(&file).expect("it can be opened");
    touched.set_modified(written + Duration::from_secs(1)).expect("its time can be set");
    drop(touched);
    eventually("the file to be taken in", || async {
        (active(&host).await == sha256(&variant("body"))).then_some(())
    })
    .await;

    run_all_as(&host, "again").await;
    journals(&host, OPERATIONS.len() + 1).await;
    std::fs::write(&file, variant("header")).expect("the file can be written");
    let third = refused_after(&host, &second).await;
    host.terminate().await;
    host.restart().await;
    refused_after(&host, &third).await;
    assert_eq!(active(&host).await, sha256(&variant("body")));
    host.terminate().await;
    for journal in journals_of(&host, "atat") {
        std::fs::remove_file(journal).expect("a journal can be removed");
    }
    host.restart().await;
    assert_eq!(active(&host).await, sha256(&variant("header")));
}

#[tokio::test]
async fn the_warn_policy_lets_a_version_serve_and_logs_the_differences() {
    let (host, _csp) = experienced("warn").await;
    let (status, answer) = put(&host, "", variant("header")).await;
    assert_eq!((status, active(&host).await), (200, sha256(&variant("header"))), "{answer}");
    let line = host
        .logged("the replay to be told of", |line| {
            line["verdict"] == "different" && line["adapter"] == "atat"
        })
        .await;
    assert_eq!((&line["level"], &line["policy"]), (&json!("WARN"), &json!("warn")), "{line}");
    let sha256 = sha256(&variant("header"));
    assert_eq!(line["sha256"], sha256, "{line}");
    let replay = eventually("the listing to say it", || async {
        let listing = host.admin_json("/adapters/atat").await;
        (listing["replay"]["candidate"] == sha256).then(|| listing["replay"].clone())
    })
    .await;
    assert_eq!((&replay["verdict"], &replay["policy"]), (&json!("different"), &json!("warn")));
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_hoth"))
        .args(["adapters", "list", "--admin", &host.admin()])
        .output()
        .await
        .expect("the program can be run");
    let text = String::from_utf8(output.stdout).expect("it prints text");
    let expected = format!("- atat: replay of {} at ", &sha256[..12]);
    assert!(text.contains(&expected), "{text}");
    assert!(
        text.contains("(policy warn): different: of 7 jobs, 0 the same, 7 different"),
        "{text}"
    );
}

#[tokio::test]
async fn a_dry_run_on_the_command_line_shows_the_report() {
    let (host, _csp) = experienced("block").await;
    let file = host.directory().join("candidate.wasm");
    let deploy = async |arguments: &[&str]| {
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_hoth"))
            .args(["adapters", "deploy", "--name", "atat", "--admin", &host.admin()])
            .arg(&file)
            .args(arguments)
            .output()
            .await
            .expect("the program can be run");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).expect("it prints text"))
    };
    std::fs::write(&file, variant("path")).expect("the file can be written");
    for arguments in [&["--dry-run"][..], &[]] {
        let (code, text) = deploy(arguments).await;
        assert_eq!(code, Some(1), "{text}");
        for line in [
            "verdict    different: of 7 jobs, 0 the same, 7 different",
            "policy     block: would be refused",
            "1 x add-portfolio different, for example job job-ADD_PORTFOLIO",
            "  - request POST /portfolios\n  + request POST /v2/portfolios\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(!text.contains('\u{1b}'), "no colours outside a terminal: {text}");
    }
    let (code, text) = deploy(&["--dry-run", "--replay", "warn"]).await;
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = deploy(&["--replay", "off"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(active(&host).await, sha256(&variant("path")));
}
