//! Environments: accounts.
//!
//! `CreateAccount` knows no repetition, and its only unique value is the e-mail
//! address. So the job derives name and address from its id, and searches the
//! requests of the organization by the name before it makes one.

use hoth_adapter::Date;
use hoth_adapter::Failure;
use hoth_adapter::Object;
use hoth_adapter::Operation;
use hoth_adapter::Request;
use hoth_adapter::Wait;
use hoth_adapter::calls::Made;
use hoth_adapter::payload;
use hoth_adapter::payload::ClinMark;
use hoth_adapter::payload::cloud_clin;
use serde::Deserialize;
use serde::Serialize;

use crate::Action;
use crate::PAUSE;
use crate::Work;
use crate::names::email;
use crate::names::name;
use crate::operators;
use crate::pair;
use crate::placement;
use crate::placement::Partition;
use crate::portfolio::exists;
use crate::service::Error;
use crate::service::PAUSES_MAX;
use crate::service::Search;
use crate::service::Service;
use crate::service::object;
use crate::service::search;
use crate::service::text;
use crate::tags;
use crate::tags::Reading;

/// An account that is to be created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    clin: ClinMark,
    /// The requests that failed because AWS changed the account already.
    conflicts: u32,
}

/// A new account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub clin: ClinMark,
    pub id: String,
    /// The commercial account that belongs to a GovCloud account.
    pub commercial: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    /// Reads the task orders of the portfolio, to choose the CLIN.
    ReadTags {
        reading: Reading,
    },
    /// Searches for a request that this job has made before.
    FindRequest {
        wanted: Wanted,
        page: Option<String>,
    },
    Create {
        wanted: Wanted,
    },
    /// Polls the request.
    ReadRequest {
        wanted: Wanted,
        request: String,
    },
    /// Searches for the account that has the e-mail address already.
    FindAccount {
        wanted: Wanted,
        page: Option<String>,
    },
    CheckMark {
        account: Account,
        reading: Reading,
    },
    /// Joins a GovCloud account to the organization.
    Pair(pair::Call),
    /// Moves the account below its organizational unit.
    Place(placement::Call),
    /// Polls the account until it is active.
    Read {
        account: Account,
    },
}

impl Call {
    /// Returns the first call, unless the environment does not fit to AWS.
    pub fn first(work: &Work<'_>) -> Result<crate::Call, Failure> {
        let environment = environment(work)?;
        let level = environment.classification_level;
        if !work.settings.levels.contains(&level) {
            let level = level.word();
            let message = format!("the CSP does not serve {level}: see its settings.levels");
            return Err(Failure::unsupported(message));
        }
        email(work, &environment)?;
        Ok(crate::Call::Environment(Self::ReadTags { reading: Reading::default() }))
    }

    pub fn request(&self, work: &Work<'_>) -> Result<Request, Failure> {
        let service = creator(work);
        let body = Object::new();
        Ok(match self {
            Self::ReadTags { reading } => reading.request(portfolio(work)?),
            Self::FindRequest { page, .. } => {
                let states = ["IN_PROGRESS", "SUCCEEDED"].map(hoth_adapter::Json::from).to_vec();
                let body = body.with("States", states).with_optional("NextToken", page.as_deref());
                service.safe("ListCreateAccountStatus", body)
            }
            Self::Create { wanted } => {
                let environment = environment(work)?;
                let (mark, clin) = (tags::job_mark(work.job), wanted.clin.to_string());
                let body = body
                    .with("Email", email(work, &environment)?)
                    .with("AccountName", name(work, &environment))
                    .with("Tags", tags::list([(tags::JOB, &mark), (tags::CLIN, &clin)]));
                let is_pair = work.settings.govcloud.is_some();
                let operation = if is_pair { "CreateGovCloudAccount" } else { "CreateAccount" };
                service.once(operation, body)
            }
            Self::ReadRequest { request, .. } => {
                let body = body.with("CreateAccountRequestId", request);
                service.safe("DescribeCreateAccountStatus", body)
            }
            Self::FindAccount { page, .. } => {
                service.safe("ListAccounts", body.with_optional("NextToken", page.as_deref()))
            }
            Self::CheckMark { account, reading } => {
                let id = account.commercial.as_ref().unwrap_or(&account.id);
                reading.request_at(service, id)
            }
            Self::Pair(call) => call.request(work)?,
            Self::Place(call) => call.request(work)?,
            Self::Read { account } => {
                Service::Organizations.safe("DescribeAccount", body.with("AccountId", &account.id))
            }
        })
    }

