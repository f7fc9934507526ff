//! Asks the peers, side by side and within bounds.

use std::error::Error as _;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use futures_util::future::join_all;
use http::HeaderValue;
use http::StatusCode;
use http::header;
use secrecy::ExposeSecret as _;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::info;
use tracing::warn;
use url::Url;

use super::config::PeerConfig;
use super::failure::ANSWER_MAX;
use super::failure::BODY_BYTES_MAX;
use super::failure::PeerFailure;
use super::place::Place;
use crate::admin::HostView;
use crate::admin::JobView;
use crate::admin::JobsQuery;
use hoth_core::domain::JobKind;
use hoth_core::domain::Timestamp;
use hoth_core::domain::printable;
use hoth_egress::DefaultTrust;
use hoth_egress::TlsError;
use hoth_platform::clock::Clock;
use hoth_platform::secret::SecretSource;
use hoth_trail::JobPage;

/// The time for which a peer that did not answer is not asked again.
pub const REST: Duration = Duration::from_secs(10);

/// Questions that are under way at one time, over all peers: a bound of memory.
const QUESTIONS_MAX: usize = 32;

/// The most characters of the cause of a failure.
const CAUSE_CHARS_MAX: usize = 200;

/// The error of peers that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("reading console.peers[{0}].ca")]
    Tls(usize, #[source] TlsError),
    #[error("setting up the HTTP client for console.peers[{0}]")]
    Http(usize, #[source] reqwest::Error),
}

/// The answer of one peer, or the reason why there is none.
#[derive(Debug, Clone)]
pub struct Answer<T> {
    /// The name of the peer.
    pub peer: String,
    pub told: Result<T, Down>,
}

/// A peer that told nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Down {
    pub failure: PeerFailure,
    /// The first failure after the last answer.
    pub since: Timestamp,
}

/// The peers of this host.
pub struct Peers {
    peers: Vec<Peer>,
    clock: Clock,
    questions: Semaphore,
}

struct Peer {
    name: String,
    url: Url,
    token: Option<SecretSource>,
    client: reqwest::Client,
    failing: Mutex<Option<Failing>>,
}

/// The state of a peer whose last answer was none.
#[derive(Debug, Clone)]
struct Failing {
    down: Down,
    /// It is not asked before this time.
    rests_until: Option<Instant>,
}

impl Peers {
    /// Sets up the clients. Opens no connection. Blocks on the file system.
    ///
    /// # Errors
    ///
    /// Returns an error if a file of certificates cannot be used.
    pub fn new(configs: &[PeerConfig], clock: Clock) -> Result<Self, SetupError> {
        let peers = configs.iter().enumerate().map(|(n, config)| Peer::new(n, config));
        Ok(Self {
            peers: peers.collect::<Result<_, _>>()?,
            clock,
            questions: Semaphore::new(QUESTIONS_MAX),
        })
    }

    /// Returns `true` if no peer is configured.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Returns the number of peers.
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Asks every peer how it is.
    pub async fn hosts(&self) -> Vec<Answer<HostView>> {
        let questions = self.peers.iter().map(|peer| self.ask(peer, &["host"], Vec::new()));
        let answers = join_all(questions).await;
        let now = self.clock.now();
        answers.into_iter().map(|answer| answer.or_no_route(now)).collect()
    }

    /// Asks the peers for the jobs of a filter, each from its place in the list.
    /// One at the end of its list is not asked, and has no more jobs.
    pub async fn jobs(
        &self,
        query: &JobsQuery,
        places: &[Place],
        limit: usize,
    ) -> Vec<Answer<JobPage>> {
        let questions = self.peers.iter().enumerate().map(|(n, peer)| async move {
            let mut pairs = pairs(query);
            pairs.push(("limit", limit.to_string()));
            match places.get(n).unwrap_or(&Place::Start) {
                Place::Start => {}
                Place::After(cursor) => pairs.push(("cursor", cursor.clone())),
                Place::End => {
                    let told = Ok(JobPage { jobs: Vec::new(), next: None });
                    return Answer { peer: peer.name.clone(), told };
                }
            }
            self.ask(peer, &["jobs"], pairs).await.or_no_route(self.clock.now())
        });
        join_all(questions).await
    }

