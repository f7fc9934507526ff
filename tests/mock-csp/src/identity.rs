//! An identity provider: the client credentials grant of RFC 6749.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use uuid::Uuid;

use crate::server::Answer;
use crate::server::Behaviour;
use crate::server::Call;
use crate::server::Reply;

/// The path of the token endpoint.
pub const TOKEN_PATH: &str = "/oauth2/token";

/// The largest number of tokens; older ones are forgotten. A host needs one per
/// scope and lifetime.
const TOKENS_MAX: usize = 10_000;

/// The issued tokens, written by their issuer and read by an API.
#[derive(Default)]
pub struct Tokens(Mutex<Issued>);

#[derive(Default)]
struct Issued {
    grants: HashMap<String, Grant>,
    /// The tokens in the order in which they were issued.
    order: VecDeque<String>,
}

struct Grant {
    scopes: BTreeSet<String>,
    until: Instant,
}

/// The reason why an API refuses a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    #[error("the token was not issued here")]
    Unknown,
    #[error("the token has expired")]
    Expired,
    #[error("the token is for {granted}, not for {needed}")]
    OtherScope { needed: String, granted: String },
}

impl Tokens {
    /// Issues a token that no other issuer makes.
    pub fn issue(&self, scopes: BTreeSet<String>, lifetime: Duration) -> String {
        let token = Uuid::new_v4().simple().to_string();
        let mut issued = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if issued.order.len() == TOKENS_MAX
            && let Some(oldest) = issued.order.pop_front()
        {
            issued.grants.remove(&oldest);
        }
        issued.order.push_back(token.clone());
        issued.grants.insert(token.clone(), Grant { scopes, until: Instant::now() + lifetime });
        token
    }

    /// Checks that `token` is valid for `scope`.
    ///
    /// # Errors
    ///
    /// Returns the reason if it is not.
    pub fn check(&self, token: &str, scope: &str) -> Result<(), BadToken> {
        let issued = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let grant = issued.grants.get(token).ok_or(BadToken::Unknown)?;
        if grant.until <= Instant::now() {
            return Err(BadToken::Expired);
        }
        if !grant.scopes.contains(scope) {
            let granted = grant.scopes.iter().cloned().collect::<Vec<_>>().join(" ");
            return Err(BadToken::OtherScope { needed: scope.to_owned(), granted });
        }
        Ok(())
    }
}

/// A token endpoint with one client.
pub struct Identity {
    pub client_id: String,
    pub client_secret: String,
    /// The scopes that a token may have.
    pub scopes: &'static [&'static str],
    pub lifetime: Duration,
    pub tokens: Arc<Tokens>,
}

/// A refusal in the words of RFC 6749 section 5.2.
struct Refusal {
    status: u16,
    error: &'static str,
    broken: Vec<String>,
}

impl Behaviour for Identity {
    fn answer(&self, call: &Call) -> Reply {
        match self.validate(call) {
            Ok(scopes) => {
                let token = self.tokens.issue(scopes, self.lifetime);
                let body = json!({
                    "access_token": token, "token_type": "Bearer", "expires_in": self.lifetime.as_secs()
                });
                Reply::valid(Answer::json(200, &body).header("cache-control", "no-store"))
            }
            Err(Refusal { status, error, broken }) => {
                let body = json!({"error": error, "error_description": broken.join("; ")});
                Reply { answer: Answer::json(status, &body), broken }
            }
        }
    }
}

impl Identity {
    /// Returns the requested scopes if the request is valid.
    fn validate(&self, call: &Call) -> Result<BTreeSet<String>, Refusal> {
        let mut broken = Vec::new();
        if (call.method.as_str(), call.target.as_str()) != ("POST", TOKEN_PATH) {
            broken.push(format!("request tokens with POST {TOKEN_PATH}"));
        }
        let media_type = call.header("content-type").unwrap_or_default();
        if media_type.split(';').next() != Some("application/x-www-form-urlencoded") {
            broken.push(format!("`content-type` is `{media_type}`, which is no form"));
        }
        let form: Vec<(String, String)> = parse_form(&call.body);
        let mut one = |name: &str| match values(&form, name)[..] {
            [value] => Some(value.to_owned()),
            [] => {
                broken.push(format!("the form has no `{name}`"));
                None
            }
            _ => {
                broken.push(format!("the form has `{name}` more than once"));
                None
            }
        };
        let (grant_type, client_id, scope) = (one("grant_type"), one("client_id"), one("scope"));
        if grant_type.is_some_and(|grant_type| grant_type != "client_credentials") {
            broken.push("`grant_type` is not `client_credentials`".to_owned());
        }
        if client_id.is_some_and(|client_id| client_id != self.client_id) {
            broken.push("`client_id` is not that of the client".to_owned());
        }
        for (name, _) in &form {
            if !["grant_type", "client_id", "scope"].contains(&name.as_str()) {
                broken.push(format!("the form has `{name}`"));
            }
        }
        if !broken.is_empty() {
            return Err(Refusal { status: 400, error: "invalid_request", broken });
        }
        self.authenticate(call)?;
        self.grantable(scope.as_deref().unwrap_or_default())
    }

    fn authenticate(&self, call: &Call) -> Result<(), Refusal> {
        let refuse = |reason: &str| Refusal {
            status: 401,
            error: "invalid_client",
            broken: vec![reason.to_owned()],
        };
        let headers: Vec<&str> = call.headers_named("authorization").collect();
        let [header] = headers[..] else {
            return Err(refuse("the client does not authenticate itself, or does so twice"));
        };
        let credentials = header
            .strip_prefix("Basic ")
            .and_then(|encoded| STANDARD.decode(encoded).ok())
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| refuse("`authorization` is not HTTP Basic"))?;
        // RFC 6749 section 2.3.1: both halves are form-encoded.
        let (id, secret) = credentials.split_once(':').unwrap_or((&credentials, ""));
        if (decode(id), decode(secret)) != (self.client_id.clone(), self.client_secret.clone()) {
            return Err(refuse("the client's id or secret is wrong"));
        }
        Ok(())
    }

    fn grantable(&self, scope: &str) -> Result<BTreeSet<String>, Refusal> {
        let scopes: BTreeSet<String> = scope.split(' ').map(str::to_owned).collect();
        match scopes.iter().find(|scope| !self.scopes.contains(&scope.as_str())) {
            None => Ok(scopes),
            Some(unknown) => Err(Refusal {
                status: 400,
                error: "invalid_scope",
                broken: vec![format!("there is no scope `{unknown}`")],
            }),
        }
    }
}

fn parse_form(body: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(body).into_owned().collect()
}

fn values<'a>(form: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    form.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
}

/// Decodes one form-encoded value.
fn decode(value: &str) -> String {
    let spaced = value.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}