    pub fn after(self, work: &Work<'_>, data: &Object) -> Result<Action, Failure> {
        match self {
            Self::ReadTags { reading } => match reading.add(data) {
                Err(reading) => go_on(Self::ReadTags { reading }),
                Ok(tags) => {
                    let wanted = Wanted { clin: choose_clin(work, &tags)?, conflicts: 0 };
                    go_on(Self::FindRequest { wanted, page: None })
                }
            },
            Self::FindRequest { wanted, .. } => found_request(work, wanted, data),
            Self::Create { wanted } => {
                requested(work, wanted, object(data, "CreateAccountStatus")?)
            }
            Self::ReadRequest { wanted, .. } => {
                let status = object(data, "CreateAccountStatus")?;
                match text(status, "State")? {
                    "FAILED" => not_created(wanted, status),
                    _ => requested(work, wanted, status),
                }
            }
            Self::FindAccount { wanted, .. } => found_account(work, wanted, data),
            Self::CheckMark { account, reading } => match reading.add(data) {
                Err(reading) => go_on(Self::CheckMark { account, reading }),
                Ok(tags) if !tags::is_marked(&tags, work.job) => {
                    Err(exists("the e-mail address of the account belongs to another account"))
                }
                Ok(_) if work.settings.govcloud.is_some() => {
                    // The GovCloud account is named by the request alone.
                    Err(exists("the account exists, but the request that created it is gone"))
                }
                Ok(_) => created(work, account),
            },
            Self::Pair(call) => call.after(data),
            Self::Place(call) => call.after(work, data),
            Self::Read { account } => read(work, account, object(data, "Account")?),
        }
    }

    pub fn after_error(&self, error: &Error) -> Option<Result<Action, Failure>> {
        match self {
            Self::Pair(call) => call.after_error(error),
            Self::Place(call) => call.after_error(error),
            // It was created just now, and not every server knows it.
            Self::Read { .. } if error.is("AccountNotFoundException") => {
                Some(wait_for(self.clone(), "the account is not visible yet"))
            }
            Self::ReadTags { .. }
            | Self::FindRequest { .. }
            | Self::Create { .. }
            | Self::ReadRequest { .. }
            | Self::FindAccount { .. }
            | Self::CheckMark { .. }
            | Self::Read { .. } => None,
        }
    }

    pub fn search(&self) -> Option<Self> {
        match self {
            Self::Create { wanted } => {
                Some(Self::FindRequest { wanted: wanted.clone(), page: None })
            }
            Self::Pair(call) => call.search().map(Self::Pair),
            Self::ReadTags { .. }
            | Self::FindRequest { .. }
            | Self::ReadRequest { .. }
            | Self::FindAccount { .. }
            | Self::CheckMark { .. }
            | Self::Place(_)
            | Self::Read { .. } => None,
        }
    }

    pub fn made(&self) -> Vec<Made> {
        match self {
            Self::ReadRequest { request, .. } => vec![("account-request", request.clone())],
            Self::Pair(call) => call.account().made(),
            Self::Place(call) => call.account().made(),
            Self::Read { account } => account.made(),
            Self::ReadTags { .. }
            | Self::FindRequest { .. }
            | Self::Create { .. }
            | Self::FindAccount { .. }
            | Self::CheckMark { .. } => Vec::new(),
        }
    }
}

impl Account {
    /// Returns the accounts by kind and id.
    pub fn made(&self) -> Vec<Made> {
        let commercial = self.commercial.iter().map(|id| ("commercial-account", id.clone()));
        [("account", self.id.clone())].into_iter().chain(commercial).collect()
    }
}

/// Returns the service that creates accounts: pairs come from the commercial
/// partition.
fn creator(work: &Work<'_>) -> Service {
    match work.settings.govcloud {
        Some(_) => Service::CommercialOrganizations,
        None => Service::Organizations,
    }
}

/// Returns the action after a page of the organization's requests.
fn found_request(work: &Work<'_>, wanted: Wanted, data: &Object) -> Result<Action, Failure> {
    let name = name(work, &environment(work)?);
    let same = |one: &Object| one.text("AccountName") == Some(name.as_str());
    match search(data, "CreateAccountStatuses", same) {
        Search::Found(status) => requested(work, wanted, status),
        Search::NextPage(page) => go_on(Call::FindRequest { wanted, page: Some(page) }),
        Search::Missing => go_on(Call::Create { wanted }),
    }
}

/// Returns the action after a request that has failed.
fn not_created(wanted: Wanted, status: &Object) -> Result<Action, Failure> {
    match status.text("FailureReason").unwrap_or("no reason") {
        "EMAIL_ALREADY_EXISTS" | "GOVCLOUD_ACCOUNT_ALREADY_EXISTS" => {
            go_on(Call::FindAccount { wanted, page: None })
        }
        // Another request of the same address, perhaps of this job, is in
        // progress.
        "CONCURRENT_ACCOUNT_MODIFICATION" if wanted.conflicts < PAUSES_MAX => {
            let wanted = Wanted { conflicts: wanted.conflicts + 1, ..wanted };
            let call = Call::FindRequest { wanted, page: None };
            let wait = Wait::pause(call, "AWS creates the account already").after(PAUSE);
            Ok(wait.map(crate::Call::Environment).into())
        }
        reason => {
            let message = format!("AWS did not create the account: {reason}");
            let details = Object::new().with("details", &message);
            Err(Failure::job_failed(message, details.with("failureReason", reason)))
        }
    }
}

