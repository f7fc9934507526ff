//! axe-core, which checks pages for accessibility: fetched from PyPI, where the
//! package of its Python bindings contains the script.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::python::Environment;

/// Environment variable in which tests find the script.
pub const VARIABLE: &str = "HOTH_TEST_AXE";

/// Package with the script. Its dependencies would drive another browser.
const ENVIRONMENT: Environment = Environment {
    name: "axe",
    content: "axe-core",
    requirements: "axe-playwright-python==0.1.8\n",
    pythons: &["3.13", "3.12", "3.11"],
    alternative: None,
};

/// Installs the package if it is missing, and returns the path of the script.
pub fn install() -> anyhow::Result<PathBuf> {
    ENVIRONMENT.install()?;
    let lib = ENVIRONMENT.folder()?.join("venv/lib");
    let script = "site-packages/axe_playwright_python/axe.min.js";
    let pythons = std::fs::read_dir(&lib).context("looking for axe-core")?;
    let mut scripts = pythons.filter_map(Result::ok).map(|python| python.path().join(script));
    scripts.find(|path| path.exists()).context("the package of axe-core has no script")
}
