//! The table of all requests that ServiceNow may send.
//!
//! Requests are checked against this table, and the OpenAPI document is
//! generated from it, so a new field is one line here. The descriptions are the
//! texts of that document.

use super::field::Choice;
use super::field::Field;
use super::field::FieldKind::Bool;
use super::field::FieldKind::Formatted;
use super::field::FieldKind::ListOf;
use super::field::FieldKind::NonEmptyText;
use super::field::FieldKind::Object;
use super::field::FieldKind::OneOf;
use super::field::FieldKind::OneShapeOf;
use super::field::FieldKind::Text;
use super::field::FieldKind::Texts;
use super::field::Selection;
use super::field::Shape;
use super::field::SnakeCase;
use super::field::Words;
use super::field::excluded;
use super::field::nullable;
use super::field::optional;
use super::field::required;
use super::formats::CSP_NAME;
use super::formats::DATE;
use super::formats::ID;
use super::formats::TIME;
use crate::domain::JobKind;
use crate::domain::Operation;

/// The most ids that one redelivery may name.
pub const REDELIVERY_IDS_MAX: usize = 1_000;

/// The body of `POST /provisioning-jobs`.
///
/// `operationType` tells the shapes apart: see [`of_operation`].
pub const PROVISIONING_REQUEST: Choice = Choice {
    name: "ProvisioningRequest",
    description: "A provisioning request; `operationType` selects the shape.",
    selected_by: Selection::Word("operationType"),
    shapes: &[
        &ADD_PORTFOLIO,
        &GET_PORTFOLIO,
        &ADD_ENVIRONMENT,
        &ADD_TASK_ORDER,
        &UPDATE_TASK_ORDER,
        &ADD_OPERATORS,
    ],
};

/// The body of `POST /cost-jobs`.
pub const COST_REQUEST: Shape = Shape::open(
    "CostRequest",
    "A cost request. `taskOrderNumber` and `clin` together ask for the costs of one CLIN; one \
     without the other is refused. Other keys are kept.",
    &[
        required("requestId", Formatted(&ID)),
        required("portfolioId", NonEmptyText),
        TARGET_CSP,
        required("startDate", Formatted(&DATE)),
        required("endDate", Formatted(&DATE)).described("Not before `startDate`."),
        optional("taskOrderNumber", Text),
        optional("clin", Text),
    ],
)
.together(&["taskOrderNumber", "clin"]);

/// The body of `POST …/ack` and `POST …/release`.
pub const BATCH: Shape = Shape::closed(
    "Batch",
    "A leased batch.",
    &[required("batch", NonEmptyText)
        .described("The `Hoth-Batch` header of the response that leased the batch.")],
);

/// Returns the shapes of the body of `POST …/redeliver`.
pub const fn redelivery(kind: JobKind) -> &'static Choice {
    match kind {
        JobKind::Provisioning => &JOB_REDELIVERY,
        JobKind::Cost => &COST_REDELIVERY,
    }
}

/// Returns the shape of a request for `operation`.
pub const fn of_operation(operation: Operation) -> &'static Shape {
    match operation {
        Operation::AddPortfolio => &ADD_PORTFOLIO,
        Operation::GetPortfolio => &GET_PORTFOLIO,
        Operation::AddEnvironment => &ADD_ENVIRONMENT,
        Operation::AddTaskOrder => &ADD_TASK_ORDER,
        Operation::UpdateTaskOrder => &UPDATE_TASK_ORDER,
        Operation::AddOperators => &ADD_OPERATORS,
        Operation::CostByPortfolio | Operation::CostByClin => &COST_REQUEST,
    }
}

const ADD_PORTFOLIO: Shape = Shape::closed(
    "AddPortfolio",
    "Creates a portfolio.",
    &[
        JOB_ID,
        USER_ID,
        optional("portfolioId", Text),
        operation_type(&Words::inline(&["ADD_PORTFOLIO"])),
        TARGET_CSP,
        required(
            "payload",
            Object(&Shape::open(
                "AddPortfolioPayload",
                OTHER_KEYS,
                &[required("name", NonEmptyText), required("taskOrders", ListOf(&TASK_ORDER))],
            )),
        ),
    ],
);

