//! A local Azure in a process of its own: `tests/mock-azure`.

use std::ops::Deref;

use anyhow::Context as _;
use serde_json::Value;

use crate::mock_cloud;
use crate::mock_cloud::MockCloud;

/// The name for messages.
const NAME: &str = "the local Azure";

/// The folder below `tests`.
const FOLDER: &str = "mock-azure";

/// A local Azure; stopped when it is dropped.
///
/// `tests/mock-azure/README.md` describes its endpoints, faults and settings.
#[derive(Debug)]
pub struct MockAzure {
    cloud: MockCloud,
}

impl MockAzure {
    /// Starts a local Azure and waits until it serves.
    ///
    /// # Errors
    ///
    /// Returns an error if its Python is not installed, or if it ends or takes
    /// more than [`PATIENCE`](crate::PATIENCE) before it serves.
    pub async fn start() -> anyhow::Result<Self> {
        Ok(Self { cloud: MockCloud::start(NAME, FOLDER, "mock_azure").await? })
    }

    /// Returns a URL or an id of the document: `arm`, `graph`, `token`,
    /// `tenant`, `client_id` or `client_secret`.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such text.
    pub fn text(&self, name: &str) -> anyhow::Result<&str> {
        let text = self.document()[name].as_str();
        text.with_context(|| format!("{NAME} has no `{name}`"))
    }

    /// Returns the URL that gives tokens of the tenant.
    ///
    /// # Errors
    ///
    /// Returns an error if the mock did not print its parts.
    pub fn token_url(&self) -> anyhow::Result<String> {
        Ok(format!("{}/{}/oauth2/v2.0/token", self.text("token")?, self.text("tenant")?))
    }

    /// Registers an application: `client_id`, `secret`, `certificates`,
    /// `federations`.
    ///
    /// # Errors
    ///
    /// Returns an error with the mock's sentence if a part is not valid.
    pub async fn application(&self, application: &Value) -> anyhow::Result<()> {
        self.post("applications", application).await.map(drop)
    }

    /// Adds a subscription (`displayName`, `parent`, `id`, `tags`), and returns
    /// its id.
    ///
    /// # Errors
    ///
    /// Returns an error with the mock's sentence if a part is not valid.
    pub async fn subscription(&self, subscription: &Value) -> anyhow::Result<String> {
        id(&self.post("subscriptions", subscription).await?)
    }

    /// Adds a member of the directory (`mail`, `displayName`, `otherMails`), and
    /// returns the id.
    ///
    /// # Errors
    ///
    /// Returns an error with the mock's sentence if a part is not valid.
    pub async fn user(&self, user: &Value) -> anyhow::Result<String> {
        id(&self.post("users", user).await?)
    }

    /// Adds costs, one or a list: `subscriptionId`, `date`, `cost`, `currency`
    /// and dimensions.
    ///
    /// # Errors
    ///
    /// Returns an error with the mock's sentence if a part is not valid.
    pub async fn costs(&self, lines: &Value) -> anyhow::Result<()> {
        self.post("costs", lines).await.map(drop)
    }

    /// Accepts the ownership of the subscription of an `alias`, or sets its
    /// `state`.
    ///
    /// # Errors
    ///
    /// Returns an error with the mock's sentence if there is no such alias.
    pub async fn accept_ownership(&self, alias: &Value) -> anyhow::Result<()> {
        self.post("accept-ownership", alias).await.map(drop)
    }

    /// Does an operation, such as `ADD_PORTFOLIO`, with Microsoft's SDK. `input`
    /// and `settings` replace parts of the samples in `twin.py`. Returns the
    /// calls in the form that `RECORDED` has for those of any client. `STATE`
    /// returns what stands in the tenant.
    ///
    /// # Errors
    ///
    /// Returns an error if the SDK could not do it; its traceback is on standard
    /// error.
    pub async fn twin(
        &self,
        operation: &str,
        input: &Value,
        settings: &Value,
    ) -> anyhow::Result<Value> {
        let (input, settings) = (input.to_string(), settings.to_string());
        let ready = self.document().to_string();
        let arguments = [operation, "--ready", &ready, "--input", &input, "--settings", &settings];
        let output = mock_cloud::script(NAME, FOLDER, "twin.py", &arguments).await?;
        serde_json::from_str(&output)
            .with_context(|| format!("reading the output of `twin.py {operation}`"))
    }

    /// Reads with Microsoft's SDK what stands in the tenant, and returns it as
    /// lines for people.
    ///
    /// # Errors
    ///
    /// Returns an error if the SDK could not read it.
    pub async fn show(&self) -> anyhow::Result<String> {
        mock_cloud::script(NAME, FOLDER, "show.py", &[&self.document().to_string()]).await
    }
}

impl Deref for MockAzure {
    type Target = MockCloud;

    fn deref(&self) -> &MockCloud {
        &self.cloud
    }
}

fn id(answer: &Value) -> anyhow::Result<String> {
    let id = answer["id"].as_str().context("the answer has no id")?;
    Ok(id.to_owned())
}
