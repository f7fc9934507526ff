//! Looking at the fields of one JSON object.

use serde_json::Map;
use serde_json::Value;

use super::errors::Errors;

/// An object of the request, and where it stands.
pub struct Fields<'a> {
    map: &'a Map<String, Value>,
    path: String,
    /// Whether keys may be in snake_case too.
    snake: bool,
}

/// A field that is there, with the path as the client spelled it.
pub struct Field<'a> {
    pub value: &'a Value,
    pub path: String,
}

impl<'a> Fields<'a> {
    /// The object in `field`, or an error that says it is none.
    pub fn of(field: &Field<'a>, errors: &mut Errors) -> Option<Self> {
        let Value::Object(map) = field.value else {
            errors.add(&field.path, "must be an object");
            return None;
        };
        Some(Self { map, path: field.path.clone(), snake: false })
    }

    /// The same, with keys in camelCase, or in the snake_case that ServiceNow
    /// sends inside task orders.
    pub fn in_either_case(field: &Field<'a>, errors: &mut Errors) -> Option<Self> {
        Self::of(field, errors).map(|fields| Self { snake: true, ..fields })
    }

    /// The whole request.
    pub fn top(map: &'a Map<String, Value>) -> Self {
        Self { map, path: String::new(), snake: false }
    }

    /// An error for every key that is not among `names`.
    pub fn only(&self, names: &[&str], errors: &mut Errors) {
        for key in self.map.keys().filter(|key| !names.contains(&key.as_str())) {
            errors.add(&self.path_of(key), "is not a known property");
        }
    }

    /// The path of a field.
    pub fn path_of(&self, name: &str) -> String {
        match self.path.as_str() {
            "" => name.to_owned(),
            parent => format!("{parent}.{name}"),
        }
    }

    /// The field `name`; none when it is missing or null.
    pub fn optional(&self, name: &str, errors: &mut Errors) -> Option<Field<'a>> {
        self.present(name, errors).filter(|field| !field.value.is_null())
    }

    /// The same, but an error when it is missing or null.
    pub fn required(&self, name: &str, errors: &mut Errors) -> Option<Field<'a>> {
        let field = self.optional(name, errors);
        if field.is_none() {
            errors.add(&self.path_of(name), "is required");
        }
        field
    }

    /// The same, but null is a value.
    pub fn present(&self, name: &str, errors: &mut Errors) -> Option<Field<'a>> {
        let snake = snake_case(name);
        let snake_value = self.map.get(&snake).filter(|_| self.snake && snake != name);
        let (spelled, value) = match (self.map.get(name), snake_value) {
            (Some(value), None) => (name, value),
            (None, value) => (snake.as_str(), value?),
            (Some(value), Some(_)) => {
                errors.add(&self.path_of(name), format!("is given twice, also as {snake}"));
                (name, value)
            }
        };
        Some(Field { value, path: self.path_of(spelled) })
    }

    /// A required text that is not empty.
    pub fn text(&self, name: &str, errors: &mut Errors) -> Option<&'a str> {
        let field = self.required(name, errors)?;
        let text = field.text(errors)?;
        if text.is_empty() {
            errors.add(&field.path, "must not be empty");
            return None;
        }
        Some(text)
    }

    /// A text that may be missing, null or empty.
    pub fn optional_text(&self, name: &str, errors: &mut Errors) -> Option<&'a str> {
        self.optional(name, errors)?.text(errors).filter(|text| !text.is_empty())
    }

    /// A truth value that may be missing or null.
    pub fn optional_bool(&self, name: &str, errors: &mut Errors) {
        if let Some(field) = self.optional(name, errors)
            && !field.value.is_boolean()
        {
            errors.add(&field.path, "must be true or false");
        }
    }

    /// One of some words.
    pub fn word(&self, name: &str, words: &[&str], required: bool, errors: &mut Errors) {
        let field = match required {
            true => self.required(name, errors),
            false => self.optional(name, errors),
        };
        let Some(field) = field else { return };
        if !field.value.as_str().is_some_and(|word| words.contains(&word)) {
            errors.add(&field.path, format!("must be one of {}", words.join(", ")));
        }
    }

    /// A required date: `YYYY-MM-DD`, or `YYYY-MM`.
    pub fn date(&self, name: &str, errors: &mut Errors) {
        let Some(field) = self.required(name, errors) else { return };
        let Some(text) = field.text(errors) else { return };
        if !is_date(text) {
            errors.add(&field.path, "must be a date such as 2026-07-01 or 2026-07");
        }
    }
}

impl<'a> Field<'a> {
    /// The text, or an error that says it is none.
    pub fn text(&self, errors: &mut Errors) -> Option<&'a str> {
        let text = self.value.as_str();
        if text.is_none() {
            errors.add(&self.path, "must be a string");
        }
        text
    }

    /// The items of a list, each with its path.
    pub fn items(&self, errors: &mut Errors) -> Vec<Field<'a>> {
        let Value::Array(items) = self.value else {
            errors.add(&self.path, "must be a list");
            return Vec::new();
        };
        let item = |(n, value)| Field { value, path: format!("{}[{n}]", self.path) };
        items.iter().enumerate().map(item).collect()
    }
}

/// `popStartDate` → `pop_start_date`. For the names of this API, which have no
/// digits and no capitals in a row.
fn snake_case(name: &str) -> String {
    name.chars().fold(String::new(), |mut snake, c| {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
        snake
    })
}

fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let digits = parts.iter().all(|part| part.bytes().all(|b| b.is_ascii_digit()));
    if !digits || !(lengths == [4, 2] || lengths == [4, 2, 2]) {
        return false;
    }
    let number = |at: usize| parts.get(at).map_or(1, |part| part.parse::<u16>().unwrap_or(0));
    let month = u8::try_from(number(1)).ok().and_then(|month| time::Month::try_from(month).ok());
    let day = u8::try_from(number(2)).unwrap_or(0);
    month.is_some_and(|month| {
        time::Date::from_calendar_date(i32::from(number(0)), month, day).is_ok()
    })
}
