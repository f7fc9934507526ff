//! Texts with a form.

use utoipa::PartialSchema;
use utoipa::ToSchema;
use utoipa::openapi::ObjectBuilder;
use utoipa::openapi::RefOr;
use utoipa::openapi::Schema;
use utoipa::openapi::Type;

use hoth_core::domain::CspName;
use hoth_core::domain::Job;

/// An idempotency key.
pub struct Id;

impl PartialSchema for Id {
    fn schema() -> RefOr<Schema> {
        text()
            .min_length(Some(1))
            .max_length(Some(Job::ID_BYTES_MAX))
            .pattern(Some(r"^[^\u0000-\u001f\u007f-\u009f]*$"))
            .description(Some(
                "The idempotency key: 1 to 256 bytes without control characters. HOTH makes a missing \
                 `jobId` (a UUID of version 7), and the answer has it. The \
                 same one with the same content again is taken once; with other content it is \
                 refused.",
            ))
            .examples(["81b31a89-e3e5-46ee-acfe-75436bd14577"])
            .into()
    }
}

impl ToSchema for Id {}

/// The name of a CSP.
pub struct Csp;

impl PartialSchema for Csp {
    fn schema() -> RefOr<Schema> {
        text()
            .pattern(Some(format!("^[A-Za-z0-9_-]{{1,{}}}$", CspName::LEN_MAX)))
            .description(Some("The name of a CSP that HOTH is configured for."))
            .examples(["CSP_A"])
            .into()
    }
}

impl ToSchema for Csp {
    fn name() -> std::borrow::Cow<'static, str> {
        "CspName".into()
    }
}

/// A day or a month.
pub struct Date;

impl PartialSchema for Date {
    fn schema() -> RefOr<Schema> {
        text()
            .pattern(Some("^[0-9]{4}-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?$"))
            .description(Some("A day of the calendar, or a month."))
            .examples(["2026-07-01", "2026-07"])
            .into()
    }
}

impl ToSchema for Date {}

/// One of some words, as a type of its own would be too much for.
pub fn one_of(words: &[&str]) -> ObjectBuilder {
    text().enum_values(Some(words.iter().map(|word| (*word).to_owned())))
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}
