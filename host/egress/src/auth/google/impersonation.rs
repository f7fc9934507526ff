//! Tokens of another service account (`generateAccessToken` of the IAM Service
//! Account Credentials API).

use http::HeaderValue;
use http::header;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use url::Url;

use crate::auth::expiry;
use crate::auth::grants::Granted;
use crate::auth::issuer_client;
use crate::auth::issuer_client::IssuerClient;
use crate::auth::issuer_client::IssuerSetup;
use crate::auth::scopes::Scopes;
use crate::auth::token_endpoint;
use crate::transport::failure::CallFailure;

/// The lifetime that is asked for, the longest without a special policy.
const LIFETIME: &str = "3600s";

/// The codes of the API (`google.rpc.Code`). Other text is not repeated.
const STATUS_CODES: [&str; 6] = [
    "FAILED_PRECONDITION",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "UNAUTHENTICATED",
];

/// The issuer of one account's tokens.
#[derive(Debug)]
pub struct Impersonation {
    client: IssuerClient,
    url: Url,
}

impl Impersonation {
    /// Makes the issuer of `account`. `base` is the API's URL.
    pub fn new(setup: &IssuerSetup, base: &Url, account: &str) -> Self {
        let mut url = base.clone();
        let path = base.path().trim_end_matches('/');
        let call = format!("{path}/v1/projects/-/serviceAccounts/{account}:generateAccessToken");
        url.set_path(&call);
        let client = IssuerClient::new(setup, base, "the IAM credentials API", "a token");
        Self { client, url }
    }

    /// Requests a token once, by the authority of `token`.
    pub async fn request(
        &self,
        token: HeaderValue,
        scopes: &Scopes,
    ) -> Result<Granted<HeaderValue>, CallFailure> {
        let body = json!({"scope": scopes, "lifetime": LIFETIME}).to_string();
        let mut request = issuer_client::post(self.url.clone(), "application/json", body);
        request.headers.insert(header::AUTHORIZATION, token);
        let response = self.client.send(request).await?;
        let body = response.body.as_deref().unwrap_or_default();
        if !matches!(response.status, 200..=299) {
            let word = status_code(body);
            return Err(self.client.status_failure(&response, word));
        }
        // The error is dropped because it may quote the body.
        let granted: TokenResponse =
            serde_json::from_slice(body).map_err(|_| self.client.unparsable())?;
        let value = token_endpoint::bearer(&granted.access_token)
            .ok_or_else(|| self.client.unavailable("the token cannot be sent in a header"))?;
        let expires_in =
            expiry::expires_in(&granted.expire_time, &response.headers, self.client.clock());
        Ok(Granted { value, expires_in })
    }
}

/// Returns the code of an error if it is a known one.
fn status_code(body: &[u8]) -> Option<&'static str> {
    #[derive(Deserialize)]
    struct Failed {
        error: Status,
    }
    #[derive(Deserialize)]
    struct Status {
        status: String,
    }
    let Failed { error } = serde_json::from_slice(body).ok()?;
    STATUS_CODES.into_iter().find(|code| *code == error.status)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenResponse {
    access_token: SecretString,
    /// RFC 3339.
    expire_time: String,
}
