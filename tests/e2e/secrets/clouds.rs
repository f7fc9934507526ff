//! CSPs with credentials that sign, and the issuers of their tokens and keys.

use std::path::Path;
use std::sync::Arc;

use mock_csp::Call;
use mock_csp::Matching;
use mock_csp::MockCsp;
use serde_json::json;

use super::search_term::SearchTerm;
use crate::csp;
use crate::csp::Answer;
use crate::harness::Setup;

/// The names of the CSPs, one for each kind of credential.
pub const CSPS: [&str; 6] = ["AWS", "ROLE", "ENTRA", "GOOGLE", "FEDERATED", "ORACLE"];

/// Secrets in the characters that those of the clouds have.
const AWS_KEY: &str = "aWsk3y/of+an/account/0123456789abcdefgh";
const AWS_TOKEN: &str = "aWst0ken/of+a/session/0123456789abcdefgh==";
const ROLE_KEY: &str = "r0lek3y/from+STS/0123456789abcdefghijklm";
const ROLE_TOKEN: &str = "r0let0ken/from+STS/0123456789abcdefgh==";
const ENTRA_TOKEN: &str = "entr4.t0ken-of_Microsoft.0123456789";
const ACCOUNT_TOKEN: &str = "g00gle.t0ken-of_an-account.0123456789";
const FEDERATED_TOKEN: &str = "g00gle.t0ken-of_the-pool.0123456789";
const IMPERSONATED_TOKEN: &str = "g00gle.t0ken-of_another.0123456789";
const SUBJECT_TOKEN: &str = "subj3ct.t0ken-of_another-issuer.0123456789";

/// A key for tests, and its certificate.
const KEY: &str = include_str!("../../../host/egress/src/tests/vectors/key.pkcs8.pem");
const CERTIFICATE: &str = include_str!("../../../host/egress/src/tests/vectors/certificate.pem");
const ACCOUNT: &str = include_str!("../../../host/egress/src/tests/vectors/google_account.json");

/// The number of secrets of one sort that are searched for, each in some twenty
/// encodings.
const SAMPLE: usize = 16;

/// The CSPs, in the order of their names, and the issuers.
pub struct Clouds {
    pub csps: Vec<MockCsp>,
    issuers: MockCsp,
}

impl Clouds {
    /// Starts the servers. The issuers fail first and quote the request.
    pub async fn start() -> Self {
        let mut csps = Vec::new();
        for _ in CSPS {
            csps.push(csp::sync().await);
        }
        let issuers = csp::sync().await;
        let token = |token: &str| Answer::json(200, &json!({"access_token": token}));
        let keys = format!(
            "<R xmlns='x'><Credentials><AccessKeyId>ASIA1</AccessKeyId>\
             <SecretAccessKey>{ROLE_KEY}</SecretAccessKey><SessionToken>{ROLE_TOKEN}</SessionToken>\
             <Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></R>"
        );
        let impersonated =
            json!({"accessToken": IMPERSONATED_TOKEN, "expireTime": "2999-01-01T00:00:00Z"});
        for (path, granted) in [
            ("/sts", Answer::text(200, &keys)),
            ("/entra", token(ENTRA_TOKEN)),
            ("/account", token(ACCOUNT_TOKEN)),
            ("/pool", token(FEDERATED_TOKEN)),
            ("/iam", Answer::json(200, &impersonated)),
        ] {
            issuers.script_for(Matching::path(path), [Answer::echo(503), granted]);
        }
        Self { csps, issuers }
    }

