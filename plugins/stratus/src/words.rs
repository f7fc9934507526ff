//! Translation of HOTH's representation to that of Stratus.

use hoth_adapter::Failure;
use hoth_adapter::Job;
use hoth_adapter::Json;
use hoth_adapter::Object;
use hoth_adapter::Operation;
use hoth_adapter::payload;
use hoth_adapter::payload::Classification;
use hoth_adapter::payload::ClinType;

use crate::call::Made;

/// Returns the body that creates a tenant.
pub fn tenant(operation: Operation<'_>) -> Result<Object, Failure> {
    let Operation::AddPortfolio { portfolio } = operation else { return Err(other(operation)) };
    let payload::Portfolio { name, task_orders } = portfolio.read()?;
    let fundings = task_orders.into_iter().map(funding).collect::<Result<Vec<Json>, _>>()?;
    Ok(Object::new().with("label", name).with("fundings", fundings))
}

/// Returns the body that creates an account.
pub fn account(operation: Operation<'_>) -> Result<Object, Failure> {
    let environment = environment(operation)?;
    Ok(Object::new()
        .with("alias", environment.name)
        .with("tier", tier(environment.classification_level)?)
        .with_optional("zone", environment.cloud_distinguisher.map(|cloud| cloud.name))
        .with_optional("title", environment.account_name)
        .with_optional("mailingList", environment.email_distribution_list))
}

/// Returns the body that replaces an account's contacts: the previous ones,
/// except those of the same persons, and the job's.
pub fn contacts(operation: Operation<'_>, before: &[Json]) -> Result<Object, Failure> {
    let operators: Vec<payload::Operator> =
        if let Operation::AddOperators { administrators, .. } = operation {
            Json::from(administrators.to_vec()).read()?
        } else {
            environment(operation)?.administrators
        };
    let person = |contact: &Json| contact.as_object()?.text("person").map(str::to_owned);
    let stays = |contact: &&Json| {
        person(contact).is_none_or(|person| operators.iter().all(|one| one.dod_id != person))
    };
    let mut contacts: Vec<Json> = before.iter().filter(stays).cloned().collect();
    contacts.extend(operators.iter().map(contact));
    Ok(Object::new().with("contacts", contacts))
}

/// Returns the body that creates a funding.
pub fn funding_of(operation: Operation<'_>) -> Result<Json, Failure> {
    let Operation::AddTaskOrder { task_order, .. } = operation else {
        return Err(other(operation));
    };
    funding(task_order.read()?)
}

/// Returns the status of the CSP's work, as ServiceNow reads it.
pub fn status(job: &Job, made: &Made, word: &str) -> Object {
    let portfolio_id = job.operation().ok().and_then(|operation| operation.portfolio_id());
    let (tenant, account) = match made {
        Made::Tenant(tenant) => (Some(tenant.as_str()), None),
        Made::Account(account) => (portfolio_id, Some(account.as_str())),
    };
    Object::new()
        .with("provisioningJobId", &job.id)
        .with_optional("portfolioId", tenant)
        .with_optional("environmentId", account)
        .with("status", word)
}

/// Returns the failure of a call that does not belong to the operation.
pub fn other(operation: Operation<'_>) -> Failure {
    Failure::broken(format!("{} was given the call of another operation", operation.word()))
}

fn environment(operation: Operation<'_>) -> Result<payload::Environment, Failure> {
    let Operation::AddEnvironment { environment, .. } = operation else {
        return Err(other(operation));
    };
    Ok(environment.read()?)
}

fn funding(order: payload::TaskOrder) -> Result<Json, Failure> {
    let lines = order.clins.into_iter().map(line).collect::<Result<Vec<Json>, _>>()?;
    Ok(Object::new()
        .with("number", order.task_order_number)
        .with("from", order.pop_start_date)
        .with("to", order.pop_end_date)
        .with("lines", lines)
        .into())
}

fn line(clin: payload::Clin) -> Result<Json, Failure> {
    let kind = match clin.kind {
        ClinType::Cloud => "cloud",
        ClinType::NonCloud => "other",
    };
    let tier = clin.classification_level.map(tier).transpose()?;
    Ok(Object::new()
        .with("line", clin.clin_number)
        .with("kind", kind)
        .with_optional("tier", tier)
        .with("from", clin.pop_start_date)
        .with("to", clin.pop_end_date)
        .into())
}

fn contact(operator: &payload::Operator) -> Json {
    Object::new()
        .with("mail", &operator.email)
        .with("person", &operator.dod_id)
        .with("mustReset", operator.needs_reset)
        .into()
}

fn tier(level: Classification) -> Result<&'static str, Failure> {
    match level {
        Classification::Unclassified => Ok("open"),
        Classification::Secret => Ok("guarded"),
        Classification::TopSecret => {
            Err(Failure::unsupported("the CSP has nothing for the classification TOP_SECRET"))
        }
    }
}
