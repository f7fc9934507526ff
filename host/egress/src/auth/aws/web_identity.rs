//! A role that is assumed with the token of another issuer.

use aws_credential_types::Credentials as Keys;
use secrecy::ExposeSecret as _;

use crate::auth::aws::sts;
use crate::auth::aws::sts::Sts;
use crate::auth::config::WebIdentityConfig;
use crate::auth::grants::Granted;
use crate::auth::issuer_client::IssuerSetup;
use crate::auth::secret::read_secret;
use crate::transport::failure::CallFailure;
use hoth_core::domain::CspName;

/// The issuer of the role's keys.
#[derive(Debug)]
pub struct WebIdentity {
    csp: CspName,
    config: WebIdentityConfig,
    sts: Sts,
}

impl WebIdentity {
    pub fn new(setup: &IssuerSetup, config: &WebIdentityConfig) -> Self {
        let sts = Sts::new(setup, &config.sts_url);
        Self { csp: setup.csp.clone(), config: config.clone(), sts }
    }

    /// Requests keys once. Reads the token again each time.
    pub async fn request(&self) -> Result<Granted<Keys>, CallFailure> {
        let token = read_secret(&self.csp, &self.config.token, "web identity token").await?;
        let given = [
            ("RoleArn", self.config.role_arn.as_str()),
            ("WebIdentityToken", token.expose_secret()),
        ];
        let form = sts::form("AssumeRoleWithWebIdentity", self.config.sts(), &given);
        self.sts.request(form, None).await.map_err(|refused| refused.failure)
    }
}
