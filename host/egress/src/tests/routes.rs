//! How a CSP is reached: trust, certificates of our own, proxies, and how long
//! each part may take.

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
        assert_eq!(exchange(&client, &get("/x"), &THRICE).await.word(), expected, "{ca}");
    }
    let machine = resolving("127.0.0.1", &csp.url(), LOCAL);
    let exchanged = exchange(&machine, &get("/x"), &THRICE).await;
    assert_eq!((exchanged.word().as_str(), exchanged.calls), ("tls", 1));
    assert!(!exchanged.failure().sent);
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_enough() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.write(&dir.path().join("ca.pem"));
    let csp = TlsServer::start(&authority, None).await;
    let more = format!("{LOCAL}tls.ca = '{}/ca.pem'", dir.path().display());
    let url = csp.url().replace(NAME, "csp-b.example.com");
    let exchanged = exchange(&resolving("127.0.0.1", &url, &more), &get("/x"), &THRICE).await;
    assert_eq!((exchanged.word().as_str(), exchanged.failure().sent), ("tls", false));
}

#[tokio::test]
async fn a_csp_that_asks_who_calls_is_shown_the_certificate() {
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
    assert_eq!(exchange(&known, &get("/x"), &THRICE).await.word(), "200");

    let more = format!("{LOCAL}tls.ca = '{}/ca.pem'", dir.path().display());
    let stranger = resolving("127.0.0.1", &csp.url(), &more);
    assert_ne!(exchange(&stranger, &get("/x"), &RetryPolicy::ONCE).await.word(), "200");
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
    assert_eq!(exchange(&client, &get("/x"), &THRICE).await.word(), "tls");

    std::fs::write(&ca, "half a certif").unwrap();
    client.0.http.look();
    assert_eq!(exchange(&client, &get("/x"), &THRICE).await.word(), "tls");
    std::fs::write(&ca, [std::fs::read(&ca).unwrap(), b"icate\n".to_vec()].concat()).unwrap();
    client.0.http.look();
    new.write(&ca);
    client.0.http.look();
    assert_eq!(exchange(&client, &get("/x"), &THRICE).await.word(), "200");

    let former = resolving("127.0.0.1", &before.url(), &more);
    assert_eq!(exchange(&former, &get("/x"), &THRICE).await.word(), "tls");
}

#[tokio::test]
async fn files_that_cannot_be_used_are_found_at_the_start() {
    let more = "tls.ca = '/nowhere/ca.pem'";
    let refused = Client::build(&"CSP_A".parse().unwrap(), &config("https://h", more));
    expect!["the file `/nowhere/ca.pem` cannot be read"]
        .assert_eq(&refused.unwrap_err().to_string());
}

/// A client that would be refused every name, if it resolved one.
fn proxied(proxy: &Proxy, csp: &str, ca: &std::path::Path) -> Client {
    let more = format!("proxy = 'http://127.0.0.1:{}'\ntls.ca = '{}'", proxy.port, ca.display());
    resolving("10.0.0.1", csp, &more)
}

#[tokio::test]
async fn a_proxy_resolves_the_name_and_sees_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    let authority = Authority::new();
    authority.write(&ca);
    let csp = TlsServer::start(&authority, None).await;
    let proxy = Proxy::start(None).await;
    let client = proxied(&proxy, &csp.url(), &ca);
    assert_eq!(exchange(&client, &get("/secret"), &THRICE).await.word(), "200");
    let target = format!("{NAME}:{}", csp.port);
    let seen = proxy.heads().concat();
    assert_eq!(seen, format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"));
}

#[tokio::test]
async fn a_proxy_that_does_not_connect_means_unsent() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    Authority::new().write(&ca);
    for (refusal, expected) in [
        (
            "HTTP/1.1 403 Forbidden\r\n\r\n",
            "CSP_A could not be reached through its proxy: tunnel error: unsuccessful (3 calls made)",
        ),
        (
            "HTTP/1.1 407 Who are you\r\n\r\n",
            "CSP_A could not be reached through its proxy: tunnel error: proxy authorization required (3 calls made)",
        ),
        (
            "",
            "CSP_A could not be reached through its proxy: tunnel error: unexpected end of file (3 calls made)",
        ),
    ] {
        let proxy = Proxy::start(Some(refusal)).await;
        let client = proxied(&proxy, "https://csp-a.example.com", &ca);
        let exchanged = exchange(&client, &get("/x"), &THRICE).await;
        let failure = exchanged.failure();
        assert_eq!((failure.code.as_str(), failure.sent), ("connect", false), "{refusal}");
        assert_eq!(failure.message, expected);
    }
}

#[tokio::test]
async fn a_proxy_that_is_gone_or_private_means_unsent() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    Authority::new().write(&ca);
    let closed = server::ClosedPort::bind();
    let more = format!("proxy = '{}'\ntls.ca = '{}'", closed.url(), ca.display());
    let client = resolving("10.0.0.1", "https://csp-a.example.com", &more);
    let exchanged = exchange(&client, &get("/x"), &THRICE).await;
    expect!["CSP_A could not be reached through its proxy: connection refused (3 calls made)"]
        .assert_eq(&exchanged.failure().message);

    let more = format!("proxy = 'http://proxy.example.com'\ntls.ca = '{}'", ca.display());
    let client = resolving("10.0.0.1", "https://csp-a.example.com", &more);
    let exchanged = exchange(&client, &get("/x"), &THRICE).await;
    expect!["CSP_A cannot be called: `proxy.example.com` resolves to 10.0.0.1, which is private and not in `private_networks`"]
        .assert_eq(&exchanged.failure().message);
}

#[tokio::test]
async fn what_is_on_this_machine_needs_no_proxy() {
    let proxy = Proxy::start(None).await;
    let csp = Server::start([answer(200, "", "")]).await;
    let client = client(&csp.url(), &format!("proxy = 'http://127.0.0.1:{}'", proxy.port));
    assert_eq!(exchange(&client, &get("/x"), &THRICE).await.word(), "200");
    assert!(proxy.heads().is_empty());
}

#[tokio::test]
async fn the_first_byte_may_have_a_bound_of_its_own() {
    let impatient = "timeout_ms = 60000\nheader_timeout_ms = 1000";
    let csp = Server::start([Act::Hang(Vec::new())]).await;
    let exchanged = exchange(&client(&csp.url(), impatient), &get("/x"), &RetryPolicy::ONCE).await;
    let failure = exchanged.failure();
    expect!["CSP_A did not begin to answer within 1000 ms (`header_timeout_ms`) (1 call made)"]
        .assert_eq(&failure.message);
    assert_eq!((failure.code.as_str(), failure.sent), ("timeout", true));

    // One that has begun may take longer.
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(1));
    let mut slow = server::bytes(200, "", "0123456789");
    slow.truncate(slow.len() - 5);
    let csp = Server::start([Act::Gated(gate, slow)]).await;
    let both = "header_timeout_ms = 1000\ntimeout_ms = 2000";
    let exchanged = exchange(&client(&csp.url(), both), &get("/x"), &RetryPolicy::ONCE).await;
    expect!["CSP_A did not answer within 2000 ms (1 call made)"]
        .assert_eq(&exchanged.failure().message);
}
