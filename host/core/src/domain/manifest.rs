//! Manifests: the needs of an adapter, as its description declares them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// The needs of an adapter. `wit/v0.2/manifest.schema.json` specifies every
/// key; this host ignores further ones, which may be those of a later contract.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Manifest {
    /// The endpoints besides the base URL, by name.
    pub endpoints: BTreeMap<String, Need>,
    /// The credentials besides the default one, by name.
    pub credentials: BTreeMap<String, Need>,
    /// A JSON Schema of the CSP's settings. `None` accepts any settings.
    pub settings: Option<Value>,
    /// Headers besides `Retry-After` in which the CSP asks for a pause, in
    /// lower case.
    pub retry_after_headers: Vec<String>,
    /// Keys of personal data in the CSP's bodies.
    pub personal_keys: Vec<String>,
    /// Keys of secrets in the CSP's bodies.
    pub secret_keys: Vec<String>,
}

/// An endpoint or a credential that an adapter names in its requests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Need {
    /// The purpose, in one line for operators.
    pub description: String,
    /// The names of the parameters that requests give.
    pub parameters: Vec<String>,
    /// True if the adapter works without it.
    pub optional: bool,
}

/// The error of a text that is not a manifest.
#[derive(Debug, thiserror::Error)]
pub enum BadManifest {
    #[error("it has {bytes} bytes, more than {}", Manifest::BYTES_MAX)]
    TooLarge { bytes: usize },
    #[error("it is not a JSON object")]
    NotAnObject,
    #[error("it is not as `manifest.schema.json` specifies it: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("its {key} has more than {max} entries")]
    TooMany { key: &'static str, max: usize },
    #[error("its {key} has the name {name:?}, which is not 1 to {max} bytes long")]
    Name { key: &'static str, name: String, max: usize },
}

impl Manifest {
    /// The longest text of a manifest, in bytes, by the WIT. A schema of a dozen
    /// settings has some kilobytes.
    pub const BYTES_MAX: usize = 64 << 10;

    /// The most entries of each list and map.
    const ENTRIES_MAX: usize = 64;

    /// The longest name of an endpoint, a credential, a parameter, a header or
    /// a key, in bytes.
    pub const NAME_BYTES_MAX: usize = 64;

    /// Reads the text that an adapter's description has.
    ///
    /// # Errors
    ///
    /// [`BadManifest`] if a key has the wrong shape or exceeds a bound.
    pub fn parse(text: &str) -> Result<Self, BadManifest> {
        // The size first, so that no parser reads more than the limit.
        if text.len() > Self::BYTES_MAX {
            return Err(BadManifest::TooLarge { bytes: text.len() });
        }
        // A list would be read as the values of a struct's fields.
        if !text.trim_start().starts_with('{') {
            return Err(BadManifest::NotAnObject);
        }
        let manifest: Self = serde_json::from_str(text)?;
        let names = [("endpoints", &manifest.endpoints), ("credentials", &manifest.credentials)];
        for (key, needs) in names {
            check_names(key, needs.keys())?;
            for need in needs.values() {
                check_names(key, &need.parameters)?;
            }
        }
        check_names("retryAfterHeaders", &manifest.retry_after_headers)?;
        check_names("personalKeys", &manifest.personal_keys)?;
        check_names("secretKeys", &manifest.secret_keys)?;
        Ok(manifest)
    }
}

fn check_names<'a>(
    key: &'static str,
    names: impl IntoIterator<Item = &'a String>,
) -> Result<(), BadManifest> {
    let (max, mut count) = (Manifest::NAME_BYTES_MAX, 0);
    for name in names {
        count += 1;
        if count > Manifest::ENTRIES_MAX {
            return Err(BadManifest::TooMany { key, max: Manifest::ENTRIES_MAX });
        }
        if name.is_empty() || name.len() > max {
            return Err(BadManifest::Name { key, name: name.chars().take(max).collect(), max });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_names_the_needs_of_an_adapter() {
        assert_eq!(Manifest::parse("{}").unwrap(), Manifest::default());
        let manifest = Manifest::parse(
            r#"{"endpoints": {"costs": {"parameters": ["region"]}},
                "credentials": {"member": {"parameters": ["account"], "optional": true}},
                "settings": {"type": "object"}, "retryAfterHeaders": ["x-retry-in"],
                "personalKeys": ["upn"], "secretKeys": ["otp"], "later": 1}"#,
        )
        .unwrap();
        assert_eq!(manifest.endpoints["costs"].parameters, ["region"]);
        assert!(!manifest.endpoints["costs"].optional && manifest.credentials["member"].optional);
        assert_eq!(manifest.settings.unwrap()["type"], "object");
    }

    #[test]
    fn a_manifest_of_the_wrong_shape_is_refused() {
        for (text, expected) in [
            ("", "not a JSON object"),
            ("[1]", "not a JSON object"),
            (r#"{"endpoints": ["costs"]}"#, "not as `manifest.schema.json` specifies it"),
            (r#"{"endpoints": {"": {}}}"#, "its endpoints has the name \"\""),
            (r#"{"secretKeys": [""]}"#, "its secretKeys has the name \"\""),
            (&format!("{{\"a\":\"{}\"}}", "x".repeat(65_536)), "more than 65536"),
            (&format!("{{\"personalKeys\":{:?}}}", vec!["k"; 65]), "more than 64 entries"),
        ] {
            let refused = Manifest::parse(text).unwrap_err().to_string();
            assert!(refused.contains(expected), "{refused}");
        }
    }
}
