//! Both listeners behind TLS.

use std::path::PathBuf;
use std::process::Command;
use std::process::Output;

use reqwest::Method;
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::csp;
use crate::harness::PATIENCE;
use crate::harness::ServiceNow;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::client;
use crate::harness::eventually;
use crate::harness::job;

/// A certificate for 127.0.0.1 with its key, in files.
struct Certificate {
    directory: TempDir,
}

impl Certificate {
    fn new() -> Self {
        let certificate = Self { directory: tempfile::tempdir().expect("a temporary folder") };
        certificate.renew();
        certificate
    }

    fn certificate(&self) -> PathBuf {
        self.directory.path().join("cert.pem")
    }

    fn key(&self) -> PathBuf {
        self.directory.path().join("key.pem")
    }

    /// Writes another certificate, which clients of the one before do not
    /// trust.
    fn renew(&self) {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
        let made = made.expect("a certificate can be made");
        std::fs::write(self.key(), made.signing_key.serialize_pem()).expect("a file is written");
        std::fs::write(self.certificate(), made.cert.pem()).expect("a file is written");
    }

    /// Returns the lines of a listener's table.
    fn table(&self, listener: &str) -> String {
        format!(
            "[{listener}.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n",
            self.certificate().display(),
            self.key().display()
        )
    }

    /// Returns a client that trusts only this certificate, and opens a
    /// connection for each call.
    fn client(&self) -> reqwest::Client {
        self.client_with(|builder| builder)
    }

