//! Operation of queues and CSPs from the command line.

use serde_json::json;

use crate::csp;
use crate::csp::Answer;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::eventually;
use crate::harness::job;

const QUEUE: &str = "provisioning-requests-CSP_TEST";

/// Runs `hoth` with these arguments on the host's admin API, and returns its
/// exit code and its output.
pub async fn hoth(host: &TestHost, arguments: &[&str]) -> (Option<i32>, String) {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_hoth"))
        .args(arguments)
        .args(["--admin", &host.admin()])
        .output()
        .await
        .expect("the program can be started");
    let printed = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(printed).expect("it prints text"))
}

pub async fn done(host: &TestHost, arguments: &[&str]) -> String {
    let (code, printed) = hoth(host, arguments).await;
    assert_eq!(code, Some(0), "{arguments:?}: {printed}");
    printed
}

#[tokio::test]
async fn the_list_of_csps_shows_the_calls_of_the_last_hour() {
    let csp = csp::scripted([Answer::json(200, &json!({})), Answer::text(404, "")]).await;
    let host = Setup::new().csp("CSP_TEST", &csp).start().await;
    let columns = async || {
        let listed = done(&host, &["csps", "list"]).await;
        let mut lines = listed.lines().map(str::to_owned);
        let (head, row) = (lines.next().expect("a heading"), lines.next().expect("a CSP"));
        let at = head.find("CALLS").expect("a column");
        row[at..].split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(columns().await, ["0", "0", "-"]);
    let snow = host.servicenow();
    for (id, code) in [("job-1", 200), ("job-2", 404)] {
        snow.provision(&job(id, "CSP_TEST", "ADD_TASK_ORDER")).await;
        assert_eq!(snow.outcome().await.code(), code);
    }
    // A run is counted when it is over, which its outcome may precede.
    let shown = eventually("both calls", async || {
        let shown = columns().await;
        (shown[0] == "2").then_some(shown)
    })
    .await;
    assert_eq!((shown[1].as_str(), shown.last().map(String::as_str)), ("1", Some("ms")));
    let listed = done(&host, &["csps", "list", "--json"]).await;
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("it prints JSON");
    let hour = &listed["csps"][0]["calls"]["lastHour"];
    assert_eq!((hour["calls"].as_u64(), hour["failed"].as_u64()), (Some(2), Some(1)), "{hour}");
    assert!(hour["p50Ms"].is_f64() && hour["p99Ms"].is_f64(), "{hour}");
}

#[tokio::test]
async fn an_operator_handles_a_paused_csp_and_a_dead_letter_from_the_command_line() {
    let csp = csp::sync().await;
    let mut host = Setup::new().csp_with("CSP_TEST", &csp, "paused = true").start().await;
    host.servicenow().provision(&job("job-1", "CSP_TEST", "ADD_TASK_ORDER")).await;
    let row = |table: String, name: &str| {
        let row = table.lines().find(|line| line.starts_with(name)).map(str::to_owned);
        let row = row.unwrap_or_else(|| panic!("no {name} in {table}"));
        row.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let queues = done(&host, &["queues", "list"]).await;
    assert_eq!(row(queues, QUEUE)[1..3], ["1", "0"]);
    let explained = done(&host, &["queues", "explain", QUEUE]).await;
    assert!(explained.contains("1 waiting") && explained.contains("paused"), "{explained}");
    let csps = done(&host, &["csps", "list"]).await;
    assert_eq!(row(csps, "CSP_TEST")[1..4], ["atat", "paused", "closed"]);

    // The file is changed from outside while no host runs.
    host.kill().await;
    let sql = rusqlite::Connection::open(host.directory().join("data/hoth.db"));
    let changed = sql.expect("the file can be opened").execute(
        "UPDATE bodies SET body = 'oops'
         WHERE seq IN (SELECT seq FROM messages WHERE consumed_at IS NULL)",
        [],
    );
    assert_eq!(changed.expect("it can be changed"), 1);
    host.restart().await;
    assert_eq!(done(&host, &["csps", "resume", "CSP_TEST"]).await, "CSP_TEST resumed\n");
    assert_eq!(host.servicenow().outcome().await.code(), 500);

    let letters = done(&host, &["queues", "dead-letters", QUEUE]).await;
    let letter = letters.lines().nth(1).expect("a letter").to_owned();
    let id = letter.split_whitespace().next().expect("an id").to_owned();
    assert!(letter.contains("job-1") && letter.contains("cannot be read"), "{letter}");
    let shown = done(&host, &["queues", "show", QUEUE, &id]).await;
    assert!(shown.contains("oops"), "{shown}");
    for redrive in [&["queues", "redrive", QUEUE, "--dry-run"][..], &["queues", "redrive", QUEUE]] {
        assert_eq!(done(&host, redrive).await, "1 matched, 0 redriven, 1 unreadable\n");
    }
    let (code, output) = hoth(&host, &["queues", "redrive", QUEUE, "--job", "nope"]).await;
    assert_eq!((code, output.contains("no dead letter")), (Some(1), true), "{output}");
    let (code, output) = hoth(&host, &["queues", "purge", QUEUE]).await;
    assert_eq!((code, output.contains("--confirm")), (Some(1), true), "{output}");
    let adapter = host.directory().join("adapters/atat.wasm");
    let inspected = tokio::process::Command::new(env!("CARGO_BIN_EXE_hoth"))
        .args(["adapter", "inspect", "--json"])
        .arg(&adapter)
        .output()
        .await
        .expect("the program can be started");
    let inspected: serde_json::Value =
        serde_json::from_slice(&inspected.stdout).expect("it prints JSON");
    assert_eq!(inspected["name"], "atat");
    for list in [
        &["queues", "list"][..],
        &["queues", "explain", QUEUE],
        &["queues", "dead-letters", QUEUE],
        &["csps", "list"],
        &["csps", "show", "CSP_TEST"],
        &["adapters", "list"],
    ] {
        let json = done(&host, &[list, &["--json"]].concat()).await;
        assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{list:?}: {json}");
    }
    let purged = done(&host, &["queues", "purge", QUEUE, "--confirm", QUEUE]).await;
    assert_eq!(purged, "1 matched, 1 purged\n");
    assert_eq!(done(&host, &["csps", "pause", "CSP_TEST"]).await, "CSP_TEST paused\n");
    let (code, output) = hoth(&host, &["csps", "pause", "CSP_X"]).await;
    assert_eq!((code, output.contains("CSP_X")), (Some(1), true), "{output}");
}

#[tokio::test]
async fn the_command_line_finds_its_host_by_the_environment() {
    let csp = csp::sync().await;
    let host = Setup::new().csp("CSP_TEST", &csp).start().await;
    let list = async |url: &str| {
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_hoth"))
            .args(["csps", "list"])
            .env("HOTH_ADMIN_URL", url)
            .output()
            .await
            .expect("the program can be started");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(list(&host.admin()).await, (Some(0), String::new()));
    // The API has no such path.
    let (code, output) = list(&host.api()).await;
    assert_eq!((code, output.contains("`[admin] listen`")), (Some(1), true), "{output}");
    let (code, output) = list(host.admin().trim_start_matches("http://")).await;
    assert_eq!((code, output.contains("write http://127.0.0.1")), (Some(1), true), "{output}");
}

#[tokio::test]
async fn a_check_finds_the_adapter_that_would_be_refused() {
    let csp = csp::sync().await;
    let host = Setup::new().csp("CSP_TEST", &csp).start().await;
    let check = async |more: &[&str]| {
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_hoth"))
            .args(["check", "--config", "hoth.toml"])
            .args(more)
            .current_dir(host.directory())
            .env("CSP_TEST_CLIENT_SECRET", csp.client_secret())
            .output()
            .await
            .expect("the program can be started");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(check(&["--strict"]).await, (Some(0), String::new()));
    let adapter = host.directory().join("adapters/atat.wasm");
    std::fs::write(&adapter, "no component").expect("a file can be written");
    let (code, output) = check(&[]).await;
    assert_eq!((code, output.contains("atat.wasm")), (Some(2), true), "{output}");
    std::fs::remove_file(&adapter).expect("a file can be removed");
    let (code, output) = check(&[]).await;
    assert_eq!(code, Some(0), "a CSP may wait for its adapter");
    assert!(output.contains("warning: csp.CSP_TEST.adapter: "), "{output}");
    let (code, output) = check(&["--strict"]).await;
    assert_eq!(code, Some(2), "{output}");
}

#[tokio::test]
async fn a_limit_on_address_space_is_named_as_the_cause() {
    let csp = csp::sync().await;
    let host = Setup::new().csp("CSP_TEST", &csp).start().await;
    let output = tokio::process::Command::new("sh")
        .args(["-c", "ulimit -v 8000000 && exec \"$0\" check --config hoth.toml"])
        .arg(env!("CARGO_BIN_EXE_hoth"))
        .current_dir(host.directory())
        .env("CSP_TEST_CLIENT_SECRET", csp.client_secret())
        .output()
        .await
        .expect("a shell can be run");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{text}");
    assert!(text.contains("remove `LimitAS=`") && text.contains("`ulimit -v`"), "{text}");
}

#[tokio::test]
async fn jobs_wait_for_a_secret_that_cannot_be_read_and_go_on_by_themselves() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("late");
    let value = format!("{{ file = \"{}\" }}", file.display());
    let late = format!(
        "named_credentials = [\"late\"]\n\
         credentials = {{ late = {{ api_key = {{ header = \"x\", value = {value} }} }} }}"
    );
    let (csp, other) = (csp::sync().await, csp::sync().await);
    let host = Setup::new().csp_with("LATE", &csp, &late).csp("OTHER", &other).start().await;
    let snow = host.servicenow();
    snow.provision(&job("job-1", "LATE", "ADD_PORTFOLIO")).await;
    snow.provision(&job("job-2", "OTHER", "ADD_PORTFOLIO")).await;
    assert_eq!(snow.outcome().await["initialSnowRequest"]["jobId"], "job-2");
    let missing = host.admin_json("/csps/LATE").await["missingSecret"].clone();
    let missing = missing.as_str().expect("the reason is shown");
    assert!(missing.starts_with("csp.LATE.credentials.late.api_key.value: the secret file"));
    assert_eq!(csp::calls(&csp).len(), 0);

    std::fs::write(&file, "k").expect("a file can be written");
    let outcome = snow.outcome().await;
    assert_eq!((outcome.code(), &outcome["initialSnowRequest"]["jobId"]), (200, &"job-1".into()));
    assert!(host.admin_json("/csps/LATE").await["missingSecret"].is_null());
}

#[tokio::test]
async fn the_log_begins_with_the_program_and_its_configuration() {
    let csp = csp::sync().await;
    let host = Setup::new().csp("CSP_TEST", &csp).start().await;
    let log = host.log();
    let first = log.first().expect("a host logs its start");
    assert_eq!(
        (first["event"].as_str(), first["version"].as_str()),
        (Some("start"), Some("0.1.0"))
    );
    assert_eq!(first["roles"], "api,worker,watcher");
    let file = std::fs::read(host.directory().join("hoth.toml")).expect("the file can be read");
    let digest = hoth_core::domain::Digest::of(&file).to_string();
    assert_eq!(first["config_sha256"].as_str(), Some(&*digest));
    assert_eq!((first["queue"].as_str(), first["queue_schema"].is_u64()), (Some("embedded"), true));
}

#[tokio::test]
async fn a_start_that_fails_is_logged_as_json() {
    let directory = tempfile::tempdir().expect("a temporary folder can be made");
    std::fs::write(directory.path().join("hoth.toml"), "[csp").expect("a file can be written");
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_hoth"))
        .args(["serve", "--config", "hoth.toml"])
        .current_dir(directory.path())
        .output()
        .await
        .expect("the program can be started");
    let line: serde_json::Value = serde_json::from_slice(&output.stderr).expect("one JSON line");
    assert_eq!((output.status.code(), line["event"].as_str()), (Some(2), Some("exit")));
    assert!(line["message"].as_str().is_some_and(|text| text.starts_with("hoth.toml: ")), "{line}");
}
