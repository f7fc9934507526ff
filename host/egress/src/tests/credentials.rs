//! Keys, passwords and named credentials: sending them, and masking them in
//! responses.

use std::path::Path;

use expect_test::expect;

use super::server::Server;
use super::server::answer;
use super::tokens::SECRET;
use super::tokens::oauth2;
use super::*;

/// Writes a secret to a file. Returns the source for the configuration.
fn secret(dir: &Path, name: &str, value: &str) -> String {
    let file = dir.join(name);
    std::fs::write(&file, value).unwrap();
    format!("{{ file = '{}' }}", file.display())
}

fn with(credential: &str) -> HttpRequest {
    HttpRequest { credential: named(credential), ..get("/x") }
}

/// Returns the lines of the last request that could carry a credential.
fn shown(csp: &Server) -> Vec<String> {
    let request = csp.requests().pop().unwrap();
    let carries = |line: &&str| line.starts_with("authorization") || line.starts_with("x-");
    request.lines().filter(carries).map(str::to_owned).collect()
}

#[tokio::test]
async fn an_api_key_is_sent_in_its_header() {
    let dir = tempfile::tempdir().unwrap();
    let value = secret(dir.path(), "key", "k-12345678\n");
    let csp = Server::start([answer(200, "", "")]).await;
    for (header, line) in
        [("X-Api-Key", "x-api-key: k-12345678"), ("Authorization", "authorization: k-12345678")]
    {
        let more = format!("api_key = {{ header = '{header}', value = {value} }}");
        let client = client(&csp.url(), &more);
        assert_eq!(exchange(&client, &get("/x"), &THRICE).await.outcome(), "200");
        assert_eq!(shown(&csp), [line]);
    }
}

#[tokio::test]
async fn a_user_name_and_a_password_are_sent_as_basic_credentials() {
    let dir = tempfile::tempdir().unwrap();
    let password = secret(dir.path(), "password", "p:ä ss");
    let csp = Server::start([answer(200, "", "")]).await;
    let more = format!("basic = {{ username = 'Aladdin', password = {password} }}");
    exchange(&client(&csp.url(), &more), &get("/x"), &THRICE).await;
    // Aladdin:p:ä ss
    assert_eq!(shown(&csp), ["authorization: Basic QWxhZGRpbjpwOsOkIHNz"]);
}

