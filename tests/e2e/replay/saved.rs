//! Journals of single jobs: found, read under a role, saved, and run again.

use std::path::Path;
use std::path::PathBuf;

use reqwest::StatusCode;
use serde_json::Value;

use super::variant;
use crate::auth::bearer_keys;
use crate::csp;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::client;
use crate::harness::component;
use crate::harness::cost;
use crate::harness::eventually;
use crate::harness::guest;
use crate::harness::job;

/// Runs `hoth`, and returns its exit code, its output and its errors.
async fn hoth(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_hoth")).args(arguments).output();
    let output = output.await.expect("the program can be started");
    let text = |bytes| String::from_utf8(bytes).expect("it prints text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Saves the journal of a job, as soon as there is one.
async fn save(host: &TestHost, id: &str, directory: &Path) -> PathBuf {
    eventually("the journal", || async {
        let job = host.admin_json(&format!("/jobs/{id}")).await;
        (!job["journal"].is_null()).then_some(())
    })
    .await;
    let directory = directory.to_str().expect("text");
    let admin = host.admin();
    let (code, out, error) =
        hoth(&["jobs", "journal", id, "--save", directory, "--admin", &admin]).await;
    assert_eq!(code, Some(0), "{error}");
    let saved = out.lines().find_map(|line| line.strip_prefix("saved ")).expect("a file");
    PathBuf::from(saved)
}

#[tokio::test]
async fn the_journal_of_a_job_is_saved_and_run_again() {
    let csp = csp::asynchronous(2).await;
    let host = Setup::new()
        .adapter("atat", std::fs::read(guest("varies")).expect("the guest can be read"))
        .csp("CSP_TEST", &csp)
        .with("[polling]\ninitial_ms = 1\nmax_ms = 1")
        .start()
        .await;
    let snow = host.servicenow();
    snow.provision(&job("saved-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    snow.outcome().await;
    snow.ask_cost(&cost("asked", "CSP_TEST")).await;
    snow.cost_outcome().await;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let provisioned = save(&host, "saved-1", folder.path()).await;
    let asked = save(&host, "asked", folder.path()).await;
    let shown = hoth(&["jobs", "journal", "asked", "--admin", &host.admin()]).await.1;
    assert!(shown.contains("cost-by-portfolio") && shown.contains("response 200"), "{shown}");

    let calls_before = csp::calls(&csp).len();
    let (wasm, file) = (guest("varies"), provisioned.to_str().expect("text"));
    let asked = asked.to_str().expect("text");
    let wasm = wasm.to_str().expect("text");
    let (code, out, error) = hoth(&["adapter", "run", wasm, "--journal", file]).await;
    assert_eq!((code, error.as_str()), (Some(0), ""), "{out}");
    for line in ["run 1: begin", "  send    POST /portfolios", "  answer  202", "  done    200"] {
        assert!(out.lines().any(|printed| printed == line), "{line} is not in:\n{out}");
    }
    let (code, out, error) = hoth(&["adapter", "test", wasm, file, asked]).await;
    assert_eq!((code, error.as_str()), (Some(0), ""), "{out}");
    assert!(out.ends_with("2 journals: 2 passed, 0 failed\n"), "{out}");

    // The recorded steps show a version that breaks, and another version shows
    // each detail, in the words of the gate.
    for (name, against, expected) in [
        ("trap", &[][..], "- step poll"),
        ("header", &[], "2 passed"),
        ("header", &["--against", wasm], "+ header"),
    ] {
        let changed = folder.path().join(format!("{name}.wasm"));
        std::fs::write(&changed, variant(name)).expect("a file can be written");
        let changed = changed.to_str().expect("text");
        let test = [&["adapter", "test", changed, file, asked], against].concat();
        let (code, out, error) = hoth(&test).await;
        assert!(out.contains(expected), "{name}: {out}{error}");
        assert_eq!(code, Some(i32::from(expected != "2 passed")), "{out}");
    }
    assert_eq!(csp::calls(&csp).len(), calls_before, "nothing was sent");

    // Misuse is named.
    let both = ["adapter", "run", wasm, "--journal", file, "--job", file];
    assert_eq!(hoth(&both).await.0, Some(2));
    let (code, _, error) = hoth(&["adapter", "test", wasm, wasm]).await;
    assert_eq!(code, Some(2), "{error}");
    let (code, _, error) = hoth(&["jobs", "journal", "none", "--admin", &host.admin()]).await;
    assert_eq!((code, error.contains("no journal of a job")), (Some(1), true), "{error}");
    let other = component("hello");
    let (code, out, _) =
        hoth(&["adapter", "test", other.to_str().expect("text"), file, "--json"]).await;
    let line: Value = serde_json::from_str(out.lines().next().expect("a line")).expect("JSON");
    assert_eq!((code, &line["result"]), (Some(1), &Value::from("different")), "{out}");
}

#[tokio::test]
async fn the_content_of_a_journal_is_for_operators() {
    let csp = csp::sync().await;
    let host = Setup::new()
        .csp("CSP_TEST", &csp)
        .with(&bearer_keys(&["write", "viewer", "operator", "admin"]))
        .admin_token("admin-token")
        .start()
        .await;
    let snow = crate::harness::ServiceNow::at(client(), host.api(), Some("write-token"));
    snow.provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    snow.outcome().await;
    let name = eventually("the journal", || async {
        let job = host.admin_json("/jobs/job-1").await;
        job["journal"]["name"].as_str().map(str::to_owned)
    })
    .await;
    let get = async |path: &str, token: &str| {
        let url = format!("{}{path}", host.admin());
        client().get(url).bearer_auth(token).send().await.expect("HOTH answers")
    };
    let list = get("/adapters/atat/journals", "viewer-token").await;
    let list: Value = list.json().await.expect("JSON");
    assert_eq!((&list["count"], &list["journals"][0]["name"]), (&1.into(), &name.clone().into()));
    let by_name = format!("/adapters/atat/journals/{name}");
    for path in ["/jobs/job-1/journal", &by_name] {
        assert_eq!(get(path, "viewer-token").await.status(), StatusCode::FORBIDDEN, "{path}");
        let read = get(path, "operator-token").await;
        assert_eq!(read.status(), StatusCode::OK, "{path}");
        let file = format!("attachment; filename=\"atat.{name}.json\"");
        assert_eq!(read.headers()["content-disposition"], *file);
        let journal: Value = read.json().await.expect("JSON");
        assert_eq!(journal["facts"]["id"], "job-1");
        host.logged("read-journal", |line| {
            line["act"] == "read-journal" && line["by"] == "operator-key" && line["journal"] == name
        })
        .await;
    }
    for path in [
        "/jobs/none/journal",
        "/jobs/job-1/journal?kind=cost",
        "/adapters/other/journals",
        "/adapters/..%2F..%2Fdata/journals",
        "/adapters/atat/journals/..%2F..%2Fhoth.db",
        "/adapters/atat/journals/1.a.b.c",
    ] {
        let status = get(path, "operator-token").await.status();
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
    }
}
