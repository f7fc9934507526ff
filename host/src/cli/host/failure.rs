//! Sentences about calls of the admin API that failed, in place of the errors
//! of libraries.

use std::error::Error;
use std::io;

use reqwest::StatusCode;
use rustls::CertificateError;
use url::Url;

/// The parts of a call that explain its failure.
pub struct Caller {
    pub url: Url,
    pub has_token: bool,
    pub has_ca: bool,
}

impl Caller {
    /// Describes a call without a complete response.
    pub fn explain(&self, error: reqwest::Error) -> anyhow::Error {
        let sentence = self.sentence(&error);
        let origin = self.url.origin().ascii_serialization();
        match sentence {
            Some(sentence) => anyhow::anyhow!("{origin}: {sentence}"),
            None => anyhow::Error::from(error.without_url()).context(format!("calling {origin}")),
        }
    }

    fn sentence(&self, error: &reqwest::Error) -> Option<String> {
        if let Some(tls) = find::<rustls::Error>(error) {
            return Some(self.about_tls(tls));
        }
        if error.is_timeout() {
            let what = if error.is_connect() { "connect" } else { "respond" };
            return Some(format!("the host did not {what} in time"));
        }
        if find::<hyper::Error>(error).is_some_and(hyper::Error::is_parse) {
            return Some(match self.url.scheme() {
                "http" => format!("the response is no HTTP; try https, {}", self.swapped("https")),
                _ => "the response is no HTTP".to_owned(),
            });
        }
        let is_refused =
            find::<io::Error>(error).is_some_and(|e| e.kind() == io::ErrorKind::ConnectionRefused);
        if is_refused {
            let place = "give the address of `[admin] listen` with --admin or HOTH_ADMIN_URL";
            return Some(format!("no host listens there; if one runs, {place}"));
        }
        if error.is_connect() && self.url.domain().is_some() {
            let host = self.url.host_str().unwrap_or_default();
            return has_text(error, "dns error").then(|| format!("`{host}` has no address in DNS"));
        }
        None
    }

    fn about_tls(&self, error: &rustls::Error) -> String {
        use CertificateError::Expired;
        use CertificateError::ExpiredContext;
        use CertificateError::NotValidForName;
        use CertificateError::NotValidForNameContext;
        use CertificateError::Other;
        use CertificateError::UnknownIssuer;
        let host = self.url.host_str().unwrap_or_default();
        if let rustls::Error::InvalidMessage(_) = error {
            return format!("the host speaks no TLS there; try http, {}", self.swapped("http"));
        }
        let mut problem = None;
        if let rustls::Error::InvalidCertificate(one) = error {
            problem = Some(one);
        }
        match problem {
            Some(Expired | ExpiredContext { .. }) => {
                "the certificate of the host has expired".to_owned()
            }
            Some(NotValidForName | NotValidForNameContext { .. }) => {
                format!("the certificate of the host is not for the name `{host}`")
            }
            // The latter is that of a certificate which signed itself as a CA, as
            // `openssl req -x509` makes them.
            Some(UnknownIssuer | Other(_)) if self.has_ca => {
                "the certificate of the host is not in the file of --ca, and not signed by a \
                 certificate in it"
                    .to_owned()
            }
            Some(UnknownIssuer | Other(_)) => {
                "the certificate of the host is signed by no CA that this \
                                    machine trusts; name the CA, or the certificate itself, with \
                                    --ca or HOTH_ADMIN_CA"
                    .to_owned()
            }
            _ => format!("no TLS connection: {error}"),
        }
    }

    /// Returns the origin with another scheme and the same port.
    fn swapped(&self, scheme: &str) -> String {
        let port = self.url.port_or_known_default().unwrap_or_default();
        format!("{scheme}://{}:{port}", self.url.host_str().unwrap_or_default())
    }

    /// Describes a response that is no success.
    pub fn refusal(&self, status: StatusCode, message: &str) -> String {
        match status {
            StatusCode::UNAUTHORIZED if self.has_token => {
                "the host does not know this token; give one of its `[[auth.bearer]]` with \
                 --token or HOTH_ADMIN_TOKEN"
                    .to_owned()
            }
            StatusCode::UNAUTHORIZED => {
                "the host requires a token; give one with --token or HOTH_ADMIN_TOKEN".to_owned()
            }
            StatusCode::FORBIDDEN if self.has_token => {
                format!("the role of this token is too low for this ({message})")
            }
            // The words of a path that no route has.
            StatusCode::NOT_FOUND if message == "Not found" => {
                let origin = self.url.origin().ascii_serialization();
                format!(
                    "{origin} does not have this; is it the address of `[admin] listen`, and has \
                     the host the version of this program?"
                )
            }
            status => format!("{message} ({status})"),
        }
    }
}

/// Returns the first cause of this type. Looks into I/O errors, which hide the
/// error that they wrap from the chain of sources.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}

fn has_text(error: &(dyn Error + 'static), text: &str) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.to_string().contains(text) {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::io::Write as _;
    use std::net::TcpListener;

    use super::*;

    fn caller(url: &str) -> Caller {
        Caller { url: Url::parse(url).unwrap(), has_token: false, has_ca: false }
    }

    async fn explained(url: &str) -> String {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let error = client.get(url).send().await.unwrap_err();
        format!("{:#}", caller(url).explain(error))
    }

    /// Answers one connection with these bytes, and returns its port.
    fn answering(bytes: &'static [u8]) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]).unwrap();
            stream.write_all(bytes).unwrap();
            // Until the client closes: a reset would hide the answer.
            let _ = stream.read_to_end(&mut Vec::new());
        });
        port
    }

    #[tokio::test]
    async fn failed_calls_are_explained_without_the_words_of_libraries() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // An alert, as a server of TLS answers a request in the clear.
        let tls = answering(b"\x15\x03\x03\x00\x02\x02\x46");
        let plain = answering(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        for (url, expected) in [
            (format!("http://127.0.0.1:{free}"), "no host listens there"),
            (format!("http://127.0.0.1:{tls}"), "try https, https://127.0.0.1:"),
            (format!("https://127.0.0.1:{plain}"), "try http, http://127.0.0.1:"),
        ] {
            let text = explained(&url).await;
            assert!(text.starts_with(&url) && text.contains(expected), "{text}");
        }
    }

    #[test]
    fn a_certificate_that_signed_itself_is_to_be_named() {
        let other = rustls::OtherError(std::sync::Arc::new(io::Error::other("CaUsedAsEndEntity")));
        let error = rustls::Error::InvalidCertificate(CertificateError::Other(other));
        let text = caller("https://h").about_tls(&error);
        assert!(text.contains("with --ca or HOTH_ADMIN_CA"), "{text}");
    }

    #[test]
    fn refusals_say_what_to_do() {
        for (status, message, expected) in [
            (401, "x", "the host requires a token; give one with --token or HOTH_ADMIN_TOKEN"),
            (409, "queue is busy", "queue is busy (409 Conflict)"),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(caller("http://h").refusal(status, message), expected);
        }
        let known = Caller { has_token: true, ..caller("http://h") };
        assert!(known.refusal(StatusCode::UNAUTHORIZED, "").contains("does not know this token"));
        assert!(known.refusal(StatusCode::FORBIDDEN, "m").contains("role of this token"));
        assert!(known.refusal(StatusCode::NOT_FOUND, "Not found").contains("[admin] listen"));
    }
}
