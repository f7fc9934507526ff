//! What is posted.

#![expect(dead_code, reason = "requests are read by hand; these types describe them")]

use utoipa::PartialSchema;
use utoipa::ToSchema;
use utoipa::openapi::ObjectBuilder;
use utoipa::openapi::Ref;
use utoipa::openapi::RefOr;
use utoipa::openapi::Schema;
use utoipa::openapi::Type;
use utoipa::openapi::schema::AnyOfBuilder;

use super::values::Csp;
use super::values::Date;
use super::values::Id;
use super::values::one_of;

/// A provisioning request; `operationType` says which one.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum ProvisioningRequest {
    AddPortfolio(AddPortfolio),
    GetPortfolio(GetPortfolio),
    AddEnvironment(AddEnvironment),
    AddTaskOrder(AddTaskOrder),
    UpdateTaskOrder(UpdateTaskOrder),
    AddOperators(AddOperators),
}

/// Makes a portfolio.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddPortfolio {
    job_id: Option<Id>,
    user_id: String,
    portfolio_id: Option<String>,
    #[schema(schema_with = add_portfolio)]
    operation_type: (),
    target_csp_name: Csp,
    payload: AddPortfolioPayload,
}

/// Asks for a portfolio.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetPortfolio {
    job_id: Option<Id>,
    user_id: Option<String>,
    #[schema(min_length = 1)]
    portfolio_id: String,
    #[schema(schema_with = get_portfolio)]
    operation_type: (),
    target_csp_name: Csp,
    payload: GetPortfolioPayload,
}

/// Makes an environment in a portfolio.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddEnvironment {
    job_id: Option<Id>,
    user_id: String,
    #[schema(min_length = 1)]
    portfolio_id: String,
    #[schema(schema_with = add_environment)]
    operation_type: (),
    target_csp_name: Csp,
    payload: AddEnvironmentPayload,
}

/// Adds a task order to a portfolio.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddTaskOrder {
    job_id: Option<Id>,
    user_id: String,
    #[schema(min_length = 1)]
    portfolio_id: String,
    #[schema(schema_with = add_task_order)]
    operation_type: (),
    target_csp_name: Csp,
    payload: AddTaskOrderPayload,
}

/// Replaces a task order of a portfolio.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateTaskOrder {
    job_id: Option<Id>,
    user_id: String,
    #[schema(min_length = 1)]
    portfolio_id: String,
    #[schema(schema_with = update_task_order)]
    operation_type: (),
    target_csp_name: Csp,
    payload: UpdateTaskOrderPayload,
}

/// Adds operators to a portfolio or to one of its environments.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddOperators {
    job_id: Option<Id>,
    user_id: String,
    #[schema(min_length = 1)]
    portfolio_id: String,
    #[schema(schema_with = add_operators)]
    operation_type: (),
    target_csp_name: Csp,
    payload: AddOperatorsPayload,
}

fn add_portfolio() -> ObjectBuilder {
    one_of(&["ADD_PORTFOLIO"])
}

fn get_portfolio() -> ObjectBuilder {
    one_of(&["GET_PORTFOLIO"])
}

fn add_environment() -> ObjectBuilder {
    one_of(&["ADD_ENVIRONMENT"])
}

fn add_task_order() -> ObjectBuilder {
    one_of(&["ADD_TASK_ORDER"])
}

fn update_task_order() -> ObjectBuilder {
    one_of(&["UPDATE_TASK_ORDER"])
}

fn add_operators() -> ObjectBuilder {
    one_of(&["ADD_OPERATORS", "ADD_ADMINISTRATOR"])
}

/// Other keys travel to the CSP's adapter.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
struct AddPortfolioPayload {
    #[schema(min_length = 1)]
    name: String,
    task_orders: Vec<TaskOrder>,
}

/// Nothing is needed; other keys travel to the CSP's adapter.
#[derive(ToSchema)]
struct GetPortfolioPayload {}

