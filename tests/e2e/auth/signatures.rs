//! Signatures: what they cover, and what the log says about one that fails.

use serde_json::Value;

use super::bearer_keys;
use super::caller;
use super::keyed_host;
use super::signed::SECRET;
use super::signed::Signed;
use super::signed::signer;
use crate::csp;
use crate::harness::Setup;
use crate::harness::client;
use crate::harness::cost;
use crate::harness::job;

#[tokio::test]
async fn signed_requests_are_accepted() {
    let secrets = tempfile::tempdir().expect("a temporary folder can be made");
    let file = secrets.path().join("secret");
    std::fs::write(&file, format!("{SECRET}\n")).expect("a file can be written");
    let (host, _csp) = keyed_host(&signer("write", &file)).await;
    host.leaves_work("the leased outcome and the costs are not collected");
    let posted = job("job-1", "CSP_TEST", "ADD_PORTFOLIO").to_string();
    let asked = cost("r-1", "CSP_TEST").to_string();
    let good = Signed {
        method: "POST",
        target: "/provisioning-jobs",
        body: &posted,
        secret: SECRET,
        declared: false,
        skew: 0,
    };
    let (status, text) = good.send(&host).await;
    assert_eq!((status, text.as_str()), (201, posted.as_str()));
    let declared = Signed { target: "/cost-jobs", body: &asked, declared: true, ..good };
    assert_eq!(declared.send(&host).await, (202, asked.clone()));
    let collect =
        Signed { method: "GET", target: "/provisioning-jobs?lease=60&wait=20", body: "", ..good };
    let (status, text) = collect.send(&host).await;
    let messages: Value = serde_json::from_str(&text).expect("a list");
    assert_eq!((status, messages.as_array().map(Vec::len)), (200, Some(1)), "{text}");

    for declared in [true, false] {
        let denied = Signed { secret: "guess", declared, ..good };
        assert_eq!(denied.send(&host).await.0, 401);
        assert_eq!(Signed { skew: 400, declared, ..good }.send(&host).await.0, 401);
        assert_eq!(Signed { skew: -400, declared, ..good }.send(&host).await.0, 401);
        assert_eq!(Signed { skew: 200, declared, ..good }.send(&host).await.0, 201);
        // Its role does not permit the admin API.
        let pause = Signed { target: "/csps/CSP_TEST/pause", body: "", declared, ..good };
        assert_eq!(pause.send_to(&host.admin()).await.0, 403);
    }
}

#[tokio::test]
async fn a_signature_covers_the_body() {
    let secrets = tempfile::tempdir().expect("a temporary folder can be made");
    let file = secrets.path().join("secret");
    std::fs::write(&file, SECRET).expect("a file can be written");
    let (host, _csp) = keyed_host(&signer("admin", &file)).await;
    let (posted, other) = (
        job("job-1", "CSP_TEST", "ADD_PORTFOLIO").to_string(),
        job("job-2", "CSP_TEST", "ADD_PORTFOLIO").to_string(),
    );
    let url = format!("{}/provisioning-jobs", host.api());
    let authority = host.api().trim_start_matches("http://").to_owned();
    for declared in [true, false] {
        let signed = Signed {
            method: "POST",
            target: "/provisioning-jobs",
            body: &posted,
            secret: SECRET,
            declared,
            skew: 0,
        };
        for (body, status) in [(&other, 401), (&posted, 201)] {
            let mut request = client().post(&url).header("content-type", "application/json");
            for (name, value) in signed.headers(&authority) {
                request = request.header(name, value);
            }
            let response = request.body(body.clone()).send().await.expect("HOTH answers");
            assert_eq!(response.status().as_u16(), status);
        }
    }
    caller(&host, Some("admin-token")).outcome().await;
    // A component is larger than the body that is read before the signature is
    // checked, so its digest must be declared and signed.
    let large = "x".repeat(600 * 1_024);
    let deploy = Signed {
        method: "PUT",
        target: "/adapters/atat",
        body: &large,
        secret: SECRET,
        declared: true,
        skew: 0,
    };
    assert_eq!(deploy.send_to(&host.admin()).await.0, 422, "it is no component");
    let (status, text) = Signed { declared: false, ..deploy }.send_to(&host.admin()).await;
    assert_eq!(status, 413);
    assert!(text.contains("sign the body's digest in the header X-Amz-Content-Sha256"), "{text}");
}

#[tokio::test]
async fn the_debug_log_has_the_canonical_request_of_a_failed_signature() {
    let secrets = tempfile::tempdir().expect("a temporary folder can be made");
    let file = secrets.path().join("secret");
    std::fs::write(&file, SECRET).expect("a file can be written");
    let csp = csp::sync().await;
    let keys = format!("{}{}", bearer_keys(&["admin"]), signer("read", &file));
    let setup = Setup::new().csp("CSP_TEST", &csp).with(&keys).admin_token("admin-token");
    let host = setup.log_filter("info,hoth::http=debug").start().await;
    for declared in [true, false] {
        let target = format!("/cost-jobs?wait={}", u8::from(declared));
        let denied =
            Signed { method: "GET", target: &target, body: "", secret: "guess", declared, skew: 0 };
        assert_eq!(denied.send(&host).await.0, 401);
        let query = format!("wait={}", u8::from(declared));
        let line = host
            .logged("the canonical request", |line| {
                line["message"].as_str().is_some_and(|text| text.contains(&query))
            })
            .await;
        let text = line["message"].as_str().expect("a text");
        let host = host.api().trim_start_matches("http://").to_owned();
        let of_nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for part in ["GET\n/cost-jobs\n", &format!("host:{host}\n"), of_nothing] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains(SECRET) && !text.contains("guess"), "{text}");
    }
}
