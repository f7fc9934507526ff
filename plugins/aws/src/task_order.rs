//! Task orders: tags of the portfolio's organizational unit.

use hoth_adapter::Failure;
use hoth_adapter::Json;
use hoth_adapter::Object;
use hoth_adapter::Operation;
use hoth_adapter::Request;
use hoth_adapter::payload::TaskOrder;
use serde::Deserialize;
use serde::Serialize;

use crate::Action;
use crate::Work;
use crate::service::Service;
use crate::tags;
use crate::tags::Reading;

/// The tags that one call removes.
const REMOVED_AT_ONCE: usize = 20;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    /// Sets the tags of the task order. Those that are there already keep their
    /// places, so a repetition changes nothing.
    Set,
    /// Reads the tags that an earlier version of the task order has left.
    Read {
        reading: Reading,
    },
    Remove {
        outdated: Vec<String>,
    },
}

impl Call {
    /// Returns the first call, unless the task order does not fit into tags.
    pub fn first(work: &Work<'_>) -> Result<crate::Call, Failure> {
        own_tags(work)?;
        Ok(crate::Call::TaskOrder(Self::Set))
    }

    pub fn request(&self, work: &Work<'_>) -> Result<Request, Failure> {
        let portfolio = work.job.operation()?.portfolio_id().unwrap_or_default();
        let body = || Object::new().with("ResourceId", portfolio);
        Ok(match self {
            Self::Set => {
                let (tags, _) = own_tags(work)?;
                let tags = tags.iter().map(|(key, value)| (key.as_str(), value.as_str()));
                let body = body().with("Tags", tags::list(tags));
                Service::Organizations.safe("TagResource", body)
            }
            Self::Read { reading } => reading.request(portfolio),
            Self::Remove { outdated } => {
                let keys = outdated.iter().take(REMOVED_AT_ONCE);
                let keys: Vec<Json> = keys.map(|key| Json::from(key.as_str())).collect();
                Service::Organizations.safe("UntagResource", body().with("TagKeys", keys))
            }
        })
    }

    pub fn after(self, work: &Work<'_>, data: &Object) -> Result<Action, Failure> {
        match self {
            Self::Set if matches!(work.job.operation()?, Operation::UpdateTaskOrder { .. }) => {
                go_on(Self::Read { reading: Reading::default() })
            }
            Self::Set => end(work),
            Self::Read { reading } => match reading.add(data) {
                Err(reading) => go_on(Self::Read { reading }),
                Ok(tags) => remove(work, outdated(work, &tags)?),
            },
            Self::Remove { outdated } => {
                remove(work, outdated.into_iter().skip(REMOVED_AT_ONCE).collect())
            }
        }
    }
}

/// Returns the tags that an earlier version of the task order has left.
fn outdated(work: &Work<'_>, tags: &Object) -> Result<Vec<String>, Failure> {
    let (kept, order) = own_tags(work)?;
    let mut outdated = tags::outdated(tags, &order.task_order_number, &kept);
    // A task order may have got another number.
    if let Operation::UpdateTaskOrder { task_order_id, .. } = work.job.operation()?
        && task_order_id != order.task_order_number
    {
        outdated.extend(tags::outdated(tags, task_order_id, &kept));
    }
    Ok(outdated)
}

fn remove(work: &Work<'_>, outdated: Vec<String>) -> Result<Action, Failure> {
    if outdated.is_empty() { end(work) } else { go_on(Call::Remove { outdated }) }
}

fn end(work: &Work<'_>) -> Result<Action, Failure> {
    let (object, order) = task_order(work)?;
    let object = object.clone().into_camel_case();
    work.done("taskOrder", object.with("id", order.task_order_number))
}

fn go_on(call: Call) -> Result<Action, Failure> {
    Ok(Action::Call(crate::Call::TaskOrder(call)))
}

fn own_tags(work: &Work<'_>) -> Result<(Vec<(String, String)>, TaskOrder), Failure> {
    let (_, order) = task_order(work)?;
    Ok((tags::of_task_orders(std::slice::from_ref(&order))?, order))
}

fn task_order<'a>(work: &Work<'a>) -> Result<(&'a Object, TaskOrder), Failure> {
    let operation = work.job.operation()?;
    let (Operation::AddTaskOrder { task_order, .. }
    | Operation::UpdateTaskOrder { task_order, .. }) = operation
    else {
        return Err(operation.unsupported());
    };
    Ok((task_order, task_order.read()?))
}
