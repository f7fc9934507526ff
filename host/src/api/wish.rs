//! What the query of a `GET` asks for.

use std::collections::BTreeMap;
use std::time::Duration;

use url::form_urlencoded;

use super::ApiError;
use hoth_queue::LEASE_MAX;
use hoth_queue::WAIT_MAX;

/// There are three parameters. A head of 32 KiB could hold ten thousand, and
/// each is compared with all before it.
const PARAMETERS_MAX: usize = 16;

/// How a client wants to collect.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// How long to wait for a first message.
    pub wait: Duration,
    /// For how long to lease the batch; none: it is consumed.
    pub lease: Option<Duration>,
    /// The name of a leased batch to delete first.
    pub ack: Option<String>,
}

impl Wish {
    /// Reads a query.
    ///
    /// # Errors
    ///
    /// With every wrong parameter. One that is not known is wrong too: a
    /// `lease` that was mistyped must not consume.
    pub fn parse(query: &str) -> Result<Self, ApiError> {
        let mut wish = Self::default();
        let mut errors = BTreeMap::new();
        let mut seen = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if seen.len() == PARAMETERS_MAX {
                let problem = format!("must have at most {PARAMETERS_MAX} parameters");
                errors.insert("query".to_owned(), problem);
                break;
            }
            let read = match name.as_ref() {
                "wait" => seconds(&value, 0, WAIT_MAX).map(|wait| wish.wait = wait),
                "lease" => seconds(&value, 1, LEASE_MAX).map(|lease| wish.lease = Some(lease)),
                "ack" => {
                    wish.ack = Some(value.into_owned());
                    Ok(())
                }
                _ => Err("is not a known parameter".to_owned()),
            };
            let problem = match seen.contains(&name) {
                true => Some("is given twice".to_owned()),
                false => read.err(),
            };
            if let Some(problem) = problem {
                errors.insert(name.to_string(), problem);
            }
            seen.push(name);
        }
        if wish.ack.is_some() && !seen.iter().any(|name| name == "lease") {
            errors.insert("ack".to_owned(), "goes with lease".to_owned());
        }
        if !errors.is_empty() {
            return Err(ApiError::Invalid(errors));
        }
        Ok(wish)
    }
}

fn seconds(text: &str, min: u64, max: Duration) -> Result<Duration, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds =
        text.parse().ok().filter(|_| digits).filter(|n| (min..=max.as_secs()).contains(n));
    let problem = || format!("must be {min} to {} seconds", max.as_secs());
    seconds.map(Duration::from_secs).ok_or_else(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_how_to_collect() {
        let wish = |wait, lease: Option<u64>, ack: Option<&str>| Wish {
            wait: Duration::from_secs(wait),
            lease: lease.map(Duration::from_secs),
            ack: ack.map(str::to_owned),
        };
        for (query, expected) in [
            ("", wish(0, None, None)),
            ("wait=0", wish(0, None, None)),
            ("wait=20", wish(20, None, None)),
            ("lease=1", wish(0, Some(1), None)),
            ("ack=b-_%31&lease=43200&wait=7&", wish(7, Some(43_200), Some("b-_1"))),
        ] {
            assert_eq!(Wish::parse(query).expect(query), expected, "{query}");
        }
    }

    #[test]
    fn a_wrong_query_is_named_parameter_by_parameter() {
        let (wait, lease) = ("must be 0 to 20 seconds", "must be 1 to 43200 seconds");
        for (query, expected) in [
            ("wait=21", vec![("wait", wait)]),
            ("wait=", vec![("wait", wait)]),
            ("wait=%2B1", vec![("wait", wait)]),
            ("wait=1.5", vec![("wait", wait)]),
            ("lease=0", vec![("lease", lease)]),
            ("lease=-1&wait=x", vec![("lease", lease), ("wait", wait)]),
            ("lease=99999999999999999999", vec![("lease", lease)]),
            ("lease=5&lease=5", vec![("lease", "is given twice")]),
            ("lease=x&lease=5", vec![("lease", "is given twice")]),
            ("ack=b", vec![("ack", "goes with lease")]),
            ("leas=60", vec![("leas", "is not a known parameter")]),
        ] {
            let Err(ApiError::Invalid(errors)) = Wish::parse(query) else { panic!("{query}") };
            let found: Vec<_> = errors.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            assert_eq!(found, expected, "{query}");
        }
        let many = "wait=1&".repeat(PARAMETERS_MAX + 1);
        let Err(ApiError::Invalid(errors)) = Wish::parse(&many) else { panic!("{many}") };
        assert_eq!(errors["query"], "must have at most 16 parameters");
    }
}
