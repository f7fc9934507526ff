//! Pairs of accounts: GovCloud.
//!
//! `CreateGovCloudAccount` is called in the commercial partition. It creates a
//! commercial account, which is a member of that organization, and a GovCloud
//! account, which is a member of none. The GovCloud organization invites it,
//! and a role in the new account accepts (AWS Organizations API Reference,
//! CreateGovCloudAccount; AWS GovCloud User Guide, "Signing up").

use hoth_adapter::Failure;
use hoth_adapter::Object;
use hoth_adapter::Request;
use hoth_adapter::Wait;
use serde::Deserialize;
use serde::Serialize;

use crate::Action;
use crate::Work;
use crate::environment;
use crate::environment::Account;
use crate::placement;
use crate::placement::Partition;
use crate::service::Error;
use crate::service::Search;
use crate::service::Service;
use crate::service::object;
use crate::service::objects;
use crate::service::search;
use crate::service::text;
use crate::tags;

/// The credential that assumes a role in the new account.
const NEW_ACCOUNT: &str = "new-account";

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    /// Searches for an invitation before one is made.
    FindInvitation {
        account: Account,
        page: Option<String>,
    },
    Invite {
        account: Account,
    },
    /// Accepts the invitation, as the new account.
    Accept {
        account: Account,
        handshake: String,
    },
    /// Marks the GovCloud account: the tags of its creation are on the
    /// commercial one.
    Tag {
        account: Account,
    },
}

/// Returns the first call for a new pair: the commercial account stays where it
/// is unless the settings name a place.
pub fn first(work: &Work<'_>, account: Account) -> environment::Call {
    match destination(work) {
        Some(_) => environment::Call::Place(placement::Call::first(account, Partition::Commercial)),
        None => environment::Call::Pair(Call::find_invitation(account)),
    }
}

impl Call {
    pub fn find_invitation(account: Account) -> Self {
        Self::FindInvitation { account, page: None }
    }

    pub fn account(&self) -> &Account {
        match self {
            Self::FindInvitation { account, .. }
            | Self::Invite { account }
            | Self::Accept { account, .. }
            | Self::Tag { account } => account,
        }
    }

    pub fn request(&self, work: &Work<'_>) -> Result<Request, Failure> {
        let own = Service::Organizations;
        let body = Object::new();
        Ok(match self {
            Self::FindInvitation { page, .. } => {
                let filter = Object::new().with("ActionType", "INVITE");
                let body = body.with("Filter", filter).with_optional("NextToken", page.as_deref());
                own.safe("ListHandshakesForOrganization", body)
            }
            Self::Invite { account } => {
                let target = Object::new().with("Id", &account.id).with("Type", "ACCOUNT");
                own.once("InviteAccountToOrganization", body.with("Target", target))
            }
            Self::Accept { account, handshake } => own
                .safe("AcceptHandshake", body.with("HandshakeId", handshake))
                .credential_of(NEW_ACCOUNT, [("account", account.id.as_str())]),
            Self::Tag { account } => {
                let (mark, clin) = (tags::job_mark(work.job), account.clin.to_string());
                let pair = commercial_id(account)?;
                let marks = [(tags::JOB, mark.as_str()), (tags::CLIN, &clin), (tags::PAIR, pair)];
                let body = body.with("ResourceId", &account.id).with("Tags", tags::list(marks));
                own.safe("TagResource", body)
            }
        })
    }

    pub fn after(self, data: &Object) -> Result<Action, Failure> {
        match self {
            Self::FindInvitation { account, .. } => {
                let open = |one: &Object| {
                    let is_party = |party: &Object| party.text("Id") == Some(&account.id);
                    let state = one.text("State").unwrap_or_default();
                    matches!(state, "OPEN" | "REQUESTED") && objects(one, "Parties").any(is_party)
                };
                match search(data, "Handshakes", open) {
                    Search::Found(handshake) => invited(account.clone(), handshake),
                    Search::NextPage(page) => {
                        go_on(Self::FindInvitation { account, page: Some(page) })
                    }
                    Search::Missing => go_on(Self::Invite { account }),
                }
            }
            Self::Invite { account } => invited(account, object(data, "Handshake")?),
            Self::Accept { account, .. } => {
                let call = environment::Call::Pair(Self::Tag { account });
                let wait = Wait::checkpoint(call, "the account is in the organization");
                Ok(wait.map(crate::Call::Environment).into())
            }
            Self::Tag { account } => {
                let call = placement::Call::first(account, Partition::Own);
                environment::go_on(environment::Call::Place(call))
            }
        }
    }

    pub fn after_error(&self, error: &Error) -> Option<Result<Action, Failure>> {
        let account = self.account().clone();
        let is_member = error.reason == "ALREADY_IN_AN_ORGANIZATION"
            || error.is("HandshakeAlreadyInStateException");
        match self {
            Self::Invite { .. } if error.is("DuplicateHandshakeException") => {
                Some(go_on(Self::find_invitation(account)))
            }
            Self::Invite { .. } | Self::Accept { .. } if is_member => {
                Some(go_on(Self::Tag { account }))
            }
            Self::FindInvitation { .. }
            | Self::Invite { .. }
            | Self::Accept { .. }
            | Self::Tag { .. } => None,
        }
    }

    pub fn search(&self) -> Option<Self> {
        match self {
            Self::Invite { account } => {
                Some(Self::FindInvitation { account: account.clone(), page: None })
            }
            Self::FindInvitation { .. } | Self::Accept { .. } | Self::Tag { .. } => None,
        }
    }
}

fn invited(account: Account, handshake: &Object) -> Result<Action, Failure> {
    let handshake = text(handshake, "Id")?.to_owned();
    let call = environment::Call::Pair(Call::Accept { account, handshake });
    let wait = Wait::checkpoint(call, "the account is invited");
    Ok(wait.map(crate::Call::Environment).into())
}

fn go_on(call: Call) -> Result<Action, Failure> {
    environment::go_on(environment::Call::Pair(call))
}

pub fn commercial_id(account: &Account) -> Result<&str, Failure> {
    let lacks = || Failure::broken("the state has no commercial account");
    account.commercial.as_deref().ok_or_else(lacks)
}

/// Returns the organizational unit of commercial accounts.
pub fn destination<'a>(work: &'a Work<'_>) -> Option<&'a str> {
    work.settings.govcloud.as_ref()?.commercial_parent.as_deref()
}
