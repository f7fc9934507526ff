//! `hoth check`: validates a configuration, its secrets and the deployed
//! adapters.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use super::USAGE;
use super::in_runtime;
use super::print_error_text;
use super::refuse;
use super::say;
use crate::config::Config;
use crate::registry;
use hoth_runtime::Compiler;
use hoth_runtime::Engine;

/// The permission of all users of a machine to read a file.
const READABLE_BY_ALL: u32 = 0o004;

/// Validates the configuration at `path`, and prints every mistake. Warnings are
/// about what a host starts with, and that may be a mistake. `strict` makes them
/// fail the command.
pub fn run(path: &Path, strict: bool) -> ExitCode {
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(error) => return refuse(&error.into()),
    };
    let mut errors = secrets(&config);
    let mut warnings = missing_adapters(&config);
    warnings.extend(exposed_secrets(&config));
    match in_runtime(refused_adapters(&config)) {
        Ok(refused) => errors.extend(refused),
        Err(error) => errors.push(format!("{error:#}")),
    }
    warnings.iter().for_each(|warning| print_error_text(&format!("warning: {warning}")));
    errors.iter().for_each(|error| print_error_text(&format!("hoth: {error}")));
    if !errors.is_empty() {
        return ExitCode::from(USAGE);
    }
    let adapters: BTreeSet<&str> = config.csp.values().map(|csp| csp.adapter.as_str()).collect();
    say(&format!(
        "{} is valid: {}, {}{}",
        path.display(),
        counted(config.csp.len(), "CSP"),
        counted(adapters.len(), "adapter"),
        if warnings.is_empty() {
            String::new()
        } else {
            format!(", {}", counted(warnings.len(), "warning"))
        },
    ));
    match strict && !warnings.is_empty() {
        true => ExitCode::from(USAGE),
        false => ExitCode::SUCCESS,
    }
}

/// Returns a number with its noun.
fn counted(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

/// Returns the secrets and credentials that cannot be used.
fn secrets(config: &Config) -> Vec<String> {
    let mut errors = Vec::new();
    if let Some(Err(error)) = config.api.batch_key.as_ref().map(|source| source.read()) {
        errors.push(format!("api.batch_key: {error}"));
    }
    for (name, settings) in &config.csp {
        if let Err(error) = hoth_egress::Client::build(name, settings) {
            errors.push(format!("csp.{name}: {:#}", anyhow::Error::from(error)));
        }
        let unusable = settings.unusable_secrets().into_iter();
        errors.extend(unusable.map(|problem| problem.in_table(&format!("csp.{name}")).to_string()));
    }
    errors
}

/// Returns the adapters that are not deployed, for which jobs wait.
fn missing_adapters(config: &Config) -> Vec<String> {
    let directory = &config.adapters.directory;
    if !directory.is_dir() {
        let directory = directory.display();
        return vec![format!("adapters.directory: {directory} does not exist; all jobs wait")];
    }
    let missing = config.csp.iter().filter_map(|(name, settings)| {
        let file = directory.join(format!("{}.wasm", settings.adapter));
        let file = (!file.is_file()).then(|| file.display().to_string())?;
        Some(format!("csp.{name}.adapter: {file} does not exist; jobs for {name} wait"))
    });
    missing.collect()
}

/// Returns the files of secrets that every user of this machine can read.
fn exposed_secrets(config: &Config) -> Vec<String> {
    let csps = config.csp.iter().flat_map(|(name, settings)| {
        let files = settings.secret_files().into_iter();
        files.map(move |(key, path)| (format!("csp.{name}.{key}"), path))
    });
    let signers = config.auth.files().into_iter().map(|path| ("auth.sigv4".to_owned(), path));
    let tls = [("api", &config.api.tls), ("admin", &config.admin.tls)];
    let keys = tls
        .into_iter()
        .filter_map(|(table, tls)| Some((format!("{table}.tls.key"), tls.as_ref()?.key.clone())));
    let files: Vec<(String, PathBuf)> = csps.chain(signers).chain(keys).collect();
    let exposed = files.into_iter().filter(|(_, path)| is_readable_by_all(path));
    let warning = |(key, path): (String, PathBuf)| {
        let path = path.display();
        format!("{key}: every user of this machine can read {path}: chmod o-r {path}")
    };
    exposed.map(warning).collect()
}

fn is_readable_by_all(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.permissions().mode() & READABLE_BY_ALL != 0)
}

/// Returns the adapters in the adapters directory that a host would refuse.
async fn refused_adapters(config: &Config) -> anyhow::Result<Vec<String>> {
    let engine = Engine::without_cache(&config.adapters, Compiler::Subprocess)
        .context("setting up the adapter engine")?;
    let trust = config.trust().context("reading adapters.trusted_keys")?;
    let directory = &config.adapters.directory;
    let refused =
        registry::check_drop_dir(&engine, &trust, directory, config.csp_requirements()).await;
    let refused = refused.context("checking the adapters")?;
    let sentence = |(name, why): (_, _)| {
        let file = directory.join(format!("{name}.wasm"));
        format!("{} would be refused: {why}", file.display())
    };
    Ok(refused.iter().map(|(name, why)| sentence((name, why))).collect())
}
