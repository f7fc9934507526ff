//! The watch over the secrets of a CSP: without them no job of the CSP can
//! make a call, so its jobs wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::info;
use tracing::warn;

use hoth_core::domain::CspName;

/// The time between two looks at the secrets. A secret that arrives after the
/// host has started, as in most orchestrators, delays jobs by no more than this.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// The state of the secrets of one CSP. Cheap to clone; clones share it.
#[derive(Debug, Clone)]
pub struct SecretWatch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    csp: CspName,
    settings: hoth_egress::Config,
    /// The reason why a secret cannot be read, or `None` if all can be.
    missing: watch::Sender<Option<String>>,
}

impl SecretWatch {
    /// Reads every secret once. Blocks on the file system.
    pub fn open(csp: &CspName, settings: &hoth_egress::Config) -> Self {
        let (csp, settings) = (csp.clone(), settings.clone());
        let missing = watch::Sender::new(missing(&csp, &settings));
        let secrets = Self(Arc::new(Inner { csp, settings, missing }));
        if let Some(reason) = secrets.missing() {
            secrets.warn(&reason);
        }
        secrets
    }

    /// Returns the reason why jobs wait, or `None` if every secret can be read.
    pub fn missing(&self) -> Option<String> {
        self.0.missing.borrow().clone()
    }

    /// Returns as soon as every secret can be read.
    pub async fn readable(&self) {
        self.reaches(Option::is_none).await;
    }

    /// Returns as soon as a secret cannot be read.
    pub async fn unreadable(&self) {
        self.reaches(Option::is_some).await;
    }

    /// Looks at the secrets from time to time, for ever.
    pub async fn follow(self) {
        loop {
            tokio::time::sleep(CHECK_INTERVAL).await;
            let inner = Arc::clone(&self.0);
            let read = tokio::task::spawn_blocking(move || missing(&inner.csp, &inner.settings));
            let Ok(now) = read.await else { continue };
            let before = self.missing();
            self.0.missing.send_if_modified(|missing| {
                let changed = *missing != now;
                missing.clone_from(&now);
                changed
            });
            match (before, now) {
                (Some(_), None) => {
                    let csp = &self.0.csp;
                    info!(%csp, event = "secret-found", "The jobs of {csp} go on: its secrets can be read");
                }
                (before, Some(now)) if before.as_ref() != Some(&now) => self.warn(&now),
                (Some(_) | None, _) => {}
            }
        }
    }

    fn warn(&self, reason: &str) {
        let csp = &self.0.csp;
        warn!(%csp, event = "secret-missing", "The jobs of {csp} wait: {reason}");
    }

    async fn reaches(&self, matches: fn(&Option<String>) -> bool) {
        let mut current = self.0.missing.subscribe();
        let seen = current.wait_for(matches).await;
        seen.expect("the sender lives as long as `self`");
    }
}

/// Names the first secret that cannot be read.
fn missing(csp: &CspName, settings: &hoth_egress::Config) -> Option<String> {
    let problem = settings.unusable_secrets().into_iter().next()?;
    Some(problem.in_table(&format!("csp.{csp}")).to_string())
}
