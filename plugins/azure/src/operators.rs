//! Operators: users of the directory, or guests, with a role.
//!
//! Azure sends the invitation. Its answer has a link that signs the guest in,
//! which goes nowhere from here.

use std::collections::BTreeSet;

use hoth_adapter::Answer;
use hoth_adapter::Failure;
use hoth_adapter::Json;
use hoth_adapter::Method;
use hoth_adapter::Object;
use hoth_adapter::Operation;
use hoth_adapter::Request;
use hoth_adapter::Wait;
use hoth_adapter::calls::Made;
use hoth_adapter::payload;
use serde::Deserialize;
use serde::Serialize;
use uuid::Uuid;

use crate::Action;
use crate::Work;
use crate::arm;
use crate::arm::Error;
use crate::arm::Meaning;
use crate::arm::objects;
use crate::arm::part;
use crate::arm::text;
use crate::environment;
use crate::environment::Subscription;
use crate::portfolio;
use crate::settings::Users;

/// The operators of one job. Each may take two checkpoints, of which a job has
/// 256.
const OPERATORS_MAX: usize = 100;

/// The place of the names of role assignments among UUIDs.
const NAMES: Uuid = Uuid::from_u128(0x5f6d_1a3c_7b8e_4d62_9c41_d2f0_8a17_e5b3);

/// State that the calls for operators share.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Access {
    /// The subscription in which the role is assigned, or `None` for the
    /// management group of the portfolio.
    subscription: Option<String>,
    /// The new environment, if this job has created it.
    environment: Option<Subscription>,
    /// The number of the operator, from 0.
    next: usize,
    guests: Vec<String>,
    assignments: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    FindUser { access: Access },
    Invite { access: Access },
    Assign { access: Access, principal: String },
}

/// Returns the first call for the operators of a subscription, or of a
/// portfolio if the request has no `environmentId`.
pub fn first(work: &Work<'_>) -> Result<crate::Call, Failure> {
    let operation = work.job.operation()?;
    let Operation::AddOperators { environment_id, .. } = operation else {
        return Err(operation.unsupported());
    };
    if check(work)?.is_empty() {
        return Err(Failure::unsupported("the request has no operators"));
    }
    Ok(find(environment_id.map(str::to_owned), None))
}

/// Returns the first call for the operators of a new environment.
pub fn first_of_environment(subscription: Subscription) -> crate::Call {
    find(Some(subscription.id.clone()), Some(subscription))
}

/// Returns the operators of the job, unless the settings or their number do not
/// allow them.
pub fn check(work: &Work<'_>) -> Result<Vec<payload::Operator>, Failure> {
    let role = work.settings.role()?;
    if Uuid::try_parse(role).is_err() {
        return Err(Failure::broken("settings.role must be the GUID of a role definition"));
    }
    let all = operators(work)?;
    if all.len() > OPERATORS_MAX {
        let message = format!("a request may have {OPERATORS_MAX} operators, not {}", all.len());
        return Err(Failure::unsupported(message));
    }
    Ok(all)
}

fn find(subscription: Option<String>, environment: Option<Subscription>) -> crate::Call {
    let access =
        Access { subscription, environment, next: 0, guests: Vec::new(), assignments: Vec::new() };
    crate::Call::Operators(Call::FindUser { access })
}

impl Access {
    /// Returns the segments of the scope's path.
    fn scope<'a>(&'a self, work: &Work<'a>) -> Result<Vec<&'a str>, Failure> {
        Ok(match &self.subscription {
            Some(id) => vec!["subscriptions", id],
            None => arm::management_group(portfolio::id(work)?, &[]).collect(),
        })
    }
}

impl Call {
    pub fn request(&self, work: &Work<'_>) -> Result<Request, Failure> {
        match self {
            Self::FindUser { access } => {
                // A quote in a text of OData is doubled.
                let mail = operator(work, access.next)?.email.replace('\'', "''");
                let filter = format!("mail eq '{mail}' or otherMails/any(m:m eq '{mail}')");
                Ok(arm::graph(work, Method::Get, "users")
                    .query("$filter", &filter)
                    .query("$select", "id,mail"))
            }
            Self::Invite { access } => {
                let body = Object::new()
                    .with("invitedUserEmailAddress", operator(work, access.next)?.email)
                    .with("inviteRedirectUrl", work.settings.invite_redirect_url())
                    .with("sendInvitationMessage", true);
                Ok(arm::graph(work, Method::Post, "invitations").json(body))
            }
            Self::Assign { access, principal } => assign(work, access, principal),
        }
    }

