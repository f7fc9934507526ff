//! The query parameters of a `GET`.

use std::collections::BTreeMap;
use std::time::Duration;

use url::form_urlencoded;

use super::error::ApiError;
use hoth_queue::BATCH_MAX;
use hoth_queue::LEASE_MAX;
use hoth_queue::WAIT_MAX;

/// The largest number of parameters. Four are known. A head of 32 KiB could
/// hold ten thousand, and each is compared with all parameters before it.
const PARAMETERS_MAX: usize = 16;

/// The parameters of a `GET`: waiting, leasing and acknowledging.
#[derive(Debug, PartialEq, Eq)]
pub struct CollectParams {
    /// The most outcomes to return.
    pub max: usize,
    /// The longest wait for a first outcome.
    pub wait: Duration,
    /// The lease of the batch; `None` if the batch is consumed.
    pub lease: Option<Duration>,
    /// The name of a leased batch to acknowledge first.
    pub ack: Option<String>,
}

impl Default for CollectParams {
    fn default() -> Self {
        Self { max: BATCH_MAX, wait: Duration::ZERO, lease: None, ack: None }
    }
}

impl CollectParams {
    /// Parses a query.
    ///
    /// # Errors
    ///
    /// Returns every wrong parameter. An unknown parameter is wrong too, so that
    /// a mistyped `lease` does not consume.
    pub fn parse(query: &str) -> Result<Self, ApiError> {
        let mut params = Self::default();
        let mut errors = BTreeMap::new();
        let mut seen = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if seen.len() == PARAMETERS_MAX {
                let problem = format!("must have at most {PARAMETERS_MAX} parameters");
                errors.insert("query".to_owned(), problem);
                break;
            }
            // A repeated parameter overwrites the first one here. That does no
            // harm, because its error discards all parameters below.
            let parsed = match name.as_ref() {
                "max" => number(&value, 1, BATCH_MAX as u64)
                    .map(|max| params.max = usize::try_from(max).unwrap_or(BATCH_MAX))
                    .ok_or_else(|| format!("must be 1 to {BATCH_MAX}")),
                "wait" => seconds(&value, 0, WAIT_MAX).map(|wait| params.wait = wait),
                "lease" => seconds(&value, 1, LEASE_MAX).map(|lease| params.lease = Some(lease)),
                "ack" => {
                    params.ack = Some(value.into_owned());
                    Ok(())
                }
                _ => Err("is not a known parameter".to_owned()),
            };
            let problem = match seen.contains(&name) {
                true => Some("is given twice".to_owned()),
                false => parsed.err(),
            };
            if let Some(problem) = problem {
                errors.insert(name.to_string(), problem);
            }
            seen.push(name);
        }
        // Without `lease` the rest of the request would consume outcomes, which a
        // client that acknowledges does not intend. An invalid `lease` is
        // reported as such, so only its name counts here.
        if params.ack.is_some() && !seen.iter().any(|name| name == "lease") {
            errors.insert("ack".to_owned(), "requires lease".to_owned());
        }
        if !errors.is_empty() {
            return Err(ApiError::Invalid(errors));
        }
        Ok(params)
    }
}

/// Parses whole seconds from `min` to `max`.
fn seconds(text: &str, min: u64, max: Duration) -> Result<Duration, String> {
    let problem = || format!("must be {min} to {} seconds", max.as_secs());
    number(text, min, max.as_secs()).map(Duration::from_secs).ok_or_else(problem)
}

/// Parses a whole number from `min` to `max`.
fn number(text: &str, min: u64, max: u64) -> Option<u64> {
    // The parser of the standard library would also accept a leading `+`.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).filter(|n| (min..=max).contains(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_sets_the_collect_parameters() {
        let params = |wait, lease: Option<u64>, ack: Option<&str>| CollectParams {
            max: 10,
            wait: Duration::from_secs(wait),
            lease: lease.map(Duration::from_secs),
            ack: ack.map(str::to_owned),
        };
        for (query, expected) in [
            ("", params(0, None, None)),
            ("wait=0", params(0, None, None)),
            ("wait=20", params(20, None, None)),
            ("lease=1", params(0, Some(1), None)),
            ("max=10", params(0, None, None)),
            ("max=1", CollectParams { max: 1, ..CollectParams::default() }),
            ("ack=b-_%31&lease=43200&wait=7&", params(7, Some(43_200), Some("b-_1"))),
        ] {
            assert_eq!(CollectParams::parse(query).expect(query), expected, "{query}");
        }
    }

    #[test]
    fn every_wrong_parameter_is_named() {
        let (wait, lease) = ("must be 0 to 20 seconds", "must be 1 to 43200 seconds");
        for (query, expected) in [
            ("wait=21", vec![("wait", wait)]),
            ("max=0", vec![("max", "must be 1 to 10")]),
            ("max=11", vec![("max", "must be 1 to 10")]),
            ("max=", vec![("max", "must be 1 to 10")]),
            ("wait=", vec![("wait", wait)]),
            ("wait=%2B1", vec![("wait", wait)]),
            ("wait=1.5", vec![("wait", wait)]),
            ("lease=0", vec![("lease", lease)]),
            ("lease=-1&wait=x", vec![("lease", lease), ("wait", wait)]),
            ("lease=99999999999999999999", vec![("lease", lease)]),
            ("lease=5&lease=5", vec![("lease", "is given twice")]),
            ("lease=x&lease=5", vec![("lease", "is given twice")]),
            ("ack=b", vec![("ack", "requires lease")]),
            ("leas=60", vec![("leas", "is not a known parameter")]),
        ] {
            let Err(ApiError::Invalid(errors)) = CollectParams::parse(query) else {
                panic!("{query}")
            };
            let found: Vec<_> = errors.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            assert_eq!(found, expected, "{query}");
        }
        let many = "wait=1&".repeat(PARAMETERS_MAX + 1);
        let Err(ApiError::Invalid(errors)) = CollectParams::parse(&many) else { panic!("{many}") };
        assert_eq!(errors["query"], "must have at most 16 parameters");
    }
}
