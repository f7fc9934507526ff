//! AWS Signature Version 4, in the Authorization header, as ServiceNow signs.
//!
//! A signature is valid while its date is near this host's time. Within that
//! time, anyone who has seen the request can send it again; the scheme has no
//! nonce. Idempotency keys make a repeated POST harmless, and TLS keeps the
//! request from being seen.
//!
//! HOTH issues no session tokens, so it ignores `X-Amz-Security-Token`. A
//! signature always covers the body. `UNSIGNED-PAYLOAD` and streamed signatures
//! belong to S3, and are rejected here.

mod canonical;
#[cfg(test)]
mod tests;

use hmac::Hmac;
use hmac::Mac as _;
use http::HeaderMap;
use http::request::Parts;
use secrecy::ExposeSecret as _;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use time::PrimitiveDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tracing::debug;

use super::denied::Denied;
use super::key_set::Signer;
use super::principal::Principal;
use hoth_core::domain::Digest;
use hoth_core::domain::Timestamp;

/// The scheme of the Authorization header; also the algorithm's name.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The service that requests are signed for. It is the one of Amazon API
/// Gateway, which HOTH replaces.
pub const SERVICE: &str = "execute-api";

/// The largest distance of a signature's date from this host's time. AWS has the
/// same bound.
const SKEW_MAX_SECONDS: u64 = 300;

const DATE: &str = "x-amz-date";
const CONTENT_SHA256: &str = "x-amz-content-sha256";
const DATE_FORMAT: &[BorrowedFormatItem<'_>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");

/// The parsed Authorization header, not verified yet.
pub struct Claim<'a> {
    pub access_key_id: &'a str,
    day: &'a str,
    region: &'a str,
    service: &'a str,
    signed_headers: &'a str,
    signature: [u8; 32],
}

impl<'a> Claim<'a> {
    /// Parses the part after the algorithm:
    /// `Credential=id/day/region/service/aws4_request, SignedHeaders=…,
    /// Signature=…`, in any order.
    pub fn parse(credentials: &'a str) -> Result<Self, Denied> {
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for part in credentials.split(',') {
            let (name, value) =
                part.trim().split_once('=').ok_or(Denied::Malformed("a part has no value"))?;
            let slot = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => return Err(Denied::Malformed("a part is unknown")),
            };
            if slot.replace(value).is_some() {
                return Err(Denied::Malformed("a part is given twice"));
            }
        }
        let (Some(credential), Some(signed_headers), Some(signature)) =
            (credential, signed_headers, signature)
        else {
            return Err(Denied::Malformed("a part is missing"));
        };
        let scope: Vec<&str> = credential.split('/').collect();
        let [access_key_id, day, region, service, "aws4_request"] = scope[..] else {
            return Err(Denied::Malformed("Credential is not id/day/region/service/aws4_request"));
        };
        // An HMAC-SHA256 has the text form of a SHA-256 digest.
        let signature: Digest =
            signature.parse().map_err(|_| Denied::Malformed("Signature is not 64 hex digits"))?;
        let signature = *signature.as_bytes();
        Ok(Self { access_key_id, day, region, service, signed_headers, signature })
    }

    /// Verifies the request except for its body.
    ///
    /// # Errors
    ///
    /// Returns the reason if the scope, date or covered headers are wrong, or if
    /// the head declares the body's digest and the signature does not match.
    pub fn verify_head(
        &self,
        signer: &Signer,
        head: &Parts,
        now: Timestamp,
        service: &str,
    ) -> Result<PendingSignature, Denied> {
        // The cheap comparisons come first. Only a request that passes them
        // costs the canonical form and five HMACs.
        if self.service != service {
            return Err(Denied::Scope("service"));
        }
        if signer.region.as_ref().is_some_and(|region| region != self.region) {
            return Err(Denied::Scope("region"));
        }
        let date = self.date(&head.headers, now)?;
        self.check_covered(&head.headers)?;
        let canonical = canonical::without_payload(head, self.signed_headers)?;
        let scope = format!("{}/{}/{}/aws4_request", self.day, self.region, self.service);
        let pending = PendingSignature {
            principal: signer.principal.clone(),
            canonical,
            preamble: format!("{ALGORITHM}\n{date}\n{scope}\n"),
            signing_key: self.signing_key(signer.secret.expose_secret()),
            signature: self.signature,
            declared: declared(&head.headers)?,
        };
        // With a declared digest the signature can be verified before the body
        // arrives, so an unknown sender cannot make the host buffer a large one.
        match &pending.declared {
            Some(payload) if !pending.is_signature_over(payload) => Err(pending.mismatch(payload)),
            Some(_) | None => Ok(pending),
        }
    }

    /// Returns the signed date if it is near `now` and of the signed day.
    fn date<'h>(&self, headers: &'h HeaderMap, now: Timestamp) -> Result<&'h str, Denied> {
        let text = single(headers, DATE)?.ok_or(Denied::Malformed("X-Amz-Date is missing"))?;
        let bad = Denied::Malformed("X-Amz-Date is not YYYYMMDDTHHMMSSZ");
        let date = PrimitiveDateTime::parse(text, DATE_FORMAT).map_err(|_| bad)?;
        let now = i64::try_from(now.as_millis() / 1_000).unwrap_or(i64::MAX);
        let apart = date.assume_utc().unix_timestamp().abs_diff(now);
        if apart > SKEW_MAX_SECONDS {
            return Err(Denied::Skewed(apart));
        }
        // The signing key is derived from the day, so it must be the day of the
        // date. The length counts too: an empty day starts every date.
        if !text.starts_with(self.day) || self.day.len() != 8 {
            return Err(Denied::Scope("day"));
        }
        Ok(text)
    }

    /// Checks that the signature covers the headers that matter.
    ///
    /// These are the host, which ties the signature to this host, and the
    /// body's digest if it is given. HOTH acts on no other header that a client
    /// could sign, so the client may or may not cover further headers.
    /// The date is part of the signed text in any case.
    fn check_covered(&self, headers: &HeaderMap) -> Result<(), Denied> {
        let covered: Vec<&str> = self.signed_headers.split(';').collect();
        // AWS's documentation requires sorted names. The strict order also rules
        // out a name that is given twice.
        if !covered.is_sorted_by(|a, b| a < b) {
            return Err(Denied::Malformed("SignedHeaders are not sorted, or one is given twice"));
        }
        for name in ["host", CONTENT_SHA256] {
            let needed = name == "host" || headers.contains_key(name);
            if needed && !covered.contains(&name) {
                return Err(Denied::Uncovered(name));
            }
        }
        Ok(())
    }

    /// Derives the key of the day, region and service from the secret.
    fn signing_key(&self, secret: &str) -> [u8; 32] {
        // The chain of AWS's documentation: each result is the next key.
        let day = hmac(format!("AWS4{secret}").as_bytes(), self.day);
        let region = hmac(&day, self.region);
        let service = hmac(&region, self.service);
        hmac(&service, "aws4_request")
    }
}

