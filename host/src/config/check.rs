//! The one place that checks a configuration: every table by its own rules, and
//! the tables against one another.

use std::net::SocketAddr;

use super::Config;
use crate::registry::TrustError;
use hoth_core::config::Names;
use hoth_core::config::Problem;
use hoth_core::config::Table;

/// Returns every problem of a configuration, with whole keys. Blocks: it reads
/// the files of keys and certificates.
pub fn problems(config: &Config) -> Vec<Problem> {
    let names = Names {
        csps: config.csp.keys().collect(),
        adapters: config.csp.values().map(|csp| csp.adapter.as_str()).collect(),
    };
    let mut problems = Vec::new();
    if config.csp.is_empty() {
        problems.push(Problem::new("csp", "no CSP is configured: add a table `[csp.NAME]`"));
    }
    for (name, table) in tables(config) {
        let found = table.check(&names).into_iter();
        problems.extend(found.map(|problem| problem.in_table(&name)));
    }
    problems.extend(config.trust().err().map(untrusted));
    problems.extend(clash(config.api.listen, config.admin.listen));
    problems.extend(exposed(config));
    problems
}

/// Lists the tables of a configuration, with their names.
fn tables(config: &Config) -> Vec<(String, &dyn Table)> {
    // Without `..`, so that the compiler asks for each new table.
    let Config {
        file: _,
        keys: _,
        api,
        admin,
        console,
        auth,
        limits,
        queue,
        adapters,
        replay,
        trail,
        retry,
        polling,
        provisioning,
        worker,
        shutdown,
        telemetry,
        csp,
    } = config;
    let csps = csp.iter().map(|(name, csp)| (format!("csp.{name}"), csp as &dyn Table));
    let named: [(&str, &dyn Table); 15] = [
        ("api", api),
        ("admin", admin),
        ("console", console),
        ("queue", queue),
        ("auth", auth),
        ("limits", limits),
        ("adapters", adapters),
        ("replay", replay),
        ("trail", trail),
        ("retry", retry),
        ("polling", polling),
        ("worker", worker),
        ("shutdown", shutdown),
        ("provisioning", provisioning),
        ("telemetry", telemetry),
    ];
    csps.chain(named.map(|(name, table)| (name.to_owned(), table))).collect()
}

/// The table `[adapters]` belongs to the sandbox, but its keys of signers to the
/// registry.
fn untrusted(error: TrustError) -> Problem {
    let key = match error {
        TrustError::BadKey(_) => "adapters.trusted_keys",
        TrustError::NoTrustedKey => "adapters.require_signature",
    };
    Problem::new(key, error)
}

/// Returns the problem of two listeners that cannot have their addresses at the
/// same time. Port 0 is a new port each time.
fn clash(api: SocketAddr, admin: SocketAddr) -> Option<Problem> {
    let any = api.ip().is_unspecified() || admin.ip().is_unspecified();
    let clash = api.port() != 0
        && api.port() == admin.port()
        && api.is_ipv4() == admin.is_ipv4()
        && (any || api.ip() == admin.ip());
    let message = format!("{admin} is taken by `api.listen`, {api}");
    clash.then(|| Problem::new("admin.listen", message))
}

/// Returns the problems of listeners that other machines can reach without any
/// key.
fn exposed(config: &Config) -> Vec<Problem> {
    let listeners = [("api.listen", config.api.listen), ("admin.listen", config.admin.listen)];
    let exposed =
        |(_, listen): &(&str, SocketAddr)| config.auth.is_open() && !listen.ip().is_loopback();
    let problem = |(key, listen): (&str, SocketAddr)| {
        let message = format!(
            "{listen} is not loopback, and no key is configured: add one under `[[auth.bearer]]` \
             or `[[auth.sigv4]]`, or listen on 127.0.0.1"
        );
        Problem::new(key, message)
    };
    listeners.into_iter().filter(exposed).map(problem).collect()
}
