//! Portfolios: organizational units.

use hoth_adapter::Failure;
use hoth_adapter::Json;
use hoth_adapter::Object;
use hoth_adapter::Operation;
use hoth_adapter::Request;
use hoth_adapter::payload;
use hoth_adapter::payload::Classification;
use hoth_adapter::payload::Clin;
use hoth_adapter::payload::TaskOrder;
use serde::Deserialize;
use serde::Serialize;

use crate::Action;
use crate::Work;
use crate::service::Error;
use crate::service::Search;
use crate::service::Service;
use crate::service::next_page;
use crate::service::object;
use crate::service::objects;
use crate::service::search;
use crate::service::text;
use crate::tags;
use crate::tags::Reading;

/// The accounts that a portfolio shows. A page has 20, and a run makes 64
/// requests.
const ACCOUNTS_MAX: usize = 1_000;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    Create,
    /// Searches the parent for a unit of the same name.
    Find {
        page: Option<String>,
        /// True if AWS has refused to create the unit, because it exists.
        exists: bool,
    },
    /// Compares the mark of a unit of the same name.
    CheckMark {
        unit: Object,
        reading: Reading,
    },
    Read {
        id: String,
    },
    ReadTags {
        unit: Object,
        reading: Reading,
    },
    ReadAccounts {
        unit: Object,
        orders: Vec<Json>,
        accounts: Vec<Json>,
        page: Option<String>,
    },
}

impl Call {
    /// Creates the unit without a search: its name is unique below its parent,
    /// so a second one is refused.
    pub fn first_of_creation() -> crate::Call {
        crate::Call::Portfolio(Self::Create)
    }

    pub fn first_of_reading(id: &str) -> crate::Call {
        crate::Call::Portfolio(Self::Read { id: id.to_owned() })
    }

    pub fn request(&self, work: &Work<'_>) -> Result<Request, Failure> {
        let organizations = Service::Organizations;
        Ok(match self {
            Self::Create => {
                let payload::Portfolio { name, task_orders } = portfolio(work)?;
                let orders = tags::of_task_orders(&task_orders)?;
                let mark = tags::job_mark(work.job);
                let all = [(tags::JOB, mark.as_str())];
                let all =
                    all.into_iter().chain(orders.iter().map(|(k, v)| (k.as_str(), v.as_str())));
                let body = Object::new()
                    .with("ParentId", &work.settings.root)
                    .with("Name", name)
                    .with("Tags", tags::list(all));
                organizations.once("CreateOrganizationalUnit", body)
            }
            Self::Find { page, .. } => {
                let body = Object::new().with("ParentId", &work.settings.root);
                let body = body.with_optional("NextToken", page.as_deref());
                organizations.safe("ListOrganizationalUnitsForParent", body)
            }
            Self::CheckMark { unit, reading } | Self::ReadTags { unit, reading } => {
                reading.request(text(unit, "Id")?)
            }
            Self::Read { id } => {
                let body = Object::new().with("OrganizationalUnitId", id);
                organizations.safe("DescribeOrganizationalUnit", body)
            }
            Self::ReadAccounts { unit, page, .. } => {
                accounts_of(text(unit, "Id")?, page.as_deref())
            }
        })
    }

