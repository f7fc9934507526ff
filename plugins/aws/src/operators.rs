//! Operators: users of IAM Identity Center, in a group for each account.
//!
//! The group has the permission set in the account, so a further operator needs
//! no assignment, which would take AWS a minute. Users are created without a
//! password.

use hoth_adapter::Failure;
use hoth_adapter::Json;
use hoth_adapter::Object;
use hoth_adapter::Operation;
use hoth_adapter::Request;
use hoth_adapter::Wait;
use hoth_adapter::calls::Made;
use hoth_adapter::payload;
use serde::Deserialize;
use serde::Serialize;

use crate::Action;
use crate::Work;
use crate::environment;
use crate::environment::Account;
use crate::service::Error;
use crate::service::Service;
use crate::service::object;
use crate::service::objects;
use crate::service::text;
use crate::settings::Users;

/// The data that the calls for operators share.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Access {
    /// The account, and the new environment if this job has created it.
    account: String,
    environment: Option<Account>,
    instance: String,
    store: String,
    group: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    FindInstance {
        access: Access,
    },
    FindGroup {
        access: Access,
        /// True if AWS has refused to create the group, because it exists.
        exists: bool,
    },
    CreateGroup {
        access: Access,
    },
    Assign {
        access: Access,
    },
    /// Polls an assignment.
    ReadAssignment {
        access: Access,
        request: String,
    },
    FindUser {
        access: Access,
        next: usize,
        /// True if AWS has refused to create the user, because it exists.
        exists: bool,
    },
    CreateUser {
        access: Access,
        next: usize,
    },
    AddMember {
        access: Access,
        next: usize,
        user: String,
    },
}

/// Returns the first call for the operators of an account.
pub fn first(work: &Work<'_>, account: &str) -> Result<crate::Call, Failure> {
    begin(work, account.to_owned(), None)
}

/// Returns the first call for the operators of a new environment.
pub fn first_of_environment(work: &Work<'_>, account: Account) -> Result<crate::Call, Failure> {
    begin(work, account.id.clone(), Some(account))
}

fn begin(
    work: &Work<'_>,
    account: String,
    environment: Option<Account>,
) -> Result<crate::Call, Failure> {
    permission_set(work)?;
    operators(work)?;
    let known = work.settings.instance.clone().zip(work.settings.identity_store.clone());
    let is_known = known.is_some();
    let (instance, store) = known.unwrap_or_default();
    let access = Access { account, environment, instance, store, group: String::new() };
    Ok(crate::Call::Operators(match is_known {
        true => Call::FindGroup { access, exists: false },
        false => Call::FindInstance { access },
    }))
}

impl Call {
    pub fn request(&self, work: &Work<'_>) -> Result<Request, Failure> {
        let (users, center) = (Service::IdentityStore, Service::IdentityCenter);
        let store = Object::new().with("IdentityStoreId", &self.access().store);
        Ok(match self {
            Self::FindInstance { .. } => center.safe("ListInstances", Object::new()),
            Self::FindGroup { access, .. } => {
                users.safe("GetGroupId", by(store, "displayName", &group_name(access)))
            }
            Self::CreateGroup { access } => {
                let description = format!("operators of account {}, by HOTH", access.account);
                let body =
                    store.with("DisplayName", group_name(access)).with("Description", description);
                // A second one of this name is refused.
                users.safe("CreateGroup", body)
            }
            Self::Assign { access } => {
                let body = Object::new()
                    .with("InstanceArn", &access.instance)
                    .with("TargetId", &access.account)
                    .with("TargetType", "AWS_ACCOUNT")
                    .with("PermissionSetArn", permission_set(work)?)
                    .with("PrincipalType", "GROUP")
                    .with("PrincipalId", &access.group);
                // A second one changes nothing.
                center.safe("CreateAccountAssignment", body)
            }
            Self::ReadAssignment { access, request } => {
                let body = Object::new()
                    .with("InstanceArn", &access.instance)
                    .with("AccountAssignmentCreationRequestId", request);
                center.safe("DescribeAccountAssignmentCreationStatus", body)
            }
            Self::FindUser { next, .. } => {
                users.safe("GetUserId", by(store, "userName", &operator(work, *next)?.email))
            }
            Self::CreateUser { next, .. } => {
                // A second one of this name is refused.
                users.safe("CreateUser", user(store, &operator(work, *next)?))
            }
            Self::AddMember { access, user, .. } => {
                let body = store
                    .with("GroupId", &access.group)
                    .with("MemberId", Object::new().with("UserId", user));
                users.safe("CreateGroupMembership", body)
            }
        })
    }