    /// Asks the peers for a job; `None` from a peer that does not know it.
    pub async fn job(&self, kind: Option<JobKind>, id: &str) -> Vec<Answer<Option<JobView>>> {
        let kind = kind.map(|kind| ("kind", kind.as_str().to_owned()));
        let (path, pairs) = (["jobs", id], kind.into_iter().collect::<Vec<_>>());
        let questions = self.peers.iter().map(|peer| self.ask(peer, &path, pairs.clone()));
        join_all(questions).await
    }

    /// Asks one peer, unless it rests.
    async fn ask<T: DeserializeOwned>(
        &self,
        peer: &Peer,
        path: &[&str],
        pairs: Vec<(&'static str, String)>,
    ) -> Answer<Option<T>> {
        let told = match (peer.resting(), self.questions.try_acquire()) {
            (Some(down), _) => Err(down),
            (None, Err(_)) => Err(Down { failure: PeerFailure::Busy, since: self.clock.now() }),
            (None, Ok(_permit)) => {
                let asked = tokio::time::timeout(ANSWER_MAX, peer.ask(path, &pairs)).await;
                let told = asked.unwrap_or(Err(PeerFailure::Silent));
                peer.remember(told, self.clock.now())
            }
        };
        Answer { peer: peer.name.clone(), told }
    }
}

impl<T> Answer<Option<T>> {
    /// Takes a 404 for what it is where nothing is searched for: the release of
    /// the peer does not have the route.
    fn or_no_route(self, now: Timestamp) -> Answer<T> {
        let failure = PeerFailure::of_status(StatusCode::NOT_FOUND);
        let told = self.told.and_then(|found| found.ok_or(Down { failure, since: now }));
        Answer { peer: self.peer, told }
    }
}

impl Peer {
    fn new(n: usize, config: &PeerConfig) -> Result<Self, SetupError> {
        // An error means that a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            // The token is for this peer alone.
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            // Ignores `HTTPS_PROXY` and the like: the configuration file decides.
            .no_proxy()
            .referer(false);
        if let Some(tls) = config.tls() {
            let config = tls.client_config(DefaultTrust::Machine);
            let config = config.map_err(|error| SetupError::Tls(n, error))?;
            builder = builder.tls_backend_preconfigured(config);
        } else if config.url.scheme() == "http" {
            // The machine's certificates are not loaded where none is needed: a
            // machine without any would fail here.
            builder = builder.tls_certs_only([]);
        }
        Ok(Self {
            name: config.name().to_owned(),
            url: config.url.clone(),
            token: config.token.clone(),
            client: builder.build().map_err(|error| SetupError::Http(n, error))?,
            failing: Mutex::default(),
        })
    }

    /// Returns the last failure while the peer rests.
    fn resting(&self) -> Option<Down> {
        let failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let failing = failing.as_ref()?;
        (failing.rests_until? > Instant::now()).then(|| failing.down.clone())
    }

    /// Remembers whether the peer answered. Logs changes only.
    fn remember<T>(&self, told: Result<T, PeerFailure>, now: Timestamp) -> Result<T, Down> {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        match told {
            Ok(told) => {
                if failing.take().is_some() {
                    info!(event = "peer-answers", peer = self.name, "Peer answers again");
                }
                Ok(told)
            }
            Err(failure) => {
                if failing.is_none() {
                    warn!(event = "peer-failed", peer = self.name, "Peer {failure}");
                }
                let since = failing.as_ref().map_or(now, |failing| failing.down.since);
                let rests_until = failure.is_outage().then(|| Instant::now() + REST);
                let down = Down { failure, since };
                *failing = Some(Failing { down: down.clone(), rests_until });
                Err(down)
            }
        }
    }

