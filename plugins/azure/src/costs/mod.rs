//! Costs, from Cost Management, by the subscriptions that are marked with a
//! CLIN.
//!
//! Azure allows about four queries a minute, so one query has the costs of all
//! CLINs of a portfolio, by subscription.

mod query;

use std::collections::BTreeMap;

use hoth_adapter::Amount;
use hoth_adapter::Answer;
use hoth_adapter::Failure;
use hoth_adapter::Json;
use hoth_adapter::Method;
use hoth_adapter::Object;
use hoth_adapter::Operation;
use hoth_adapter::Request;
use hoth_adapter::Retry;
use hoth_adapter::Wait;
use hoth_adapter::payload::ClinMark;
use serde::Deserialize;
use serde::Serialize;

use crate::Action;
use crate::Work;
use crate::arm;
use crate::arm::lacks;
use crate::arm::objects;
use crate::arm::part;
use crate::costs::query::COST;
use crate::costs::query::CURRENCY;
use crate::costs::query::MONTH;
use crate::costs::query::QUERIES_MAX;
use crate::costs::query::Query;
use crate::costs::query::SUBSCRIPTION;
use crate::costs::query::is_grouped;
use crate::costs::query::periods;
use crate::portfolio;
use crate::settings::CostScope;
use crate::task_orders;

/// The subscriptions of a portfolio whose costs are added.
const SUBSCRIPTIONS_MAX: usize = 2_000;

/// The CLINs whose costs are asked for, with what is known.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Plan {
    clins: Vec<ClinCosts>,
    /// The subscriptions of the portfolio, until their tags are known.
    inside: Vec<String>,
    /// The currency of the amounts so far.
    currency: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ClinCosts {
    mark: ClinMark,
    subscriptions: Vec<String>,
    months: BTreeMap<String, Amount>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    /// Reads the subscriptions of the portfolio.
    Portfolio,
    /// Reads the tags of all subscriptions.
    Subscriptions { plan: Plan, page: Option<String> },
    /// Asks for the costs of the `number`th query.
    Query { plan: Plan, number: usize, page: Option<String> },
}

/// Returns the first call, unless the period cannot be read.
pub fn first(work: &Work<'_>) -> Result<crate::Call, Failure> {
    if periods(work)?.len() > QUERIES_MAX {
        let message = format!("the period is longer than {QUERIES_MAX} years");
        return Err(Failure::unsupported(message));
    }
    Ok(crate::Call::Costs(Call::Portfolio))
}

impl Call {
    pub fn request(&self, work: &Work<'_>) -> Result<Request, Failure> {
        match self {
            Self::Portfolio => portfolio::tree(work),
            Self::Subscriptions { page: Some(page), .. } => {
                Ok(arm::location(work, Method::Get, page))
            }
            Self::Subscriptions { page: None, .. } => {
                let version = &work.settings.api_versions.subscriptions;
                Ok(arm::request(work, Method::Get, ["subscriptions"], version))
            }
            Self::Query { plan, number, page } => {
                let query = plan.query(work, *number)?;
                let request = match page {
                    // A page is asked for with the same body.
                    Some(page) => arm::location(work, Method::Post, page),
                    None => query.request(work)?,
                };
                // A repetition by the host would make the throttle longer.
                Ok(request.json(query.body(work, plan.marked())).retry(Retry::Never))
            }
        }
    }

    pub fn after(self, work: &Work<'_>, answer: &Answer) -> Result<Action, Failure> {
        let body = arm::body(answer)?;
        match self {
            Self::Portfolio => {
                let inside: Vec<String> = portfolio::subscriptions(&body)
                    .into_iter()
                    .filter_map(|subscription| subscription.text("name"))
                    .map(str::to_ascii_lowercase)
                    .collect();
                if inside.len() > SUBSCRIPTIONS_MAX {
                    let message =
                        format!("the portfolio has more than {SUBSCRIPTIONS_MAX} subscriptions");
                    return Err(Failure::unsupported(message));
                }
                let plan = Plan { clins: clins(work)?, inside, currency: None };
                go_on(Self::Subscriptions { plan, page: None })
            }
            Self::Subscriptions { mut plan, .. } => {
                objects(&body, "value").for_each(|subscription| plan.assign(work, subscription));
                match arm::next_page(&body) {
                    Some(page) => go_on(Self::Subscriptions { plan, page: Some(page) }),
                    None => begin_queries(work, Plan { inside: Vec::new(), ..plan }),
                }
            }
            Self::Query { mut plan, number, .. } => {
                let query = plan.query(work, number)?;
                // 204 has no body: there are no costs.
                let found = part(&body, "properties").cloned().unwrap_or_default();
                plan.add(work, &query, &found)?;
                match arm::next_page(&found) {
                    Some(page) => go_on(Self::Query { plan, number, page: Some(page) }),
                    None => next_query(work, plan, number + 1),
                }
            }
        }
    }

