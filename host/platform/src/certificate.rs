//! The end of the validity of certificates.

use std::time::Duration;

use hoth_core::domain::Timestamp;
use x509_parser::pem::Pem;

/// Returns the earliest end of validity of the certificates in a PEM text.
/// Returns `None` if it has none that can be read.
pub fn expires_at(pem: &[u8]) -> Option<Timestamp> {
    let ends = Pem::iter_from_buffer(pem).filter_map(|block| {
        let block = block.ok()?;
        let certificate = block.parse_x509().ok()?;
        let seconds = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);
        Some(Timestamp::from_unix(Duration::from_secs(seconds)))
    });
    ends.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_certificate_that_ends_first_counts() {
        let pem = |year| {
            let mut parameters = rcgen::CertificateParams::new(["localhost".to_owned()])
                .expect("the name is one of DNS");
            parameters.not_after = rcgen::date_time_ymd(year, 1, 2);
            let key = rcgen::KeyPair::generate().expect("a key can be made");
            parameters.self_signed(&key).expect("it can be signed").pem()
        };
        let chain = pem(2040) + &pem(2030);
        let end = expires_at(chain.as_bytes()).map(Timestamp::to_rfc3339);
        assert_eq!(end.as_deref(), Some("2030-01-02T00:00:00Z"));
        for other in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert_eq!(expires_at(other.as_bytes()), None, "{other:?}");
        }
    }
}