const GET_PORTFOLIO: Shape = Shape::closed(
    "GetPortfolio",
    "Reads a portfolio.",
    &[
        JOB_ID,
        optional("userId", Text),
        PORTFOLIO_ID,
        operation_type(&Words::inline(&["GET_PORTFOLIO"])),
        TARGET_CSP,
        required(
            "payload",
            Object(&Shape::open(
                "GetPortfolioPayload",
                "No key is required. Other keys are passed to the CSP's adapter.",
                &[],
            )),
        ),
    ],
);

const ADD_ENVIRONMENT: Shape = Shape::closed(
    "AddEnvironment",
    "Creates an environment in a portfolio.",
    &[
        JOB_ID,
        USER_ID,
        PORTFOLIO_ID,
        operation_type(&Words::inline(&["ADD_ENVIRONMENT"])),
        TARGET_CSP,
        required(
            "payload",
            Object(&Shape::open(
                "AddEnvironmentPayload",
                OTHER_KEYS,
                &[
                    required("name", NonEmptyText),
                    // ServiceNow sends null for an environment without any.
                    nullable("administrators", ListOf(&OPERATOR))
                        .described("Null if the environment has none."),
                    required("classificationLevel", OneOf(&CLASSIFICATION)),
                    optional("cloudDistinguisher", Object(&CLOUD_DISTINGUISHER)),
                    optional("accountName", Text),
                    optional("emailDistributionList", Text),
                    optional("isMigration", Bool),
                ],
            )),
        ),
    ],
);

const ADD_TASK_ORDER: Shape = Shape::closed(
    "AddTaskOrder",
    "Adds a task order to a portfolio.",
    &[
        JOB_ID,
        USER_ID,
        PORTFOLIO_ID,
        operation_type(&Words::inline(&["ADD_TASK_ORDER"])),
        TARGET_CSP,
        required(
            "payload",
            Object(&Shape::open(
                "AddTaskOrderPayload",
                OTHER_KEYS,
                &[required("taskOrder", Object(&TASK_ORDER))],
            )),
        ),
    ],
);

const UPDATE_TASK_ORDER: Shape = Shape::closed(
    "UpdateTaskOrder",
    "Replaces a task order of a portfolio.",
    &[
        JOB_ID,
        USER_ID,
        PORTFOLIO_ID,
        operation_type(&Words::inline(&["UPDATE_TASK_ORDER"])),
        TARGET_CSP,
        required(
            "payload",
            Object(&Shape::open(
                "UpdateTaskOrderPayload",
                OTHER_KEYS,
                &[
                    required("taskOrderId", NonEmptyText),
                    required("taskOrder", Object(&TASK_ORDER)),
                ],
            )),
        ),
    ],
);

const ADD_OPERATORS: Shape = Shape::closed(
    "AddOperators",
    "Adds operators to a portfolio or to one of its environments.",
    &[
        JOB_ID,
        USER_ID,
        PORTFOLIO_ID,
        operation_type(&Words::inline(&["ADD_OPERATORS", "ADD_ADMINISTRATOR"])),
        TARGET_CSP,
        required(
            "payload",
            OneShapeOf(&Choice {
                name: "AddOperatorsPayload",
                description: "Operators under one of two names, not both.",
                selected_by: Selection::FirstField,
                shapes: &[
                    &Shape::open(
                        "TheseAdministrators",
                        OTHER_KEYS,
                        &[
                            required("administrators", ListOf(&OPERATOR)),
                            excluded("operators", "administrators"),
                            optional("environmentId", Text),
                        ],
                    ),
                    &Shape::open(
                        "TheseOperators",
                        "The newer name. Other keys are passed to the CSP's adapter.",
                        &[
                            required("operators", ListOf(&OPERATOR)),
                            excluded("administrators", "operators"),
                            optional("environmentId", Text),
                        ],
                    ),
                ],
            }),
        ),
    ],
);

