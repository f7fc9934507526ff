//! AWS Signature Version 4, in the Authorization header, as ServiceNow signs.
//!
//! A signature proves its request to whoever holds the secret, for as long as
//! its date is near: within that time the same request can be sent again by
//! whoever has seen it. That is the scheme's nature; idempotency keys make a
//! repeated POST harmless, and TLS keeps others from seeing it.
//!
//! HOTH gives out no session tokens, so `X-Amz-Security-Token` means nothing.
//! A signature always covers the body. `UNSIGNED-PAYLOAD` and streamed
//! signatures are S3's, and not taken here.

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

use super::Denied;
use super::Judgement;
use super::Principal;
use super::key_set::Signer;
use hoth_core::domain::Digest;
use hoth_core::domain::Timestamp;

/// The scheme of the Authorization header, and the algorithm.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The service that requests are signed for: that of Amazon API Gateway, in
/// whose place HOTH stands.
pub const SERVICE: &str = "execute-api";

/// How far the date of a signature may be from this host's time, as with AWS.
const SKEW_MAX_SECONDS: u64 = 300;

const DATE: &str = "x-amz-date";
const CONTENT_SHA256: &str = "x-amz-content-sha256";
const DATE_FORMAT: &[BorrowedFormatItem<'_>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");

/// What an Authorization header says, not yet believed.
pub struct Claim<'a> {
    pub access_key_id: &'a str,
    day: &'a str,
    region: &'a str,
    service: &'a str,
    signed_headers: &'a str,
    signature: [u8; 32],
}

impl<'a> Claim<'a> {
    /// Reads what follows the algorithm:
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
        let signature: Digest =
            signature.parse().map_err(|_| Denied::Malformed("Signature is not 64 hex digits"))?;
        let signature = *signature.as_bytes();
        Ok(Self { access_key_id, day, region, service, signed_headers, signature })
    }

    /// Judges the request by all but its body.
    pub fn judge(
        &self,
        signer: &Signer,
        head: &Parts,
        now: Timestamp,
        service: &str,
    ) -> Result<Judgement, Denied> {
        if self.service != service {
            return Err(Denied::Scope("service"));
        }
        if signer.region.as_ref().is_some_and(|region| region != self.region) {
            return Err(Denied::Scope("region"));
        }
        let date = self.date(&head.headers, now)?;
        self.covers(&head.headers)?;
        let canonical = canonical::without_payload(head, self.signed_headers)?;
        let scope = format!("{}/{}/{}/aws4_request", self.day, self.region, self.service);
        let unproven = Unproven {
            principal: signer.principal.clone(),
            canonical,
            preamble: format!("{ALGORITHM}\n{date}\n{scope}\n"),
            signing_key: self.signing_key(signer.secret.expose_secret()),
            signature: self.signature,
            declared: declared(&head.headers)?,
        };
        match &unproven.declared {
            Some(payload) if !unproven.is_signature_over(payload) => Err(Denied::Signature),
            Some(_) | None => Ok(Judgement::Unproven(unproven)),
        }
    }

    /// The date that was signed, when it is near.
    fn date<'h>(&self, headers: &'h HeaderMap, now: Timestamp) -> Result<&'h str, Denied> {
        let text = single(headers, DATE)?.ok_or(Denied::Malformed("there is no X-Amz-Date"))?;
        let bad = Denied::Malformed("X-Amz-Date is not YYYYMMDDTHHMMSSZ");
        let date = PrimitiveDateTime::parse(text, DATE_FORMAT).map_err(|_| bad)?;
        let now = i64::try_from(now.as_millis() / 1_000).unwrap_or(i64::MAX);
        let apart = date.assume_utc().unix_timestamp().abs_diff(now);
        if apart > SKEW_MAX_SECONDS {
            return Err(Denied::Skewed(apart));
        }
        if !text.starts_with(self.day) || self.day.len() != 8 {
            return Err(Denied::Scope("day"));
        }
        Ok(text)
    }

    /// The host, so that the signature is for this one alone, and the body's
    /// digest, where it is given. HOTH acts on no other header that a client
    /// could have signed, so which further ones it covers is the client's
    /// affair. (The date is part of what is signed in any case.)
    fn covers(&self, headers: &HeaderMap) -> Result<(), Denied> {
        let covered: Vec<&str> = self.signed_headers.split(';').collect();
        if !covered.is_sorted_by(|a, b| a < b) {
            return Err(Denied::Malformed("SignedHeaders are not sorted, or one is there twice"));
        }
        for name in ["host", CONTENT_SHA256] {
            let needed = name == "host" || headers.contains_key(name);
            if needed && !covered.contains(&name) {
                return Err(Denied::Uncovered(name));
            }
        }
        Ok(())
    }

    fn signing_key(&self, secret: &str) -> [u8; 32] {
        let day = hmac(format!("AWS4{secret}").as_bytes(), self.day);
        let region = hmac(&day, self.region);
        let service = hmac(&region, self.service);
        hmac(&service, "aws4_request")
    }
}

/// A request that was signed, if its body is the right one.
pub struct Unproven {
    principal: Principal,
    /// The canonical request up to the payload's digest.
    canonical: String,
    /// The string to sign up to the canonical request's digest.
    preamble: String,
    signing_key: [u8; 32],
    signature: [u8; 32],
    declared: Option<Digest>,
}

impl Unproven {
    /// Whether the head named the body's digest, so that the signature has
    /// been checked: the sender holds the key, and only the body may be
    /// another's.
    pub fn is_signed(&self) -> bool {
        self.declared.is_some()
    }

    /// Who sent it, when `body` is what was signed.
    ///
    /// # Errors
    ///
    /// [`Denied::Signature`] or [`Denied::Payload`] when it is not.
    pub fn prove(self, body: &[u8]) -> Result<Principal, Denied> {
        let payload = Digest::of(body);
        match self.declared {
            Some(declared) if declared != payload => Err(Denied::Payload),
            Some(_) => Ok(self.principal),
            None if self.is_signature_over(&payload) => Ok(self.principal),
            None => Err(Denied::Signature),
        }
    }

    fn is_signature_over(&self, payload: &Digest) -> bool {
        let canonical = Digest::of(format!("{}{payload}", self.canonical).as_bytes());
        let expected = hmac(&self.signing_key, &format!("{}{canonical}", self.preamble));
        expected.ct_eq(&self.signature).into()
    }
}

/// The body's digest, where the head names it.
fn declared(headers: &HeaderMap) -> Result<Option<Digest>, Denied> {
    let Some(text) = single(headers, CONTENT_SHA256)? else { return Ok(None) };
    let digest = text.parse().map_err(|_| {
        Denied::Malformed("X-Amz-Content-Sha256 is no digest; unsigned payloads are not taken")
    })?;
    Ok(Some(digest))
}

/// The value of a header that may be there once.
fn single<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Denied> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Denied::Malformed("an X-Amz header is there twice"));
    }
    value.to_str().map(Some).map_err(|_| Denied::Malformed("an X-Amz header is not text"))
}

fn hmac(key: &[u8], message: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().into()
}