/// Other keys travel to the CSP's adapter.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
struct AddEnvironmentPayload {
    #[schema(min_length = 1)]
    name: String,
    /// Null: nobody.
    #[schema(required = true)]
    administrators: Option<Vec<Operator>>,
    classification_level: Classification,
    cloud_distinguisher: Option<CloudDistinguisher>,
    account_name: Option<String>,
    email_distribution_list: Option<String>,
    is_migration: Option<bool>,
}

/// Other keys travel to the CSP's adapter.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
struct AddTaskOrderPayload {
    task_order: TaskOrder,
}

/// Other keys travel to the CSP's adapter.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
struct UpdateTaskOrderPayload {
    #[schema(min_length = 1)]
    task_order_id: String,
    task_order: TaskOrder,
}

/// Operators under either of two words; where both are there, `administrators`
/// counts.
struct AddOperatorsPayload;

impl PartialSchema for AddOperatorsPayload {
    fn schema() -> RefOr<Schema> {
        AnyOfBuilder::new()
            .item(Ref::from_schema_name(TheseAdministrators::name()))
            .item(Ref::from_schema_name(TheseOperators::name()))
            .into()
    }
}

impl ToSchema for AddOperatorsPayload {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        for (name, schema) in [
            (TheseAdministrators::name(), TheseAdministrators::schema()),
            (TheseOperators::name(), TheseOperators::schema()),
        ] {
            schemas.push((name.into_owned(), schema));
        }
        TheseAdministrators::schemas(schemas);
    }
}

/// Other keys travel to the CSP's adapter.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
struct TheseAdministrators {
    administrators: Vec<Operator>,
    #[schema(schema_with = nothing)]
    operators: Option<()>,
    environment_id: Option<String>,
}

/// The newer word. Other keys travel to the CSP's adapter.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
struct TheseOperators {
    operators: Vec<Operator>,
    #[schema(schema_with = nothing)]
    administrators: Option<()>,
    environment_id: Option<String>,
}

fn nothing() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Null)
}

/// A person who may operate what is provisioned.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
struct Operator {
    #[schema(min_length = 1, example = "admin@mail.mil")]
    email: String,
    #[schema(min_length = 1, example = "1234567890")]
    dod_id: String,
    /// Missing or null: false.
    needs_reset: Option<bool>,
}

/// Which of a CSP's clouds is meant.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
struct CloudDistinguisher {
    name: String,
    display_name: String,
    description: String,
}

/// How secret it is.
#[derive(ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Classification {
    Unclassified,
    Secret,
    TopSecret,
}

/// A task order and what it pays for.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
struct TaskOrder {
    id: Option<String>,
    #[schema(min_length = 1, example = "1234567890123")]
    task_order_number: String,
    pop_start_date: Date,
    pop_end_date: Date,
    clins: Vec<Clin>,
}

/// A contract line item. Its keys may be in camelCase or in snake_case.
#[derive(ToSchema)]
#[serde(untagged)]
enum Clin {
    CamelCase(CamelCaseClin),
    SnakeCase(SnakeCaseClin),
}

#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
struct CamelCaseClin {
    #[schema(min_length = 1, example = "0001")]
    clin_number: String,
    r#type: ClinType,
    classification_level: Option<Classification>,
    pop_start_date: Date,
    pop_end_date: Date,
}

#[derive(ToSchema)]
struct SnakeCaseClin {
    #[schema(min_length = 1, example = "0001")]
    clin_number: String,
    r#type: ClinType,
    classification_level: Option<Classification>,
    pop_start_date: Date,
    pop_end_date: Date,
}

/// What a CLIN pays for.
#[derive(ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum ClinType {
    Cloud,
    NonCloud,
}

/// A cost request. `taskOrderNumber` together with `clin` asks for the costs of
/// one CLIN. Other keys are kept.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CostRequest {
    request_id: Id,
    #[schema(min_length = 1)]
    portfolio_id: String,
    target_csp_name: Csp,
    start_date: Date,
    end_date: Date,
    task_order_number: Option<String>,
    clin: Option<String>,
}
