//! One host with a CSP for each fault, and a portfolio for each recurrence.

use std::collections::BTreeMap;
use std::time::Duration;
use std::time::Instant;

use mock_csp::Answer;
use mock_csp::Call;
use mock_csp::Matching;
use mock_csp::MockCsp;
use mock_csp::Refused;
use serde_json::Value;
use serde_json::json;

use super::rule::Calls;
use super::rule::Expected;
use super::table::CallKind;
use super::table::Fault;
use super::table::Kind;
use super::table::Recurrence;
use super::table::TokenFault;
use super::table::TransportFault;
use super::wire;
use crate::csp;
use crate::harness::Outcome;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::cost;
use crate::harness::job;

/// The pause before a second call: short, so that the whole table takes little
/// time.
const BACKOFF_MS: u64 = 20;

/// The longest wait that a CSP can ask for before a retry.
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// The shortest time between two polls: far more than before a retry, so that
/// one can be told from the other.
const POLL: Duration = Duration::from_millis(250);

/// The longest wait for all jobs of a fixture; the slowest take three time
/// limits.
const PATIENCE: Duration = Duration::from_secs(300);

/// The portfolio at each CSP without a fault.
pub const HEALTHY: &str = "healthy";

/// The CSP without a fault, and the number of its portfolios.
const HEALTHY_CSP: &str = "HEALTHY";
const HEALTHY_PORTFOLIOS: usize = 20;

/// One job, its fault and the expected result.
pub struct Case {
    /// The name of the case in reports.
    pub name: String,
    /// `None` if the case has no fault.
    pub fault: Option<Fault>,
    pub expected: Expected,
    /// The index of its CSP in [`Fixture::csps`].
    pub at: usize,
    pub portfolio: String,
}

/// A CSP of the fixture.
pub struct FixtureCsp {
    name: String,
    pub csp: MockCsp,
    /// An address that refuses connections, if that is the fault.
    unreachable: Option<Refused>,
    settings: String,
}

/// All cases of one host.
pub struct Fixture {
    call_kind: CallKind,
    pub csps: Vec<FixtureCsp>,
    pub cases: Vec<Case>,
}

/// The observed result of one case.
pub struct Observed {
    pub message: Outcome,
    /// The time since the first job was posted.
    pub after: Duration,
    /// The calls that were made for it.
    pub calls: Vec<std::sync::Arc<Call>>,
    /// Requests for tokens by all jobs of its CSP.
    pub token_calls: usize,
    /// Attempts in the host's log, for a CSP that cannot count calls.
    pub tries: usize,
}

impl Fixture {
    pub async fn new(call_kind: CallKind) -> Self {
        let mut fixture = Self { call_kind, csps: Vec::new(), cases: Vec::new() };
        let healthy = fixture.add_csp(HEALTHY_CSP, "", None).await;
        for number in 0..HEALTHY_PORTFOLIOS {
            fixture.add_healthy_job(healthy, &format!("{HEALTHY}-{number}"));
        }
        fixture
    }

    /// Adds a CSP without a fault, and returns its index.
    pub async fn add_csp(
        &mut self,
        name: &str,
        settings: &str,
        unreachable: Option<Refused>,
    ) -> usize {
        let csp = match self.call_kind {
            CallKind::Sync | CallKind::Cost | CallKind::Poll => csp::sync().await,
            CallKind::Async => csp::asynchronous(1).await,
        };
        let settings = settings.to_owned();
        self.csps.push(FixtureCsp { name: name.to_owned(), csp, unreachable, settings });
        self.csps.len() - 1
    }

    /// Adds a CSP with this fault, and a job for each of these recurrences.
    pub async fn add_fault(&mut self, fault: &Fault, recurrences: &[(Recurrence, Expected)]) {
        let unreachable = fault.is_unreachable().then(csp::nowhere);
        let name = format!("F{:03}", self.csps.len());
        let at = self.add_csp(&name, fault.settings, unreachable).await;
        for (recurrence, expected) in recurrences {
            let portfolio = recurrence.to_string();
            self.script_fault(at, fault, *recurrence, &portfolio);
            self.cases.push(Case {
                name: format!("{} {recurrence}", fault.name),
                fault: Some(fault.clone()),
                expected: expected.clone(),
                at,
                portfolio,
            });
        }
        if !fault.is_general() {
            self.add_healthy_job(at, HEALTHY);
        }
    }

    /// Adds a job without a fault.
    fn add_healthy_job(&mut self, at: usize, portfolio: &str) {
        let calls = if self.call_kind == CallKind::Poll {
            self.accept(at, portfolio);
            self.script_polls(at, portfolio, []);
            2
        } else {
            1
        };
        let expected = Expected {
            end: super::rule::End::Success,
            calls: Calls::Csp(calls),
            gap: Duration::ZERO,
        };
        let name = format!("{portfolio} at {}", self.csps[at].name);
        let portfolio = portfolio.to_owned();
        self.cases.push(Case { name, fault: None, expected, at, portfolio });
    }

