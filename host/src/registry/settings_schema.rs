//! The check of a CSP's settings against the JSON Schema in the manifest of its
//! adapter.

use std::collections::BTreeSet;

use jsonschema::PatternOptions;
use serde_json::Value;

/// The most problems of one CSP's settings that are named.
const PROBLEMS_MAX: usize = 8;

/// The longest description of a problem, in characters.
const PROBLEM_CHARS_MAX: usize = 200;

/// The error of a schema that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{0}")]
pub(super) struct BadSchema(String);

/// Returns the problems of `settings`, each with its key below `settings`:
/// `.root: …`.
///
/// # Errors
///
/// Returns [`BadSchema`] if the schema is invalid or refers to other documents.
pub(super) fn problems(schema: &Value, settings: &Value) -> Result<BTreeSet<String>, BadSchema> {
    let validator = jsonschema::options()
        // An adapter's pattern must not take exponential time.
        .with_pattern_options(PatternOptions::regex())
        .build(schema)
        .map_err(|error| BadSchema(shorten(&error.to_string())))?;
    let found = validator.iter_errors(settings).map(|error| {
        let key = error.instance_path().as_str().replace('/', ".");
        format!("{key}: {}", shorten(&error.to_string()))
    });
    Ok(found.take(PROBLEMS_MAX).collect())
}

fn shorten(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(PROBLEM_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_of_the_wrong_shape_are_named_by_their_keys() {
        let schema = json!({
            "type": "object",
            "required": ["root"],
            "properties": {
                "root": {"type": "string", "pattern": "^r-[a-z0-9]+$"},
                "levels": {"type": "array", "items": {"enum": [2, 4, 5]}}
            },
            "additionalProperties": false
        });
        let check = |settings: Value, expected: &[&str]| {
            let found = problems(&schema, &settings).expect("the schema is valid");
            assert_eq!(found.into_iter().collect::<Vec<_>>(), expected, "{settings}");
        };
        check(json!({"root": "r-ab12", "levels": [2]}), &[]);
        check(json!({}), &[": \"root\" is a required property"]);
        check(
            json!({"root": "x", "levels": [2, 3], "rooot": 1}),
            &[
                ".levels.1: 3 is not one of 2, 4 or 5",
                ".root: \"x\" does not match \"^r-[a-z0-9]+$\"",
                ": Additional properties are not allowed ('rooot' was unexpected)",
            ],
        );
    }

    #[test]
    fn a_schema_that_cannot_be_used_is_refused() {
        for schema in [
            json!({"type": "text"}),
            json!({"$ref": "https://schemas.example.com/settings.json"}),
            json!({"properties": {"a": {"pattern": "(?=x)y"}}}),
            json!(7),
        ] {
            assert!(problems(&schema, &json!({})).is_err(), "{schema}");
        }
    }
}
