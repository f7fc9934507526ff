//! The rules for the body of a request.

use serde_json::Value;

use super::route::Operation;
use crate::shape::Object;
use crate::shape::date;
use crate::shape::each;
use crate::shape::one_of;
use crate::shape::only;
use crate::shape::text;

const LEVELS: &[&str] = &["UNCLASSIFIED", "SECRET", "TOP_SECRET"];

/// The keys that an environment may have.
const ENVIRONMENT_KEYS: &[&str] = &[
    "name",
    "administrators",
    "classification_level",
    "cloud_distinguisher",
    "account_name",
    "email_distribution_list",
    "is_migration",
];

/// Adds the rules that a body breaks to `broken`.
pub fn validate(operation: Operation, body: &Value, broken: &mut Vec<String>) {
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

/// Adds every key with an upper-case letter to `broken`, at any depth. The
/// parser bounds the depth.
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
