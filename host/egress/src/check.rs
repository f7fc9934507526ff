//! The checks of a request before a name is resolved or a token is requested.

use std::collections::BTreeMap;

use http::HeaderMap;
use http::HeaderName;
use http::header;
use url::Url;

use crate::policy::headers;
use crate::policy::origin::Origin;
use crate::policy::target::Place;
use crate::policy::target::TargetPolicy;
use crate::policy::template::UrlTemplate;
use crate::transport::failure::CallFailure;
use hoth_core::domain::CredentialChoice;
use hoth_core::domain::CredentialUse;
use hoth_core::domain::CspName;
use hoth_core::domain::HttpRequest;
use hoth_core::domain::Manifest;
use hoth_core::domain::Need;
use hoth_core::domain::Target;
use hoth_core::domain::TransportCode;
use hoth_core::domain::TransportFailure;

/// The bound on all scopes of a request. Identity providers accept far less.
const SCOPE_BYTES_MAX: usize = 4096;

/// Checks a request of an adapter without a configured CSP, by the rules that do
/// not depend on one. Endpoints and credentials must be in the adapter's
/// `manifest`. Returns the URL that would be called, or the failure that the
/// adapter gets.
pub fn check_unconfigured(
    csp: &CspName,
    request: &HttpRequest,
    manifest: &Manifest,
    previous: Option<&Url>,
) -> Result<Url, TransportFailure> {
    let base = Url::parse("https://csp.invalid").expect("the text is a URL");
    // The operator decides on the origins of locations, so every origin that
    // the configuration accepts passes.
    let configurable = match &request.target {
        Target::Location(location) => {
            let url = previous.unwrap_or(&base).join(location).ok();
            url.map(|url| configurable_origins(&url)).unwrap_or_default()
        }
        Target::Path(_) | Target::Endpoint(_) => Vec::new(),
    };
    let targets = TargetPolicy::new(base, declared_endpoints(manifest), configurable);
    let checked = check(csp, &targets, &[header::AUTHORIZATION], request, previous, None);
    let checked = checked.and_then(|(url, _, _)| match &request.credential {
        CredentialChoice::Named(named) => match declared(manifest, named) {
            Ok(()) => Ok(url),
            Err(reason) => Err(refusal(csp, &reason)),
        },
        CredentialChoice::Default | CredentialChoice::None => Ok(url),
    });
    checked.map_err(|refused| TransportFailure {
        code: refused.code,
        message: refused.message,
        sent: false,
        last_response: None,
    })
}

/// Makes URLs for the endpoints of a manifest, which an operator would
/// configure.
fn declared_endpoints(manifest: &Manifest) -> BTreeMap<String, UrlTemplate> {
    let template = |(name, need): (&String, &Need)| {
        let parameters: String = need.parameters.iter().map(|it| format!("{{{it}}}.")).collect();
        let url = UrlTemplate::parse(&format!("https://{parameters}{name}.csp.invalid")).ok()?;
        Some((name.clone(), url))
    };
    manifest.endpoints.iter().filter_map(template).collect()
}

/// Checks a credential and its parameters against the manifest.
fn declared(manifest: &Manifest, named: &CredentialUse) -> Result<(), String> {
    let CredentialUse { name, parameters } = named;
    let Some(need) = manifest.credentials.get(name) else {
        return Err(format!("the adapter's manifest has no credential {name:?}"));
    };
    let mut given: Vec<&str> = parameters.iter().map(|(name, _)| name.as_str()).collect();
    let mut expected: Vec<&str> = need.parameters.iter().map(String::as_str).collect();
    // They have no order, as for the host.
    given.sort_unstable();
    expected.sort_unstable();
    if given != expected {
        let (given, expected) = (given.join(", "), expected.join(", "));
        return Err(format!(
            "the credential {name:?} has the parameters [{given}], and the adapter's manifest has \
             [{expected}]"
        ));
    }
    Ok(())
}

/// Returns the origins that an operator could allow for a URL: its own one, and
/// that of its https form.
fn configurable_origins(url: &Url) -> Vec<Origin> {
    let mut secure = url.clone();
    let secure = secure.set_scheme("https").is_ok().then_some(secure);
    let origins = [Some(url), secure.as_ref()].into_iter().flatten().map(Origin::of);
    origins.filter_map(|origin| Origin::parse(&origin.to_string()).ok()).collect()
}

/// Checks the target, the headers and the bounds of a request. Returns its URL,
/// the place of the URL, and its headers, without the credential.
pub fn check(
    csp: &CspName,
    targets: &TargetPolicy,
    credential_headers: &[HeaderName],
    request: &HttpRequest,
    previous: Option<&Url>,
    key: Option<&str>,
) -> Result<(Url, Place, HeaderMap), CallFailure> {
    let (url, place) = targets
        .url(&request.target, &request.query, previous)
        .map_err(|bad| refusal_as(csp, bad.code(), &bad.to_string()))?;
    let headers = headers(csp, credential_headers, request, key)?;
    if request.body.as_ref().is_some_and(|body| body.len() > HttpRequest::BODY_BYTES_MAX) {
        let reason = format!("its body has more than {} bytes", HttpRequest::BODY_BYTES_MAX);
        return Err(refusal(csp, &reason));
    }
    if request.scopes.iter().map(String::len).sum::<usize>() > SCOPE_BYTES_MAX {
        return Err(refusal(csp, &format!("its scopes have more than {SCOPE_BYTES_MAX} bytes")));
    }
    Ok((url, place, headers))
}

