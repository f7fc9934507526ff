//! Secrets go where they belong, and are found nowhere else.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hoth::domain::Digest;
use reqwest::Method;
use serde_json::json;

use crate::auth;
use crate::auth::Signed;
use crate::csp;
use crate::csp::Answer;
use crate::harness::ServiceNow;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::client;
use crate::harness::job;

const BEARER: &str = "token/of+ServiceNow=1";
const API_KEY: &str = "key/of+CSP_KEY=2";
const PASSWORD: &str = "pass/word+of CSP_BASIC=3";

/// A secret in all the forms that it could have been written in. Base64 says
/// the same in three ways, by where in a longer text it stands.
fn spellings(secret: &str) -> Vec<String> {
    let percent: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let query = secret.bytes().map(|byte| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let bytes = format!("{:?}", secret.as_bytes());
    let json = json!(secret).to_string();
    let mut all = vec![
        secret.to_owned(),
        json.trim_matches('"').to_owned(),
        percent,
        query.collect(),
        hex.to_uppercase(),
        hex,
        bytes.trim_matches(['[', ']']).to_owned(),
        secret.chars().rev().collect(),
    ];
    for before in 0..3 {
        let encoded = STANDARD_NO_PAD.encode([&b"xx"[..before], secret.as_bytes()].concat());
        // What depends on the neighbours is left out.
        let own = &encoded[[0, 2, 3][before]..encoded.len() - 1];
        all.extend([own.to_owned(), own.replace('+', "-").replace('/', "_")]);
    }
    all
}

/// Every file below `folder`, as text.
fn files(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).expect("a folder can be read") {
        let path = entry.expect("an entry can be read").path();
        match path.is_dir() {
            true => files(&path, found),
            false => {
                let bytes = std::fs::read(&path).expect("a file can be read");
                found.push((path.display().to_string(), String::from_utf8_lossy(&bytes).into()));
            }
        }
    }
}

/// Two CSPs besides that of [`Setup::csp`]: one that is shown a key, and one
/// that is shown a password.
fn tables(csp: &mock_csp::MockCsp) -> String {
    let base = csp.base_url();
    let sha256 = Digest::of(BEARER.as_bytes());
    format!(
        r#"
[[auth.bearer]]
name = "snow"
role = "admin"
sha256 = "{sha256}"
[csp.CSP_KEY]
adapter = "atat"
base_url = "{base}"
[csp.CSP_KEY.api_key]
header = "x-api-key"
value = {{ env = "TEST_API_KEY" }}
[csp.CSP_BASIC]
adapter = "atat"
base_url = "{base}"
[csp.CSP_BASIC.basic]
username = "hoth"
password = {{ env = "TEST_PASSWORD" }}
"#
    )
}

/// What a CSP does to a job here, one after the other. Some gateways quote what
/// they did not like.
fn answers(csp: &str) -> Vec<Answer> {
    let quoting = match csp {
        "CSP_KEY" => json!({"error": "bad credentials", "x-api-key": API_KEY}),
        "CSP_BASIC" => {
            let pair = STANDARD.encode(format!("hoth:{PASSWORD}"));
            json!({"password": PASSWORD, "authorization": format!("Basic {pair}")})
        }
        _ => json!({"error": "bad credentials"}),
    };
    vec![
        Answer::json(200, &json!({"id": "p-1", "name": "n"})),
        Answer::json(400, &quoting),
        Answer::json(401, &quoting),
        Answer::json(500, &quoting),
        Answer::text(502, "x"),
        Answer::reset_after_read(),
        Answer::truncated(),
    ]
}

async fn run_everything(host: &TestHost, csp: &mock_csp::MockCsp, snow: &ServiceNow) -> String {
    let mut seen = String::new();
    for name in ["CSP_KEY", "CSP_BASIC", "CSP_TEST"] {
        for (n, answer) in answers(name).into_iter().enumerate() {
            csp.script([answer]);
            snow.provision(&job(&format!("{name}-{n}"), name, "ADD_PORTFOLIO")).await;
            seen.push_str(&snow.outcome().await.to_string());
        }
    }
    csp::script_tokens(csp, [Answer::json(400, &json!({"error": csp.client_secret()}))]);
    // Another scope, for which there is no token yet.
    let mut refused = job("refused", "CSP_TEST", "GET_PORTFOLIO");
    refused["portfolioId"] = json!("p-1");
    snow.provision(&refused).await;
    seen.push_str(&snow.outcome().await.to_string());
    let signed = Signed {
        method: "GET",
        target: "/provisioning-jobs",
        body: "",
        secret: auth::SECRET,
        declared: true,
        skew: 0,
    };
    assert_eq!(signed.send(host).await, (200, "[]".to_owned()));
    seen
}

#[tokio::test]
async fn no_secret_is_found_where_it_does_not_belong() {
    let secrets = tempfile::tempdir().expect("a temporary folder can be made");
    let file = secrets.path().join("secret");
    std::fs::write(&file, auth::SECRET).expect("a file can be written");
    let csp = csp::sync().await;
    let host = Setup::new()
        .csp("CSP_TEST", &csp)
        .with(&tables(&csp))
        .with(&auth::signer("write", &file))
        .environment("TEST_API_KEY", API_KEY)
        .environment("TEST_PASSWORD", PASSWORD)
        .environment("HOTH_TEST_LOG", "trace")
        .start()
        .await;
    let snow = ServiceNow::at(client(), host.api(), Some(BEARER));
    let mut places = vec![("messages".to_owned(), run_everything(&host, &csp, &snow).await)];

    let operator = ServiceNow::at(client(), host.admin(), Some(BEARER));
    for path in
        ["/metrics", "/csps", "/adapters", "/queues", "/queues/provisioning-jobs/dead-letters"]
    {
        let answer = operator.send(Method::GET, path, None).await;
        assert_eq!(answer.status, 200, "{path}");
        places.push((path.to_owned(), answer.text));
    }
    files(host.directory(), &mut places);
    let log: Vec<String> = host.log().iter().map(ToString::to_string).collect();
    places.push(("log".to_owned(), log.join("\n")));

    let calls = csp::calls(&csp);
    let shown = |name: &str, value: &str| {
        calls.iter().any(|call| csp::header(call, name).is_some_and(|shown| shown.contains(value)))
    };
    assert!(shown("x-api-key", API_KEY) && shown("authorization", "Basic "), "both were used");
    let authorization = |call: &std::sync::Arc<mock_csp::Call>| csp::header(call, "authorization");
    let tokens = calls.iter().filter_map(authorization);
    let tokens: Vec<String> =
        tokens.filter_map(|value| Some(value.strip_prefix("Bearer ")?.to_owned())).collect();
    assert!(!tokens.is_empty(), "a token was used");

    let known = [BEARER, API_KEY, PASSWORD, auth::SECRET, csp.client_secret()];
    for secret in known.into_iter().chain(tokens.iter().map(String::as_str)) {
        for (place, text) in &places {
            for spelling in spellings(secret) {
                assert!(!text.contains(&spelling), "{place} holds {secret} as {spelling}");
            }
        }
    }
    let (_, log) = places.last().expect("the log is there");
    assert!(log.contains("hyper") && log.contains("CSP_BASIC-1"), "the log holds everything");
}
