//! `POST …/ack`, `…/release` and `…/redeliver`: requests about outcomes.

use serde_json::Value;

use super::Refusal;
use super::shape;
use super::top;
use super::top::Posted;
use crate::domain::JobKind;
use crate::domain::Timestamp;
use crate::domain::json::Errors;
use crate::domain::json::Path;

/// The consumed outcomes to put back on their queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redelivery {
    /// The outcomes of these jobs; at most
    /// [`REDELIVERY_IDS_MAX`](super::REDELIVERY_IDS_MAX).
    Ids(Vec<String>),
    /// The outcomes that were consumed at this time or later.
    Since(Timestamp),
}

/// Reads `{"batch": "…"}`: the name of a leased batch.
///
/// # Errors
///
/// [`Refusal`], with every wrong field.
pub fn batch(body: &[u8]) -> Result<String, Refusal> {
    let object = Posted::read(body)?.object;
    let mut errors = Errors::default();
    shape::BATCH.check(&object, &Path::Root, &mut errors);
    errors.into_result()?;
    Ok(top::text(&object, "batch").expect("the shape requires one").to_owned())
}

/// Reads `{"jobIds": ["…"]}` (`requestIds` for costs) or
/// `{"since": "<RFC 3339>"}`.
///
/// # Errors
///
/// [`Refusal`], with every wrong field.
pub fn redelivery(kind: JobKind, body: &[u8]) -> Result<Redelivery, Refusal> {
    let object = Posted::read(body)?.object;
    let ids_name = match kind {
        JobKind::Provisioning => "jobIds",
        JobKind::Cost => "requestIds",
    };
    let mut errors = Errors::default();
    let given = |name| object.get(name).filter(|value| !value.is_null());
    let (ids, since) = (given(ids_name), given("since"));
    // Here a null counts as given, although elsewhere it means missing. A
    // request with both keys is ambiguous, and outcomes that come twice cost
    // more than a refused request.
    if object.contains_key(ids_name) && object.contains_key("since") {
        let problem = format!("cannot be combined with {ids_name}");
        errors.add(&Path::Key(&Path::Root, "since"), problem);
    }
    if ids.is_none() && since.is_none() {
        errors.add(&Path::Key(&Path::Root, ids_name), "is required unless since is given");
    }
    shape::redelivery(kind).check(&object, &Path::Root, &mut errors);
    errors.into_result()?;
    // The shape has checked the types and the format, so nothing is lost here.
    let since = since.and_then(Value::as_str).and_then(Timestamp::parse_rfc3339);
    let ids = ids.and_then(Value::as_array).into_iter().flatten();
    Ok(match since {
        Some(since) => Redelivery::Since(since),
        None => Redelivery::Ids(ids.filter_map(Value::as_str).map(str::to_owned).collect()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::request::REDELIVERY_IDS_MAX;

    fn errors_of<T: std::fmt::Debug>(read: Result<T, Refusal>) -> Vec<(String, String)> {
        let Err(Refusal::Invalid(errors)) = read else { panic!("not invalid: {read:?}") };
        errors.into_iter().collect()
    }

    #[test]
    fn a_batch_is_a_string_that_is_not_empty() {
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
            assert_eq!(errors_of(batch(body.as_bytes())), expected, "{body}");
        }
        for body in ["", "null", "{", "b"] {
            let read = batch(body.as_bytes());
            assert!(matches!(read, Err(Refusal::NotJson(_))), "{body}: {read:?}");
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
                // A key that is there, even as null, is combined with the
                // other.
                (read, _, true) => assert_eq!(errors_of(read)[0].0, "since"),
                (read, expected, false) => assert_eq!(read, expected, "{body}"),
            }
        }
        let time = "must be a time such as 2026-07-01T12:00:00Z";
        for (kind, body, path, problem) in [
            (jobs, "{}", "jobIds", "is required unless since is given"),
            (costs, "{}", "requestIds", "is required unless since is given"),
            (costs, r#"{"requestIds":"a"}"#, "requestIds", "must be a list"),
            (jobs, r#"{"jobIds":["a",1]}"#, "jobIds[1]", "must be a string"),
        ] {
            let expected = [(path.to_owned(), problem.to_owned())];
            assert_eq!(errors_of(redelivery(kind, body.as_bytes())), expected, "{body}");
        }
        for (body, path, problem) in [
            (r#"{"requestIds":["a"]}"#, "requestIds", "is not a known property"),
            (
                r#"{"jobIds":["a"],"since":"2026-07-01T12:00:00Z"}"#,
                "since",
                "cannot be combined with jobIds",
            ),
            (r#"{"since":"yesterday"}"#, "since", time),
            (r#"{"since":"2026-07-01"}"#, "since", time),
            (r#"{"since":1}"#, "since", "must be a string"),
        ] {
            let errors = errors_of(redelivery(jobs, body.as_bytes()));
            assert!(errors.contains(&(path.to_owned(), problem.to_owned())), "{body}: {errors:?}");
        }
        let many = serde_json::json!({ "jobIds": vec!["a"; REDELIVERY_IDS_MAX + 1] });
        let expected = [("jobIds".to_owned(), "must have at most 1000 items".to_owned())];
        assert_eq!(errors_of(redelivery(jobs, many.to_string().as_bytes())), expected);
    }
}