/// A provisioning request whose operation is not known. Its top level is
/// checked as far as all operations agree. This shape is not in the OpenAPI
/// document.
pub const UNKNOWN_OPERATION: Shape = Shape::closed(
    "",
    "",
    &[
        JOB_ID,
        USER_ID,
        // Only some operations require it.
        optional("portfolioId", Text),
        operation_type(&Words::inline(&Operation::OPERATION_TYPES)),
        TARGET_CSP,
        required("payload", Object(&Shape::open("", "", &[]))),
    ],
);

const TASK_ORDER: Shape = Shape::open(
    "TaskOrder",
    "A task order and its contract line items.",
    &[
        optional("id", Text),
        required("taskOrderNumber", NonEmptyText).example("1234567890123"),
        required("popStartDate", Formatted(&DATE))
            .described("The first day of the period of performance."),
        required("popEndDate", Formatted(&DATE))
            .described("The last day of the period of performance."),
        required("clins", ListOf(&CLIN)),
    ],
)
.with(SnakeCase::Accepted);

// ServiceNow sends these in snake_case inside a body in camelCase.
const CLIN: Shape = Shape::open(
    "Clin",
    "A contract line item. Its keys may be in camelCase or in snake_case.",
    &[
        required("clinNumber", NonEmptyText).example("0001"),
        required("type", OneOf(&CLIN_TYPE)),
        optional("classificationLevel", OneOf(&CLASSIFICATION)),
        required("popStartDate", Formatted(&DATE))
            .described("The first day of the period of performance."),
        required("popEndDate", Formatted(&DATE))
            .described("The last day of the period of performance."),
    ],
)
.with(SnakeCase::Described);

const OPERATOR: Shape = Shape::open(
    "Operator",
    "A person who may operate what is provisioned.",
    &[
        required("email", NonEmptyText).example("admin@mail.mil"),
        required("dodId", NonEmptyText).example("1234567890"),
        optional("needsReset", Bool).described("Missing or null means false."),
    ],
)
.with(SnakeCase::Accepted);

const CLOUD_DISTINGUISHER: Shape = Shape::open(
    "CloudDistinguisher",
    "One of the clouds of a CSP.",
    &[required("name", Text), required("displayName", Text), required("description", Text)],
)
.with(SnakeCase::Accepted);

const JOB_REDELIVERY: Choice = Choice {
    name: "JobRedelivery",
    description: "Consumed outcomes of provisioning jobs.",
    selected_by: Selection::FirstField,
    shapes: &[
        &Shape::closed(
            "TheseJobs",
            "The outcomes of these jobs.",
            &[required("jobIds", Texts { max: REDELIVERY_IDS_MAX })],
        ),
        &CONSUMED_SINCE,
    ],
};

const COST_REDELIVERY: Choice = Choice {
    name: "CostRedelivery",
    description: "Consumed outcomes of cost requests.",
    selected_by: Selection::FirstField,
    shapes: &[
        &Shape::closed(
            "TheseRequests",
            "The outcomes of these cost requests.",
            &[required("requestIds", Texts { max: REDELIVERY_IDS_MAX })],
        ),
        &CONSUMED_SINCE,
    ],
};

const CONSUMED_SINCE: Shape = Shape::closed(
    "ConsumedSince",
    "All outcomes that were consumed at this time or later.",
    &[required("since", Formatted(&TIME))],
);

const JOB_ID: Field = optional("jobId", Formatted(&ID));
/// The user's id, which may be empty.
const USER_ID: Field = required("userId", Text);
const PORTFOLIO_ID: Field = required("portfolioId", NonEmptyText);
const TARGET_CSP: Field = required("targetCspName", Formatted(&CSP_NAME));

/// The description of most payloads.
const OTHER_KEYS: &str = "Other keys are passed to the CSP's adapter.";

const fn operation_type(words: &'static Words) -> Field {
    required("operationType", OneOf(words))
}

const CLASSIFICATION: Words = Words::named(
    "Classification",
    "A classification level.",
    &["UNCLASSIFIED", "SECRET", "TOP_SECRET"],
);

const CLIN_TYPE: Words = Words::named("ClinType", "What a CLIN pays for.", &["CLOUD", "NON_CLOUD"]);
