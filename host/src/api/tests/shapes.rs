//! The schemas of requests and the code that reads requests, compared on
//! samples.
//!
//! Both come from one table of shapes, and so do the samples: a new field is
//! tested as soon as it is in the table.

use serde_json::Map;

use super::description::Description;
use super::*;
use hoth_core::domain::CspName;
use hoth_core::domain::SupportedOperations;
use hoth_core::domain::request;
use hoth_core::domain::request::Known;
use hoth_core::domain::request::field::Choice;
use hoth_core::domain::request::field::Field;
use hoth_core::domain::request::field::FieldKind;
use hoth_core::domain::request::field::Shape;
use hoth_core::domain::request::field::SnakeCase;
use hoth_core::domain::request::shape;

/// Returns objects with every field of a shape, one for each combination of
/// the alternatives inside it.
fn samples(shape: &Shape) -> Vec<Value> {
    let camel = samples_spelled(shape, |field| field.name.to_owned());
    match shape.snake_case {
        SnakeCase::Unknown | SnakeCase::Accepted => camel,
        SnakeCase::Described => {
            let snake = samples_spelled(shape, Field::snake_case);
            camel.into_iter().chain(snake).collect()
        }
    }
}

fn samples_spelled(shape: &Shape, key: impl Fn(&Field) -> String) -> Vec<Value> {
    let mut objects = vec![Map::new()];
    for field in shape.fields {
        let values = values_of(&field.kind);
        if values.is_empty() {
            continue;
        }
        let with = |object: &Map<String, Value>| {
            let object = object.clone();
            let key = key(field);
            values.clone().into_iter().map(move |value| {
                let mut object = object.clone();
                object.insert(key.clone(), value);
                object
            })
        };
        objects = objects.iter().flat_map(with).collect();
    }
    objects.into_iter().map(Value::from).collect()
}

fn values_of(kind: &FieldKind) -> Vec<Value> {
    match kind {
        FieldKind::Text | FieldKind::NonEmptyText => vec![json!("text")],
        FieldKind::Formatted(format) => vec![json!(format.examples[0])],
        FieldKind::OneOf(words) => words.all.iter().map(|word| json!(word)).collect(),
        FieldKind::Bool => vec![json!(true)],
        FieldKind::Object(shape) => samples(shape),
        FieldKind::OneShapeOf(choice) => {
            choice.shapes.iter().flat_map(|shape| samples(shape)).collect()
        }
        FieldKind::ListOf(shape) => vec![samples(shape).into()],
        FieldKind::Texts { .. } => vec![json!(["text"])],
        FieldKind::ExcludedBy(_) => Vec::new(),
    }
}

/// Returns the values that every field is set to: no value, each type of JSON,
/// and texts at their bounds.
fn changes() -> Vec<Option<Value>> {
    let texts = ["", "x", "2026-07", "2026-13", "2026-07-01", "SECRET", "CLOUD", "a\u{7}", "é"];
    let long = ["x".repeat(256), "x".repeat(257)].map(Value::from);
    let others =
        [json!(null), json!(true), json!(1), json!([]), json!({}), json!([{}]), json!([1])];
    let texts = texts.into_iter().map(Value::from);
    [None].into_iter().chain(texts.chain(long).chain(others).map(Some)).collect()
}

/// Finds the pointers of all fields in a value, and of one more key in each
/// object.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            found.push(format!("{at}/another"));
            for (key, value) in map {
                found.push(format!("{at}/{key}"));
                pointers(value, &format!("{at}/{key}"), found);
            }
        }
        Value::Array(list) => {
            for (n, value) in list.iter().enumerate() {
                pointers(value, &format!("{at}/{n}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Asserts that schema and reader agree on `sample` and on every single change
/// of it, and that every field of the shape has a change that both refuse.
#[track_caller]
fn agree(sample: &Value, validator: &jsonschema::Validator, reads: impl Fn(&[u8]) -> bool) {
    assert!(validator.is_valid(sample) && reads(sample.to_string().as_bytes()), "{sample}");
    let mut found = Vec::new();
    pointers(sample, "", &mut found);
    for pointer in &found {
        let mut refused = 0;
        for value in changes() {
            let mut body = sample.clone();
            let (parent, key) = pointer.rsplit_once('/').expect("a pointer has a slash");
            let map = body.pointer_mut(parent).and_then(Value::as_object_mut);
            let map = map.expect("pointers name keys of objects");
            match &value {
                Some(value) => drop(map.insert(key.to_owned(), value.clone())),
                None => drop(map.remove(key)),
            }
            let read = reads(body.to_string().as_bytes());
            assert_eq!(validator.is_valid(&body), read, "{pointer} = {value:?}: read {read}");
            refused += u32::from(!read);
        }
        assert!(refused > 0 || pointer.ends_with("/another"), "{pointer} of {sample}");
    }
}

/// Returns the CSPs that samples and their changes name.
fn csps() -> BTreeMap<CspName, SupportedOperations> {
    let names = ["CSP_A", "x", "SECRET", "CLOUD", "2026-07", "2026-13", "2026-07-01"];
    names.map(|name| (name.parse().expect("a valid name"), SupportedOperations::default())).into()
}

#[tokio::test]
async fn provisioning_requests_are_read_as_described() {
    let description = Description::of(&Host::start().await).await;
    let validator = description.validator_of(shape::PROVISIONING_REQUEST.name);
    let csps = csps();
    let reads = |body: &[u8]| {
        request::provisioning(body, Known::of(&csps), || "made".parse().expect("a valid id"))
            .is_ok()
    };
    for shape in shape::PROVISIONING_REQUEST.shapes {
        for sample in samples(shape) {
            agree(&sample, &validator, reads);
        }
    }
}

#[tokio::test]
async fn cost_requests_are_read_as_described() {
    let description = Description::of(&Host::start().await).await;
    let validator = description.validator_of(shape::COST_REQUEST.name);
    let csps = csps();
    for sample in samples(&shape::COST_REQUEST) {
        agree(&sample, &validator, |body| request::cost(body, Known::of(&csps)).is_ok());
    }
}

#[tokio::test]
async fn requests_about_outcomes_are_read_as_described() {
    let description = Description::of(&Host::start().await).await;
    let validator = description.validator_of(shape::BATCH.name);
    for sample in samples(&shape::BATCH) {
        agree(&sample, &validator, |body| request::batch(body).is_ok());
    }
    for kind in [JOBS, COSTS] {
        let choice: &Choice = shape::redelivery(kind);
        let validator = description.validator_of(choice.name);
        for sample in choice.shapes.iter().flat_map(|shape| samples(shape)) {
            agree(&sample, &validator, |body| request::redelivery(kind, body).is_ok());
        }
    }
}
