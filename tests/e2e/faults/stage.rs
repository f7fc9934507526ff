//! One host with a CSP for each fault, and a portfolio for each spell.

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
use super::table::Break;
use super::table::Fault;
use super::table::Kind;
use super::table::Spell;
use super::table::Tokenless;
use super::table::Way;
use super::wire;
use crate::csp;
use crate::harness::Outcome;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::cost;
use crate::harness::job;

/// The pause before a second call: short, so that the whole table is soon over.
const BACKOFF_MS: u64 = 20;

/// The longest wait that a CSP can ask for before a retry.
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// The shortest time between two polls: far more than before a retry, so that
/// one can be told from the other.
const POLL: Duration = Duration::from_millis(250);

/// The longest wait for all jobs of a stage; the slowest take three time limits.
const PATIENCE: Duration = Duration::from_secs(300);

/// The portfolio at each CSP without a fault.
pub const CALM: &str = "calm";

/// The CSP without a fault, and the number of its portfolios.
const CALM_CSP: &str = "CALM";
const CALM_PORTFOLIOS: usize = 20;

/// One job, its fault and the expected result.
pub struct Case {
    /// The name of the case in reports.
    pub name: String,
    /// `None` if the case has no fault.
    pub fault: Option<Fault>,
    pub expected: Expected,
    /// The index of its CSP on the stage.
    pub at: usize,
    pub portfolio: String,
}

/// A CSP of the stage.
pub struct Actor {
    name: String,
    pub csp: MockCsp,
    /// An address that refuses connections, if that is the fault.
    absent: Option<Refused>,
    settings: String,
}

/// All cases of one host.
pub struct Stage {
    way: Way,
    pub actors: Vec<Actor>,
    pub cases: Vec<Case>,
}

/// The observed result of one case.
pub struct Seen {
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

impl Stage {
    pub async fn new(way: Way) -> Self {
        let mut stage = Self { way, actors: Vec::new(), cases: Vec::new() };
        let calm = stage.actor(CALM_CSP, "", None).await;
        for number in 0..CALM_PORTFOLIOS {
            stage.calm(calm, &format!("{CALM}-{number}"));
        }
        stage
    }

    /// Adds a CSP without a fault, and returns its index.
    pub async fn actor(&mut self, name: &str, settings: &str, absent: Option<Refused>) -> usize {
        let csp = match self.way {
            Way::Sync | Way::Cost | Way::Poll => csp::sync().await,
            Way::Async => csp::asynchronous(1).await,
        };
        let settings = settings.to_owned();
        self.actors.push(Actor { name: name.to_owned(), csp, absent, settings });
        self.actors.len() - 1
    }

    /// Adds a CSP with this fault, and a job for each of these spells.
    pub async fn add_fault(&mut self, fault: &Fault, spells: &[(Spell, Expected)]) {
        let absent = fault.is_absence().then(csp::nowhere);
        let name = format!("F{:03}", self.actors.len());
        let at = self.actor(&name, fault.settings, absent).await;
        for (spell, expected) in spells {
            let portfolio = spell.to_string();
            self.set(at, fault, *spell, &portfolio);
            self.cases.push(Case {
                name: format!("{} {spell}", fault.name),
                fault: Some(fault.clone()),
                expected: expected.clone(),
                at,
                portfolio,
            });
        }
        if !fault.is_general() {
            self.calm(at, CALM);
        }
    }

    /// Adds a job without a fault.
    fn calm(&mut self, at: usize, portfolio: &str) {
        let calls = if self.way == Way::Poll {
            self.accept(at, portfolio);
            self.tell(at, portfolio, []);
            2
        } else {
            1
        };
        let expected = Expected {
            end: super::rule::End::Success,
            calls: Calls::Csp(calls),
            apart: Duration::ZERO,
        };
        let name = format!("{portfolio} at {}", self.actors[at].name);
        let portfolio = portfolio.to_owned();
        self.cases.push(Case { name, fault: None, expected, at, portfolio });
    }

    /// Adds a job that is accepted and whose polls get these answers.
    pub async fn story(&mut self, name: &str, turns: Vec<Answer>, expected: Expected) {
        let csp = format!("S{:03}", self.actors.len());
        let at = self.actor(&csp, "", None).await;
        let portfolio = "told".to_owned();
        self.accept(at, &portfolio);
        self.actors[at].csp.script_for(Matching::path(&status_path(&portfolio)), turns);
        self.cases.push(Case { name: name.to_owned(), fault: None, expected, at, portfolio });
    }

    /// Makes the CSP accept the portfolio's operation for later.
    fn accept(&self, at: usize, portfolio: &str) {
        let actor = &self.actors[at];
        let origin = actor.absent.as_deref().unwrap_or_default();
        let location = format!("{origin}/atat/api/v1{}", status_path(portfolio));
        let accepted = Answer::json(202, &json!({})).header("location", &location);
        actor.csp.script_for(Matching::path(&portfolio_path(portfolio)), [accepted]);
    }

    /// Answers polls with these answers, then with a job in progress, and then with
    /// a job that is done.
    fn tell(&self, at: usize, portfolio: &str, first: impl IntoIterator<Item = Answer>) {
        let status = |word| Answer::json(200, &wire::status(word, portfolio));
        let answers = first.into_iter().chain([status("IN_PROGRESS"), status("SUCCESS")]);
        self.actors[at].csp.script_for(Matching::path(&status_path(portfolio)), answers);
    }

