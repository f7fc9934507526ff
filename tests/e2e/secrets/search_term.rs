//! Secrets, and every encoding in which they may appear.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use memchr::memmem;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::utf8_percent_encode;

/// The shortest encoding; shorter ones are found by chance.
const FORM_BYTES_MIN: usize = 8;

/// A secret that must not be found.
pub struct SearchTerm {
    /// The description of the secret, without its value.
    pub name: String,
    forms: Vec<(&'static str, String)>,
}

impl SearchTerm {
    /// Returns a secret with its encodings, also as part of a longer text: a
    /// Basic credential is the base64 of the user's name, a colon and the
    /// password.
    pub fn new(name: impl Into<String>, text: &str) -> Self {
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        let json = in_json(text);
        let percent = utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let form: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
        let uri = form.replace('+', "%20");
        let mut forms = vec![
            ("as it is", text.to_owned()),
            ("in JSON in JSON in JSON", in_json(&in_json(&json))),
            ("in JSON in JSON", in_json(&json)),
            ("in JSON with its slashes", json.replace('/', "\\/")),
            ("in JSON", json),
            ("in upper-case hex", hex.to_uppercase()),
            ("in hex", hex),
            ("percent-encoded, in lower case", percent.to_lowercase()),
            ("percent-encoded", percent),
            ("in a URI", uri),
            ("in a form", form),
            ("as a list of bytes", format!("{:?}", text.as_bytes()).replace(['[', ']'], "")),
            ("backwards", text.chars().rev().collect()),
            ("in HTML", text.replace('&', "&amp;").replace('"', "&quot;")),
        ];
        for before in 0..3 {
            for (engine, form) in
                [(STANDARD_NO_PAD, "in base64"), (URL_SAFE_NO_PAD, "in base64url")]
            {
                forms.push((form, in_base64(&engine, text, before)));
            }
        }
        assert!(forms.iter().all(|(_, form)| form.len() >= FORM_BYTES_MIN), "a short secret");
        Self { name: name.into(), forms }
    }

    /// Returns the encoding in which the secret is found.
    pub fn found_in(&self, document: &[u8]) -> Option<&'static str> {
        let found =
            self.forms.iter().find(|(_, form)| memmem::find(document, form.as_bytes()).is_some());
        found.map(|(name, _)| *name)
    }
}

fn in_json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// Returns the part that is the same in the base64 of every text with `text`
/// after `before` bytes, or after that many plus a multiple of three.
fn in_base64(engine: &impl base64::Engine, text: &str, before: usize) -> String {
    let mut bytes = vec![0; before];
    bytes.extend_from_slice(text.as_bytes());
    // Six bits a character: the first and the last one may hold other bits as
    // well.
    let (first, end) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
    engine.encode(&bytes)[first..end].to_owned()
}

#[test]
fn a_secret_is_found_in_every_encoding() {
    let secret = r#"s3cret/"of"+many\odd %41 &=ü"#;
    let term = SearchTerm::new("secret", secret);
    let base64 = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
    let noise = "a line of innocent text, /\"of\"+many sorts %41 ".repeat(100);
    for written in [
        secret.to_owned(),
        serde_json::json!({"message": {"quotes": secret}}).to_string(),
        serde_json::json!({"message": serde_json::json!({"quotes": secret}).to_string()})
            .to_string(),
        format!("{:?}", secret.bytes().map(|byte| format!("{byte:02x}")).collect::<String>()),
        format!("https://x/?a={}", utf8_percent_encode(secret, NON_ALPHANUMERIC)),
        url::form_urlencoded::Serializer::new(String::new()).append_pair("a", secret).finish(),
        base64(secret.to_owned()),
        base64(format!("u:{secret}")),
        base64(format!("us:{secret}")),
        base64(format!("user:{secret}:and more")),
        base64(format!("use:{secret}")).replace('+', "-").replace('/', "_"),
    ] {
        let document = format!("{noise}{written}{noise}");
        assert!(term.found_in(document.as_bytes()).is_some(), "{written}");
    }
    assert_eq!(term.found_in(noise.as_bytes()), None);
}
