//! The keys whose values must not be kept.

use std::collections::HashMap;

use crate::replay::RedactConfig;
use crate::replay::recording::ManifestKeys;

/// The reason why a value must not be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sensitivity {
    /// Personal data.
    Personal,
    /// A credential.
    Secret,
}

/// The known keys. Keys are compared by their letters and digits, in lower
/// case.
#[derive(Debug)]
pub struct RedactionRules {
    /// The keys of the configuration; `None` for a key whose values may be
    /// kept.
    configured: HashMap<String, Option<Sensitivity>>,
}

/// Complete keys. `name` is one of them, because people name things after
/// themselves.
const PERSONAL: [&str; 12] = [
    "name",
    "displayname",
    "description",
    "user",
    "login",
    "upn",
    "userprincipalname",
    "accountname",
    "contact",
    "owner",
    "address",
    "street",
];

/// Ends of keys: `email` also stands for `adminEmail`.
const PERSONAL_ENDINGS: [&str; 19] = [
    "email",
    "emails",
    "mail",
    "emailaddress",
    "emailaddresses",
    "emaildistributionlist",
    "dodid",
    "dodids",
    "edipi",
    "ssn",
    "phone",
    "phonenumber",
    "mobile",
    "firstname",
    "lastname",
    "fullname",
    "surname",
    "username",
    "userid",
];

/// Ends of keys of credentials.
const SECRET_ENDINGS: [&str; 18] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "secrets",
    "token",
    "tokens",
    "apikey",
    "accesskey",
    "accesskeyid",
    "secretkey",
    "privatekey",
    "sessionkey",
    "authorization",
    "cookie",
    "credential",
    "credentials",
    "connectionstring",
];

impl RedactionRules {
    /// Creates the rules from the built-in keys and the configuration's.
    pub fn new(config: &RedactConfig) -> Self {
        let of = |keys: &[String], class: Option<Sensitivity>| -> Vec<_> {
            keys.iter().map(|key| (normal(key), class)).collect()
        };
        let configured = of(&config.personal, Some(Sensitivity::Personal))
            .into_iter()
            .chain(of(&config.secret, Some(Sensitivity::Secret)))
            .chain(of(&config.keep, None));
        Self { configured: configured.collect() }
    }

    /// Returns the rules with the keys of manifests, which do not precede those
    /// of the configuration, and make no secret personal data.
    pub(super) fn with(&self, keys: &ManifestKeys) -> Self {
        let mut rules = Self { configured: self.configured.clone() };
        for key in &keys.secret {
            rules.configured.entry(normal(key)).or_insert(Some(Sensitivity::Secret));
        }
        for key in &keys.personal {
            if rules.sensitivity_of(key).is_none() {
                rules.configured.entry(normal(key)).or_insert(Some(Sensitivity::Personal));
            }
        }
        rules
    }

    /// Returns the sensitivity of the values under a key, or `None` if they may
    /// be kept.
    pub(super) fn sensitivity_of(&self, key: &str) -> Option<Sensitivity> {
        let key = normal(key);
        // The configuration first: it can exempt a built-in key.
        if let Some(configured) = self.configured.get(&key) {
            return *configured;
        }
        let ends = |endings: &[&str]| endings.iter().any(|ending| key.ends_with(ending));
        // Secrets before personal data, because the pseudonym of a secret
        // discloses less.
        if ends(&SECRET_ENDINGS) {
            return Some(Sensitivity::Secret);
        }
        (PERSONAL.contains(&key.as_str()) || ends(&PERSONAL_ENDINGS))
            .then_some(Sensitivity::Personal)
    }
}

fn normal(key: &str) -> String {
    key.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_in_every_spelling() {
        let rules = RedactionRules::new(&RedactConfig::default());
        for (key, class) in [
            ("email", Some(Sensitivity::Personal)),
            ("e_mail", Some(Sensitivity::Personal)),
            ("owner-email", Some(Sensitivity::Personal)),
            ("emailDistributionList", Some(Sensitivity::Personal)),
            ("dodId", Some(Sensitivity::Personal)),
            ("DOD_ID", Some(Sensitivity::Personal)),
            ("name", Some(Sensitivity::Personal)),
            ("last_name", Some(Sensitivity::Personal)),
            ("userId", Some(Sensitivity::Personal)),
            ("x-api-key", Some(Sensitivity::Secret)),
            ("client_secret", Some(Sensitivity::Secret)),
            ("Set-Cookie", Some(Sensitivity::Secret)),
            ("nextPageToken", Some(Sensitivity::Secret)),
            ("portfolioId", None),
            ("targetCspName", None),
            ("status", None),
            ("clinNumber", None),
            ("location", None),
            ("", None),
            ("ключ", None),
        ] {
            assert_eq!(rules.sensitivity_of(key), class, "{key}");
        }
    }
}
