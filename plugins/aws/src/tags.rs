//! Tags: the marks on what a job creates, and the task orders of a portfolio.
//!
//! An organizational unit has room for 50 tags. Keys have up to 128 characters
//! and values up to 256: letters, digits, spaces and `_.:/=+-@` (AWS
//! Organizations User Guide, "Tagging AWS Organizations resources"). JSON does
//! not fit, so a task order has a tag for itself and one for each CLIN:
//!
//! | key | value |
//! |---|---|
//! | `hoth-job` | the token of the job that created the thing |
//! | `hoth-clin` | `<task order>.<CLIN>`, of an account |
//! | `hoth-pair` | the commercial account of a GovCloud account |
//! | `hoth:to:<task order>` | `<first>/<last>` |
//! | `hoth:clin:<task order>:<CLIN>` | `<type>/<classification or ->/<first>/<last>` |

use hoth_adapter::Failure;
use hoth_adapter::Job;
use hoth_adapter::Json;
use hoth_adapter::Object;
use hoth_adapter::Request;
use hoth_adapter::payload::Classification;
use hoth_adapter::payload::Clin;
use hoth_adapter::payload::ClinType;
use hoth_adapter::payload::TaskOrder;
use serde::Deserialize;
use serde::Serialize;

use crate::service::Service;
use crate::service::next_page;
use crate::service::objects;

pub const JOB: &str = "hoth-job";
pub const CLIN: &str = "hoth-clin";
pub const PAIR: &str = "hoth-pair";

const ORDER_PREFIX: &str = "hoth:to:";
const CLIN_PREFIX: &str = "hoth:clin:";

/// The tags of one organizational unit, and the bound on reading them.
const TAGS_MAX: usize = 50;
const TAGS_READ_MAX: usize = 4 * TAGS_MAX;

/// The reading of all tags of an organizational unit or an account, page by
/// page.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Reading {
    page: Option<String>,
    tags: Vec<Json>,
}

impl Reading {
    /// Returns the request of the next page.
    pub fn request(&self, id: &str) -> Request {
        self.request_at(Service::Organizations, id)
    }

    /// Returns the request of the next page, in either partition.
    pub fn request_at(&self, service: Service, id: &str) -> Request {
        let body = Object::new().with("ResourceId", id);
        let body = body.with_optional("NextToken", self.page.as_deref());
        service.safe("ListTagsForResource", body)
    }

    /// Adds a page. Returns all tags if it was the last one, otherwise the
    /// reading that goes on.
    pub fn add(mut self, data: &Object) -> Result<Object, Self> {
        self.tags.extend(objects(data, "Tags").cloned().map(Json::from));
        self.page = next_page(data);
        if self.page.is_some() && self.tags.len() < TAGS_READ_MAX {
            return Err(self);
        }
        Ok(Object::new().with("Tags", self.tags))
    }
}

/// Returns the mark of the job that creates something.
pub fn job_mark(job: &Job) -> String {
    job.token("aws")
}

/// Returns true if the job has created what has these tags.
pub fn is_marked(answer: &Object, job: &Job) -> bool {
    value(answer, JOB) == Some(job_mark(job).as_str())
}

/// Returns a list of tags, as AWS reads it.
pub fn list<'a, V: AsRef<str>>(tags: impl IntoIterator<Item = (&'a str, V)>) -> Vec<Json> {
    let tag =
        |(key, value): (&str, V)| Object::new().with("Key", key).with("Value", value.as_ref());
    tags.into_iter().map(|pair| tag(pair).into()).collect()
}

/// Returns the value of a tag in an answer of AWS.
pub fn value<'a>(answer: &'a Object, key: &str) -> Option<&'a str> {
    objects(answer, "Tags").find(|tag| tag.text("Key") == Some(key))?.text("Value")
}

/// Returns the tags of task orders, by key and value.
///
/// # Errors
///
/// [`Failure`] of the class `unsupported` if a value has a character that tags
/// cannot have, or there are too many for one organizational unit.
pub fn of_task_orders(orders: &[TaskOrder]) -> Result<Vec<(String, String)>, Failure> {
    let mut tags = Vec::new();
    for order in orders {
        let number = &order.task_order_number;
        let period = format!("{}/{}", order.pop_start_date, order.pop_end_date);
        tags.push((format!("{ORDER_PREFIX}{number}"), period));
        for clin in &order.clins {
            let key = format!("{CLIN_PREFIX}{number}:{}", clin.clin_number);
            let level = clin.classification_level.map_or("-", Classification::word);
            let kind = clin.kind.word();
            let (first, last) = (&clin.pop_start_date, &clin.pop_end_date);
            tags.push((key, format!("{kind}/{level}/{first}/{last}")));
        }
    }
    for (key, value) in &tags {
        check(key, 128)?;
        check(value, 256)?;
    }
    // One more is the mark of the job.
    if tags.len() >= TAGS_MAX {
        let message = format!(
            "the task orders and CLINs need {} tags, and an organizational unit has room for {}",
            tags.len(),
            TAGS_MAX - 1
        );
        return Err(Failure::unsupported(message));
    }
    Ok(tags)
}