    fn set(&self, at: usize, fault: &Fault, spell: Spell, portfolio: &str) {
        let csp = &self.actors[at].csp;
        // The last answer of a script repeats.
        let times = if spell == Spell::ForGood { 1 } else { spell.calls() };
        let spell_of = |answer: Answer| {
            let then = (spell != Spell::ForGood).then(Answer::behave);
            std::iter::repeat_n(answer, times).chain(then)
        };
        if self.way == Way::Poll {
            self.accept(at, portfolio);
            self.tell(at, portfolio, []);
        }
        let good = wire::status("SUCCESS", portfolio);
        let answer = match &fault.kind {
            Kind::Answers(answered) => Some(wire::answer(answered, portfolio, csp.origin())),
            Kind::Breaks(how) => wire::broken(*how, &good),
            Kind::NoToken(how) => {
                if let Some(answer) = wire::tokenless(*how) {
                    // The operation's call needs one, too.
                    let first = (self.way == Way::Poll).then(Answer::behave);
                    csp.script_tokens(first.into_iter().chain(spell_of(answer)));
                }
                None
            }
        };
        let Some(answer) = answer else { return };
        match (self.way, spell) {
            (Way::Poll, Spell::ForGood) => {
                csp.script_for(Matching::path(&status_path(portfolio)), [answer]);
            }
            (Way::Poll, Spell::Once | Spell::Twice) => {
                self.tell(at, portfolio, std::iter::repeat_n(answer, times));
            }
            (Way::Sync | Way::Async | Way::Cost, _) => {
                csp.script_for(Matching::path(&portfolio_path(portfolio)), spell_of(answer));
                // A location that can be used leads there.
                csp.script_for(Matching::path(&status_path(portfolio)), [Answer::json(200, &good)]);
            }
        }
    }

    /// Starts the host, posts every job, and collects every message.
    pub async fn play(&self, polling: &str) -> Vec<Seen> {
        let host = self.host(polling).await;
        let snow = host.servicenow();
        let started_at = Instant::now();
        let mut posted = BTreeMap::new();
        for (number, case) in self.cases.iter().enumerate() {
            let request = self.request(case);
            match self.way {
                Way::Cost => snow.ask_cost(&request).await,
                Way::Sync | Way::Async | Way::Poll => snow.provision(&request).await,
            }
            posted.insert(id(&request).to_owned(), number);
        }
        let route = if self.way == Way::Cost { "/cost-jobs" } else { "/provisioning-jobs" };
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
                let actor = &self.actors[case.at];
                Seen {
                    message,
                    after,
                    calls: self.calls(case),
                    token_calls: actor.csp.token_call_count(),
                    tries: log
                        .iter()
                        .filter(|line| line["csp"] == actor.name.as_str())
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
        for actor in &self.actors {
            let (mut base, mut token) = (actor.csp.base_url(), actor.csp.token_url());
            let mut lines = actor.settings.clone();
            if let Some(absent) = &actor.absent {
                let tokenless = self.cases.iter().any(|case| {
                    self.actors[case.at].name == actor.name
                        && matches!(
                            case.fault.as_ref().map(|fault| &fault.kind),
                            Some(Kind::NoToken(Tokenless::Breaks(Break::Refuses)))
                        )
                });
                match (tokenless, self.way) {
                    (true, _) => token = absent,
                    (false, Way::Poll) => {
                        lines.push_str(&format!("\nallowed_origins = [\"{}\"]", &**absent));
                    }
                    (false, Way::Sync | Way::Async | Way::Cost) => base = absent,
                }
            }
            setup = setup.csp_at(&actor.name, base, token, &actor.csp, &lines);
        }
        setup.start().await
    }

    fn request(&self, case: &Case) -> Value {
        let csp = &self.actors[case.at].name;
        let id = format!("{csp}/{}", case.portfolio);
        let mut request = match self.way {
            Way::Cost => cost(&id, csp),
            Way::Sync => job(&id, csp, "ADD_TASK_ORDER"),
            Way::Async | Way::Poll => job(&id, csp, "ADD_ENVIRONMENT"),
        };
        request["portfolioId"] = json!(case.portfolio);
        request
    }

    fn request_in<'a>(&self, message: &'a Value) -> &'a Value {
        match self.way {
            Way::Cost => &message["content"]["request"],
            Way::Sync | Way::Async | Way::Poll => &message["initialSnowRequest"],
        }
    }

    fn calls(&self, case: &Case) -> Vec<std::sync::Arc<Call>> {
        let path = match self.way {
            Way::Poll => status_path(&case.portfolio),
            Way::Sync | Way::Async | Way::Cost => portfolio_path(&case.portfolio),
        };
        let calls = self.actors[case.at].csp.calls();
        calls.into_iter().filter(|call| call.target.contains(&path)).collect()
    }

    /// Returns the shortest time between two calls.
    pub fn apart_min(&self) -> Duration {
        match self.way {
            Way::Poll => POLL.mul_f64(0.9),
            // The jitter takes a fifth.
            Way::Sync | Way::Async | Way::Cost => Duration::from_millis(BACKOFF_MS).mul_f64(0.8),
        }
    }

    /// Returns the longest wait between two calls that the host keeps.
    pub fn apart_max(&self) -> Duration {
        BACKOFF_MAX
    }

    pub fn is_at_the_calm_csp(&self, case: &Case) -> bool {
        self.actors[case.at].name == CALM_CSP
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
