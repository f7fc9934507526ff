//! The sentences about a job, for a person who knows ServiceNow and not HOTH.

use super::CspHold;
use super::Hold;
use hoth_core::domain::CspName;
use hoth_core::domain::Timestamp;
use hoth_core::domain::event_text;

/// The times of a wait.
pub struct WaitTimes {
    pub since: Timestamp,
    pub next_look_at: Option<Timestamp>,
    pub deadline_at: Option<Timestamp>,
    pub now: Timestamp,
}

pub fn queued(csp: Option<&CspName>, since: Timestamp, now: Timestamp) -> String {
    format!("Accepted {}; it is sent to {} next.", time(since, now), name(csp))
}

pub fn held(csp: Option<&CspName>, hold: Hold) -> String {
    let csp = name(csp);
    match hold {
        Hold::Csp(CspHold::Paused) => {
            format!("Operators have paused {csp}; the job goes on when they resume it.")
        }
        Hold::Csp(CspHold::Down) => {
            format!("{csp} does not respond; the job goes on when it responds again.")
        }
        Hold::Csp(CspHold::Secret) => format!(
            "HOTH cannot read a secret for {csp}; the job goes on when an operator has restored it."
        ),
        Hold::Csp(CspHold::NoAdapter) => format!(
            "HOTH has no adapter for {csp} at present; the job goes on when an operator has \
             installed one."
        ),
        Hold::Csp(CspHold::Unknown) => {
            format!("{csp} is not in the configuration of HOTH; the job ends with a failure.")
        }
        Hold::Csp(CspHold::Drained) => {
            "Operators have stopped HOTH from taking jobs; the job goes on when they resume it."
                .to_owned()
        }
        Hold::Earlier(1) => {
            "An earlier job of its portfolio is unfinished; this one follows it.".to_owned()
        }
        Hold::Earlier(jobs) => {
            format!("{jobs} earlier jobs of its portfolio are unfinished; this one follows them.")
        }
    }
}

pub fn running(csp: Option<&CspName>, since: Timestamp, attempt: u32, now: Timestamp) -> String {
    let again = match attempt {
        0 | 1 => String::new(),
        attempt => format!(", for the {attempt}. time"),
    };
    format!("HOTH works on it with {} since {}{again}.", name(csp), clock(since, now))
}

pub fn waiting(
    csp: Option<&CspName>,
    note: Option<&str>,
    is_poll: bool,
    times: WaitTimes,
) -> String {
    let (csp, now) = (name(csp), times.now);
    let note = note.filter(|note| !note.is_empty());
    let mut text = match (is_poll, note) {
        (true, Some(note)) => {
            format!("{csp} accepted it {} and reports {note}", time(times.since, now))
        }
        (true, None) => format!("{csp} accepted it {}", time(times.since, now)),
        (false, Some(note)) => format!("The work with {csp} goes on in steps: {note}"),
        (false, None) => format!("The work with {csp} goes on in steps"),
    };
    if let Some(next) = times.next_look_at {
        let what = if is_poll { "next look" } else { "next step" };
        text.push_str(&match next <= now {
            true => format!("; {what} now"),
            false => format!("; {what} {}", time(next, now)),
        });
    }
    if let Some(deadline) = times.deadline_at {
        text.push_str(&format!(", given up on {}", date(deadline)));
    }
    text.push('.');
    text
}

pub fn ready(
    code: Option<u16>,
    at: Timestamp,
    reason: Option<&str>,
    leased: bool,
    now: Timestamp,
) -> String {
    let at = time(at, now);
    let end = match (code, reason) {
        (Some(code @ ..400), _) => format!("It ended {at} with code {code}"),
        (Some(code), Some(reason)) => format!("It failed {at} with code {code}: {reason}"),
        (Some(code), None) => format!("It failed {at} with code {code}"),
        (None, _) => format!("It ended {at}"),
    };
    let end = end.trim_end_matches('.');
    match leased {
        true => format!("{end}; a client has leased the outcome."),
        false => format!("{end}; the outcome is ready to be collected."),
    }
}

pub fn collected(code: Option<u16>, at: Timestamp, now: Timestamp) -> String {
    let at = time(at, now);
    match code {
        Some(code) => format!("It ended with code {code}; the outcome was collected {at}."),
        None => format!("The outcome was collected {at}."),
    }
}

pub fn dead(reason: &str, collected_at: Option<Timestamp>, now: Timestamp) -> String {
    let reason = event_text(reason);
    let message = match collected_at {
        Some(at) => format!("its failure message was collected {}", time(at, now)),
        None => "its failure message is ready to be collected".to_owned(),
    };
    format!("HOTH gave it up: {reason}; {message}. Operators can send it again.")
}

fn name(csp: Option<&CspName>) -> &str {
    csp.map_or("the CSP", CspName::as_str)
}

/// Returns a time with its preposition: `at 10:02 UTC`, or with the date of
/// another day.
fn time(at: Timestamp, now: Timestamp) -> String {
    match date(at) == date(now) {
        true => format!("at {}", clock(at, now)),
        false => format!("on {}", clock(at, now)),
    }
}

/// Returns a time: `10:02 UTC`, or with the date of another day.
fn clock(at: Timestamp, now: Timestamp) -> String {
    let text = at.to_rfc3339();
    let minutes = text.get(11..16).unwrap_or_default();
    match date(at) == date(now) {
        true => format!("{minutes} UTC"),
        false => format!("{} {minutes} UTC", date(at)),
    }
}

fn date(at: Timestamp) -> String {
    at.to_rfc3339().get(..10).unwrap_or_default().to_owned()
}
