//! Authentication, authorization and the audit log.

use std::fmt::Write as _;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use hmac::Hmac;
use hmac::Mac as _;
use hoth_core::domain::Digest;
use reqwest::Method;
use serde_json::Value;
use serde_json::json;
use sha2::Sha256;
use time::OffsetDateTime;
use time::macros::format_description;

use crate::csp;
use crate::harness::ServiceNow;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::client;
use crate::harness::component;
use crate::harness::cost;
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

/// A request signed with AWS Signature Version 4.
pub struct Signed<'a> {
    pub method: &'a str,
    /// Path and query, with names and values sorted and encoded.
    pub target: &'a str,
    pub body: &'a str,
    pub secret: &'a str,
    /// `true` if a header declares the body's digest.
    pub declared: bool,
    /// Seconds to add to the signing time.
    pub skew: i64,
}

const ACCESS_KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";

impl Signed<'_> {
    pub async fn send(&self, host: &TestHost) -> (u16, String) {
        self.send_to(&host.api()).await
    }

    async fn send_to(&self, base: &str) -> (u16, String) {
        let url: reqwest::Url = format!("{base}{}", self.target).parse().expect("a URL");
        let authority = url.authority().to_owned();
        let method = self.method.parse().expect("a method");
        let mut request = client().request(method, url).body(self.body.to_owned());
        for (name, value) in self.headers(&authority) {
            request = request.header(name, value);
        }
        let response = request.header("content-type", "application/json").send().await;
        let response = response.expect("HOTH answers");
        (response.status().as_u16(), response.text().await.expect("the answer is text"))
    }

    pub fn headers(&self, authority: &str) -> Vec<(&'static str, String)> {
        #[expect(clippy::disallowed_methods, reason = "clients read the wall clock")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is past 1970");
        let now = i64::try_from(now.as_secs()).expect("it is not that late") + self.skew;
        let date = OffsetDateTime::from_unix_timestamp(now)
            .expect("a time")
            .format(format_description!("[year][month][day]T[hour][minute][second]Z"))
            .expect("it can be written");
        let day = &date[..8];
        let payload = Digest::of(self.body.as_bytes()).to_string();
        let (path, query) = self.target.split_once('?').unwrap_or((self.target, ""));
        let (mut signed, mut lines) = ("host".to_owned(), format!("host:{authority}\n"));
        if self.declared {
            signed.push_str(";x-amz-content-sha256");
            writeln!(lines, "x-amz-content-sha256:{payload}").expect("it is a string");
        }
        signed.push_str(";x-amz-date");
        writeln!(lines, "x-amz-date:{date}").expect("it is a string");
        let canonical = format!("{}\n{path}\n{query}\n{lines}\n{signed}\n{payload}", self.method);
        let scope = format!("{day}/us-gov-west-1/execute-api/aws4_request");
        let digest = Digest::of(canonical.as_bytes());
        let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{digest}");
        let mut key = format!("AWS4{}", self.secret).into_bytes();
        for part in [day, "us-gov-west-1", "execute-api", "aws4_request", &to_sign] {
            let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key of any length");
            mac.update(part.as_bytes());
            key = mac.finalize().into_bytes().to_vec();
        }
        let signature = key.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        let mut headers = vec![
            ("x-amz-date", date),
            (
                "authorization",
                format!(
                    "AWS4-HMAC-SHA256 Credential={ACCESS_KEY_ID}/{scope}, SignedHeaders={signed}, \
                     Signature={signature}"
                ),
            ),
        ];
        if self.declared {
            headers.push(("x-amz-content-sha256", payload));
        }
        headers
    }
}

pub fn signer(role: &str, secret_file: &std::path::Path) -> String {
    format!(
        "[[auth.sigv4]]\nname = \"signer\"\nrole = \"{role}\"\naccess_key_id = \"{ACCESS_KEY_ID}\"\n\
         secret = {{ file = \"{}\" }}\n",
        secret_file.display()
    )
}

pub const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