    /// Adds the CSPs to a configuration. Writes their keys into `folder`.
    pub fn configure(&self, mut setup: Setup, folder: &Path) -> Setup {
        let file = |name: &str, content: &str| {
            let path = folder.join(name);
            std::fs::write(&path, content).expect("a file can be written");
            format!("{{ file = \"{}\" }}", path.display())
        };
        let issuers = self.issuers.origin();
        let aws = format!(
            "access_key_id = {}\nsecret_access_key = {}\nsession_token = {}\n",
            file("aws-id", "AKIAEXAMPLE"),
            file("aws-key", AWS_KEY),
            file("aws-token", AWS_TOKEN),
        );
        let signing = "signing = { service = \"ce\", region = \"us-east-1\" }\n";
        let (key, account) = (file("key.pem", KEY), file("account.json", ACCOUNT));
        let certificate = file("certificate.pem", CERTIFICATE);
        let subject = file("subject", SUBJECT_TOKEN);
        let fingerprint = "20:3b:97:13:55:1c:5b:0d:d3:37:d8:50:4e:c5:3a:34";
        let credentials = [
            format!("[csp.AWS.aws_sigv4]\n{aws}{signing}"),
            format!(
                "[csp.ROLE.aws_sigv4]\n{signing}[csp.ROLE.aws_sigv4.assume_role]\nfrom = \"base\"\n\
                 role_arn = \"arn:aws:iam::1:role/r\"\nsts_url = \"{issuers}/sts\"\n\
                 region = \"us-east-1\"\n[csp.ROLE.credentials.base.aws_sigv4]\n{aws}"
            ),
            format!(
                "[csp.ENTRA.oauth2]\ntoken_url = \"{issuers}/entra\"\nclient_id = \"hoth\"\n\
                 client_certificate = {{ certificate = {certificate}, key = {key} }}\n"
            ),
            format!(
                "[csp.GOOGLE.google_service_account]\nkey = {account}\n\
                 token_url = \"{issuers}/account\"\n"
            ),
            format!(
                "[csp.FEDERATED.google_federation]\naudience = \"//iam\"\n\
                 subject_token = {subject}\nsts_url = \"{issuers}/pool\"\n\
                 impersonate = \"a@b\"\niam_url = \"{issuers}/iam\"\n"
            ),
            format!(
                "[csp.ORACLE.oci_signature]\ntenancy = \"ocid1.t\"\nuser = \"ocid1.u\"\n\
                 fingerprint = \"{fingerprint}\"\nkey = {key}\n"
            ),
        ];
        for ((name, csp), credential) in CSPS.iter().zip(&self.csps).zip(credentials) {
            setup = setup.with(&super::table(name, csp.base_url(), &credential));
        }
        setup
    }

    /// Returns every secret that was configured, granted or sent.
    pub fn secrets(&self) -> Vec<SearchTerm> {
        let mut terms: Vec<SearchTerm> = [
            ("a secret access key", AWS_KEY),
            ("a session token", AWS_TOKEN),
            ("the secret access key of a role", ROLE_KEY),
            ("the session token of a role", ROLE_TOKEN),
            ("a token of Entra", ENTRA_TOKEN),
            ("a token of a service account", ACCOUNT_TOKEN),
            ("a token of a pool", FEDERATED_TOKEN),
            ("a token of an impersonated account", IMPERSONATED_TOKEN),
            ("a token of another issuer", SUBJECT_TOKEN),
        ]
        .map(|(name, secret)| SearchTerm::new(name, secret))
        .into();
        let lines = KEY.lines().filter(|line| !line.starts_with('-')).take(SAMPLE);
        terms.extend(lines.map(|line| SearchTerm::new("a private key", line)));
        let headers = ["authorization", "x-amz-security-token"];
        let calls = self.csps.iter().flat_map(csp::calls);
        let sent: Vec<String> = calls
            .flat_map(|call| headers.map(|name| csp::header(&call, name).unwrap_or_default()))
            .collect();
        for secret in [AWS_TOKEN, ROLE_TOKEN, ENTRA_TOKEN, ACCOUNT_TOKEN, IMPERSONATED_TOKEN] {
            assert!(sent.iter().any(|value| value.ends_with(secret)), "{secret} is sent");
        }
        let mut signers = 0;
        for csp in &self.csps {
            let calls = csp::calls(csp);
            let signatures: Vec<String> = calls.iter().filter_map(|it| signature(it)).collect();
            signers += usize::from(!signatures.is_empty());
            terms.extend(sample(&signatures).map(|it| SearchTerm::new("a signature", it)));
        }
        assert_eq!(signers, 3, "AWS twice, and Oracle");
        let calls = csp::calls(&self.issuers);
        let assertions: Vec<String> = calls.iter().filter_map(assertion).collect();
        assert!(assertions.len() > 3, "{} assertions were signed", assertions.len());
        terms.extend(sample(&assertions).map(|it| SearchTerm::new("an assertion", it)));
        terms
    }
}

/// Returns some secrets from the whole run.
fn sample(secrets: &[String]) -> impl Iterator<Item = &String> {
    secrets.iter().step_by(secrets.len().div_ceil(SAMPLE).max(1))
}

/// Returns the signature of a request to AWS or to Oracle.
fn signature(call: &Call) -> Option<String> {
    let value = csp::header(call, "authorization")?;
    let (_, signature) =
        value.split_once("Signature=").or_else(|| value.split_once("signature=\""))?;
    Some(signature.trim_end_matches('"').to_owned())
}

/// Returns the assertion in a form.
fn assertion(call: &Arc<Call>) -> Option<String> {
    let mut form = url::form_urlencoded::parse(&call.body);
    let is_assertion = |name: &str| ["assertion", "client_assertion"].contains(&name);
    form.find(|(name, _)| is_assertion(name)).map(|(_, value)| value.into_owned())
}
