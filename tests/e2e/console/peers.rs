//! The console of one host, with what other hosts have seen.

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::logged_in;
use super::servicenow;
use super::session;
use super::setup;
use crate::csp;
use crate::harness::PATIENCE;
use crate::harness::TestHost;
use crate::harness::eventually;
use crate::harness::job;

/// Returns the table of a peer, whose token is in the environment variable
/// `PEER_TOKEN`.
fn peer(name: &str, url: &str) -> String {
    format!(
        "[[console.peers]]\nname = \"{name}\"\nurl = \"{url}\"\ntoken = {{ env = \"PEER_TOKEN\" }}\n"
    )
}

/// Has a host do and deliver a job, and waits until its trail has it.
async fn does(host: &TestHost, id: &str) {
    let snow = servicenow(host);
    snow.provision(&job(id, "CSP_TEST", "ADD_PORTFOLIO")).await;
    assert_eq!(snow.outcome().await.code(), 200);
    eventually("the job in the trail", || async {
        let jobs = host.admin_json(&format!("/jobs?id={id}&state=COLLECTED")).await;
        (jobs["jobs"].as_array()?.len() == 1).then_some(())
    })
    .await;
}

/// Waits until a page of a host has this text, and returns the page.
async fn has(read: &impl AsyncFn(&str) -> String, path: &str, text: &str) -> String {
    eventually(&format!("{text} on {path}"), || async {
        let page = read(path).await;
        page.contains(text).then_some(page)
    })
    .await
}

#[tokio::test]
async fn jobs_of_another_host_are_found() {
    let csp = csp::sync().await;
    let b = setup(&csp, "").start().await;
    let more = peer("host-b", &b.admin());
    let a = setup(&csp, &more).environment("PEER_TOKEN", "viewer-token").start().await;
    does(&b, "job-b").await;
    does(&a, "job-a").await;
    let host = a.admin_json("/host").await;
    assert_eq!(host["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&host["ready"], host["roles"].as_array().map(Vec::len)), (&true.into(), Some(3)));

    let browser = logged_in(&a, "viewer").await;
    for (path, texts) in [
        ("/console/jobs", &["job-a", "this host", "job-b", "host-b"][..]),
        ("/console/jobs?q=job-b", &["job-b", "host-b", "collected"]),
        ("/console/jobs/job-b", &["collected", "Outcome collected", "host-b", "CSP_TEST"]),
        ("/console/jobs/job-a", &["collected", "Outcome collected", "this host"]),
        ("/console/hosts", &["host-b"]),
    ] {
        browser.open(path).await;
        for text in texts {
            browser.sees(text).await;
        }
        browser.is_accessible().await;
    }
    browser.console_is_clean().await;
    browser.close().await;
    let read = session(&a, "viewer-token").await;
    eventually("both hosts on the page of hosts", || async {
        let page = read("/console/hosts").await;
        let told = ["api, worker, watcher", ">ready<"].map(|text| page.matches(text).count());
        (told == [2, 2]).then_some(())
    })
    .await;

    // Only the console asks: the admin API of a host tells what that host knows.
    assert_eq!(a.admin_json("/jobs?id=job-b").await["jobs"], serde_json::json!([]));
}

#[tokio::test]
async fn hosts_that_are_down_are_named_and_delay_nothing() {
    let csp = csp::sync().await;
    let mut b = setup(&csp, "").start().await;
    // Takes connections and reads, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = silent.local_addr().expect("it is bound");
    let (heads, mut asked) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = silent.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else { break };
                head.push(byte);
            }
            let _ = heads.send(String::from_utf8_lossy(&head).to_lowercase());
            open.push(stream);
        }
    });
    let more = peer("host-b", &b.admin()) + &peer("host-c", &format!("http://{address}"));
    let a = setup(&csp, &more).environment("PEER_TOKEN", "viewer-token").start().await;
    does(&a, "job-a").await;
    let read = session(&a, "operator-token").await;
    has(&read, "/console/hosts", "does not answer within 800 ms").await;
    // A peer gets the token of the configuration, and nothing of the person's.
    let head = asked.recv().await.expect("the peer is asked");
    assert!(head.starts_with("get /host http/1.1\r\n"), "{head}");
    assert!(head.contains("authorization: bearer viewer-token\r\n"), "{head}");
    assert!(!head.contains("cookie") && !head.contains("operator-token"), "{head}");

    b.leaves_work("it is killed");
    b.kill().await;
    has(&read, "/console/hosts", "does not answer: ").await;
    // Without a bound it would wait for the silent peer for ever.
    let page = tokio::time::timeout(PATIENCE, read("/console/jobs")).await;
    let page = page.expect("the page is not delayed");
    for text in ["job-a", "This page lacks", "host-b", "host-c"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    let page = read("/console/jobs/job-b").await;
    assert!(page.contains("host-b does not answer"), "{page}");
    a.logged("the failure of host-b", |line| {
        line["event"] == "peer-failed" && line["peer"] == "host-b"
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_refuses_the_key_says_so() {
    let csp = csp::sync().await;
    let b = setup(&csp, "").start().await;
    let more = peer("host-b", &b.admin());
    for (token, reason) in [
        ("wrong-token", "refuses the key: console.peers must have one of its bearer keys"),
        ("read-token", "refuses the key: it needs the role viewer there"),
    ] {
        let a = setup(&csp, &more).environment("PEER_TOKEN", token).start().await;
        let read = session(&a, "viewer-token").await;
        for path in ["/console/hosts", "/console/jobs"] {
            let page = has(&read, path, reason).await;
            assert!(page.contains("host-b") && !page.contains(token), "{page}");
        }
    }
}
