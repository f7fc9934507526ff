//! Authentication, authorization and the audit log.

mod signatures;
mod signed;

use std::fmt::Write as _;

use hoth_core::domain::Digest;
use reqwest::Method;
use serde_json::Value;
use serde_json::json;

pub use self::signed::SECRET;
pub use self::signed::Signed;
pub use self::signed::signer;
use crate::csp;
use crate::harness::ServiceNow;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::client;
use crate::harness::component;
use crate::harness::eventually;
use crate::harness::job;

const ROLES: [&str; 5] = ["read", "write", "viewer", "operator", "admin"];

/// Returns a key for every role: `<role>-key` with the token `<role>-token`.
pub fn bearer_keys(roles: &[&str]) -> String {
    let mut lines = String::new();
    for role in roles {
        let sha256 = Digest::of(format!("{role}-token").as_bytes());
        write!(
            lines,
            "[[auth.bearer]]\nname = \"{role}-key\"\nrole = \"{role}\"\nsha256 = \"{sha256}\"\n"
        )
        .expect("writing to a string succeeds");
    }
    lines
}

async fn keyed_host(more: &str) -> (TestHost, mock_csp::MockCsp) {
    let csp = csp::sync().await;
    let keys = bearer_keys(&ROLES);
    let setup = Setup::new().csp("CSP_TEST", &csp).with(&format!("{keys}{more}"));
    let host = setup.admin_token("admin-token").start().await;
    (host, csp)
}

fn caller(host: &TestHost, token: Option<&str>) -> ServiceNow {
    ServiceNow::at(client(), host.api(), token)
}

fn operator(host: &TestHost, token: Option<&str>) -> ServiceNow {
    ServiceNow::at(client(), host.admin(), token)
}

#[tokio::test]
async fn every_route_accepts_the_roles_that_permit_it() {
    let (host, _csp) = keyed_host("").await;
    let none = None;
    let [read, write] = [&["read", "write", "admin"][..], &["write", "admin"]].map(Some);
    let view = Some(&["viewer", "operator", "admin"][..]);
    let [operate, admin] = [&["operator", "admin"][..], &["admin"]].map(Some);
    let (api, office) = (host.api(), host.admin());
    for (base, method, path, needed) in [
        (&api, Method::GET, "/provisioning-jobs", read),
        (&api, Method::HEAD, "/provisioning-jobs", none),
        (&api, Method::GET, "/cost-jobs?wait=0", read),
        (&api, Method::POST, "/provisioning-jobs", write),
        (&api, Method::POST, "/cost-jobs", write),
        (&api, Method::POST, "/provisioning-jobs/ack", read),
        (&api, Method::POST, "/provisioning-jobs/release", read),
        (&api, Method::POST, "/cost-jobs/redeliver", write),
        (&api, Method::OPTIONS, "/provisioning-jobs", none),
        (&api, Method::OPTIONS, "/cost-jobs", none),
        (&api, Method::OPTIONS, "/cost-jobs/redeliver", none),
        (&api, Method::GET, "/elsewhere", none),
        (&api, Method::DELETE, "/provisioning-jobs", none),
        (&office, Method::GET, "/healthz", none),
        (&office, Method::GET, "/readyz", none),
        (&office, Method::GET, "/nowhere", none),
        (&office, Method::GET, "/metrics", view),
        (&office, Method::GET, "/adapters", view),
        (&office, Method::GET, "/adapters/atat", view),
        (&office, Method::PUT, "/adapters/atat", admin),
        (&office, Method::POST, "/adapters/atat/rollback", admin),
        (&office, Method::GET, "/queues", view),
        (&office, Method::GET, "/queues/requests-CSP_TEST/dead-letters", view),
        (&office, Method::POST, "/queues/requests-CSP_TEST/redrive", operate),
        (&office, Method::POST, "/queues/requests-CSP_TEST/purge", operate),
        (&office, Method::POST, "/jobs/job-1/look-now", operate),
        (&office, Method::POST, "/jobs/job-1/cancel", operate),
        (&office, Method::POST, "/jobs/job-1/settle", operate),
        (&office, Method::POST, "/csps/CSP_TEST/pause", operate),
        (&office, Method::POST, "/csps/CSP_TEST/resume", operate),
    ] {
        let callers: [Option<&str>; 6] =
            std::array::from_fn(|at| at.checked_sub(1).map(|at| ROLES[at]));
        for held in callers {
            let token = held.map(|role| format!("{role}-token"));
            let caller = ServiceNow::at(client(), base.clone(), token.as_deref());
            let answer = caller.send(method.clone(), path, None).await;
            let refused = match (needed, held) {
                (None, _) => None,
                (Some(_), None) => Some(401),
                (Some(needed), Some(held)) => (!needed.contains(&held)).then_some(403),
            };
            let refusal = matches!(answer.status, 401 | 403).then_some(answer.status);
            assert_eq!(refusal, refused, "{method} {path} with {held:?}: {}", answer.text);
            if refused == Some(401) {
                let challenge = answer.headers["www-authenticate"].to_str().expect("text");
                assert_eq!(challenge, "Bearer, AWS4-HMAC-SHA256");
            }
        }
        let unauthenticated = ServiceNow::at(client(), base.clone(), Some("guess"));
        let status = unauthenticated.send(method.clone(), path, None).await.status;
        assert_eq!(status == 401, needed != none, "{method} {path}: {status}");
    }
}

