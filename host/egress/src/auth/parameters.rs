//! The parameters of a credential: the ARN of a role has them, and a request
//! gives their values.

use std::collections::BTreeMap;

use regex_lite::Regex;

use hoth_core::domain::CredentialChoice;

/// The values that a named credential depends on, by name: the account whose
/// role is assumed.
pub type Parameters = BTreeMap<String, String>;

/// The longest regular expression of a parameter, in bytes. The forms of ids are
/// far shorter.
const PATTERN_BYTES_MAX: usize = 512;

/// A text with `{name}` in the place of each parameter, and the values that the
/// parameters may have.
#[derive(Debug)]
pub struct Template {
    text: String,
    parameters: BTreeMap<String, Regex>,
}

/// The error of a template in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTemplate {
    #[error("has `{{{0}}}`, which `parameters` does not have")]
    Unknown(String),
    #[error("has a brace that is not part of a `{{name}}`")]
    Brace,
    #[error("must not have `{0}`, which `role_arn` does not use")]
    Unused(String),
    #[error("must have a regular expression for `{0}` of at most {PATTERN_BYTES_MAX} bytes")]
    Pattern(String),
}

/// The error of parameters that do not fit the credential. It quotes no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadParameters {
    #[error("needs the parameter `{0}`")]
    Missing(String),
    #[error("has no parameter `{0}`")]
    Unknown(String),
    #[error("does not accept this value of the parameter `{0}`")]
    Value(String),
    #[error("gets the parameter `{0}` twice")]
    Repeated(String),
}

impl BadTemplate {
    /// Returns the key of the configuration that is wrong.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Unknown(_) | Self::Brace => "role_arn",
            Self::Unused(_) | Self::Pattern(_) => "parameters",
        }
    }
}

impl Template {
    /// Makes a template. `patterns` are regular expressions that match whole
    /// values.
    ///
    /// # Errors
    ///
    /// Returns an error if the two do not have the same names, or if a pattern
    /// is not a regular expression.
    pub fn new(text: &str, patterns: &BTreeMap<String, String>) -> Result<Self, BadTemplate> {
        let names = names(text).ok_or(BadTemplate::Brace)?;
        if let Some(name) = names.iter().find(|name| !patterns.contains_key(**name)) {
            return Err(BadTemplate::Unknown((*name).to_owned()));
        }
        let mut parameters = BTreeMap::new();
        for (name, pattern) in patterns {
            if !names.contains(&name.as_str()) {
                return Err(BadTemplate::Unused(name.clone()));
            }
            // Compiled alone first: `a)(b` is one only within the group.
            let compiled = Regex::new(pattern)
                .and_then(|_| Regex::new(&format!(r"\A(?:{pattern})\z")))
                .ok()
                .filter(|_| pattern.len() <= PATTERN_BYTES_MAX);
            let compiled = compiled.ok_or_else(|| BadTemplate::Pattern(name.clone()))?;
            parameters.insert(name.clone(), compiled);
        }
        Ok(Self { text: text.to_owned(), parameters })
    }

