//! The queries to Cost Management: their scopes, periods and bodies.

use hoth_adapter::Date;
use hoth_adapter::Failure;
use hoth_adapter::Json;
use hoth_adapter::Method;
use hoth_adapter::Object;
use hoth_adapter::Operation;
use hoth_adapter::Request;

use crate::Work;
use crate::arm;
use crate::portfolio;

/// The months of one query: Azure cuts longer periods without a word.
const MONTHS_OF_QUERY: u32 = 12;

/// The years of one request.
pub const QUERIES_MAX: usize = 20;

/// The columns of an answer.
pub const COST: &str = "Cost";
pub const MONTH: &str = "BillingMonth";
pub const CURRENCY: &str = "Currency";
pub const SUBSCRIPTION: &str = "SubscriptionId";

/// A query: some subscriptions, in a period of at most a year.
pub struct Query {
    /// The only subscription, or `None` for all that are marked.
    pub subscription: Option<String>,
    pub first: Date,
    pub last: Date,
}

impl Query {
    /// Returns the request without its body.
    pub fn request(&self, work: &Work<'_>) -> Result<Request, Failure> {
        let below = ["providers", "Microsoft.CostManagement", "query"];
        let scope = match &self.subscription {
            Some(id) => vec!["subscriptions", id],
            None => arm::management_group(portfolio::id(work)?, &[]).collect(),
        };
        let path = scope.into_iter().chain(below);
        Ok(arm::request(work, Method::Post, path, &work.settings.api_versions.costs))
    }

    /// Returns the body, which filters by the marked subscriptions unless the
    /// scope is one of them.
    pub fn body<'a>(&self, work: &Work<'_>, marked: impl Iterator<Item = &'a str>) -> Object {
        let cost = Object::new().with("name", COST).with("function", "Sum");
        let dataset = Object::new()
            .with("granularity", "Monthly")
            .with("aggregation", Object::new().with("totalCost", cost));
        let dataset = match self.subscription {
            Some(_) => dataset,
            None => dataset.with("filter", filter(marked)),
        };
        let dataset = if self.subscription.is_none() && is_grouped(work) {
            let group = Object::new().with("type", "Dimension").with("name", SUBSCRIPTION);
            dataset.with("grouping", vec![Json::from(group)])
        } else {
            dataset
        };
        let period = Object::new()
            .with("from", format!("{}T00:00:00Z", self.first))
            .with("to", format!("{}T23:59:59Z", self.last));
        Object::new()
            .with("type", "ActualCost")
            .with("timeframe", "Custom")
            .with("timePeriod", period)
            .with("dataset", dataset)
    }

    /// Reads the month of a row. Azure changes periods that it does not like,
    /// and costs of other months must not be added.
    pub fn month(&self, text: &str) -> Result<String, Failure> {
        let day = text.get(..10).map(Date::first_of).and_then(Result::ok);
        let month = day.map(Date::month).ok_or_else(|| {
            Failure::invalid_answer(format!("Azure answered costs with a {MONTH} that is no date"))
        })?;
        if (self.first.month()..=self.last.month()).contains(&month) {
            return Ok(month);
        }
        let message = format!("Azure answered costs of {month}, which the query did not ask for");
        Err(Failure::invalid_answer(message))
    }
}

fn filter<'a>(marked: impl Iterator<Item = &'a str>) -> Object {
    let values: Vec<Json> = marked.map(Json::from).collect();
    let rule =
        Object::new().with("name", SUBSCRIPTION).with("operator", "In").with("values", values);
    Object::new().with("dimensions", rule)
}

/// Returns true if an answer has costs of several CLINs, by subscription.
pub fn is_grouped(work: &Work<'_>) -> bool {
    work.job.operation == hoth_adapter::operation::COST_BY_PORTFOLIO
}

/// Returns the first and the last day of each period. Azure would move a period
/// in the future, so today is the last day.
pub fn periods(work: &Work<'_>) -> Result<Vec<(Date, Date)>, Failure> {
    let operation = work.job.operation()?;
    let (Operation::CostByPortfolio { start_date, end_date, .. }
    | Operation::CostByClin { start_date, end_date, .. }) = operation
    else {
        return Err(operation.unsupported());
    };
    let tomorrow = Date::after(&Date::from(work.job.now).to_string())?;
    let after = Date::after(end_date)?.min(tomorrow);
    let mut first = Date::first_of(start_date)?;
    let mut periods = Vec::new();
    // Bounded in case that the calendar ends.
    while first < after && periods.len() <= QUERIES_MAX {
        let year = (0..MONTHS_OF_QUERY).fold(first, |day, _| day.first_of_next_month());
        let next = year.min(after);
        periods.push((first, next.day_before()));
        first = next;
    }
    Ok(periods)
}
