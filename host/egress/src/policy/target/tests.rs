//! Tests of the policy of targets.

use expect_test::Expect;
use expect_test::expect;
use proptest::prelude::*;

use super::*;

fn policy(base: &str) -> TargetPolicy {
    let status = Origin::parse("https://status.example.com").unwrap();
    TargetPolicy::new(Url::parse(base).unwrap(), BTreeMap::new(), vec![status])
}

fn url(base: &str, target: Target, query: &[(&str, &str)]) -> String {
    let query: Vec<(String, String)> =
        query.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    match policy(base).url(&target, &query, None) {
        Ok((url, _)) => url.into(),
        Err(refusal) => refusal.to_string(),
    }
}

#[test]
fn a_path_is_appended_to_the_base() {
    let check = |base: &str, path: &str, expected: &str| {
        assert_eq!(url(base, Target::Path(path.to_owned()), &[]), expected);
    };
    check("https://h", "/portfolios", "https://h/portfolios");
    check("https://h/", "/portfolios", "https://h/portfolios");
    check("https://h/atat/api/v1", "/portfolios/x", "https://h/atat/api/v1/portfolios/x");
    check("https://h/atat/api/v1/", "/portfolios/x", "https://h/atat/api/v1/portfolios/x");
    check("https://h:8443/a%2Fb", "/", "https://h:8443/a%2Fb/");
    check("https://h/a", "/portfolios/", "https://h/a/portfolios/");
}

#[test]
fn percent_escapes_of_a_path_are_unchanged() {
    for segment in [
        "this%3Aneeds%2Fto%3Bbe%20encoded%2C",
        "%2e%2E%2e",
        "..%2f..%2fadmin",
        "a%3aA%00%0d%0A",
        "-._~!$&'()*+,;=:@",
        "user:pass@host",
        "...",
    ] {
        let path = format!("/portfolios/{segment}");
        assert_eq!(
            url("https://h/v1", Target::Path(path.clone()), &[]),
            format!("https://h/v1{path}")
        );
    }
}

#[test]
fn an_ambiguous_path_is_refused() {
    let check = |path: &str, expected: BadPath| {
        let refused = policy("https://h/v1").url(&Target::Path(path.to_owned()), &[], None);
        assert_eq!(refused.unwrap_err(), BadTarget::Path(expected), "{path:?}");
    };
    for path in ["", "portfolios", "https://evil.example", "mailto:x", "evil.example:443/x"] {
        check(path, BadPath::NotAbsolute);
    }
    for path in ["//evil.example/x", "/a//b", "/a//", "//"] {
        check(path, BadPath::EmptySegment);
    }
    for path in
        ["/..", "/.", "/a/../b", "/a/./b", "/a/..", "/%2e%2e", "/.%2E/x", "/%2e", "/a/%2E./"]
    {
        check(path, BadPath::DotSegment);
    }
    for path in [
        "/a\\b",
        "/\\evil.example",
        "/a?b",
        "/a#b",
        "/a b",
        "/a\tb",
        "/a\r\nb",
        "/a\0",
        "/é",
        "/a|b",
        "/{id}",
        "/a<b>",
        "/a^b",
        "/a`b",
        "/\"",
        "/[x]",
        "/\u{7f}",
    ] {
        check(path, BadPath::Unencoded);
    }
    for path in ["/%", "/%2", "/%zz", "/a%2/b", "/100%"] {
        check(path, BadPath::BadEscape);
    }
}

proptest! {
    #[test]
    fn no_path_leaves_the_base(path in "[/.%\\\\25eEfF?#@:a\u{e9} \t]{0,12}") {
        let policy = policy("https://h/atat/v1/");
        if let Ok((url, _)) = policy.url(&Target::Path(path.clone()), &[], None) {
            prop_assert_eq!(url.as_str(), format!("https://h/atat/v1{path}"));
        }
    }

    #[test]
    fn no_location_leaves_the_allowed_origins(location in "[htps:/.%\\\\2e?#@a\u{e9} \t]{0,16}") {
        let policy = policy("https://h/atat/v1/");
        if let Ok(url) = policy.follow(&location, &policy.base) {
            prop_assert_eq!(url.host_str(), Some("h"));
            prop_assert!(!origin::has_userinfo(&url));
        }
    }
}