    /// Returns the same query, which the host does not repeat by itself.
    pub fn after_loss(&self) -> Option<Self> {
        matches!(self, Self::Query { .. }).then(|| self.clone())
    }
}

impl Plan {
    /// Assigns a subscription of the portfolio to the CLIN that its tag names.
    /// Others cost the portfolio nothing that a CLIN could pay.
    fn assign(&mut self, work: &Work<'_>, subscription: &Object) {
        let Some(id) = subscription.text("subscriptionId").map(str::to_ascii_lowercase) else {
            return;
        };
        let tag = part(subscription, "tags").and_then(|tags| tags.text(task_orders::CLIN_TAG));
        let Some(mark) = tag.and_then(ClinMark::read) else { return };
        if !self.inside.contains(&id) || !is_asked(work, &mark) {
            return;
        }
        match self.clins.iter_mut().find(|clin| clin.mark == mark) {
            Some(clin) => clin.subscriptions.push(id),
            None => self.clins.push(ClinCosts {
                mark,
                subscriptions: vec![id],
                months: BTreeMap::new(),
            }),
        }
    }

    fn marked(&self) -> impl Iterator<Item = &str> {
        let ids = self.clins.iter().flat_map(|clin| &clin.subscriptions);
        ids.map(String::as_str)
    }

    /// Returns the number of queries: the periods of each scope.
    fn queries(&self, work: &Work<'_>) -> Result<usize, Failure> {
        let scopes = match work.settings.cost_scope {
            CostScope::ManagementGroup => self.marked().count().min(1),
            CostScope::Subscription => self.marked().count(),
        };
        Ok(scopes * periods(work)?.len())
    }

    fn query(&self, work: &Work<'_>, number: usize) -> Result<Query, Failure> {
        let periods = periods(work)?;
        let wrong = || Failure::broken("the state counts more queries than there are");
        let scope = number.checked_div(periods.len()).ok_or_else(wrong)?;
        let (first, last) = periods.get(number % periods.len()).copied().ok_or_else(wrong)?;
        let subscription = match work.settings.cost_scope {
            CostScope::ManagementGroup => None,
            CostScope::Subscription => Some(self.marked().nth(scope).ok_or_else(wrong)?.to_owned()),
        };
        Ok(Query { subscription, first, last })
    }

    /// Adds the rows of a page. Azure orders the columns as it likes.
    fn add(&mut self, work: &Work<'_>, query: &Query, found: &Object) -> Result<(), Failure> {
        let names: Vec<&str> = objects(found, "columns").filter_map(|c| c.text("name")).collect();
        let column = |name: &str| names.iter().position(|other| other.eq_ignore_ascii_case(name));
        let rows = found.field("rows").and_then(Json::as_list).unwrap_or_default();
        if rows.is_empty() {
            return Ok(());
        }
        let cost = column(COST).ok_or_else(|| lacks(COST))?;
        let month = column(MONTH).ok_or_else(|| lacks(MONTH))?;
        let currency = column(CURRENCY).ok_or_else(|| lacks(CURRENCY))?;
        let subscription = column(SUBSCRIPTION);
        for row in rows {
            let row = row.as_list().unwrap_or_default();
            let text = |column: usize| row.get(column).and_then(Json::as_text);
            self.check_currency(text(currency).ok_or_else(|| lacks(CURRENCY))?)?;
            let month = query.month(text(month).ok_or_else(|| lacks(MONTH))?)?;
            let amount = row.get(cost).map(Amount::of).and_then(Result::ok);
            let amount = amount.ok_or_else(no_amount)?;
            let id = query.subscription.as_deref().or_else(|| subscription.and_then(text));
            let clin = match (id, is_grouped(work)) {
                (None, true) => return Err(lacks(SUBSCRIPTION)),
                (None, false) => self.clins.first_mut(),
                (Some(id), _) => self.clins.iter_mut().find(|clin| {
                    clin.subscriptions.iter().any(|other| other.eq_ignore_ascii_case(id))
                }),
            };
            let Some(clin) = clin else { continue };
            let sum = clin.months.entry(month).or_default();
            *sum = sum.checked_add(amount).ok_or_else(no_amount)?;
        }
        Ok(())
    }

