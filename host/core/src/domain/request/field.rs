//! The building blocks of [`shape`](super::shape): objects, their fields, and
//! the values that a field takes.
//!
//! All of them are plain data. Requests are checked against this data, and the
//! API generates its OpenAPI schemas from it.

/// An object that a client sends.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// The name of its schema in the API's description.
    pub name: &'static str,
    pub description: &'static str,
    pub fields: &'static [Field],
    pub other_keys: OtherKeys,
    pub snake_case: SnakeCase,
    /// Fields of which all are given, or none. An empty text counts as missing.
    pub together: &'static [&'static str],
}

/// The treatment of keys that a shape does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherKeys {
    /// Kept, and passed to the CSP's adapter.
    Kept,
    Refused,
}

/// The treatment of keys in snake_case instead of camelCase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnakeCase {
    /// Not recognized: such a key counts as a key that the shape does not name.
    Unknown,
    /// Accepted, but not described: clients should write camelCase.
    Accepted,
    /// Accepted and described, as a second schema.
    Described,
}

/// A set of shapes, of which an object has exactly one.
#[derive(Debug, Clone, Copy)]
pub struct Choice {
    /// The name of its schema in the API's description.
    pub name: &'static str,
    pub description: &'static str,
    pub selected_by: Selection,
    pub shapes: &'static [&'static Shape],
}

/// The rule that tells the shapes of a [`Choice`] apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// The first field of each shape, which no other shape has.
    FirstField,
    /// The word in this field, which each shape has, with words of its own.
    Word(&'static str),
}

/// One field of an object.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The key in camelCase.
    pub name: &'static str,
    pub presence: Presence,
    pub kind: FieldKind,
    /// The description in the API's document. Empty if the name is enough.
    pub description: &'static str,
    pub example: Option<&'static str>,
}

/// The permission of a field to be missing or null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Neither missing nor null.
    Required,
    /// Not missing, but null is a value.
    Nullable,
    /// Missing and null mean the same.
    Optional,
}

