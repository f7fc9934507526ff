//! Heads that claim to be signed by AWS Signature Version 4.

use std::sync::LazyLock;

use hoth::http::auth::AuthConfig;
use hoth::http::auth::Judgement;
use hoth::http::auth::KeySet;
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
    Keys::new(KeySet::open(&config).expect("the secret can be read"))
});

/// A request as it is on the wire: method and target, headers, an empty line,
/// a body.
pub fn run(input: &[u8]) {
    let Some((head, body)) = read(input) else { return };
    let judge = || KEYS.judge(&head, NOW);
    let Ok(Judgement::Unproven(unproven)) = judge() else { return };
    if unproven.prove(body).is_err() {
        return;
    }
    // It was signed by the corpus's key: then for this body alone.
    let Ok(Judgement::Unproven(unproven)) = judge() else { panic!("a judgement stands") };
    let other = [body, b"."].concat();
    assert!(unproven.prove(&other).is_err(), "a signature covers the body");
    let late = Timestamp::from_millis(NOW.as_millis() + 601_000);
    assert!(KEYS.judge(&head, late).is_err(), "a signature counts near its date alone");
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
