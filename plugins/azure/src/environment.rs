//! Environments: subscriptions, created by an alias.
//!
//! The alias has the name of the job, so a second `PUT` answers the
//! subscription of the first. Its management group and tags are part of the
//! request, because a subscription without its mark would be lost if the job
//! ended before it was marked.

use hoth_adapter::Answer;
use hoth_adapter::Failure;
use hoth_adapter::Method;
use hoth_adapter::Object;
use hoth_adapter::Operation;
use hoth_adapter::Request;
use hoth_adapter::Wait;
use hoth_adapter::calls::Made;
use hoth_adapter::calls::with_made;
use hoth_adapter::payload;
use hoth_adapter::payload::ClinMark;
use serde::Deserialize;
use serde::Serialize;

use crate::Action;
use crate::Work;
use crate::arm;
use crate::arm::Error;
use crate::arm::part;
use crate::long_running;
use crate::long_running::Progress;
use crate::long_running::Watch;
use crate::operators;
use crate::portfolio;
use crate::task_orders;

/// The length of a subscription's name (Azure naming rules, Subscription).
const NAME_CHARS_MAX: usize = 64;

/// A new subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    pub id: String,
    pub clin: ClinMark,
}

/// The object that the operation creates, in failures.
const WHAT: &str = "subscription";

/// The object that Azure keeps even if it creates no subscription.
const KIND: &str = "alias";

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    /// Creates the alias, or finds it.
    Create {
        clin: ClinMark,
    },
    Poll {
        alias: String,
        clin: ClinMark,
        watch: Watch,
    },
    /// Reads the alias that was created.
    ReadCreated {
        alias: String,
        clin: ClinMark,
    },
}

/// Returns the first call, unless the environment does not fit to the CSP.
pub fn first(work: &Work<'_>) -> Result<crate::Call, Failure> {
    let environment = environment(work)?;
    let level = environment.classification_level;
    if !work.settings.levels.contains(&level) {
        let level = level.word();
        let message = format!("the CSP does not serve {level}: see its settings.levels");
        return Err(Failure::unsupported(message));
    }
    work.settings.billing_scope()?;
    if !environment.administrators.is_empty() {
        operators::check(work)?;
    }
    let clin = task_orders::choose_clin(work, portfolio::id(work)?, level)?;
    Ok(crate::Call::Environment(Call::Create { clin }))
}

impl Call {
    pub fn request(&self, work: &Work<'_>) -> Result<Request, Failure> {
        let alias = |method: Method, name: &str| {
            let path = ["providers", "Microsoft.Subscription", "aliases", name];
            arm::request(work, method, path, &work.settings.api_versions.aliases)
        };
        Ok(match self {
            Self::Create { clin } => {
                let tags = Object::new()
                    .with(task_orders::JOB_TAG, work.job.token("azure"))
                    .with(task_orders::CLIN_TAG, clin.to_string());
                let additional = Object::new()
                    .with("managementGroupId", arm::management_group_id(portfolio::id(work)?))
                    .with("tags", tags);
                let properties = Object::new()
                    .with("displayName", name(&environment(work)?))
                    .with("workload", work.settings.workload.word())
                    .with("billingScope", work.settings.billing_scope()?)
                    .with("additionalProperties", additional);
                alias(Method::Put, &alias_name(work))
                    .json(Object::new().with("properties", properties))
            }
            Self::Poll { alias: name, watch, .. } => watch.request(work, alias(Method::Get, name)),
            Self::ReadCreated { alias: name, .. } => alias(Method::Get, name),
        })
    }

    pub fn after(self, work: &Work<'_>, answer: &Answer) -> Result<Action, Failure> {
        match self {
            Self::Create { clin } => {
                progressed(work, alias_name(work), clin, long_running::started(answer)?)
            }
            Self::Poll { alias, clin, watch } => {
                progressed(work, alias, clin, long_running::polled(&watch, answer)?)
            }
            Self::ReadCreated { clin, .. } => created(work, clin, &arm::body(answer)?),
        }
    }

    pub fn poll_failure(&self, error: &Error) -> Option<Failure> {
        match self {
            Self::Poll { watch, .. } => Some(watch.failure(WHAT, error)),
            Self::ReadCreated { .. } => Some(error.clone().into_failure().while_polling()),
            Self::Create { .. } => None,
        }
    }

    /// Returns the same `PUT`, which finds what it has created.
    pub fn after_loss(&self) -> Option<Self> {
        matches!(self, Self::Create { .. }).then(|| self.clone())
    }

    pub fn made(&self) -> Vec<Made> {
        match self {
            Self::Poll { alias, .. } | Self::ReadCreated { alias, .. } => {
                vec![(KIND, alias.clone())]
            }
            Self::Create { .. } => Vec::new(),
        }
    }
}

fn progressed(
    work: &Work<'_>,
    alias: String,
    clin: ClinMark,
    progress: Progress,
) -> Result<Action, Failure> {
    match progress {
        Progress::Running(watch) => {
            let reference = watch.reference(&alias).to_owned();
            let call = Call::Poll { alias, clin, watch };
            let wait = Wait::new(call, "Azure creates the subscription").reference(reference);
            Ok(wait.map(crate::Call::Environment).into())
        }
        Progress::Succeeded(Some(body)) => created(work, clin, &body),
        Progress::Succeeded(None) => {
            Ok(Action::Call(crate::Call::Environment(Call::ReadCreated { alias, clin })))
        }
        Progress::Failed { code, message } => {
            let failure = long_running::failed(WHAT, &code, &message);
            Err(with_made(failure, vec![(KIND, alias)]))
        }
    }
}

/// Continues with the operators of a new subscription.
fn created(work: &Work<'_>, clin: ClinMark, alias: &Object) -> Result<Action, Failure> {
    let properties = part(alias, "properties").ok_or_else(|| arm::lacks("properties"))?;
    let id = arm::text(properties, "subscriptionId")?.to_owned();
    let subscription = Subscription { id, clin };
    if environment(work)?.administrators.is_empty() {
        return end(work, &subscription);
    }
    let call = operators::first_of_environment(subscription);
    Ok(Wait::checkpoint(call, "the subscription is created").into())
}

/// Ends the job, whose subscription is ready.
pub fn end(work: &Work<'_>, subscription: &Subscription) -> Result<Action, Failure> {
    let environment = environment(work)?;
    let object = Object::new()
        .with("id", &subscription.id)
        .with("name", &environment.name)
        .with("subscriptionName", name(&environment))
        .with("taskOrderNumber", &subscription.clin.order)
        .with("clinNumber", &subscription.clin.clin);
    work.done("environment", object)
}

fn alias_name(work: &Work<'_>) -> String {
    work.job.uuid("environment")
}

fn environment(work: &Work<'_>) -> Result<payload::Environment, Failure> {
    let operation = work.job.operation()?;
    let Operation::AddEnvironment { environment, .. } = operation else {
        return Err(operation.unsupported());
    };
    Ok(environment.read()?)
}

/// Returns the name of the subscription.
fn name(environment: &payload::Environment) -> String {
    let wanted = environment.account_name.as_ref().unwrap_or(&environment.name);
    wanted.chars().take(NAME_CHARS_MAX).collect()
}
