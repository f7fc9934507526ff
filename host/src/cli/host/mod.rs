//! The client of the admin API of a running host.

mod failure;
mod trust;

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::bail;
use anyhow::ensure;
use reqwest::Method;
use reqwest::RequestBuilder;
use serde::Deserialize as _;
use serde::Serialize;
use serde_json::Value;
use url::Url;
use url::form_urlencoded;

use self::failure::Caller;
use self::trust::Trust;
use super::say;
use crate::config::profile;
use crate::replay::ReplayReport;

/// The address of the admin API in a configuration without one.
const DEFAULT_URL: &str = "http://127.0.0.1:8081";

/// Longest time to connect. A host on a network answers within milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest wait for the response to a `GET`. The host reads its queues within a
/// second, and SQS may add some.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest wait for the response to an action. A deployment compiles, and an
/// operator can allow an hour for it at most.
const ACTION_TIMEOUT: Duration = Duration::from_secs(3_660);

/// A running host: the address of its admin API, and the credentials for it.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Host")]
pub struct Host {
    /// URL of the admin API [default: the address in --config, else
    /// http://127.0.0.1:8081]
    #[arg(long, value_name = "URL", env = "HOTH_ADMIN_URL")]
    admin: Option<String>,
    /// Bearer token with role `viewer`, `operator` or `admin`, if required
    #[arg(long, value_name = "TOKEN", env = "HOTH_ADMIN_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Trusted CA certificates, or the certificate of the host, in PEM
    /// [default: the certificate in --config, else the system's CAs]
    #[arg(long, value_name = "FILE", env = "HOTH_ADMIN_CA")]
    ca: Option<PathBuf>,
    /// Configuration file of the host; its table `[admin]` gives the address
    /// and the certificate
    #[arg(long, value_name = "FILE", env = "HOTH_ADMIN_CONFIG")]
    config: Option<PathBuf>,
    /// Print the response of the host as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// The address and the certificate of a host, as its configuration has them.
#[derive(Debug)]
struct Profile {
    url: anyhow::Result<String>,
    certificate: Option<PathBuf>,
}

impl Profile {
    fn read(file: &Path) -> anyhow::Result<Self> {
        let admin = profile::admin(file)?;
        let url = url_of(admin.listen, admin.tls.is_some());
        Ok(Self { url, certificate: admin.tls.map(|tls| tls.certificate) })
    }
}

/// Returns the URL at which this machine reaches a listener.
fn url_of(listen: SocketAddr, tls: bool) -> anyhow::Result<String> {
    ensure!(
        listen.port() != 0,
        "`admin.listen` has port 0, a new port at each start: give the URL with --admin"
    );
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let scheme = if tls { "https" } else { "http" };
    Ok(format!("{scheme}://{}", SocketAddr::new(ip, listen.port())))
}

/// Returns the path of a job in the admin API.
pub(super) fn job_path(id: &str) -> String {
    // Of a query, where a space may be a plus.
    let encoded: String = form_urlencoded::byte_serialize(id.as_bytes()).collect();
    format!("jobs/{}", encoded.replace('+', "%20"))
}

impl Host {
    /// Sends a `GET` request, and returns the JSON of the response.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let body = self.send(Method::GET, path, Vec::new()).await?;
        serde_json::from_slice(&body).context("reading the response")
    }

    /// Sends a `POST` request with JSON, and returns the JSON of the response.
    pub(super) async fn post(&self, path: &str, body: &impl Serialize) -> anyhow::Result<Value> {
        let body = serde_json::to_vec(body).context("writing the request")?;
        let body = self.send(Method::POST, path, body).await?;
        serde_json::from_slice(&body).context("reading the response")
    }

