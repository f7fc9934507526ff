//! Costs, from Cost Explorer, by the accounts that are marked with a CLIN.

use std::collections::BTreeMap;

use hoth_adapter::Amount;
use hoth_adapter::Date;
use hoth_adapter::Failure;
use hoth_adapter::Json;
use hoth_adapter::Object;
use hoth_adapter::Operation;
use hoth_adapter::Request;
use hoth_adapter::payload::ClinMark;
use serde::Deserialize;
use serde::Serialize;

use crate::Action;
use crate::Work;
use crate::portfolio::accounts_of;
use crate::service::Error;
use crate::service::Service;
use crate::service::next_page;
use crate::service::object;
use crate::service::objects;
use crate::service::text;
use crate::tags;
use crate::tags::Reading;

/// The metric, as the two operations spell it (botocore, model of `ce`).
const METRIC: &str = "NetUnblendedCost";
const FORECAST_METRIC: &str = "NET_UNBLENDED_COST";

/// The accounts of a portfolio whose costs are added.
const ACCOUNTS_MAX: usize = 2_000;

/// The CLINs whose costs are asked for, with what is known.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Plan {
    clins: Vec<ClinCosts>,
    /// The accounts whose marks are to be read.
    accounts: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ClinCosts {
    mark: ClinMark,
    /// The accounts in Cost Explorer: the commercial ones of pairs.
    accounts: Vec<String>,
    actual: BTreeMap<String, Amount>,
    forecast: Option<BTreeMap<String, Amount>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    /// Reads the task orders of the portfolio.
    Tags {
        reading: Reading,
    },
    Accounts {
        plan: Plan,
        page: Option<String>,
    },
    /// Reads the mark of an account.
    Mark {
        plan: Plan,
        account: usize,
        reading: Reading,
    },
    Usage {
        plan: Plan,
        clin: usize,
        page: Option<String>,
    },
    Forecast {
        plan: Plan,
        clin: usize,
    },
}

/// Half-open.
struct Period {
    first: Date,
    after: Date,
}

impl Call {
    /// Returns the first call, unless the period cannot be read.
    pub fn first(work: &Work<'_>) -> Result<crate::Call, Failure> {
        period(work)?;
        Ok(crate::Call::Costs(Self::Tags { reading: Reading::default() }))
    }

    pub fn request(&self, work: &Work<'_>) -> Result<Request, Failure> {
        let portfolio = work.job.operation()?.portfolio_id().unwrap_or_default();
        Ok(match self {
            Self::Tags { reading } => reading.request(portfolio),
            Self::Accounts { page, .. } => accounts_of(portfolio, page.as_deref()),
            Self::Mark { plan, account, reading } => {
                reading.request(plan.accounts.get(*account).map_or("", String::as_str))
            }
            Self::Usage { plan, clin, page } => {
                let period = actual(work)?.unwrap_or(period(work)?);
                let body = of_accounts(&plan.clins, *clin, &period)
                    .with("Metrics", vec![Json::from(METRIC)])
                    .with_optional("NextPageToken", page.as_deref());
                Service::CostExplorer.billed("GetCostAndUsage", body)
            }
            Self::Forecast { plan, clin } => {
                let period = forecast(work)?.unwrap_or(period(work)?);
                let body = of_accounts(&plan.clins, *clin, &period).with("Metric", FORECAST_METRIC);
                Service::CostExplorer.billed("GetCostForecast", body)
            }
        })
    }

    pub fn after(self, work: &Work<'_>, data: &Object) -> Result<Action, Failure> {
        match self {
            Self::Tags { reading } => match reading.add(data) {
                Err(reading) => go_on(Self::Tags { reading }),
                Ok(tags) => {
                    let clins = clins(work, &tags)?;
                    let plan = Plan { clins, ..Plan::default() };
                    go_on(Self::Accounts { plan, page: None })
                }
            },
            Self::Accounts { mut plan, .. } => {
                let ids = objects(data, "Accounts").filter_map(|account| account.text("Id"));
                plan.accounts.extend(ids.map(str::to_owned));
                if plan.accounts.len() > ACCOUNTS_MAX {
                    let message = format!("the portfolio has more than {ACCOUNTS_MAX} accounts");
                    return Err(Failure::unsupported(message));
                }
                match next_page(data) {
                    Some(page) => go_on(Self::Accounts { plan, page: Some(page) }),
                    None => next_account(work, plan, 0),
                }
            }
            Self::Mark { mut plan, account, reading } => match reading.add(data) {
                Err(reading) => go_on(Self::Mark { plan, account, reading }),
                Ok(tags) => {
                    plan.assign(account, &tags);
                    next_account(work, plan, account + 1)
                }
            },
            Self::Usage { mut plan, clin, .. } => {
                for result in objects(data, "ResultsByTime") {
                    let total = object(object(result, "Total")?, METRIC)?;
                    plan.add(clin, month_of(result)?, total.field("Amount"))?;
                }
                match next_page(data) {
                    Some(page) => go_on(Self::Usage { plan, clin, page: Some(page) }),
                    None => next_forecast(work, plan, clin),
                }
            }
            Self::Forecast { mut plan, clin } => {
                // A forecast begins today, even if the period begins later.
                let first = period(work)?.first.month();
                for result in objects(data, "ForecastResultsByTime") {
                    let month = month_of(result)?;
                    if month >= first {
                        plan.foresee(clin, month, result.field("MeanValue"))?;
                    }
                }
                next_clin(work, plan, clin + 1)
            }
        }
    }

