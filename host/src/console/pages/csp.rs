//! One CSP: its state, the reasons why its jobs wait, its calls, the history of
//! its breakers, its credentials.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::response::Response;
use maud::Markup;
use maud::html;

use super::Mood;
use super::PageError;
use super::act;
use super::csps::Load;
use super::csps::breaker;
use super::csps::condition;
use super::csps::version;
use super::state;
use crate::activity::CALL_CLASSES;
use crate::activity::CallTraffic;
use crate::activity::Window;
use crate::admin;
use crate::console::ConsoleState;
use crate::console::chart;
use crate::console::layout::Page;
use crate::console::layout::Section;
use crate::console::notice::Notice;
use crate::console::snapshot::Snapshot;
use crate::console::text;
use crate::console::text::segment;
use crate::http::auth::Access;
use crate::http::auth::Principal;
use crate::worker::CspRuntime;
use crate::worker::CspStatus;
use hoth_core::domain::Timestamp;
use hoth_egress::BreakerChange;
use hoth_egress::BreakerChangeKind;
use hoth_egress::BreakerPhase;
use hoth_egress::BreakerStatus;
use hoth_egress::CredentialStatus;
use hoth_egress::TokenStatus;
use hoth_trail::Minute;

/// The changes of breakers on a page.
const CHANGES: usize = 20;

/// Handles `GET /console/csps/{csp}`.
pub async fn show(
    State(console): State<Arc<ConsoleState>>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
    Query(notice): Query<Notice>,
) -> Result<Response, PageError> {
    let csp = admin::find_csp(&console.admin, &name)?;
    let status = csp.status(&console.admin.registry);
    let seen = Snapshot::read(&console).await;
    let (load, now, minutes) = (Load::of(&csp.name, &seen.queues), seen.now, &seen.minutes);
    let body = html! {
        p class="lead" { (condition(&status)) }
        @if principal.role.permits(Access::Operate) { (acts(csp, &status)) }
        (facts(&console, csp, &status, load.as_ref()))
        @if console.admin.trail.is_on() {
            h2 { "The last 24 hours" }
            (chart::ended(minutes, Some(csp.name.as_str()), now, &[]))
            h2 { "Calls to the CSP" }
            (calls(minutes, csp.name.as_str(), now))
        }
        h2 { "Calls by status" }
        (calls_by_status(&console.admin.activity.calls(&csp.name)))
        p class="soft" {
            "As this host has seen them since its start at " (text::time(console.admin.activity.since()))
            ". Half of the calls took no longer than p50, and 99 % no longer than p99."
        }
        h2 { "Origins" }
        div class="scroll" tabindex="0" { table {
            thead { tr {
                th scope="col" { "Origin" } th scope="col" { "State" } th scope="col" { "Since" }
                th scope="col" class="number" { "Jobs with a failed call since the last response" }
            } }
            tbody {
                (origin(&status.origin.to_string(), &status.breaker))
                @for (pattern, breaker) in &status.other_breakers {
                    (origin(&pattern.to_string(), breaker))
                }
            }
        } }
        h2 { "History of the breaker" }
        (history(&admin::breaker_history(csp)))
        h2 { "Credentials" }
        (credentials(&csp.client.credentials(), now))
        p { a href={ "/console/jobs?csp=" (segment(csp.name.as_str())) } { "Jobs of this CSP" } }
    };
    let page = Page {
        section: Section::Csps,
        title: csp.name.as_str(),
        live: true,
        notice: notice.sentence(),
        body,
    };
    Ok(page.render(&principal))
}

/// Returns the calls of the last hour, and of the last ten minutes.
fn calls(minutes: &[Minute], csp: &str, now: Timestamp) -> Markup {
    let spans =
        [("last hour", Duration::from_hours(1)), ("last ten minutes", Duration::from_mins(10))];
    html! { div class="scroll" tabindex="0" { table {
        thead { tr {
            th scope="col" { "Span" } th scope="col" class="number" { "Calls" }
            th scope="col" class="number" { "Failed" } th scope="col" class="number" { "Mean" }
            th scope="col" class="number" { "Longest" }
        } }
        tbody { @for (name, span) in spans {
            @let of_span = || minutes.iter().filter(|minute| minute.csp == csp && minute.at >= now - span);
            @let calls = of_span().map(|minute| minute.calls).sum::<u64>();
            @let mean = of_span().map(|minute| minute.call_ms_sum).sum::<u64>().checked_div(calls);
            @let longest = of_span().map(|minute| minute.call_ms_max).max();
            @let words = |ms: Option<u64>| match ms {
                None => "–".to_owned(),
                // The trail counts whole milliseconds.
                Some(0) => "< 1 ms".to_owned(),
                Some(ms) => text::duration(Duration::from_millis(ms)),
            };
            tr {
                th scope="row" { (name) }
                td class="number" { (calls) }
                td class="number" { (of_span().map(|minute| minute.calls_failed).sum::<u64>()) }
                td class="number" { (words(mean)) }
                td class="number" { (words(longest)) }
            }
        } }
    } } }
}