    /// Sends a request, and returns the body of a successful response.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<Vec<u8>> {
        self.answer(self.request(method, path, body)?).await
    }

    /// Prints a response as JSON if `--json` was given, and with `print`
    /// otherwise.
    pub(super) fn show(&self, answer: &Value, print: impl FnOnce(&Value)) -> anyhow::Result<()> {
        match self.json {
            true => say(&serde_json::to_string_pretty(answer).context("writing JSON")?),
            false => print(answer),
        }
        Ok(())
    }

    /// Returns a request for [`Self::answer`].
    pub(super) fn request(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<RequestBuilder> {
        let profile = self.config.as_deref().map(Profile::read).transpose()?;
        let trust = self.trust(profile.as_ref());
        let url = self.url(profile)?;
        // Without the proxy of the environment, which would see the token of the
        // operator.
        let timeout = if method == Method::GET { READ_TIMEOUT } else { ACTION_TIMEOUT };
        let mut client =
            reqwest::Client::builder().timeout(timeout).connect_timeout(CONNECT_TIMEOUT).no_proxy();
        // reqwest requires a TLS provider even for plain HTTP URLs. An error
        // means that one is already installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        if let Some(trust) = trust {
            client = client.tls_backend_preconfigured(trust.client()?);
        }
        let client = client.build().context("setting up the HTTP client")?;
        let content_type = match method {
            Method::POST => "application/json",
            _ => "application/wasm",
        };
        let request = client.request(method, format!("{url}/{path}"));
        let request = request.header("content-type", content_type).body(body);
        let Some(token) = &self.token else { return Ok(request) };
        ensure!(
            !token.bytes().any(|byte| byte.is_ascii_control()),
            "the token has a line break or another control character"
        );
        Ok(request.bearer_auth(token))
    }

    /// Returns the URL without a slash at its end.
    fn url(&self, profile: Option<Profile>) -> anyhow::Result<String> {
        let Some(admin) = &self.admin else {
            return profile.map_or_else(|| Ok(DEFAULT_URL.to_owned()), |profile| profile.url);
        };
        let given = admin.trim_end_matches('/');
        match Url::parse(given).as_ref().map(Url::scheme) {
            Ok("http" | "https") => Ok(given.to_owned()),
            // `localhost:8081` parses as a URL of the scheme `localhost`.
            _ => bail!(
                "`{given}` is no URL of an admin API: write http://{0} or https://{0}",
                given.split_once("://").map_or(given, |(_, rest)| rest)
            ),
        }
    }

    /// Returns the certificates to trust; `None` for those of the system.
    fn trust(&self, profile: Option<&Profile>) -> Option<Trust> {
        match &self.ca {
            Some(file) => Some(Trust::Certificates(file.clone())),
            None => profile?.certificate.clone().map(Trust::Host),
        }
    }

    /// Sends a request, and returns the body of a successful response.
    pub(super) async fn answer(&self, request: RequestBuilder) -> anyhow::Result<Vec<u8>> {
        let (client, request) = request.build_split();
        let request = request.context("making the request")?;
        let caller = Caller {
            url: request.url().clone(),
            has_token: self.token.is_some(),
            has_ca: self.ca.is_some(),
        };
        let response = client.execute(request).await;
        let response = response.map_err(|error| caller.explain(error))?;
        let status = response.status();
        let body = response.bytes().await.map_err(|error| caller.explain(error))?;
        if status.is_success() {
            return Ok(body.to_vec());
        }
        // The body may come from a proxy and be no JSON; it is then shown as it
        // is.
        let json: Value = serde_json::from_slice(&body).unwrap_or_default();
        if let Ok(report) = ReplayReport::deserialize(&json["report"]) {
            self.show(&json, |_| say(report.to_string().trim_end()))?;
        }
        let message = json["message"]
            .as_str()
            .map(str::to_owned)
            .unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned());
        bail!("{}", caller.refusal(status, &message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(admin: Option<&str>, config: Option<&Path>) -> Host {
        Host {
            admin: admin.map(str::to_owned),
            token: None,
            ca: None,
            config: config.map(Path::to_owned),
            json: false,
        }
    }

    #[test]
    fn a_url_needs_a_scheme_of_http() {
        for (given, expected) in [
            ("http://localhost:1/", Ok("http://localhost:1")),
            ("https://h.example", Ok("https://h.example")),
            ("localhost:18444", Err("write http://localhost:18444 or https://localhost:18444")),
            ("h.example", Err("write http://h.example or https://h.example")),
            ("ftp://h.example", Err("write http://h.example or https://h.example")),
        ] {
            let url = host(Some(given), None).url(None).map_err(|error| error.to_string());
            match expected {
                Ok(expected) => assert_eq!(url.as_deref(), Ok(expected)),
                Err(part) => assert!(url.is_err_and(|text| text.contains(part)), "{given}"),
            }
        }
        assert_eq!(host(None, None).url(None).ok().as_deref(), Some(DEFAULT_URL));
    }

    #[test]
    fn a_configuration_gives_the_address_and_the_certificate() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("hoth.toml");
        let tls = "[admin.tls]\ncertificate = 'c.pem'\nkey = 'k.pem'\n";
        for (text, expected) in [
            ("", "http://127.0.0.1:8081"),
            ("[admin]\nlisten = '0.0.0.0:9000'", "http://127.0.0.1:9000"),
            ("[admin]\nlisten = '[::]:9000'", "http://[::1]:9000"),
            (&format!("[admin]\nlisten = '10.0.0.1:1'\n{tls}"), "https://10.0.0.1:1"),
            // The secret of another table is not read.
            ("[auth]\nx = 1\n[admin]\nlisten = '127.0.0.1:7'", "http://127.0.0.1:7"),
        ] {
            std::fs::write(&file, text).unwrap();
            let profile = Profile::read(&file).unwrap();
            let trust = host(None, None).trust(Some(&profile));
            let certificate = directory.path().join("c.pem");
            assert_eq!(trust, text.contains("tls").then_some(Trust::Host(certificate)));
            assert_eq!(host(None, None).url(Some(profile)).unwrap(), expected);
        }
        std::fs::write(&file, "[admin]\nlisten = '127.0.0.1:0'").unwrap();
        let profile = Profile::read(&file).unwrap();
        assert!(profile.url.unwrap_err().to_string().contains("--admin"));
        std::fs::write(&file, "[admin]\nlisten = 'hunter22'").unwrap();
        let error = Profile::read(&file).unwrap_err().to_string();
        assert!(error.contains("hoth check --config") && !error.contains("hunter22"), "{error}");
    }

    #[test]
    fn an_id_is_one_segment_of_the_path() {
        assert_eq!(job_path("a b/c?"), "jobs/a%20b%2Fc%3F");
    }
}