    pub fn after_error(&self, work: &Work<'_>, error: &Error) -> Option<Result<Action, Failure>> {
        match self {
            // New accounts have too few costs for a forecast.
            Self::Forecast { plan, clin } if error.is("DataUnavailableException") => {
                Some(next_clin(work, plan.clone(), clin + 1))
            }
            Self::Tags { .. }
            | Self::Accounts { .. }
            | Self::Mark { .. }
            | Self::Usage { .. }
            | Self::Forecast { .. } => None,
        }
    }
}

impl Plan {
    /// Assigns an account to the CLIN that its tags name. Others cost the
    /// portfolio nothing that a CLIN could pay.
    fn assign(&mut self, account: usize, tags: &Object) {
        let Some(mark) = tags::value(tags, tags::CLIN).and_then(ClinMark::read) else { return };
        let own = self.accounts.get(account).map(String::as_str);
        let Some(id) = tags::value(tags, tags::PAIR).or(own) else { return };
        let clin = self.clins.iter_mut().find(|clin| clin.mark == mark);
        clin.into_iter().for_each(|clin| clin.accounts.push(id.to_owned()));
    }

    fn add(&mut self, clin: usize, month: String, amount: Option<&Json>) -> Result<(), Failure> {
        let Some(clin) = self.clins.get_mut(clin) else { return Ok(()) };
        add(&mut clin.actual, month, amount)
    }

    fn foresee(
        &mut self,
        clin: usize,
        month: String,
        amount: Option<&Json>,
    ) -> Result<(), Failure> {
        let Some(clin) = self.clins.get_mut(clin) else { return Ok(()) };
        add(clin.forecast.get_or_insert_default(), month, amount)
    }
}

fn add(
    sums: &mut BTreeMap<String, Amount>,
    month: String,
    amount: Option<&Json>,
) -> Result<(), Failure> {
    let wrong = || Failure::invalid_answer("Cost Explorer answered an amount that is no number");
    let amount = amount.map(Amount::of).and_then(Result::ok).ok_or_else(wrong)?;
    let sum = sums.entry(month).or_default();
    *sum = sum.checked_add(amount).ok_or_else(wrong)?;
    Ok(())
}

fn next_account(work: &Work<'_>, plan: Plan, account: usize) -> Result<Action, Failure> {
    if account < plan.accounts.len() {
        return go_on(Call::Mark { plan, account, reading: Reading::default() });
    }
    let plan = Plan { accounts: Vec::new(), ..plan };
    next_clin(work, plan, 0)
}

/// Asks for the costs of the next CLIN that has accounts, or ends the job.
fn next_clin(work: &Work<'_>, plan: Plan, clin: usize) -> Result<Action, Failure> {
    let mut rest = plan.clins.iter().enumerate().skip(clin);
    let Some((clin, _)) = rest.find(|(_, clin)| !clin.accounts.is_empty()) else {
        return Ok(Action::done(costs(plan)?));
    };
    match actual(work)? {
        Some(_) => go_on(Call::Usage { plan, clin, page: None }),
        None => next_forecast(work, plan, clin),
    }
}

fn next_forecast(work: &Work<'_>, plan: Plan, clin: usize) -> Result<Action, Failure> {
    match forecast(work)? {
        Some(_) if work.settings.forecast => go_on(Call::Forecast { plan, clin }),
        _ => next_clin(work, plan, clin + 1),
    }
}

fn go_on(call: Call) -> Result<Action, Failure> {
    Ok(Action::Call(crate::Call::Costs(call)))
}