/// Makes the headers of a request, without the credential.
pub fn headers(
    csp: &CspName,
    credential_headers: &[HeaderName],
    request: &HttpRequest,
    key: Option<&str>,
) -> Result<HeaderMap, CallFailure> {
    headers::assemble(request.method, &request.headers, key, credential_headers)
        .map_err(|bad| refusal(csp, &bad.to_string()))
}

/// Makes the failure of a request that the adapter cannot make.
pub fn refusal(csp: &CspName, reason: &str) -> CallFailure {
    refusal_as(csp, TransportCode::RequestRefused, reason)
}

fn refusal_as(csp: &CspName, code: TransportCode, reason: &str) -> CallFailure {
    CallFailure::unsent(code, format!("HOTH refused the request to {csp}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoth_core::domain::EndpointPath;

    fn checked(request: &HttpRequest, previous: &str) -> Result<String, String> {
        let csp = "CSP_A".parse().unwrap();
        let previous = Url::parse(previous).unwrap();
        let manifest = r#"{"credentials": {"billing": {}, "member": {"parameters": ["account"]},
            "role": {"parameters": ["account", "name"]}}, "endpoints": {"costs": {}, "domain": {"parameters": ["name"]}}}"#;
        let manifest = Manifest::parse(manifest).unwrap();
        let checked = check_unconfigured(&csp, request, &manifest, Some(&previous));
        let reason = |refused: TransportFailure| {
            assert!(!refused.sent);
            let prefix = "HOTH refused the request to CSP_A: ";
            refused.message.strip_prefix(prefix).expect("the prefix").to_owned()
        };
        checked.map(String::from).map_err(reason)
    }

    fn get(target: Target) -> HttpRequest {
        HttpRequest {
            method: hoth_core::domain::Method::Get,
            target,
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
            credential: CredentialChoice::Default,
            scopes: Vec::new(),
            retry: hoth_core::domain::Retry::Safe,
        }
    }

    #[test]
    fn without_a_configuration_every_origin_that_could_be_allowed_passes() {
        let check = |location: &str, expected: Result<&str, &str>| {
            let request = get(Target::Location(location.to_owned()));
            let url = checked(&request, "https://csp.invalid/a/b");
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(url, expected, "{location}");
        };
        check("c", Ok("https://csp.invalid/a/c"));
        check("https://status.example.com/9?x", Ok("https://status.example.com/9?x"));
        check("http://127.0.0.1:8080/9", Ok("http://127.0.0.1:8080/9"));
        // From a server behind a proxy that terminates TLS.
        check("http://status.example.com/9", Ok("https://status.example.com/9"));
        check("https://a:b@h/9", Err("its location has a user name or a password"));
        check("", Err("its location is empty"));
        let null =
            "points to null, which is in none of `base_url`, `endpoints` and `allowed_origins`";
        check("file:///etc/passwd", Err(&format!("its location {null}")));
    }

    #[test]
    fn an_endpoint_must_be_declared_by_the_adapter() {
        let check = |endpoint: &str, given: &[&str], expected: Result<&str, &str>| {
            let (endpoint, path) = (endpoint.to_owned(), "/a".to_owned());
            let owned = |name: &&str| ((*name).to_owned(), "d1".to_owned());
            let parameters = given.iter().map(owned).collect();
            let target = Target::Endpoint(EndpointPath { endpoint, path, parameters });
            let url = checked(&get(target), "https://csp.invalid");
            assert_eq!(url.as_deref().map_err(String::as_str), expected);
        };
        check("costs", &[], Ok("https://costs.csp.invalid/a"));
        check("domain", &["name"], Ok("https://d1.domain.csp.invalid/a"));
        check("domain", &[], Err("its endpoint \"domain\" lacks the parameter \"name\""));
        check(
            "bills",
            &[],
            Err(
                "it asks for the endpoint \"bills\", which is not among the `endpoints` of this CSP",
            ),
        );
    }

    #[test]
    fn a_credential_must_be_declared_by_the_adapter() {
        let check = |name: &str, parameters: &[&str], expected: Result<&str, &str>| {
            let (name, owned) = (name.to_owned(), |name: &&str| ((*name).to_owned(), "1".into()));
            let parameters = parameters.iter().map(owned).collect();
            let credential = CredentialChoice::Named(CredentialUse { name, parameters });
            let request = HttpRequest { credential, ..get(Target::Path("/a".to_owned())) };
            let url = checked(&request, "https://csp.invalid");
            assert_eq!(url.as_deref().map_err(String::as_str), expected);
        };
        check("billing", &[], Ok("https://csp.invalid/a"));
        check("member", &["account"], Ok("https://csp.invalid/a"));
        check("role", &["name", "account"], Ok("https://csp.invalid/a"));
        let twice = "the credential \"role\" has the parameters [account, account], and the \
                     adapter's manifest has [account, name]";
        check("role", &["account", "account"], Err(twice));
        check("other", &[], Err("the adapter's manifest has no credential \"other\""));
        check(
            "member",
            &[],
            Err("the credential \"member\" has the parameters [], and the adapter's manifest has \
                 [account]"),
        );
    }
}
