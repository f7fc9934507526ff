//! The timeline of a job: each event with its time, its facts and its duration.

use std::time::Duration;

use maud::Markup;
use maud::html;

use crate::console::text;
use crate::peers::SeenEvent;
use hoth_core::domain::AdapterCalled;
use hoth_core::domain::AdapterEntry;
use hoth_core::domain::CallHold;
use hoth_core::domain::CredentialObtained;
use hoth_core::domain::Ended;
use hoth_core::domain::HoldCause;
use hoth_core::domain::JobEventKind;
use hoth_core::domain::RequestTried;
use hoth_core::domain::StepWord;
use hoth_core::domain::WaitPurpose;
use hoth_core::domain::Waiting;

/// Returns a table of events, with their hosts if there are several. The time
/// after the event before shows the gaps.
pub fn table(events: &[SeenEvent], with_hosts: bool) -> Markup {
    let rows = events.iter().enumerate().map(|(n, SeenEvent { host, event })| {
        let before = n.checked_sub(1).map(|before| events[before].event.at);
        (host, event, before.map(|before| event.at.since(before)))
    });
    html! { div class="scroll" tabindex="0" { table {
        thead { tr {
            th scope="col" { "Time" } th scope="col" class="number" { "After" }
            @if with_hosts { th scope="col" { "Host" } }
            th scope="col" { "Event" } th scope="col" { "Details" }
            th scope="col" class="number" { "Took" }
        } }
        tbody { @for (host, event, after) in rows {
            tr {
                td { (text::time(event.at)) }
                td class="number" { @if let Some(after) = after { (text::duration(after)) } }
                @if with_hosts { td { (text::foreign(host)) } }
                th scope="row" { (title(&event.what)) }
                td class="text" { (details(&event.what)) }
                td class="number" { @if let Some(us) = event.took_us { (text::duration(Duration::from_micros(us))) } }
            }
        } }
    } } }
}

/// Returns the name of an event.
fn title(what: &JobEventKind) -> &'static str {
    match what {
        JobEventKind::Accepted { repeated: false, .. } => "Accepted",
        JobEventKind::Accepted { repeated: true, .. } => "Posted again",
        JobEventKind::Received { resumed: false, .. } => "Begun",
        JobEventKind::Received { resumed: true, .. } => "Resumed",
        JobEventKind::AdapterCalled(call) => match call.entry {
            AdapterEntry::Begin => "Adapter: begin",
            AdapterEntry::Resume => "Adapter: resume",
        },
        JobEventKind::Logged { .. } => "Adapter logged",
        JobEventKind::Delayed { .. } => "Delayed",
        JobEventKind::CallHeld { .. } => "Request held back",
        JobEventKind::CredentialObtained(CredentialObtained { failure: None, .. }) => {
            "Credential obtained"
        }
        JobEventKind::CredentialObtained(CredentialObtained { failure: Some(_), .. }) => {
            "Credential not obtained"
        }
        JobEventKind::RequestTried(_) => "Request",
        JobEventKind::Held { .. } => "Given back",
        JobEventKind::Waits(waits) => match waits.purpose {
            WaitPurpose::Poll => "Waits for the CSP",
            WaitPurpose::Pause => "Pauses",
            WaitPurpose::Checkpoint => "Checkpoint",
        },
        JobEventKind::Ended(_) => "Ended",
        JobEventKind::DeadLettered { .. } => "Dead letter",
        JobEventKind::LeaseLost => "Lease lost",
        JobEventKind::Interrupted => "Interrupted",
        JobEventKind::Leased { .. } => "Outcome leased",
        JobEventKind::Released { .. } => "Outcome released",
        JobEventKind::Collected { .. } => "Outcome collected",
        JobEventKind::Redelivered { .. } => "Outcome made available again",
        JobEventKind::Redriven { .. } => "Dead letter redriven",
        JobEventKind::Purged { .. } => "Dead letter deleted",
        JobEventKind::LookedNow { .. } => "Looked at by hand",
        JobEventKind::Cancelled { .. } => "Cancelled",
        JobEventKind::SettledByHand { .. } => "Settled by hand",
        JobEventKind::Unknown => "Event of a later release",
    }
}