fn acts(csp: &CspRuntime, status: &CspStatus) -> Markup {
    let path = format!("/console/csps/{}", segment(csp.name.as_str()));
    let pause = match status.paused_since {
        Some(_) => {
            act("Resume", &format!("{path}/resume"), "Its queued jobs run again.", &html! {}, false)
        }
        None => act(
            "Pause",
            &format!("{path}/pause"),
            "Its queued jobs wait until someone resumes it; jobs in hand go on. A restart of this \
             host forgets the pause.",
            &html! {},
            false,
        ),
    };
    let is_closed = |breaker: &BreakerStatus| breaker.phase == BreakerPhase::Closed;
    let others = status.other_breakers.iter().map(|(_, breaker)| breaker);
    let all_closed = [&status.breaker].into_iter().chain(others).all(is_closed);
    html! {
        (pause)
        @if !all_closed {
            (act("Reset the breaker", &format!("{path}/reset-breaker"),
                "Its jobs run at once, in place of a wait for the next probe. If calls still fail, \
                 the breaker opens again.", &html! {}, false))
        }
    }
}

fn facts(
    console: &ConsoleState,
    csp: &CspRuntime,
    status: &CspStatus,
    load: Option<&Load>,
) -> Markup {
    let now = console.admin.clock.now();
    html! { dl class="facts" {
        @if let Some(since) = status.paused_since {
            dt { "Paused" }
            dd { "since " (text::time(since)) ", for " (text::duration(now.since(since))) }
        }
        @if let Some(missing) = &status.missing_secret {
            dt { "Missing secret" }
            dd { (missing) ". Its jobs wait, and go on by themselves when the secret can be read." }
        }
        @if !status.missing_credentials.is_empty() {
            dt { "Missing credentials" }
            dd { (status.missing_credentials.join(", "))
                ": the adapter asks for them; add them below csp." (csp.name) ".credentials." }
        }
        dt { "Adapter" }
        dd { a href={ "/console/adapters/" (segment(&csp.adapter)) } { (csp.adapter) } " " (version(console, csp)) }
        @if let Err(reason) = console.admin.registry.serving(&csp.name) {
            dt { "No adapter serves" } dd { (reason) }
        }
        @if let Some(load) = load {
            dt { "Jobs" }
            dd { (load.queued) " queued, " (load.in_hand) " in hand, " (load.polling) " waiting for the CSP" }
        }
        dt { "Jobs at a time" } dd { "at most " (csp.max_concurrent) }
        dt { "Calls at a time" }
        dd { (csp.client.calls_in_flight()) " of at most " (csp.client.calls_max()) }
        dt { "Operations" }
        dd { (admin::csp_operations(&console.admin, csp).join(", ")) }
    } }
}

fn origin(origin: &str, status: &BreakerStatus) -> Markup {
    html! { tr {
        th scope="row" { code { (origin) } }
        td { (breaker(status)) }
        td { (text::time(status.since)) }
        td class="number" { (status.failures) }
    } }
}

/// Returns the calls of the last hour and day by the class of their status.
fn calls_by_status(traffic: &CallTraffic) -> Markup {
    let row = |name: &str, window: &Window<{ CALL_CLASSES.len() }>| {
        html! { tr {
            th scope="row" { (name) }
            td class="number" { (window.counts.iter().sum::<u64>()) }
            @for count in window.counts { td class="number" { (count) } }
            td class="number" { (window.p50.map_or_else(|| "–".to_owned(), text::duration)) }
            td class="number" { (window.p99.map_or_else(|| "–".to_owned(), text::duration)) }
        } }
    };
    html! { div class="scroll" tabindex="0" { table {
        thead { tr {
            th scope="col" { "Span" } th scope="col" class="number" { "Calls" }
            @for class in CALL_CLASSES { th scope="col" class="number" { (class) } }
            th scope="col" class="number" { "p50" } th scope="col" class="number" { "p99" }
        } }
        tbody {
            (row("last hour", &traffic.hour))
            (row("last 24 hours", &traffic.day))
        }
    } } }
}

