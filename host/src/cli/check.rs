//! `hoth check`: validates a configuration, its secrets and the deployed
//! adapters.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use super::USAGE;
use super::in_runtime;
use super::print_error_text;
use super::refuse;
use super::say;
use crate::config::Config;
use crate::registry;
use hoth_core::domain::Timestamp;
use hoth_platform::certificate;
use hoth_platform::clock::Clock;
use hoth_runtime::Compiler;
use hoth_runtime::Engine;

/// The permission of all users of a machine to read a file.
const READABLE_BY_ALL: u32 = 0o004;

/// The rest of a certificate's time from which on it is worth a warning: enough
/// for most ways to get a new one.
const EXPIRY_WARNING: Duration = Duration::from_secs(14 * 24 * 60 * 60);

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
    warnings.extend(limits_without_effect(&config));
    let now = Clock::system().wall();
    for (key, file) in certificates(&config) {
        match end_of(&file, now) {
            None => {}
            Some(End::Past(at)) => {
                errors.push(format!("{key}: {} expired at {at}", file.display()))
            }
            Some(End::Near(at)) => {
                warnings.push(format!("{key}: {} expires at {at}", file.display()));
            }
        }
    }
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

/// Returns the files of certificates, each with its key.
fn certificates(config: &Config) -> Vec<(String, PathBuf)> {
    let listeners = [("api", &config.api.tls), ("admin", &config.admin.tls)];
    let listeners = listeners.into_iter().filter_map(|(table, tls)| {
        Some((format!("{table}.tls.certificate"), tls.as_ref()?.certificate.clone()))
    });
    let csps = config.csp.iter().flat_map(|(name, csp)| {
        csp.certificates().into_iter().map(move |(key, file)| (format!("csp.{name}.{key}"), file))
    });
    listeners.chain(csps).collect()
}

/// The end of a certificate that is near or past, as text.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Past(String),
    Near(String),
}

/// Returns the end of the certificates in a file if it is past, or within
/// [`EXPIRY_WARNING`]. A file that cannot be read is the mistake of another
/// check.
fn end_of(file: &Path, now: Timestamp) -> Option<End> {
    let end = certificate::expires_at(&std::fs::read(file).ok()?)?;
    let text = end.to_rfc3339();
    match end {
        end if end <= now => Some(End::Past(text)),
        end if end <= now + EXPIRY_WARNING => Some(End::Near(text)),
        _ => None,
    }
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

/// Returns the limits of adapters that no CSP uses, such as misspelt ones.
fn limits_without_effect(config: &Config) -> Vec<String> {
    let is_used = |name: &&String| config.csp.values().any(|csp| csp.adapter == **name);
    let unused = config.adapters.limits.keys().filter(|name| !is_used(name));
    let warning = |name| format!("adapters.limits.{name}: no CSP uses an adapter `{name}`");
    unused.map(warning).collect()
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
    let peers = config.console.peers.iter().enumerate().filter_map(|(n, peer)| {
        let file = peer.token.as_ref()?.file()?;
        Some((format!("console.peers[{n}].token"), file.to_owned()))
    });
    let files: Vec<(String, PathBuf)> = csps.chain(signers).chain(keys).chain(peers).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_of_a_certificate_is_told_when_it_is_near_or_past() {
        let mut parameters = rcgen::CertificateParams::new(["h".to_owned()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(2030, 1, 15);
        let key = rcgen::KeyPair::generate().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("c.pem");
        std::fs::write(&file, parameters.self_signed(&key).unwrap().pem()).unwrap();
        let text = "2030-01-15T00:00:00Z".to_owned();
        let end = 1_894_665_600;
        for (seconds, expected) in [
            (end - 15 * 86_400, None),
            (end - 14 * 86_400, Some(End::Near(text.clone()))),
            (end - 1, Some(End::Near(text.clone()))),
            (end, Some(End::Past(text.clone()))),
        ] {
            let now = Timestamp::from_unix(Duration::from_secs(seconds));
            assert_eq!(end_of(&file, now), expected, "{seconds}");
        }
    }

    #[test]
    fn limits_of_an_adapter_that_no_csp_uses_are_told() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("hoth.toml");
        let csp = "[csp.CSP_A]\nadapter = 'atat'\nbase_url = 'https://a.example'\n";
        let limits = |name| format!("[adapters.limits.{name}]\ndeadline_ms = 5000\n");
        let text = [csp, &limits("atat"), &limits("ataat")].concat();
        std::fs::write(&file, text).unwrap();
        let warnings = limits_without_effect(&Config::load(&file).unwrap());
        assert_eq!(warnings, ["adapters.limits.ataat: no CSP uses an adapter `ataat`"]);
    }

    #[test]
    fn a_file_that_all_can_read_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        std::fs::write(&file, "s").unwrap();
        for (mode, expected) in [(0o600, false), (0o640, false), (0o644, true)] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(is_readable_by_all(&file), expected, "{mode:o}");
        }
    }
}