/// Returns the CLINs that the job asks for.
fn clins(work: &Work<'_>, tags: &Object) -> Result<Vec<ClinCosts>, Failure> {
    let orders = tags::task_orders(tags);
    let known = orders
        .iter()
        .flat_map(|order| order.clins.iter().map(move |clin| ClinMark::of(order, clin)));
    let asked = |mark: &ClinMark| match work.job.operation() {
        Ok(Operation::CostByClin { task_order_number, clin, .. }) => {
            mark.order == task_order_number && mark.clin == clin
        }
        _ => true,
    };
    let clins: Vec<ClinCosts> = known
        .filter(asked)
        .map(|mark| ClinCosts {
            mark,
            accounts: Vec::new(),
            actual: BTreeMap::new(),
            forecast: None,
        })
        .collect();
    if let Operation::CostByClin { task_order_number, clin, .. } = work.job.operation()?
        && clins.is_empty()
    {
        let message = format!("the portfolio has no CLIN {clin} of task order {task_order_number}");
        return Err(Failure::refused_because(404, message));
    }
    Ok(clins)
}

fn period(work: &Work<'_>) -> Result<Period, Failure> {
    let operation = work.job.operation()?;
    let (Operation::CostByPortfolio { start_date, end_date, .. }
    | Operation::CostByClin { start_date, end_date, .. }) = operation
    else {
        return Err(operation.unsupported());
    };
    Ok(Period { first: Date::first_of(start_date)?, after: Date::after(end_date)? })
}

/// Returns the part of the period that has passed, today included.
fn actual(work: &Work<'_>) -> Result<Option<Period>, Failure> {
    let Period { first, after } = period(work)?;
    let after = after.min(tomorrow(work)?);
    Ok((first < after).then_some(Period { first, after }))
}

/// Returns the part of the period that is to come, from today on.
fn forecast(work: &Work<'_>) -> Result<Option<Period>, Failure> {
    let after = period(work)?.after;
    // Cost Explorer refuses a forecast that begins after today.
    let first = Date::from(work.job.now);
    Ok((tomorrow(work)? < after).then_some(Period { first, after }))
}

fn tomorrow(work: &Work<'_>) -> Result<Date, Failure> {
    Date::after(&Date::from(work.job.now).to_string())
}

fn of_accounts(clins: &[ClinCosts], clin: usize, period: &Period) -> Object {
    let accounts = clins.get(clin).map(|clin| clin.accounts.as_slice()).unwrap_or_default();
    let accounts: Vec<Json> = accounts.iter().map(|id| Json::from(id.as_str())).collect();
    let dimension = Object::new().with("Key", "LINKED_ACCOUNT").with("Values", accounts);
    let period =
        Object::new().with("Start", period.first.to_string()).with("End", period.after.to_string());
    Object::new()
        .with("TimePeriod", period)
        .with("Granularity", "MONTHLY")
        .with("Filter", Object::new().with("Dimensions", dimension))
}

fn month_of(result: &Object) -> Result<String, Failure> {
    let start = text(object(result, "TimePeriod")?, "Start")?;
    Ok(Date::first_of(start)?.month())
}

/// Returns the costs in HOTH's form.
fn costs(plan: Plan) -> Result<Object, Failure> {
    let mut orders: BTreeMap<String, Vec<Json>> = BTreeMap::new();
    for ClinCosts { mark, actual, forecast, .. } in plan.clins {
        let forecast = forecast.map(sums).transpose()?;
        let clin = Object::new()
            .with("clinNumber", mark.clin)
            .with("actual", sums(actual)?)
            .with_optional("forecast", forecast);
        orders.entry(mark.order).or_default().push(clin.into());
    }
    let order = |(number, clins): (String, Vec<Json>)| {
        let order = Object::new().with("taskOrderId", &number).with("taskOrderNumber", number);
        Json::from(order.with("clins", clins))
    };
    Ok(Object::new().with("taskOrders", orders.into_iter().map(order).collect::<Vec<Json>>()))
}

fn sums(months: BTreeMap<String, Amount>) -> Result<Object, Failure> {
    let total = months.values().try_fold(Amount::default(), |sum, one| sum.checked_add(*one));
    let total = total.ok_or_else(|| Failure::invalid_answer("the costs have too many digits"))?;
    let result = |(month, value): (String, Amount)| {
        Json::from(Object::new().with("month", month).with("value", value.to_string()))
    };
    let results: Vec<Json> = months.into_iter().map(result).collect();
    Ok(Object::new().with("total", total.to_string()).with("results", results))
}
