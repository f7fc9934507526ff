//! The digest of a request's content.

use super::*;
use crate::domain::Digest;

/// Returns the digest of a request's content, which is stored as its text gives
/// it.
#[track_caller]
fn content_digest(job: &Job) -> Digest {
    let unstored = Job { content: None, ..job.clone() };
    assert_eq!(job.content, Some(unstored.content_digest()));
    unstored.content_digest()
}

#[test]
fn the_content_digest_includes_a_generated_id() {
    let [missing, null, given] = ["", r#""jobId":null,"#, r#""jobId":"made","#].map(|id| {
        let rest = r#""operationType":"GET_PORTFOLIO","targetCspName":"CSP_A","payload":{}"#;
        let job = parse_text(&format!(r#"{{{id}"portfolioId":"p",{rest}}}"#));
        content_digest(&job.expect("accepted"))
    });
    assert_eq!((missing, null), (given, given));
}

#[test]
fn the_content_digest_ignores_the_order_of_keys() {
    let a = parse_text(
        r#"{"jobId":"j","userId":"u","portfolioId":"p","operationType":"GET_PORTFOLIO","targetCspName":"CSP_A","payload":{"a":[1],"b":{}}}"#,
    );
    let b = parse_text(
        r#"{"payload":{"b":{},"a":[1]},"userId":"u","jobId":"j","portfolioId":"p","operationType":"GET_PORTFOLIO","targetCspName":"CSP_A"}"#,
    );
    let c = parse_text(
        r#"{"payload":{"b":{},"a":[2]},"userId":"u","jobId":"j","portfolioId":"p","operationType":"GET_PORTFOLIO","targetCspName":"CSP_A"}"#,
    );
    let [a, b, c] = [a, b, c].map(|job| content_digest(&job.expect("accepted")));
    let long = |digit: u8| {
        parse_text(&format!(
            r#"{{"jobId":"j","portfolioId":"p","operationType":"GET_PORTFOLIO","targetCspName":"CSP_A","payload":{{"n":0.123456789012345678{digit}}}}}"#
        ))
    };
    let [one, other] = [1, 2].map(|digit| content_digest(&long(digit).expect("accepted")));
    assert_ne!(one, other, "they differ beyond the digits of a double");
    assert_eq!(a, b);
    assert_ne!(a, c);
}
