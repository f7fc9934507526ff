//! Tests of accepted, invalid and unauthorized requests.

use super::*;
use crate::http::auth::BearerKey;
use crate::http::auth::Role;

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

fn portfolio(id: &str) -> Value {
    json!({
        "jobId": id, "userId": "", "targetCspName": "CSP_A", "operationType": "ADD_PORTFOLIO",
        "payload": {"name": "n", "taskOrders": []}
    })
}

pub fn costs(id: &str) -> Value {
    json!({
        "requestId": id, "portfolioId": "p", "targetCspName": "CSP_A",
        "startDate": "2021-07", "endDate": "2026-07-01"
    })
}

/// Returns a key of each role; its token is the role's name.
pub fn keys() -> AuthConfig {
    let roles = [("read", Role::Read), ("write", Role::Write), ("admin", Role::Admin)];
    let key = |(name, role): (&str, _)| BearerKey {
        name: name.to_owned(),
        role,
        sha256: Digest::of(name.as_bytes()),
    };
    AuthConfig { bearer: roles.map(key).into(), ..AuthConfig::default() }
}

#[tokio::test]
async fn an_accepted_request_is_echoed_byte_for_byte() {
    let host = Host::start().await;
    let posted = r#"{ "payload":{"taskOrders":[ ],"name":"\u00fc","x":1.0,"y":1e5,"z":123456789012345678901234567890},
        "jobId":"job","userId":"u","targetCspName":"CSP_A","operationType":"ADD_PORTFOLIO"}"#;
    for repeated in ["", "true"] {
        let answer = host.ask("POST", "/provisioning-jobs", JSON, posted.as_bytes()).await;
        assert_eq!((answer.status, answer.body.as_str()), (201, posted));
        assert_eq!(answer.header("hoth-repeated"), repeated);
        assert_eq!(answer.header("content-type"), "application/json");
    }
    let same = r#"{"jobId":"job","userId":"u","targetCspName":"CSP_A","operationType":"ADD_PORTFOLIO","payload":{"x":1.0,"y":100000.0,"z":123456789012345678901234567890,"name":"ü","taskOrders":[]}}"#;
    let answer = host.ask("POST", "/provisioning-jobs", JSON, same.as_bytes()).await;
    assert_eq!((answer.status, answer.body.as_str()), (201, same));
    let reused = host.post("/provisioning-jobs", &portfolio("job")).await;
    let words = "This id was used before with different content";
    reused.is(409, &json!({"code": "OTHER", "reason": "CONFLICT", "message": words}));
    let requests = QueueName::requests(JOBS, &"CSP_A".parse().expect("a name"));
    assert_eq!(host.queue.stats(&requests).await.expect("it can be read").depth, 1);
    // The two resources have separate ids.
    host.post("/cost-jobs", &costs("job")).await.is(202, &costs("job"));
}

#[tokio::test]
async fn a_missing_job_id_is_generated_and_returned() {
    let host = Host::start().await;
    let mut ids = BTreeSet::new();
    for id in [Value::Null, Value::Null] {
        let mut request = portfolio("");
        request["jobId"] = id;
        let mut answer = host.post("/provisioning-jobs", &request).await.json();
        let made = answer["jobId"].take().as_str().expect("an id").to_owned();
        assert_eq!(made.parse::<uuid::Uuid>().expect("a UUID").get_version_num(), 7);
        ids.insert(made);
        assert_eq!(answer, request);
    }
    assert_eq!(ids.len(), 2);
}

#[tokio::test]
async fn the_status_of_accepted_cost_requests_is_configurable() {
    let config = Config { cost_accepted_status: 201, ..Config::default() };
    let host = Host::with(config, AuthConfig::default()).await;
    host.post("/cost-jobs", &costs("r")).await.is(201, &costs("r"));
}