    /// Checks the parameters of a request.
    ///
    /// # Errors
    ///
    /// Returns an error if one is missing, unknown, or does not match.
    pub fn check(&self, given: &Parameters) -> Result<(), BadParameters> {
        if let Some(name) = given.keys().find(|name| !self.parameters.contains_key(*name)) {
            return Err(BadParameters::Unknown(name.clone()));
        }
        for (name, pattern) in &self.parameters {
            match given.get(name) {
                None => return Err(BadParameters::Missing(name.clone())),
                Some(value) if !pattern.is_match(value) => {
                    return Err(BadParameters::Value(name.clone()));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Returns the text with checked parameters.
    pub fn fill(&self, given: &Parameters) -> String {
        // Piece by piece, so that a value with braces is not filled again.
        let mut filled = String::new();
        let mut rest = self.text.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').unwrap_or((after, ""));
            filled.push_str(before);
            filled.push_str(given.get(name).map(String::as_str).unwrap_or_default());
            rest = after;
        }
        filled + rest
    }
}

/// Returns the parameters of the credential that a request chooses.
///
/// # Errors
///
/// [`BadParameters::Repeated`] if one is given twice.
pub fn of(choice: &CredentialChoice) -> Result<Parameters, BadParameters> {
    let mut parameters = Parameters::new();
    if let CredentialChoice::Named(named) = choice {
        for (name, value) in &named.parameters {
            if parameters.insert(name.clone(), value.clone()).is_some() {
                return Err(BadParameters::Repeated(name.clone()));
            }
        }
    }
    Ok(parameters)
}

/// Checks the parameters of a request for a credential that has none.
pub fn check_none(given: &Parameters) -> Result<(), BadParameters> {
    given.keys().next().map_or(Ok(()), |name| Err(BadParameters::Unknown(name.clone())))
}

/// Returns the names in the braces of a text, or `None` if a brace has no
/// partner.
fn names(text: &str) -> Option<Vec<&str>> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find(['{', '}']) {
        let (name, after) = rest[open..].strip_prefix('{')?.split_once('}')?;
        if name.is_empty() || name.contains('{') {
            return None;
        }
        names.push(name);
        rest = after;
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(given: &[(&str, &str)]) -> BTreeMap<String, String> {
        given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn names_and_patterns_must_fit_the_text() {
        for (text, given, expected) in [
            ("arn:x", &[][..], Ok(())),
            ("arn:{a}:{b}:{a}", &[("a", "[0-9]{12}"), ("b", "x|y")], Ok(())),
            ("arn:{a}", &[], Err("role_arn has `{a}`, which `parameters` does not have")),
            ("arn:{a", &[("a", "x")], Err("role_arn has a brace that is not part of a `{name}`")),
            ("arn:a}", &[], Err("role_arn has a brace that is not part of a `{name}`")),
            ("arn:{}", &[], Err("role_arn has a brace that is not part of a `{name}`")),
            (
                "arn",
                &[("a", "x")],
                Err("parameters must not have `a`, which `role_arn` does not use"),
            ),
            (
                "arn:{a}",
                &[("a", "x)(y")],
                Err("parameters must have a regular expression for `a` of at most 512 bytes"),
            ),
        ] {
            let made = Template::new(text, &patterns(given));
            let made = made.map(|_| ()).map_err(|bad| format!("{} {bad}", bad.key()));
            assert_eq!(made, expected.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn a_value_must_match_as_a_whole() {
        let given = patterns(&[("account", "[0-9]{12}"), ("role", "a|b")]);
        let template = Template::new("arn:{account}:{role}.", &given).unwrap();
        for (account, role, expected) in [
            (Some("111122223333"), Some("b"), Ok("arn:111122223333:b.")),
            (
                Some("1111222233334"),
                Some("b"),
                Err("does not accept this value of the parameter `account`"),
            ),
            (
                Some("111122223333\n"),
                Some("b"),
                Err("does not accept this value of the parameter `account`"),
            ),
            (
                Some("x\n111122223333"),
                Some("b"),
                Err("does not accept this value of the parameter `account`"),
            ),
            (
                Some("111122223333"),
                Some("ab"),
                Err("does not accept this value of the parameter `role`"),
            ),
            (Some("111122223333"), None, Err("needs the parameter `role`")),
        ] {
            let named = [("account", account), ("role", role)];
            let mut parameters: Parameters = named
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
                .collect();
            let filled = template.check(&parameters).map(|()| template.fill(&parameters));
            let filled = filled.map_err(|bad| bad.to_string());
            assert_eq!(filled, expected.map(str::to_owned).map_err(str::to_owned));
            parameters.insert("other".to_owned(), "x".to_owned());
            let unknown = BadParameters::Unknown("other".to_owned());
            assert_eq!(template.check(&parameters), Err(unknown));
        }
    }

    #[test]
    fn a_value_with_braces_is_not_filled_again() {
        let given = patterns(&[("a", ".*"), ("b", ".*")]);
        let template = Template::new("{a}{b}", &given).unwrap();
        let values = patterns(&[("a", "{b}"), ("b", "x")]);
        assert_eq!(template.fill(&values), "{b}x");
    }
}