    pub fn after(self, work: &Work<'_>, answer: &Answer) -> Result<Action, Failure> {
        let body = arm::body(answer)?;
        match self {
            Self::FindUser { access } => match found(&operator(work, access.next)?, &body)? {
                Some(principal) => go_on(Self::Assign { access, principal }),
                None => match work.settings.users {
                    Users::Invite => go_on(Self::Invite { access }),
                    Users::Existing => Err(unknown(&operator(work, access.next)?)),
                },
            },
            Self::Invite { mut access } => {
                let user = part(&body, "invitedUser").ok_or_else(|| arm::lacks("invitedUser"))?;
                let principal = text(user, "id")?.to_owned();
                access.guests.push(principal.clone());
                let call = crate::Call::Operators(Self::Assign { access, principal });
                Ok(Wait::checkpoint(call, "a guest is invited").into())
            }
            Self::Assign { mut access, principal } => {
                // 200 tells that it was there before.
                if answer.status == 201 {
                    access.assignments.push(assignment_name(work, &access, &principal)?);
                }
                assigned(work, access)
            }
        }
    }

    pub fn after_error(&self, work: &Work<'_>, error: &Error) -> Option<Result<Action, Failure>> {
        match self {
            // The operator has the role, by an assignment of another name.
            Self::Assign { access, .. } if error.is("RoleAssignmentExists") => {
                Some(assigned(work, access.clone()))
            }
            Self::FindUser { .. } | Self::Invite { .. } | Self::Assign { .. } => None,
        }
    }

    /// Returns the meaning of an error. Azure Resource Manager learns minutes
    /// later than Graph of a guest, and of a subscription and the rights in it
    /// minutes after its creation.
    pub fn meaning(&self, error: &Error) -> Meaning {
        let Self::Assign { access, .. } = self else {
            return error.meaning();
        };
        let is_new = access.environment.is_some();
        match error.code.as_str() {
            "PrincipalNotFound" => Meaning::Soon,
            "AuthorizationFailed"
            | "SubscriptionNotFound"
            | "RoleAssignmentScopeNotAssignableToRoleDefinition"
                if is_new =>
            {
                Meaning::Soon
            }
            _ => error.meaning(),
        }
    }

    /// Returns the call after a lost response: the search for a guest, and the
    /// same `PUT` of an assignment, which finds what it has created.
    pub fn after_loss(&self) -> Option<Self> {
        match self {
            Self::FindUser { .. } => None,
            Self::Invite { access } => Some(Self::FindUser { access: access.clone() }),
            Self::Assign { .. } => Some(self.clone()),
        }
    }

    pub fn made(&self) -> Vec<Made> {
        let access = self.access();
        let environment =
            access.environment.iter().map(|environment| ("subscription", environment.id.clone()));
        let guests = access.guests.iter().map(|id| ("guest", id.clone()));
        let assignments = access.assignments.iter().map(|id| ("role-assignment", id.clone()));
        environment.chain(guests).chain(assignments).collect()
    }

    fn access(&self) -> &Access {
        match self {
            Self::FindUser { access } | Self::Invite { access } | Self::Assign { access, .. } => {
                access
            }
        }
    }
}

fn assign(work: &Work<'_>, access: &Access, principal: &str) -> Result<Request, Failure> {
    // Definitions are below the subscription, and without a scope for
    // management groups.
    let above = access.subscription.as_ref().map(|id| format!("/subscriptions/{id}"));
    let role = format!(
        "{}/providers/Microsoft.Authorization/roleDefinitions/{}",
        above.unwrap_or_default(),
        work.settings.role()?
    );
    let properties = Object::new()
        .with("roleDefinitionId", role)
        .with("principalId", principal)
        .with("principalType", "User");
    let name = assignment_name(work, access, principal)?;
    let below = ["providers", "Microsoft.Authorization", "roleAssignments", &name];
    let path = access.scope(work)?.into_iter().chain(below);
    let version = &work.settings.api_versions.role_assignments;
    Ok(arm::request(work, Method::Put, path, version)
        .json(Object::new().with("properties", properties)))
}

