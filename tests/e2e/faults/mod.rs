//! Every way in which a CSP or its identity provider can fail, while an
//! operation, a poll or a cost request is under way.
//!
//! [`table`] lists the faults, [`rule`] derives the expected result of each from
//! the contract, [`wire`] produces them, and [`stage`] runs them all at once on one
//! host: each fault at a CSP of its own, once, twice and permanently, beside a
//! portfolio and a CSP without faults.

mod rule;
mod stage;
mod table;
mod wire;

use std::time::Duration;
use std::time::Instant;

use crate::harness::Outcome;
use serde_json::json;

use rule::Calls;
use rule::Code;
use rule::End;
use rule::Expected;
use stage::Case;
use stage::Seen;
use stage::Stage;
use table::Answered;
use table::Body;
use table::Break;
use table::Fault;
use table::Kind;
use table::Spell;
use table::Tokenless;
use table::Way;

/// Returns `true` if the fault can happen at all, and end within a test.
fn applies(fault: &Fault, way: Way, spell: Spell) -> bool {
    let hour = matches!(&fault.kind, Kind::Answers(Answered { retry_after: Some(3_600), .. }));
    let no_token_ever = matches!(fault.kind, Kind::NoToken(Tokenless::Breaks(Break::Refuses)));
    match way {
        // A CSP that asks for a wait of an hour gets it.
        Way::Poll if hour => spell == Spell::ForGood,
        // Without a token no job is accepted that could be polled.
        Way::Poll if no_token_ever => false,
        Way::Sync | Way::Async | Way::Poll | Way::Cost => {
            !fault.is_absence() || spell == Spell::ForGood
        }
    }
}

/// Returns each fault with the spells that run at one CSP.
fn acts(way: Way, is_for: impl Fn(&Expected) -> bool) -> Vec<(Fault, Vec<(Spell, Expected)>)> {
    let mut acts = Vec::new();
    for fault in table::faults() {
        let spells = Spell::ALL.into_iter().filter(|spell| applies(&fault, way, *spell));
        let spells = spells.map(|spell| (spell, rule::expected(&fault, way, spell)));
        let spells: Vec<_> = spells.filter(|(_, expected)| is_for(expected)).collect();
        if fault.is_general() {
            acts.extend(spells.into_iter().map(|spell| (fault.clone(), vec![spell])));
        } else if !spells.is_empty() {
            acts.push((fault, spells));
        }
    }
    acts
}

/// Runs the cases on one host, and checks each against the rule.
async fn play(way: Way, polling: &str, is_for: impl Fn(&Expected) -> bool, stories: bool) {
    let started_at = Instant::now();
    let mut stage = Stage::new(way).await;
    for (fault, spells) in acts(way, is_for) {
        stage.add_fault(&fault, &spells).await;
    }
    if stories {
        for story in table::STORIES {
            let (turns, expected) = parse_story(story);
            stage.story(story, turns, expected).await;
        }
    }
    let seen = stage.play(polling).await;
    let mut wrong = Vec::new();
    for (case, seen) in stage.cases.iter().zip(&seen) {
        let found = check(&stage, way, case, seen);
        wrong.extend(found.map(|reason| format!("{}: {reason}: {}", case.name, seen.message)));
    }
    assert!(wrong.is_empty(), "{} cases of {way:?}:\n{}", wrong.len(), wrong.join("\n"));
    others_were_undisturbed(&stage, &seen);
    eprintln!(
        "{} cases of {way:?} at {} CSPs in {:.1?}",
        stage.cases.len(),
        stage.actors.len(),
        started_at.elapsed()
    );
}

/// Asserts that jobs at another CSP did not wait for hanging calls.
fn others_were_undisturbed(stage: &Stage, seen: &[Seen]) {
    let cases = || stage.cases.iter().zip(seen);
    let calm = cases().filter(|(case, _)| stage.is_at_the_calm_csp(case));
    let calm = calm.map(|(_, seen)| seen.after).max().expect("there is a calm CSP");
    let hanging = cases().filter(|(case, _)| case.name == "hangs for-good");
    if let Some(hanging) = hanging.map(|(_, seen)| seen.after).min() {
        assert!(calm < hanging, "calm jobs took {calm:?}, hanging ones {hanging:?}");
    }
    for (case, actor) in cases().map(|(case, _)| (case, &stage.actors[case.at])) {
        if stage.is_at_the_calm_csp(case) {
            crate::csp::assert_lawful(&actor.csp);
        }
    }
}

/// Returns the first deviation of a case from the rule.
fn check(stage: &Stage, way: Way, case: &Case, seen: &Seen) -> Option<String> {
    let expected = &case.expected;
    let message = check_message(way, case, &seen.message);
    let calls = check_calls(case, seen);
    let found = message.or(calls).or_else(|| check_pace(stage, case, seen));
    found.map(|reason| format!("{reason}, but expected {expected:?}"))
}