fn history(changes: &[(String, BreakerChange)]) -> Markup {
    html! {
        @if changes.is_empty() {
            p class="soft" { "It has not opened since this host started." }
        } @else {
            div class="scroll" tabindex="0" { table {
                thead { tr {
                    th scope="col" { "Time" } th scope="col" { "Origin" } th scope="col" { "Change" }
                    th scope="col" { "Cause" }
                } }
                tbody { @for (origin, change) in changes.iter().take(CHANGES) { tr {
                    td { (text::time(change.at)) }
                    th scope="row" { code { (origin) } }
                    (change_cells(change))
                } } }
            } }
            @if changes.len() > CHANGES {
                p class="soft" { "The last " (CHANGES) " changes; hoth csps show --json has more." }
            }
        }
    }
}

fn change_cells(change: &BreakerChange) -> Markup {
    let (word, cause) = match &change.what {
        BreakerChangeKind::Opened { jobs, cause } => (
            state(Mood::Bad, "opened"),
            format!(
                "calls of {} failed in a row, last: {cause}",
                text::count(*jobs as u64, "job", "jobs")
            ),
        ),
        BreakerChangeKind::ProbesFailed { probes, until, cause } => (
            state(Mood::Bad, "stayed open"),
            format!(
                "{} failed over {}, last: {cause}",
                text::count(u64::from(*probes), "probe", "probes"),
                text::duration(until.since(change.at)),
            ),
        ),
        BreakerChangeKind::Closed { after } => (
            state(Mood::Good, "closed"),
            format!("the CSP responded after {}", text::duration(*after)),
        ),
        BreakerChangeKind::Reset { after } => (
            state(Mood::Plain, "reset"),
            format!("by an operator, after {}", text::duration(*after)),
        ),
    };
    html! { td { (word) } td { (cause) } }
}

/// Returns the state of credentials; no token is shown.
fn credentials(credentials: &[CredentialStatus], now: Timestamp) -> Markup {
    html! {
        @if credentials.is_empty() { p class="soft" { "None is configured." } }
        @else { div class="scroll" tabindex="0" { table {
            thead { tr {
                th scope="col" { "Credential" } th scope="col" { "Kind" } th scope="col" { "Token" }
                th scope="col" { "Used until" } th scope="col" { "Last obtained" }
                th scope="col" { "Last failure" }
            } }
            tbody { @for credential in credentials { tr {
                th scope="row" { (credential.name.as_deref().unwrap_or("default")) }
                td { code { (credential.kind) } }
                @match &credential.token {
                    None => td colspan="4" class="soft" { "read from its source; it does not expire" },
                    Some(token) => (token_cells(token, now)),
                }
            } } }
        } } }
    }
}

fn token_cells(token: &TokenStatus, now: Timestamp) -> Markup {
    let failed_last = token.failure.as_ref().is_some_and(|(at, _)| Some(*at) >= token.obtained_at);
    let time =
        |at: Option<Timestamp>| html! { @if let Some(at) = at { (text::time(at)) } @else { "–" } };
    html! {
        td { @match (token.usable, failed_last, token.obtained_at) {
            (0, true, _) => (state(Mood::Bad, "none")),
            (0, false, None) => (state(Mood::Plain, "not needed yet")),
            (0, false, Some(_)) => (state(Mood::Plain, "expired")),
            (1, ..) => (state(Mood::Good, "present")),
            (usable, ..) => (state(Mood::Good, &format!("{usable} present"))),
        } }
        td {
            @if let Some(until) = token.used_until {
                (text::time(until)) ", " (text::duration(until.since(now))) " left"
            } @else { "–" }
        }
        td { (time(token.obtained_at)) }
        td class="text" {
            @if let Some((at, message)) = &token.failure { (text::time(*at)) ": " (text::foreign(message)) }
            @if let Some(at) = token.refused_at {
                div { "The CSP refused one at " (text::time(at)) "." }
            }
            @if token.failure.is_none() && token.refused_at.is_none() { "–" }
        }
    }
}
