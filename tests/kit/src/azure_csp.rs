//! The configuration of a host whose CSP is a local Azure.

use crate::config::HostConfig;
use crate::mock_azure::MockAzure;

impl HostConfig {
    /// Adds `name`, a local Azure that is served by the `azure` adapter, with
    /// `lines` for its table `settings`.
    ///
    /// # Errors
    ///
    /// Returns an error if the local Azure did not print its parts.
    pub fn azure(self, name: &str, azure: &MockAzure, lines: &str) -> anyhow::Result<Self> {
        let variable = format!("{name}_CLIENT_SECRET");
        let table = format!(
            r#"
[csp.{name}]
adapter = "azure"
base_url = "{}"
[csp.{name}.settings]
cloud = "us-government"
{lines}
[csp.{name}.headers]
idempotency_key = false
[csp.{name}.endpoints.graph]
url = "{}"
[csp.{name}.oauth2]
token_url = "{}"
client_id = "{}"
client_secret = {{ env = "{variable}" }}
"#,
            azure.text("arm")?,
            azure.text("graph")?,
            azure.token_url()?,
            azure.text("client_id")?,
        );
        Ok(self.csp_table(&table).environment(&variable, azure.text("client_secret")?))
    }
}
