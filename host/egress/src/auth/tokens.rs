//! Access tokens, cached for each set of scopes.

use std::time::Duration;

use http::header;

use crate::auth::google;
use crate::auth::grants::Grant;
use crate::auth::grants::Granted;
use crate::auth::grants::Grants;
use crate::auth::grants::Issuer;
use crate::auth::oauth2::OAuth2;
use crate::auth::scopes::Scopes;
use crate::auth::sign::header::AuthHeader;
use crate::auth::status::TokenStatus;
use crate::transport::failure::CallFailure;
use hoth_platform::clock::Clock;

/// An issuer of bearer tokens.
#[derive(Debug)]
pub enum TokenIssuer {
    OAuth2(OAuth2),
    GoogleAccount(google::ServiceAccount),
    GoogleFederation(google::Federation),
}

/// The tokens of one credential. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tokens {
    grants: Grants<TokenIssuer>,
    /// The scopes of requests that ask for none.
    scopes: Scopes,
}

impl Issuer for TokenIssuer {
    type Key = Scopes;
    type Value = AuthHeader;

    async fn issue(&self, scopes: &Scopes) -> Result<Granted<AuthHeader>, CallFailure> {
        let Granted { value, expires_in } = match self {
            Self::OAuth2(issuer) => issuer.request(scopes).await?,
            Self::GoogleAccount(issuer) => issuer.request(scopes).await?,
            Self::GoogleFederation(issuer) => issuer.request(scopes).await?,
        };
        let value = AuthHeader::new(header::AUTHORIZATION, value, None);
        Ok(Granted { value, expires_in })
    }
}

impl Tokens {
    pub fn new(issuer: TokenIssuer, scopes: Scopes) -> Self {
        Self { grants: Grants::new(issuer), scopes }
    }

    /// Returns a usable token: see [`Grants::get`].
    pub async fn get(
        &self,
        scopes: &Scopes,
        patience: Duration,
    ) -> Result<Grant<AuthHeader>, CallFailure> {
        self.grants.get(self.effective(scopes), patience).await
    }

    /// Drops a token that the CSP refused: see [`Grants::discard`].
    pub fn discard(&self, scopes: &Scopes, generation: u64) {
        self.grants.discard(self.effective(scopes), generation);
    }

    /// Returns the key of the credential's table in the configuration.
    pub fn kind(&self) -> &'static str {
        match self.grants.issuer() {
            TokenIssuer::OAuth2(_) => "oauth2",
            TokenIssuer::GoogleAccount(_) => "google_service_account",
            TokenIssuer::GoogleFederation(_) => "google_federation",
        }
    }

    /// Returns the state of the tokens, for operators.
    pub fn status(&self, clock: &Clock) -> TokenStatus {
        self.grants.status(clock)
    }

    fn effective<'a>(&'a self, scopes: &'a Scopes) -> &'a Scopes {
        match scopes.is_empty() {
            true => &self.scopes,
            false => scopes,
        }
    }
}