/// A signature that awaits the request's body.
pub struct PendingSignature {
    /// The holder of the key; the caller only if the signature is valid.
    principal: Principal,
    /// The canonical request up to the payload's digest.
    canonical: String,
    /// The string to sign up to the canonical request's digest.
    preamble: String,
    signing_key: [u8; 32],
    signature: [u8; 32],
    /// The body's digest, if the head declares it.
    declared: Option<Digest>,
}

impl PendingSignature {
    /// Returns `true` if the head declares the body's digest.
    ///
    /// The signature has then been verified: the sender holds the key, and only
    /// the body may still differ.
    pub fn covers_declared_digest(&self) -> bool {
        self.declared.is_some()
    }

    /// Returns the sender if `body` is the signed one.
    ///
    /// # Errors
    ///
    /// Returns [`Denied::Signature`] or [`Denied::Payload`] if it is not.
    pub fn verify_body(self, body: &[u8]) -> Result<Principal, Denied> {
        let payload = Digest::of(body);
        match self.declared {
            Some(declared) if declared != payload => Err(Denied::Payload),
            // The signature over the declared digest was verified with the head.
            Some(_) => Ok(self.principal),
            None if self.is_signature_over(&payload) => Ok(self.principal),
            None => Err(self.mismatch(&payload)),
        }
    }

    /// Logs the text that the signature should cover, for the comparison with
    /// the client's. Returns the error.
    fn mismatch(&self, payload: &Digest) -> Denied {
        let canonical = canonical::for_log(&self.canonical);
        debug!(
            key = self.principal.name(),
            "An AWS signature does not match; the canonical request of this host is\n\
             {canonical}{payload}"
        );
        Denied::Signature
    }

    /// Returns `true` if the signature is valid for a body of this digest.
    fn is_signature_over(&self, payload: &Digest) -> bool {
        let canonical = Digest::of(format!("{}{payload}", self.canonical).as_bytes());
        let expected = hmac(&self.signing_key, &format!("{}{canonical}", self.preamble));
        // In constant time: a byte-wise comparison would let a caller find the
        // expected signature byte by byte.
        expected.ct_eq(&self.signature).into()
    }
}

/// Returns the body's digest if the head declares it.
fn declared(headers: &HeaderMap) -> Result<Option<Digest>, Denied> {
    let Some(text) = single(headers, CONTENT_SHA256)? else { return Ok(None) };
    let digest = text.parse().map_err(|_| {
        Denied::Malformed(
            "X-Amz-Content-Sha256 is not a digest; unsigned payloads are not accepted",
        )
    })?;
    Ok(Some(digest))
}

/// Returns the value of a header that may be given once.
fn single<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Denied> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Denied::Malformed("an X-Amz header is given twice"));
    }
    value.to_str().map(Some).map_err(|_| Denied::Malformed("an X-Amz header is not text"))
}

fn hmac(key: &[u8], message: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().into()
}