/// The values of a field. JSON types are never coerced.
#[derive(Debug, Clone, Copy)]
pub enum FieldKind {
    /// A string, which may be empty.
    Text,
    /// A string that is not empty.
    NonEmptyText,
    /// A string with a form of its own.
    Formatted(&'static Format),
    /// A word of a list.
    OneOf(&'static Words),
    Bool,
    Object(&'static Shape),
    /// An object that has exactly one of several shapes.
    OneShapeOf(&'static Choice),
    /// A list of objects.
    ListOf(&'static Shape),
    /// A list of at most `max` strings.
    Texts {
        max: usize,
    },
    /// Missing or null, since another field excludes it.
    ExcludedBy(&'static str),
}

/// The words that a field takes.
#[derive(Debug, Clone, Copy)]
pub struct Words {
    /// The name of the schema in the API's description. `None` if each use
    /// describes the words itself.
    pub name: Option<&'static str>,
    pub description: &'static str,
    pub all: &'static [&'static str],
}

/// The form of a string.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    /// The name of the schema in the API's description. `None` if each use
    /// describes the form itself.
    pub name: Option<&'static str>,
    pub description: &'static str,
    pub examples: &'static [&'static str],
    /// The part of [`Format::accepts`] that JSON Schema can express.
    pub constraint: Constraint,
    /// The condition as an error states it: `must be …`.
    pub problem: &'static str,
    pub accepts: fn(&str) -> bool,
}

/// A condition on a string that JSON Schema can express.
#[derive(Debug, Clone, Copy)]
pub enum Constraint {
    /// A regular expression (ECMA 262).
    Pattern(&'static str),
    /// A regular expression, for 1 to `max` characters.
    BoundedPattern { pattern: &'static str, max: usize },
    /// A format that JSON Schema defines, such as `date-time`.
    Named(&'static str),
}

/// Returns a field that must be present and not null.
pub const fn required(name: &'static str, kind: FieldKind) -> Field {
    Field { name, presence: Presence::Required, kind, description: "", example: None }
}

/// Returns a field that must be present, and may be null.
pub const fn nullable(name: &'static str, kind: FieldKind) -> Field {
    Field { presence: Presence::Nullable, ..required(name, kind) }
}

/// Returns a field that may be missing or null.
pub const fn optional(name: &'static str, kind: FieldKind) -> Field {
    Field { presence: Presence::Optional, ..required(name, kind) }
}

/// Returns a field that must be missing or null, since `other` is there.
pub const fn excluded(name: &'static str, other: &'static str) -> Field {
    optional(name, FieldKind::ExcludedBy(other))
}

impl Field {
    /// Returns the field with a description.
    pub const fn described(self, description: &'static str) -> Self {
        Self { description, ..self }
    }

    /// Returns the field with an example of its value.
    pub const fn example(self, example: &'static str) -> Self {
        Self { example: Some(example), ..self }
    }

    /// Returns the key in snake_case: `popStartDate` becomes `pop_start_date`.
    ///
    /// This rule is enough for the names of this API, which have no digits and
    /// no two capitals in a row.
    pub fn snake_case(&self) -> String {
        self.name.chars().fold(String::new(), |mut snake, c| {
            if c.is_ascii_uppercase() {
                snake.push('_');
            }
            snake.push(c.to_ascii_lowercase());
            snake
        })
    }

    /// Returns true if `key` is the name in snake_case. Every field of a request
    /// is looked up, so this compares without building the name.
    pub fn is_snake_case(&self, key: &str) -> bool {
        let mut rest = key.bytes();
        let is_next = |byte: u8| match byte.is_ascii_uppercase() {
            true => rest.next() == Some(b'_') && rest.next() == Some(byte.to_ascii_lowercase()),
            false => rest.next() == Some(byte),
        };
        self.name.bytes().all(is_next) && rest.next().is_none()
    }

    /// Returns true if the name in snake_case is another one.
    pub fn has_snake_case(&self) -> bool {
        self.name.bytes().any(|byte| byte.is_ascii_uppercase())
    }
}

impl Shape {
    /// Returns a shape whose other keys are kept.
    pub const fn open(
        name: &'static str,
        description: &'static str,
        fields: &'static [Field],
    ) -> Self {
        let (other_keys, snake_case) = (OtherKeys::Kept, SnakeCase::Unknown);
        Self { name, description, fields, other_keys, snake_case, together: &[] }
    }

    /// Returns a shape that refuses other keys.
    pub const fn closed(
        name: &'static str,
        description: &'static str,
        fields: &'static [Field],
    ) -> Self {
        Self { other_keys: OtherKeys::Refused, ..Self::open(name, description, fields) }
    }

    /// Returns the shape with keys in snake_case treated as `snake_case` says.
    pub const fn with(self, snake_case: SnakeCase) -> Self {
        Self { snake_case, ..self }
    }

    /// Returns the shape with fields of which all are given, or none.
    pub const fn together(self, together: &'static [&'static str]) -> Self {
        Self { together, ..self }
    }

    /// Returns true if the shape names `key`, in camelCase.
    pub fn has(&self, key: &str) -> bool {
        self.fields.iter().any(|field| field.name == key)
    }
}

impl Words {
    /// Returns words that have a schema of their own.
    pub const fn named(
        name: &'static str,
        description: &'static str,
        all: &'static [&'static str],
    ) -> Self {
        Self { name: Some(name), description, all }
    }

    /// Returns words that are described where they are used.
    pub const fn inline(all: &'static [&'static str]) -> Self {
        Self { name: None, description: "", all }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_snake_case_is_recognised_without_writing_it() {
        for (name, key, expected) in [
            ("popStartDate", "pop_start_date", true),
            ("popStartDate", "pop_start_dat", false),
            ("popStartDate", "pop_start_dates", false),
            ("popStartDate", "popStartDate", false),
            ("popStartDate", "pop-start-date", false),
            ("popStartDate", "", false),
            ("clins", "clins", true),
        ] {
            let field = optional(name, FieldKind::Text);
            assert_eq!(field.is_snake_case(key), expected, "{key}");
            assert_eq!(field.snake_case() == key, expected, "{key}");
            assert_eq!(field.has_snake_case(), field.snake_case() != name, "{name}");
        }
    }
}
