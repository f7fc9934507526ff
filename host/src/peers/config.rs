//! The tables `[[console.peers]]`.

use std::path::Path;
use std::path::PathBuf;

use http::HeaderValue;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use url::Position;
use url::Url;

use hoth_core::config::Problem;
use hoth_egress::TlsConfig;
use hoth_platform::secret::SecretSource;

/// The most peers. Each of them is asked for each page.
pub const PEERS_MAX: usize = 16;

/// The longest name of a peer, in characters.
const NAME_CHARS_MAX: usize = 64;

/// Another host, whose jobs the console shows as well.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerConfig {
    /// The base URL of its admin API.
    pub url: Url,
    /// A bearer key of that host; the role `viewer` is enough.
    pub token: Option<SecretSource>,
    /// Trusted certificate authorities in PEM, in place of the machine's.
    pub ca: Option<PathBuf>,
    /// The name on the pages. Without one, the host and port of `url`.
    name: Option<String>,
}

impl PeerConfig {
    /// Returns the name on the pages.
    pub fn name(&self) -> &str {
        let authority = || &self.url[Position::BeforeHost..Position::AfterPort];
        self.name.as_deref().unwrap_or_else(authority)
    }

    /// Returns the certificates to trust; `None` for those of the machine.
    pub(super) fn tls(&self) -> Option<TlsConfig> {
        let ca = Some(self.ca.clone()?);
        Some(TlsConfig { ca, certificate: None, key: None })
    }

    /// Resolves relative paths against the directory of the configuration file.
    pub fn resolve_against(&mut self, directory: &Path) {
        if let Some(token) = &mut self.token {
            token.resolve_against(directory);
        }
        if let Some(ca) = &mut self.ca {
            *ca = directory.join(&*ca);
        }
    }
}

/// Returns the problems of the list, with keys below `peers`. Blocks: it reads
/// the tokens and certificates.
pub fn check(peers: &[PeerConfig]) -> Vec<Problem> {
    let mut problems = Vec::new();
    if peers.len() > PEERS_MAX {
        problems.push(Problem::new("peers", format!("has more than {PEERS_MAX} hosts")));
    }
    for (n, peer) in peers.iter().enumerate() {
        let mut wrong = |key: &str, message: &dyn std::fmt::Display| {
            problems.push(Problem::new(format!("peers[{n}].{key}"), message));
        };
        if let Err(bad) = hoth_egress::check_url(&peer.url) {
            wrong("url", &bad);
        }
        if peers[..n].iter().any(|other| other.url == peer.url) {
            wrong("url", &"is already the URL of another peer");
        }
        let name = peer.name();
        if name.is_empty() || name.chars().count() > NAME_CHARS_MAX {
            wrong("name", &format!("must have 1 to {NAME_CHARS_MAX} characters"));
        }
        if peers[..n].iter().any(|other| other.name() == name) {
            wrong("name", &"is already the name of another peer; set `name`");
        }
        if let Some(Err(error)) = peer.tls().map(|tls| tls.check()) {
            wrong("ca", &error);
        }
        match peer.token.as_ref().map(SecretSource::read) {
            Some(Err(error)) => wrong("token", &error),
            Some(Ok(token)) if HeaderValue::from_str(token.expose_secret()).is_err() => {
                wrong("token", &"is not the value of a header");
            }
            Some(Ok(_)) | None => {}
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Tables {
        peers: Vec<PeerConfig>,
    }

    fn peers(toml: &str) -> Vec<PeerConfig> {
        toml::from_str::<Tables>(toml).expect("it can be read").peers
    }

    #[test]
    fn mistakes_are_told_with_their_keys() {
        for (toml, expected) in [
            ("peers = []", &[][..]),
            ("[[peers]]\nurl = 'https://b:8081'\ntoken = { env = 'PATH' }", &[]),
            ("[[peers]]\nurl = 'http://127.0.0.1:8081'", &[]),
            (
                "[[peers]]\nurl = 'http://b:8081'",
                &["peers[0].url: must be https, unless it points at loopback"],
            ),
            (
                "[[peers]]\nurl = 'https://u:p@b:8081'",
                &["peers[0].url: must not contain a user name or a password"],
            ),
            (
                "[[peers]]\nurl = 'https://b'\n[[peers]]\nurl = 'https://b'",
                &[
                    "peers[1].url: is already the URL of another peer",
                    "peers[1].name: is already the name of another peer; set `name`",
                ],
            ),
            (
                "[[peers]]\nurl = 'https://b'\nname = ''",
                &["peers[0].name: must have 1 to 64 characters"],
            ),
            (
                "[[peers]]\nurl = 'https://b'\ntoken = { env = 'HOTH_NO_SUCH_VARIABLE' }",
                &["peers[0].token: the environment variable `HOTH_NO_SUCH_VARIABLE` is not set"],
            ),
            (
                "[[peers]]\nurl = 'https://b'\nca = '/nowhere/ca.pem'",
                &["peers[0].ca: cannot read the file `/nowhere/ca.pem`"],
            ),
        ] {
            let problems: Vec<String> =
                check(&peers(toml)).iter().map(Problem::to_string).collect();
            assert_eq!(problems, expected, "{toml}");
        }
    }

    #[test]
    fn the_number_of_peers_is_bounded() {
        let table = |n: usize| format!("[[peers]]\nurl = 'https://b-{n}'\n");
        for (count, expected) in [(PEERS_MAX, 0), (PEERS_MAX + 1, 1)] {
            let tables: String = (0..count).map(table).collect();
            assert_eq!(check(&peers(&tables)).len(), expected, "{count}");
        }
    }

    #[test]
    fn a_name_is_the_given_one_or_that_of_the_url() {
        for (toml, expected) in [
            ("[[peers]]\nurl = 'https://host-b:8081/base'", "host-b:8081"),
            ("[[peers]]\nurl = 'https://host-b'", "host-b"),
            ("[[peers]]\nurl = 'http://[::1]:8081'", "[::1]:8081"),
            ("[[peers]]\nurl = 'https://host-b'\nname = 'b'", "b"),
        ] {
            assert_eq!(peers(toml)[0].name(), expected);
        }
    }

    #[test]
    fn paths_are_resolved() {
        let toml = "[[peers]]\nurl = 'https://b'\nca = 'ca.pem'\ntoken = { file = 'token' }";
        let mut peer = peers(toml).remove(0);
        peer.resolve_against(Path::new("/etc/hoth"));
        assert_eq!(peer.ca.as_deref(), Some(Path::new("/etc/hoth/ca.pem")));
        assert_eq!(peer.token, Some(SecretSource::File("/etc/hoth/token".into())));
    }
}
