//! The OpenAPI description, compared with the responses of the API.

use super::accepting::costs;
use super::accepting::keys;
use super::*;

/// The OpenAPI description of a running host.
pub struct Description(Value);

impl Description {
    pub async fn of(host: &Host) -> Self {
        let answer = host.get("/openapi.json").await;
        assert_eq!(answer.status, 200);
        Self(answer.json())
    }

    fn operation(&self, method: &str, path: &str) -> &Value {
        &self.0["paths"][path][method.to_lowercase()]
    }

    /// Returns a validator for a schema, which may refer to others of the
    /// description.
    fn validator(&self, schema: &Value) -> jsonschema::Validator {
        let mut schema = schema.clone();
        schema["components"] = self.0["components"].clone();
        let validator = jsonschema::options().should_validate_formats(true).build(&schema);
        validator.expect("a schema of the description is valid")
    }

    /// Returns a validator for the schema `name`.
    pub fn validator_of(&self, name: &str) -> jsonschema::Validator {
        self.validator(&json!({ "$ref": format!("#/components/schemas/{name}") }))
    }

    /// Returns the operations, each with its method and path.
    fn operations(&self) -> Vec<(String, String, &Value)> {
        let paths = self.0["paths"].as_object().expect("there are paths");
        let of = |(path, item): (&String, &'_ Value)| -> Vec<(String, String)> {
            let methods = item.as_object().expect("a path has methods");
            methods.keys().map(|method| (method.to_uppercase(), path.clone())).collect()
        };
        let named = paths.iter().flat_map(of);
        named
            .map(|(method, path)| {
                let operation = self.operation(&method, &path);
                (method, path, operation)
            })
            .collect()
    }

    /// Fails if a response differs from its description.
    #[track_caller]
    fn check(&self, method: &str, path: &str, answer: &Answer) {
        let responses = &self.operation(method, path)["responses"];
        let described = &responses[answer.status.to_string()];
        assert!(described.is_object(), "{method} {path} answers {answer:?}");
        let headers = described["headers"].as_object().cloned().unwrap_or_default();
        for name in headers.keys().filter(|name| !name.starts_with("Hoth-")) {
            assert!(!answer.header(&name.to_lowercase()).is_empty(), "{name} of {answer:?}");
        }
        assert!(answer.header("hoth-batch").is_empty() || headers.contains_key("Hoth-Batch"));
        let content = &described["content"]["application/json"];
        if content.is_null() {
            assert_eq!(answer.body, "", "{method} {path}");
            return;
        }
        let errors: Vec<String> = self
            .validator(&content["schema"])
            .iter_errors(&answer.json())
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{method} {path} answers {answer:?}: {errors:?}");
    }
}

type Seen = BTreeSet<(String, String, u16)>;

/// Sends a request, and checks the response against the description.
async fn ask(host: &Host, seen: &mut Seen, method: &str, target: &str, more: More<'_>) -> Answer {
    let mut headers = vec![("authorization", more.key)];
    headers.extend(more.content_type.map(|value| ("content-type", value)));
    headers.retain(|(_, value)| !value.is_empty());
    let answer = host.ask(method, target, &headers, more.body.as_bytes()).await;
    let path = template_of(target.split('?').next().expect("splitting yields one part"));
    Description::of(host).await.check(method, &path, &answer);
    seen.insert((method.to_owned(), path, answer.status));
    answer
}

/// Returns the path in the description: that of one job has a parameter.
fn template_of(path: &str) -> String {
    for (resource, id) in [("/provisioning-jobs", "jobId"), ("/cost-jobs", "requestId")] {
        let last = path.strip_prefix(resource).and_then(|rest| rest.strip_prefix('/'));
        if last.is_some_and(|last| !["ack", "release", "redeliver"].contains(&last)) {
            return format!("{resource}/{{{id}}}");
        }
    }
    path.to_owned()
}

#[derive(Clone, Copy)]
struct More<'a> {
    key: &'a str,
    content_type: Option<&'a str>,
    body: &'a str,
}

const PLAIN: More<'_> = More { key: "Bearer admin", content_type: None, body: "" };

