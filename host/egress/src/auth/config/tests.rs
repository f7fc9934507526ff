//! Rules for the tables of credentials.

use std::path::Path;

use expect_test::Expect;
use expect_test::expect;

use crate::Config;
use crate::tests::vectors;
use hoth_core::config::Names;
use hoth_core::config::Table as _;

fn parse(more: &str) -> Config {
    let base = "adapter = 'a'\nbase_url = 'https://sso.us-gov-west-1.amazonaws.com'";
    toml::from_str(&format!("{base}\n{more}")).unwrap()
}

#[track_caller]
fn check(more: &str, expected: Expect) {
    let problems = parse(more).check(&Names::default());
    let problems = problems.iter().map(ToString::to_string);
    // The places of credentials have tests of their own, in `endpoints`.
    let problems: Vec<_> = problems.filter(|text| !text.contains("is sent nowhere")).collect();
    expected.assert_eq(&problems.join("\n"));
}

const OAUTH2: &str = "oauth2.token_url = 'https://idp/token?p=1'\noauth2.client_id = 'me'\n";
const ROLE: &str = "role_arn = 'arn:aws:iam::{account}:role/r'
    parameters = { account = '[0-9]{12}' }
    sts_url = 'https://sts.us-gov-west-1.amazonaws.com'\n";
const KEYS: &str = "access_key_id.env = 'A'\nsecret_access_key.env = 'B'\n";

#[test]
fn an_oauth2_client_has_one_way_to_prove_its_identity() {
    let check = |more: &str, expected: Expect| check(&format!("{OAUTH2}{more}"), expected);
    let certificate = "oauth2.client_certificate = { certificate.file = 'c', key.file = 'k', algorithm = 'RS256' }";
    for good in [
        "oauth2.client_secret.env = 'S'\noauth2.client_authentication = 'post'",
        "oauth2.client_assertion.file = 'token'\noauth2.scopes = ['a', 'b']",
        certificate,
        "oauth2.client_secret.env = 'S'\noauth2.parameters = { audience = 'x', resource = 'y' }",
    ] {
        check(good, expect![""]);
    }
    let none = expect![
        "oauth2: must have exactly one of `client_secret`, `client_certificate` and `client_assertion`"
    ];
    check("", none);
    check(
        &format!("oauth2.client_secret.env = 'S'\n{certificate}"),
        expect![
            "oauth2: must have exactly one of `client_secret`, `client_certificate` and `client_assertion`"
        ],
    );
    check(
        &format!("oauth2.client_authentication = 'basic'\n{certificate}"),
        expect!["oauth2.client_authentication: belongs to `client_secret`, which is missing"],
    );
    check(
        "oauth2.client_secret.env = 'S'\noauth2.parameters.scope = 'x'",
        expect!["oauth2.parameters: must not have `scope`, which HOTH sets"],
    );
}