#[test]
fn the_host_encodes_the_query() {
    let path = || Target::Path("/costs".to_owned());
    assert_eq!(
        url("https://h", path(), &[("start_date", "2026-01"), ("a b", "ü&=+/?#'\"\r\n")]),
        "https://h/costs?start_date=2026-01&a%20b=%C3%BC%26%3D%2B%2F%3F%23%27%22%0D%0A"
    );
    assert_eq!(url("https://h", path(), &[("a", ""), ("a", "1")]), "https://h/costs?a=&a=1");
    let location = |text: &str| Target::Location(text.to_owned());
    assert_eq!(url("https://h", location("/s?x=%20y"), &[("a", "1")]), "https://h/s?x=%20y&a=1");
    assert_eq!(url("https://h", location("/s?"), &[("a", "1")]), "https://h/s?a=1");
    assert_eq!(url("https://h", location("/s?x#frag"), &[]), "https://h/s?x");
}

#[test]
fn the_length_of_a_url_is_bounded() {
    let path = format!("/{}", "a".repeat(URL_BYTES_MAX));
    expect!["its URL is longer than 8192 bytes"].assert_eq(&url(
        "https://h",
        Target::Path(path),
        &[],
    ));
}

#[test]
fn a_location_is_resolved_against_the_url_that_was_called() {
    let called = Url::parse("https://h/atat/v1/portfolios?x=1").unwrap();
    let check = |location: &str, expected: &str| {
        let url = policy("https://h/atat/v1").follow(location, &called);
        assert_eq!(url.unwrap().as_str(), expected, "{location:?}");
    };
    check("/provisioning/9/status", "https://h/provisioning/9/status");
    check("provisioning/9", "https://h/atat/v1/provisioning/9");
    check("../jobs/9", "https://h/atat/jobs/9");
    check("?job=9", "https://h/atat/v1/portfolios?job=9");
    check("//h/x", "https://h/x");
    check("https://h:443/x", "https://h/x");
    check("HTTPS://H/a%2Fb", "https://h/a%2Fb");
    check("https://status.example.com/9", "https://status.example.com/9");
    check("  /x  ", "https://h/x");
    // From a server behind a proxy that terminates TLS.
    check("http://h/x", "https://h/x");
    check("http://h:443/x?a", "https://h/x?a");
    check("http://status.example.com/9", "https://status.example.com/9");
}

#[test]
fn a_location_outside_the_allowed_origins_is_refused() {
    let check = |location: &str, expected: &Expect| {
        let called = Url::parse("https://h/atat/v1/portfolios").unwrap();
        let refused = policy("https://h/atat/v1").follow(location, &called).unwrap_err();
        expected.assert_eq(&refused.to_string());
    };
    let elsewhere = expect![
        "points to https://evil.example, which is in none of `base_url`, `endpoints` and `allowed_origins`"
    ];
    for location in [
        "https://evil.example/x",
        "//evil.example/x",
        "\\\\evil.example/x",
        "/\t/evil.example",
        "https://h@evil.example/x",
        "https:\\\\evil.example",
    ] {
        check(location, &elsewhere);
    }
    check(
        "http://h:8080/x",
        &expect![
            "points to http://h:8080, which is in none of `base_url`, `endpoints` and `allowed_origins`"
        ],
    );
    check(
        "https://h:444/",
        &expect![
            "points to https://h:444, which is in none of `base_url`, `endpoints` and `allowed_origins`"
        ],
    );
    check(
        "https://h.evil.example",
        &expect![
            "points to https://h.evil.example, which is in none of `base_url`, `endpoints` and `allowed_origins`"
        ],
    );
    check(
        "file:///etc/passwd",
        &expect![
            "points to null, which is in none of `base_url`, `endpoints` and `allowed_origins`"
        ],
    );
    check("https://user:secret@h/x", &expect!["has a user name or a password"]);
    check("", &expect!["is empty"]);
    check(" \t", &expect!["is empty"]);
    check("https://", &expect!["is not a URL"]);
    check(&format!("/{}", "a".repeat(URL_BYTES_MAX)), &expect!["is longer than 8192 bytes"]);
    check("https://h:99999/", &expect!["is not a URL"]);
}

