//! A real browser: headless Chromium, driven by WebDriver.

use std::process::Stdio;

use fantoccini::Client;
use fantoccini::ClientBuilder;
use fantoccini::Locator;
use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::wd::WebDriverCompatibleCommand;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::BufReader;
use tokio::process::Child;
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::sync::SemaphorePermit;

use crate::harness::PATIENCE;
use crate::harness::TestHost;
use crate::harness::eventually;

/// Browsers at one time. Each takes a processor while a page loads.
static BROWSERS: Semaphore = Semaphore::const_new(2);

/// Starts of chromedriver for one browser. It takes a free port of IPv4, and ends
/// if another program has the same port of IPv6.
const DRIVER_STARTS_MAX: u32 = 5;

/// Environment variable with the path of axe-core's script.
const AXE: &str = "HOTH_TEST_AXE";

/// The rules of axe-core that count: those of WCAG 2.2, levels A and AA, and
/// best practices.
const AXE_TAGS: [&str; 6] =
    ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/// The permission of pages to run their script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    On,
    Off,
}

/// A browser with one window; closed when it is dropped.
pub struct Browser {
    client: Client,
    base: String,
    _driver: Child,
    _profile: TempDir,
    _permit: SemaphorePermit<'static>,
}

/// The WebDriver command that reads the browser's console (Chromium's own).
#[derive(Debug)]
struct ReadConsole;

impl WebDriverCompatibleCommand for ReadConsole {
    fn endpoint(
        &self,
        base: &url::Url,
        session: Option<&str>,
    ) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({"type": "browser"}).to_string()))
    }
}

impl Browser {
    /// Starts a browser for the console of `host`.
    pub async fn start(host: &TestHost, script: Script) -> Self {
        Self::start_with(host, script, &[]).await
    }

    /// Starts a browser that prefers dark pages.
    pub async fn start_dark(host: &TestHost) -> Self {
        let dark = "--blink-settings=preferredColorScheme=0";
        let browser = Self::start_with(host, Script::On, &[dark]).await;
        let is_dark = "return matchMedia('(prefers-color-scheme: dark)').matches";
        assert_eq!(browser.evaluate(is_dark).await, true, "the browser prefers dark pages");
        browser
    }

    async fn start_with(host: &TestHost, script: Script, more: &[&str]) -> Self {
        let permit = BROWSERS.acquire().await.expect("the semaphore is never closed");
        let profile = tempfile::tempdir().expect("a temporary folder can be made");
        let (driver, port) = start_driver().await;
        let script = if script == Script::On { 1 } else { 2 };
        let profile_argument = format!("--user-data-dir={}", profile.path().display());
        let mut arguments = vec![
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--window-size=1300,950",
            "--lang=en-US",
            &profile_argument,
        ];
        arguments.extend_from_slice(more);
        let capabilities = json!({
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {
                "args": arguments,
                "prefs": {"profile.managed_default_content_settings.javascript": script}
            }
        });
        let capabilities = capabilities.as_object().expect("an object").clone();
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let builder = builder.capabilities(capabilities);
        let client = builder.connect(&format!("http://127.0.0.1:{port}")).await;
        let client = client.expect("the browser starts");
        let base = host.admin();
        Self { client, base, _driver: driver, _profile: profile, _permit: permit }
    }

    /// Opens a page of the host.
    pub async fn open(&self, path: &str) {
        self.client.goto(&format!("{}{path}", self.base)).await.expect("the page loads");
    }

    /// Logs in with a key, on the login page, and waits for the first page.
    pub async fn log_in(&self, key: &str) {
        self.open("/console/login").await;
        self.fill("key", key).await;
        self.click("Log in").await;
        // On a busy machine, the next page would cut the login off.
        self.sees("Log out").await;
    }