/// Returns the action after a page of the organization's accounts.
fn found_account(work: &Work<'_>, wanted: Wanted, data: &Object) -> Result<Action, Failure> {
    let email = email(work, &environment(work)?)?;
    let same =
        |one: &Object| one.text("Email").is_some_and(|other| other.eq_ignore_ascii_case(&email));
    match search(data, "Accounts", same) {
        Search::Found(account) => {
            let id = text(account, "Id")?.to_owned();
            let account = Account { clin: wanted.clin, id, commercial: None };
            go_on(Call::CheckMark { account, reading: Reading::default() })
        }
        Search::NextPage(page) => go_on(Call::FindAccount { wanted, page: Some(page) }),
        Search::Missing => Err(exists("the e-mail address belongs to an account elsewhere")),
    }
}

/// Returns the action after the state of the account.
fn read(work: &Work<'_>, account: Account, found: &Object) -> Result<Action, Failure> {
    match found.text("State").or(found.text("Status")).unwrap_or_default() {
        "ACTIVE" => operators_of(work, account),
        "PENDING_ACTIVATION" | "" => {
            wait_for(Call::Read { account }, "the account is not active yet")
        }
        other => {
            let message = format!("the new account is {other}");
            let response = Object::new().with("details", &message);
            Err(Failure::job_failed(message, response))
        }
    }
}

/// Returns the action after the status of a request that has not failed.
fn requested(work: &Work<'_>, wanted: Wanted, status: &Object) -> Result<Action, Failure> {
    let request = text(status, "Id")?.to_owned();
    if status.text("State") != Some("SUCCEEDED") {
        let call = Call::ReadRequest { wanted, request: request.clone() };
        let wait = Wait::new(call, "AWS creates the account").reference(request);
        return Ok(wait.map(crate::Call::Environment).into());
    }
    let (clin, id) = (wanted.clin, text(status, "AccountId")?.to_owned());
    let account = match status.text("GovCloudAccountId") {
        Some(gov) => Account { clin, id: gov.to_owned(), commercial: Some(id) },
        None => Account { clin, id, commercial: None },
    };
    created(work, account)
}

fn created(work: &Work<'_>, account: Account) -> Result<Action, Failure> {
    let call = match account.commercial {
        Some(_) => pair::first(work, account),
        None => Call::Place(placement::Call::first(account, Partition::Own)),
    };
    let wait = Wait::checkpoint(call, "the account is created");
    Ok(wait.map(crate::Call::Environment).into())
}

/// Continues with the operators once the account is active.
fn operators_of(work: &Work<'_>, account: Account) -> Result<Action, Failure> {
    if environment(work)?.administrators.is_empty() {
        return end(work, &account);
    }
    let call = operators::first_of_environment(work, account)?;
    Ok(Wait::checkpoint(call, "the account is active").into())
}

/// Ends the job, whose account is ready.
pub fn end(work: &Work<'_>, account: &Account) -> Result<Action, Failure> {
    let environment = environment(work)?;
    let object = Object::new()
        .with("id", &account.id)
        .with("name", &environment.name)
        .with("accountName", name(work, &environment))
        .with("taskOrderNumber", &account.clin.order)
        .with("clinNumber", &account.clin.clin)
        .with_optional("commercialAccountId", account.commercial.as_ref());
    work.done("environment", object)
}

pub fn go_on(call: Call) -> Result<Action, Failure> {
    Ok(Action::Call(crate::Call::Environment(call)))
}

/// Waits for a change in AWS that takes minutes at most.
pub fn wait_for(call: Call, note: &str) -> Result<Action, Failure> {
    let reference = call.made().into_iter().next().map(|(_, id)| id).unwrap_or_default();
    Ok(Wait::new(call, note).reference(reference).map(crate::Call::Environment).into())
}

/// Chooses the CLIN that pays for the account.
fn choose_clin(work: &Work<'_>, tags: &Object) -> Result<ClinMark, Failure> {
    let level = environment(work)?.classification_level;
    let today = Date::from(work.job.now);
    let orders = tags::task_orders(tags);
    let Some((order, clin)) = cloud_clin(&orders, level, today) else {
        let message = format!(
            "the portfolio has no CLIN of the type CLOUD and the classification {} whose period \
             contains {today}",
            level.word()
        );
        return Err(Failure::refused_because(400, message));
    };
    Ok(ClinMark::of(order, clin))
}

fn environment(work: &Work<'_>) -> Result<payload::Environment, Failure> {
    let operation = work.job.operation()?;
    let Operation::AddEnvironment { environment, .. } = operation else {
        return Err(operation.unsupported());
    };
    Ok(environment.read()?)
}

pub fn portfolio<'a>(work: &Work<'a>) -> Result<&'a str, Failure> {
    let lacks = || Failure::unsupported("the request lacks portfolioId");
    work.job.operation()?.portfolio_id().ok_or_else(lacks)
}
