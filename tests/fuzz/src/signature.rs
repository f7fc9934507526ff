//! Heads that claim to be signed by AWS Signature Version 4.

use std::sync::LazyLock;

use hoth::http::auth::AuthConfig;
use hoth::http::auth::AuthDecision;
use hoth::http::auth::Keys;
use hoth_core::domain::Timestamp;
use http::request::Parts;

use crate::NOW;

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let secret = concat!(env!("CARGO_MANIFEST_DIR"), "/secret.txt");
    let config = format!(
        "[[sigv4]]\nname = 'snow'\nrole = 'write'\naccess_key_id = 'AKIDEXAMPLE'\nsecret = {{ file = '{secret}' }}"
    );
    let config: AuthConfig = toml::from_str(&config).expect("the configuration is right");
    Keys::new(config.open().expect("the secret can be read"))
});

/// Reads a request as on the wire: method and target, headers, an empty line, a
/// body.
pub fn run(input: &[u8]) {
    let Some((head, body)) = read(input) else { return };
    let authenticate = || KEYS.authenticate(&head, NOW);
    let Ok(AuthDecision::NeedsBody(pending)) = authenticate() else { return };
    if pending.verify_body(body).is_err() {
        return;
    }
    // The corpus's key signed it, so it is valid for this body only.
    let Ok(AuthDecision::NeedsBody(pending)) = authenticate() else {
        panic!("the result is repeatable")
    };
    let other = [body, b"."].concat();
    assert!(pending.verify_body(&other).is_err(), "a signature covers the body");
    let late = Timestamp::from_millis(NOW.as_millis() + 601_000);
    assert!(KEYS.authenticate(&head, late).is_err(), "a signature is valid only near its date");
}

fn read(input: &[u8]) -> Option<(Parts, &[u8])> {
    let mut rest = input;
    let mut line = || {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let (line, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        Some(line)
    };
    let (method, target) = str::from_utf8(line()?).ok()?.split_once(' ')?;
    let mut request = http::Request::builder().method(method).uri(target);
    loop {
        match line()? {
            b"" => break,
            header => {
                let colon = header.iter().position(|byte| *byte == b':')?;
                request = request.header(&header[..colon], &header[colon + 1..]);
            }
        }
    }
    let (head, ()) = request.body(()).ok()?.into_parts();
    Some((head, rest))
}