    fn check_currency(&mut self, currency: &str) -> Result<(), Failure> {
        match &self.currency {
            Some(known) if known != currency => {
                let message = format!("the costs are in {known} and {currency}");
                Err(Failure::invalid_answer(message))
            }
            Some(_) => Ok(()),
            None => {
                self.currency = Some(currency.to_owned());
                Ok(())
            }
        }
    }
}

fn begin_queries(work: &Work<'_>, plan: Plan) -> Result<Action, Failure> {
    if let Operation::CostByClin { task_order_number, clin, .. } = work.job.operation()?
        && plan.clins.is_empty()
    {
        let message = format!("the portfolio has no CLIN {clin} of task order {task_order_number}");
        return Err(Failure::refused_because(404, message));
    }
    next_query(work, plan, 0)
}

/// Asks for the costs of the next query, or ends the job.
fn next_query(work: &Work<'_>, plan: Plan, number: usize) -> Result<Action, Failure> {
    if number >= plan.queries(work)? {
        return Ok(Action::done(costs(plan)?));
    }
    let call = crate::Call::Costs(Call::Query { plan, number, page: None });
    if number == 0 {
        return Ok(Action::Call(call));
    }
    // A query is dear: a crash must not repeat those before.
    Ok(Wait::checkpoint(call, format!("{number} queries are answered")).into())
}

fn go_on(call: Call) -> Result<Action, Failure> {
    Ok(Action::Call(crate::Call::Costs(call)))
}

/// Returns the CLINs of the settings that the job asks for.
fn clins(work: &Work<'_>) -> Result<Vec<ClinCosts>, Failure> {
    let orders = task_orders::of_portfolio(&work.settings, portfolio::id(work)?)?;
    let marks = orders
        .iter()
        .flat_map(|order| order.clins.iter().map(move |clin| ClinMark::of(order, clin)));
    let asked = marks.filter(|mark| is_asked(work, mark));
    let empty = |mark| ClinCosts { mark, subscriptions: Vec::new(), months: BTreeMap::new() };
    Ok(asked.map(empty).collect())
}

fn is_asked(work: &Work<'_>, mark: &ClinMark) -> bool {
    match work.job.operation() {
        Ok(Operation::CostByClin { task_order_number, clin, .. }) => {
            mark.order == task_order_number && mark.clin == clin
        }
        Ok(_) | Err(_) => true,
    }
}

/// Returns the costs in HOTH's form.
fn costs(plan: Plan) -> Result<Object, Failure> {
    let mut orders: BTreeMap<String, Vec<ClinCosts>> = BTreeMap::new();
    for clin in plan.clins {
        orders.entry(clin.mark.order.clone()).or_default().push(clin);
    }
    let mut list = Vec::new();
    for (number, clins) in orders {
        let clins: Result<Vec<Json>, Failure> = clins.into_iter().map(costs_of_clin).collect();
        let order = Object::new().with("taskOrderId", &number).with("taskOrderNumber", number);
        list.push(Json::from(order.with("clins", clins?)));
    }
    Ok(Object::new().with("taskOrders", list))
}

fn costs_of_clin(clin: ClinCosts) -> Result<Json, Failure> {
    let months = clin.months;
    let total = months.values().try_fold(Amount::default(), |sum, one| sum.checked_add(*one));
    let total = total.ok_or_else(no_amount)?;
    let result = |(month, value): (String, Amount)| {
        Json::from(Object::new().with("month", month).with("value", value.to_string()))
    };
    let results: Vec<Json> = months.into_iter().map(result).collect();
    let actual = Object::new().with("total", total.to_string()).with("results", results);
    Ok(Object::new().with("clinNumber", clin.mark.clin).with("actual", actual).into())
}

fn no_amount() -> Failure {
    Failure::invalid_answer("Azure answered a cost that is no number, or has too many digits")
}
