//! What each operation wants in its payload. Other keys are free.
//!
//! Adapters find the payload's own fields by their names in camelCase; what is
//! inside them they pass on whole, whatever the case of its keys.

use super::errors::Errors;
use super::fields::Field;
use super::fields::Fields;
use crate::domain::Operation;

const CLASSIFICATIONS: [&str; 3] = ["UNCLASSIFIED", "SECRET", "TOP_SECRET"];
const CLIN_TYPES: [&str; 2] = ["CLOUD", "NON_CLOUD"];

/// Checks the payload of a provisioning request.
pub fn check(payload: &Fields<'_>, operation: Operation, errors: &mut Errors) {
    match operation {
        Operation::AddPortfolio => {
            payload.text("name", errors);
            if let Some(list) = payload.required("taskOrders", errors) {
                list.items(errors).iter().for_each(|item| task_order(item, errors));
            }
        }
        Operation::GetPortfolio => {}
        Operation::AddEnvironment => environment(payload, errors),
        Operation::AddTaskOrder => {
            if let Some(field) = payload.required("taskOrder", errors) {
                task_order(&field, errors);
            }
        }
        Operation::UpdateTaskOrder => {
            payload.text("taskOrderId", errors);
            if let Some(field) = payload.required("taskOrder", errors) {
                task_order(&field, errors);
            }
        }
        Operation::AddOperators => {
            payload.optional_text("environmentId", errors);
            // The newer word stands in where the older is missing or null.
            let older = payload.optional("administrators", errors);
            let newer = payload.optional("operators", errors);
            if let (Some(_), Some(newer)) = (&older, &newer) {
                errors.add(&newer.path, "must not stand beside administrators");
            }
            match older.or(newer) {
                Some(list) => operators(&list, errors),
                None => errors.add(&payload.path_of("administrators"), "is required"),
            }
        }
        Operation::CostByPortfolio | Operation::CostByClin => {
            unreachable!("a provisioning request has a provisioning operation")
        }
    }
}

fn environment(payload: &Fields<'_>, errors: &mut Errors) {
    payload.text("name", errors);
    // ServiceNow sends null for an environment without administrators.
    match payload.present("administrators", errors) {
        Some(list) if list.value.is_null() => {}
        Some(list) => operators(&list, errors),
        None => errors.add(&payload.path_of("administrators"), "is required"),
    }
    payload.word("classificationLevel", &CLASSIFICATIONS, true, errors);
    if let Some(field) = payload.optional("cloudDistinguisher", errors)
        && let Some(fields) = Fields::in_either_case(&field, errors)
    {
        for name in ["name", "displayName", "description"] {
            if let Some(field) = fields.required(name, errors) {
                field.text(errors);
            }
        }
    }
    payload.optional_text("accountName", errors);
    payload.optional_text("emailDistributionList", errors);
    payload.optional_bool("isMigration", errors);
}

fn operators(list: &Field<'_>, errors: &mut Errors) {
    for item in list.items(errors) {
        let Some(operator) = Fields::in_either_case(&item, errors) else { continue };
        operator.text("email", errors);
        operator.text("dodId", errors);
        operator.optional_bool("needsReset", errors);
    }
}

fn task_order(field: &Field<'_>, errors: &mut Errors) {
    let Some(task_order) = Fields::in_either_case(field, errors) else { return };
    task_order.optional_text("id", errors);
    task_order.text("taskOrderNumber", errors);
    task_order.date("popStartDate", errors);
    task_order.date("popEndDate", errors);
    let Some(list) = task_order.required("clins", errors) else { return };
    for item in list.items(errors) {
        let Some(clin) = Fields::in_either_case(&item, errors) else { continue };
        clin.text("clinNumber", errors);
        clin.word("type", &CLIN_TYPES, true, errors);
        clin.word("classificationLevel", &CLASSIFICATIONS, false, errors);
        clin.date("popStartDate", errors);
        clin.date("popEndDate", errors);
    }
}
