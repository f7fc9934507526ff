//! The calls that the Stratus API knows.

use crate::path;

/// The path below which every route is.
pub const BASE_PATH: &str = "/stratus/v2";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    MakeTenant,
    ReadTenant,
    MakeAccount,
    ReadAccount,
    PutContacts,
    MakeFunding,
    Poll,
    ReadCharges,
}

/// One route of the API.
#[derive(Debug)]
pub struct Route {
    method: &'static str,
    /// The segments of the path, in which `{}` stands for an id.
    path: &'static [&'static str],
    pub operation: Operation,
}

impl Route {
    /// Returns `true` if the route makes something, and so needs the header
    /// `Stratus-Once`.
    pub fn makes(&self) -> bool {
        self.method == "POST"
    }

    pub fn has_body(&self) -> bool {
        self.method != "GET"
    }
}

#[rustfmt::skip]
const ROUTES: &[Route] = &[
    route("POST", &["tenants"], Operation::MakeTenant),
    route("GET", &["tenants", "{}"], Operation::ReadTenant),
    route("POST", &["tenants", "{}", "accounts"], Operation::MakeAccount),
    route("POST", &["tenants", "{}", "fundings"], Operation::MakeFunding),
    route("GET", &["tenants", "{}", "charges"], Operation::ReadCharges),
    route("GET", &["accounts", "{}"], Operation::ReadAccount),
    route("PUT", &["accounts", "{}", "contacts"], Operation::PutContacts),
    route("GET", &["operations", "{}"], Operation::Poll),
];

const fn route(method: &'static str, path: &'static [&'static str], operation: Operation) -> Route {
    Route { method, path, operation }
}

/// Finds the route for a path (without its query), and the decoded ids of the
/// path.
///
/// # Errors
///
/// Returns the rule of the API that the path or the method breaks.
pub fn find(method: &str, path: &str) -> Result<(&'static Route, Vec<String>), String> {
    let below = path.strip_prefix(BASE_PATH).and_then(|rest| rest.strip_prefix('/'));
    let segments: Vec<&str> = below.map(|rest| rest.split('/').collect()).unwrap_or_default();
    let mut at_path = ROUTES.iter().filter(|route| path::fits(route.path, &segments)).peekable();
    if at_path.peek().is_none() {
        return Err("the API has no such path".to_owned());
    }
    let route = at_path.find(|route| route.method == method);
    let route = route.ok_or_else(|| format!("the path does not take {method}"))?;
    Ok((route, path::ids(route.path, &segments)?))
}
