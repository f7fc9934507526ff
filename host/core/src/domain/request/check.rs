//! The check of requests against their [shapes](super::shape).

use serde_json::Map;
use serde_json::Value;

use super::field::Choice;
use super::field::Field;
use super::field::FieldKind;
use super::field::OtherKeys;
use super::field::Presence;
use super::field::Shape;
use super::field::SnakeCase;
use crate::domain::json::Errors;
use crate::domain::json::Path;

type Object = Map<String, Value>;

impl Shape {
    /// Checks `object`, which is at `path`, and adds an error for each field
    /// that is wrong.
    pub(super) fn check(&self, object: &Object, path: &Path<'_>, errors: &mut Errors) {
        match self.other_keys {
            OtherKeys::Kept => {}
            OtherKeys::Refused => refuse_other_keys(&[self], object, path, errors),
        }
        self.check_fields(object, path, errors);
    }

    fn check_fields(&self, object: &Object, path: &Path<'_>, errors: &mut Errors) {
        for field in self.fields {
            match (self.find(field, object, path, errors), field.presence) {
                // `Optional` takes missing and null for the same. `Nullable`
                // does not: only a null says that the client means "none".
                (None, Presence::Optional)
                | (Some((_, Value::Null)), Presence::Optional | Presence::Nullable) => {}
                (None, Presence::Required | Presence::Nullable)
                | (Some((_, Value::Null)), Presence::Required) => {
                    errors.add(&Path::Key(path, field.name), "is required");
                }
                (Some((key, value)), _) => {
                    field.kind.check(value, &Path::Key(path, key), errors);
                }
            }
        }
        self.check_together(object, path, errors);
    }

    fn check_together(&self, object: &Object, path: &Path<'_>, errors: &mut Errors) {
        // A value that is not a text has its own error.
        let text = |name: &&str| object.get(*name).and_then(Value::as_str);
        let is_given = |name: &&str| text(name).is_some_and(|text| !text.is_empty());
        let Some(given) = self.together.iter().copied().find(is_given) else { return };
        for missing in self.together.iter().filter(|name| !is_given(name)) {
            errors.add(&Path::Key(path, missing), format!("is required together with {given}"));
        }
    }

    /// Returns the value of `field` and its key as the client spelled it;
    /// `None` if it is missing.
    fn find<'a>(
        &self,
        field: &Field,
        object: &'a Object,
        path: &Path<'_>,
        errors: &mut Errors,
    ) -> Option<(&'a str, &'a Value)> {
        let camel = object.get_key_value(field.name);
        let snake = match self.snake_case {
            SnakeCase::Accepted | SnakeCase::Described if field.has_snake_case() => {
                object.iter().find(|(key, _)| field.is_snake_case(key))
            }
            SnakeCase::Accepted | SnakeCase::Described | SnakeCase::Unknown => None,
        };
        // Refused, because an adapter would read one of the two, and the client
        // may have meant the other.
        if let (Some(_), Some((key, _))) = (camel, snake) {
            let problem = format!("is given twice, also as {key}");
            errors.add(&Path::Key(path, field.name), problem);
        }
        camel.or(snake).map(|(key, value)| (key.as_str(), value))
    }
}

impl Choice {
    /// Checks `object`, which is at `path`, against the shape that it seems to
    /// be meant for.
    pub(super) fn check(&self, object: &Object, path: &Path<'_>, errors: &mut Errors) {
        let shape = self.pick(object);
        if shape.other_keys == OtherKeys::Refused {
            // A key of another shape is a known property. The error for it is
            // that it cannot be combined, and another check reports that.
            refuse_other_keys(self.shapes, object, path, errors);
        }
        shape.check_fields(object, path, errors);
    }

    /// Returns the first shape whose first field is given and not null. If
    /// there is none, returns the first shape, so that the error requires its
    /// field.
    fn pick(&self, object: &Object) -> &'static Shape {
        let given = |shape: &&&Shape| {
            let first = shape.fields.first().and_then(|field| object.get(field.name));
            first.is_some_and(|value| !value.is_null())
        };
        self.shapes.iter().find(given).unwrap_or(&self.shapes[0])
    }
}

fn refuse_other_keys(shapes: &[&Shape], object: &Object, path: &Path<'_>, errors: &mut Errors) {
    for key in object.keys().filter(|key| !shapes.iter().any(|shape| shape.has(key))) {
        errors.add(&Path::Key(path, key), "is not a known property");
    }
}

impl FieldKind {
    fn check(&self, value: &Value, path: &Path<'_>, errors: &mut Errors) {
        match self {
            Self::Text => _ = text(value, path, errors),
            Self::NonEmptyText => {
                if text(value, path, errors).is_some_and(str::is_empty) {
                    errors.add(path, "must not be empty");
                }
            }
            Self::Formatted(format) => {
                if text(value, path, errors).is_some_and(|text| !(format.accepts)(text)) {
                    errors.add(path, format.problem);
                }
            }
            Self::OneOf(words) => {
                // A value that is no string gets this error, too: it lists all
                // accepted values.
                if !value.as_str().is_some_and(|word| words.all.contains(&word)) {
                    errors.add(path, format!("must be one of {}", words.all.join(", ")));
                }
            }
            Self::Bool => {
                if !value.is_boolean() {
                    errors.add(path, "must be true or false");
                }
            }
            Self::Object(shape) => {
                if let Some(object) = object(value, path, errors) {
                    shape.check(object, path, errors);
                }
            }
            Self::OneShapeOf(choice) => {
                if let Some(object) = object(value, path, errors) {
                    choice.check(object, path, errors);
                }
            }
            Self::ListOf(shape) => {
                for (at, item) in list(value, path, errors).iter().enumerate() {
                    let path = Path::Item(path, at);
                    if let Some(object) = object(item, &path, errors) {
                        shape.check(object, &path, errors);
                    }
                }
            }
            Self::Texts { max } => {
                let items = list(value, path, errors);
                if items.len() > *max {
                    errors.add(path, format!("must have at most {max} items"));
                }
                for (at, item) in items.iter().enumerate() {
                    text(item, &Path::Item(path, at), errors);
                }
            }
            Self::ExcludedBy(other) => errors.add(path, format!("cannot be combined with {other}")),
        }
    }
}

fn text<'a>(value: &'a Value, path: &Path<'_>, errors: &mut Errors) -> Option<&'a str> {
    let text = value.as_str();
    if text.is_none() {
        errors.add(path, "must be a string");
    }
    text
}

fn object<'a>(value: &'a Value, path: &Path<'_>, errors: &mut Errors) -> Option<&'a Object> {
    let object = value.as_object();
    if object.is_none() {
        errors.add(path, "must be an object");
    }
    object
}

fn list<'a>(value: &'a Value, path: &Path<'_>, errors: &mut Errors) -> &'a [Value] {
    match value {
        Value::Array(items) => items,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            errors.add(path, "must be a list");
            &[]
        }
    }
}
