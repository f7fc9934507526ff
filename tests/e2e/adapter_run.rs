//! `hoth adapter`: inspects and runs a component without a host.

use std::path::Path;

use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use mock_csp::Stratus;
use mock_csp::stratus::KEY_HEADER;
use mock_csp::stratus::Options;

use crate::csp;
use crate::csp::Answer;
use crate::harness::Outcome;
use crate::harness::component;
use crate::harness::cost;
use crate::harness::guest;
use crate::harness::job;

/// The output and the exit code of a command.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

/// A folder with a job and scripted answers.
struct WorkFolder(TempDir);

impl WorkFolder {
    fn new(job: &Value, answers: &Value) -> Self {
        let folder = Self(tempfile::tempdir().expect("a temporary folder can be made"));
        folder.put("job.json", &job.to_string());
        folder.put("answers.json", &answers.to_string());
        folder
    }

    fn put(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).expect("a file can be written");
    }

    /// Runs `hoth adapter` in the folder.
    async fn adapter(&self, command: &str, wasm: &Path, arguments: &[&str]) -> Ran {
        let output = Command::new(env!("CARGO_BIN_EXE_hoth"))
            .args(["adapter", command])
            .arg(wasm)
            .args(arguments)
            .current_dir(self.0.path())
            .env("DESK_KEY", mock_csp::stratus::KEY)
            .output()
            .await
            .expect("the program can be started");
        let text = |bytes| String::from_utf8(bytes).expect("it prints UTF-8");
        Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    async fn run(&self, name: &str, arguments: &[&str]) -> Ran {
        self.adapter("run", &component(name), &[&["--job", "job.json"], arguments].concat()).await
    }

    async fn scripted(&self, name: &str) -> Ran {
        self.run(name, &["--answers", "answers.json"]).await
    }
}

#[tokio::test]
async fn an_inspection_leaves_no_files() {
    let folder = WorkFolder::new(&json!({}), &json!([]));
    let ran = folder.adapter("inspect", &component("hello"), &[]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("operations  get-portfolio\n"), "{}", ran.out);
    assert!(ran.out.contains("imports     hoth:adapter/log@0.2.0"), "{}", ran.out);
    let left = std::fs::read_dir(folder.0.path()).expect("the folder can be read").count();
    assert_eq!(left, 2, "only the job and the answers are there");
}

#[tokio::test]
async fn scripted_answers_lead_a_job_to_its_outcome() {
    let mut asked = job("job-1", "HELLO", "GET_PORTFOLIO");
    asked["portfolioId"] = json!("p 1");
    let folder = WorkFolder::new(&asked, &json!([]));
    let account = r#"{"id": "p 1", "account_owner": "Ada", "budget": 1.10}"#;
    folder.put("answers.json", &format!(r#"[{{"status": 200, "body": {account}}}]"#));
    let ran = folder.scripted("hello").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for line in [
        "run 1: begin",
        "  send    GET /accounts/p%201",
        "  answer  200",
        "  done    200",
        "message for ServiceNow:",
        r#"        "accountOwner": "Ada","#,
        r#"        "budget": 1.10"#,
    ] {
        assert!(ran.out.lines().any(|printed| printed == line), "{line} is not in:\n{}", ran.out);
    }
}

#[tokio::test]
async fn every_kind_of_end_has_its_exit_code() {
    let asked = job("job-1", "HELLO", "GET_PORTFOLIO");
    for (answers, code, expected) in [
        (json!([{"status": 404, "body": "no such account"}]), 1, "fail    refused"),
        (json!([{"failure": "timeout"}]), 1, "fail    unavailable"),
        (json!([]), 1, "stopped: no response to this request"),
        (json!([{"failure": "bored"}]), 2, "answer 1: `bored` is not a transport failure"),
        (json!([{"status": "200"}]), 2, "answer 1"),
        (json!({}), 2, "answers in answers.json"),
    ] {
        let ran = WorkFolder::new(&asked, &answers).scripted("hello").await;
        assert_eq!(ran.code, Some(code), "{answers}: {ran:?}");
        assert!(format!("{}{}", ran.out, ran.err).contains(expected), "{answers}: {ran:?}");
    }
    let mut wrong = asked.clone();
    wrong["payload"] = Value::Null;
    let ran = WorkFolder::new(&wrong, &json!([])).scripted("hello").await;
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("payload: "), "{ran:?}");
    let folder = WorkFolder::new(&asked, &json!([]));
    assert_eq!(folder.run("hello", &["--settings", "[]"]).await.code, Some(2));
    let both = ["--answers", "answers.json", "--base-url", "http://127.0.0.1:1"];
    assert_eq!(folder.run("hello", &both).await.code, Some(2));
    let ran = WorkFolder::new(&job("job-1", "HELLO", "ADD_ENVIRONMENT"), &json!([]));
    let ran = ran.scripted("hello").await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.out.contains("has no operation add-environment"), "{}", ran.out);
}