    /// Asks once. Returns `None` for a 404.
    async fn ask<T: DeserializeOwned>(
        &self,
        path: &[&str],
        pairs: &[(&'static str, String)],
    ) -> Result<Option<T>, PeerFailure> {
        let mut request = self.client.get(url(&self.url, path, pairs));
        if let Some(value) = self.authorization().await? {
            request = request.header(header::AUTHORIZATION, value);
        }
        let unreachable = |error: reqwest::Error| PeerFailure::Unreachable(cause(&error));
        let mut response = request.send().await.map_err(unreachable)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            status => return Err(PeerFailure::of_status(status)),
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > BODY_BYTES_MAX {
                return Err(PeerFailure::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body).map(Some).map_err(|_| PeerFailure::Unreadable)
    }

    /// Returns the value of `Authorization`. The token is read each time, so
    /// that a file that changes takes effect.
    async fn authorization(&self) -> Result<Option<HeaderValue>, PeerFailure> {
        let Some(source) = self.token.clone() else { return Ok(None) };
        let read = tokio::task::spawn_blocking(move || source.read()).await;
        let token = read.expect("reading a secret does not panic");
        let token = token.map_err(|error| PeerFailure::Token(error.to_string()))?;
        let value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()));
        let mut value =
            value.map_err(|_| PeerFailure::Token("the token fits no header".to_owned()))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// Returns the URL of a route below the base URL of a peer.
fn url(base: &Url, path: &[&str], pairs: &[(&'static str, String)]) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    if !pairs.is_empty() {
        url.query_pairs_mut().extend_pairs(pairs);
    }
    url
}

/// Returns the parameters of a filter.
fn pairs(query: &JobsQuery) -> Vec<(&'static str, String)> {
    // Each peer has a place of its own, and all have the same limit.
    let JobsQuery {
        id,
        kind,
        portfolio_id,
        csp,
        operation,
        state,
        since,
        until,
        cursor: _,
        limit: _,
    } = query;
    let kind = kind.map(|kind| kind.as_str().to_owned());
    let all = [
        ("id", id),
        ("kind", &kind),
        ("portfolioId", portfolio_id),
        ("csp", csp),
        ("operation", operation),
        ("state", state),
        ("since", since),
        ("until", until),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
}

/// Returns the last cause of an error, which says the most. reqwest's own text
/// has the URL, and is left out.
fn cause(error: &reqwest::Error) -> String {
    let mut last = error.source();
    while let Some(next) = last.and_then(std::error::Error::source) {
        last = Some(next);
    }
    let text = last.map_or_else(|| "the connection broke".to_owned(), ToString::to_string);
    printable(&text).chars().take(CAUSE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_goes_below_the_base_url_and_cannot_leave_it() {
        for (base, path, expected) in [
            ("https://b:8081", &["host"][..], "https://b:8081/host"),
            ("https://b:8081/", &["host"], "https://b:8081/host"),
            ("https://b/hoth", &["jobs", "a/b?c"], "https://b/hoth/jobs/a%2Fb%3Fc"),
        ] {
            let base = Url::parse(base).expect("a URL");
            assert_eq!(url(&base, path, &[]).as_str(), expected);
        }
        let base = Url::parse("https://b").expect("a URL");
        let query =
            JobsQuery { id: Some("a&b".to_owned()), limit: Some(3), ..JobsQuery::default() };
        assert_eq!(url(&base, &["jobs"], &pairs(&query)).as_str(), "https://b/jobs?id=a%26b");
    }

    #[test]
    fn a_peer_rests_after_an_outage_and_keeps_its_first_time() {
        let config: PeerConfig = toml::from_str("url = 'http://127.0.0.1:1'").expect("a peer");
        let peer = Peer::new(0, &config).expect("a client");
        let at = Timestamp::from_millis;
        for (told, now, since, rests) in [
            (Err(PeerFailure::KeyRefused), 1, Some(1), false),
            (Err(PeerFailure::Silent), 2, Some(1), true),
            (Ok(()), 3, None, false),
            (Err(PeerFailure::Silent), 4, Some(4), true),
        ] {
            let down = peer.remember(told, at(now)).err();
            assert_eq!(down.as_ref().map(|down| down.since), since.map(at));
            assert_eq!(peer.resting(), down.filter(|_| rests));
        }
    }
}
