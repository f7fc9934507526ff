//! `POST …/ack`, `…/release` and `…/redeliver`: requests about outcomes.

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Refusal;
use super::cost::not_an_object;
use super::errors::Errors;
use super::fields::Fields;
use super::strict;
use crate::domain::JobKind;
use crate::domain::Timestamp;

/// Ids that one redelivery may name.
pub const REDELIVERY_IDS_MAX: usize = 1_000;

/// Which consumed outcomes are to be put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redelivery {
    /// Those of these jobs; at most [`REDELIVERY_IDS_MAX`].
    Ids(Vec<String>),
    /// Those consumed at this time or later.
    Since(Timestamp),
}

/// Reads `{"batch": "…"}`: the name of a leased batch.
///
/// # Errors
///
/// [`Refusal`], with every wrong field.
pub fn batch(body: &[u8]) -> Result<String, Refusal> {
    let Value::Object(map) = strict::read(body)? else { return Err(not_an_object()) };
    let mut errors = Errors::default();
    let fields = Fields::top(&map);
    fields.only(&["batch"], &mut errors);
    let batch = fields.text("batch", &mut errors);
    errors.into_result()?;
    Ok(batch.expect("a missing one is an error").to_owned())
}

/// Reads `{"jobIds": ["…"]}` (`requestIds` for costs) or
/// `{"since": "<RFC 3339>"}`.
///
/// # Errors
///
/// [`Refusal`], with every wrong field.
pub fn redelivery(kind: JobKind, body: &[u8]) -> Result<Redelivery, Refusal> {
    let Value::Object(map) = strict::read(body)? else { return Err(not_an_object()) };
    let ids_name = match kind {
        JobKind::Provisioning => "jobIds",
        JobKind::Cost => "requestIds",
    };
    let mut errors = Errors::default();
    let fields = Fields::top(&map);
    fields.only(&[ids_name, "since"], &mut errors);
    let ids = ids(&fields, ids_name, &mut errors);
    let since = since(&fields, &mut errors);
    if map.contains_key(ids_name) && map.contains_key("since") {
        errors.add("since", format!("must not stand beside {ids_name}"));
    }
    if ids.is_none() && since.is_none() {
        errors.add(ids_name, "is required, or since");
    }
    errors.into_result()?;
    Ok(match (ids, since) {
        (Some(ids), _) => Redelivery::Ids(ids),
        (None, since) => Redelivery::Since(since.expect("without both there is an error")),
    })
}

fn ids(fields: &Fields<'_>, name: &str, errors: &mut Errors) -> Option<Vec<String>> {
    let list = fields.optional(name, errors)?;
    let items = list.items(errors);
    if items.len() > REDELIVERY_IDS_MAX {
        errors.add(&list.path, format!("must not name more than {REDELIVERY_IDS_MAX}"));
    }
    Some(items.iter().filter_map(|item| item.text(errors)).map(str::to_owned).collect())
}

/// A time before 1970 reads as 1970: nothing was consumed before.
fn since(fields: &Fields<'_>, errors: &mut Errors) -> Option<Timestamp> {
    let field = fields.optional("since", errors)?;
    let text = field.text(errors)?;
    let Ok(since) = OffsetDateTime::parse(text, &Rfc3339) else {
        errors.add(&field.path, "must be a time such as 2026-07-01T12:00:00Z");
        return None;
    };
    let millis = since.unix_timestamp_nanos() / 1_000_000;
    Some(Timestamp::from_millis(u64::try_from(millis).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong<T: std::fmt::Debug>(read: Result<T, Refusal>) -> Vec<(String, String)> {
        let Err(Refusal::Invalid(errors)) = read else { panic!("not invalid: {read:?}") };
        errors.into_iter().collect()
    }

    #[test]
    fn a_batch_is_named_by_a_text() {
        assert_eq!(batch(br#" {"batch": "b"} "#), Ok("b".to_owned()));
        for (body, path, problem) in [
            ("{}", "batch", "is required"),
            (r#"{"batch":null}"#, "batch", "is required"),
            (r#"{"batch":""}"#, "batch", "must not be empty"),
            (r#"{"batch":1}"#, "batch", "must be a string"),
            (r#"{"batch":"b","batch":"c"}"#, "batch", "is given twice"),
            (r#"{"batch":"b","more":1}"#, "more", "is not a known property"),
            (r#"["b"]"#, "body", "must be a JSON object"),
        ] {
            let expected = [(path.to_owned(), problem.to_owned())];
            assert_eq!(wrong(batch(body.as_bytes())), expected, "{body}");
        }
        for body in ["", "null", "{", "b"] {
            assert_eq!(batch(body.as_bytes()), Err(Refusal::NotJson), "{body}");
        }
    }

    #[test]
    fn a_redelivery_names_ids_or_a_time() {
        let ids = |ids: &[&str]| Ok(Redelivery::Ids(ids.iter().map(|&id| id.into()).collect()));
        let since = |millis| Ok(Redelivery::Since(Timestamp::from_millis(millis)));
        let (jobs, costs) = (JobKind::Provisioning, JobKind::Cost);
        for (kind, body, expected) in [
            (jobs, r#"{"jobIds":["a","b"]}"#, ids(&["a", "b"])),
            (jobs, r#"{"jobIds":[],"since":null}"#, ids(&[])),
            (costs, r#"{"requestIds":["a"]}"#, ids(&["a"])),
            (costs, r#"{"since":"1970-01-01T00:00:01.5Z"}"#, since(1_500)),
            (jobs, r#"{"since":"1970-01-01T01:00:00+01:00"}"#, since(0)),
            (jobs, r#"{"since":"1969-01-01T01:00:00Z"}"#, since(0)),
        ] {
            match (redelivery(kind, body.as_bytes()), expected, body.contains("null")) {
                // A key that is there, even as null, stands beside the other.
                (read, _, true) => assert_eq!(wrong(read)[0].0, "since"),
                (read, expected, false) => assert_eq!(read, expected, "{body}"),
            }
        }
        let time = "must be a time such as 2026-07-01T12:00:00Z";
        for (kind, body, path, problem) in [
            (jobs, "{}", "jobIds", "is required, or since"),
            (costs, "{}", "requestIds", "is required, or since"),
            (costs, r#"{"requestIds":"a"}"#, "requestIds", "must be a list"),
            (jobs, r#"{"jobIds":["a",1]}"#, "jobIds[1]", "must be a string"),
        ] {
            let expected = [(path.to_owned(), problem.to_owned())];
            assert_eq!(wrong(redelivery(kind, body.as_bytes())), expected, "{body}");
        }
        for (body, path, problem) in [
            (r#"{"requestIds":["a"]}"#, "requestIds", "is not a known property"),
            (
                r#"{"jobIds":["a"],"since":"2026-07-01T12:00:00Z"}"#,
                "since",
                "must not stand beside jobIds",
            ),
            (r#"{"since":"yesterday"}"#, "since", time),
            (r#"{"since":"2026-07-01"}"#, "since", time),
            (r#"{"since":1}"#, "since", "must be a string"),
        ] {
            let errors = wrong(redelivery(jobs, body.as_bytes()));
            assert!(errors.contains(&(path.to_owned(), problem.to_owned())), "{body}: {errors:?}");
        }
        let many = serde_json::json!({ "jobIds": vec!["a"; REDELIVERY_IDS_MAX + 1] });
        let expected = [("jobIds".to_owned(), "must not name more than 1000".to_owned())];
        assert_eq!(wrong(redelivery(jobs, many.to_string().as_bytes())), expected);
    }
}
