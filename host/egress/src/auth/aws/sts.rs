//! The AWS Security Token Service: temporary keys for a role.

use aws_credential_types::Credentials as Keys;
use http::HeaderValue;
use url::Url;
use url::form_urlencoded;

use crate::auth::config::StsConfig;
use crate::auth::expiry;
use crate::auth::grants::Granted;
use crate::auth::issuer_client;
use crate::auth::issuer_client::IssuerClient;
use crate::auth::issuer_client::IssuerSetup;
use crate::auth::sign::aws_refusal;
use crate::auth::sign::aws_refusal::is_element;
use crate::auth::sign::signer::Refusal;
use crate::auth::sign::signer::Signer;
use crate::transport::call::RawResponse;
use crate::transport::failure::CallFailure;

/// The version of the API. It has had no other since 2011.
const VERSION: &str = "2011-06-15";

/// The errors of the API that are repeated in messages. Other text is not: it
/// might quote a token.
const ERRORS: [&str; 14] = [
    "AccessDenied",
    "ExpiredToken",
    "ExpiredTokenException",
    "IDPCommunicationError",
    "IDPRejectedClaim",
    "InvalidClientTokenId",
    "InvalidIdentityToken",
    "MalformedPolicyDocument",
    "RegionDisabledException",
    "RequestExpired",
    "ServiceUnavailable",
    "SignatureDoesNotMatch",
    "Throttling",
    "ValidationError",
];

/// The errors that have status 400 and may pass.
const MAY_PASS: [&str; 3] = ["IDPCommunicationError", "ServiceUnavailable", "Throttling"];

/// A client of STS for one role.
#[derive(Debug)]
pub struct Sts {
    client: IssuerClient,
    url: Url,
}

/// The failure of one request to STS.
#[derive(Debug)]
pub struct StsFailure {
    pub failure: CallFailure,
    /// The judgement on the keys that signed, if STS refused them.
    pub refusal: Option<Refusal>,
}

/// Returns the form of a request, with the parameters that all have.
pub fn form(action: &str, sts: StsConfig<'_>, parameters: &[(&str, &str)]) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("Action", action);
    form.append_pair("Version", VERSION);
    form.append_pair("RoleSessionName", sts.session_name);
    form.append_pair("DurationSeconds", &sts.duration_s.to_string());
    form.extend_pairs(parameters);
    form.finish()
}

impl Sts {
    pub fn new(setup: &IssuerSetup, url: &Url) -> Self {
        let client = IssuerClient::new(setup, url, "STS", "keys");
        Self { client, url: url.clone() }
    }

    /// Sends a form once, signed if there is a signer.
    pub async fn request(
        &self,
        form: String,
        signer: Option<&Signer>,
    ) -> Result<Granted<Keys>, StsFailure> {
        let unrelated = |failure| StsFailure { failure, refusal: None };
        let mut request = issuer_client::post(self.url.clone(), issuer_client::FORM, form);
        let xml = HeaderValue::from_static("application/xml");
        request.headers.insert(http::header::ACCEPT, xml);
        if let Some(signer) = signer {
            signer.sign(&mut request).map_err(unrelated)?;
        }
        let response = self.client.send(request).await.map_err(unrelated)?;
        if matches!(response.status, 200..=299) {
            return self.keys(&response).ok_or_else(|| unrelated(self.client.unparsable()));
        }
        let code = aws_refusal::xml_code(response.body.as_deref().unwrap_or_default());
        let code = ERRORS.into_iter().find(|known| code.as_deref() == Some(known));
        let failure = match code {
            Some(code) if MAY_PASS.contains(&code) => {
                let reason = self.client.status_message(response.status, Some(code));
                self.client.throttled(&response, &reason)
            }
            Some(_) | None => self.client.status_failure(&response, code),
        };
        Err(StsFailure { failure, refusal: signer.and_then(|signer| signer.judge(&response)) })
    }

    /// Reads the keys of a successful response.
    fn keys(&self, response: &RawResponse) -> Option<Granted<Keys>> {
        let body = std::str::from_utf8(response.body.as_deref().ok()?).ok()?;
        let document = roxmltree::Document::parse(body).ok()?;
        let granted = document.descendants().find(|node| is_element(*node, "Credentials"))?;
        let text = |name: &str| {
            let node = granted.children().find(|node| is_element(*node, name))?;
            node.text().filter(|text| !text.is_empty())
        };
        // Anything that cannot stand in a header is no key.
        let word =
            |name: &str| text(name).filter(|word| word.bytes().all(|byte| byte.is_ascii_graphic()));
        let token = word("SessionToken")?.to_owned();
        let value =
            Keys::new(word("AccessKeyId")?, word("SecretAccessKey")?, Some(token), None, "sts");
        let expires_in = text("Expiration")
            .and_then(|expiry| expiry::expires_in(expiry, &response.headers, self.client.clock()));
        Some(Granted { value, expires_in })
    }
}