#[tokio::test]
async fn signed_requests_are_accepted() {
    let secrets = tempfile::tempdir().expect("a temporary folder can be made");
    let file = secrets.path().join("secret");
    std::fs::write(&file, format!("{SECRET}\n")).expect("a file can be written");
    let (host, _csp) = keyed_host(&signer("write", &file)).await;
    host.leaves_work("the leased outcome and the costs are not collected");
    let posted = job("job-1", "CSP_TEST", "ADD_PORTFOLIO").to_string();
    let asked = cost("r-1", "CSP_TEST").to_string();
    let good = Signed {
        method: "POST",
        target: "/provisioning-jobs",
        body: &posted,
        secret: SECRET,
        declared: false,
        skew: 0,
    };
    let (status, text) = good.send(&host).await;
    assert_eq!((status, text.as_str()), (201, posted.as_str()));
    let declared = Signed { target: "/cost-jobs", body: &asked, declared: true, ..good };
    assert_eq!(declared.send(&host).await, (202, asked.clone()));
    let collect =
        Signed { method: "GET", target: "/provisioning-jobs?lease=60&wait=20", body: "", ..good };
    let (status, text) = collect.send(&host).await;
    let messages: Value = serde_json::from_str(&text).expect("a list");
    assert_eq!((status, messages.as_array().map(Vec::len)), (200, Some(1)), "{text}");

    for declared in [true, false] {
        let denied = Signed { secret: "guess", declared, ..good };
        assert_eq!(denied.send(&host).await.0, 401);
        assert_eq!(Signed { skew: 400, declared, ..good }.send(&host).await.0, 401);
        assert_eq!(Signed { skew: -400, declared, ..good }.send(&host).await.0, 401);
        assert_eq!(Signed { skew: 200, declared, ..good }.send(&host).await.0, 201);
        // Its role does not permit the admin API.
        let pause = Signed { target: "/csps/CSP_TEST/pause", body: "", declared, ..good };
        assert_eq!(pause.send_to(&host.admin()).await.0, 403);
    }
}

#[tokio::test]
async fn a_signature_covers_the_body() {
    let secrets = tempfile::tempdir().expect("a temporary folder can be made");
    let file = secrets.path().join("secret");
    std::fs::write(&file, SECRET).expect("a file can be written");
    let (host, _csp) = keyed_host(&signer("admin", &file)).await;
    let (posted, other) = (
        job("job-1", "CSP_TEST", "ADD_PORTFOLIO").to_string(),
        job("job-2", "CSP_TEST", "ADD_PORTFOLIO").to_string(),
    );
    let url = format!("{}/provisioning-jobs", host.api());
    let authority = host.api().trim_start_matches("http://").to_owned();
    for declared in [true, false] {
        let signed = Signed {
            method: "POST",
            target: "/provisioning-jobs",
            body: &posted,
            secret: SECRET,
            declared,
            skew: 0,
        };
        for (body, status) in [(&other, 401), (&posted, 201)] {
            let mut request = client().post(&url).header("content-type", "application/json");
            for (name, value) in signed.headers(&authority) {
                request = request.header(name, value);
            }
            let response = request.body(body.clone()).send().await.expect("HOTH answers");
            assert_eq!(response.status().as_u16(), status);
        }
    }
    caller(&host, Some("admin-token")).outcome().await;
    // A component is larger than the body that is read before the signature is
    // checked, so its digest must be declared and signed.
    let large = "x".repeat(600 * 1_024);
    let deploy = Signed {
        method: "PUT",
        target: "/adapters/atat",
        body: &large,
        secret: SECRET,
        declared: true,
        skew: 0,
    };
    assert_eq!(deploy.send_to(&host.admin()).await.0, 422, "it is no component");
    let (status, text) = Signed { declared: false, ..deploy }.send_to(&host.admin()).await;
    assert_eq!(status, 413);
    assert!(text.contains("sign the body's digest in the header X-Amz-Content-Sha256"), "{text}");
}

#[tokio::test]
async fn the_debug_log_has_the_canonical_request_of_a_failed_signature() {
    let secrets = tempfile::tempdir().expect("a temporary folder can be made");
    let file = secrets.path().join("secret");
    std::fs::write(&file, SECRET).expect("a file can be written");
    let csp = csp::sync().await;
    let keys = format!("{}{}", bearer_keys(&["admin"]), signer("read", &file));
    let setup = Setup::new().csp("CSP_TEST", &csp).with(&keys).admin_token("admin-token");
    let host = setup.log_filter("info,hoth::http=debug").start().await;
    for declared in [true, false] {
        let target = format!("/cost-jobs?wait={}", u8::from(declared));
        let denied =
            Signed { method: "GET", target: &target, body: "", secret: "guess", declared, skew: 0 };
        assert_eq!(denied.send(&host).await.0, 401);
        let query = format!("wait={}", u8::from(declared));
        let line = host
            .logged("the canonical request", |line| {
                line["message"].as_str().is_some_and(|text| text.contains(&query))
            })
            .await;
        let text = line["message"].as_str().expect("a text");
        let host = host.api().trim_start_matches("http://").to_owned();
        let of_nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for part in ["GET\n/cost-jobs\n", &format!("host:{host}\n"), of_nothing] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains(SECRET) && !text.contains("guess"), "{text}");
    }
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
