//! Tests of the configuration of one CSP.

use expect_test::Expect;
use expect_test::expect;

use super::*;
use hoth_core::config::Names;
use hoth_core::config::Table as _;

const SMALLEST: &str = "adapter = 'atat'\nbase_url = 'https://csp-a.example.com/atat'\n";

fn parse(toml: &str) -> Config {
    toml::from_str(toml).unwrap()
}

#[test]
fn settings_have_defaults() {
    let config = parse(SMALLEST);
    assert_eq!(config.timeout(), Duration::from_secs(300));
    assert_eq!(config.connect_timeout(), Duration::from_secs(10));
    assert_eq!(config.max_concurrent.get(), 64);
    assert_eq!(config.max_response_bytes.get(), 262_144);
    assert_eq!(config.settings_json(), "{}");
    assert!(config.allowed_origins.is_empty() && config.oauth2.is_none());
    assert_eq!(config.check(&Names::default()), []);
}

#[test]
fn every_setting_can_be_configured() {
    let config = parse(
        r#"
        adapter = "atat"
        operations = ["ADD_PORTFOLIO", "COST_BY_CLIN"]
        base_url = "https://csp-a.example.com/atat"
        allowed_origins = ["https://status.example.com"]
        private_networks = ["10.0.0.0/8", "fd00::/8"]
        timeout_ms = 1000
        connect_timeout_ms = 2000
        max_concurrent = 1
        max_response_bytes = 1024
        settings = { api_version = "1.3.1", when = 2026-01-02, n = [1, 2.5, true, inf] }
        [oauth2]
        token_url = "https://idp.example.com/oauth2/token"
        client_id = "hoth"
        client_secret = { file = "secret" }
        "#,
    );
    assert_eq!(config.check(&Names::default()), []);
    assert_eq!(config.connect_timeout(), Duration::from_secs(1));
    expect![[r#"{"api_version":"1.3.1","n":[1,2.5,true,"inf"],"when":"2026-01-02"}"#]]
        .assert_eq(&config.settings_json());
}

#[test]
fn invalid_values_are_refused_by_the_parser() {
    for line in [
        "base_urll = 'https://h'",
        "timeout_ms = 0",
        "operations = []",
        "operations = 'ADD_PORTFOLIO'",
        "operations = ['add-portfolio']",
        "max_concurrent = 0",
        "max_response_bytes = -1",
        "allowed_origins = ['http://status.example.com']",
        "allowed_origins = ['https://status.example.com/path']",
        "private_networks = ['10.0.0.0']",
        "[oauth2]\ntoken_url = 'https://h'\nclient_id = 'x'\nclient_secret = 'hunter2'",
    ] {
        assert!(toml::from_str::<Config>(&format!("{SMALLEST}{line}")).is_err(), "{line}");
    }
    assert!(toml::from_str::<Config>("adapter = 'a'\nbase_url = '/x'").is_err());
}

#[test]
fn an_unknown_operation_is_refused_with_its_line() {
    let text = format!("{SMALLEST}operations = ['ADD_PORTFOLIO', 'add-portfolio']");
    let error = toml::from_str::<Config>(&text).unwrap_err().to_string();
    assert!(error.contains("line 3"), "{error}");
    assert!(
        error.contains("`add-portfolio` is not an operation; expected one of ADD_P"),
        "{error}"
    );
}

#[test]
fn validation_names_each_invalid_key() {
    let check = |toml: &str, expected: Expect| {
        let found: Vec<String> =
            parse(toml).check(&Names::default()).iter().map(ToString::to_string).collect();
        expected.assert_eq(&found.join("; "));
    };
    check(
        "adapter = ''\nbase_url = 'http://h'\ntimeout_ms = 3600001\nmax_concurrent = 10001",
        expect![
            "adapter: must not be empty; base_url: must be https, unless it points at loopback; timeout_ms: must be 1 to 3600000, not 3600001; max_concurrent: must be 1 to 10000, not 10001"
        ],
    );
    check(
        "adapter = 'a'\nbase_url = 'https://h/?q'\n[oauth2]\ntoken_url = 'http://h'\nclient_id = ''\nclient_secret.env = 'X'",
        expect![
            "base_url: must not have a query or a fragment; oauth2.token_url: must be https, unless it points at loopback; oauth2.client_id: must not be empty"
        ],
    );
}

#[test]
fn the_debug_output_of_a_configuration_names_the_source_of_a_secret() {
    let toml = format!(
        "{SMALLEST}[oauth2]\ntoken_url = 'https://h'\nclient_id = 'x'\nclient_secret.env = 'PATH'"
    );
    let config = parse(&toml);
    assert!(format!("{config:?}").contains(r#"Env("PATH")"#));
}
