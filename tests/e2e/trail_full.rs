//! A full disk under the trail, which a preloaded library imposes.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use crate::csp;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::client;
use crate::harness::eventually;
use crate::harness::job;
use crate::trail;

/// Compiles the library into `folder`. The C compiler is there: SQLite was built
/// with it.
fn library(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("trail_full.c"), folder.join("trail_full.so"));
    std::fs::write(&source, include_str!("shims/trail_full.c")).expect("a file can be written");
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).arg("-ldl");
    let output = cc.output().expect("the C compiler runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    library
}

/// Returns the value of a metric without labels.
async fn metric(host: &TestHost, name: &str) -> u64 {
    let text = client().get(format!("{}/metrics", host.admin())).send().await;
    let text = text.expect("the host answers").text().await.expect("metrics are text");
    let value = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    value.map_or(0, |value| value.parse().expect("a whole number"))
}

async fn runs(host: &TestHost, id: &str) {
    let snow = host.servicenow();
    snow.provision(&job(id, "CSP_TEST", "ADD_PORTFOLIO")).await;
    let outcome = snow.outcome().await;
    assert_eq!((outcome.job_id(), outcome.code()), (id, 200));
}

#[tokio::test]
async fn a_full_disk_under_the_trail_stops_no_job_and_costs_events_that_are_counted() {
    const DROPPED: &str = "hoth_trail_events_dropped_total";
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let text = |path: &Path| path.to_str().expect("a text").to_owned();
    let full = folder.path().join("full");
    let csp = csp::sync().await;
    let host = Setup::new()
        .csp("CSP_TEST", &csp)
        .environment("LD_PRELOAD", &text(&library(folder.path())))
        .environment("HOTH_SHIM_TRAIL_FULL", &text(&full))
        .start()
        .await;
    runs(&host, "before").await;
    trail::told(&host, "before", "collected").await;
    assert_eq!(metric(&host, DROPPED).await, 0);

    std::fs::write(&full, "").expect("a file can be written");
    runs(&host, "meanwhile").await;
    host.logged("the failure", |line| line["event"] == "trail-failed").await;
    let mut jobs = 0;
    while metric(&host, DROPPED).await == 0 {
        runs(&host, &format!("meanwhile-{jobs}")).await;
        jobs += 1;
    }
    assert_eq!(metric(&host, "hoth_trail_writable").await, 0);
    // The queue tells, and what was there before can be read.
    trail::reaches(&host, "meanwhile", "COLLECTED").await;
    trail::told(&host, "before", "collected").await;

    std::fs::remove_file(&full).expect("it is there");
    host.logged("the recovery", |line| line["event"] == "trail-written").await;
    runs(&host, "after").await;
    let after = trail::told(&host, "after", "collected").await;
    assert_eq!(after["job"]["state"], "COLLECTED");
    eventually("a trail that can be written", async || {
        (metric(&host, "hoth_trail_writable").await == 1).then_some(())
    })
    .await;
}
