//! The operator's settings. The manifest describes them.

use hoth_adapter::Failure;
use hoth_adapter::Job;
use hoth_adapter::payload::Classification;
use serde::Deserialize;

/// The settings of a CSP that this adapter serves.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The parent of the portfolios' organizational units: `r-…` or `ou-…`.
    pub root: String,
    /// The e-mail address of an account, with `{id}` for a text that differs
    /// for each account. Without it, `+{id}` is added to the e-mail
    /// distribution list of the environment.
    pub account_email: Option<String>,
    /// The permission set of operators, by its ARN.
    pub permission_set: Option<String>,
    /// The instance of IAM Identity Center, and its identity store. Without
    /// them, the only instance is used.
    pub instance: Option<String>,
    pub identity_store: Option<String>,
    /// The treatment of operators that Identity Center does not know.
    #[serde(default)]
    pub users: Users,
    /// The classifications that this part of AWS serves.
    #[serde(default = "unclassified")]
    pub levels: Vec<Classification>,
    /// For GovCloud: an environment is a pair of accounts, one in each
    /// partition.
    pub govcloud: Option<GovCloud>,
    /// True if costs include a forecast, which is one more request for each
    /// CLIN. AWS charges for each.
    #[serde(default = "yes")]
    pub forecast: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Users {
    /// They are created.
    #[default]
    Create,
    /// A missing user is a refusal: they come from an identity provider.
    Existing,
}

/// The settings of pairs of accounts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GovCloud {
    /// The organizational unit of the commercial accounts; without it, they
    /// stay in the root.
    pub commercial_parent: Option<String>,
}

impl Settings {
    /// Reads the settings of a job.
    ///
    /// # Errors
    ///
    /// [`Failure`] with code 500 that names the setting.
    pub fn of(job: &Job) -> Result<Self, Failure> {
        let settings: Self = job.read_settings()?;
        if settings.account_email.as_ref().is_some_and(|email| !email.contains("{id}")) {
            let message = "settings.account_email must contain {id}, because an e-mail address \
                           belongs to one account of AWS";
            return Err(Failure::broken(message));
        }
        Ok(settings)
    }
}

fn unclassified() -> Vec<Classification> {
    vec![Classification::Unclassified]
}

fn yes() -> bool {
    true
}
