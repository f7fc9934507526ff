//! A search for secrets in everything that the host writes or answers.
//!
//! One host has every kind of credential on both sides, and CSPs and identity
//! providers that fail and quote requests in their answers. Then everything
//! that the host has written or answered is searched for every secret, in every
//! encoding.

mod clouds;
mod search_term;
mod tls_proxy;

use std::path::Path;
use std::time::Instant;

use hoth_testkit::OtlpReceiver;
use mock_csp::Matching;
use mock_csp::MockCsp;
use mock_csp::Options;
use reqwest::Method;
use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;

use crate::auth::Signed;
use crate::csp;
use crate::csp::Answer;
use crate::harness::PATIENCE;
use crate::harness::ServiceNow;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::client;
use crate::harness::cost;
use crate::harness::eventually;
use crate::harness::job;
use clouds::Clouds;
use search_term::SearchTerm;
use tls_proxy::TlsProxy;

/// Secrets with characters that every encoding changes.
const CLIENT_SECRET: &str = r#"cl1ent/"s3cret"+with\odd %41 &=chars"#;
const API_KEY: &str = r#"ApiKey k3y/"of"+gr8\value %41 &=worth"#;
const PASSWORD: &str = r#"p4ss/"word"+for\basic %41 &=use"#;
const WRITE_TOKEN: &str = "b3arer+of/ServiceNow==";
const ADMIN_TOKEN: &str = "b3arer+of/an/operator==";
const UNKNOWN_TOKEN: &str = "b3arer+with/a/typing/error==";
const OTLP_KEY: &str = r#"otlp/"k3y"+with\odd %41 &=chars"#;
const SIGNING_SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// Business data, which must not appear in the log.
const EMAIL: &str = "pat.tern@mail.mil.example";
const NAME: &str = r#"A "portfolio" of ours / theirs"#;

/// A text that is not secret, which proves that the search finds texts.
const CANARY: &str = r#"c4nary/"job"+with\odd %41 &=id"#;

/// A text that the host wrote or answered, and its place.
struct Document {
    place: String,
    bytes: Vec<u8>,
}

/// The host, its CSPs and its keys.
struct Fixture {
    host: TestHost,
    /// The CSPs with OAuth 2.0, whose tokens are secrets.
    oauth2: Vec<MockCsp>,
    fixed: Vec<MockCsp>,
    /// The CSPs with signatures.
    clouds: Clouds,
    /// The receiver of traces.
    receiver: OtlpReceiver,
    keys: TempDir,
    client_key: String,
    _proxy: TlsProxy,
}

fn table(name: &str, base_url: &str, rest: &str) -> String {
    format!("[csp.{name}]\nadapter = \"atat\"\nbase_url = \"{base_url}\"\n{rest}\n")
}

fn bearer(name: &str, role: &str, token: &str) -> String {
    let sha256 = hoth_core::domain::Digest::of(token.as_bytes());
    format!("[[auth.bearer]]\nname = \"{name}\"\nrole = \"{role}\"\nsha256 = \"{sha256}\"\n")
}

/// Returns the table of a host whose spans have paths: the most that they may
/// hold.
fn telemetry(receiver: &OtlpReceiver) -> String {
    let headers = "otlp_headers = { x-otlp-key = { env = \"OTLP_KEY\" } }";
    format!("{}csp_paths = true\n{headers}\n", receiver.table())
}