#[test]
fn keys_for_aws_have_one_source() {
    let check = |more: &str, expected: Expect| check(&format!("[aws_sigv4]\n{more}"), expected);
    let web = "web_identity = { role_arn = 'arn:aws:iam::1:role/r', token.file = 't', sts_url = 'https://sts' }\n";
    for good in [KEYS, &format!("{KEYS}session_token.env = 'C'"), web] {
        check(good, expect![""]);
    }
    let sources = "aws_sigv4: must have exactly one of `access_key_id` with `secret_access_key`, `assume_role` and `web_identity`";
    for bad in [String::new(), format!("{KEYS}{web}")] {
        let problems = parse(&format!("[aws_sigv4]\n{bad}")).check(&Names::default());
        assert_eq!(problems.first().unwrap().to_string(), sources);
    }
    check(
        "access_key_id.env = 'A'",
        expect!["aws_sigv4: must have both `access_key_id` and `secret_access_key`"],
    );
    check(
        &format!("{KEYS}signing = {{ service = 'CE', region = '' }}"),
        expect![[r#"
            aws_sigv4.signing.service: must be of lower-case letters, digits and dashes
            aws_sigv4.signing.region: must be of lower-case letters, digits and dashes"#]],
    );
    check(
        "web_identity = { role_arn = 'r', token.file = 't', sts_url = 'http://sts', duration_s = 60, session_name = 'a b' }",
        expect![[r#"
            aws_sigv4.web_identity.role_arn: must be the ARN of a role: `arn:…`
            aws_sigv4.web_identity.sts_url: must be https, unless it points at loopback
            aws_sigv4.web_identity.duration_s: must be 900 to 43200, not 60
            aws_sigv4.web_identity.session_name: must be 2 to 64 letters, digits and characters of `_+=,.@-`"#]],
    );
}

#[test]
fn a_role_is_assumed_with_keys_that_exist() {
    let keys = format!("[aws_sigv4]\n{KEYS}");
    let role = |name: &str, more: &str| {
        format!("[credentials.{name}.aws_sigv4.assume_role]\n{ROLE}{more}\n")
    };
    check(&format!("{keys}{}", role("a", "")), expect![""]);
    check(
        &format!("{keys}{}", role("a", "from = 'b'")),
        expect![
            "credentials.a.aws_sigv4.assume_role.from: must be a credential of the kind `aws_sigv4`, not `b`"
        ],
    );
    check(
        &format!("{keys}{}{}", role("a", "from = 'b'"), role("b", "")),
        expect![
            "credentials.a.aws_sigv4.assume_role.from: must not be `b`, whose role has parameters"
        ],
    );
    check(
        &format!("[aws_sigv4.assume_role]\n{ROLE}from = 'k'\n[credentials.k.aws_sigv4]\n{KEYS}"),
        expect![
            "aws_sigv4.assume_role.parameters: must be those of a named credential: no request gives any to the default one"
        ],
    );
    let plain = |name: &str, from: &str| {
        format!(
            "[credentials.{name}.aws_sigv4.assume_role]\nrole_arn = 'arn:x'\nfrom = '{from}'\nsts_url = 'https://sts'\nregion = 'us-east-1'\n"
        )
    };
    check(&format!("{keys}{}{}", plain("a", "b"), plain("b", "default")), expect![""]);
    check(
        &format!("{}{}", plain("a", "b"), plain("b", "a")),
        expect![[r#"
            credentials.a.aws_sigv4.assume_role.from: must not lead back to the same role
            credentials.b.aws_sigv4.assume_role.from: must not lead back to the same role"#]],
    );
    check(
        &format!(
            "{keys}[credentials.a.aws_sigv4.assume_role]\nrole_arn = 'arn:{{x}}'\nsts_url = 'https://sts'"
        ),
        expect![[r#"
            credentials.a.aws_sigv4.assume_role.role_arn: has `{x}`, which `parameters` does not have
            credentials.a.aws_sigv4.assume_role.region: is missing: the host name in `sts_url` does not have it"#]],
    );
}

#[test]
fn the_scope_of_signatures_is_known_before_the_first_request() {
    let keys = format!("[aws_sigv4]\n{KEYS}");
    let base = "adapter = 'a'\nbase_url = 'https://iam.amazonaws.com'";
    let check = |more: &str, expected: Expect| {
        let config: Config = toml::from_str(&format!("{base}\n{more}")).unwrap();
        let problems = config.check(&Names::default());
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        expected.assert_eq(&problems.join("\n"));
    };
    check(&format!("{keys}signing = {{ service = 'iam', region = 'us-east-1' }}"), expect![""]);
    check(
        &keys,
        expect![
            "aws_sigv4.signing: is missing: the host name in `base_url` does not have the service and the region"
        ],
    );
    let endpoint = |more: &str| {
        format!(
            "credentials.k.aws_sigv4 = {{ {}, {} }}\nendpoints.x = {{ credential = 'k', {more} }}",
            "access_key_id.env = 'A'", "secret_access_key.env = 'B'"
        )
    };
    for good in [
        "url = 'https://ce.us-east-1.amazonaws.com'",
        "url = 'https://sso.{region}.amazonaws.com'",
        "url = 'https://proxy.example.com', signing = { service = 'ce', region = 'us-east-1' }",
    ] {
        check(&endpoint(good), expect![""]);
    }
    check(
        &endpoint("url = 'https://proxy.example.com'"),
        expect![
            "endpoints.x.signing: is missing: the host name in `url` does not have the service and the region"
        ],
    );
    check(
        &endpoint("url = 'https://h', signing = { service = 'C/E', region = \"a\\nb\" }"),
        expect![[r#"
            endpoints.x.signing.service: must be of lower-case letters, digits and dashes
            endpoints.x.signing.region: must be of lower-case letters, digits and dashes"#]],
    );
}

#[test]
fn tables_for_google_and_oracle_are_checked() {
    check("google_service_account.key.file = 'k'", expect![""]);
    check(
        "google_service_account = { key.file = 'k', impersonate = 'a/../b@c', token_url = 'http://h' }",
        expect![[r#"
            google_service_account.token_url: must be https, unless it points at loopback
            google_service_account.impersonate: must be the e-mail address of a service account"#]],
    );
    check(
        "google_federation = { audience = '', subject_token.file = 't', iam_url = 'https://h?x' }",
        expect![[r#"
            google_federation.iam_url: must not have a query or a fragment
            google_federation.audience: must not be empty"#]],
    );
    let fingerprint = "20:3b:97:13:55:1c:5b:0d:d3:37:d8:50:4e:c5:3a:34";
    let oci = "tenancy = 'ocid1.tenancy.oc3..a', user = 'ocid1.user.oc3..b', key.file = 'k'";
    check(&format!("oci_signature = {{ {oci}, fingerprint = '{fingerprint}' }}"), expect![""]);
    check(
        "oci_signature = { tenancy = 't', user = 'ocid1.user/x', key.file = 'k', fingerprint = 'aa:bb' }",
        expect![[r#"
            oci_signature.tenancy: must be an OCID: `ocid1.…`
            oci_signature.user: must be an OCID: `ocid1.…`
            oci_signature.fingerprint: must be 16 pairs of hexadecimal digits, joined by colons"#]],
    );
}

#[test]
fn there_is_one_default_credential_and_no_other_of_its_name() {
    check(
        &format!(
            "{OAUTH2}oauth2.client_secret.env = 'S'\naws_sigv4 = {{ access_key_id.env = 'A', secret_access_key.env = 'B' }}"
        ),
        expect![
            "oauth2: must be the only default credential: name the other one under `credentials`"
        ],
    );
    check(
        "credentials.default.basic = { username = 'u', password.env = 'P' }\ncredentials.other = {}",
        expect![[r#"
            credentials.default: must have another name, as that is the name of the default one
            credentials.other: must have exactly one of `oauth2`, `api_key`, `basic`, `aws_sigv4`, `google_service_account`, `google_federation`, `oci_signature`"#]],
    );
}

#[test]
fn a_secret_that_cannot_be_used_is_named_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let elliptic = rcgen::KeyPair::generate().unwrap().serialize_pem();
    for (name, content) in [
        ("rsa.pem", vectors::KEY),
        ("account.json", vectors::GOOGLE_ACCOUNT),
        ("certificate.pem", vectors::CERTIFICATE),
        ("elliptic.pem", &elliptic),
        ("text", "hunter2hunter2"),
    ] {
        std::fs::write(dir.path().join(name), content).unwrap();
    }
    let check = |more: &str, expected: Expect| {
        let mut config = parse(more);
        config.resolve_against(dir.path());
        let problems = config.unusable_secrets();
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        let folder = dir.path().to_string_lossy();
        expected
            .assert_eq(&problems.join("\n").replace(&*folder, Path::new("DIR").to_str().unwrap()));
    };
    let oci = |key: &str| {
        format!(
            "oci_signature = {{ tenancy = 't', user = 'u', fingerprint = 'f', key.file = '{key}' }}"
        )
    };
    let oauth2 = |certificate: &str, key: &str| {
        format!(
            "{OAUTH2}oauth2.client_certificate = {{ certificate.file = '{certificate}', key.file = '{key}' }}"
        )
    };
    let account = |key: &str| format!("credentials.g.google_service_account.key.file = '{key}'");
    for good in [
        oci("rsa.pem"),
        oauth2("certificate.pem", "rsa.pem"),
        account("account.json"),
        "google_federation = { audience = 'a', subject_token.file = 'text' }".to_owned(),
        "aws_sigv4 = { access_key_id.file = 'text', secret_access_key.file = 'text' }".to_owned(),
    ] {
        check(&good, expect![""]);
    }
    check(
        &oci("elliptic.pem"),
        expect!["oci_signature.key: cannot be used: the file `DIR/elliptic.pem` is no RSA key"],
    );
    check(
        &oci("nowhere"),
        expect!["oci_signature.key: the secret file `DIR/nowhere` cannot be read: no such file"],
    );
    check(
        &oauth2("rsa.pem", "text"),
        expect![[r#"
            oauth2.client_certificate.certificate: cannot be used: the file `DIR/rsa.pem` has no certificate in PEM (`-----BEGIN CERTIFICATE-----`)
            oauth2.client_certificate.key: cannot be used: the file `DIR/text` has no private key in PEM (`-----BEGIN PRIVATE KEY-----`)"#]],
    );
    check(
        &account("text"),
        expect![
            "credentials.g.google_service_account.key: cannot be used: the file `DIR/text` is no service account key: it is no JSON object with `client_email`, `private_key` and `private_key_id`"
        ],
    );
    check(
        "aws_sigv4.web_identity = { role_arn = 'arn:x', token.file = 'nowhere', sts_url = 'https://sts' }",
        expect![
            "aws_sigv4.web_identity.token: the secret file `DIR/nowhere` cannot be read: no such file"
        ],
    );
}
