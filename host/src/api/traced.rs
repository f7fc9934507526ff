//! The span of a request.

use axum::extract::MatchedPath;
use axum::extract::Request;
use axum::response::Response;
use tracing::Instrument as _;
use tracing::info_span;

use crate::traces::RequestTrace;
use crate::traces::Tracer;

/// Begins the trace of a request, has it handled, and notes the status of its
/// response. The span is dropped unless the request reaches a handler with its
/// sender. The handler finds the [`RequestTrace`] among the extensions of the
/// request.
pub async fn trace(
    tracer: &Tracer,
    mut request: Request,
    handle: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    // The pattern of the route and not the path: names of spans must be few.
    let route = request.extensions().get::<MatchedPath>().map_or("/", MatchedPath::as_str);
    let trace = tracer.request(request.method().as_str(), route, request.headers());
    request.extensions_mut().insert::<RequestTrace>(trace.clone());
    let response = match trace.context() {
        // The lines of the request, those of the audit trail among them.
        Some(context) => {
            let (trace_id, span_id) = (context.trace_id, context.span_id);
            handle(request).instrument(info_span!("request", %trace_id, %span_id)).await
        }
        None => handle(request).await,
    };
    trace.respond(response.status().as_u16());
    response
}
