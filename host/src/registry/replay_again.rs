//! Replays of retained versions, on demand.

use std::sync::Arc;

use super::AdapterName;
use super::Registry;
use super::ReplayError;
use super::Version;
use super::history::History;
use crate::replay::ReplayReport;
use hoth_core::domain::Digest;

impl Registry {
    /// Replays the journals of an adapter on a retained version, and keeps the
    /// report as the last one. Nothing else changes.
    ///
    /// The candidate is compared with the active version, and the active version
    /// with the one before it. `candidate` is that of the last report if it is
    /// `None`, or else the active version.
    ///
    /// # Errors
    ///
    /// Returns [`ReplayError`] if there is no such version, if it has no other to
    /// be compared with, or if a replay on demand is already running.
    pub async fn replay_again(
        &self,
        name: &str,
        candidate: Option<&Digest>,
    ) -> Result<ReplayReport, ReplayError> {
        let name: AdapterName = name.parse().map_err(|_| ReplayError::Unknown)?;
        let history = self.read_ledger(&name).await.history;
        let last = self.last_report(&name).map(|(_, report)| report.candidate.sha256);
        let (candidate, reference) = pair(&history, candidate, last)?;
        let _running = self.replay_gate.on_demand().ok_or(ReplayError::Running)?;
        let candidate = self.load_for_replay(&name, &candidate).await?;
        let reference = self.load_for_replay(&name, &reference).await?;
        let digest = candidate.adapter().digest();
        let trace = self.tracer.adapter_act("replay", name.as_str(), &digest);
        let (gate, clock) = (&self.replay_gate, &self.clock);
        Ok(gate.replay_again(&name, &reference, &candidate, clock, trace).await)
    }

    async fn load_for_replay(
        &self,
        name: &AdapterName,
        digest: &Digest,
    ) -> Result<Arc<Version>, ReplayError> {
        let loaded = self.load_retained(name, digest).await;
        loaded.map_err(|error| ReplayError::Unusable { digest: *digest, error })
    }
}

/// Returns the candidate and the version to compare it with.
fn pair(
    history: &History,
    wanted: Option<&Digest>,
    last: Option<Digest>,
) -> Result<(Digest, Digest), ReplayError> {
    let active = history.active().ok_or(ReplayError::Unknown)?.sha256;
    let candidate = match wanted {
        Some(digest) => history.find(digest).ok_or(ReplayError::NotRetained(*digest))?.sha256,
        None => last.filter(|last| history.find(last).is_some()).unwrap_or(active),
    };
    let reference = match candidate == active {
        true => history.previous().ok_or(ReplayError::NothingToCompare)?.sha256,
        false => active,
    };
    Ok((candidate, reference))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::registry::history::RetainedVersion;
    use crate::registry::history::Retention;
    use hoth_core::domain::Timestamp;

    fn history(versions: &[&str]) -> History {
        let now = Timestamp::from_millis(0);
        let retention = Retention { now, jobs_wait: Duration::ZERO, named: Default::default() };
        let mut history = History::default();
        for version in versions {
            let retained = RetainedVersion {
                sha256: Digest::of(version.as_bytes()),
                name: None,
                version: (*version).to_owned(),
                size: 1,
                imports: Vec::new(),
                arrived_at: now,
                signer: None,
                inactive_since: None,
            };
            history.activate_new(retained, &retention);
        }
        history
    }

    #[test]
    fn a_candidate_is_compared_with_the_version_in_its_place() {
        let digest = |version: &str| Digest::of(version.as_bytes());
        let three = history(&["1", "2", "3"]);
        for (wanted, last, expected) in [
            (None, None, ("3", "2")),
            (None, Some("3"), ("3", "2")),
            (None, Some("1"), ("1", "3")),
            // A refused candidate is not retained.
            (None, Some("refused"), ("3", "2")),
            (Some("2"), Some("1"), ("2", "3")),
            (Some("3"), None, ("3", "2")),
        ] {
            let found = pair(&three, wanted.map(digest).as_ref(), last.map(digest));
            let expected = (digest(expected.0), digest(expected.1));
            assert_eq!(found.expect("a pair"), expected, "{wanted:?} {last:?}");
        }
        let refused = pair(&three, Some(&digest("x")), None);
        assert!(matches!(refused, Err(ReplayError::NotRetained(_))));
        let alone = pair(&history(&["1"]), None, None);
        assert!(matches!(alone, Err(ReplayError::NothingToCompare)));
        assert!(matches!(pair(&history(&[]), None, None), Err(ReplayError::Unknown)));
    }
}
