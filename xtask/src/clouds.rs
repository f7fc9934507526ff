//! Local clouds for the tests, `tests/mock-aws` and `tests/mock-azure`: their
//! Python environment with packages from PyPI, and their own tests.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use crate::python::Environment;
use crate::workspace::workspace;

/// Environment variable in which tests find the Python of the local clouds.
const PYTHON_VARIABLE: &str = "HOTH_TEST_CLOUDS_PYTHON";

/// Folders of the local clouds with tests of their own, below `tests`.
const FOLDERS: [&str; 2] = ["mock-aws", "mock-azure"];

/// Packages of the local clouds and of the SDKs that their tests use. Without
/// the extras of moto, which only other services need.
const ENVIRONMENT: Environment = Environment {
    name: "clouds",
    content: "the local clouds (moto and SDKs)",
    requirements: include_str!("clouds-requirements.txt"),
    pythons: &["3.13", "3.12", "3.11"],
    alternative: None,
};

/// Installed Python environment of the local clouds.
pub struct Clouds {
    python: PathBuf,
}

impl Clouds {
    /// Installs the environment if it is missing.
    pub fn install() -> anyhow::Result<Self> {
        Ok(Self { python: ENVIRONMENT.install()? })
    }

    /// Returns the commands that run the tests of the local clouds, or those
    /// whose names contain `filter`.
    pub fn tests(&self, filter: Option<&str>) -> anyhow::Result<Vec<Command>> {
        let tests = workspace()?.root.join("tests");
        let command = |folder: &&str| {
            let mut command = Command::new(&self.python);
            command.arg(tests.join("run_python_tests.py")).arg(tests.join(folder)).args(filter);
            command
        };
        Ok(FOLDERS.iter().map(command).collect())
    }

    /// Returns the environment variables that tests need to start the local
    /// clouds.
    pub fn environment(&self) -> [(&'static str, &Path); 1] {
        [(PYTHON_VARIABLE, &self.python)]
    }
}