fn json_body(body: &str) -> More<'_> {
    More { content_type: Some("application/json"), body, ..PLAIN }
}

/// Provokes every documented response of one resource's routes.
async fn provoke(host: &Host, seen: &mut Seen, kind: JobKind) {
    let (path, accepted, other) = match kind {
        JobKind::Provisioning => ("/provisioning-jobs", request_text("job"), "jobIds"),
        JobKind::Cost => ("/cost-jobs", costs("job").to_string(), "requestIds"),
    };
    let posts = ["", "/ack", "/release", "/redeliver"].map(|route| format!("{path}{route}"));
    for target in &posts {
        let text = More { content_type: Some("text/plain"), ..json_body("{}") };
        assert_eq!(ask(host, seen, "POST", target, text).await.status, 415);
        assert_eq!(ask(host, seen, "POST", target, json_body("{}")).await.status, 400);
        assert_eq!(ask(host, seen, "POST", target, json_body("")).await.status, 400);
        let large = "x".repeat(3_000);
        assert_eq!(ask(host, seen, "POST", target, json_body(&large)).await.status, 413);
        let no_key = More { key: "", ..json_body("{}") };
        assert_eq!(ask(host, seen, "POST", target, no_key).await.status, 401);
        slow(host, seen, target).await;
    }
    let reader = More { key: "Bearer read", ..json_body("{}") };
    for target in [&posts[0], &posts[3]] {
        assert_eq!(ask(host, seen, "POST", target, reader).await.status, 403);
    }
    assert_eq!(ask(host, seen, "GET", path, More { key: "", ..PLAIN }).await.status, 401);
    assert_eq!(ask(host, seen, "GET", &format!("{path}?wait=x"), PLAIN).await.status, 400);

    let first = ask(host, seen, "POST", path, json_body(&accepted)).await;
    assert!(matches!(first.status, 201 | 202), "{first:?}");
    let one = format!("{path}/job");
    let status = ask(host, seen, "GET", &one, PLAIN).await;
    assert_eq!((status.status, status.header("cache-control")), (200, "no-store"));
    assert_eq!(status.json()["state"], "QUEUED");
    assert_eq!(ask(host, seen, "GET", &format!("{path}/none"), PLAIN).await.status, 404);
    assert_eq!(ask(host, seen, "GET", &one, More { key: "", ..PLAIN }).await.status, 401);
    ambiguous(host, seen, &one).await;
    let refused = host.ask("POST", &one, &[("authorization", "Bearer admin")], b"").await;
    assert_eq!((refused.status, refused.header("allow")), (405, "GET"));

    let reused = accepted.replacen("CSP_A\"", "CSP_A\",\"payload\":{},\"x\":1", 1);
    let reused = if kind == JOBS { request_text("job").replace("\"n\"", "\"m\"") } else { reused };
    assert_eq!(ask(host, seen, "POST", path, json_body(&reused)).await.status, 409);

    host.outcomes(kind, "p", &["a", "b"]).await;
    let leased = ask(host, seen, "GET", &format!("{path}?lease=60"), PLAIN).await;
    assert_eq!(leased.ids(), ["a", "b"]);
    let name = leased.header("hoth-batch");
    let batch = json!({"batch": name}).to_string();
    assert_eq!(ask(host, seen, "POST", &posts[2], json_body(&batch)).await.status, 200);
    assert_eq!(ask(host, seen, "POST", &posts[1], json_body(&batch)).await.status, 409);
    assert_eq!(ask(host, seen, "POST", &posts[2], json_body(&batch)).await.status, 409);
    let next = format!("{path}?lease=60&ack={name}");
    assert_eq!(ask(host, seen, "GET", &next, PLAIN).await.status, 409);
    let leased = ask(host, seen, "GET", &format!("{path}?lease=60"), PLAIN).await;
    let batch = json!({"batch": leased.header("hoth-batch")}).to_string();
    assert_eq!(ask(host, seen, "POST", &posts[1], json_body(&batch)).await.status, 200);
    let which = json!({other: ["a"]}).to_string();
    let again = ask(host, seen, "POST", &posts[3], json_body(&which)).await;
    again.is(200, &json!({"redelivered": 1}));
    assert_eq!(ask(host, seen, "GET", path, PLAIN).await.ids(), ["a"]);
}

