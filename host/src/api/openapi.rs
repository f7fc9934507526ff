//! The description of this API: OpenAPI 3.1, made of the handlers themselves.
//!
//! `GET /openapi.json` is open: what can be asked of HOTH is no secret, and it
//! says nothing of how this host is set up or what it holds.

use std::collections::BTreeMap;

use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use bytes::Bytes;
use utoipa::IntoParams;
use utoipa::IntoResponses;
use utoipa::ToSchema;
use utoipa::openapi::ComponentsBuilder;
use utoipa::openapi::ContentBuilder;
use utoipa::openapi::HeaderBuilder;
use utoipa::openapi::InfoBuilder;
use utoipa::openapi::LicenseBuilder;
use utoipa::openapi::ObjectBuilder;
use utoipa::openapi::OpenApi;
use utoipa::openapi::OpenApiBuilder;
use utoipa::openapi::PathItem;
use utoipa::openapi::Ref;
use utoipa::openapi::RefOr;
use utoipa::openapi::ResponseBuilder;
use utoipa::openapi::ResponsesBuilder;
use utoipa::openapi::SecurityRequirement;
use utoipa::openapi::Type;
use utoipa::openapi::path::OperationBuilder;
use utoipa::openapi::security::ApiKey;
use utoipa::openapi::security::ApiKeyValue;
use utoipa::openapi::security::Http;
use utoipa::openapi::security::HttpAuthScheme;
use utoipa::openapi::security::SecurityScheme;

use super::schema::Code;
use super::schema::Problem;

/// What the description says before any route is added to it.
pub fn preface() -> OpenApi {
    let info = InfoBuilder::new()
        .title("HOTH")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Accepts provisioning and cost requests for Cloud Service Providers, and hands out \
             their outcomes. Every accepted request ends in one outcome.",
        ))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").build()));
    let components = ComponentsBuilder::new()
        .schema_from::<Problem>()
        .schema_from::<Code>()
        .security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)))
        .security_scheme(
            "sigv4",
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
                "Authorization",
                "AWS Signature Version 4, service `execute-api`.",
            ))),
        );
    let either = ["bearer", "sigv4"].map(|name| SecurityRequirement::new(name, [""; 0]));
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components.build()))
        .security(Some(either))
        .build()
}

/// Read this description
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "description",
    operation_id = "readDescription",
    security(()),
    responses((status = OK, description = "This description.", body = Object))
)]
pub async fn read(
    axum::extract::State(api): axum::extract::State<super::state::State>,
) -> Response {
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (StatusCode::OK, headers, api.openapi.clone()).into_response()
}

/// Adds what a browser asks first to every path that a page may post to.
pub fn describe_preflights(openapi: &mut OpenApi) {
    for (path, item) in &mut openapi.paths.paths {
        let Some(post) = &item.post else { continue };
        let words = path.split(['/', '-']).filter(|word| !word.is_empty());
        let name: String = words.map(|word| word[..1].to_ascii_uppercase() + &word[1..]).collect();
        let operation = OperationBuilder::new()
            .tags(post.tags.clone())
            .summary(Some("Ask what a browser may send"))
            .operation_id(Some(format!("preflight{name}")))
            .security(SecurityRequirement::default())
            .responses(ResponsesBuilder::new().responses_from_into_responses::<Preflight>())
            .build();
        item.options = Some(operation);
    }
}

/// The description as it is sent.
pub fn text(openapi: &OpenApi) -> Bytes {
    let text = serde_json::to_vec(openapi);
    text.expect("maps have string keys and writing to memory succeeds").into()
}

/// The methods of each path, as `Allow` has them.
pub fn methods(openapi: &OpenApi) -> BTreeMap<String, HeaderValue> {
    let of = |item: &PathItem| {
        let methods = [
            ("GET", item.get.is_some()),
            ("POST", item.post.is_some()),
            ("OPTIONS", item.options.is_some()),
        ];
        let there: Vec<&str> =
            methods.iter().filter(|(_, there)| *there).map(|(method, _)| *method).collect();
        HeaderValue::try_from(there.join(", ")).expect("methods are plain letters")
    };
    openapi.paths.paths.iter().map(|(path, item)| (path.clone(), of(item))).collect()
}

