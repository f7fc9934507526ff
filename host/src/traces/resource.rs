//! The resource that all spans of a process share.

use percent_encoding::percent_decode_str;
use tracing::warn;
use uuid::Uuid;

use super::otlp::Resource;

/// The most attributes that are taken from the environment.
const ATTRIBUTES_MAX: usize = 64;

/// Returns the attributes of this process. Those of `OTEL_RESOURCE_ATTRIBUTES`,
/// of the form `key=value,key=value`, take precedence over the host's own.
pub fn resource(from_environment: Option<&str>) -> Resource {
    let mut attributes = vec![
        ("service.name".to_owned(), "hoth".to_owned()),
        ("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        // Random, so that hosts that were cloned differ, too.
        ("service.instance.id".to_owned(), Uuid::new_v4().to_string()),
    ];
    let given = from_environment.unwrap_or_default();
    let Some(given) = parse(given) else {
        // The value is not quoted: it may be long, and the operator has it.
        warn!(
            "OTEL_RESOURCE_ATTRIBUTES is ignored: it is not a list of at most {ATTRIBUTES_MAX} \
             pairs `key=value`, separated by commas and percent-encoded"
        );
        return attributes;
    };
    for (key, value) in given {
        attributes.retain(|(known, _)| *known != key);
        attributes.push((key, value));
    }
    attributes
}

/// Reads the variable by the rules of the OpenTelemetry specification ("Resource
/// SDK"): a mistake makes the whole value invalid.
fn parse(text: &str) -> Option<Vec<(String, String)>> {
    let pairs: Vec<&str> = text.split(',').map(str::trim).filter(|pair| !pair.is_empty()).collect();
    if pairs.len() > ATTRIBUTES_MAX {
        return None;
    }
    let decode =
        |text: &str| Some(percent_decode_str(text.trim()).decode_utf8().ok()?.into_owned());
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=')?;
        let (key, value) = (decode(key)?, decode(value)?);
        (!key.is_empty()).then_some((key, value))
    };
    pairs.into_iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_is_a_list_of_encoded_pairs() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        for (text, expected) in [
            ("", Some(vec![])),
            ("a=1", Some(vec![pair("a", "1")])),
            (" a = 1 , b=x%2Cy=z,", Some(vec![pair("a", "1"), pair("b", "x,y=z")])),
            ("a", None),
            ("=1", None),
            ("a=%ff", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        assert_eq!(parse(&"a=1,".repeat(ATTRIBUTES_MAX + 1)), None);
    }

    #[test]
    fn given_attributes_take_precedence() {
        let found = resource(Some("service.name=hoth-east,deployment.environment.name=test"));
        let values = |key: &str| -> Vec<&str> {
            found.iter().filter(|(name, _)| name == key).map(|(_, value)| value.as_str()).collect()
        };
        assert_eq!(values("service.name"), ["hoth-east"]);
        assert_eq!(values("deployment.environment.name"), ["test"]);
        assert_eq!(values("service.instance.id").len(), 1);
        assert_eq!(resource(Some("oops")).len(), 3);
    }
}
