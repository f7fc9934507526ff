//! Connections to a CSP: trusted authorities, client certificates, proxies and
//! timeouts.

use expect_test::expect;

use super::server::Act;
use super::server::Server;
use super::server::answer;
use super::tls_server::Authority;
use super::tls_server::NAME;
use super::tls_server::Proxy;
use super::tls_server::TlsServer;
use super::*;

const LOCAL: &str = "private_networks = ['127.0.0.0/8']\n";

#[tokio::test]
async fn the_configured_authority_is_trusted_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (mine, other) = (Authority::new(), Authority::new());
    mine.write(&dir.path().join("mine.pem"));
    other.write(&dir.path().join("other.pem"));
    let csp = TlsServer::start(&mine, None).await;
    for (ca, expected) in [("mine", "200"), ("other", "tls")] {
        let more = format!("{LOCAL}tls.ca = '{}/{ca}.pem'", dir.path().display());
        let client = resolving("127.0.0.1", &csp.url(), &more);
        assert_eq!(exchange(&client, &get("/x"), &THRICE).await.outcome(), expected, "{ca}");
    }
    let machine = resolving("127.0.0.1", &csp.url(), LOCAL);
    let result = exchange(&machine, &get("/x"), &THRICE).await;
    assert_eq!((result.outcome().as_str(), result.calls), ("tls", 1));
    assert!(!result.failure().sent);
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.write(&dir.path().join("ca.pem"));
    let csp = TlsServer::start(&authority, None).await;
    let more = format!("{LOCAL}tls.ca = '{}/ca.pem'", dir.path().display());
    let url = csp.url().replace(NAME, "csp-b.example.com");
    let result = exchange(&resolving("127.0.0.1", &url, &more), &get("/x"), &THRICE).await;
    assert_eq!((result.outcome().as_str(), result.failure().sent), ("tls", false));
}

#[tokio::test]
async fn the_client_certificate_is_sent_on_request() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (servers, clients) = (Authority::new(), Authority::new());
    servers.write(&path("ca.pem"));
    clients.issue("hoth", &path("hoth.pem"), &path("hoth.key"));
    let csp = TlsServer::start(&servers, Some(&clients)).await;
    let tls = format!(
        "{LOCAL}[tls]\nca = '{0}/ca.pem'\ncertificate = '{0}/hoth.pem'\nkey = '{0}/hoth.key'",
        dir.path().display()
    );
    let known = resolving("127.0.0.1", &csp.url(), &tls);
    assert_eq!(exchange(&known, &get("/x"), &THRICE).await.outcome(), "200");

    let more = format!("{LOCAL}tls.ca = '{}/ca.pem'", dir.path().display());
    let stranger = resolving("127.0.0.1", &csp.url(), &more);
    assert_ne!(exchange(&stranger, &get("/x"), &RetryPolicy::ONCE).await.outcome(), "200");
}

#[tokio::test]
async fn changed_certificates_take_effect_and_broken_ones_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    let (old, new) = (Authority::new(), Authority::new());
    old.write(&ca);
    let (before, after) = (TlsServer::start(&old, None).await, TlsServer::start(&new, None).await);
    let more = format!("{LOCAL}tls.ca = '{}'", ca.display());
    let client = resolving("127.0.0.1", &after.url(), &more);
    assert_eq!(exchange(&client, &get("/x"), &THRICE).await.outcome(), "tls");

    std::fs::write(&ca, "half a certif").unwrap();
    client.0.http.reload_if_changed();
    assert_eq!(exchange(&client, &get("/x"), &THRICE).await.outcome(), "tls");
    std::fs::write(&ca, [std::fs::read(&ca).unwrap(), b"icate\n".to_vec()].concat()).unwrap();
    client.0.http.reload_if_changed();
    new.write(&ca);
    client.0.http.reload_if_changed();
    assert_eq!(exchange(&client, &get("/x"), &THRICE).await.outcome(), "200");

    let former = resolving("127.0.0.1", &before.url(), &more);
    assert_eq!(exchange(&former, &get("/x"), &THRICE).await.outcome(), "tls");
}

#[tokio::test]
async fn an_unusable_tls_file_prevents_the_start() {
    let more = "tls.ca = '/nowhere/ca.pem'";
    let refused = Client::build(&"CSP_A".parse().unwrap(), &config("https://h", more));
    expect!["cannot read the file `/nowhere/ca.pem`"].assert_eq(&refused.unwrap_err().to_string());
}

