//! Portfolios: management groups.

use hoth_adapter::Answer;
use hoth_adapter::Failure;
use hoth_adapter::Json;
use hoth_adapter::Method;
use hoth_adapter::Object;
use hoth_adapter::Operation;
use hoth_adapter::Request;
use hoth_adapter::Wait;
use hoth_adapter::calls::Made;
use hoth_adapter::calls::with_made;
use hoth_adapter::payload;
use serde::Deserialize;
use serde::Serialize;

use crate::Action;
use crate::Work;
use crate::arm;
use crate::arm::Error;
use crate::arm::objects;
use crate::arm::part;
use crate::arm::text;
use crate::long_running;
use crate::long_running::Progress;
use crate::long_running::Watch;
use crate::task_orders;

/// The object that the operation creates, in failures and in `made`.
const WHAT: &str = "management group";
const KIND: &str = "management-group";

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    /// Creates the group, or finds it: its name is that of the job.
    Create,
    Poll {
        name: String,
        watch: Watch,
    },
    /// Reads the group that was created.
    ReadCreated {
        name: String,
    },
    Read,
}

impl Call {
    pub fn request(&self, work: &Work<'_>) -> Result<Request, Failure> {
        let version = &work.settings.api_versions.management_groups;
        let group = |method: Method, name: &str| {
            arm::request(work, method, arm::management_group(name, &[]), version)
        };
        Ok(match self {
            Self::Create => {
                let parent = work.settings.parent.as_deref().map(|parent| {
                    let parent = Object::new().with("id", arm::management_group_id(parent));
                    Object::new().with("parent", parent)
                });
                let properties = Object::new()
                    .with("displayName", portfolio(work)?.name)
                    .with_optional("details", parent);
                group(Method::Put, &name(work))
                    .header("Cache-Control", "no-cache")
                    .json(Object::new().with("properties", properties))
            }
            Self::Poll { name, watch } => watch.request(work, group(Method::Get, name)),
            Self::ReadCreated { name } => group(Method::Get, name),
            Self::Read => tree(work)?,
        })
    }

    pub fn after(self, work: &Work<'_>, answer: &Answer) -> Result<Action, Failure> {
        match self {
            Self::Create => created(work, name(work), long_running::started(answer)?),
            Self::Poll { name, watch } => {
                created(work, name, long_running::polled(&watch, answer)?)
            }
            Self::ReadCreated { .. } => work.done("portfolio", described(&arm::body(answer)?)?),
            Self::Read => {
                let group = arm::body(answer)?;
                let portfolio = described(&group)?;
                let id = portfolio.text("id").unwrap_or_default();
                let orders = task_orders::of_portfolio(&work.settings, id)?;
                let order = |order: payload::TaskOrder| Json::from(order.task_order_number);
                let environments: Vec<Json> =
                    subscriptions(&group).into_iter().map(environment).collect();
                let portfolio = portfolio
                    .with("taskOrderNumbers", orders.into_iter().map(order).collect::<Vec<_>>())
                    .with("environments", environments);
                work.done("portfolio", portfolio)
            }
        }
    }

    pub fn poll_failure(&self, error: &Error) -> Option<Failure> {
        match self {
            Self::Poll { watch, .. } => Some(watch.failure(WHAT, error)),
            Self::ReadCreated { .. } => Some(error.clone().into_failure().while_polling()),
            Self::Create | Self::Read => None,
        }
    }

    /// Returns the same `PUT`, which finds what it has created.
    pub fn after_loss(&self) -> Option<Self> {
        matches!(self, Self::Create).then_some(Self::Create)
    }

    pub fn made(&self) -> Vec<Made> {
        match self {
            Self::Poll { name, .. } | Self::ReadCreated { name } => {
                vec![(KIND, name.clone())]
            }
            Self::Create | Self::Read => Vec::new(),
        }
    }
}

fn created(work: &Work<'_>, name: String, progress: Progress) -> Result<Action, Failure> {
    match progress {
        Progress::Running(watch) => {
            let reference = watch.reference(&name).to_owned();
            let call = Call::Poll { name, watch };
            let wait = Wait::new(call, "Azure creates the management group").reference(reference);
            Ok(wait.map(crate::Call::Portfolio).into())
        }
        Progress::Succeeded(Some(group)) => work.done("portfolio", described(&group)?),
        Progress::Succeeded(None) => {
            Ok(Action::Call(crate::Call::Portfolio(Call::ReadCreated { name })))
        }
        Progress::Failed { code, message } => {
            let failure = long_running::failed(WHAT, &code, &message);
            Err(with_made(failure, vec![(KIND, name)]))
        }
    }
}

fn name(work: &Work<'_>) -> String {
    work.job.uuid("portfolio")
}

fn portfolio(work: &Work<'_>) -> Result<payload::Portfolio, Failure> {
    let operation = work.job.operation()?;
    let Operation::AddPortfolio { portfolio } = operation else {
        return Err(operation.unsupported());
    };
    Ok(portfolio.read()?)
}

/// Returns the portfolio of a job that does not create one.
///
/// # Errors
///
/// [`Failure`] of the class `unsupported`, also for the management group above
/// all portfolios: an operator there would have a role in all of them.
pub fn id<'a>(work: &Work<'a>) -> Result<&'a str, Failure> {
    let lacks = || Failure::unsupported("the request lacks portfolioId");
    let id = work.job.operation()?.portfolio_id().ok_or_else(lacks)?;
    let parent = work.settings.parent.as_deref();
    if parent.is_some_and(|parent| parent.eq_ignore_ascii_case(id)) {
        let message = "the portfolioId is that of settings.parent, which is no portfolio";
        return Err(Failure::unsupported(message));
    }
    Ok(id)
}

/// Reads the job's management group with everything below it.
///
/// # Errors
///
/// As of [`id`].
pub fn tree(work: &Work<'_>) -> Result<Request, Failure> {
    let version = &work.settings.api_versions.management_groups;
    let request = arm::request(work, Method::Get, arm::management_group(id(work)?, &[]), version)
        .query("$expand", "children")
        .query("$recurse", "true")
        .header("Cache-Control", "no-cache");
    Ok(request)
}

/// Returns the subscriptions of a management group and of those below it, which
/// Azure nests six levels deep at most.
pub fn subscriptions(group: &Object) -> Vec<&Object> {
    let mut found = Vec::new();
    let mut rest: Vec<&Object> = part(group, "properties")
        .map(|group| objects(group, "children").collect())
        .unwrap_or_default();
    rest.reverse();
    while let Some(child) = rest.pop() {
        if child.text("type").is_some_and(|kind| kind.eq_ignore_ascii_case("/subscriptions")) {
            found.push(child);
        }
        let below: Vec<&Object> = objects(child, "children").collect();
        rest.extend(below.into_iter().rev());
    }
    found
}

/// Returns a management group as ServiceNow reads it.
fn described(group: &Object) -> Result<Object, Failure> {
    let name = part(group, "properties").and_then(|properties| properties.text("displayName"));
    Ok(Object::new()
        .with("id", text(group, "name")?)
        .with_optional("name", name)
        .with_optional("resourceId", group.text("id")))
}

fn environment(subscription: &Object) -> Json {
    Object::new()
        .with_optional("id", subscription.text("name"))
        .with_optional("name", subscription.text("displayName"))
        .into()
}
