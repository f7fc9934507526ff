//! Files in the drop directory that are no good components, or not yet.

use std::fs;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use serde_json::Value;

use super::another_atat;
use super::atat;
use super::becomes_active;
use super::rename_into;
use super::sha256;
use super::version;
use crate::csp;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::component;

/// Returns the number of log lines that say that `file` is left alone.
fn left_alone(host: &TestHost, file: &str) -> usize {
    let said = format!("{file:?} in the adapters directory is left alone");
    let says = |line: &&Value| line["message"].as_str().is_some_and(|text| text.contains(&said));
    host.log().iter().filter(says).count()
}

#[tokio::test]
async fn files_that_are_left_alone_are_named_once_and_others_are_taken_up() {
    let csp = csp::sync().await;
    let mut host = Setup::new().csp("CSP_TEST", &csp).start().await;
    let folder = host.directory().join("adapters");
    std::os::unix::fs::symlink("x.wasm", folder.join("x.wasm")).expect("a link can be made");
    fs::create_dir(folder.join("folder.wasm")).expect("a folder can be made");
    for file in ["X.WASM", "atat-1.2.wasm", "atat.wasm.bak"] {
        fs::write(folder.join(file), "").expect("a file can be written");
    }
    let new = another_atat();
    rename_into(&folder, &new);
    becomes_active(&host, &sha256(&new)).await;

    host.kill().await;
    host.restart().await;
    let old = fs::read(component("atat")).expect("the adapter can be read");
    rename_into(&folder, &old);
    becomes_active(&host, &sha256(&old)).await;
    for file in ["x.wasm", "folder.wasm", "X.WASM", "atat-1.2.wasm", "atat.wasm.bak"] {
        assert_eq!(left_alone(&host, file), 1, "{file}");
    }
}

/// Replaces the contents of a file as `cp -p` does, which sets its time to that
/// of another file.
fn replace_keeping_time(path: &Path, wasm: &[u8]) {
    let time = fs::metadata(path).and_then(|file| file.modified()).expect("a time");
    let mut file = File::create(path).expect("the file can be opened");
    file.write_all(wasm).and_then(|()| file.set_modified(time)).expect("it can be written");
}

#[tokio::test]
async fn another_build_with_the_same_size_and_time_is_noticed() {
    let csp = csp::sync().await;
    let list = r#"operations = ["ADD_PORTFOLIO"]"#;
    let mut host = Setup::new().csp_with("CSP_TEST", &csp, list).start().await;
    let path = host.directory().join("adapters/atat.wasm");
    fs::write(&path, version(1)).expect("the file can be written");
    becomes_active(&host, &sha256(&version(1))).await;
    replace_keeping_time(&path, &version(2));
    becomes_active(&host, &sha256(&version(2))).await;
    host.kill().await;
    replace_keeping_time(&path, &version(3));
    host.restart().await;
    becomes_active(&host, &sha256(&version(3))).await;
}

#[tokio::test]
async fn a_file_is_not_taken_up_while_it_is_being_written() {
    let csp = csp::sync().await;
    let host = Setup::new().csp("CSP_TEST", &csp).start().await;
    let folder = host.directory().join("adapters");
    // A component that is the beginning of another one.
    let (beginning, whole) = (another_atat(), [another_atat(), vec![0, 2, 1, b'x']].concat());
    let mut file = File::create(folder.join("atat.wasm")).expect("the file can be opened");
    file.write_all(&beginning).expect("it can be written");
    // Passes go by: each of these files needs one of its own.
    for name in ["b", "c"] {
        let upload = folder.join("upload");
        fs::write(&upload, &beginning).expect("a file can be written");
        fs::rename(&upload, folder.join(format!("{name}.wasm"))).expect("and renamed");
        crate::harness::eventually("another adapter to be taken up", || async {
            let adapters = host.admin_json("/adapters").await;
            let adapters = adapters["adapters"].as_array().expect("a list").clone();
            adapters
                .iter()
                .any(|one| one["name"] == name && one["versions"][0].is_object())
                .then_some(())
        })
        .await;
    }
    file.write_all(&whole[beginning.len()..]).expect("it can be written");
    drop(file);
    becomes_active(&host, &sha256(&whole)).await;
    let listing = atat(&host).await;
    let versions = listing["versions"].as_array().expect("a list");
    assert!(versions.iter().all(|one| one["sha256"] != *sha256(&beginning)), "{listing}");
}