/// Returns a client whose resolver refuses every name, so that only calls
/// through the proxy succeed.
fn proxied(proxy: &Proxy, csp: &str, ca: &Path) -> Client {
    let more = format!("proxy = 'http://127.0.0.1:{}'\ntls.ca = '{}'", proxy.port, ca.display());
    resolving("10.0.0.1", csp, &more)
}

#[tokio::test]
async fn a_proxy_gets_the_name_to_resolve_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    let authority = Authority::new();
    authority.write(&ca);
    let csp = TlsServer::start(&authority, None).await;
    let proxy = Proxy::start(None).await;
    let client = proxied(&proxy, &csp.url(), &ca);
    assert_eq!(exchange(&client, &get("/secret"), &THRICE).await.outcome(), "200");
    let target = format!("{NAME}:{}", csp.port);
    let seen = proxy.heads().concat();
    assert_eq!(seen, format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"));
}

#[tokio::test]
async fn a_request_is_unsent_if_its_proxy_refuses_to_connect() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    Authority::new().write(&ca);
    for (refusal, expected) in [
        (
            "HTTP/1.1 403 Forbidden\r\n\r\n",
            "cannot connect to CSP_A through its proxy: tunnel error: unsuccessful (3 calls made)",
        ),
        (
            "HTTP/1.1 407 Who are you\r\n\r\n",
            "cannot connect to CSP_A through its proxy: tunnel error: proxy authorization required (3 calls made)",
        ),
        (
            "",
            "cannot connect to CSP_A through its proxy: tunnel error: unexpected end of file (3 calls made)",
        ),
    ] {
        let proxy = Proxy::start(Some(refusal)).await;
        let client = proxied(&proxy, "https://csp-a.example.com", &ca);
        let result = exchange(&client, &get("/x"), &THRICE).await;
        let failure = result.failure();
        assert_eq!((failure.code.as_str(), failure.sent), ("connect", false), "{refusal}");
        assert_eq!(failure.message, expected);
    }
}

#[tokio::test]
async fn a_request_is_unsent_if_its_proxy_is_unreachable_or_private() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    Authority::new().write(&ca);
    let closed = server::ClosedPort::bind();
    let more = format!("proxy = '{}'\ntls.ca = '{}'", closed.url(), ca.display());
    let client = resolving("10.0.0.1", "https://csp-a.example.com", &more);
    let result = exchange(&client, &get("/x"), &THRICE).await;
    expect!["cannot connect to CSP_A through its proxy: connection refused (3 calls made)"]
        .assert_eq(&result.failure().message);

    let more = format!("proxy = 'http://proxy.example.com'\ntls.ca = '{}'", ca.display());
    let client = resolving("10.0.0.1", "https://csp-a.example.com", &more);
    let result = exchange(&client, &get("/x"), &THRICE).await;
    expect!["CSP_A cannot be called: `proxy.example.com` resolves to 10.0.0.1, which is private and not in `private_networks`"]
        .assert_eq(&result.failure().message);
}

#[tokio::test]
async fn calls_to_loopback_bypass_the_proxy() {
    let proxy = Proxy::start(None).await;
    let csp = Server::start([answer(200, "", "")]).await;
    let client = client(&csp.url(), &format!("proxy = 'http://127.0.0.1:{}'", proxy.port));
    assert_eq!(exchange(&client, &get("/x"), &THRICE).await.outcome(), "200");
    assert!(proxy.heads().is_empty());
}

#[tokio::test]
async fn the_header_has_a_timeout_of_its_own() {
    let impatient = "timeout_ms = 60000\nheader_timeout_ms = 1000";
    let csp = Server::start([Act::Hang(Vec::new())]).await;
    let result = exchange(&client(&csp.url(), impatient), &get("/x"), &RetryPolicy::ONCE).await;
    let failure = result.failure();
    expect!["CSP_A did not begin to respond within 1000 ms (`header_timeout_ms`) (1 call made)"]
        .assert_eq(&failure.message);
    assert_eq!((failure.code.as_str(), failure.sent), ("timeout", true));

    // A response that has begun may take longer.
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(1));
    let mut incomplete = server::bytes(200, "", "0123456789");
    incomplete.truncate(incomplete.len() - 5);
    let csp = Server::start([Act::Gated(gate, incomplete)]).await;
    let both = "header_timeout_ms = 1000\ntimeout_ms = 2000";
    let result = exchange(&client(&csp.url(), both), &get("/x"), &RetryPolicy::ONCE).await;
    expect!["CSP_A did not respond within 2000 ms (1 call made)"]
        .assert_eq(&result.failure().message);
}