#[test]
fn every_spelling_of_an_ip_address_is_the_same_host() {
    let spellings = [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "%31%32%37.0.0.1",
        "\u{ff11}27\u{3002}0\u{3002}0\u{3002}1",
    ];
    let machine = TargetPolicy::new(
        Url::parse("http://127.0.0.1:8080/atat").unwrap(),
        BTreeMap::new(),
        Vec::new(),
    );
    for host in spellings {
        let followed = machine.follow(&format!("http://{host}:8080/9"), &machine.base).unwrap();
        assert_eq!(followed.as_str(), "http://127.0.0.1:8080/9", "{host}");
        let refused = policy("https://h").url(
            &Target::Location(format!("https://{host}/latest/meta-data")),
            &[],
            None,
        );
        let elsewhere = BadLocation::Origin("https://127.0.0.1".to_owned());
        assert_eq!(refused, Err(BadTarget::Location(elsewhere)), "{host}");
    }
    for host in ["[::ffff:127.0.0.1]", "[::1]", "[::127.0.0.1]", "localhost", "127.0.0.2"] {
        let refused = machine.follow(&format!("http://{host}:8080/9"), &machine.base);
        assert!(matches!(refused, Err(BadLocation::Origin(_))), "{host}");
    }
    for host in ["256.0.0.1", "0x7g.1", "1.2.3.4.5", "4294967296", "[::1%25eth0]", "h%00"] {
        let refused = machine.follow(&format!("http://{host}:8080/9"), &machine.base);
        assert_eq!(refused, Err(BadLocation::Unreadable), "{host}");
    }
}

#[test]
fn a_relative_location_without_an_earlier_call_starts_at_the_base_url() {
    let location = Target::Location("status/9".to_owned());
    assert_eq!(url("https://h/atat/v1/", location, &[]), "https://h/atat/v1/status/9");
}

fn with_endpoints() -> TargetPolicy {
    let template = |url| UrlTemplate::parse(url).unwrap();
    let endpoints = BTreeMap::from([
        ("costs".to_owned(), template("https://costs.example.com/v1/")),
        ("any".to_owned(), template("https://{name}.example.com")),
        ("domain".to_owned(), template("https://{name}.identity.example.com/admin")),
    ]);
    let status = Origin::parse("https://status.example.com").unwrap();
    TargetPolicy::new(Url::parse("https://h/v1").unwrap(), endpoints, vec![status])
}

#[test]
fn an_endpoint_has_its_own_base_and_parameters() {
    let check = |endpoint: &str, given: &[(&str, &str)], expected: &str| {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let target = Target::Endpoint(EndpointPath {
            endpoint: endpoint.to_owned(),
            path: "/a%20b".to_owned(),
            parameters: given.iter().map(owned).collect(),
        });
        let found = match with_endpoints().url(&target, &[("q".into(), "1".into())], None) {
            Ok((url, place)) => {
                assert_eq!(place, Place::Endpoint(endpoint.to_owned()));
                url.into()
            }
            Err(bad) => {
                assert_eq!(bad.code(), TransportCode::RequestRefused);
                bad.to_string()
            }
        };
        assert_eq!(found, expected);
    };
    check("costs", &[], "https://costs.example.com/v1/a%20b?q=1");
    check("domain", &[("name", "d-1")], "https://d-1.identity.example.com/admin/a%20b?q=1");
    check("domain", &[], "its endpoint \"domain\" lacks the parameter \"name\"");
    check("costs", &[("a", "1")], "its endpoint \"costs\" has no parameter \"a\"");
    check(
        "bills",
        &[],
        "it asks for the endpoint \"bills\", which is not among the `endpoints` of this CSP",
    );
}

#[test]
fn a_location_belongs_to_the_place_of_its_origin() {
    let policy = with_endpoints();
    let endpoint = |name: &str| Some(Place::Endpoint(name.to_owned()));
    for (location, expected) in [
        ("https://h/x", Some(Place::Base)),
        ("https://costs.example.com/other", endpoint("costs")),
        ("https://x.example.com/", endpoint("any")),
        ("http://x.example.com/", endpoint("any")),
        // An endpoint before an origin that is only allowed.
        ("https://status.example.com/9", endpoint("any")),
        ("https://d.identity.example.com/9", endpoint("domain")),
        ("https://a.b.identity.example.com/9", None),
        ("https://evil.example/", None),
    ] {
        let found = policy.url(&Target::Location(location.to_owned()), &[], None);
        assert_eq!(found.ok().map(|(_, place)| place), expected, "{location}");
    }
}