#[tokio::test]
async fn bodies_must_be_json_with_a_content_type() {
    let host = Host::start().await;
    let good = portfolio("job").to_string();
    let no_body = "A valid request body must be provided";
    for (content_type, body, status, message) in [
        (Some("application/json"), "", 400, no_body),
        (Some("application/json"), " ", 400, no_body),
        (Some("application/json"), "null", 400, no_body),
        (Some("application/json"), "{not json", 400, no_body),
        (Some("application/json"), "[]", 400, "Request failed validation"),
        (None, "", 400, no_body),
        (None, &good, 400, "A Content-Type header must be provided"),
        (Some("text/plain"), &good, 415, "The request body must be application/json"),
        (Some("application/xml"), &good, 415, "The request body must be application/json"),
        (Some("Application/JSON; charset=utf-8"), &good, 201, ""),
        (Some("application/scim+json"), &good, 201, ""),
    ] {
        let headers: Vec<_> = content_type.iter().map(|value| ("content-type", *value)).collect();
        let answer = host.ask("POST", "/provisioning-jobs", &headers, body.as_bytes()).await;
        let told = answer.json()["message"].as_str().unwrap_or_default().to_owned();
        assert_eq!((answer.status, told.as_str()), (status, message), "{content_type:?} {body}");
    }
    // All routes with a body check it in the same way.
    for route in ["ack", "release", "redeliver"] {
        let target = format!("/cost-jobs/{route}");
        assert_eq!(host.ask("POST", &target, &[], b"{}").await.status, 400);
        assert_eq!(host.ask("POST", &target, &[("content-type", "a/b")], b"{}").await.status, 415);
        let empty = host.ask("POST", &target, JSON, b"null").await;
        let expected = json!({
            "code": "INVALID_INPUT", "reason": "VALIDATION", "message": no_body,
            "errorMap": {"body": "is null"}
        });
        empty.is(400, &expected);
        let wrong = host.post(&target, &json!({"more": 1})).await;
        assert_eq!(wrong.json()["errorMap"]["more"], "is not a known property");
    }
}

#[tokio::test]
async fn a_body_that_is_not_understood_is_refused_with_its_problem() {
    let host = Host::start().await;
    let good = portfolio("job").to_string();
    let marked = [b"\xef\xbb\xbf", good.as_bytes()].concat();
    let answer = host.ask("POST", "/provisioning-jobs", JSON, &marked).await;
    assert_eq!((answer.status, answer.body), (201, good.clone()), "a byte order mark is dropped");
    let half_a_pair = good.replacen("\"n\"", "\"\\ud83d\"", 1);
    for (body, problem) in [
        ("", "is empty"),
        (
            "{\n \"jobId\": oops}",
            "is not valid JSON: expected value at line 2 column 11, in the field jobId",
        ),
        (
            &half_a_pair,
            "is not valid JSON: lone leading surrogate in hex escape at line 1 column 73, in the \
             field payload.name",
        ),
    ] {
        let answer = host.ask("POST", "/provisioning-jobs", JSON, body.as_bytes()).await;
        let expected = json!({
            "code": "INVALID_INPUT", "reason": "VALIDATION",
            "message": "A valid request body must be provided", "errorMap": {"body": problem}
        });
        answer.is(400, &expected);
    }
    let json = "application/json";
    for (content_type, coding, status) in [
        (json, "identity", 201),
        (json, "gzip", 415),
        (json, "identity, br", 415),
        ("application/json; charset=\"UTF-8\"; v=1", "", 201),
        ("application/json; charset=utf8", "", 201),
        ("application/json;Charset=ISO-8859-1", "", 415),
        ("application/json; charset=utf-16", "", 415),
    ] {
        let mut headers = vec![("content-type", content_type), ("content-encoding", coding)];
        headers.retain(|(_, value)| !value.is_empty());
        let answer = host.ask("POST", "/provisioning-jobs", &headers, good.as_bytes()).await;
        assert_eq!(answer.status, status, "{headers:?}: {answer:?}");
        if status == 415 {
            assert_eq!(answer.json()["reason"], "UNSUPPORTED_MEDIA_TYPE");
            let accepted = if coding.is_empty() { "" } else { "identity" };
            assert_eq!(answer.header("accept-encoding"), accepted, "{headers:?}");
        }
    }
}