    pub fn after(self, work: &Work<'_>, data: &Object) -> Result<Action, Failure> {
        match self {
            Self::FindInstance { mut access } => {
                let lacks = || Failure::broken("AWS has no instance of IAM Identity Center");
                let instance = objects(data, "Instances").next().ok_or_else(lacks)?;
                access.instance = text(instance, "InstanceArn")?.to_owned();
                access.store = text(instance, "IdentityStoreId")?.to_owned();
                go_on(Self::FindGroup { access, exists: false })
            }
            Self::FindGroup { mut access, .. } | Self::CreateGroup { mut access } => {
                access.group = text(data, "GroupId")?.to_owned();
                go_on(Self::Assign { access })
            }
            Self::Assign { access } => {
                assigned(work, access, object(data, "AccountAssignmentCreationStatus")?)
            }
            Self::ReadAssignment { access, .. } => {
                assigned(work, access, object(data, "AccountAssignmentCreationStatus")?)
            }
            Self::FindUser { access, next, .. } | Self::CreateUser { access, next } => {
                let user = text(data, "UserId")?.to_owned();
                go_on(Self::AddMember { access, next, user })
            }
            Self::AddMember { access, next, .. } => added(work, access, next + 1),
        }
    }

    pub fn after_error(&self, work: &Work<'_>, error: &Error) -> Option<Result<Action, Failure>> {
        let access = self.access().clone();
        let missing = error.is("ResourceNotFoundException");
        // The other reason is a change in progress, which passes.
        let conflict = error.is("ConflictException") && error.reason != "CONCURRENT_MODIFICATION";
        match self {
            Self::FindGroup { exists: true, .. } | Self::FindUser { exists: true, .. }
                if missing =>
            {
                Some(Ok(Action::Lost(not_found(self))))
            }
            Self::FindGroup { .. } if missing => Some(go_on(Self::CreateGroup { access })),
            Self::CreateGroup { .. } if conflict => {
                Some(go_on(Self::FindGroup { access, exists: true }))
            }
            // What was created just now has not reached all servers.
            Self::Assign { .. } if conflict || missing => Some(Ok(error.repeat_soon())),
            Self::FindUser { next, .. } if missing => Some(match work.settings.users {
                Users::Create => go_on(Self::CreateUser { access, next: *next }),
                Users::Existing => Err(unknown(work, *next)),
            }),
            Self::CreateUser { next, .. } if conflict => {
                Some(go_on(Self::FindUser { access, next: *next, exists: true }))
            }
            Self::AddMember { next, .. } if conflict => Some(added(work, access, next + 1)),
            Self::FindInstance { .. }
            | Self::FindGroup { .. }
            | Self::CreateGroup { .. }
            | Self::Assign { .. }
            | Self::ReadAssignment { .. }
            | Self::FindUser { .. }
            | Self::CreateUser { .. }
            | Self::AddMember { .. } => None,
        }
    }

    /// Returns the same search for what exists and is not found yet.
    pub fn search(&self) -> Option<Self> {
        let exists = matches!(
            self,
            Self::FindGroup { exists: true, .. } | Self::FindUser { exists: true, .. }
        );
        exists.then(|| self.clone())
    }

    pub fn made(&self) -> Vec<Made> {
        self.access().environment.as_ref().map(Account::made).unwrap_or_default()
    }

    fn access(&self) -> &Access {
        match self {
            Self::FindInstance { access }
            | Self::FindGroup { access, .. }
            | Self::CreateGroup { access }
            | Self::Assign { access }
            | Self::ReadAssignment { access, .. }
            | Self::FindUser { access, .. }
            | Self::CreateUser { access, .. }
            | Self::AddMember { access, .. } => access,
        }
    }
}

fn assigned(work: &Work<'_>, access: Access, status: &Object) -> Result<Action, Failure> {
    match status.text("Status").unwrap_or_default() {
        "SUCCEEDED" => {
            let call = crate::Call::Operators(Call::FindUser { access, next: 0, exists: false });
            if operators(work)?.is_empty() {
                return end(work, call);
            }
            Ok(Wait::checkpoint(call, "the group has access to the account").into())
        }
        "FAILED" => {
            let reason = status.text("FailureReason").unwrap_or("no reason");
            let message = "AWS did not give the group access to the account";
            let response = Object::new()
                .with("details", format!("{message}: {reason}"))
                .with("reason", reason);
            Err(Failure::job_failed(message, response))
        }
        _ => {
            let request = text(status, "RequestId")?.to_owned();
            let call = Call::ReadAssignment { access, request: request.clone() };
            let wait = Wait::new(call, "AWS gives the group access").reference(request);
            Ok(wait.map(crate::Call::Operators).into())
        }
    }
}

