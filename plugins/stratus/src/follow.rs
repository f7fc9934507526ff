//! The step after a response.

use hoth_adapter::Failure;
use hoth_adapter::Job;
use hoth_adapter::Json;
use hoth_adapter::Next;
use hoth_adapter::Object;
use hoth_adapter::Operation;
use hoth_adapter::Step;
use hoth_adapter::Wait;

use crate::State;
use crate::Stratus;
use crate::call::Call;
use crate::call::Made;
use crate::charges::Sums;
use crate::envelope;
use crate::words;

/// The bound on the pages of one cost request. A page of this API has up to a
/// hundred charges, and a run makes 64 requests at most.
const PAGES_MAX: u32 = 50;

/// Returns the step after `call`, whose response contains `data`.
pub fn after(job: &Job, call: Call, data: Object, next: Option<String>) -> Next<Stratus> {
    let adds_operators = matches!(job.operation()?, Operation::AddOperators { .. });
    match call {
        Call::MakeTenant => {
            let tenant = text(&data, "tenantId")?;
            working(&data, Made::Tenant(tenant))
        }
        Call::MakeAccount => {
            let account = text(&data, "accountId")?;
            working(&data, Made::Account(account))
        }
        Call::ReadOperation { operation, made } => operated(job, operation, made, data),
        Call::ReadTenant { .. } => done(job, "portfolio", named(data, "tenantId")),
        Call::MakeFunding => done(job, "taskOrder", named(data, "fundingId")),
        Call::ReadAccount { account } if adds_operators => {
            let before = data.field("contacts").and_then(Json::as_list).unwrap_or_default();
            at_once(job, Call::PutContacts { account, before: before.to_vec() })
        }
        Call::ReadAccount { account } => {
            let status = words::status(job, &Made::Account(account), "SUCCESS");
            let made = Object::new().with("status", status);
            done_with(made, job, "environment", named(data, "accountId"))
        }
        Call::PutContacts { account, .. } if adds_operators => {
            done(job, "operators", data.with("id", account))
        }
        Call::PutContacts { account, .. } => {
            checkpoint(Call::ReadAccount { account }, "the contacts are attached")
        }
        Call::ReadCharges { pages, sums, .. } => charged(job, pages + 1, sums, &data, next),
    }
}

/// Waits for an operation that the CSP has started. After this wait, a crash
/// repeats no creation.
fn working(data: &Object, made: Made) -> Next<Stratus> {
    let operation = text(data, "operationId")?;
    Ok(ask_later(operation, made, "begun", data))
}

fn ask_later(operation: String, made: Made, note: &str, data: &Object) -> Step<State> {
    let call = Call::ReadOperation { operation: operation.clone(), made };
    let wait = Wait::new(State::before(call), note).reference(operation);
    Wait { after: envelope::pause(data, "checkInMs"), ..wait }.into()
}

/// Returns the step after the status that an operation reports.
fn operated(job: &Job, operation: String, made: Made, data: Object) -> Next<Stratus> {
    let word = data.text("state").unwrap_or_default().to_owned();
    match (word.as_str(), made) {
        ("QUEUED" | "RUNNING", made) => Ok(ask_later(operation, made, &word, &data)),
        ("DONE", Made::Tenant(tenant)) => {
            checkpoint(Call::ReadTenant { tenant }, "the tenant is made")
        }
        ("DONE", Made::Account(account)) => {
            let call = Call::PutContacts { account, before: Vec::new() };
            checkpoint(call, "the account is made")
        }
        ("BROKEN", made) => {
            let status = words::status(job, &made, "FAILURE");
            let response = Object::new().with("status", status).with("operation", data);
            Err(Failure::job_failed("the CSP reports the operation as BROKEN", response))
        }
        (unknown, _) => {
            let message = format!("the CSP answered an unknown state {:?}", envelope::cut(unknown));
            Err(Failure::unavailable(502, message))
        }
    }
}

/// Adds a page, and requests the next one or ends the job.
fn charged(
    job: &Job,
    pages: u32,
    mut sums: Sums,
    data: &Object,
    next: Option<String>,
) -> Next<Stratus> {
    sums.add(data)?;
    match next {
        None => Ok(Step::done(sums.into_costs()?)),
        Some(_) if pages >= PAGES_MAX => {
            let message = format!("the CSP has more than {PAGES_MAX} pages of charges");
            Err(Failure::invalid_answer(message))
        }
        Some(page) => at_once(job, Call::ReadCharges { page: Some(page), pages, sums }),
    }
}

/// Makes the next call in the same run. The last call changed nothing, so a
/// checkpoint is not needed.
fn at_once(job: &Job, call: Call) -> Next<Stratus> {
    Ok(call.request(job)?.then(State::Made { call, busy: 0 }))
}

/// Stores the progress, so that no crash repeats a call.
fn checkpoint(call: Call, note: &str) -> Next<Stratus> {
    Ok(Wait::checkpoint(State::before(call), note).into())
}

fn done(job: &Job, subject: &str, thing: Object) -> Next<Stratus> {
    done_with(Object::new(), job, subject, thing)
}

fn done_with(response: Object, job: &Job, subject: &str, thing: Object) -> Next<Stratus> {
    let asked = job.operation().map(|operation| operation.asked())?;
    let metadata = Object::new().with("status", 200_u16).with("request", asked);
    Ok(Step::done(response.with(subject, thing).with("$metadata", metadata)))
}

/// Adds the key `id`, which ServiceNow reads.
fn named(data: Object, name: &str) -> Object {
    let id = data.field(name).cloned();
    data.with_optional("id", id)
}

/// Returns the text of a field that the CSP must send.
fn text(data: &Object, name: &str) -> Result<String, Failure> {
    let text = data.text(name).map(str::to_owned);
    text.ok_or_else(|| Failure::invalid_answer(format!("the CSP's answer lacks {name}")))
}
