//! The inputs of `hoth adapter run`: a job, settings, and a CSP.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use anyhow::anyhow;
use anyhow::bail;
use serde_json::Value;

use super::RunArgs;
use super::answers;
use super::answers::Answers;
use crate::config::Config;
use crate::replay::Journal;
use crate::replay::Moment;
use crate::replay::RunInput;
use hoth_core::domain::CspName;
use hoth_core::domain::Job;
use hoth_core::domain::SupportedOperations;
use hoth_core::domain::request;
use hoth_core::domain::request::Known;
use hoth_core::domain::request::Refusal;
use hoth_core::workflow::PollPolicy;
use hoth_core::workflow::RetryPolicy;

/// Largest file that is read, in bytes: far more than a host accepts, and as
/// much as the largest journal.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// The source of responses.
pub enum Csp {
    Script(Answers),
    Network(hoth_egress::Client),
}

/// The inputs of a run.
pub struct Inputs {
    pub job: Job,
    /// The settings of the CSP, a JSON object.
    pub settings: String,
    pub csp: Csp,
    pub retry: RetryPolicy,
    pub polling: PollPolicy,
    /// The time and the entropy of each call of a recorded job; empty for
    /// another job.
    pub moments: Vec<Moment>,
}

/// Reads all inputs.
pub fn read(run: &RunArgs) -> anyhow::Result<Inputs> {
    let given = run.settings.as_deref().map(settings).transpose()?;
    // clap requires one of them.
    let Some(file) = &run.job else {
        let file = run.journal.as_deref().context("give --job or --journal")?;
        return recorded(file, given);
    };
    let text = read_file(file)?;
    let job = job(&text).with_context(|| format!("job in {}", file.display()))?;
    let config = match &run.config {
        Some(file) => Config::load(file)?,
        None => toml::from_str("").context("the defaults")?,
    };
    // clap excludes combinations of `--config`, `--base-url` and `--answers`, so
    // the order of these cases decides nothing.
    let client = match (&run.config, &run.base_url) {
        (Some(_), _) => Some(configured(&config, &job.csp)?),
        (None, Some(url)) => Some(at(url, &job.csp)?),
        (None, None) => None,
    };
    let configured = client.as_ref().map(|client| client.settings_json().to_owned());
    let csp = match (client, &run.answers) {
        (Some(client), _) => Csp::Network(client),
        (None, Some(file)) => Csp::Script(
            answers::parse(&read_file(file)?)
                .with_context(|| format!("answers in {}", file.display()))?,
        ),
        (None, None) => Csp::Script(Answers::default()),
    };
    let settings = given.or(configured).unwrap_or_else(|| "{}".to_owned());
    let (retry, polling) = (config.retry.policy(), config.poll_policy());
    Ok(Inputs { job, settings, csp, retry, polling, moments: Vec::new() })
}

/// Reads the inputs of a recorded job. `given` replaces its settings.
fn recorded(file: &Path, given: Option<String>) -> anyhow::Result<Inputs> {
    let journal = journal(file)?;
    let input = RunInput::of(&journal).with_context(|| format!("journal {}", file.display()))?;
    let defaults: Config = toml::from_str("").context("the defaults")?;
    Ok(Inputs {
        job: input.job,
        settings: given.unwrap_or(input.settings),
        csp: Csp::Script(Answers::of(input.events)),
        retry: defaults.retry.policy(),
        polling: defaults.poll_policy(),
        moments: input.moments,
    })
}

/// Reads a journal.
pub fn journal(file: &Path) -> anyhow::Result<Journal> {
    let text = read_file(file)?;
    Journal::decode(&text).with_context(|| format!("reading {}", file.display()))
}

