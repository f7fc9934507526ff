//! The placement of a new account: its move to its organizational unit, in
//! either partition.

use hoth_adapter::Failure;
use hoth_adapter::Object;
use hoth_adapter::Request;
use serde::Deserialize;
use serde::Serialize;

use crate::Action;
use crate::Work;
use crate::environment;
use crate::environment::Account;
use crate::pair;
use crate::service::Error;
use crate::service::Search;
use crate::service::Service;
use crate::service::search;
use crate::service::text;

/// The pages without a parent that are read before the account counts as not
/// visible: AWS may answer empty pages before the one with the parent
/// (Organizations API Reference, ListParents).
pub const PAGES_MAX: u32 = 20;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    /// Finds the root or organizational unit that the account is in.
    FindParent {
        place: Place,
        page: Option<String>,
        pages: u32,
    },
    Move {
        place: Place,
        from: String,
    },
}

/// An account in the partition in which it is placed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Place {
    pub account: Account,
    pub partition: Partition,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Partition {
    /// That of the environment, whose accounts are below the portfolio.
    Own,
    /// That of the commercial account of a pair.
    Commercial,
}

impl Call {
    pub fn first(account: Account, partition: Partition) -> Self {
        Self::find(Place { account, partition })
    }

    fn find(place: Place) -> Self {
        Self::FindParent { place, page: None, pages: 0 }
    }

    pub fn account(&self) -> &Account {
        match self {
            Self::FindParent { place, .. } | Self::Move { place, .. } => &place.account,
        }
    }

    pub fn request(&self, work: &Work<'_>) -> Result<Request, Failure> {
        match self {
            Self::FindParent { place, page, .. } => {
                let body = Object::new().with("ChildId", place.id()?);
                let body = body.with_optional("NextToken", page.as_deref());
                Ok(place.service().safe("ListParents", body))
            }
            Self::Move { place, from } => {
                let body = Object::new()
                    .with("AccountId", place.id()?)
                    .with("SourceParentId", from)
                    .with("DestinationParentId", place.destination(work)?);
                Ok(place.service().safe("MoveAccount", body))
            }
        }
    }

    pub fn after(self, work: &Work<'_>, data: &Object) -> Result<Action, Failure> {
        match self {
            Self::FindParent { place, pages, .. } => match search(data, "Parents", |_| true) {
                Search::Found(parent) => match text(parent, "Id")? {
                    parent if parent == place.destination(work)? => placed(place),
                    parent => go_on(Self::Move { place, from: parent.to_owned() }),
                },
                Search::NextPage(page) if pages + 1 < PAGES_MAX => {
                    go_on(Self::FindParent { place, page: Some(page), pages: pages + 1 })
                }
                Search::NextPage(_) | Search::Missing => {
                    wait_for(Self::find(place), "the account has no parent yet")
                }
            },
            Self::Move { place, .. } => placed(place),
        }
    }

    pub fn after_error(&self, error: &Error) -> Option<Result<Action, Failure>> {
        match self {
            // It was moved by the call before, whose response was lost.
            Self::Move { place, .. }
                if error.is("DuplicateAccountException")
                    || error.is("SourceParentNotFoundException") =>
            {
                Some(wait_for(Self::find(place.clone()), "the account was moved a moment ago"))
            }
            // It was created just now, and not every server knows it.
            Self::FindParent { place, .. }
                if error.is("ChildNotFoundException") || error.is("AccountNotFoundException") =>
            {
                Some(wait_for(Self::find(place.clone()), "the account is not visible yet"))
            }
            Self::FindParent { .. } | Self::Move { .. } => None,
        }
    }
}

impl Place {
    fn service(&self) -> Service {
        match self.partition {
            Partition::Own => Service::Organizations,
            Partition::Commercial => Service::CommercialOrganizations,
        }
    }

    fn id(&self) -> Result<&str, Failure> {
        match self.partition {
            Partition::Own => Ok(&self.account.id),
            Partition::Commercial => pair::commercial_id(&self.account),
        }
    }

    /// Returns the organizational unit in which the account belongs.
    fn destination<'a>(&self, work: &'a Work<'_>) -> Result<&'a str, Failure> {
        match self.partition {
            Partition::Own => environment::portfolio(work),
            Partition::Commercial => pair::destination(work).ok_or_else(|| {
                Failure::broken("settings.govcloud.commercial_parent was removed meanwhile")
            }),
        }
    }
}

fn placed(Place { account, partition }: Place) -> Result<Action, Failure> {
    environment::go_on(match partition {
        Partition::Own => environment::Call::Read { account },
        Partition::Commercial => environment::Call::Pair(pair::Call::find_invitation(account)),
    })
}

fn go_on(call: Call) -> Result<Action, Failure> {
    environment::go_on(environment::Call::Place(call))
}

fn wait_for(call: Call, note: &str) -> Result<Action, Failure> {
    environment::wait_for(environment::Call::Place(call), note)
}