#[tokio::test]
async fn a_host_without_keys_takes_only_the_names_of_this_machine() {
    let host = Host::start().await;
    let ask = async |name: &str| {
        let head = format!("GET /cost-jobs HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n");
        let mut stream = TcpStream::connect(host.address).await.expect("the listener accepts");
        stream.write_all(head.as_bytes()).await.expect("the host reads");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.expect("the host responds");
        Answer::parse(&bytes).expect("a complete response")
    };
    let foreign = ask("evil.example:8080").await;
    assert_eq!((foreign.status, foreign.json()["reason"].clone()), (403, json!("FORBIDDEN")));
    for name in ["127.0.0.1:8080", "localhost", "[::1]"] {
        assert_eq!(ask(name).await.status, 200, "{name}");
    }
}

#[tokio::test]
async fn bodies_have_bounds() {
    let config = Config { max_body_bytes: 2_000, ..Config::default() };
    let host = Host::with(config, AuthConfig::default()).await;
    let sized = |bytes: usize| {
        let mut request = portfolio(&format!("job-{bytes}"));
        request["payload"]["name"] = json!("n".repeat(bytes + 1 - request.to_string().len()));
        request
    };
    assert_eq!(sized(2_000).to_string().len(), 2_000);
    assert_eq!(host.post("/provisioning-jobs", &sized(2_000)).await.status, 201);
    let large = host.post("/provisioning-jobs", &sized(2_001)).await;
    let words = "The request body is larger than 2000 bytes";
    large.is(413, &json!({"code": "OTHER", "reason": "TOO_LARGE", "message": words}));
    let nested = |levels: usize| {
        // The request and its payload are two of the levels.
        let (open, close) = ("[".repeat(levels - 2), "]".repeat(levels - 2));
        let request = portfolio(&format!("nested-{levels}")).to_string();
        request.replacen(r#""name""#, &format!(r#""deep":{open}{close},"name""#), 1)
    };
    let deep = host.ask("POST", "/provisioning-jobs", JSON, nested(64).as_bytes()).await;
    assert_eq!(deep.status, 201, "{deep:?}");
    let deep = host.ask("POST", "/provisioning-jobs", JSON, nested(65).as_bytes()).await;
    let words = "The request body is nested deeper than 64 levels";
    deep.is(400, &json!({"code": "OTHER", "reason": "BAD_REQUEST", "message": words}));
    for (bytes, status) in [(256, 201), (257, 400)] {
        let answer = host.post("/provisioning-jobs", &portfolio(&"j".repeat(bytes))).await;
        assert_eq!(answer.status, status);
        let answer = host.post("/cost-jobs", &costs(&"r".repeat(bytes))).await;
        assert_eq!(answer.status, if status == 201 { 202 } else { status });
    }
}

#[tokio::test]
async fn every_wrong_field_is_named_at_once() {
    let host = Host::start().await;
    let wrong = json!({
        "jobId": 42, "userId": "u", "operationType": "ADD_ENVIRONMENT", "targetCspName": "NOPE",
        "payload": {"administrators": [{"email": "a@b.mil"}], "classificationLevel": "SECRET"}
    });
    let answer = host.post("/provisioning-jobs", &wrong).await;
    let expected = json!({
        "code": "INVALID_INPUT",
        "reason": "VALIDATION",
        "message": "Request failed validation",
        "errorMap": {
            "jobId": "must be a string",
            "payload.administrators[0].dodId": "is required",
            "payload.name": "is required",
            "portfolioId": "is required",
            "targetCspName": "is not a known CSP; known are CSP_A"
        }
    });
    answer.is(400, &expected);
}

#[tokio::test]
async fn unknown_paths_are_404_and_unknown_methods_405() {
    let host = Host::start().await;
    let nothing = json!({"code": "OTHER", "reason": "NOT_FOUND", "message": "Not found"});
    for path in ["/", "/provisioning-jobs/", "/provisioning-jobs/nack", "/Cost-jobs", "/healthz"] {
        host.get(path).await.is(404, &nothing);
    }
    let message = "Method not allowed";
    let refused = json!({"code": "OTHER", "reason": "METHOD_NOT_ALLOWED", "message": message});
    for (method, path, allow) in [
        ("PUT", "/provisioning-jobs", "GET, POST, OPTIONS"),
        ("DELETE", "/cost-jobs", "GET, POST, OPTIONS"),
        ("GET", "/cost-jobs/ack", "POST, OPTIONS"),
        ("PATCH", "/provisioning-jobs/redeliver", "POST, OPTIONS"),
        ("POST", "/openapi.json", "GET"),
    ] {
        let answer = host.ask(method, path, &[], b"").await;
        answer.is(405, &refused);
        assert_eq!(answer.header("allow"), allow, "{method} {path}");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn preflights_need_no_key() {
    let host = Host::with(Config::default(), keys()).await;
    for resource in ["/provisioning-jobs", "/cost-jobs"] {
        for route in ["", "/ack", "/release", "/redeliver"] {
            let answer = host.ask("OPTIONS", &format!("{resource}{route}"), &[], b"").await;
            let methods = if route.is_empty() { "GET, POST, OPTIONS" } else { "POST, OPTIONS" };
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header("access-control-allow-origin"), "*");
            assert_eq!(answer.header("access-control-allow-methods"), methods);
            assert!(answer.header("access-control-allow-headers").contains("Authorization"));
        }
    }
}

#[tokio::test]
async fn error_responses_expose_their_headers_to_pages() {
    let host = Host::with(Config::default(), keys()).await;
    for (method, path) in [("GET", "/cost-jobs"), ("PUT", "/cost-jobs"), ("GET", "/elsewhere")] {
        let answer = host.ask(method, path, &[], b"").await;
        let exposed = answer.header("access-control-expose-headers");
        let names = "Accept-Encoding, Allow, Hoth-Batch, Hoth-Repeated, Retry-After";
        assert_eq!(exposed, names, "{method} {path}");
    }
}

#[tokio::test]
async fn each_role_reaches_only_its_routes() {
    let host = Host::with(Config::default(), keys()).await;
    let (read, write) = (["read", "write", "admin"], ["write", "admin"]);
    let empty = json!({});
    for (method, path, allowed) in [
        ("GET", "/provisioning-jobs", &read[..]),
        ("GET", "/cost-jobs?lease=60", &read),
        ("POST", "/provisioning-jobs/ack", &read),
        ("POST", "/cost-jobs/release", &read),
        ("POST", "/provisioning-jobs", &write),
        ("POST", "/cost-jobs", &write),
        ("POST", "/cost-jobs/redeliver", &write),
    ] {
        for key in ["read", "write", "admin", "unknown", ""] {
            let bearer = format!("Bearer {key}");
            let headers = [("content-type", "application/json"), ("authorization", &bearer)];
            let body = if method == "POST" { empty.to_string() } else { String::new() };
            let answer = host.ask(method, path, &headers, body.as_bytes()).await;
            let expected = match (method, allowed.contains(&key), read.contains(&key)) {
                ("POST", true, _) => 400,
                (_, true, _) => 200,
                (_, false, true) => 403,
                (_, false, false) => 401,
            };
            assert_eq!(answer.status, expected, "{method} {path} by {key}");
        }
    }
    assert_eq!(host.get("/openapi.json").await.status, 200);
}

#[tokio::test]
async fn a_closed_queue_makes_the_api_unavailable() {
    let host = Host::start().await;
    host.queue.close().await;
    for is_stopping in [false, true] {
        if is_stopping {
            host.closing.cancel();
        }
        refuses_everything(&host).await;
    }
}

async fn refuses_everything(host: &Host) {
    for answer in [
        host.post("/cost-jobs", &costs("r")).await,
        host.get("/cost-jobs").await,
        host.post("/cost-jobs/redeliver", &json!({"requestIds": ["r"]})).await,
    ] {
        let words = "The queue cannot be reached; nothing was done";
        answer.is(503, &json!({"code": "OTHER", "reason": "UNAVAILABLE", "message": words}));
        assert_eq!(answer.header("retry-after"), "5");
    }
}
