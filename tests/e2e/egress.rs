//! Limits of outgoing requests, which no CSP, adapter, name server or
//! environment variable can lift.

use std::net::ToSocketAddrs as _;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::csp;
use crate::csp::Answer;
use crate::harness::Setup;
use crate::harness::job;

/// Binds a listener that must not be called, and returns it with its port.
async fn trap() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    (listener, port)
}

/// Returns `true` if there was a call. It would have been made before the job's
/// outcome was there, and wait in the listener's queue.
async fn was_called(trap: &TcpListener) -> bool {
    std::future::poll_fn(|context| std::task::Poll::Ready(trap.poll_accept(context).is_ready()))
        .await
}

#[tokio::test]
async fn a_proxy_in_the_environment_is_not_used() {
    let csp = csp::sync().await;
    let (trap, port) = trap().await;
    let proxy = format!("http://127.0.0.1:{port}");
    let mut setup = Setup::new().csp("CSP_TEST", &csp);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        setup = setup.environment(name, &proxy).environment(&name.to_lowercase(), &proxy);
    }
    let outcome = setup.run(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    assert_eq!(outcome.code(), 200);
    assert!(!was_called(&trap).await, "the token or the call went through the proxy");
}

#[tokio::test]
async fn a_location_in_a_private_network_is_not_followed() {
    let csp = csp::sync().await;
    let (trap, port) = trap().await;
    let host = Setup::new().csp("CSP_TEST", &csp).start().await;
    let snow = host.servicenow();
    let own = csp::origin(&csp).trim_start_matches("http://").to_owned();
    let locations = [
        format!("http://127.0.0.1:{port}/"),
        format!("http://localhost:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://0x7f.1:{port}/"),
        format!("http://0177.0.0.1:{port}/"),
        format!("http://0.0.0.0:{port}/"),
        format!("http://[::1]:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://[64:ff9b::7f00:1]:{port}/"),
        format!("//127.0.0.1:{port}/"),
        format!("\\\\127.0.0.1:{port}\\"),
        format!("http://{own}@127.0.0.1:{port}/"),
        format!("http://127.0.0.1:{port}#@{own}/"),
        format!("https://{own}/"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://[fd00:ec2::254]/latest/meta-data/".to_owned(),
        "file:///etc/passwd".to_owned(),
        "gopher://127.0.0.1/".to_owned(),
    ];
    for (n, location) in locations.iter().enumerate() {
        csp.script([Answer::json(202, &serde_json::json!({})).header("location", location)]);
        snow.provision(&job(&format!("job-{n}"), "CSP_TEST", "ADD_PORTFOLIO")).await;
        let message = snow.outcome().await;
        let details = &message.response()["details"];
        let expected = "Location header was invalid or not provided";
        assert_eq!((&message["code"], details), (&500.into(), &expected.into()), "{location}");
    }
    assert_eq!(csp::calls(&csp).len(), locations.len(), "nothing was polled");
    assert!(!was_called(&trap).await, "a location led elsewhere");
}

/// Returns a name, other than those of loopback, that this machine resolves to
/// an address of its own or of a private network.
fn neighbour() -> String {
    let hosts = std::fs::read_to_string("/etc/hosts").expect("every Linux has one");
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
    let named = lines.flat_map(|line| line.split_whitespace().skip(1));
    let is_private = |name: &&str| {
        !name.contains("localhost")
            && (*name, 0).to_socket_addrs().is_ok_and(|found| {
                let found: Vec<_> = found.collect();
                !found.is_empty() && found.iter().all(|address| is_near(address.ip()))
            })
    };
    let name = named.into_iter().find(is_private);
    name.expect("the machine's own name stands in /etc/hosts").to_owned()
}

fn is_near(address: std::net::IpAddr) -> bool {
    match address {
        std::net::IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        std::net::IpAddr::V6(v6) => v6.is_loopback() || v6.is_multicast() || v6.is_unique_local(),
    }
}

#[tokio::test]
async fn a_name_that_resolves_to_a_private_network_is_not_called() {
    let csp = csp::sync().await;
    let name = neighbour();
    let base = format!("https://{name}:{}", csp::origin(&csp).rsplit(':').next().expect("a port"));
    let token = csp.token_url().to_string();
    let message = Setup::new()
        .csp_at("CSP_TEST", &base, &token, &csp, "")
        .run(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO"))
        .await;
    let details = message.response()["details"].as_str().expect("text").to_owned();
    assert!(
        details.contains(&format!("`{name}` resolves to "))
            && details.contains("which is private and not in `private_networks`"),
        "{details}"
    );
    assert_eq!(csp::calls(&csp).len(), 0);
}

/// A TLS proxy in front of a CSP that speaks plain HTTP. It demands a client
/// certificate.
struct TlsProxy {
    port: u16,
    folder: tempfile::TempDir,
}

impl TlsProxy {
    async fn before(csp: &mock_csp::MockCsp) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let server = self_signed("localhost");
        let client = self_signed("hoth");
        let mut trusted = RootCertStore::empty();
        trusted.add(client.cert.der().clone()).expect("a certificate");
        let verifier = WebPkiClientVerifier::builder(Arc::new(trusted)).build();
        let key = PrivateKeyDer::try_from(server.signing_key.serialize_der()).expect("a key");
        let config = ServerConfig::builder()
            .with_client_cert_verifier(verifier.expect("a verifier"))
            .with_single_cert(vec![server.cert.der().clone()], key)
            .expect("a pair");
        for (name, text) in [
            ("ca.pem", server.cert.pem()),
            ("hoth.pem", client.cert.pem()),
            ("hoth.key", client.signing_key.serialize_pem()),
        ] {
            std::fs::write(folder.path().join(name), text).expect("a file can be written");
        }
        let (listener, port) = trap().await;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let behind = csp::origin(csp).trim_start_matches("http://").to_owned();
        tokio::spawn(async move {
            while let Ok((outside, _)) = listener.accept().await {
                let (acceptor, behind) = (acceptor.clone(), behind.clone());
                tokio::spawn(async move {
                    let Ok(mut outside) = acceptor.accept(outside).await else { return };
                    let mut inside = TcpStream::connect(behind).await.expect("the CSP listens");
                    let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
                });
            }
        });
        Self { port, folder }
    }

    /// Returns the lines of a CSP's table.
    fn table(&self, name: &str, files: &[(&str, &str)]) -> String {
        let file = |(key, file): &(&str, &str)| {
            format!("{key} = \"{}\"\n", self.folder.path().join(file).display())
        };
        let files: String = files.iter().map(file).collect();
        format!("[csp.{name}.tls]\n{files}")
    }
}

fn self_signed(name: &str) -> rcgen::CertifiedKey<rcgen::KeyPair> {
    rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate can be made")
}

#[tokio::test]
async fn a_csp_and_its_host_authenticate_each_other_with_the_configured_certificates() {
    let csp = csp::sync().await;
    let proxy = TlsProxy::before(&csp).await;
    let base = csp.base_url().to_string();
    let base = base.replace(csp::origin(&csp), &format!("https://localhost:{}", proxy.port));
    let token = csp.token_url().to_string();
    let all = [("ca", "ca.pem"), ("certificate", "hoth.pem"), ("key", "hoth.key")];
    let host = Setup::new()
        .csp_at("CSP_BOTH", &base, &token, &csp, "")
        .csp_at("CSP_STRANGER", &base, &token, &csp, "")
        .csp_at("CSP_NAMELESS", &base, &token, &csp, "")
        .with(&proxy.table("CSP_BOTH", &all))
        .with(&proxy.table("CSP_STRANGER", &[]))
        .with(&proxy.table("CSP_NAMELESS", &all[..1]))
        .start()
        .await;
    let snow = host.servicenow();
    for (name, good) in [("CSP_BOTH", true), ("CSP_STRANGER", false), ("CSP_NAMELESS", false)] {
        snow.provision(&job(&format!("job of {name}"), name, "ADD_PORTFOLIO")).await;
        let message = snow.outcome().await;
        assert_eq!(message["code"] == 200, good, "{name}: {message}");
    }
    assert_eq!(csp::calls(&csp).len(), 1);
}
