//! SQS as operators run it: with credentials from a process, behind a proxy, and
//! out of reach.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use reqwest::Method;
use serde_json::Value;
use serde_json::json;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::BufReader;
use tokio::net::TcpListener;

use crate::csp;
use crate::csp::Answer;
use crate::harness::PATIENCE;
use crate::harness::Setup;
use crate::harness::client;
use crate::harness::eventually;
use crate::harness::job;
use crate::several;
use crate::sqs_wire::Wire;
use crate::trail;

/// The longest time in which an answer about the queues counts as prompt: more
/// than the second that is promised, for a busy machine, and less than the 20 s
/// after which a call to SQS ends.
const PROMPT: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_and_queues_are_answered_at_once_while_sqs_is_silent() {
    let Some(endpoint) = several::endpoint() else {
        // AWS cannot be disconnected; the local server shows the same
        // behaviour.
        return;
    };
    let wire = Wire::to(&endpoint).await;
    let csp = csp::sync().await;
    let setup = Setup::new().queue(&several::queues_at(Some(&wire.url)));
    let host = setup.csp("CSP_TEST", &csp).start().await;
    let get = async |path: &str| {
        let started_at = Instant::now();
        let answer = client().get(format!("{}{path}", host.admin())).send().await;
        let answer = answer.expect("the admin API answers");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("a text");
        assert!(started_at.elapsed() < PROMPT, "{path}: {:?}", started_at.elapsed());
        (status, text)
    };
    let queue = "{queue=\"provisioning-requests-CSP_TEST\",stage=\"requests\",csp=\"CSP_TEST\"}";
    let snow = host.servicenow();
    snow.provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    assert_eq!(snow.outcome().await.code(), 200);
    wire.silence();
    let (status, metrics) = get("/metrics").await;
    assert_eq!(status, 200);
    assert!(metrics.contains(&format!("hoth_queue_reachable{queue} 0")), "{metrics}");
    assert!(!metrics.contains("hoth_queue_depth{"), "{metrics}");
    // What the host counts itself is there, and complete.
    for series in [
        "hoth_breaker_open{csp=\"CSP_TEST\",origin=\"",
        "hoth_jobs_accepted_total{csp=\"CSP_TEST\",kind=\"provisioning\"} 1\n",
        "hoth_queue_operation_seconds_count{op=\"send\"} 1\n",
        "hoth_ready 0\n",
    ] {
        assert!(metrics.contains(series), "{series}: {metrics}");
    }
    let (status, text) = get("/queues").await;
    assert_eq!(status, 503, "{text}");
    let (status, text) = get("/readyz").await;
    assert_eq!(status, 503, "{text}");

    wire.mend();
    eventually("the queues to be read", async || {
        let (_, metrics) = get("/metrics").await;
        metrics.contains(&format!("hoth_queue_depth{queue} 0")).then_some(())
    })
    .await;
    let (_, metrics) = get("/metrics").await;
    assert!(metrics.contains(&format!("hoth_queue_read_age_seconds{queue} ")), "{metrics}");
    assert!(metrics.contains(&format!("hoth_queue_reachable{queue} 1")), "{metrics}");

    // A service that refuses connections instead of being silent.
    wire.cut();
    eventually("failed operations to be counted", async || {
        let (status, metrics) = get("/metrics").await;
        assert_eq!(status, 200);
        let mut failures = metrics.lines().filter(|line| {
            line.starts_with("hoth_queue_operation_failures_total{")
                && line.contains("reason=\"unreachable\"")
        });
        failures.any(|line| !line.ends_with(" 0")).then_some(())
    })
    .await;
    wire.mend();
    eventually("the queues to be read again", async || {
        (get("/queues").await.0 == 200).then_some(())
    })
    .await;
}

/// Checks the status of a job that one host accepts and delivers, and another one
/// runs: neither has seen all of it.
#[tokio::test]
async fn the_status_of_a_job_is_what_this_host_and_its_peers_have_seen() {
    let queue = several::queues_at(several::endpoint().as_deref());
    let csp = csp::scripted([trail::accepted(), trail::status("SUCCESS")]).await;
    let setup = || Setup::new().queue(&queue).csp("CSP_TEST", &csp);
    let mut worker = setup().roles("worker,watcher").start().await;
    let alone = setup().roles("api").start().await;
    // Takes connections and never answers: it delays a status by no more than its
    // bound, and is left out.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let silent = format!("http://{}", listener.local_addr().expect("it is bound"));
    let peer =
        |name: &str, url: &str| format!("[[console.peers]]\nname = \"{name}\"\nurl = \"{url}\"\n");
    let peers = peer("worker", &worker.admin()) + &peer("silent", &silent);
    let api = setup().roles("api").with(&peers).start().await;
    let snow = api.servicenow();
    let unknown = snow.send(Method::GET, "/provisioning-jobs/job-1", None).await;
    assert_eq!(unknown.status, 404);
    snow.provision(&job("job-1", "CSP_TEST", "ADD_ENVIRONMENT")).await;
    let machine = api.admin_json("/host").await["name"].clone();
    let both = json!([machine, "worker"]);
    for (state, code) in [("WAITING", Value::Null), ("SUCCEEDED", json!(200))] {
        let status = trail::reaches(&api, "job-1", state).await;
        assert_eq!((&status["observedBy"], &status["outcome"]["code"]), (&both, &code), "{status}");
        assert!(status["acceptedAt"].is_string(), "{status}");
    }
    assert_eq!(snow.outcome().await.code(), 200);
    let collected = trail::reaches(&api, "job-1", "COLLECTED").await;
    assert_eq!(collected["outcome"]["code"], 200, "{collected}");
    assert_eq!((&collected["observedBy"], &collected["requests"]), (&both, &json!(2)));
    // A host without peers has not seen it.
    let there = alone.servicenow().send(Method::GET, "/provisioning-jobs/job-1", None).await;
    assert_eq!(there.status, 404, "{}", there.text);

    worker.leaves_work("it is killed");
    worker.kill().await;
    let left = trail::reaches(&api, "job-1", "COLLECTED").await;
    assert_eq!((&left["observedBy"], &left["outcome"]["code"]), (&json!([machine]), &Value::Null));
}