    /// Returns the path and the query of the page.
    pub async fn path(&self) -> String {
        let url = self.client.current_url().await.expect("a page is open");
        match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        }
    }

    /// Returns the text that a person sees.
    pub async fn text(&self) -> String {
        let body = self.client.find(Locator::Css("body")).await.expect("a page has a body");
        body.text().await.expect("it has text")
    }

    /// Returns the first heading.
    pub async fn heading(&self) -> String {
        let heading = self.client.find(Locator::Css("h1")).await.expect("a page has a heading");
        heading.text().await.expect("it has text")
    }

    /// Waits until a person sees `text`.
    pub async fn sees(&self, text: &str) {
        eventually(&format!("{text:?} on the page"), || async {
            // The page may change between the two commands.
            let body = self.client.find(Locator::Css("body")).await.ok()?;
            body.text().await.ok()?.contains(text).then_some(())
        })
        .await;
    }

    /// Asserts that a person sees every one of `texts`.
    pub async fn shows(&self, texts: &[&str]) {
        let seen = self.text().await;
        for text in texts {
            assert!(seen.contains(text), "{text:?} is not on {}:\n{seen}", self.path().await);
        }
    }

    /// Asserts that a person sees every one of `texts`, in whatever case.
    pub async fn shows_any_case(&self, texts: &[&str]) {
        let seen = self.text().await;
        for text in texts {
            let found = seen.to_lowercase().contains(&text.to_lowercase());
            assert!(found, "{text:?} is not on {}:\n{seen}", self.path().await);
        }
    }

    /// Clicks the link with this text, or with a part of it.
    pub async fn follow(&self, text: &str) {
        self.press(Locator::XPath(&format!("//a[contains(., {text:?})]"))).await;
    }

    /// Clicks the button with this text.
    pub async fn click(&self, text: &str) {
        // Of several forms, the one that is open.
        let is_open = "not(ancestor::details) or ancestor::details[@open]";
        let button = format!("//button[normalize-space() = {text:?} and ({is_open})]");
        self.press(Locator::XPath(&button)).await;
    }

    /// Opens the page of the first row of the first table.
    pub async fn open_row(&self) {
        self.press(Locator::Css("tbody th a")).await;
    }

    /// Opens the form of an act, and confirms it.
    pub async fn act(&self, label: &str) {
        self.open_act(label).await;
        self.press(Locator::XPath(&format!("//details[@open]//button[. = {label:?}]"))).await;
    }

    /// Opens the form of an act.
    pub async fn open_act(&self, label: &str) {
        let summary = format!("//summary[normalize-space() = \"{label}…\"]");
        self.press(Locator::XPath(&summary)).await;
    }

    /// Writes into the visible field with this name.
    pub async fn fill(&self, name: &str, text: &str) {
        for field in self.all(&format!("input[name={name}], textarea[name={name}]")).await {
            if field.is_displayed().await.unwrap_or(false) {
                return field.send_keys(text).await.expect("the field takes text");
            }
        }
        panic!("no field {name:?} on {}", self.path().await);
    }

    /// Selects an option by its value.
    pub async fn choose(&self, name: &str, value: &str) {
        let select = self.client.find(Locator::Css(&format!("select[name={name}]"))).await;
        select.expect("there is a list").select_by_value(value).await.expect("it has the option");
    }

    /// Sends a path to a field for files.
    pub async fn attach(&self, name: &str, path: &std::path::Path) {
        let fields = self.all(&format!("input[type=file][name={name}]")).await;
        let path = path.to_str().expect("the path is text");
        fields[0].send_keys(path).await.expect("the field takes a file");
    }

    /// Returns all elements of a selector.
    pub async fn all(&self, selector: &str) -> Vec<Element> {
        self.client.find_all(Locator::Css(selector)).await.expect("the selector is valid")
    }

    /// Returns the result of a script that the driver runs, as a person with
    /// the developer tools would.
    pub async fn evaluate(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.expect("the script runs")
    }

    /// Returns what a script passes to its last argument, a function.
    pub async fn evaluate_later(&self, script: &str) -> Value {
        self.client.execute_async(script, Vec::new()).await.expect("the script ends")
    }

    async fn press(&self, locator: Locator<'_>) {
        let what = format!("{locator:?}");
        let pressed = eventually(&what, || async {
            match self.client.find(locator).await {
                Ok(element) => match element.click().await {
                    Ok(()) => Some(Ok(())),
                    // The page was refreshed in between.
                    Err(error) if error.is_stale_element_reference() => None,
                    Err(error) => Some(Err(error)),
                },
                Err(error) if error.is_no_such_element() => None,
                Err(error) => Some(Err(error)),
            }
        })
        .await;
        pressed.unwrap_or_else(|error: CmdError| panic!("{what}: {error}"));
    }

    /// Asserts that axe-core finds nothing on the page.
    pub async fn is_accessible(&self) {
        let path = std::env::var_os(AXE).expect("`cargo xtask test` names axe-core's script");
        let axe = std::fs::read_to_string(path).expect("the script can be read");
        self.client.execute(&axe, Vec::new()).await.expect("axe-core loads");
        let run = "const done = arguments[arguments.length - 1]; \
             axe.run({runOnly: arguments[0]}).then(result => done(result.violations.map( \
             one => one.id + ': ' + one.nodes.map(node => node.html).join(' | '))))";
        let found = self.client.execute_async(run, vec![json!(AXE_TAGS)]).await;
        let found = found.expect("axe-core runs");
        assert_eq!(found, json!([]), "on {}", self.path().await);
    }

    /// Asserts that the browser's console has no warnings and errors, such as
    /// violations of the policy.
    pub async fn console_is_clean(&self) {
        let log = self.client.issue_cmd(ReadConsole).await.expect("the driver has the log");
        let lines = log.as_array().expect("a list").iter();
        let bad: Vec<&Value> = lines
            .filter(|line| matches!(line["level"].as_str(), Some("SEVERE" | "WARNING")))
            .collect();
        assert!(bad.is_empty(), "on {}: {bad:?}", self.path().await);
    }

    /// Forgets what the browser's console has: a refusal that a test asked for.
    pub async fn forget_console(&self) {
        self.client.issue_cmd(ReadConsole).await.expect("the driver has the log");
    }

    /// Returns a picture of the window, as PNG.
    pub async fn picture(&self) -> Vec<u8> {
        self.client.screenshot().await.expect("the browser takes a picture")
    }

    /// Gives the window a size, in pixels.
    pub async fn resize(&self, width: u32, height: u32) {
        self.client.set_window_size(width, height).await.expect("the window can be resized");
    }

    /// Closes the window and ends the browser.
    pub async fn close(self) {
        self.client.clone().close().await.expect("the browser ends");
    }
}

/// Starts chromedriver on a free port.
async fn start_driver() -> (Child, u16) {
    for _ in 0..DRIVER_STARTS_MAX {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("chromedriver is installed: `cargo xtask test` does that");
        if let Some(port) = port(&mut driver).await {
            return (driver, port);
        }
    }
    panic!("chromedriver ended at once, {DRIVER_STARTS_MAX} times");
}

/// Waits for the line in which chromedriver says its port. Returns `None` if it
/// ends before that.
async fn port(driver: &mut Child) -> Option<u16> {
    let output = driver.stdout.take().expect("standard output is piped");
    let mut lines = BufReader::new(output).lines();
    let found = async {
        while let Some(line) = lines.next_line().await.expect("the output can be read") {
            if let Some((_, port)) = line.split_once("successfully on port ") {
                return Some(port.trim_end_matches('.').parse().expect("a port"));
            }
        }
        None
    };
    let port = tokio::time::timeout(PATIENCE, found).await.expect("chromedriver starts");
    // Its pipe stays open, so that its later lines have a reader.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    port
}