async fn start() -> Fixture {
    let keys = tempfile::tempdir().expect("a temporary folder can be made");
    let secretive = || async {
        let options = Options { client_secret: CLIENT_SECRET.to_owned(), ..Options::default() };
        MockCsp::start(options).await.expect("a port is free")
    };
    let mut oauth2 = Vec::new();
    for _ in 0..5 {
        oauth2.push(secretive().await);
    }
    let fixed = vec![csp::sync().await, csp::sync().await];
    let clouds = Clouds::start().await;
    let scripted = oauth2.iter().chain(&fixed).chain(&clouds.csps);
    scripted.for_each(echo);
    csp::script_tokens(&oauth2[1], [Answer::echo(400)]);
    csp::script_tokens(&oauth2[2], [Answer::echo(503)]);
    csp::script_tokens(&oauth2[3], [Answer::echo(200)]);
    let behind = oauth2[4].origin().trim_start_matches("http://").to_owned();
    let (proxy, client_key) = TlsProxy::start(&behind, keys.path()).await;
    let shown = format!("{}/atat/api/v1", proxy.origin);
    let tls = format!(
        "[csp.CERT.tls]\nca = \"{0}/ca.pem\"\ncertificate = \"{0}/client.pem\"\nkey = \"{0}/client.key\"",
        keys.path().display()
    );
    let oauth2_of = |name: &str, csp: &MockCsp| {
        format!(
            "[csp.{name}.oauth2]\ntoken_url = \"{}\"\nclient_id = \"hoth\"\nclient_secret = {{ env = \"CLIENT_SECRET\" }}",
            csp.token_url()
        )
    };
    let secret = keys.path().join("signing-secret");
    std::fs::write(&secret, SIGNING_SECRET).expect("a file can be written");
    let receiver = OtlpReceiver::start().await.expect("a port is free");
    let mut setup = Setup::new()
        .with(&telemetry(&receiver))
        .environment("OTLP_KEY", OTLP_KEY)
        .log_filter("trace")
        .admin_token(ADMIN_TOKEN)
        .environment("CLIENT_SECRET", CLIENT_SECRET)
        .environment("API_KEY", API_KEY)
        .environment("PASSWORD", PASSWORD)
        .with(&bearer("snow", "write", WRITE_TOKEN))
        .with(&bearer("operator", "admin", ADMIN_TOKEN))
        .with(&crate::auth::signer("write", &secret));
    for (name, csp) in ["OAUTH", "REFUSED", "DOWN", "NONSENSE"].iter().zip(&oauth2) {
        setup = setup.with(&table(name, csp.base_url(), &oauth2_of(name, csp)));
    }
    let nowhere = csp::nowhere();
    let setup = setup
        .with(&table("CERT", &shown, &format!("{tls}\n{}", oauth2_of("CERT", &oauth2[4]))))
        .with(&table("NOWHERE", &nowhere, &oauth2_of("NOWHERE", &oauth2[0])))
        .with(&table(
            "KEY",
            fixed[0].base_url(),
            "[csp.KEY.api_key]\nheader = \"X-Api-Key\"\nvalue = { env = \"API_KEY\" }",
        ))
        .with(&table(
            "BASIC",
            fixed[1].base_url(),
            "[csp.BASIC.basic]\nusername = \"hoth\"\npassword = { env = \"PASSWORD\" }",
        ))
        .with(&format!(
            "[csp.TRAPS]\nadapter = \"traps\"\nbase_url = \"{}\"\n",
            fixed[0].base_url()
        ));
    let host = clouds.configure(setup, keys.path()).start().await;
    Fixture { host, oauth2, fixed, clouds, receiver, keys, client_key, _proxy: proxy }
}

/// The portfolios, and the statuses with which a CSP answers calls for them,
/// each quoting the request.
const PORTFOLIOS: &[(&str, &[u16])] = &[
    ("quoted", &[200]),
    ("renewed", &[401, 200]),
    ("unauthorised", &[401]),
    ("refused", &[403]),
    ("busy", &[429]),
    ("down", &[500]),
    ("moved", &[302]),
    ("odd", &[207]),
];

fn echo(csp: &MockCsp) {
    for (portfolio, statuses) in PORTFOLIOS {
        let path = Matching::path(&format!("/portfolios/{portfolio}/"));
        csp.script_for(path, statuses.iter().map(|status| Answer::echo(*status)));
    }
    let location = "/atat/api/v1/provisioning/9/status";
    let accepted = Answer::echo(202).header("location", location);
    csp.script_for(Matching::path("/portfolios/polled/"), [accepted]);
    let polls = [500, 404, 200, 401, 401, 403].map(Answer::echo);
    csp.script_for(Matching::path("/provisioning/9/status"), polls);
}