/// Returns the facts of an event.
fn details(what: &JobEventKind) -> Markup {
    match what {
        JobEventKind::Received { attempt, waited_ms, .. } => html! {
            "delivery " (attempt) ", waited " (ms(*waited_ms)) " for a worker"
        },
        JobEventKind::AdapterCalled(call) => adapter_called(call),
        JobEventKind::Logged { level, text: line } => html! {
            (format!("{level:?}").to_lowercase()) ": " (text::foreign(line))
        },
        JobEventKind::Delayed { by_ms } => html! { "by " (ms(*by_ms)) ", as the adapter asks" },
        JobEventKind::CallHeld { cause } => html! { (match cause {
            CallHold::Breaker => "the circuit breaker of the origin is open",
            CallHold::CallLimit => "as many calls as max_concurrent permits were under way",
        }) },
        JobEventKind::CredentialObtained(obtained) => credential_obtained(obtained),
        JobEventKind::RequestTried(tried) => request_tried(tried),
        JobEventKind::Held { cause } => html! { (match cause {
            HoldCause::NotDue => "delivered before it is due",
            HoldCause::NoAdapter => "no version of the adapter can run it",
        }) },
        JobEventKind::Waits(waits) => waiting(waits),
        JobEventKind::Ended(end) => ended(end),
        JobEventKind::DeadLettered { reason } => html! { (text::foreign(reason)) },
        JobEventKind::LeaseLost => html! { "another worker owns the message now" },
        JobEventKind::Interrupted => html! { "the host stopped, or gave the run up" },
        JobEventKind::Accepted { by, .. }
        | JobEventKind::Leased { by }
        | JobEventKind::Released { by }
        | JobEventKind::Collected { by }
        | JobEventKind::Redelivered { by }
        | JobEventKind::Redriven { by }
        | JobEventKind::Purged { by }
        | JobEventKind::LookedNow { by } => {
            html! { @if let Some(by) = by { "by " (text::foreign(by)) } }
        }
        JobEventKind::Cancelled { by, reason } | JobEventKind::SettledByHand { by, reason } => {
            html! { @if let Some(by) = by { "by " (text::foreign(by)) ": " } (text::foreign(reason)) }
        }
        JobEventKind::Unknown => html! {},
    }
}

fn ms(ms: u64) -> String {
    text::duration(Duration::from_millis(ms))
}

fn adapter_called(call: &AdapterCalled) -> Markup {
    let step = match call.step {
        StepWord::Send => "sends a request",
        StepWord::Wait => "waits",
        StepWord::Done => "is done",
        StepWord::Fail => "fails the job",
        StepWord::Broken => "returned no step: it trapped, or broke a limit or the contract",
    };
    html! {
        (step) "; version " (text::foreign(&call.version)) " " code { (text::foreign(&call.digest)) } ", "
        (call.computed_us) " µs computed, " (text::bytes(call.memory_bytes))
    }
}

fn credential_obtained(obtained: &CredentialObtained) -> Markup {
    html! {
        @match &obtained.name { Some(name) => (text::foreign(name)), None => "the default one" }
        @if obtained.renewed { ", because the CSP refused the one before" }
        @if let Some(failure) = obtained.failure { ": " strong { (failure) } }
    }
}

fn request_tried(tried: &RequestTried) -> Markup {
    html! {
        code { (tried.method.as_str()) " " (text::foreign(&tried.origin)) (text::foreign(&tried.path)) } " → "
        @match (tried.status, tried.failure) {
            (Some(status), _) => strong { (status) },
            (None, Some(failure)) => strong { (failure) },
            (None, None) => "no answer",
        }
        @if tried.attempt > 1 { ", try " (tried.attempt) }
        @if let Some(endpoint) = &tried.endpoint { ", endpoint " (text::foreign(endpoint)) }
        @if let Some(pause) = tried.retry_after_ms { ", Retry-After " (ms(pause)) }
        @if tried.credential_refused { ", the credential was refused" }
        @if let Some(pause) = tried.next_ms { "; tried again in " (ms(pause)) }
    }
}

fn waiting(waits: &Waiting) -> Markup {
    html! {
        (text::foreign(&waits.note))
        @if let Some(reference) = &waits.reference { ", reference " code { (text::foreign(reference)) } }
        "; next look at " (text::time(waits.next_at)) ", given up at " (text::time(waits.deadline_at))
    }
}

fn ended(end: &Ended) -> Markup {
    html! {
        "code " strong { (end.code) }
        @if let Some(class) = &end.class { ", " code { (text::foreign(class)) } }
        @if let Some(reason) = &end.reason { ": " (text::foreign(reason)) }
    }
}
