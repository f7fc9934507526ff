//! Generates JSON Schemas from the shapes of requests.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::reference;
use hoth_core::domain::request::field::Choice;
use hoth_core::domain::request::field::Constraint;
use hoth_core::domain::request::field::Field;
use hoth_core::domain::request::field::FieldKind;
use hoth_core::domain::request::field::Format;
use hoth_core::domain::request::field::OtherKeys;
use hoth_core::domain::request::field::Presence;
use hoth_core::domain::request::field::Selection;
use hoth_core::domain::request::field::Shape;
use hoth_core::domain::request::field::SnakeCase;
use hoth_core::domain::request::field::Words;

/// Returns the schemas of these choices and shapes, and of all that they name.
pub fn schemas(choices: &[&Choice], shapes: &[&Shape]) -> Map<String, Value> {
    let mut generator = Generator::default();
    for choice in choices {
        generator.choice(choice);
    }
    for shape in shapes {
        generator.shape(shape);
    }
    generator.schemas
}

/// The schemas generated so far, by name.
#[derive(Default)]
struct Generator {
    schemas: Map<String, Value>,
}

/// The spelling of the keys of an object.
#[derive(Clone, Copy)]
enum Spelling {
    CamelCase,
    SnakeCase,
}

impl Generator {
    /// Adds a schema and returns a reference to it.
    fn add(&mut self, name: &str, schema: Value) -> Value {
        // A shape that several others name is added again, with equal content.
        self.schemas.insert(name.to_owned(), schema);
        reference(name)
    }

    /// Returns a reference to the schema of `choice`.
    fn choice(&mut self, choice: &Choice) -> Value {
        let shapes: Vec<Value> = choice.shapes.iter().map(|shape| self.shape(shape)).collect();
        let mut schema = json!({ "description": choice.description });
        match choice.selected_by {
            // The shapes exclude each other. `oneOf` would mean the same, and
            // linters that compare the other fields of the shapes warn of it.
            Selection::FirstField => schema["anyOf"] = shapes.into(),
            Selection::Word(field) => {
                schema["oneOf"] = shapes.into();
                schema["discriminator"] =
                    json!({ "propertyName": field, "mapping": mapping(choice, field) });
            }
        }
        self.add(choice.name, schema)
    }

    /// Returns a reference to the schema of `shape`.
    fn shape(&mut self, shape: &Shape) -> Value {
        let mut schema = match shape.snake_case {
            SnakeCase::Unknown | SnakeCase::Accepted => self.object(shape, Spelling::CamelCase),
            // Two schemas, one for each spelling: JSON Schema cannot give one
            // property two names.
            SnakeCase::Described => {
                let camel = self.object(shape, Spelling::CamelCase);
                let snake = self.object(shape, Spelling::SnakeCase);
                let camel = self.add(&format!("CamelCase{}", shape.name), camel);
                let snake = self.add(&format!("SnakeCase{}", shape.name), snake);
                json!({ "oneOf": [camel, snake] })
            }
        };
        schema["description"] = shape.description.into();
        self.add(shape.name, schema)
    }

    fn object(&mut self, shape: &Shape, spelling: Spelling) -> Value {
        let mut schema = json!({ "type": "object" });
        let (mut properties, mut required) = (Map::new(), Vec::new());
        let mut excluded = Vec::new();
        for field in shape.fields {
            if let FieldKind::ExcludedBy(_) = field.kind {
                excluded.push(excluded_field(field.name));
                continue;
            }
            let key = match spelling {
                Spelling::CamelCase => field.name.to_owned(),
                Spelling::SnakeCase => field.snake_case(),
            };
            match field.presence {
                Presence::Required | Presence::Nullable => required.push(Value::from(key.clone())),
                Presence::Optional => {}
            }
            properties.insert(key, self.field(field));
        }
        if !properties.is_empty() {
            schema["properties"] = properties.into();
        }
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        // `true` is the default of JSON Schema. Generators of clients take
        // objects without it for closed ones.
        schema["additionalProperties"] = (shape.other_keys == OtherKeys::Kept).into();
        let mut conditions = together(shape.together);
        conditions.extend(excluded);
        if !conditions.is_empty() {
            schema["allOf"] = conditions.into();
        }
        schema
    }