/// Checks the status of a job on one host, which cannot look into its queue.
#[tokio::test]
async fn the_status_of_a_job_is_what_its_only_host_has_seen() {
    let csp = csp::scripted([trail::accepted(), trail::status("SUCCESS")]).await;
    let host = several::on_sqs().csp("CSP_TEST", &csp).start().await;
    let snow = host.servicenow();
    snow.provision(&job("job-1", "CSP_TEST", "ADD_ENVIRONMENT")).await;
    let machine = host.admin_json("/host").await["name"].clone();
    for state in ["WAITING", "SUCCEEDED"] {
        let status = trail::reaches(&host, "job-1", state).await;
        assert_eq!(status["observedBy"], json!([machine]), "{status}");
    }
    assert_eq!(snow.outcome().await.code(), 200);
    let collected = trail::reaches(&host, "job-1", "COLLECTED").await;
    assert_eq!(
        (&collected["outcome"]["code"], &collected["targetCspName"]),
        (&json!(200), &json!("CSP_TEST"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_that_grows_in_the_encoding_of_sqs_becomes_a_failure() {
    // SQS takes no U+FFFF, so the whole text is quoted, and each quote in it
    // becomes two bytes.
    let body = json!({"list": vec!["a"; 200_000], "odd": "\u{ffff}"});
    let csp = csp::scripted([Answer::json(200, &body)]).await;
    let setup = several::on_sqs().csp_with("CSP_TEST", &csp, "max_response_bytes = 1000000");
    let outcome = setup.provision().await;
    let details = outcome["content"]["response"]["details"].as_str().expect("a text");
    assert_eq!(outcome.code(), 502, "{details}");
    assert!(details.contains("its queue takes messages of up to 1046528 bytes"), "{details}");
    assert_eq!(csp.call_count(), 1, "the call was not repeated");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_come_from_the_process_that_a_profile_names() {
    if several::endpoint().is_none() {
        // On AWS, only the credentials of the environment are known.
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = |name: &str| folder.path().join(name);
    let used = file("used");
    let keys = r#"{"Version": 1, "AccessKeyId": "local", "SecretAccessKey": "local"}"#;
    let script = format!("#!/bin/sh\ntouch {}\necho '{keys}'\n", used.display());
    std::fs::write(file("keys.sh"), script).expect("a file can be written");
    std::fs::set_permissions(file("keys.sh"), std::fs::Permissions::from_mode(0o755))
        .expect("the file is ours");
    let profile = format!("[profile hoth]\ncredential_process = {}\n", file("keys.sh").display());
    std::fs::write(file("config"), profile).expect("a file can be written");
    let path = |path: &Path| path.to_str().expect("a text").to_owned();
    let csp = csp::sync().await;
    let setup = several::on_sqs()
        // Blank ones count as missing.
        .environment("AWS_ACCESS_KEY_ID", "")
        .environment("AWS_SECRET_ACCESS_KEY", "")
        .environment("AWS_SHARED_CREDENTIALS_FILE", &path(&file("none")))
        .environment("AWS_CONFIG_FILE", &path(&file("config")))
        .environment("AWS_PROFILE", "hoth");
    assert_eq!(setup.csp("CSP_TEST", &csp).provision().await.code(), 200);
    assert!(used.exists(), "the process was started");
}

#[tokio::test]
async fn calls_to_sqs_go_through_the_configured_proxy_alone() {
    let proxy = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = proxy.local_addr().expect("a bound address");
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let config = folder.path().join("hoth.toml");
    let tables = format!(
        "[api]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
                  [queue]\nbackend = \"sqs\"\nregion = \"us-gov-west-1\"\nproxy = \"http://{address}\"\n\
         [csp.CSP_TEST]\nadapter = \"atat\"\nbase_url = \"https://csp.example.com\"\n"
    );
    std::fs::write(&config, tables).expect("a file can be written");
    let mut host = Command::new(env!("CARGO_BIN_EXE_hoth"))
        .arg("serve")
        .arg("--config")
        .arg(&config)
        // A port that no test uses.
        .env("HTTPS_PROXY", "http://127.0.0.1:9")
        .env("AWS_ACCESS_KEY_ID", "id")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .stderr(Stdio::null())
        .spawn()
        .expect("the host starts");
    let asked = async {
        let (stream, _) = proxy.accept().await?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await?;
        std::io::Result::Ok(line)
    };
    let asked = tokio::time::timeout(PATIENCE, asked).await;
    host.kill().expect("the host can be killed");
    host.wait().expect("the host ends");
    let line = asked.expect("the proxy is asked").expect("a request can be read");
    assert_eq!(line, "CONNECT sqs.us-gov-west-1.amazonaws.com:443 HTTP/1.1\r\n");
}