/// What `GET` may be asked with.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the query is read by hand")]
pub struct Wish {
    /// Seconds to wait for a first outcome.
    #[param(minimum = 0, maximum = 20, required = false, nullable = false)]
    wait: Option<u32>,
    /// Seconds to lease the outcomes instead of consuming them.
    #[param(minimum = 1, maximum = 43_200, required = false, nullable = false)]
    lease: Option<u32>,
    /// A leased batch to acknowledge first; goes with `lease`.
    #[param(required = false, nullable = false)]
    ack: Option<String>,
}

type Responses = BTreeMap<String, RefOr<utoipa::openapi::Response>>;

/// One answer with a [`Problem`].
fn problem(status: StatusCode, description: &str) -> (StatusCode, ResponseBuilder) {
    let schema = Ref::from_schema_name(Problem::name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let response =
        ResponseBuilder::new().description(description).content("application/json", content);
    (status, response)
}

fn responses(these: impl IntoIterator<Item = (StatusCode, ResponseBuilder)>) -> Responses {
    let entry = |(status, response): (StatusCode, ResponseBuilder)| {
        (status.as_str().to_owned(), response.build().into())
    };
    these.into_iter().map(entry).collect()
}

fn text_header(description: &str) -> utoipa::openapi::Header {
    let text = ObjectBuilder::new().schema_type(Type::String);
    HeaderBuilder::new().schema(Some(text)).description(Some(description)).build()
}

/// Whatever is asked. A body may come with anything, and is read where it is
/// signed.
pub struct Refused;

impl IntoResponses for Refused {
    fn responses() -> Responses {
        let (unauthorized, response) =
            problem(StatusCode::UNAUTHORIZED, "Credentials are missing or unknown.");
        let unauthorized = (
            unauthorized,
            response.header("WWW-Authenticate", text_header("How to authenticate.")),
        );
        let (unavailable, response) = problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "The queue cannot be reached or is full. Nothing was accepted.",
        );
        let unavailable = (unavailable, response.header("Retry-After", text_header("In seconds.")));
        let (too_many, response) =
            problem(StatusCode::TOO_MANY_REQUESTS, "This key asks more often than `limits` allow.");
        let too_many = (too_many, response.header("Retry-After", text_header("In seconds.")));
        responses([
            problem(StatusCode::BAD_REQUEST, "Something is wrong with what was sent."),
            unauthorized,
            problem(StatusCode::FORBIDDEN, "These credentials do not allow this."),
            problem(StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time."),
            problem(StatusCode::PAYLOAD_TOO_LARGE, "The body is larger than `api.max_body_bytes`."),
            too_many,
            problem(StatusCode::INTERNAL_SERVER_ERROR, "A fault of HOTH's own."),
            unavailable,
        ])
    }
}

/// Where there is a body.
pub struct BodyRefused;

impl IntoResponses for BodyRefused {
    fn responses() -> Responses {
        responses([problem(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "The body is not `application/json`.",
        )])
    }
}

/// Where a request is accepted.
pub struct IdReused;

impl IntoResponses for IdReused {
    fn responses() -> Responses {
        responses([problem(StatusCode::CONFLICT, "The id was used before, with other content.")])
    }
}

/// Where a batch is named.
pub struct LeaseEnded;

impl IntoResponses for LeaseEnded {
    fn responses() -> Responses {
        responses([problem(
            StatusCode::CONFLICT,
            "The lease has ended: what was not acknowledged is on the queue again.",
        )])
    }
}

/// Where outcomes come from the archive.
pub struct NoArchive;

impl IntoResponses for NoArchive {
    fn responses() -> Responses {
        responses([problem(
            StatusCode::NOT_IMPLEMENTED,
            "The queue of this host has no archive: use leases.",
        )])
    }
}

/// What a browser is told.
struct Preflight;

impl IntoResponses for Preflight {
    fn responses() -> Responses {
        let response = ResponseBuilder::new()
            .description("What may be sent.")
            .header("Access-Control-Allow-Origin", text_header("Any."))
            .header("Access-Control-Allow-Methods", text_header("The methods."))
            .header("Access-Control-Allow-Headers", text_header("The headers."));
        responses([(StatusCode::OK, response)])
    }
}