    fn field(&mut self, field: &Field) -> Value {
        let mut schema = self.kind(&field.kind);
        match field.presence {
            Presence::Required => {}
            Presence::Nullable | Presence::Optional => schema = or_null(schema),
        }
        if !field.description.is_empty() {
            schema["description"] = field.description.into();
        }
        if let Some(example) = field.example {
            schema["examples"] = json!([example]);
        }
        schema
    }

    fn kind(&mut self, kind: &FieldKind) -> Value {
        match kind {
            FieldKind::Text => json!({ "type": "string" }),
            FieldKind::NonEmptyText => json!({ "type": "string", "minLength": 1 }),
            FieldKind::Formatted(format) => self.named(format.name, formatted(format)),
            FieldKind::OneOf(words) => self.named(words.name, one_of(words)),
            FieldKind::Bool => json!({ "type": "boolean" }),
            FieldKind::Object(shape) => self.shape(shape),
            FieldKind::OneShapeOf(choice) => self.choice(choice),
            FieldKind::ListOf(shape) => json!({ "type": "array", "items": self.shape(shape) }),
            FieldKind::Texts { max } => {
                json!({ "type": "array", "items": { "type": "string" }, "maxItems": max })
            }
            FieldKind::ExcludedBy(_) => json!({ "type": "null" }),
        }
    }

    /// Returns a reference to the schema if it has a name, or else itself.
    fn named(&mut self, name: Option<&str>, schema: Value) -> Value {
        match name {
            Some(name) => self.add(name, schema),
            None => schema,
        }
    }
}

/// Returns the schema of an object in which the field is missing or null.
///
/// A property that is always null would mean the same, but generators of clients
/// make types of it that no object fits.
fn excluded_field(name: &str) -> Value {
    let given = json!({ "not": { "type": "null" } });
    json!({ "not": { "required": [name], "properties": { name: given } } })
}

/// Returns the shape of each word that selects one.
fn mapping(choice: &Choice, field: &str) -> Map<String, Value> {
    let words = |shape: &Shape| match shape.fields.iter().find(|one| one.name == field)?.kind {
        FieldKind::OneOf(words) => Some(words.all),
        FieldKind::Text
        | FieldKind::NonEmptyText
        | FieldKind::Formatted(_)
        | FieldKind::Bool
        | FieldKind::Object(_)
        | FieldKind::OneShapeOf(_)
        | FieldKind::ListOf(_)
        | FieldKind::Texts { .. }
        | FieldKind::ExcludedBy(_) => None,
    };
    let of_shape = |shape: &&Shape| {
        let target = reference(shape.name)["$ref"].clone();
        let words = words(shape).unwrap_or_default().iter();
        words.map(move |word| ((*word).to_owned(), target.clone())).collect::<Vec<_>>()
    };
    choice.shapes.iter().flat_map(of_shape).collect()
}

/// Returns the schemas of an object that has all of these keys, or none.
fn together(names: &[&str]) -> Vec<Value> {
    let given = |names: &[&str]| {
        let is_given = |name: &&str| ((*name).to_owned(), json!({ "not": { "enum": [null, ""] } }));
        let properties: Map<String, Value> = names.iter().map(is_given).collect();
        json!({ "required": names, "properties": properties })
    };
    names.iter().map(|name| json!({ "if": given(&[*name]), "then": given(names) })).collect()
}

fn formatted(format: &Format) -> Value {
    let mut schema = json!({
        "type": "string",
        "description": format.description,
        "examples": format.examples,
    });
    match format.constraint {
        Constraint::Pattern(pattern) => schema["pattern"] = pattern.into(),
        Constraint::BoundedPattern { pattern, max } => {
            schema["pattern"] = pattern.into();
            schema["minLength"] = 1.into();
            schema["maxLength"] = max.into();
        }
        Constraint::Named(name) => schema["format"] = name.into(),
    }
    schema
}

fn one_of(words: &Words) -> Value {
    let mut schema = json!({ "type": "string", "enum": words.all });
    if !words.description.is_empty() {
        schema["description"] = words.description.into();
    }
    schema
}

/// Returns a schema that allows null too.
fn or_null(mut schema: Value) -> Value {
    match schema["type"].as_str() {
        Some("null") => schema,
        // A list of words would have to name null as well.
        Some(name) if schema.get("enum").is_none() => {
            schema["type"] = json!([name, "null"]);
            schema
        }
        Some(_) | None => json!({ "oneOf": [schema, { "type": "null" }] }),
    }
}
