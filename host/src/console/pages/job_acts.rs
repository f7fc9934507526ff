//! The forms of the acts on one job.

use maud::Markup;
use maud::html;

use super::act;
use crate::console::ConsoleState;
use crate::console::text::segment;
use crate::job_status::JobStatus;
use crate::job_status::StatusWord;
use hoth_core::domain::CspName;
use hoth_core::domain::JobKind;

/// Returns the forms of the acts that the state of a job on this host permits.
pub fn forms(console: &ConsoleState, id: &str, kind: JobKind, status: &JobStatus) -> Markup {
    let is_unfinished = match status.state {
        StatusWord::Queued | StatusWord::Held | StatusWord::Waiting => true,
        // A job that a worker has in hand is left alone.
        StatusWord::Running
        | StatusWord::Succeeded
        | StatusWord::Failed
        | StatusWord::Collected
        | StatusWord::Dead => false,
    };
    // A queue that cannot be looked into has no acts on one job.
    if !is_unfinished || status.observed_by.is_some() {
        return html! {};
    }
    let is_held = |csp| console.admin.statuses.hold_of(csp).is_some();
    let waits = status.state == StatusWord::Waiting
        && status.next_look_at.is_some_and(|at| at > console.admin.clock.now())
        && !status.target_csp_name.as_ref().is_some_and(is_held);
    let csp = status.target_csp_name.as_ref().map_or("the CSP", CspName::as_str);
    let path = format!("/console/jobs/{}", segment(id));
    let kind = html! { input type="hidden" name="kind" value=(kind.as_str()); };
    let reason = html! {
        label { "Reason, for the audit" input name="reason" maxlength="500" autocomplete="off" required; }
    };
    html! {
        @if waits {
            (act("Look now", &format!("{path}/look-now"),
                &format!("HOTH asks {csp} for the state of the job at once, and not at its next turn."),
                &kind, false))
        }
        (act("Cancel the job", &format!("{path}/cancel"),
            &format!("It ends with a failure message for ServiceNow. {csp} is not told: what it has begun goes on."),
            &html! { (kind) (reason) }, true))
        (act("Settle by hand", &format!("{path}/settle"),
            &format!("It ends with the outcome that you give, and {csp} is asked no more. For work of which you know the end from elsewhere."),
            &html! {
                (kind)
                label { "Code: 200 for a success, 400 to 599 for a failure"
                    input name="code" inputmode="numeric" pattern="[2-5][0-9][0-9]" required; }
                label { "Response, a JSON object: what ServiceNow reads in content.response"
                    textarea name="response" rows="6" spellcheck="false" required {} }
                (reason)
            }, true))
    }
}