fn request_text(id: &str) -> String {
    let request = json!({
        "jobId": id, "userId": "u", "targetCspName": "CSP_A", "operationType": "ADD_PORTFOLIO",
        "payload": {"name": "n", "taskOrders": []}
    });
    request.to_string()
}

/// Sends less of a body than its length declares.
async fn slow(host: &Host, seen: &mut Seen, target: &str) {
    let headers = [("content-type", "application/json"), ("authorization", "Bearer admin")];
    let whole = request("POST", target, &headers, b"{}");
    let mut stream = TcpStream::connect(host.address).await.expect("the listener accepts");
    stream.write_all(&whole[..whole.len() - 1]).await.expect("the host reads");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("the host responds");
    let answer = Answer::parse(&bytes).expect("a complete response");
    assert_eq!(answer.status, 408);
    Description::of(host).await.check("POST", target, &answer);
    seen.insert(("POST".to_owned(), target.to_owned(), 408));
}

/// Reads a path with a head that names two hosts.
async fn ambiguous(host: &Host, seen: &mut Seen, path: &str) {
    let answer = host.ask("GET", path, &[("host", "another.example")], b"").await;
    assert_eq!(answer.status, 400);
    let template = template_of(path);
    Description::of(host).await.check("GET", &template, &answer);
    seen.insert(("GET".to_owned(), template, 400));
}

#[tokio::test]
async fn every_response_is_described_and_every_description_occurs() {
    let body_timeout_ms = std::num::NonZeroU64::new(200).expect("it is not zero");
    let config = Config { max_body_bytes: 2_000, body_timeout_ms, ..Config::default() };
    let host = Host::with(config, keys()).await;
    let mut seen = Seen::new();
    for kind in [JOBS, COSTS] {
        provoke(&host, &mut seen, kind).await;
    }
    ask(&host, &mut seen, "GET", "/openapi.json", PLAIN).await;
    ambiguous(&host, &mut seen, "/openapi.json").await;
    let description = Description::of(&host).await;
    let posted = |path: &str| match path {
        "/provisioning-jobs" => request_text("new"),
        "/cost-jobs" => costs("new").to_string(),
        _ if path.ends_with("/redeliver") => json!({"since": "2026-07-01T12:00:00Z"}).to_string(),
        _ => json!({"batch": batch_of(path)}).to_string(),
    };
    host.queue.close().await;
    for (method, path, operation) in description.operations() {
        if operation["responses"]["503"].is_object() {
            let body = posted(&path);
            let more = if method == "POST" { json_body(&body) } else { PLAIN };
            assert_eq!(ask(&host, &mut seen, &method, &path, more).await.status, 503);
        }
    }
    exceed_the_rate(&mut seen).await;
    let mut unseen = Vec::new();
    for (method, path, operation) in description.operations() {
        for status in operation["responses"].as_object().expect("answers").keys() {
            let number = status.parse().expect("a status is a number");
            if !seen.contains(&(method.clone(), path.clone(), number)) {
                unseen.push(format!("{method} {path} {status}"));
            }
        }
    }
    // No request here needs more than the role `read` for these routes, or signs
    // the body of a GET. The host of this test has an archive, answers 202, and
    // has no internal errors.
    unseen.retain(|one| !one.ends_with(" 500"));
    let expected = [
        "GET /cost-jobs 403",
        "GET /cost-jobs 408",
        "GET /cost-jobs 413",
        "POST /cost-jobs 201",
        "POST /cost-jobs/ack 403",
        "POST /cost-jobs/redeliver 501",
        "POST /cost-jobs/release 403",
        "GET /cost-jobs/{requestId} 403",
        "GET /cost-jobs/{requestId} 408",
        "GET /cost-jobs/{requestId} 413",
        "GET /provisioning-jobs 403",
        "GET /provisioning-jobs 408",
        "GET /provisioning-jobs 413",
        "POST /provisioning-jobs/ack 403",
        "POST /provisioning-jobs/redeliver 501",
        "POST /provisioning-jobs/release 403",
        "GET /provisioning-jobs/{jobId} 403",
        "GET /provisioning-jobs/{jobId} 408",
        "GET /provisioning-jobs/{jobId} 413",
    ];
    assert_eq!(unseen, expected);
}