/// Goes on with the next operator, or ends the job.
fn added(work: &Work<'_>, access: Access, next: usize) -> Result<Action, Failure> {
    let is_last = next >= operators(work)?.len();
    let call = Call::FindUser { access, next, exists: false };
    if is_last { end(work, crate::Call::Operators(call)) } else { go_on(call) }
}

fn end(work: &Work<'_>, call: crate::Call) -> Result<Action, Failure> {
    if let crate::Call::Operators(call) = &call
        && let Some(account) = &call.access().environment
    {
        return environment::end(work, account);
    }
    let all = operators(work)?;
    let shown = |one: &payload::Operator| Json::from(Object::new().with("email", &one.email));
    let object = Object::new().with("administrators", all.iter().map(shown).collect::<Vec<_>>());
    work.done("operators", object)
}

fn go_on(call: Call) -> Result<Action, Failure> {
    Ok(Action::Call(crate::Call::Operators(call)))
}

/// Returns the failure of a job whose group or user cannot be created, because
/// it exists, and is not found either: another user may have the address.
fn not_found(call: &Call) -> Failure {
    let thing = if matches!(call, Call::FindGroup { .. }) { "the group" } else { "an operator" };
    let message = format!(
        "IAM Identity Center refuses to create {thing} because of another entry, and does not \
         find one of this name"
    );
    Failure::refused_because(409, message)
}

fn unknown(work: &Work<'_>, number: usize) -> Failure {
    let email = operator(work, number).map(|one| one.email).unwrap_or_default();
    let message =
        "IAM Identity Center does not know an operator, and settings.users is \"existing\"";
    let failure = Failure::refused_because(404, message);
    let response = failure.response.clone().with("email", email);
    failure.with_response(response)
}

fn operators(work: &Work<'_>) -> Result<Vec<payload::Operator>, Failure> {
    let operation = work.job.operation()?;
    if let Operation::AddOperators { administrators, .. } = operation {
        return Ok(Json::from(administrators.to_vec()).read()?);
    }
    let Operation::AddEnvironment { environment, .. } = operation else {
        return Err(operation.unsupported());
    };
    Ok(environment.read::<payload::Environment>()?.administrators)
}

fn operator(work: &Work<'_>, number: usize) -> Result<payload::Operator, Failure> {
    let lacks = || Failure::broken("the state counts more operators than the request has");
    operators(work)?.into_iter().nth(number).ok_or_else(lacks)
}

fn permission_set<'a>(work: &'a Work<'_>) -> Result<&'a str, Failure> {
    let lacks = || Failure::broken("operators need settings.permission_set");
    work.settings.permission_set.as_deref().ok_or_else(lacks)
}

fn group_name(access: &Access) -> String {
    format!("env-{}", access.account)
}

/// Adds the selection of a user or group by a unique attribute.
fn by(store: Object, path: &str, value: &str) -> Object {
    let attribute = Object::new().with("AttributePath", path).with("AttributeValue", value);
    let identifier = Object::new().with("UniqueAttribute", attribute);
    store.with("AlternateIdentifier", identifier)
}

/// Returns the body that creates a user. Identity Center requires names, which
/// a request does not have: they are read off the e-mail address.
fn user(store: Object, operator: &payload::Operator) -> Object {
    let local = operator.email.split('@').next().unwrap_or_default();
    let mut words = local.split(['.', '_', '-', '+']).filter(|word| !word.is_empty());
    let given = words.next().unwrap_or(local);
    let family = words.next().unwrap_or(given);
    let name = Object::new().with("GivenName", given).with("FamilyName", family);
    let email = Object::new().with("Value", &operator.email).with("Type", "work");
    let emails = vec![Json::from(email.with("Primary", true))];
    store
        .with("UserName", &operator.email)
        .with("DisplayName", local)
        .with("Name", name)
        .with("Emails", emails)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_the_names_of_the_address() {
        for (email, given, family) in [
            ("ada.lovelace@example.mil", "ada", "lovelace"),
            ("ada@example.mil", "ada", "ada"),
            ("..@example.mil", "..", ".."),
        ] {
            let operator = payload::Operator {
                email: email.to_owned(),
                dod_id: "1".to_owned(),
                needs_reset: false,
            };
            let user = user(Object::new(), &operator);
            let name = user.field("Name").and_then(Json::as_object).expect("a name");
            assert_eq!(name.text("GivenName"), Some(given));
            assert_eq!(name.text("FamilyName"), Some(family));
        }
    }
}
