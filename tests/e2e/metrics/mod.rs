//! The metrics of a host that works, as Prometheus reads them.

mod fixture;
mod monitoring;
mod prometheus;
mod promtool;

use std::collections::BTreeSet;

use self::fixture::busy_host;
use self::fixture::documented;
use self::fixture::names_in;
use crate::harness::client;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_of_a_run_are_clean_and_complete() {
    let busy = busy_host().await;
    let url = format!("{}/metrics", busy.host.admin());
    let answer = client().get(url).send().await.expect("the host answers");
    let media_type = answer.headers()["content-type"].to_str().expect("a text").to_owned();
    assert_eq!(media_type, "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.text().await.expect("metrics are text");
    promtool::check_metrics(&text);

    let documented = documented();
    let documented: BTreeSet<&str> = documented.keys().map(String::as_str).collect();
    let present = names_in(&text);
    let unknown: Vec<_> = present.difference(&documented).collect();
    assert!(unknown.is_empty(), "not in docs/metrics.md: {unknown:?}");
    let is_absent = |name: &&str| !fixture::MAY_BE_ABSENT.contains(name);
    let absent: Vec<_> = documented.difference(&present).copied().filter(is_absent).collect();
    assert!(absent.is_empty(), "in docs/metrics.md only: {absent:?}");
}
