//! Names of leased batches.
//!
//! A name contains the batch's receipts, so every host with the same queue can
//! use it, and no host has to store it. It also contains a MAC, which detects
//! names that are cut, mistyped, made up, or of the other resource.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Hmac;
use hmac::Mac as _;
use sha2::Sha256;

use hoth_core::domain::JobKind;
use hoth_queue::BATCH_MAX;
use hoth_queue::Receipt;

/// The length of the MAC at the front of a name: 128 bits cannot be guessed.
const MAC_BYTES: usize = 16;

/// A signer and verifier of the names of batches.
///
/// With a key, only hosts that have the key can make a name. Without one, the
/// MAC detects only accidents. A made-up name is still useless, because the
/// receipts of a queue cannot be guessed either.
#[derive(Clone)]
pub struct BatchSigner(Hmac<Sha256>);

impl Default for BatchSigner {
    fn default() -> Self {
        Self::new(b"")
    }
}

impl BatchSigner {
    /// Creates a signer with this key, which must be the same on all hosts that
    /// share queues.
    pub fn new(key: &[u8]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes keys of any length"))
    }

    /// Returns the name of a batch of `kind`, in letters that fit a header and a
    /// URL.
    pub fn sign(&self, kind: JobKind, receipts: &[&Receipt]) -> String {
        let packed = pack(receipts);
        let mac = self.mac(kind, &packed).finalize().into_bytes();
        let mut bytes = mac[..MAC_BYTES].to_vec();
        bytes.extend_from_slice(&packed);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Returns the receipts in a name, or `None` if no host with this key has
    /// made the name for this `kind`.
    pub fn verify(&self, kind: JobKind, name: &str) -> Option<Vec<Receipt>> {
        let bytes = URL_SAFE_NO_PAD.decode(name).ok()?;
        let (sealed, packed) = bytes.split_at_checked(MAC_BYTES)?;
        // In constant time, and before anything is parsed.
        self.mac(kind, packed).verify_truncated_left(sealed).ok()?;
        // No host signs more receipts than one receive returns. Without a key
        // anyone can make a longer name, which must not reach the queue.
        unpack(packed).filter(|receipts| receipts.len() <= BATCH_MAX)
    }

    fn mac(&self, kind: JobKind, packed: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        // No kind is a prefix of the other, so the two parts cannot be confused.
        mac.update(kind.as_str().as_bytes());
        mac.update(packed);
        mac
    }
}

/// The encoding of a receipt in a name. Its length comes before it.
#[derive(Clone, Copy)]
enum Encoding {
    Text = 0,
    /// For the receipts of SQS, which are long base64. Ten of them, encoded a
    /// second time, would exceed the header size that many proxies allow.
    Base64 = 1,
}

fn pack(receipts: &[&Receipt]) -> Vec<u8> {
    let mut packed = Vec::new();
    for receipt in receipts {
        let text = receipt.as_str();
        // Decoded only if the text can be restored exactly: a receipt is opaque,
        // and must come back to the queue unchanged.
        let decoded = STANDARD.decode(text).ok().filter(|bytes| STANDARD.encode(bytes) == text);
        let (form, bytes) = match decoded {
            Some(bytes) => (Encoding::Base64, bytes),
            None => (Encoding::Text, text.as_bytes().to_vec()),
        };
        let length = u16::try_from(bytes.len()).expect("receipts have less than 64 KiB");
        packed.push(form as u8);
        packed.extend_from_slice(&length.to_be_bytes());
        packed.extend_from_slice(&bytes);
    }
    packed
}

fn unpack(mut packed: &[u8]) -> Option<Vec<Receipt>> {
    let mut receipts = Vec::new();
    while let Some(([form, high, low], rest)) = packed.split_first_chunk() {
        let (bytes, rest) = rest.split_at_checked(u16::from_be_bytes([*high, *low]).into())?;
        let text = match *form {
            form if form == Encoding::Text as u8 => str::from_utf8(bytes).ok()?.to_owned(),
            form if form == Encoding::Base64 as u8 => STANDARD.encode(bytes),
            _ => return None,
        };
        receipts.push(Receipt::new(text));
        packed = rest;
    }
    // A rest shorter than the head of a receipt is not part of any name.
    packed.is_empty().then_some(receipts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_signed_batch_names_are_verified() {
        let (jobs, costs) = (JobKind::Provisioning, JobKind::Cost);
        let given = [Receipt::new("1.22"), Receipt::new("QUJD"), Receipt::new("QUJD=")];
        let signer = BatchSigner::new(b"key");
        let sealed = signer.sign(jobs, &given.each_ref());
        assert_eq!(signer.verify(jobs, &sealed).expect("given"), given);
        assert_eq!(BatchSigner::new(b"key").verify(jobs, &sealed).expect("given elsewhere"), given);
        assert_eq!(signer.verify(costs, &sealed), None, "of the other resource");
        assert_eq!(BatchSigner::new(b"other").verify(jobs, &sealed), None, "of another key");
        for at in 0..sealed.len() {
            assert_eq!(signer.verify(jobs, &sealed[..at]), None, "cut at {at}");
            let other = if sealed.as_bytes()[at] == b'A' { "B" } else { "A" };
            let mistyped = format!("{}{other}{}", &sealed[..at], &sealed[at + 1..]);
            assert_eq!(signer.verify(jobs, &mistyped), None, "mistyped at {at}");
        }
        for garbage in ["", "garbage", "MS4yMg", "%", "é"] {
            assert_eq!(signer.verify(jobs, garbage), None, "{garbage}");
        }
    }

    #[test]
    fn a_batch_name_of_ten_sqs_receipts_fits_a_header_of_eight_kilobytes() {
        let receipt = Receipt::new(STANDARD.encode([7; 420]));
        let name = BatchSigner::default().sign(JobKind::Cost, &[&receipt; BATCH_MAX]);
        assert!(name.len() < 6_000, "{}", name.len());
    }
}