#[tokio::test]
async fn an_adapter_selects_a_credential_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let (key, password) = (secret(dir.path(), "k", "k-1"), secret(dir.path(), "p", "p-1"));
    let token = answer(200, "", r#"{"access_token": "t-1", "expires_in": 3600}"#);
    let idp = Server::start([token]).await;
    let csp = Server::start([answer(200, "", "")]).await;
    let more = format!(
        "named_credentials = ['billing', 'reports', 'other']
        api_key = {{ header = 'X-Key', value = {key} }}
        [credentials.billing]
        basic = {{ username = 'me', password = {password} }}
        [credentials.reports]
        {}
        [credentials.other]
        api_key = {{ header = 'X-Other', value = {key} }}",
        oauth2(&idp.url(), SECRET)
    );
    let client = client(&csp.url(), &more);
    for (request, line) in [
        (get("/x"), "x-key: k-1"),
        (with("billing"), "authorization: Basic bWU6cC0x"),
        (with("reports"), "authorization: Bearer t-1"),
        (with("other"), "x-other: k-1"),
    ] {
        assert_eq!(exchange(&client, &request, &THRICE).await.outcome(), "200");
        assert_eq!(shown(&csp), [line]);
    }
    assert!(client.has_credential("billing") && !client.has_credential("default"));

    let unsigned = HttpRequest { credential: CredentialChoice::None, ..get("/x") };
    assert_eq!(exchange(&client, &unsigned, &THRICE).await.outcome(), "200");
    assert!(shown(&csp).is_empty());

    let calls = csp.calls();
    let result = exchange(&client, &with("Billing"), &THRICE).await;
    expect![[r#"HOTH refused the request to CSP_A: it asks for the credential "Billing", and there is no `[csp.CSP_A.credentials.Billing]`"#]]
        .assert_eq(&result.failure().message);
    assert_eq!((result.outcome().as_str(), csp.calls()), ("request-refused", calls));
}

/// Returns the line of the credential with which a request arrived at the host
/// of a label, or the message of its refusal.
async fn arrived(more: &str, target: Target, credential: CredentialChoice) -> String {
    let csp = Server::start([answer(200, "", "")]).await;
    let port = csp.url().rsplit_once(':').unwrap().1.to_owned();
    let (more, base) = (more.replace("PORT", &port), format!("http://base.localhost:{port}"));
    let client = resolving("127.0.0.1", &base, &more);
    let target = match target {
        Target::Location(location) => Target::Location(location.replace("PORT", &port)),
        target @ (Target::Path(_) | Target::Endpoint(_)) => target,
    };
    let request = HttpRequest { credential, ..request(Method::Get, target) };
    let result = exchange(&client, &request, &THRICE).await;
    if result.outcome() != "200" {
        assert_eq!(csp.connections(), 0);
        return result.failure().message.clone();
    }
    let lines = csp.requests().pop().unwrap();
    let host = lines.lines().find(|line| line.starts_with("host: ")).unwrap().to_owned();
    let host = host.trim_start_matches("host: ").trim_end_matches(&format!(":{port}"));
    format!("{host} {}", shown(&csp).join(" "))
}

#[tokio::test]
async fn a_credential_goes_only_to_the_places_that_name_it() {
    let dir = tempfile::tempdir().unwrap();
    let key = secret(dir.path(), "k", "k-1");
    let api_key = |header: &str| format!("api_key = {{ header = '{header}', value = {key} }}");
    let more = format!(
        "named_credentials = ['reports']
        allowed_origins = ['http://allowed.localhost:PORT']
        {}
        [endpoints.same]
        url = 'http://same.localhost:PORT/v1'
        [endpoints.open]
        url = 'http://open.localhost:PORT'
        credential = 'none'
        named_credentials = ['member']
        [endpoints.regional]
        url = 'http://{{region}}.r.localhost:PORT'
        credential = 'costs'
        [credentials]
        reports.{}
        costs.{}
        member.{}",
        api_key("X-Default"),
        api_key("X-Reports"),
        api_key("X-Costs"),
        api_key("X-Member"),
    );
    let endpoint = |endpoint: &str, parameters: &[(&str, &str)]| {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let parameters = parameters.iter().map(owned).collect();
        let (endpoint, path) = (endpoint.to_owned(), "/x".to_owned());
        Target::Endpoint(EndpointPath { endpoint, path, parameters })
    };
    let path = || Target::Path("/x".to_owned());
    let at = |label: &str| Target::Location(format!("http://{label}.localhost:PORT/9"));
    let region = || endpoint("regional", &[("region", "east-1")]);
    let refused = |name: &str, place: &str| {
        format!(
            "HOTH refused the request to CSP_A: it asks for the credential \"{name}\" at {place}, \
             where no `named_credentials` of `[csp.CSP_A]` list it"
        )
    };
    for (target, credential, expected) in [
        (path(), CredentialChoice::Default, "base.localhost x-default: k-1".to_owned()),
        (path(), named("reports"), "base.localhost x-reports: k-1".to_owned()),
        (path(), named("costs"), refused("costs", "`base_url`")),
        (path(), CredentialChoice::None, "base.localhost ".to_owned()),
        (endpoint("same", &[]), CredentialChoice::Default, "same.localhost x-default: k-1".into()),
        (endpoint("open", &[]), CredentialChoice::Default, "open.localhost ".to_owned()),
        (endpoint("open", &[]), named("member"), "open.localhost x-member: k-1".to_owned()),
        (endpoint("open", &[]), named("reports"), refused("reports", "the endpoint \"open\"")),
        (region(), CredentialChoice::Default, "east-1.r.localhost x-costs: k-1".to_owned()),
        (region(), named("costs"), "east-1.r.localhost x-costs: k-1".to_owned()),
        (region(), CredentialChoice::None, "east-1.r.localhost ".to_owned()),
        (at("west-2.r"), CredentialChoice::Default, "west-2.r.localhost x-costs: k-1".to_owned()),
        (at("open"), CredentialChoice::Default, "open.localhost ".to_owned()),
        (at("allowed"), CredentialChoice::Default, "allowed.localhost ".to_owned()),
        (at("allowed"), named("member"), refused("member", "one of the `allowed_origins`")),
    ] {
        let what = format!("{target:?} {credential:?}");
        assert_eq!(arrived(&more, target, credential).await, expected, "{what}");
    }
}

#[tokio::test]
async fn an_adapter_cannot_set_the_header_of_a_credential() {
    let dir = tempfile::tempdir().unwrap();
    let key = secret(dir.path(), "k", "k-1");
    let csp = Server::start([answer(200, "", "")]).await;
    let more = format!(
        "named_credentials = ['other']
        credentials.other.api_key = {{ header = 'X-Other', value = {key} }}"
    );
    let request = HttpRequest { headers: vec![("x-OTHER".into(), "mine".into())], ..get("/x") };
    let result = exchange(&client(&csp.url(), &more), &request, &THRICE).await;
    expect!["HOTH refused the request to CSP_A: the header `x-other` is reserved for the host"]
        .assert_eq(&result.failure().message);
    assert_eq!(csp.connections(), 0);
}

#[tokio::test]
async fn a_replaced_key_is_read_again_after_a_401() {
    let dir = tempfile::tempdir().unwrap();
    let key = secret(dir.path(), "k", "old");
    let csp = Server::start([answer(401, "", ""), answer(401, "", ""), answer(200, "", "")]).await;
    let client = client(&csp.url(), &format!("api_key = {{ header = 'X-Key', value = {key} }}"));
    let result = exchange(&client, &get("/x"), &THRICE).await;
    assert_eq!(
        (result.outcome().as_str(), result.calls),
        ("401", 1),
        "the key is still the refused one"
    );

    secret(dir.path(), "k", "new");
    let result = exchange(&client, &get("/x"), &THRICE).await;
    assert_eq!((result.outcome().as_str(), result.calls), ("200", 2));
    assert_eq!(shown(&csp), ["x-key: new"]);
}

#[tokio::test]
async fn a_key_file_that_does_not_answer_takes_one_thread_of_all() {
    /// More than the threads for blocking work.
    const CALLS: usize = 600;
    let dir = tempfile::tempdir().unwrap();
    // A pipe without a writer blocks its reader, as a network mount may.
    let pipe = dir.path().join("key");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let csp = Server::start([answer(200, "", "")]).await;
    let source = format!("{{ file = '{}' }}", pipe.display());
    let key = format!("api_key = {{ header = 'X-Key', value = {source} }}");
    let client = client(&csp.url(), &format!("max_concurrent = {CALLS}\n{key}"));
    let call = || {
        let client = client.clone();
        tokio::spawn(async move { exchange(&client, &get("/x"), &THRICE).await.outcome() })
    };
    let calls: Vec<_> = (0..CALLS).map(|_| call()).collect();
    // Lets every call begin.
    for _ in 0..CALLS {
        tokio::task::yield_now().await;
    }
    let other = tokio::time::timeout(PATIENCE, tokio::task::spawn_blocking(|| true)).await;
    assert!(other.expect("the shared threads are free").unwrap());

    std::thread::spawn(move || std::fs::write(pipe, "k-12345678"));
    for call in calls {
        assert_eq!(call.await.unwrap(), "200");
    }
}

#[tokio::test]
async fn an_unusable_secret_prevents_the_call() {
    let dir = tempfile::tempdir().unwrap();
    let bad = secret(dir.path(), "bad", "two\nlines");
    let csp = Server::start([answer(200, "", "")]).await;
    let check = async |more: String, expected: expect_test::Expect| {
        let result = exchange(&client(&csp.url(), &more), &get("/x"), &THRICE).await;
        let failure = result.failure();
        assert_eq!((failure.code.as_str(), failure.sent), ("token-unavailable", false));
        expected.assert_eq(&failure.message);
    };
    check(
        "basic = { username = 'me', password = { file = '/nowhere/at/all' } }".to_owned(),
        expect!["the password for CSP_A cannot be read (3 tries)"],
    )
    .await;
    check(
        format!("api_key = {{ header = 'X-Key', value = {bad} }}"),
        expect!["the API key for CSP_A cannot be sent in a header (3 tries)"],
    )
    .await;
    assert_eq!(csp.connections(), 0);
}

#[tokio::test]
async fn a_credential_is_masked_in_the_response_that_quotes_it() {
    let dir = tempfile::tempdir().unwrap();
    let password = secret(dir.path(), "p", "hunter2hunter2");
    let encoded = "bWU6aHVudGVyMmh1bnRlcjI=";
    let headers = format!("x-echo: Basic {encoded}\r\nlocation: /9?p=hunter2hunter2\r\n");
    let body = format!(r#"{{"e": "bad header 'Basic {encoded}' (me:hunter2hunter2)"}}"#);
    let csp = Server::start([answer(202, &headers, &body)]).await;
    let more = format!("basic = {{ username = 'me', password = {password} }}");
    let result = exchange(&client(&csp.url(), &more), &get("/x"), &THRICE).await;
    let response = result.response();
    assert_eq!(&response.body[..], br#"{"e": "bad header 'Basic ***' (me:***)"}"#);
    assert_eq!(response.header("x-echo"), Some("Basic ***"));
    assert_eq!(response.header("location"), Some(&*format!("{}/9?p=***", csp.url())));
    for secret in ["hunter2", encoded] {
        assert!(!format!("{result:?}").contains(secret));
    }
}