    /// Adds a job that is accepted and whose polls get these answers.
    pub async fn poll_sequence(&mut self, name: &str, answers: Vec<Answer>, expected: Expected) {
        let csp = format!("S{:03}", self.csps.len());
        let at = self.add_csp(&csp, "", None).await;
        let portfolio = "polled".to_owned();
        self.accept(at, &portfolio);
        self.csps[at].csp.script_for(Matching::path(&status_path(&portfolio)), answers);
        self.cases.push(Case { name: name.to_owned(), fault: None, expected, at, portfolio });
    }

    /// Makes the CSP accept the portfolio's operation for later.
    fn accept(&self, at: usize, portfolio: &str) {
        let entry = &self.csps[at];
        let origin = entry.unreachable.as_deref().unwrap_or_default();
        let location = format!("{origin}/atat/api/v1{}", status_path(portfolio));
        let accepted = Answer::json(202, &json!({})).header("location", &location);
        entry.csp.script_for(Matching::path(&portfolio_path(portfolio)), [accepted]);
    }

    /// Answers polls with these answers, then with a job in progress, and then
    /// with a job that is done.
    fn script_polls(&self, at: usize, portfolio: &str, first: impl IntoIterator<Item = Answer>) {
        let status = |word| Answer::json(200, &wire::status(word, portfolio));
        let answers = first.into_iter().chain([status("IN_PROGRESS"), status("SUCCESS")]);
        self.csps[at].csp.script_for(Matching::path(&status_path(portfolio)), answers);
    }

    fn script_fault(&self, at: usize, fault: &Fault, recurrence: Recurrence, portfolio: &str) {
        let csp = &self.csps[at].csp;
        // The last answer of a script repeats.
        let times = if recurrence == Recurrence::Permanent { 1 } else { recurrence.calls() };
        let repeated = |answer: Answer| {
            let then = (recurrence != Recurrence::Permanent).then(Answer::behave);
            std::iter::repeat_n(answer, times).chain(then)
        };
        if self.call_kind == CallKind::Poll {
            self.accept(at, portfolio);
            self.script_polls(at, portfolio, []);
        }
        let good = wire::status("SUCCESS", portfolio);
        let answer = match &fault.kind {
            Kind::Answers(answered) => Some(wire::answer(answered, portfolio, csp.origin())),
            Kind::Transport(how) => wire::broken(*how, &good),
            Kind::NoToken(how) => {
                if let Some(answer) = wire::token_answer(*how) {
                    // The operation's call needs one, too.
                    let first = (self.call_kind == CallKind::Poll).then(Answer::behave);
                    csp.script_tokens(first.into_iter().chain(repeated(answer)));
                }
                None
            }
        };
        let Some(answer) = answer else { return };
        match (self.call_kind, recurrence) {
            (CallKind::Poll, Recurrence::Permanent) => {
                csp.script_for(Matching::path(&status_path(portfolio)), [answer]);
            }
            (CallKind::Poll, Recurrence::Once | Recurrence::Twice) => {
                self.script_polls(at, portfolio, std::iter::repeat_n(answer, times));
            }
            (CallKind::Sync | CallKind::Async | CallKind::Cost, _) => {
                csp.script_for(Matching::path(&portfolio_path(portfolio)), repeated(answer));
                // A location that can be used leads there.
                csp.script_for(Matching::path(&status_path(portfolio)), [Answer::json(200, &good)]);
            }
        }
    }

    /// Starts the host, posts every job, and collects every message.
    pub async fn run(&self, polling: &str) -> Vec<Observed> {
        let host = self.host(polling).await;
        let snow = host.servicenow();
        let started_at = Instant::now();
        let mut posted = BTreeMap::new();
        for (number, case) in self.cases.iter().enumerate() {
            let request = self.request(case);
            match self.call_kind {
                CallKind::Cost => snow.ask_cost(&request).await,
                CallKind::Sync | CallKind::Async | CallKind::Poll => snow.provision(&request).await,
            }
            posted.insert(id(&request).to_owned(), number);
        }
        let route =
            if self.call_kind == CallKind::Cost { "/cost-jobs" } else { "/provisioning-jobs" };
        let mut messages: BTreeMap<usize, (Outcome, Duration)> = BTreeMap::new();
        while messages.len() < self.cases.len() {
            let missing = || {
                let names = self.cases.iter().enumerate();
                let names = names.filter(|(n, _)| !messages.contains_key(n));
                names.map(|(_, case)| case.name.as_str()).collect::<Vec<_>>().join("\n")
            };
            assert!(started_at.elapsed() < PATIENCE, "not over after {PATIENCE:?}:\n{}", missing());
            for message in snow.collect(&format!("{route}?wait=1")).await {
                let request = self.request_in(&message);
                let number = posted[id(request)];
                assert_eq!(*request, self.request(&self.cases[number]), "it stays as it was");
                let before = messages.insert(number, (message, started_at.elapsed()));
                assert!(before.is_none(), "{} has two messages", self.cases[number].name);
            }
        }
        host.emptied().await;
        host.logged_ends(self.cases.len()).await;
        let log = host.log();
        let cases = self.cases.iter().zip(messages.into_values());
        cases
            .map(|(case, (message, after))| {
                let entry = &self.csps[case.at];
                Observed {
                    message,
                    after,
                    calls: self.calls(case),
                    token_calls: entry.csp.token_call_count(),
                    tries: log
                        .iter()
                        .filter(|line| line["csp"] == entry.name.as_str())
                        .filter(|line| line["code"].is_string() && line["attempt"].is_u64())
                        .count(),
                }
            })
            .collect()
    }

