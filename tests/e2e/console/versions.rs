//! Versions of an adapter: the jobs that wait for each, and replays on demand.

use serde_json::Value;

use super::logged_in;
use super::servicenow;
use super::setup;
use crate::csp;
use crate::harness::TestHost;
use crate::harness::client;
use crate::harness::eventually;
use crate::harness::guest;
use crate::harness::job;
use crate::replay::variant;

async fn put(host: &TestHost, wasm: Vec<u8>, query: &str) {
    let url = format!("{}/adapters/atat{query}", host.admin());
    let put = client().put(url).bearer_auth("admin-token").body(wasm);
    let answer = put.send().await.expect("HOTH answers");
    assert!(answer.status().is_success(), "{}", answer.text().await.expect("text"));
}

async fn versions(host: &TestHost) -> Vec<Value> {
    let adapter = host.admin_json("/adapters/atat").await;
    adapter["versions"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn waiting_jobs_are_counted_for_the_version_that_wrote_their_states() {
    let csp = csp::asynchronous(1_000).await;
    let host = setup(&csp, "[polling]\ninitial_ms = 3600000\nmax_ms = 3600000")
        .adapter("atat", std::fs::read(guest("varies")).expect("the guest can be read"))
        .start()
        .await;
    host.leaves_work("the CSP works for hours");
    let snow = servicenow(&host);
    for id in ["waits-1", "waits-2"] {
        snow.provision(&job(id, "CSP_TEST", "ADD_PORTFOLIO")).await;
    }
    eventually("the jobs to be counted", || async {
        (versions(&host).await[0]["waitingJobs"] == 2).then_some(())
    })
    .await;
    put(&host, variant("second"), "?replay=off").await;
    let counts: Vec<_> =
        versions(&host).await.iter().map(|version| version["waitingJobs"].clone()).collect();
    assert_eq!(counts, [0, 2], "the active version is first");
    let browser = logged_in(&host, "viewer").await;
    browser.open("/console/adapters/atat").await;
    browser.shows(&["Waiting jobs", "retained", "not signed by a trusted key"]).await;
    browser.is_accessible().await;
    browser.close().await;
}

#[tokio::test]
async fn a_retained_version_is_replayed_and_a_refused_one_accepted_once() {
    let csp = csp::sync().await;
    let host = setup(&csp, "[replay]\npolicy = \"block\"\nmax_ms = 60000\nslower_ratio = 1000.0")
        .adapter("atat", std::fs::read(guest("varies")).expect("the guest can be read"))
        .start()
        .await;
    let snow = servicenow(&host);
    snow.provision(&job("seen-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    snow.outcome().await;
    eventually("the journal", || async {
        let job = host.admin_json("/jobs/seen-1").await;
        (!job["journal"].is_null()).then_some(())
    })
    .await;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let candidate = folder.path().join("candidate.wasm");
    std::fs::write(&candidate, variant("header")).expect("a file can be written");

    let browser = logged_in(&host, "admin").await;
    browser.open("/console/adapters/atat").await;
    browser.open_act("Deploy a version").await;
    browser.attach("component", &candidate).await;
    browser.click("Deploy").await;
    browser.sees("Refused by the replay gate").await;
    browser.is_accessible().await;
    browser.open("/console/adapters/atat/replay").await;
    browser.shows(&["different", "Accept it once", "does not keep a refused component"]).await;
    browser.is_accessible().await;
    browser.open_act("Accept it once").await;
    browser.attach("component", &candidate).await;
    browser.click("Deploy").await;
    browser.sees("The version is active").await;
    host.logged("deploy", |line| line["act"] == "deploy" && line["replay"] == "warn").await;

    browser.act("Replay").await;
    browser.sees("The journals were replayed").await;
    browser.shows(&["different", "header", "Replay again"]).await;
    browser.is_accessible().await;
    browser.act("Replay again").await;
    browser.sees("The journals were replayed").await;
    browser.close().await;
    host.logged("replay", |line| {
        line["act"] == "replay" && line["by"] == "admin-key" && line["verdict"] == "different"
    })
    .await;

    let hoth = async |arguments: &[&str], token: &str| {
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_hoth"))
            .args(arguments)
            .args(["--admin", &host.admin()])
            .env("HOTH_ADMIN_TOKEN", token)
            .output();
        let output = output.await.expect("the program can be started");
        let printed = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(printed).expect("text"))
    };
    let (code, printed) = hoth(&["adapters", "replay", "atat"], "admin-token").await;
    assert_eq!((code, printed.contains("verdict    different")), (Some(0), true), "{printed}");
    let (code, printed) = hoth(&["adapters", "replay", "atat"], "operator-token").await;
    assert_eq!(code, Some(1), "{printed}");
    let (code, printed) = hoth(&["adapters", "replay", "other"], "admin-token").await;
    assert_eq!((code, printed.contains("no such adapter")), (Some(1), true), "{printed}");
}
