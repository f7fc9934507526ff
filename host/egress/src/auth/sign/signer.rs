//! The last step of a request: its authentication, by a header or by a
//! signature over all of it.

use std::sync::Arc;

use aws_credential_types::Credentials as Keys;

use crate::auth::sign::aws_refusal;
use crate::auth::sign::aws_signature;
use crate::auth::sign::header::AuthHeader;
use crate::auth::sign::oci_signature;
use crate::auth::sign::oci_signature::OciKey;
use crate::auth::sign::signing_clock::SigningClock;
use crate::auth::sign::signing_clock::Skew;
use crate::policy::aws_scope::AwsScope;
use crate::policy::scrub::Scrubber;
use crate::transport::call::RawResponse;
use crate::transport::failure::CallFailure;
use crate::transport::request::OutgoingRequest;
use hoth_core::domain::CspName;
use hoth_core::domain::TransportCode;

/// A credential that is ready to authenticate requests.
#[derive(Debug, Clone)]
pub enum Signer {
    Header(HeaderSigner),
    AwsSigV4(AwsSigner),
    OciSignature(OciSigner),
}

/// A signer that sets one header, the same for every request.
#[derive(Debug, Clone)]
pub struct HeaderSigner {
    pub header: AuthHeader,
    /// Tells a token from its successor. It is 0 for keys and passwords.
    pub generation: u64,
}

/// A signer of AWS Signature Version 4.
#[derive(Debug, Clone)]
pub struct AwsSigner {
    pub csp: CspName,
    pub keys: Keys,
    /// Tells the keys of a role from their successors.
    pub generation: u64,
    /// If `None`, the scope is read off the host name.
    pub scope: Option<AwsScope>,
    pub clock: SigningClock,
}

/// A signer of Oracle's request signatures.
#[derive(Debug, Clone)]
pub struct OciSigner {
    pub key: Arc<OciKey>,
    pub clock: SigningClock,
}

/// The reason why a CSP refuses a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The signature has another time than the CSP.
    Clock(Skew),
    /// The credential is unknown, expired or withdrawn, as far as one can tell.
    Credential,
}

impl Signer {
    /// Authenticates a request whose URL, headers and body are final. Returns
    /// the scrubber of its response.
    ///
    /// # Errors
    ///
    /// Returns a failure if no signature can be made for the URL.
    pub fn sign(&self, request: &mut OutgoingRequest) -> Result<Arc<Scrubber>, CallFailure> {
        match self {
            Self::Header(HeaderSigner { header, .. }) => {
                header.apply(&mut request.headers);
                Ok(header.scrubber())
            }
            Self::AwsSigV4(signer) => signer.sign(request),
            Self::OciSignature(OciSigner { key, clock }) => {
                let signature = oci_signature::sign(request, key, clock.now());
                Ok(Arc::new(Scrubber::new([signature.as_bytes()])))
            }
        }
    }

    /// Returns the reason why the CSP refused this credential, or `None` if it
    /// did not.
    pub fn judge(&self, response: &RawResponse) -> Option<Refusal> {
        let (refused, clock) = match self {
            Self::Header(_) => (response.status == 401, None),
            Self::AwsSigV4(signer) => (aws_refusal::is_refused(response), Some(&signer.clock)),
            Self::OciSignature(signer) => (response.status == 401, Some(&signer.clock)),
        };
        let skew = || clock?.skew(&response.headers);
        refused.then(|| skew().map_or(Refusal::Credential, Refusal::Clock))
    }

    /// Dates the following signatures by the CSP's time.
    pub fn correct_clock(&self, skew: Skew) {
        match self {
            Self::Header(_) => {}
            Self::AwsSigV4(AwsSigner { clock, .. })
            | Self::OciSignature(OciSigner { clock, .. }) => clock.correct(skew),
        }
    }
}

impl AwsSigner {
    fn sign(&self, request: &mut OutgoingRequest) -> Result<Arc<Scrubber>, CallFailure> {
        let read_off = match self.scope {
            Some(_) => None,
            None => AwsScope::of(&request.url),
        };
        let scope = self.scope.as_ref().or(read_off.as_ref());
        let signed = scope
            .ok_or("the host name does not have the service and the region: configure `signing`")
            .and_then(|scope| {
                aws_signature::sign(request, &self.keys, scope, self.clock.now())
                    .map_err(|_| "its URL cannot be signed")
            });
        let signature = signed.map_err(|reason| {
            let message = format!("HOTH cannot sign the request to {}: {reason}", self.csp);
            CallFailure::unsent(TransportCode::RequestRefused, message)
        })?;
        let token = self.keys.session_token().map(str::as_bytes);
        let secrets = [signature.as_bytes()].into_iter().chain(token);
        Ok(Arc::new(Scrubber::new(secrets)))
    }
}