    pub fn after(self, work: &Work<'_>, data: &Object) -> Result<Action, Failure> {
        match self {
            Self::Create => {
                let unit = object(data, "OrganizationalUnit")?;
                work.done("portfolio", described(unit)?)
            }
            Self::Find { exists: is_known, .. } => {
                let name = portfolio(work)?.name;
                let same = |unit: &Object| unit.text("Name") == Some(name.as_str());
                match search(data, "OrganizationalUnits", same) {
                    Search::Found(unit) => {
                        let (unit, reading) = (unit.clone(), Reading::default());
                        go_on(Self::CheckMark { unit, reading })
                    }
                    Search::NextPage(page) => {
                        go_on(Self::Find { page: Some(page), exists: is_known })
                    }
                    Search::Missing if is_known => Ok(Action::Lost(exists(
                        "AWS has an organizational unit of this name, but does not list it",
                    ))),
                    // The call that was lost has created nothing.
                    Search::Missing => go_on(Self::Create),
                }
            }
            Self::CheckMark { unit, reading } => match reading.add(data) {
                Err(reading) => go_on(Self::CheckMark { unit, reading }),
                Ok(tags) if tags::is_marked(&tags, work.job) => {
                    work.done("portfolio", described(&unit)?)
                }
                Ok(_) => Err(exists("the parent has another organizational unit of this name")),
            },
            Self::Read { .. } => {
                let unit = object(data, "OrganizationalUnit")?.clone();
                go_on(Self::ReadTags { unit, reading: Reading::default() })
            }
            Self::ReadTags { unit, reading } => match reading.add(data) {
                Err(reading) => go_on(Self::ReadTags { unit, reading }),
                Ok(tags) => {
                    let orders = tags::task_orders(&tags).iter().map(shown).collect();
                    let accounts = Vec::new();
                    go_on(Self::ReadAccounts { unit, orders, accounts, page: None })
                }
            },
            Self::ReadAccounts { unit, orders, mut accounts, .. } => {
                accounts
                    .extend(objects(data, "Accounts").map(|account| environment(account).into()));
                if let Some(page) = next_page(data).filter(|_| accounts.len() < ACCOUNTS_MAX) {
                    return go_on(Self::ReadAccounts { unit, orders, accounts, page: Some(page) });
                }
                let portfolio = described(&unit)?;
                let portfolio = portfolio.with("taskOrders", orders).with("environments", accounts);
                work.done("portfolio", portfolio)
            }
        }
    }

    pub fn after_error(&self, error: &Error) -> Option<Result<Action, Failure>> {
        let exists = error.is("DuplicateOrganizationalUnitException");
        (exists && matches!(self, Self::Create))
            .then(|| go_on(Self::Find { page: None, exists: true }))
    }

    pub fn search(&self) -> Option<Self> {
        match self {
            Self::Create => Some(Self::Find { page: None, exists: false }),
            Self::Find { exists: true, .. } => Some(Self::Find { page: None, exists: true }),
            Self::Find { exists: false, .. }
            | Self::CheckMark { .. }
            | Self::Read { .. }
            | Self::ReadTags { .. }
            | Self::ReadAccounts { .. } => None,
        }
    }
}

/// Returns the refusal of a job whose name belongs to another one.
pub fn exists(message: &str) -> Failure {
    Failure::refused_because(409, message)
}

fn go_on(call: Call) -> Result<Action, Failure> {
    Ok(Action::Call(crate::Call::Portfolio(call)))
}

fn portfolio(work: &Work<'_>) -> Result<payload::Portfolio, Failure> {
    let operation = work.job.operation()?;
    let Operation::AddPortfolio { portfolio } = operation else {
        return Err(operation.unsupported());
    };
    Ok(portfolio.read()?)
}

/// Reads the accounts of an organizational unit, at most 20.
pub fn accounts_of(unit: &str, page: Option<&str>) -> Request {
    let body = Object::new().with("ParentId", unit).with_optional("NextToken", page);
    Service::Organizations.safe("ListAccountsForParent", body)
}

/// Returns an organizational unit as ServiceNow reads it.
fn described(unit: &Object) -> Result<Object, Failure> {
    Ok(Object::new()
        .with("id", text(unit, "Id")?)
        .with_optional("name", unit.text("Name"))
        .with_optional("arn", unit.text("Arn")))
}

fn environment(account: &Object) -> Object {
    Object::new()
        .with_optional("id", account.text("Id"))
        .with_optional("name", account.text("Name"))
        .with_optional("status", account.text("State").or(account.text("Status")))
}

fn shown(order: &TaskOrder) -> Json {
    let clin = |clin: &Clin| {
        Object::new()
            .with("clinNumber", &clin.clin_number)
            .with("type", clin.kind.word())
            .with_optional(
                "classificationLevel",
                clin.classification_level.map(Classification::word),
            )
            .with("popStartDate", &clin.pop_start_date)
            .with("popEndDate", &clin.pop_end_date)
            .into()
    };
    Object::new()
        .with("id", &order.task_order_number)
        .with("taskOrderNumber", &order.task_order_number)
        .with("popStartDate", &order.pop_start_date)
        .with("popEndDate", &order.pop_end_date)
        .with("clins", order.clins.iter().map(clin).collect::<Vec<Json>>())
        .into()
}