/// Provokes the 429 of every route on a host with the lowest rate.
async fn exceed_the_rate(seen: &mut Seen) {
    let one = std::num::NonZeroU32::MIN;
    let rate = Rate { per_second: one, burst: one };
    let host = Host::with_rate(Config::default(), keys(), Some(rate)).await;
    for (method, path, operation) in Description::of(&host).await.operations() {
        if operation["responses"]["429"].is_object() {
            let more = if method == "POST" { json_body("{}") } else { PLAIN };
            // On a slow machine a second may pass between two requests, and
            // then the second one is let through as well.
            let begun = Instant::now();
            let asked = loop {
                let asked = ask(&host, seen, &method, &path, more).await;
                if asked.status == 429 {
                    break asked;
                }
                assert!(begun.elapsed() < DEADLINE, "{method} {path} is never refused");
            };
            assert_eq!((asked.status, asked.header("retry-after")), (429, "1"), "{method} {path}");
        }
    }
}

/// Returns a batch name as the resource at `path` gives it.
fn batch_of(path: &str) -> String {
    let kind = if path.starts_with("/cost-jobs") { COSTS } else { JOBS };
    crate::api::batch_name::BatchSigner::default().sign(kind, &[&hoth_queue::Receipt::new("1.1")])
}

/// Calls `visit` with every object in a value.
fn visit_objects<'a>(value: &'a Value, visit: &mut impl FnMut(&'a Value)) {
    match value {
        Value::Object(map) => {
            visit(value);
            map.values().for_each(|value| visit_objects(value, visit));
        }
        Value::Array(list) => list.iter().for_each(|value| visit_objects(value, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn examples_match_their_schemas() {
    let host = Host::start().await;
    let description = Description::of(&host).await;
    let mut examples = 0;
    let mut check = |schema: &Value, example: &Value| {
        let validator = description.validator(schema);
        let errors: Vec<String> = validator.iter_errors(example).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{example}: {errors:?}");
        examples += 1;
    };
    for (_, _, operation) in description.operations() {
        let content = &operation["requestBody"]["content"]["application/json"];
        for example in content["examples"].as_object().into_iter().flatten() {
            check(&content["schema"], &example.1["value"]);
        }
    }
    visit_objects(&description.0["components"]["schemas"], &mut |schema| {
        for example in schema["examples"].as_array().into_iter().flatten() {
            check(schema, example);
        }
    });
    assert!(examples >= 20, "only {examples}");
}

#[tokio::test]
async fn every_schema_is_referred_to_and_every_reference_has_a_schema() {
    let host = Host::start().await;
    let Description(description) = Description::of(&host).await;
    let mut references = BTreeSet::new();
    visit_objects(&description, &mut |object| {
        let reference = object.get("$ref").and_then(Value::as_str);
        references.extend(reference.and_then(|text| text.strip_prefix("#/components/schemas/")));
    });
    let schemas = description["components"]["schemas"].as_object().expect("there are schemas");
    let names: BTreeSet<&str> = schemas.keys().map(String::as_str).collect();
    assert_eq!(references, names);
}

#[tokio::test]
async fn the_description_lists_the_authentication_schemes() {
    let host = Host::start().await;
    let Description(description) = Description::of(&host).await;
    assert_eq!(description["openapi"], "3.1.0");
    let schemes = &description["components"]["securitySchemes"];
    assert_eq!(
        (&schemes["bearer"]["scheme"], &schemes["sigv4"]["in"]),
        (&json!("bearer"), &json!("header"))
    );
    assert_eq!(description["security"], json!([{"bearer": []}, {"sigv4": []}]));
    assert_eq!(description["paths"]["/openapi.json"]["get"]["security"], json!([{}]));
}

#[tokio::test]
async fn generators_and_linters_find_what_they_need() {
    let host = Host::start().await;
    let Description(description) = Description::of(&host).await;
    assert_eq!(description["servers"][0]["url"], "/");
    assert_eq!(description["info"]["license"]["identifier"], "Apache-2.0");
    let declared: Vec<&Value> =
        description["tags"].as_array().into_iter().flatten().map(|tag| &tag["name"]).collect();
    for (path, item) in description["paths"].as_object().expect("there are paths") {
        for (method, operation) in item.as_object().expect("a path has methods") {
            let name = format!("{method} {path}");
            assert_ne!(method, "options", "{name}");
            assert!(declared.contains(&&operation["tags"][0]), "{name}");
            assert!(operation["description"].is_string(), "{name}");
            let responses = operation["responses"].as_object().expect("there are responses");
            assert!(responses.keys().any(|status| status.starts_with('4')), "{name}");
        }
    }
    // An object without the keyword is open, but generators take it for one
    // without any keys.
    visit_objects(&description["components"]["schemas"], &mut |schema| {
        if schema["type"] == "object" && schema.get("description").is_some() {
            assert!(schema.get("additionalProperties").is_some(), "{schema}");
        }
    });
}

#[tokio::test]
async fn each_operation_type_selects_its_schema() {
    let host = Host::start().await;
    let Description(description) = Description::of(&host).await;
    let schemas = &description["components"]["schemas"];
    let discriminator = &schemas["ProvisioningRequest"]["discriminator"];
    assert_eq!(discriminator["propertyName"], "operationType");
    let mapping = discriminator["mapping"].as_object().expect("there is a mapping");
    assert_eq!(mapping.len(), hoth_core::domain::Operation::OPERATION_TYPES.len());
    for word in hoth_core::domain::Operation::OPERATION_TYPES {
        let target = mapping[word].as_str().expect("a mapping is a reference");
        let schema = &description.pointer(&target[1..]).expect("the schema exists");
        let words = schema["properties"]["operationType"]["enum"].as_array();
        assert!(words.is_some_and(|words| words.contains(&json!(word))), "{word}");
    }
}

#[tokio::test]
async fn outcomes_of_every_kind_match_their_schema() {
    let host = Host::start().await;
    let description = Description::of(&host).await;
    let outcome = |code: u16, response: Value| {
        let content = json!({"request": {}, "response": response});
        json!({"code": code, "content": content, "initialSnowRequest": {"jobId": "a"}})
    };
    let status = json!({"provisioningJobId": "a", "status": "COMPLETE", "portfolioId": null});
    let failed = json!({"provisioningJobId": "a", "status": "FAILURE"});
    let metadata = json!({"status": 201, "request": {}});
    let validator = description.validator_of("ProvisioningOutcome");
    for (code, response, expected) in [
        (200, json!({"portfolio": {"id": "p", "x": 1}, "$metadata": metadata}), true),
        (200, json!({"status": status, "location": "https://csp/1"}), true),
        (207, json!({"operators": {"administrators": [{"status": 404}]}}), true),
        (200, json!({"portfolio": "p"}), false),
        // A CSP that refuses may use the keys of HOTH with other types.
        (404, json!({"status": 404, "details": {"why": "gone"}}), true),
        (502, json!({"details": "no answer", "status": failed, "cspResponse": {"x": 1}}), true),
        (500, json!({"details": "quota", "made": [{"kind": "account", "id": "1"}]}), true),
        (199, json!({}), false),
        (600, json!({}), false),
    ] {
        let outcome = outcome(code, response);
        assert_eq!(validator.is_valid(&outcome), expected, "{outcome}");
    }
    // The predecessor reported failed jobs with 200.
    assert!(validator.is_valid(&outcome(200, json!({"status": failed}))));
}

#[test]
fn the_documentation_has_every_reason() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api.md");
    let page = std::fs::read_to_string(page).expect("the page exists");
    let documented: Vec<(&str, &str)> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .filter(|(word, _)| word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'))
        .filter_map(|(word, rest)| Some((word, rest.split_once(" | ")?.1.trim_end_matches(" |"))))
        .collect();
    let reasons = crate::http::Reason::ALL.map(|reason| (json!(reason), reason.meaning()));
    let expected: Vec<(&str, &str)> =
        reasons.iter().map(|(word, meaning)| (word.as_str().expect("a word"), *meaning)).collect();
    assert_eq!(documented, expected);
}
