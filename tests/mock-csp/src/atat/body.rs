//! The rules for what a request's body holds.

use serde_json::Map;
use serde_json::Value;

use super::route::Operation;

type Object = Map<String, Value>;

const LEVELS: &[&str] = &["UNCLASSIFIED", "SECRET", "TOP_SECRET"];

/// Everything that an environment may hold.
const ENVIRONMENT_KEYS: &[&str] = &[
    "name",
    "administrators",
    "classification_level",
    "cloud_distinguisher",
    "account_name",
    "email_distribution_list",
    "is_migration",
];

/// Adds the rules that a body breaks.
pub fn judge(operation: Operation, body: &Value, broken: &mut Vec<String>) {
    snake_case(body, "", broken);
    let Value::Object(body) = body else {
        broken.push("the body is not a JSON object".to_owned());
        return;
    };
    match operation {
        Operation::AddPortfolio => {
            text(body, "", "name", broken);
            each(body, "", "task_orders", broken, task_order);
        }
        Operation::AddEnvironment => environment(body, broken),
        Operation::AddTaskOrder | Operation::UpdateTaskOrder => task_order(body, "", broken),
        Operation::AddOperators => {
            only(body, &["administrators"], broken);
            each(body, "", "administrators", broken, operator);
        }
        Operation::GetPortfolio | Operation::Cost | Operation::CostOfClin | Operation::Poll => {
            unreachable!("its method has no body")
        }
    }
}

fn environment(body: &Object, broken: &mut Vec<String>) {
    only(body, ENVIRONMENT_KEYS, broken);
    for (key, value) in body {
        if value.is_null() {
            broken.push(format!("`{key}` is null"));
        }
    }
    text(body, "", "name", broken);
    each(body, "", "administrators", broken, operator);
    one_of(body, "", "classification_level", LEVELS, broken);
    if let Some(distinguisher) = body.get("cloud_distinguisher") {
        match distinguisher.as_object() {
            Some(object) => {
                for key in ["name", "display_name", "description"] {
                    text(object, "cloud_distinguisher.", key, broken);
                }
            }
            None => broken.push("`cloud_distinguisher` is not an object".to_owned()),
        }
    }
    if body.contains_key("account_name") {
        text(body, "", "account_name", broken);
    }
    if body.get("is_migration").is_some_and(|value| !value.is_boolean()) {
        broken.push("`is_migration` is not a boolean".to_owned());
    }
}

fn operator(operator: &Object, at: &str, broken: &mut Vec<String>) {
    text(operator, at, "email", broken);
    text(operator, at, "dod_id", broken);
    if !operator.get("needs_reset").is_some_and(Value::is_boolean) {
        broken.push(format!("`{at}needs_reset` is not a boolean"));
    }
}

fn task_order(order: &Object, at: &str, broken: &mut Vec<String>) {
    text(order, at, "task_order_number", broken);
    date(order, at, "pop_start_date", broken);
    date(order, at, "pop_end_date", broken);
    each(order, at, "clins", broken, clin);
}

fn clin(clin: &Object, at: &str, broken: &mut Vec<String>) {
    text(clin, at, "clin_number", broken);
    one_of(clin, at, "type", &["CLOUD", "NON_CLOUD"], broken);
    if clin.get("classification_level").is_some_and(|level| !level.is_null()) {
        one_of(clin, at, "classification_level", LEVELS, broken);
    }
    date(clin, at, "pop_start_date", broken);
    date(clin, at, "pop_end_date", broken);
}

fn only(object: &Object, keys: &[&str], broken: &mut Vec<String>) {
    for key in object.keys().filter(|key| !keys.contains(&key.as_str())) {
        broken.push(format!("`{key}` does not belong into the body"));
    }
}

fn text(object: &Object, at: &str, key: &str, broken: &mut Vec<String>) {
    if !object.get(key).is_some_and(Value::is_string) {
        broken.push(format!("`{at}{key}` is not a string"));
    }
}

fn one_of(object: &Object, at: &str, key: &str, words: &[&str], broken: &mut Vec<String>) {
    let word = object.get(key).and_then(Value::as_str);
    if !word.is_some_and(|word| words.contains(&word)) {
        broken.push(format!("`{at}{key}` is not one of {}", words.join(", ")));
    }
}

fn date(object: &Object, at: &str, key: &str, broken: &mut Vec<String>) {
    if !object.get(key).and_then(Value::as_str).is_some_and(is_date) {
        broken.push(format!("`{at}{key}` is not a date"));
    }
}

fn each(
    object: &Object,
    at: &str,
    key: &str,
    broken: &mut Vec<String>,
    check: fn(&Object, &str, &mut Vec<String>),
) {
    let Some(list) = object.get(key).and_then(Value::as_array) else {
        broken.push(format!("`{at}{key}` is not a list"));
        return;
    };
    for (index, item) in list.iter().enumerate() {
        match item.as_object() {
            Some(item) => check(item, &format!("{at}{key}[{index}]."), broken),
            None => broken.push(format!("`{at}{key}[{index}]` is not an object")),
        }
    }
}

/// `YYYY-MM-DD` or `YYYY-MM`.
pub fn is_date(text: &str) -> bool {
    let digits = |part: &&str| part.bytes().all(|b| b.is_ascii_digit());
    let parts: Vec<&str> = text.split('-').filter(digits).collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    text.split('-').count() == parts.len() && matches!(lengths[..], [4, 2] | [4, 2, 2])
}

/// Adds every key that has an upper-case letter, at any depth. The parser
/// bounds the depth.
fn snake_case(value: &Value, at: &str, broken: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                if key.chars().any(char::is_uppercase) {
                    broken.push(format!("`{at}{key}` is not in snake_case"));
                }
                snake_case(value, &format!("{at}{key}."), broken);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| snake_case(value, at, broken)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
