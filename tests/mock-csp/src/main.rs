//! The mock CSP as a program, for the demo, benchmarks and experiments.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use clap::ValueEnum;
use serde_json::json;

use mock_csp::MockCsp;
use mock_csp::Mode;
use mock_csp::Options;
use mock_csp::Server;
use mock_csp::Stratus;
use mock_csp::Version;
use mock_csp::atat::CLIENT_ID;
use mock_csp::atat::CLIENT_SECRET;
use mock_csp::stratus;

const EXAMPLE: &str = "\
Examples:
  mock-csp --listen 127.0.0.1:9000 --mode async --polls 3 --slow-ms 50
  mock-csp --api stratus --polls 3

When it serves, it prints one line of JSON with base_url and what a client needs
to show who it is: token_url, client_id and client_secret, or key_header and key.
Requests that break a rule of the API are refused and named on standard error.";

/// Serve a mock Cloud Service Provider until killed
#[derive(Debug, Parser)]
#[command(name = "mock-csp", version, after_help = EXAMPLE)]
struct Arguments {
    /// API to serve; the options for names, versions and clients apply to the
    /// ATAT API only
    #[arg(long, value_enum, default_value_t = Api::Atat)]
    api: Api,
    /// Address of the API; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Do work at once, or accept it for later
    #[arg(long, value_enum, default_value_t = Timing::Sync)]
    mode: Timing,
    /// Delay of each answer of the API, in milliseconds
    #[arg(long, default_value_t = 0, value_name = "N")]
    slow_ms: u64,
    /// Number of polls that find work in progress (with --mode async, or --api
    /// stratus)
    #[arg(long, default_value_t = 2, value_name = "N")]
    polls: u32,
    /// Refuse portfolios of this name with 503, twice
    #[arg(long, value_name = "NAME")]
    fail_twice: Option<String>,
    /// Refuse portfolios of this name with 503, always
    #[arg(long, value_name = "NAME")]
    fail_always: Option<String>,
    /// Version of the API to serve
    #[arg(long, default_value = "1.3.1", value_name = "VERSION")]
    api_version: Version,
    /// Client id that may request tokens
    #[arg(long, default_value = CLIENT_ID, value_name = "ID")]
    client_id: String,
    /// Secret of that client
    #[arg(long, default_value = CLIENT_SECRET, value_name = "SECRET")]
    client_secret: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Api {
    Atat,
    Stratus,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Timing {
    Sync,
    Async,
}

impl From<Arguments> for Options {
    fn from(arguments: Arguments) -> Self {
        Self {
            listen: arguments.listen,
            mode: match arguments.mode {
                Timing::Sync => Mode::Sync,
                Timing::Async => Mode::Async { polls: arguments.polls },
            },
            api_version: arguments.api_version,
            client_id: arguments.client_id,
            client_secret: arguments.client_secret,
            delay: Duration::from_millis(arguments.slow_ms),
            fail_twice: arguments.fail_twice,
            fail_always: arguments.fail_always,
            ..Self::default()
        }
    }
}

// One thread, because the program under test needs the other cores.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.api {
        Api::Atat => serve_atat(arguments.into()).await,
        Api::Stratus => serve_stratus(&arguments).await,
    }
}

async fn serve_atat(options: Options) -> anyhow::Result<()> {
    let csp = MockCsp::start(options).await.context("listening")?;
    // Kept calls could not be read from outside.
    csp.record(false);
    say(&json!({
        "base_url": csp.base_url(),
        "token_url": csp.token_url(),
        "client_id": csp.client_id(),
        "client_secret": csp.client_secret(),
    }))?;
    tokio::join!(report(csp.api()), report(csp.identity()));
    Ok(())
}

async fn serve_stratus(arguments: &Arguments) -> anyhow::Result<()> {
    let csp = Stratus::start(stratus::Options {
        listen: arguments.listen,
        polls: arguments.polls,
        delay: Duration::from_millis(arguments.slow_ms),
        ..stratus::Options::default()
    });
    let csp = csp.await.context("listening")?;
    csp.server().record(false);
    say(&json!({
        "base_url": csp.base_url(),
        "key_header": stratus::KEY_HEADER,
        "key": csp.key(),
    }))?;
    report(csp.server()).await;
    Ok(())
}

fn say(line: &serde_json::Value) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).context("printing the addresses")
}

/// Prints violations as they happen.
async fn report(server: &Server) {
    let mut seen = 0;
    loop {
        let violations = server.violations_after(seen).await;
        seen += violations.len();
        for violation in violations {
            // Without a standard error there is no reader.
            let _ = writeln!(std::io::stderr(), "{violation}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_become_options() {
        let arguments = Arguments::parse_from([
            "mock-csp",
            "--listen",
            "127.0.0.1:0",
            "--mode",
            "async",
            "--slow-ms",
            "300",
            "--polls",
            "4",
            "--fail-twice",
            "Fails twice",
            "--fail-always",
            "Fails for good",
            "--api-version",
            "1.0.2",
            "--client-id",
            "me",
            "--client-secret",
            "mine",
        ]);
        let options = Options::from(arguments);
        assert_eq!(options.mode, Mode::Async { polls: 4 });
        assert_eq!(options.delay, Duration::from_millis(300));
        assert_eq!(options.api_version, Version(1, 0, 2));
        assert_eq!(options.fail_twice.as_deref(), Some("Fails twice"));
        assert_eq!(options.fail_always.as_deref(), Some("Fails for good"));
        assert_eq!((options.client_id.as_str(), options.client_secret.as_str()), ("me", "mine"));
    }

    #[test]
    fn the_defaults_are_those_of_the_tests() {
        let options = Options::from(Arguments::parse_from(["mock-csp"]));
        assert_eq!(format!("{options:?}"), format!("{:?}", Options::default()));
    }
}
