//! The operator's settings. The manifest describes them.

use hoth_adapter::Failure;
use hoth_adapter::Job;
use hoth_adapter::Object;
use hoth_adapter::payload::Classification;
use serde::Deserialize;

/// The settings of a CSP that this adapter serves.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub cloud: Cloud,
    /// The management group above all portfolios. Without it, they are below
    /// the tenant's root.
    pub parent: Option<String>,
    /// The account that pays for subscriptions, such as
    /// `/billingAccounts/1/enrollmentAccounts/2`.
    pub billing_scope: Option<String>,
    #[serde(default)]
    pub workload: Workload,
    /// The role of operators: the GUID of its definition.
    pub role: Option<String>,
    /// The treatment of users that the directory does not have.
    #[serde(default)]
    pub users: Users,
    /// The page that an invitation leads to. Without it, the cloud's portal.
    pub invite_redirect_url: Option<String>,
    /// The scopes of tokens, if they are not those of the cloud.
    pub arm_scope: Option<String>,
    pub graph_scope: Option<String>,
    /// The classifications that this part of Azure serves.
    #[serde(default = "unclassified")]
    pub levels: Vec<Classification>,
    /// The task orders that pay, as ServiceNow sends them. One with a
    /// `portfolioId` pays for that portfolio alone.
    #[serde(default)]
    pub task_orders: Vec<Object>,
    #[serde(default)]
    pub cost_scope: CostScope,
    /// The versions of the API, for clouds that get newer or other ones.
    #[serde(default)]
    pub api_versions: ApiVersions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cloud {
    Public,
    /// With the regions of the DoD.
    UsGovernment,
}

/// The offer of new subscriptions, in Azure's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Workload {
    #[default]
    Production,
    DevTest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Users {
    /// They are invited.
    #[default]
    Invite,
    /// A missing user is a refusal.
    Existing,
}

/// The scope of the queries for costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CostScope {
    /// One query for a portfolio and a year.
    #[default]
    ManagementGroup,
    /// One query for each subscription and year, for agreements under which
    /// management groups have no costs.
    Subscription,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiVersions {
    pub management_groups: String,
    pub aliases: String,
    pub subscriptions: String,
    pub role_assignments: String,
    pub costs: String,
}

impl Default for ApiVersions {
    fn default() -> Self {
        Self {
            management_groups: "2023-04-01".to_owned(),
            aliases: "2021-10-01".to_owned(),
            subscriptions: "2022-12-01".to_owned(),
            role_assignments: "2022-04-01".to_owned(),
            costs: "2025-03-01".to_owned(),
        }
    }
}

impl Settings {
    /// Reads the settings of a job.
    ///
    /// # Errors
    ///
    /// [`Failure`] with code 500 that names the setting.
    pub fn of(job: &Job) -> Result<Self, Failure> {
        job.read_settings()
    }

    /// Returns the scope of tokens for Azure Resource Manager. That of Azure
    /// Government is not below the host of the API.
    pub fn arm_scope(&self) -> &str {
        let default = match self.cloud {
            Cloud::Public => "https://management.azure.com/.default",
            Cloud::UsGovernment => "https://management.core.usgovcloudapi.net/.default",
        };
        self.arm_scope.as_deref().unwrap_or(default)
    }

    /// Returns the scope of tokens for Microsoft Graph.
    pub fn graph_scope(&self) -> &str {
        let default = match self.cloud {
            Cloud::Public => "https://graph.microsoft.com/.default",
            Cloud::UsGovernment => "https://graph.microsoft.us/.default",
        };
        self.graph_scope.as_deref().unwrap_or(default)
    }

    pub fn invite_redirect_url(&self) -> &str {
        let default = match self.cloud {
            Cloud::Public => "https://portal.azure.com",
            Cloud::UsGovernment => "https://portal.azure.us",
        };
        self.invite_redirect_url.as_deref().unwrap_or(default)
    }

    /// Returns the account that pays for subscriptions.
    ///
    /// # Errors
    ///
    /// [`Failure`] with code 500 if it is not configured.
    pub fn billing_scope(&self) -> Result<&str, Failure> {
        let lacks = || Failure::broken("environments need settings.billing_scope");
        self.billing_scope.as_deref().ok_or_else(lacks)
    }

    /// Returns the role of operators.
    ///
    /// # Errors
    ///
    /// [`Failure`] with code 500 if it is not configured.
    pub fn role(&self) -> Result<&str, Failure> {
        let lacks = || Failure::broken("operators need settings.role");
        self.role.as_deref().ok_or_else(lacks)
    }
}

impl Workload {
    pub fn word(self) -> &'static str {
        match self {
            Self::Production => "Production",
            Self::DevTest => "DevTest",
        }
    }
}

fn unclassified() -> Vec<Classification> {
    vec![Classification::Unclassified]
}

#[cfg(test)]
mod tests {
    use hoth_adapter::Adapter as _;
    use hoth_adapter::Json;
    use hoth_adapter::Object;

    use super::*;
    use crate::Azure;

    /// Returns the fields of a type, as its refusal of an unknown one lists
    /// them.
    fn fields<T: serde::de::DeserializeOwned>() -> Vec<String> {
        let unknown = Object::new().with("unknown", 1_u16).read::<T>();
        let message = unknown.err().expect("the field is unknown").to_string();
        let (_, list) = message.split_once("expected one of ").expect(&message);
        let mut fields: Vec<String> = list.split(", ").map(str::to_owned).collect();
        fields.sort();
        fields
    }

    fn properties(schema: &Object) -> Vec<String> {
        let properties = schema.get("properties").and_then(Json::as_object).expect("properties");
        let mut names: Vec<String> = properties.iter().map(|(name, _)| name.to_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_manifest_describes_every_setting() {
        let manifest = Object::parse(Azure::MANIFEST).expect("an object");
        let schema = manifest.get("settings").and_then(Json::as_object).expect("a schema");
        assert_eq!(properties(schema), fields::<Settings>());
        let inner = schema.get("properties").and_then(Json::as_object);
        let versions = inner.and_then(|inner| inner.get("api_versions")).and_then(Json::as_object);
        assert_eq!(properties(versions.expect("a schema")), fields::<ApiVersions>());
    }
}
