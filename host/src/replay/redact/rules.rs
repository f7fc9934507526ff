//! Which keys say that what stands under them must not be kept.

use std::collections::HashMap;

use crate::replay::RedactConfig;

/// Why something must not be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sensitivity {
    /// It is about a person.
    Personal,
    /// It opens doors.
    Secret,
}

/// The keys by which what must not be kept is known. Keys are compared by
/// their letters and digits alone, in lower case.
#[derive(Debug)]
pub struct RedactionRules {
    /// What the configuration says of a key; none: it may be kept.
    configured: HashMap<String, Option<Sensitivity>>,
}

/// Whole keys. Names are here because people give their own to things.
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

/// Ends of keys: `email` stands for `adminEmail`, too.
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
    /// The known keys, and those of the configuration.
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

    /// What the key says of what stands under it.
    pub(super) fn sensitivity_of(&self, key: &str) -> Option<Sensitivity> {
        let key = normal(key);
        if let Some(configured) = self.configured.get(&key) {
            return *configured;
        }
        let ends = |endings: &[&str]| endings.iter().any(|ending| key.ends_with(ending));
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
