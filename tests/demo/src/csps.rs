//! The mock CSPs of the demo.

use std::time::Duration;

use anyhow::Context as _;
use anyhow::ensure;
use hoth_testkit::HostConfig;
use mock_csp::Answer;
use mock_csp::Matching;
use mock_csp::MockCsp;
use mock_csp::Mode;
use mock_csp::Options;
use serde_json::json;

use crate::jobs;

/// The CSP that answers at once.
pub const SYNC: &str = "CSP_SYNC";

/// The CSP that accepts work for later.
pub const ASYNC: &str = "CSP_ASYNC";

/// The CSP that accepts work and never ends it.
pub const ENDLESS: &str = "CSP_ENDLESS";

/// Another name of the CSP that answers at once, for a pause.
pub const PAUSED: &str = "CSP_PAUSED";

/// The time of each answer.
const DELAY: Duration = Duration::from_millis(300);

/// Polls that find work in progress.
const POLLS: u32 = 2;

/// CSPs that serve until they are dropped.
pub struct Csps {
    /// Answers at once.
    pub prompt: MockCsp,
    /// Accepts work for later.
    pub later: MockCsp,
    endless: MockCsp,
}

impl Csps {
    /// Starts every CSP.
    pub async fn start() -> anyhow::Result<Self> {
        Ok(Self {
            prompt: start(Mode::Sync).await?,
            later: start(Mode::Async { polls: POLLS }).await?,
            endless: start(Mode::Async { polls: u32::MAX }).await?,
        })
    }

    /// Adds the tables of the CSPs to the configuration of a host.
    pub fn add_to(&self, config: HostConfig) -> HostConfig {
        let config = config.csp(SYNC, &self.prompt, "").csp(ASYNC, &self.later, "");
        config.csp(ENDLESS, &self.endless, "").csp(PAUSED, &self.prompt, "")
    }

    /// Makes all work that [`Self::later`] has accepted wait (`IN_PROGRESS`),
    /// or end (`SUCCESS`), from the next poll on.
    pub fn later_says(&self, status: &str) {
        let body = json!({
            "provisioning_job_id": "1", "portfolio_id": "p-1", "status": status
        });
        self.later.script_for(Matching::path("/status"), [Answer::json(200, &body)]);
    }

    /// Leaves polls to the rules of the API again.
    pub fn later_behaves(&self) {
        self.later.script_for(Matching::path("/status"), []);
    }

    /// Checks that no request of the host broke a rule of the API.
    pub fn check(&self) -> anyhow::Result<()> {
        for csp in [&self.prompt, &self.later, &self.endless] {
            let broken = csp.violations();
            ensure!(broken.is_empty(), "requests broke rules of the API: {}", broken.join("; "));
        }
        Ok(())
    }
}

async fn start(mode: Mode) -> anyhow::Result<MockCsp> {
    let csp = MockCsp::start(Options {
        mode,
        delay: DELAY,
        fail_twice: Some(jobs::FLAKY.to_owned()),
        fail_always: Some(jobs::BROKEN.to_owned()),
        ..Options::default()
    });
    let csp = csp.await.context("starting a mock CSP")?;
    // A demo that runs for hours would keep them all.
    csp.record(false);
    Ok(csp)
}