fn work(id: &str, csp: &str, portfolio: &str) -> Value {
    let mut job = job(id, csp, "ADD_ENVIRONMENT");
    job["portfolioId"] = json!(portfolio);
    job["payload"]["name"] = json!(NAME);
    job["payload"]["administrators"][0]["email"] = json!(EMAIL);
    job
}

/// Posts everything, by every kind of caller, and returns how many jobs and
/// cost requests there are.
async fn post(fixture: &Fixture, answers: &mut Vec<Document>) -> (usize, usize) {
    let snow = ServiceNow::at(client(), fixture.host.api(), Some(WRITE_TOKEN));
    let mut jobs = vec![work(CANARY, "OAUTH", "quoted")];
    for csp in ["OAUTH", "KEY", "BASIC", "CERT"].iter().chain(&clouds::CSPS) {
        for (portfolio, _) in PORTFOLIOS {
            jobs.push(work(&format!("{csp}/{portfolio}"), csp, portfolio));
        }
        jobs.push(work(&format!("{csp}/polled"), csp, "polled"));
    }
    for csp in ["REFUSED", "DOWN", "NONSENSE", "NOWHERE", "OAUTH", "CERT"] {
        jobs.push(work(&format!("{csp}/any"), csp, "any"));
    }
    jobs.push(job("TRAPS/any", "TRAPS", "ADD_PORTFOLIO"));
    for job in &jobs {
        let answer = snow.send(Method::POST, "/provisioning-jobs", Some(job)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answers.push(document("the answer to a POST", answer.text));
    }
    let mut costs = 0;
    for csp in ["OAUTH", "KEY", "BASIC", "CERT", "REFUSED", "DOWN", "NONSENSE"] {
        for portfolio in ["quoted", "refused", "down"] {
            let mut request = cost(&format!("{csp}/{portfolio}"), csp);
            request["portfolioId"] = json!(portfolio);
            let body = request.to_string();
            let signed = Signed {
                method: "POST",
                target: "/cost-jobs",
                body: &body,
                secret: SIGNING_SECRET,
                declared: true,
                skew: 0,
            };
            let (status, text) = signed.send(&fixture.host).await;
            assert_eq!(status, 202, "{text}");
            answers.push(document("the answer to a signed POST", text));
            costs += 1;
        }
    }
    (jobs.len(), costs)
}

/// Sends unauthenticated and malformed requests of every kind.
async fn send_bad_requests(fixture: &Fixture, answers: &mut Vec<Document>) {
    let posted = work("never", "OAUTH", "any");
    for base in [fixture.host.api(), fixture.host.admin()] {
        for token in [UNKNOWN_TOKEN, WRITE_TOKEN, SIGNING_SECRET] {
            let caller = ServiceNow::at(client(), base.clone(), Some(token));
            for path in ["/csps", "/provisioning-jobs/redeliver", "/elsewhere"] {
                let answer = caller.send(Method::POST, path, Some(&json!({"a": 1}))).await;
                answers.push(document("an answer to an unknown client", answer.text));
            }
        }
        for scheme in ["Basic", "Bearer  ", "AWS4-HMAC-SHA256 Credential=", ""] {
            let request = client().post(format!("{base}/provisioning-jobs"));
            let request = request.header("authorization", format!("{scheme}{UNKNOWN_TOKEN}"));
            let answer = request.body(posted.to_string()).send().await.expect("HOTH answers");
            answers.push(document(
                "an answer to a malformed credential",
                answer.text().await.expect("it is text"),
            ));
        }
    }
    let body = posted.to_string();
    for (skew, secret) in [(3_600, SIGNING_SECRET), (0, UNKNOWN_TOKEN)] {
        let (method, target) = ("POST", "/provisioning-jobs");
        let signed = Signed { method, target, body: &body, secret, declared: false, skew };
        let (status, text) = signed.send(&fixture.host).await;
        assert_eq!(status, 401, "{text}");
        answers.push(document("an answer to a bad signature", text));
    }
}

async fn collect(fixture: &Fixture, jobs: usize, costs: usize) -> Vec<Document> {
    let snow = ServiceNow::at(client(), fixture.host.api(), Some(WRITE_TOKEN));
    let mut messages = Vec::new();
    for (route, count) in [("/provisioning-jobs", jobs), ("/cost-jobs", costs)] {
        for message in snow.collect_all(route, count).await {
            messages.push(document("an outcome message", message.to_string()));
        }
    }
    messages
}

/// Collects the answers of the admin API.
async fn inspect(fixture: &Fixture) -> Vec<Document> {
    let operator = ServiceNow::at(client(), fixture.host.admin(), Some(ADMIN_TOKEN));
    let queues = operator.send(Method::GET, "/queues", None).await.json();
    let queues = queues["queues"].as_array().expect("a list").clone();
    let names = queues.iter().map(|queue| queue["name"].as_str().expect("a name"));
    let mut paths: Vec<String> =
        ["/queues", "/csps", "/adapters", "/metrics", "/readyz"].map(str::to_owned).to_vec();
    for name in names {
        paths.push(format!("/queues/{name}/explain"));
        paths.push(format!("/queues/{name}/dead-letters"));
    }
    let mut answers = Vec::new();
    for path in paths {
        let answer = operator.send(Method::GET, &path, None).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answers.push(document(&path, answer.text));
    }
    let refused = operator.send(Method::PUT, "/adapters/broken", Some(&json!("no wasm"))).await;
    assert_ne!(refused.status, 200);
    answers.push(document("a refused adapter", refused.text));
    answers
}

/// Collects the exported spans, when those of the collection of all outcomes are
/// there.
async fn traces(fixture: &Fixture, outcomes: usize) -> Vec<Document> {
    eventually("the last spans", || async {
        let spans = fixture.receiver.spans();
        let collected = spans.iter().filter(|span| span.name.starts_with("collect ")).count();
        (collected >= outcomes).then_some(())
    })
    .await;
    let calls = fixture.receiver.server().calls();
    let export = |call: &std::sync::Arc<mock_csp::Call>| Document {
        place: "an export of spans".to_owned(),
        bytes: call.body.to_vec(),
    };
    calls.iter().map(export).collect()
}

/// Collects every file below the host's folder: configuration, queue, journals.
fn files(folder: &Path, found: &mut Vec<Document>) {
    for entry in std::fs::read_dir(folder).expect("a folder can be read") {
        let path = entry.expect("a folder entry can be read").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_none_or(|ending| ending != "wasm") {
            // A journal may be replaced at any time.
            let Ok(bytes) = std::fs::read(&path) else { continue };
            found.push(Document { place: path.display().to_string(), bytes });
        }
    }
}

fn document(place: &str, text: String) -> Document {
    Document { place: place.to_owned(), bytes: text.into() }
}

async fn deploy_trapping_guest(fixture: &Fixture) {
    let file = crate::harness::guest("traps");
    let component = std::fs::read(file).expect("the guest was built");
    let url = format!("{}/adapters/traps", fixture.host.admin());
    let put = client().put(url).bearer_auth(ADMIN_TOKEN).body(component).send().await;
    assert_eq!(put.expect("HOTH answers").status(), 200);
}

/// Returns every secret of the run.
fn secrets(fixture: &Fixture) -> Vec<SearchTerm> {
    let mut terms = vec![
        SearchTerm::new("the client secret", CLIENT_SECRET),
        SearchTerm::new("the API key", API_KEY),
        SearchTerm::new("the API key without its scheme", API_KEY.trim_start_matches("ApiKey ")),
        SearchTerm::new("the password", PASSWORD),
        SearchTerm::new("ServiceNow's token", WRITE_TOKEN),
        SearchTerm::new("the operator's token", ADMIN_TOKEN),
        SearchTerm::new("an unknown token", UNKNOWN_TOKEN),
        SearchTerm::new("the signing secret", SIGNING_SECRET),
        SearchTerm::new("the key for the receiver of traces", OTLP_KEY),
    ];
    let lines = fixture.client_key.lines().filter(|line| !line.starts_with('-'));
    terms.extend(lines.map(|line| SearchTerm::new("the client certificate's key", line)));
    let mut tokens: Vec<String> = fixture
        .oauth2
        .iter()
        .flat_map(csp::calls)
        .filter_map(|call| csp::header(&call, "authorization"))
        .map(|header| header.trim_start_matches("Bearer ").to_owned())
        .collect();
    tokens.sort();
    tokens.dedup();
    assert!(tokens.len() > 4, "tokens were refused and renewed: {}", tokens.len());
    terms.extend(tokens.iter().map(|token| SearchTerm::new("an access token", token)));
    terms.extend(fixture.clouds.secrets());
    terms
}

fn found(terms: &[SearchTerm], documents: &[&Document]) -> Vec<String> {
    // All at once first: there are thousands of short documents, and a search
    // has to be prepared for each.
    let whole = documents.iter().map(|document| &document.bytes[..]).collect::<Vec<_>>();
    let whole = whole.join(&b'\n');
    let mut found = Vec::new();
    for term in terms.iter().filter(|term| term.found_in(&whole).is_some()) {
        for document in documents {
            if let Some(form) = term.found_in(&document.bytes) {
                found.push(format!("{} {form} in {}", term.name, document.place));
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_found_where_it_does_not_belong() {
    let fixture = start().await;
    deploy_trapping_guest(&fixture).await;
    let mut answers = Vec::new();
    let (jobs, costs) = post(&fixture, &mut answers).await;
    send_bad_requests(&fixture, &mut answers).await;
    let started_at = Instant::now();
    let mut admin = inspect(&fixture).await;
    // Before the outcomes are collected: they are on the queue.
    let csps = || fixture.fixed.iter().chain(&fixture.oauth2).chain(&fixture.clouds.csps);
    while csps().any(|csp| csp.at_once() > 0) {
        assert!(started_at.elapsed() < PATIENCE, "calls do not end");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let mut written = Vec::new();
    files(fixture.host.directory(), &mut written);
    let outcomes = collect(&fixture, jobs, costs).await;
    files(fixture.host.directory(), &mut written);
    admin.extend(inspect(&fixture).await);
    let log: Vec<Document> =
        fixture.host.log().iter().map(|line| document("the log", line.to_string())).collect();

    // A secret would be found: the canary is, wherever it was sent.
    let canary = [SearchTerm::new("the canary", CANARY)];
    assert!(!found(&canary, &log.iter().collect::<Vec<_>>()).is_empty(), "the log is searched");
    assert_eq!(found(&canary, &outcomes.iter().collect::<Vec<_>>()).len(), 1);
    let files = found(&canary, &written.iter().collect::<Vec<_>>());
    assert!(
        files.iter().any(|place| place.contains("hoth.db")),
        "the queue is searched: {files:?}"
    );
    assert!(written.iter().any(|file| file.place.contains("trail.db")), "the trail is searched");
    let from =
        |what: &str| log.iter().any(|line| String::from_utf8_lossy(&line.bytes).contains(what));
    assert!(from("TRACE") && from("hyper"), "the log holds everything");

    let traces = traces(&fixture, jobs + costs).await;
    assert!(!found(&canary, &traces.iter().collect::<Vec<_>>()).is_empty(), "traces are searched");
    let everything: Vec<&Document> = answers
        .iter()
        .chain(&admin)
        .chain(&written)
        .chain(&outcomes)
        .chain(&log)
        .chain(&traces)
        .collect();
    let leaks = found(&secrets(&fixture), &everything);
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));

    // The contents of jobs belong into queues and answers, and nowhere else.
    let business = [SearchTerm::new("an e-mail address", EMAIL), SearchTerm::new("a name", NAME)];
    let leaks = found(&business, &log.iter().chain(&admin).chain(&traces).collect::<Vec<_>>());
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
    assert!(fixture.keys.path().join("client.key").is_file(), "the key file is still there");
}