fn check_message(way: Way, case: &Case, message: &Outcome) -> Option<String> {
    let wrong = |what: &str| Some(what.to_owned());
    let code = message["code"].as_u64()?;
    let (request, response) = (message.request(), message.response());
    if !request.is_object() || !response.is_object() {
        return wrong("no objects");
    }
    match &case.expected.end {
        End::Success => {
            if code != 200 || response.as_object().is_none_or(serde_json::Map::is_empty) {
                return wrong("no success");
            }
        }
        End::JobFailed(word) => {
            if code != 500 || response["status"]["status"] != *word {
                return wrong("not failed as the CSP said");
            }
        }
        End::Refused { code: expected, response: words } => {
            if code != u64::from(*expected) || response != words {
                return wrong("not refused as the CSP did");
            }
        }
        End::Failure { code: expected, says, csp_response, has_status } => {
            let fits = match expected {
                Code::Is(expected) => code == u64::from(*expected),
                Code::OfServerError => (500..600).contains(&code),
            };
            let details = response["details"].as_str().unwrap_or_default();
            if !fits {
                return wrong("another code");
            }
            if details.is_empty() || !details.contains(says.as_str()) {
                return wrong("other details");
            }
            if csp_response.as_ref().is_some_and(|words| response["cspResponse"] != *words) {
                return wrong("another answer of the CSP");
            }
            let status = json!({
                "provisioningJobId": message["initialSnowRequest"]["jobId"],
                "portfolioId": case.portfolio,
                "status": "FAILURE"
            });
            if *has_status && response["status"] != status {
                return wrong("no status");
            }
        }
    }
    if way == Way::Cost && !response["status"].is_null() {
        return wrong("costs have no status");
    }
    None
}

fn check_calls(case: &Case, seen: &Seen) -> Option<String> {
    let absent = case.fault.as_ref().is_some_and(Fault::is_absence);
    // A CSP that refuses connections counts no calls; the host's log does.
    let calls = if absent { seen.tries } else { seen.calls.len() };
    let tokens = seen.token_calls;
    let fits = match case.expected.calls {
        Calls::Csp(expected) => calls == expected,
        Calls::CspAtLeast(least) => calls >= least,
        Calls::IdentityProvider(expected) if absent => calls == expected,
        Calls::IdentityProvider(expected) => tokens == expected && calls == 0,
        // One token was granted, for the operation's call.
        Calls::IdentityProviderAtLeast(least) => tokens > least && calls == 0,
    };
    (!fits).then(|| format!("{calls} calls, {tokens} tokens asked for"))
}

/// Checks that every copy of a request has the same key, and that none is early.
fn check_pace(stage: &Stage, case: &Case, seen: &Seen) -> Option<String> {
    let asks_for_patience = case.expected.apart.min(stage.apart_max());
    // The deadline does not wait for the next interval.
    let last = matches!(case.expected.calls, Calls::CspAtLeast(_)).then_some(seen.calls.len());
    for (number, pair) in seen.calls.windows(2).enumerate() {
        let apart = pair[1].arrived.duration_since(pair[0].arrived);
        let keys = [0, 1].map(|n| pair[n].header("idempotency-key"));
        let polls = pair[0].method == "GET" && pair[0].target.ends_with("/status");
        if !polls && keys[0] != keys[1] {
            return Some(format!("the keys {keys:?}"));
        }
        let token = is_401(case);
        let least = if token { Duration::ZERO } else { stage.apart_min() };
        let least = if number == 0 { least.max(asks_for_patience.mul_f64(0.98)) } else { least };
        let zero = matches!(
            case.fault.as_ref().map(|fault| &fault.kind),
            Some(Kind::Answers(Answered { retry_after: Some(0), .. }))
        );
        if apart < least && !zero && last != Some(number + 2) {
            return Some(format!("call {} came after {apart:?}", number + 2));
        }
    }
    None
}

/// Returns `true` if the fault is a 401, after which a fresh token gets a call at
/// once.
fn is_401(case: &Case) -> bool {
    case.name.contains("401")
        || matches!(
            case.fault.as_ref().map(|fault| &fault.kind),
            Some(Kind::Answers(Answered { status: 401, .. }))
        )
}

/// Parses the answers of a story, and returns them with the expected result.
fn parse_story(story: &'static str) -> (Vec<mock_csp::Answer>, Expected) {
    let turns: Vec<Answered> = story
        .split(' ')
        .map(|turn| {
            let status = turn.parse();
            let body = if status.is_ok() { Body::Object } else { Body::Status(turn) };
            Answered { status: status.unwrap_or(200), body, retry_after: None, location: None }
        })
        .collect();
    let (end, polls) = rule::story(&turns);
    let expected = Expected { end, calls: Calls::Csp(polls), apart: Duration::ZERO };
    (turns.iter().map(|turn| wire::answer(turn, "told", "")).collect(), expected)
}

fn ends_at_the_deadline(expected: &Expected) -> bool {
    matches!(expected.end, End::Failure { code: Code::Is(504), ref says, .. } if says == "working on it")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_in_an_operation_ends_as_the_contract_says() {
    play(Way::Sync, "", |_| true, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_in_an_operation_for_later_ends_as_the_contract_says() {
    play(Way::Async, "", |_| true, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_in_a_cost_request_ends_as_the_contract_says() {
    play(Way::Cost, "", |_| true, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_in_a_poll_ends_as_the_contract_says() {
    play(Way::Poll, "", |expected| !ends_at_the_deadline(expected), true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polls_that_fail_for_good_go_on_until_the_deadline() {
    // Some four seconds.
    play(Way::Poll, "deadline_hours = 0.001", ends_at_the_deadline, false).await;
}
