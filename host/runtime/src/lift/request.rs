//! Requests of guests.

use bytes::Bytes;

use super::Violation;
use super::at_most;
use super::bounded;
use super::extras;
use super::short;
use super::word;
use crate::wit::types;
use hoth_core::domain::CredentialChoice;
use hoth_core::domain::CredentialUse;
use hoth_core::domain::EndpointPath;
use hoth_core::domain::HttpRequest;
use hoth_core::domain::Method;
use hoth_core::domain::Retry;
use hoth_core::domain::Target;

/// The most scopes of one token; real tokens have a handful.
const SCOPES_MAX: usize = 16;

/// The longest scope, in bytes.
const SCOPE_BYTES_MAX: usize = 256;

/// Checks a request.
pub(super) fn http_request(request: types::HttpRequest) -> Result<HttpRequest, Violation> {
    let types::HttpRequest {
        method,
        target,
        query,
        headers,
        body,
        credential,
        scopes,
        retry,
        extra,
    } = request;
    extras("the request", &extra)?;
    let body_bytes = body.as_ref().map_or(0, Vec::len);
    at_most("the body of the request has", body_bytes, HttpRequest::BODY_BYTES_MAX)?;
    if scopes.len() > SCOPES_MAX {
        return Err(format!("the request has {} scopes, more than {SCOPES_MAX}", scopes.len()));
    }
    for scope in &scopes {
        at_most("a scope has", scope.len(), SCOPE_BYTES_MAX)?;
    }
    Ok(HttpRequest {
        method: self::method(method),
        target: self::target(target)?,
        query: pairs("query parameters", query)?,
        headers: pairs("headers", headers)?,
        body: body.map(Bytes::from),
        credential: self::credential(credential)?,
        scopes,
        retry: word("retry of a request", &retry, Retry::from_wit)?,
    })
}

fn method(method: types::Method) -> Method {
    match method {
        types::Method::Get => Method::Get,
        types::Method::Head => Method::Head,
        types::Method::Post => Method::Post,
        types::Method::Put => Method::Put,
        types::Method::Patch => Method::Patch,
        types::Method::Delete => Method::Delete,
    }
}

fn target(target: types::Target) -> Result<Target, Violation> {
    let target = match target {
        types::Target::Path(path) => Target::Path(path),
        types::Target::Endpoint(types::EndpointPath { endpoint, path, parameters }) => {
            short("the name of the endpoint", &endpoint)?;
            let parameters = self::parameters("endpoint", parameters)?;
            Target::Endpoint(EndpointPath { endpoint, path, parameters })
        }
        types::Target::Location(location) => Target::Location(location),
    };
    at_most("the target of the request has", target.text().len(), HttpRequest::TARGET_BYTES_MAX)?;
    Ok(target)
}

fn credential(credential: types::Credential) -> Result<CredentialChoice, Violation> {
    Ok(match credential {
        types::Credential::Default => CredentialChoice::Default,
        types::Credential::None => CredentialChoice::None,
        types::Credential::Named(types::CredentialUse { name, parameters }) => {
            short("the name of the credential", &name)?;
            let parameters = self::parameters("credential", parameters)?;
            CredentialChoice::Named(CredentialUse { name, parameters })
        }
    })
}

/// Checks the parameters of an endpoint or a credential.
fn parameters(
    what: &str,
    parameters: Vec<types::PairResult>,
) -> Result<Vec<(String, String)>, Violation> {
    let (count, most) = (parameters.len(), HttpRequest::PARAMETERS_MAX);
    if count > most {
        return Err(format!("the {what} of the request has {count} parameters, more than {most}"));
    }
    for types::PairResult { name, value } in &parameters {
        short(format_args!("the name of a parameter of the {what}"), name)?;
        let what = format_args!("the value of a parameter of the {what} has");
        at_most(what, value.len(), HttpRequest::PARAMETER_BYTES_MAX)?;
    }
    Ok(unpaired(parameters))
}

fn pairs(what: &str, pairs: Vec<types::PairResult>) -> Result<Vec<(String, String)>, Violation> {
    bounded(format_args!("{what} of the request"), &pairs)?;
    Ok(unpaired(pairs))
}

fn unpaired(pairs: Vec<types::PairResult>) -> Vec<(String, String)> {
    pairs.into_iter().map(|pair| (pair.name, pair.value)).collect()
}
