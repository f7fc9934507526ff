//! The client credentials grant (RFC 6749 section 4.4), for each way in which a
//! client proves its identity.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderValue;
use secrecy::ExposeSecret as _;
use secrecy::SecretString;
use url::form_urlencoded;
use uuid::Uuid;

use crate::auth::config::ClientAuthentication;
use crate::auth::config::ClientCertificateConfig;
use crate::auth::config::OAuth2Config;
use crate::auth::grants::Granted;
use crate::auth::issuer_client::IssuerSetup;
use crate::auth::scopes::Scopes;
use crate::auth::scopes::joined;
use crate::auth::secret::read_secret;
use crate::auth::secret::unusable;
use crate::auth::sign::client_assertion;
use crate::auth::sign::rsa_key::RsaKey;
use crate::auth::token_endpoint::TokenEndpoint;
use crate::transport::failure::CallFailure;
use hoth_core::domain::CspName;

/// The issuer of an OAuth 2.0 client's tokens.
#[derive(Debug)]
pub struct OAuth2 {
    csp: CspName,
    config: OAuth2Config,
    endpoint: TokenEndpoint,
}

impl OAuth2 {
    pub fn new(setup: &IssuerSetup, config: &OAuth2Config) -> Self {
        let endpoint = TokenEndpoint::new(setup, &config.token_url);
        Self { csp: setup.csp.clone(), config: config.clone(), endpoint }
    }

    /// Requests a token once. Reads the secrets again each time, so that rotated
    /// ones take effect.
    pub async fn request(&self, scopes: &Scopes) -> Result<Granted<HeaderValue>, CallFailure> {
        let Self { csp, config, endpoint } = self;
        if let Some(certificate) = &config.client_certificate {
            return self.request_signed(certificate, scopes).await;
        }
        if let Some(source) = &config.client_assertion {
            let assertion = read_secret(csp, source, "client assertion").await?;
            return endpoint.request(self.form_with(scopes, &assertion), None).await;
        }
        let source = config.client_secret.as_ref().expect("a checked client has one of the three");
        let secret = read_secret(csp, source, "client secret").await?;
        match config.client_authentication.unwrap_or_default() {
            ClientAuthentication::Basic => {
                let basic = basic_credentials(&config.client_id, &secret);
                endpoint.request(self.form(scopes, &[]), Some(basic)).await
            }
            ClientAuthentication::Post => {
                let form = self.form(scopes, &[("client_secret", secret.expose_secret())]);
                endpoint.request(form, None).await
            }
        }
    }

    async fn request_signed(
        &self,
        certificate: &ClientCertificateConfig,
        scopes: &Scopes,
    ) -> Result<Granted<HeaderValue>, CallFailure> {
        let Self { csp, config, endpoint } = self;
        let pem = read_secret(csp, &certificate.key, "key of the client certificate").await?;
        let key = RsaKey::from_pem(pem.expose_secret()).map_err(|bad| {
            unusable(csp, &certificate.key, "key of the client certificate", &bad)
        })?;
        let pem = read_secret(csp, &certificate.certificate, "client certificate").await?;
        let thumbprint = client_assertion::thumbprint(pem.expose_secret()).ok_or_else(|| {
            let reason = "has no certificate in PEM";
            unusable(csp, &certificate.certificate, "client certificate", &reason)
        })?;
        let client = (config.client_id.as_str(), config.token_url.as_str());
        let algorithm = certificate.algorithm;
        let form = |now| {
            let id = (Uuid::new_v4(), now);
            let assertion = client_assertion::sign(&key, algorithm, &thumbprint, client, id);
            self.form_with(scopes, &assertion)
        };
        endpoint.request_signed(form).await
    }

    /// Returns the form with an assertion (RFC 7523 section 2.2).
    fn form_with(&self, scopes: &Scopes, assertion: &SecretString) -> String {
        let parameters = [
            ("client_assertion_type", client_assertion::TYPE),
            ("client_assertion", assertion.expose_secret()),
        ];
        self.form(scopes, &parameters)
    }

    /// Returns the body of the request. It has `client_id` in any case, because
    /// some issuers require that.
    fn form(&self, scopes: &Scopes, authentication: &[(&str, &str)]) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        if !scopes.is_empty() {
            form.append_pair("scope", &joined(scopes));
        }
        form.append_pair("client_id", &self.config.client_id);
        form.extend_pairs(authentication);
        form.extend_pairs(&self.config.parameters);
        form.finish()
    }
}

/// Returns `Basic …`, marked as sensitive. RFC 6749 section 2.3.1 asks for the
/// form encoding of id and secret first, unlike RFC 7617.
fn basic_credentials(id: &str, secret: &SecretString) -> HeaderValue {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encoded(id), encoded(secret.expose_secret()));
    let mut header = HeaderValue::try_from(format!("Basic {}", BASE64.encode(pair)))
        .expect("base64 is visible ASCII");
    header.set_sensitive(true);
    header
}