/// Parses the body that ServiceNow would post. Every CSP is accepted, and a
/// missing `jobId` always gets the same value, so that a run can be repeated.
fn job(text: &str) -> anyhow::Result<Job> {
    let body: Value = serde_json::from_str(text).context("not JSON")?;
    let name = body["targetCspName"].as_str().context("targetCspName: is required")?;
    let csps = BTreeMap::from([(name.parse::<CspName>()?, SupportedOperations::default())]);
    let (known, bytes) = (Known::of(&csps), text.as_bytes());
    let read = match body["operationType"].is_null() {
        false => request::provisioning(bytes, known, || "job-1".parse().expect("a valid id")),
        true => request::cost(bytes, known),
    };
    read.map_err(|refusal| match refusal {
        Refusal::NotJson(problem) => anyhow!("the request {problem}"),
        Refusal::TooDeep => anyhow!("nested deeper than {} levels", request::NESTING_MAX),
        Refusal::Invalid(wrong) => {
            let wrong = wrong.iter().map(|(field, problem)| format!("{field}: {problem}"));
            anyhow!("{}", wrong.collect::<Vec<_>>().join("; "))
        }
    })
}

fn settings(given: &str) -> anyhow::Result<String> {
    // No file name starts with a brace in practice, and settings must be an
    // object.
    let text = match given.trim_start().starts_with('{') {
        true => given.to_owned(),
        false => read_file(Path::new(given))?,
    };
    match serde_json::from_str(&text).context("settings are not JSON")? {
        Value::Object(_) => Ok(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            bail!("settings are not a JSON object")
        }
    }
}

fn configured(config: &Config, name: &CspName) -> anyhow::Result<hoth_egress::Client> {
    let settings = config
        .csp
        .get(name)
        .with_context(|| format!("no `[csp.{name}]` in {}", config.file.display()))?;
    if let Some(missing) = settings.unusable_secrets().into_iter().next() {
        return Err(anyhow::Error::from(missing).context(format!("csp.{name}")));
    }
    hoth_egress::Client::build(name, settings).with_context(|| format!("csp.{name}"))
}

/// Returns a client for a CSP that has only a base URL and no configuration.
fn at(base_url: &str, name: &CspName) -> anyhow::Result<hoth_egress::Client> {
    let base_url = toml::Value::from(base_url);
    let settings =
        toml::from_str::<hoth_egress::Config>(&format!("adapter = '-'\nbase_url = {base_url}"));
    let settings = settings.context("--base-url")?;
    hoth_egress::Client::build(name, &settings).context("--base-url")
}

fn read_file(file: &Path) -> anyhow::Result<String> {
    let reading = || format!("reading {}", file.display());
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(FILE_BYTES_MAX + 1).read_to_string(&mut text)
    } else {
        let file = std::fs::File::open(file).with_context(reading)?;
        file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)
    };
    if read.with_context(reading)? as u64 > FILE_BYTES_MAX {
        bail!("{} is larger than {FILE_BYTES_MAX} bytes", file.display());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> String {
        match job(text) {
            Ok(job) => format!("{} {} {}", job.id, job.operation.wit_name(), job.csp),
            Err(error) => format!("{error:#}"),
        }
    }

    #[test]
    fn a_job_has_the_form_that_servicenow_posts() {
        assert_eq!(
            line(
                r#"{"portfolioId":"p","targetCspName":"ACME","operationType":"GET_PORTFOLIO","payload":{}}"#
            ),
            "job-1 get-portfolio ACME"
        );
        assert_eq!(
            line(
                r#"{"requestId":"r","portfolioId":"p","targetCspName":"ACME","startDate":"2022-01","endDate":"2022-02"}"#
            ),
            "r cost-by-portfolio ACME"
        );
    }

    #[test]
    fn an_invalid_job_is_refused_with_its_fields() {
        assert_eq!(
            line(r#"{"targetCspName":"ACME","operationType":"GET_PORTFOLIO"}"#),
            "payload: is required; portfolioId: is required"
        );
        assert_eq!(line("{}"), "targetCspName: is required");
        assert!(line(r#"{"targetCspName":"A B"}"#).contains("is not a CSP name"));
        assert!(line("nonsense").starts_with("not JSON"));
    }

    #[test]
    fn settings_must_be_an_object() {
        assert_eq!(settings(r#" {"a":1}"#).unwrap(), r#" {"a":1}"#);
        assert!(settings("{").is_err());
        assert!(settings("no-such-file.json").unwrap_err().to_string().contains("no-such-file"));
    }
}