#[tokio::test]
async fn unauthenticated_clients_learn_only_the_known_paths_and_methods() {
    let (host, _csp) = keyed_host("").await;
    let unauthenticated = caller(&host, None);
    assert_eq!(unauthenticated.send(Method::GET, "/elsewhere", None).await.status, 404);
    let answer = unauthenticated.send(Method::PATCH, "/cost-jobs", None).await;
    assert_eq!(answer.status, 405);
    let mut allowed: Vec<&str> =
        answer.headers["allow"].to_str().expect("text").split(", ").collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "OPTIONS", "POST"]);
    // The body is not validated before the client is authenticated.
    let answer = unauthenticated.send(Method::POST, "/provisioning-jobs", Some(&json!(7))).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.json()["code"], "OTHER");
}

/// Replaces the host's keys, which are all tables that begin with `[[auth`.
fn rekey(host: &TestHost, keys: &str) {
    let file = host.directory().join("hoth.toml");
    let text = std::fs::read_to_string(&file).expect("the configuration can be read");
    let keys_at = text.find("[[auth").expect("there are keys");
    let csps_at = text.find("\n[csp.").expect("there is a CSP");
    let kept = match keys_at < csps_at {
        true => format!("{}{}", &text[..keys_at], &text[csps_at..]),
        false => text[..keys_at].to_owned(),
    };
    std::fs::write(&file, format!("{kept}\n{keys}")).expect("the configuration can be written");
}

async fn becomes(host: &TestHost, token: &str, status: u16) {
    eventually(&format!("{token} to be answered {status}"), || async {
        let answer = caller(host, Some(token)).send(Method::GET, "/cost-jobs", None).await;
        (answer.status == status).then_some(())
    })
    .await;
}

/// Waits until the metrics, which a viewer may read, show this result of the
/// last reload.
async fn reload_counts(host: &TestHost, success: &str) {
    let line = format!("hoth_config_reload_success {success}");
    eventually(&line, async || {
        let answer = operator(host, Some("viewer-token")).send(Method::GET, "/metrics", None).await;
        answer.text.lines().any(|found| found == line).then_some(())
    })
    .await;
}

#[tokio::test]
async fn keys_change_without_a_restart_and_a_mistake_changes_nothing() {
    let (host, _csp) = keyed_host("").await;
    host.leaves_work("the last keys do not open the admin API");
    becomes(&host, "read-token", 200).await;
    rekey(&host, &bearer_keys(&["write", "viewer"]));
    becomes(&host, "read-token", 401).await;
    becomes(&host, "write-token", 200).await;

    rekey(&host, &bearer_keys(&["read", "read"]));
    let refused = host
        .logged("the mistake to be logged", |line| {
            line["target"] == "hoth::reload" && line["error"].is_string()
        })
        .await;
    let why = refused["error"].as_str().expect("a reason").to_owned();
    assert!(why.contains("`read-key` is used twice"), "{why}");
    becomes(&host, "read-token", 401).await;
    becomes(&host, "write-token", 200).await;
    reload_counts(&host, "0").await;

    rekey(&host, &bearer_keys(&["read", "viewer"]));
    becomes(&host, "read-token", 200).await;
    reload_counts(&host, "1").await;
    rekey(&host, &bearer_keys(&["read"]));
    becomes(&host, "read-token", 200).await;
    becomes(&host, "write-token", 401).await;
}

#[tokio::test]
async fn a_changed_secret_takes_effect_without_a_restart() {
    let secrets = tempfile::tempdir().expect("a temporary folder can be made");
    let file = secrets.path().join("secret");
    std::fs::write(&file, SECRET).expect("a file can be written");
    let (host, _csp) = keyed_host(&signer("read", &file)).await;
    let old = Signed {
        method: "GET",
        target: "/cost-jobs",
        body: "",
        secret: SECRET,
        declared: false,
        skew: 0,
    };
    let new = Signed { secret: "another", ..old };
    assert_eq!((old.send(&host).await.0, new.send(&host).await.0), (200, 401));
    std::fs::write(&file, "another\n").expect("a file can be written");
    eventually("the new secret to count", || async {
        (new.send(&host).await.0 == 200).then_some(())
    })
    .await;
    assert_eq!(old.send(&host).await.0, 401);
    std::fs::remove_file(&file).expect("a file can be removed");
    host.logged("the missing secret to be logged", |line| {
        line["error"].as_str().is_some_and(|text| text.contains("cannot be read"))
    })
    .await;
    assert_eq!(new.send(&host).await.0, 200);
}