/// Returns the name of an assignment, which is the same in every job.
fn assignment_name(work: &Work<'_>, access: &Access, principal: &str) -> Result<String, Failure> {
    let scope = access.scope(work)?.join("/");
    let text = format!("{scope}/{principal}/{}", work.settings.role()?).to_ascii_lowercase();
    Ok(Uuid::new_v5(&NAMES, text.as_bytes()).hyphenated().to_string())
}

/// Goes on with the next operator, or ends the job.
fn assigned(work: &Work<'_>, mut access: Access) -> Result<Action, Failure> {
    access.next += 1;
    if access.next < operators(work)?.len() {
        return go_on(Call::FindUser { access });
    }
    if let Some(environment) = &access.environment {
        return environment::end(work, environment);
    }
    let shown = |one: payload::Operator| Json::from(Object::new().with("email", one.email));
    let all: Vec<Json> = operators(work)?.into_iter().map(shown).collect();
    work.done("operators", Object::new().with("administrators", all))
}

fn go_on(call: Call) -> Result<Action, Failure> {
    Ok(Action::Call(crate::Call::Operators(call)))
}

/// Returns the user of an operator, `None` if there is none. The address itself
/// counts more than the other addresses of a user, which users may set.
fn found(operator: &payload::Operator, body: &Object) -> Result<Option<String>, Failure> {
    let users: Vec<&Object> = objects(body, "value").collect();
    let has_mail = |user: &&&Object| {
        user.text("mail").is_some_and(|mail| mail.eq_ignore_ascii_case(&operator.email))
    };
    let mut own = users.iter().filter(has_mail);
    let user = match (own.next(), own.next(), users.as_slice()) {
        (Some(user), None, _) | (None, _, [user]) => user,
        (None, _, []) => return Ok(None),
        (_, _, [..]) => {
            let message = "the directory has several users with the address of an operator";
            return Err(about(operator, Failure::refused_because(409, message)));
        }
    };
    text(user, "id").map(|id| Some(id.to_owned()))
}

fn unknown(operator: &payload::Operator) -> Failure {
    let message = "the directory does not know an operator, and settings.users is \"existing\"";
    about(operator, Failure::refused_because(404, message))
}

/// Adds the operator to the response of a failure, for ServiceNow alone.
fn about(operator: &payload::Operator, failure: Failure) -> Failure {
    let response = failure.response.clone().with("email", &operator.email);
    failure.with_response(response)
}

/// Returns the operators of the job, each address once: a search does not find
/// the guest that was invited a moment ago.
fn operators(work: &Work<'_>) -> Result<Vec<payload::Operator>, Failure> {
    let operation = work.job.operation()?;
    let mut all: Vec<payload::Operator> = match operation {
        Operation::AddOperators { administrators, .. } => {
            Json::from(administrators.to_vec()).read()?
        }
        Operation::AddEnvironment { environment, .. } => {
            environment.read::<payload::Environment>()?.administrators
        }
        Operation::AddPortfolio { .. }
        | Operation::GetPortfolio { .. }
        | Operation::AddTaskOrder { .. }
        | Operation::UpdateTaskOrder { .. }
        | Operation::CostByPortfolio { .. }
        | Operation::CostByClin { .. } => return Err(operation.unsupported()),
    };
    let mut seen = BTreeSet::new();
    all.retain(|one| seen.insert(one.email.to_ascii_lowercase()));
    Ok(all)
}

fn operator(work: &Work<'_>, number: usize) -> Result<payload::Operator, Failure> {
    let lacks = || Failure::broken("the state counts more operators than the request has");
    operators(work)?.into_iter().nth(number).ok_or_else(lacks)
}