fn check(text: &str, chars_max: usize) -> Result<(), Failure> {
    let fits = |c: char| c.is_alphanumeric() || " _.:/=+-@".contains(c);
    if text.chars().all(fits) && text.chars().count() <= chars_max {
        return Ok(());
    }
    let text: String = text.chars().take(80).collect();
    let message = format!(
        "{text:?} does not fit into a tag: letters, digits, spaces and _.:/=+-@ do, up to \
         {chars_max} characters"
    );
    Err(Failure::unsupported(message))
}

/// Reads the task orders of an organizational unit from its tags. Other tags,
/// and those that cannot be read, are skipped.
pub fn task_orders(answer: &Object) -> Vec<TaskOrder> {
    let tags = || objects(answer, "Tags").filter_map(|tag| tag.text("Key").zip(tag.text("Value")));
    let mut orders: Vec<TaskOrder> = tags().filter_map(|(key, value)| order(key, value)).collect();
    for order in &mut orders {
        let prefix = format!("{CLIN_PREFIX}{}:", order.task_order_number);
        let clin = |(key, value): (&str, &str)| clin(key.strip_prefix(prefix.as_str())?, value);
        order.clins = tags().filter_map(clin).collect();
        order.clins.sort_by(|one, next| one.clin_number.cmp(&next.clin_number));
    }
    orders.sort_by(|one, next| one.task_order_number.cmp(&next.task_order_number));
    orders
}

/// Returns the keys of a task order that are not among `kept`.
pub fn outdated(answer: &Object, order: &str, kept: &[(String, String)]) -> Vec<String> {
    let (own, prefix) = (format!("{ORDER_PREFIX}{order}"), format!("{CLIN_PREFIX}{order}:"));
    objects(answer, "Tags")
        .filter_map(|tag| tag.text("Key"))
        .filter(|key| *key == own || key.starts_with(&prefix))
        .filter(|key| kept.iter().all(|(kept, _)| kept != key))
        .map(str::to_owned)
        .collect()
}

fn order(key: &str, value: &str) -> Option<TaskOrder> {
    let number = key.strip_prefix(ORDER_PREFIX)?;
    let (first, last) = value.split_once('/')?;
    Some(TaskOrder {
        id: Some(number.to_owned()),
        task_order_number: number.to_owned(),
        pop_start_date: first.to_owned(),
        pop_end_date: last.to_owned(),
        clins: Vec::new(),
    })
}

fn clin(number: &str, value: &str) -> Option<Clin> {
    let mut parts = value.split('/');
    let mut part = || parts.next();
    let (kind, level, first, last) = (part()?, part()?, part()?, part()?);
    Some(Clin {
        clin_number: number.to_owned(),
        kind: [ClinType::Cloud, ClinType::NonCloud].into_iter().find(|k| k.word() == kind)?,
        classification_level: LEVELS.into_iter().find(|l| l.word() == level),
        pop_start_date: first.to_owned(),
        pop_end_date: last.to_owned(),
    })
}

const LEVELS: [Classification; 3] =
    [Classification::Unclassified, Classification::Secret, Classification::TopSecret];

#[cfg(test)]
mod tests {
    use super::*;

    fn order(number: &str, clins: usize) -> TaskOrder {
        let clin = |number| Clin {
            clin_number: format!("{number:04}"),
            kind: ClinType::Cloud,
            classification_level: (number % 2 == 0).then_some(Classification::TopSecret),
            pop_start_date: "2026-07-01".to_owned(),
            pop_end_date: "2027-06-30".to_owned(),
        };
        TaskOrder {
            id: Some(number.to_owned()),
            task_order_number: number.to_owned(),
            pop_start_date: "2026-07-01".to_owned(),
            pop_end_date: "2027-06".to_owned(),
            clins: (0..clins).map(clin).collect(),
        }
    }

    fn answer(tags: &[(String, String)]) -> Object {
        let others = [("owner", "x"), ("hoth:to:broken", "no slash"), ("hoth:clin:T1:9", "CLOUD")];
        let tags = tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).chain(others);
        Object::new().with("Tags", list(tags))
    }

    #[test]
    fn task_orders_are_read_back_from_their_tags() {
        let orders = [order("T1", 3), order("T10", 0), order("T2", 2)];
        let tags = of_task_orders(&orders).expect("they fit");
        assert_eq!(tags.len(), 8);
        assert_eq!(task_orders(&answer(&tags)), orders);
    }

    #[test]
    fn what_does_not_fit_into_tags_is_refused() {
        assert!(of_task_orders(&[order("T1", 48)]).is_ok());
        for wrong in [order("T1", 49), order("T\u{7f}", 0), order(&"T".repeat(121), 0)] {
            assert!(of_task_orders(&[wrong]).is_err());
        }
    }

    #[test]
    fn tags_of_clins_that_were_removed_are_outdated() {
        let before = of_task_orders(&[order("T1", 3), order("T10", 1)]).expect("they fit");
        let after = of_task_orders(&[order("T1", 1)]).expect("they fit");
        let mut outdated = outdated(&answer(&before), "T1", &after);
        outdated.sort();
        assert_eq!(outdated, ["hoth:clin:T1:0001", "hoth:clin:T1:0002", "hoth:clin:T1:9"]);
    }
}