#[tokio::test]
async fn a_web_page_cannot_operate_a_host() {
    let csp = csp::sync().await;
    let host = Setup::new().csp("CSP_TEST", &csp).start().await;
    let pause = format!("{}/csps/CSP_TEST/pause", host.admin());
    // A form of any page, which a browser sends without a preflight request.
    let form = client().post(&pause).header("origin", "https://evil.example");
    assert_eq!(form.send().await.expect("HOTH answers").status().as_u16(), 403);
    assert_eq!(host.admin_json("/csps/CSP_TEST").await["paused"], false);
    let tool = client().post(&pause).send().await.expect("HOTH answers");
    assert!(tool.status().is_success(), "{tool:?}");
}

#[tokio::test]
async fn a_host_without_keys_logs_a_warning() {
    let csp = csp::sync().await;
    let host = Setup::new().csp("CSP_TEST", &csp).start().await;
    host.logged("the warning", |line| line["target"] == "hoth::app" && line["level"] == "WARN")
        .await;
}

#[tokio::test]
async fn every_action_is_in_the_audit_log_with_its_key() {
    let (host, csp) = keyed_host("").await;
    let (reader, writer) = (caller(&host, Some("read-token")), caller(&host, Some("write-token")));
    let operator = operator(&host, Some("admin-token"));
    let post = async |who: &ServiceNow, path: &str, body: Value| {
        let answer = who.send(Method::POST, path, Some(&body)).await;
        assert!(answer.status < 300, "{path}: {} {}", answer.status, answer.text);
    };

    writer.provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    csp::wait_for_calls(&csp, 1).await;
    for act in ["release", "ack"] {
        let path = "/provisioning-jobs?wait=20&lease=60";
        let leased = reader.send(Method::GET, path, None).await;
        let batch = leased.headers["hoth-batch"].to_str().expect("text");
        post(&reader, &format!("/provisioning-jobs/{act}"), json!({"batch": batch})).await;
    }
    post(&writer, "/provisioning-jobs/redeliver", json!({"jobIds": ["job-1"]})).await;
    assert_eq!(reader.collect("/provisioning-jobs?wait=20").await.len(), 1);
    post(&operator, "/csps/CSP_TEST/pause", json!({})).await;
    post(&operator, "/csps/CSP_TEST/resume", json!({})).await;
    let mut component = std::fs::read(component("atat")).expect("the component can be read");
    // A custom section changes only the digest.
    component.extend([0, 2, 1, b'x']);
    let deploy = client().put(format!("{}/adapters/atat", host.admin())).body(component);
    let deployed = deploy.bearer_auth("admin-token").send().await.expect("HOTH answers");
    assert_eq!(deployed.status().as_u16(), 200, "{:?}", deployed.text().await);
    post(&operator, "/adapters/atat/rollback", json!({})).await;
    post(&operator, "/queues/provisioning-jobs/redrive", json!({})).await;
    assert_eq!(reader.send(Method::POST, "/cost-jobs", None).await.status, 403);

    for (act, by, field, value) in [
        ("submit", "write-key", "job.id", "job-1"),
        ("lease", "read-key", "job.id", "job-1"),
        ("release", "read-key", "kind", "provisioning"),
        ("acknowledge", "read-key", "kind", "provisioning"),
        ("redeliver", "write-key", "asked", "[\"job-1\"]"),
        ("collect", "read-key", "job.id", "job-1"),
        ("pause", "admin-key", "csp", "CSP_TEST"),
        ("resume", "admin-key", "csp", "CSP_TEST"),
        ("deploy", "admin-key", "adapter", "atat"),
        ("roll-back", "admin-key", "adapter", "atat"),
        ("redrive", "admin-key", "queue", "provisioning-jobs"),
        ("forbid", "read-key", "path", "/cost-jobs"),
    ] {
        let line = host.logged(act, |line| line["target"] == "audit" && line["act"] == act).await;
        assert_eq!((&line["by"], &line[field]), (&json!(by), &json!(value)), "{line}");
    }
    let batches: Vec<Value> = host
        .log()
        .into_iter()
        .filter(|line| ["lease", "release", "acknowledge"].iter().any(|act| line["act"] == *act))
        .map(|line| line["batch"].clone())
        .collect();
    assert_eq!(batches.len(), 4, "two leases, one of each end");
    assert!(batches.iter().all(Value::is_string), "{batches:?}");
}