    async fn host(&self, polling: &str) -> TestHost {
        let mut setup = Setup::new()
            .with(&format!(
                "[retry]\ninitial_backoff_ms = {BACKOFF_MS}\nmax_backoff_ms = {}",
                BACKOFF_MAX.as_millis()
            ))
            .with(&format!(
                "[polling]\ninitial_ms = {0}\nmax_ms = {0}\n{polling}",
                POLL.as_millis()
            ));
        for entry in &self.csps {
            let (mut base, mut token) = (entry.csp.base_url(), entry.csp.token_url());
            let mut lines = entry.settings.clone();
            if let Some(unreachable) = &entry.unreachable {
                let token_refused = self.cases.iter().any(|case| {
                    self.csps[case.at].name == entry.name
                        && matches!(
                            case.fault.as_ref().map(|fault| &fault.kind),
                            Some(Kind::NoToken(TokenFault::Transport(TransportFault::Refuses)))
                        )
                });
                match (token_refused, self.call_kind) {
                    (true, _) => token = unreachable,
                    (false, CallKind::Poll) => {
                        lines.push_str(&format!("\nallowed_origins = [\"{}\"]", &**unreachable));
                    }
                    (false, CallKind::Sync | CallKind::Async | CallKind::Cost) => {
                        base = unreachable
                    }
                }
            }
            setup = setup.csp_at(&entry.name, base, token, &entry.csp, &lines);
        }
        setup.start().await
    }

    fn request(&self, case: &Case) -> Value {
        let csp = &self.csps[case.at].name;
        let id = format!("{csp}/{}", case.portfolio);
        let mut request = match self.call_kind {
            CallKind::Cost => cost(&id, csp),
            CallKind::Sync => job(&id, csp, "ADD_TASK_ORDER"),
            CallKind::Async | CallKind::Poll => job(&id, csp, "ADD_ENVIRONMENT"),
        };
        request["portfolioId"] = json!(case.portfolio);
        request
    }

    fn request_in<'a>(&self, message: &'a Value) -> &'a Value {
        match self.call_kind {
            CallKind::Cost => &message["content"]["request"],
            CallKind::Sync | CallKind::Async | CallKind::Poll => &message["initialSnowRequest"],
        }
    }

    fn calls(&self, case: &Case) -> Vec<std::sync::Arc<Call>> {
        let path = match self.call_kind {
            CallKind::Poll => status_path(&case.portfolio),
            CallKind::Sync | CallKind::Async | CallKind::Cost => portfolio_path(&case.portfolio),
        };
        let calls = self.csps[case.at].csp.calls();
        calls.into_iter().filter(|call| call.target.contains(&path)).collect()
    }

    /// Returns the shortest time between two calls.
    pub fn gap_min(&self) -> Duration {
        match self.call_kind {
            CallKind::Poll => POLL.mul_f64(0.9),
            // The jitter takes a fifth.
            CallKind::Sync | CallKind::Async | CallKind::Cost => {
                Duration::from_millis(BACKOFF_MS).mul_f64(0.8)
            }
        }
    }

    /// Returns the longest wait between two calls that the host keeps.
    pub fn gap_max(&self) -> Duration {
        BACKOFF_MAX
    }

    pub fn is_at_the_healthy_csp(&self, case: &Case) -> bool {
        self.csps[case.at].name == HEALTHY_CSP
    }
}

fn id(request: &Value) -> &str {
    let id = request.get("jobId").or_else(|| request.get("requestId"));
    id.and_then(Value::as_str).expect("an id")
}

fn portfolio_path(portfolio: &str) -> String {
    format!("/portfolios/{portfolio}/")
}

fn status_path(portfolio: &str) -> String {
    format!("/provisioning/{portfolio}/status")
}
