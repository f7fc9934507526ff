//! A real Prometheus, which scrapes one host and evaluates the rules.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::BufReader;
use tokio::process::Child;
use tokio::process::Command;
use url::Url;

use crate::harness::client;
use crate::harness::eventually;

/// The text in front of the address in the line of the log that names it.
const LISTENING: &str = "msg=\"Listening on\" address=";

/// A running Prometheus; killed when it is dropped.
pub struct Prometheus {
    base: String,
    _child: Child,
    _directory: TempDir,
}

impl Prometheus {
    /// Starts Prometheus with the rules in `rules`, and waits until it has
    /// scraped the host at `target` three times.
    pub async fn scraping(target: &str, rules: &Path) -> Self {
        let directory = tempfile::tempdir().expect("a temporary folder can be made");
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: ['{}']\n\
             scrape_configs:\n\
             - job_name: hoth\n  static_configs: [{{targets: ['{target}']}}]\n",
            rules.display()
        );
        let file = directory.path().join("prometheus.yml");
        std::fs::write(&file, config).expect("a file can be written");
        let mut child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("Prometheus is installed: `cargo xtask test` does that");
        let mut log = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let address = loop {
            let line = log.next_line().await.expect("the log can be read");
            let line = line.expect("Prometheus listens before it ends");
            if let Some((_, address)) = line.split_once(LISTENING) {
                break address.trim().to_owned();
            }
        };
        // Read to its end, because a full pipe would block Prometheus.
        tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        let prometheus =
            Self { base: format!("http://{address}"), _child: child, _directory: directory };
        eventually("three scrapes", async || {
            let found = prometheus.query("count_over_time(hoth_ready[1h])").await.ok()?;
            let count = found.first()?["value"][1].as_str()?.parse::<f64>().ok()?;
            (count >= 3.0).then_some(())
        })
        .await;
        prometheus
    }

    /// Returns the result of an instant query, or the text of the error.
    pub async fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let url = format!("{}/api/v1/query", self.base);
        let url = Url::parse_with_params(&url, [("query", expression)]);
        let answer = client().get(url.expect("a URL")).send().await;
        let answer: Value =
            answer.map_err(|e| e.to_string())?.json().await.map_err(|e| e.to_string())?;
        match answer["status"].as_str() {
            Some("success") => Ok(answer["data"]["result"].as_array().cloned().unwrap_or_default()),
            _ => Err(answer["error"].to_string()),
        }
    }

    /// Returns all rules when each has been evaluated.
    pub async fn evaluated_rules(&self) -> Vec<Value> {
        let url = format!("{}/api/v1/rules", self.base);
        eventually("the rules to be evaluated", async || {
            let answer: Value = client().get(&url).send().await.ok()?.json().await.ok()?;
            let groups = answer["data"]["groups"].as_array()?;
            let rules = groups.iter().filter_map(|group| group["rules"].as_array()).flatten();
            let rules: Vec<Value> = rules.cloned().collect();
            let is_done = |rule: &Value| rule["health"] != "unknown";
            (!rules.is_empty() && rules.iter().all(is_done)).then_some(rules)
        })
        .await
    }
}
