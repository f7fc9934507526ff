//! The calls that the ATAT API knows.

use super::version::Version;
use crate::path;

/// The path below which every route is.
pub const BASE_PATH: &str = "/atat/api/v1";

pub const READ_PORTFOLIO: &str = "atat/read-portfolio";
pub const WRITE_PORTFOLIO: &str = "atat/write-portfolio";
pub const READ_COST: &str = "atat/read-cost";

/// The scopes of tokens.
pub const SCOPES: &[&str] = &[READ_PORTFOLIO, WRITE_PORTFOLIO, READ_COST];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    AddPortfolio,
    GetPortfolio,
    AddEnvironment,
    AddTaskOrder,
    UpdateTaskOrder,
    AddOperators,
    Cost,
    CostOfClin,
    Poll,
}

/// One route of the API.
#[derive(Debug)]
pub struct Route {
    pub method: &'static str,
    /// The segments of the path, in which `{}` stands for an id.
    pub path: &'static [&'static str],
    /// The first version with this route, and the last.
    versions: (Version, Version),
    pub operation: Operation,
    pub scope: &'static str,
}

impl Route {
    pub fn has_body(&self) -> bool {
        self.method != "GET"
    }
}

const FIRST: Version = Version(0, 0, 0);
const LAST: Version = Version(u32::MAX, u32::MAX, u32::MAX);
const ALWAYS: (Version, Version) = (FIRST, LAST);
/// The versions up to 1.0.2.
const OLD: (Version, Version) = (FIRST, Version(1, 0, 2));
const NEW: (Version, Version) = (Version(1, 0, 3), LAST);
/// The versions from 1.0.3 to 1.3.1; 1.3.2 adds no operators any more.
const MIDDLE: (Version, Version) = (Version(1, 0, 3), Version(1, 3, 1));

#[rustfmt::skip]
const ROUTES: &[Route] = &[
    route("POST", &["portfolios"], ALWAYS, Operation::AddPortfolio, WRITE_PORTFOLIO),
    route("GET", &["portfolios", "{}"], ALWAYS, Operation::GetPortfolio, READ_PORTFOLIO),
    route("POST", &["portfolios", "{}", "environments"], ALWAYS, Operation::AddEnvironment, WRITE_PORTFOLIO),
    route("POST", &["portfolios", "{}", "task-orders"], ALWAYS, Operation::AddTaskOrder, WRITE_PORTFOLIO),
    route("PUT", &["portfolios", "{}", "task-orders", "{}"], ALWAYS, Operation::UpdateTaskOrder, WRITE_PORTFOLIO),
    route("PATCH", &["portfolios", "{}"], OLD, Operation::AddOperators, WRITE_PORTFOLIO),
    route("PATCH", &["portfolios", "{}", "environments", "{}"], MIDDLE, Operation::AddOperators, WRITE_PORTFOLIO),
    route("GET", &["portfolios", "{}", "cost"], OLD, Operation::Cost, READ_COST),
    route("GET", &["portfolios", "{}", "costs"], NEW, Operation::Cost, READ_COST),
    route("GET", &["portfolios", "{}", "task-orders", "{}", "clins", "{}", "costs"], ALWAYS, Operation::CostOfClin, READ_COST),
    route("GET", &["provisioning", "{}", "status"], ALWAYS, Operation::Poll, READ_PORTFOLIO),
];

const fn route(
    method: &'static str,
    path: &'static [&'static str],
    versions: (Version, Version),
    operation: Operation,
    scope: &'static str,
) -> Route {
    Route { method, path, versions, operation, scope }
}

/// Finds the route for a path (without its query), and the decoded ids of the
/// path.
///
/// # Errors
///
/// Returns the rule of the API that the path or the method breaks.
pub fn find(
    method: &str,
    path: &str,
    version: Version,
) -> Result<(&'static Route, Vec<String>), String> {
    let below = path.strip_prefix(BASE_PATH).and_then(|rest| rest.strip_prefix('/'));
    let segments: Vec<&str> = below.map(|rest| rest.split('/').collect()).unwrap_or_default();
    let at_path: Vec<&Route> =
        ROUTES.iter().filter(|route| path::fits(route.path, &segments)).collect();
    if at_path.is_empty() {
        return Err("the API has no such path".to_owned());
    }
    let by_method = at_path.iter().filter(|route| route.method == method);
    let in_version = |route: &&&Route| (route.versions.0..=route.versions.1).contains(&version);
    let mut methods = at_path.iter().filter(in_version).map(|route| route.method).peekable();
    if methods.peek().is_none() {
        return Err(format!("version {version} of the API has no such path"));
    }
    let Some(route) = by_method.into_iter().find(in_version) else {
        let methods: Vec<_> = methods.collect();
        return Err(format!("the path takes {} in version {version}", methods.join(" and ")));
    };
    Ok((route, path::ids(route.path, &segments)?))
}