    fn client_with(
        &self,
        more: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> reqwest::Client {
        // Installs the provider that all clients need.
        let _ = client();
        let pem = std::fs::read(self.certificate()).expect("a file is read");
        let trusted = reqwest::Certificate::from_pem(&pem).expect("a certificate");
        let builder = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
        let builder = builder.tls_certs_only([trusted]).pool_max_idle_per_host(0);
        more(builder).build().expect("an HTTP client can be made")
    }
}

async fn host(certificate: &Certificate) -> (TestHost, mock_csp::MockCsp) {
    let csp = csp::sync().await;
    let tables = format!("{}{}", certificate.table("api"), certificate.table("admin"));
    (Setup::new().csp("CSP_TEST", &csp).with(&tables).start().await, csp)
}

fn run(arguments: &[&str]) -> Output {
    let ran = Command::new(env!("CARGO_BIN_EXE_hoth")).args(arguments).output();
    ran.expect("the program can be run")
}

#[tokio::test]
async fn both_listeners_speak_only_tls() {
    let certificate = Certificate::new();
    let (host, _csp) = host(&certificate).await;
    assert!(host.api().starts_with("https://"));
    let snow = ServiceNow::at(certificate.client(), host.api(), None);
    snow.provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    assert_eq!(snow.outcome().await.code(), 200);
    assert_eq!(snow.collect("/provisioning-jobs").await.len(), 0, "it was consumed");

    let older =
        certificate.client_with(|client| client.tls_version_max(reqwest::tls::Version::TLS_1_2));
    let older = ServiceNow::at(older, host.api(), None);
    assert_eq!(older.send(Method::GET, "/cost-jobs", None).await.status, 200);

    for base in [host.api(), host.admin()] {
        let plain = client().get(base.replace("https", "http")).send().await;
        assert!(plain.is_err(), "{base} speaks plain HTTP");
        let untrusting = Certificate::new().client().get(&base).send().await;
        assert!(
            untrusting.is_err(),
            "{base} is trusted by a client that does not know its certificate"
        );
    }
    let metrics = certificate.client().get(format!("{}/metrics", host.admin())).send().await;
    let metrics = metrics.expect("it is trusted").text().await.expect("metrics are text");
    for which in ["api.tls", "admin.tls"] {
        let series = format!("hoth_certificate_expiry_timestamp_seconds{{which=\"{which}\"}} ");
        assert!(metrics.contains(&series), "{metrics}");
    }
    // The configuration names the certificate, too.
    let config = host.directory().join("hoth.toml");
    for trust in [("--ca", certificate.certificate()), ("--config", config)] {
        let admin = host.admin();
        let listed = tokio::task::spawn_blocking(move || {
            let file = trust.1.to_str().expect("text");
            run(&["adapters", "list", "--admin", &admin, trust.0, file])
        });
        let listed = listed.await.expect("no panic");
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert!(listed.status.success() && text.contains("atat"), "{text}{listed:?}");
    }
}

/// Returns the first message of a client that knows nothing newer than
/// `version`, with suites of its time.
fn client_hello(version: [u8; 2]) -> Vec<u8> {
    let suites = [0xc0, 0x13, 0xc0, 0x14, 0x00, 0x2f, 0x00, 0x35, 0x00, 0x0a];
    let mut hello = version.to_vec();
    hello.extend([7; 32]);
    hello.extend([0, 0, suites.len() as u8]);
    hello.extend(suites);
    hello.extend([1, 0]);
    let handshake = [&[1, 0, 0, hello.len() as u8][..], &hello].concat();
    [&[22, 3, 1, 0, handshake.len() as u8][..], &handshake].concat()
}

#[tokio::test]
async fn tls_versions_before_1_2_are_refused() {
    let certificate = Certificate::new();
    let (host, _csp) = host(&certificate).await;
    for base in [host.api(), host.admin()] {
        for version in [[3, 0], [3, 1], [3, 2]] {
            let address = base.trim_start_matches("https://");
            let mut stream = TcpStream::connect(address).await.expect("the host listens");
            stream.write_all(&client_hello(version)).await.expect("the host reads");
            let mut received = Vec::new();
            let all = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut received)).await;
            all.expect("the host closes the connection").expect("the host answers");
            // The answer is only an alert (21) that is fatal (2).
            assert_eq!(
                (received.len(), received[0], received[5]),
                (7, 21, 2),
                "{version:?}: {received:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_new_certificate_takes_effect_without_a_restart_and_a_broken_one_does_not() {
    let certificate = Certificate::new();
    let (host, _csp) = host(&certificate).await;
    let old = certificate.client();
    let is_served = async |client: &reqwest::Client| {
        let answers = [
            client.get(format!("{}/cost-jobs", host.api())).send().await,
            client.get(format!("{}/healthz", host.admin())).send().await,
        ];
        answers.map(|answer| answer.is_ok_and(|answer| answer.status().is_success()))
    };
    assert_eq!(is_served(&old).await, [true, true]);
    certificate.renew();
    let new = certificate.client();
    eventually("the new certificate to be shown", || async {
        (is_served(&new).await == [true, true]).then_some(())
    })
    .await;
    assert_eq!(is_served(&old).await, [false, false]);

    std::fs::write(certificate.key(), "no key").expect("a file is written");
    host.logged("the broken key to be logged", |line| {
        line["error"].as_str().is_some_and(|text| text.contains("holds none in PEM"))
    })
    .await;
    assert_eq!(is_served(&new).await, [true, true]);
}

#[tokio::test]
async fn an_unusable_configuration_is_reported_before_anything_starts() {
    let directory = tempfile::tempdir().expect("a temporary folder can be made");
    let good = Certificate::new();
    let other = Certificate::new();
    let csp = "[csp.CSP_A]\nadapter = \"atat\"\nbase_url = \"https://csp-a.example.com\"\n";
    let (cert, key) = (good.certificate(), other.key());
    let pair =
        format!("[api.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n", cert.display(), key.display());
    let missing = "[admin.tls]\ncertificate = \"nowhere.pem\"\nkey = \"nowhere.pem\"\n".to_owned();
    let same = "[api]\nlisten = \"127.0.0.1:9\"\n[admin]\nlisten = \"127.0.0.1:9\"\n".to_owned();
    let open = "[api]\nlisten = \"0.0.0.0:0\"\n".to_owned();
    let secret = "[[auth.sigv4]]\nname = \"a\"\nrole = \"read\"\naccess_key_id = \"A\"\n\
                  secret = { file = \"nowhere\" }\n";
    for (lines, expected) in [
        (pair, "key.pem is not the key of "),
        (missing, "admin.tls: certificate: "),
        (open, "api.listen: 0.0.0.0:0 is not loopback, and no key is configured"),
        (same, "admin.listen: 127.0.0.1:9 is taken by `api.listen`, 127.0.0.1:9"),
        (secret.to_owned(), "auth.sigv4[0].secret: the secret file "),
        ("[limits]\nsend_timeout_ms = 0\n".to_owned(), "limits.send_timeout_ms: must be 1 to"),
    ] {
        let file = directory.path().join("hoth.toml");
        std::fs::write(&file, format!("{lines}{csp}")).expect("a file is written");
        for command in ["check", "serve"] {
            let ran = run(&[command, "--config", file.to_str().expect("text")]);
            let output = String::from_utf8_lossy(&ran.stderr);
            assert_eq!(ran.status.code(), Some(2), "{command} {lines}: {output}");
            assert!(output.contains(expected), "{output}");
        }
    }
}
