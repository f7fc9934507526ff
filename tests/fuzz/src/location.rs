//! The targets of adapters' requests, and the `Location`s that are followed.

use std::collections::BTreeMap;

use hoth_core::domain::Target;
use hoth_egress::Origin;
use hoth_egress::fuzz::TargetPolicy;
use url::Url;

/// Reads two lines: the path that was called before, below the base URL, and a
/// target. A target is a location if it starts with `@`, else a path.
pub fn run(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let (called, target) = text.split_once('\n').unwrap_or(("", text));
    for base in ["https://csp.example.com/atat/v1", "http://127.0.0.1:8080", "https://[2a00::1]/"] {
        check(base, called, target);
    }
}

fn check(base: &str, called: &str, target: &str) {
    let base = Url::parse(base).expect("it is a URL");
    let named = Origin::parse("https://status.example.com").expect("it is an origin");
    let policy = TargetPolicy::new(base.clone(), BTreeMap::new(), vec![named.clone()]);
    let origins = [Origin::of(&base), named];
    let called = policy.url(&Target::Path(called.to_owned()), &[], None).ok().map(|(url, _)| url);
    let query = [("q".to_owned(), target.to_owned())];
    match target.strip_prefix('@') {
        None => {
            let Ok((url, _)) = policy.url(&Target::Path(target.to_owned()), &query, None) else {
                return;
            };
            stays_within(&url, &origins);
            let below = format!("{}{target}?q=", base.as_str().trim_end_matches('/'));
            assert!(url.as_str().starts_with(&below), "a path is appended as it is: {url}");
        }
        Some(location) => {
            let location = Target::Location(location.to_owned());
            let Ok((url, place)) = policy.url(&location, &[], called.as_ref()) else { return };
            stays_within(&url, &origins);
            // A target that an adapter stores and returns later is the same.
            let kept = Target::Location(url.clone().into());
            assert_eq!(policy.url(&kept, &[], None), Ok((url.clone(), place)));
            let longer = policy.url(&kept, &query, None);
            if let Ok((longer, _)) = longer {
                stays_within(&longer, &origins);
                assert_eq!(longer.path(), url.path(), "a query changes no path");
            }
        }
    }
}

fn stays_within(url: &Url, origins: &[Origin]) {
    // Parsed again, as a proxy or a log reader would.
    let url = Url::parse(url.as_str()).expect("a URL can be read again");
    assert!(origins.contains(&Origin::of(&url)), "{url} has an origin that was not allowed");
    assert!(url.username().is_empty() && url.password().is_none(), "{url} names a user");
    assert!(url.fragment().is_none(), "{url} has a fragment");
    assert!(url.as_str().is_ascii() && !url.as_str().contains(char::is_control));
}
