//! A local AWS in a process of its own: `tests/mock-aws`.

use std::ops::Deref;

use anyhow::Context as _;
use serde_json::Value;

use crate::mock_cloud;
use crate::mock_cloud::MockCloud;

/// The name for messages.
const NAME: &str = "the local AWS";

/// The folder below `tests`.
const FOLDER: &str = "mock-aws";

/// A local AWS; stopped when it is dropped.
///
/// `tests/mock-aws/README.md` describes its endpoints, keys, faults and
/// settings.
#[derive(Debug)]
pub struct MockAws {
    cloud: MockCloud,
}

/// An access key.
#[derive(Debug, Clone)]
pub struct AccessKey {
    pub id: String,
    pub secret: String,
    pub account: String,
}

impl MockAws {
    /// Starts a local AWS and waits until it serves.
    ///
    /// # Errors
    ///
    /// Returns an error if its Python is not installed, or if it ends or takes
    /// more than [`PATIENCE`](crate::PATIENCE) before it serves.
    pub async fn start() -> anyhow::Result<Self> {
        Ok(Self { cloud: MockCloud::start(NAME, FOLDER, "mock_aws").await? })
    }

    /// Returns the URL of an endpoint, such as `organizations-gov`.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such endpoint.
    pub fn url(&self, endpoint: &str) -> anyhow::Result<&str> {
        let url = self.document()["endpoints"][endpoint]["url"].as_str();
        url.with_context(|| format!("{NAME} has no endpoint `{endpoint}`"))
    }

    /// Returns a fixed key, such as `management-gov`.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such key.
    pub fn key(&self, name: &str) -> anyhow::Result<AccessKey> {
        let key = &self.document()["credentials"][name];
        let text = |field: &str| {
            let value = key[field].as_str().map(str::to_owned);
            value.with_context(|| format!("{NAME} has no key `{name}`"))
        };
        let (id, secret) = (text("access_key_id")?, text("secret_access_key")?);
        Ok(AccessKey { id, secret, account: text("account")? })
    }

    /// Returns an id of a partition (`aws` or `aws-us-gov`), such as `root`.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such id.
    pub fn id(&self, partition: &str, name: &str) -> anyhow::Result<&str> {
        let id = self.document()["partitions"][partition][name].as_str();
        id.with_context(|| format!("{NAME} has no `{name}` in `{partition}`"))
    }

    /// Replaces the tables `costs` and `forecasts`, or one of them: amounts by
    /// account and day or month.
    ///
    /// # Errors
    ///
    /// Returns an error with the mock's sentence if these are no such tables.
    pub async fn costs(&self, tables: &Value) -> anyhow::Result<()> {
        self.post("costs", tables).await.map(drop)
    }

    /// Reads with boto3 what stands in the organizations, and returns it as
    /// lines for people.
    ///
    /// # Errors
    ///
    /// Returns an error if boto3 could not read it.
    pub async fn show(&self) -> anyhow::Result<String> {
        let control = self.document()["control"].as_str().context("a URL of the control API")?;
        let facts = format!("{control}/control/facts");
        mock_cloud::script(NAME, FOLDER, "show.py", &[&facts]).await
    }
}

impl Deref for MockAws {
    type Target = MockCloud;

    fn deref(&self) -> &MockCloud {
        &self.cloud
    }
}