#[tokio::test]
async fn a_request_that_a_host_refuses_gets_no_scripted_answer() {
    let good = json!([{"status": 200, "body": {"id": "p-1"}}, "timer", {"status": 500}]);
    for (misbehavior, reason) in [
        ("sets cookie", "the header `cookie` is reserved for the host"),
        ("climbs out", "its path has a dot segment"),
        ("other credential", "the adapter's manifest has no credential \"billing\""),
    ] {
        let mut asked = job("job-1", "CSP_TEST", "ADD_PORTFOLIO");
        asked["payload"]["name"] = json!(misbehavior);
        let ran = WorkFolder::new(&asked, &good)
            .adapter(
                "run",
                &guest("misbehaves"),
                &["--job", "job.json", "--answers", "answers.json"],
            )
            .await;
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let refused = format!(
            "answer  none: HOTH refused the request to CSP_TEST: {reason}; the request was not sent"
        );
        assert!(ran.out.contains(&refused), "{misbehavior}: {}", ran.out);
        assert!(ran.err.contains("Answers 1 to 3 were not used"), "{misbehavior}: {}", ran.err);
    }
}

#[tokio::test]
async fn answers_that_a_job_leaves_are_named() {
    let account = json!({"status": 200, "body": {"id": "p-1"}});
    let asked = job("job-1", "HELLO", "GET_PORTFOLIO");
    for (answers, expected) in [
        (json!([account, "timer"]), None),
        (json!([account, account]), Some("Answer 2 was not used")),
    ] {
        let ran = WorkFolder::new(&asked, &answers).scripted("hello").await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(ran.err.contains("not used"), expected.is_some(), "{ran:?}");
        assert!(ran.err.contains(expected.unwrap_or_default()), "{ran:?}");
    }
}

#[tokio::test]
async fn waits_of_a_script_take_no_time_and_checkpoints_are_shown() {
    let data = |data: Value| json!({"status": 200, "body": {"data": data}});
    let answers = json!([
        {"status": 200, "body": {"fault": {"kind": "busy", "retryInMs": 3_600_000}}},
        data(json!({"accountId": "a", "operationId": "op"})),
        "timer",
        data(json!({"operationId": "op", "state": "RUNNING"})),
        data(json!({"operationId": "op", "state": "DONE"})),
    ]);
    let asked = job("job-1", "CSP_S", "ADD_ENVIRONMENT");
    let ran = WorkFolder::new(&asked, &answers).scripted("stratus").await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for line in [
        // Up to 3600 s, less the milliseconds since the answer came.
        "the job waits for 3",
        "  wait    poll: begun (op)",
        "  wait    checkpoint: the account is made",
        "checkpoint: steps before it are not repeated",
        "  send    PUT /accounts/a/contacts",
        "stopped: no response to this request",
    ] {
        assert!(ran.out.lines().any(|printed| printed.starts_with(line)), "{line}:\n{}", ran.out);
    }
}

#[tokio::test]
async fn programs_get_one_json_object_per_line() {
    let charges = r#"{"data":{"charges":[{"funding":"F","line":"1","period":"2022-01","micros":"1100000","nature":"billed"}]}}"#;
    let folder = WorkFolder::new(&cost("r-1", "CSP_S"), &json!([{"status": 200, "body": charges}]));
    let ran = folder.run("stratus", &["--answers", "answers.json", "--json"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let lines: Vec<Value> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str(line).expect("every line is JSON"))
        .collect();
    assert_eq!(lines[1]["request"]["method"], "GET");
    let message = &lines.last().expect("there are lines")["message"];
    let message = Outcome::of(message);
    assert_eq!(message.response()["taskOrders"][0]["taskOrderNumber"], "F");
    assert_eq!(*message.request(), cost("r-1", "CSP_S"));
}

#[tokio::test]
async fn real_calls_go_through_the_hosts_egress() {
    let csp =
        csp::scripted([Answer::text(503, ""), Answer::json(200, &json!({"id": "p-1"}))]).await;
    let folder = WorkFolder::new(&job("job-1", "HELLO", "GET_PORTFOLIO"), &json!([]));
    let ran = folder.run("hello", &["--base-url", csp.base_url()]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let calls = csp::calls(&csp);
    assert_eq!(calls.len(), 2, "a 503 is tried again");
    assert_eq!(csp::line(&calls[0]), "GET /atat/api/v1/accounts/p-1");
    let ran = folder.run("hello", &["--base-url", "http://192.0.2.1"]).await;
    assert_eq!(ran.code, Some(2), "only loopback is spoken to without TLS: {ran:?}");
}

#[tokio::test]
async fn a_run_can_use_the_configuration_of_a_csp() {
    let csp = Stratus::start(Options::default()).await.expect("a port is free");
    let folder = WorkFolder::new(&job("job-1", "CSP_S", "ADD_ENVIRONMENT"), &json!([]));
    folder.put(
        "hoth.toml",
        &format!(
            "[polling]\ninitial_ms = 20\nmax_ms = 100\n[csp.CSP_S]\nadapter = 'stratus'\nbase_url = '{}'\n\
             api_key = {{ header = '{KEY_HEADER}', value.env = 'DESK_KEY' }}\n",
            csp.base_url()
        ),
    );
    let ran = folder.run("stratus", &["--config", "hoth.toml"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(csp.accounts(), 1);
    assert_eq!(csp.server().violations(), Vec::<String>::new());
    assert!(!format!("{ran:?}").contains(mock_csp::stratus::KEY));
    assert!(!Path::new(folder.0.path()).join("adapters").exists());

    folder.put("job.json", &job("job-1", "OTHER", "ADD_ENVIRONMENT").to_string());
    let ran = folder.run("stratus", &["--config", "hoth.toml"]).await;
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("[csp.OTHER]"), "{ran:?}");
}
