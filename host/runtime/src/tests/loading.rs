//! The promises of loading a component: refusals, limits and the cache.

use std::path::Path;
use std::path::PathBuf;

use super::*;

#[tokio::test]
async fn a_component_that_is_no_adapter_is_refused_with_the_reason() {
    let fixture = fixture();
    let good = TestGuest::default().build();
    let compiled = wasmtime::Engine::default().precompile_component(&good).unwrap();
    let unknown = TestGuest {
        imports: r#"(import "acme:net/sockets@1.0.0" "open" (func $open))"#,
        world: "import acme:net/sockets@1.0.0;",
        packages: &["package acme:net@1.0.0; interface sockets { open: func(); }"],
        begin: "(call $open) (unreachable)",
        ..TestGuest::default()
    };
    let http = TestGuest {
        imports: r#"(import "wasi:http/types@0.2.0" "open" (func $open))"#,
        world: "import wasi:http/types@0.2.0;",
        packages: &["package wasi:http@0.2.0; interface types { open: func(); }"],
        begin: "(call $open) (unreachable)",
        ..TestGuest::default()
    };
    let wat = |text: &str| wat::parse_str(text).unwrap();
    for (wasm, expected) in [
        (vec![], "not a WebAssembly component: it does not begin like one"),
        (b"# Adapters".to_vec(), "not a WebAssembly component: it does not begin like one"),
        (wat("(module)"), "this is a core module; wrap it"),
        (compiled, "this is compiled machine code"),
        (b"\x7fELF and more".to_vec(), "this is compiled machine code"),
        (good[..good.len() / 2].to_vec(), "the component does not compile: "),
        (wat("(component)"), "it must export `hoth:adapter/adapter@0.2.0`, and exports nothing"),
        (
            wat(r#"(component (instance $i) (export "hoth:adapter/adapter@0.1.0" (instance $i)))"#),
            "and exports `hoth:adapter/adapter@0.1.0`",
        ),
        (
            wat(r#"(component (instance $i) (export "hoth:adapter/adapter@0.2.0" (instance $i)))"#),
            "describe",
        ),
        (unknown.build(), "imports `acme:net/sockets@1.0.0`, which the host does not offer"),
        (http.build(), "wasi:http/types@0.2.0"),
        (
            TestGuest { version: "", ..TestGuest::default() }.build(),
            "the component describes itself wrongly: its version is empty",
        ),
    ] {
        let error = fixture.engine.load("bad", wasm).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}\nshould contain\n{expected}");
    }
}

#[tokio::test]
async fn a_component_of_the_asynchronous_abi_is_refused_with_the_reason() {
    let fixture = fixture();
    let wasm = wat::parse_str(
        r#"(component
            (core module $m (func (export "f") (result i32) (i32.const 0))
                (func (export "cb") (param i32 i32 i32) (result i32) (i32.const 0)))
            (core instance $i (instantiate $m))
            (func (export "f") async
                (canon lift (core func $i "f") async (callback (func $i "cb")))))"#,
    )
    .unwrap();
    let error = fixture.engine.load("bad", wasm).await.unwrap_err().to_string();
    assert!(error.contains("the host supports the synchronous ABI only"), "{error}");
}

#[tokio::test]
async fn a_guest_that_needs_too_much_memory_to_start_is_refused() {
    let fixture = fixture_with(Config {
        max_memory_bytes: 2 * MIB,
        deadline_ms: FAR_MS,
        ..Config::default()
    });
    let error = fixture.engine.load("big", TestGuest::default().build()).await.unwrap_err();
    // 64 pages are 4 MiB.
    let error = error.to_string();
    assert!(error.contains("memory"), "{error}");
}

fn with_limits(limits: Limits) -> Config {
    let limits = [("echo".to_owned(), limits)].into();
    Config { limits, deadline_ms: FAR_MS, ..Config::default() }
}

#[tokio::test]
async fn limits_are_selected_by_the_name_of_an_adapter() {
    let own = Limits { max_memory_bytes: Some(2 * MIB), deadline_ms: Some(NEAR_MS) };
    let fixture = fixture_with(with_limits(own));
    // 64 pages are 4 MiB.
    let wasm = TestGuest { begin: "(loop (br 0)) (unreachable)", ..TestGuest::default() }.build();
    let refused = fixture.engine.load("echo", wasm.clone()).await.unwrap_err().to_string();
    assert!(refused.contains(&format!("more than its {} bytes", 2 * MIB)), "{refused}");
    fixture.engine.load("other", wasm.clone()).await.unwrap();

    // The own limit may also be higher than the common one.
    let own = Limits { max_memory_bytes: Some(128 * MIB), deadline_ms: Some(NEAR_MS) };
    let config = Config { max_memory_bytes: 2 * MIB, ..with_limits(own) };
    let fixture = fixture_with(config);
    fixture.engine.load("other", wasm.clone()).await.unwrap_err();
    let adapter = fixture.engine.load("echo", wasm).await.unwrap();
    let error = adapter.call(call(&facts(), EntryPoint::Begin)).await.unwrap_err();
    assert_eq!(error, CallError::DeadlineExceeded { limit: NEAR });
}

#[test]
fn limits_out_of_bounds_are_refused() {
    for (config, expected) in [
        (Config { deadline_ms: 0, ..Config::default() }, "deadline_ms: must be 1 to 60000, not 0"),
        (
            Config { max_memory_bytes: 5, ..Config::default() },
            "max_memory_bytes: must be 1048576 to 4294967296, not 5",
        ),
        (
            with_limits(Limits { deadline_ms: Some(0), ..Limits::default() }),
            "limits.echo.deadline_ms: must be 1 to 60000, not 0",
        ),
        (
            Config { compile_max_memory_bytes: 1, ..Config::default() },
            "compile_max_memory_bytes: must be 67108864 to 68719476736, not 1",
        ),
    ] {
        let problems: Vec<_> =
            config.check(&Names::default()).iter().map(ToString::to_string).collect();
        assert_eq!(problems, [expected]);
    }
}

/// Loads the same component with a new engine, as a restart does.
async fn load_again(config: &Config) -> Adapter {
    let engine = Engine::new(config).unwrap();
    let adapter = engine.load("echo", TestGuest::default().build()).await.unwrap();
    adapter.call(call(&facts(), EntryPoint::Begin)).await.unwrap();
    adapter
}

#[tokio::test]
async fn compiled_components_are_kept_privately_and_damage_is_noticed() {
    use std::os::unix::fs::MetadataExt as _;
    use std::os::unix::fs::PermissionsExt as _;

    let directory = tempfile::tempdir().unwrap();
    // As the kernel names it.
    let directory_path = directory.path().canonicalize().unwrap();
    let config = Config { directory: directory_path, deadline_ms: FAR_MS, ..Config::default() };
    let cache = config.cache_directory();

    load_again(&config).await;
    let [file] = with_extension(&cache, "cwasm").try_into().unwrap();
    assert_eq!(std::fs::metadata(&cache).unwrap().mode() & 0o777, 0o700);
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o400);
    let written = std::fs::metadata(&file).unwrap();

    // Mapped, and not written again.
    let running = load_again(&config).await;
    let read = std::fs::metadata(&file).unwrap();
    assert_eq!((written.ino(), written.mtime_nsec()), (read.ino(), read.mtime_nsec()));
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(maps.contains(file.to_str().unwrap()), "the file is not mapped");

    // One bit of code or of the seal, or half a file, and it is made anew.
    let good = std::fs::read(&file).unwrap();
    let with_bit_flipped = |at: usize| {
        let mut damaged = good.clone();
        damaged[at] ^= 1;
        damaged
    };
    let middle = good.len() / 2;
    for damaged in [
        with_bit_flipped(middle),
        with_bit_flipped(good.len() - 1),
        good[..middle].to_vec(),
        Vec::new(),
    ] {
        replace(&file, &damaged);
        load_again(&config).await;
        assert_eq!(std::fs::metadata(&file).unwrap().len(), written.len());
        assert_ne!(std::fs::read(&file).unwrap(), damaged);
    }
    // Its mapping is that of a file which is no longer there.
    running.call(call(&facts(), EntryPoint::Begin)).await.unwrap();

    // A directory that other users can write is not trusted, and not needed.
    std::fs::set_permissions(&cache, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::remove_file(&file).unwrap();
    load_again(&config).await;
    assert_eq!(with_extension(&cache, "cwasm"), Vec::<PathBuf>::new());
}

/// Replaces a file, which is read-only.
fn replace(file: &Path, contents: &[u8]) {
    std::fs::remove_file(file).unwrap();
    std::fs::write(file, contents).unwrap();
}

fn with_extension(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|own| own == extension)).collect()
}

#[tokio::test]
async fn a_new_version_compiles_only_the_functions_that_are_new() {
    let directory = tempfile::tempdir().unwrap();
    let config =
        Config { directory: directory.path().to_owned(), deadline_ms: FAR_MS, ..Config::default() };
    let old = TestGuest::default().build();
    let new = TestGuest { begin: "(unreachable)", ..TestGuest::default() }.build();
    let engine = Engine::new(&config).unwrap();
    let known = || engine.cache().unwrap().functions();

    engine.load("echo", old.clone()).await.unwrap();
    let of_old = known();
    let new_functions = |wasm: &[u8]| {
        let compiled = compile::in_process(known(), wasm).unwrap();
        (compiled.reused, compiled.functions.len())
    };
    // Now and then the compiler looks one function up under another key, and
    // compiles it again.
    let (reused, added) = new_functions(&old);
    assert!(reused > 0 && added < of_old.len() / 4, "{reused} reused, {added} bytes added");
    let (reused_by_new, added_by_new) = new_functions(&new);
    assert!(reused_by_new * 4 > reused * 3, "{reused_by_new} of {reused}");
    assert!(added_by_new > 0 && added_by_new < of_old.len() / 4, "{added_by_new} bytes added");

    // The store keeps the functions of both versions, and both run.
    engine.load("echo", new).await.unwrap();
    let of_both = known();
    assert!(of_both.starts_with(&of_old) && of_both.len() > of_old.len());
    let again = load_again(&config).await;
    assert!(again.call(call(&facts(), EntryPoint::Begin)).await.is_ok());

    // A damaged store is not used.
    let [store] = with_extension(&config.cache_directory(), "functions").try_into().unwrap();
    let mut damaged = std::fs::read(&store).unwrap();
    damaged[100] ^= 1;
    replace(&store, &damaged);
    assert_eq!(known(), Vec::<u8>::new());
    let third = TestGuest { begin: "(loop (br 0)) (unreachable)", ..TestGuest::default() }.build();
    engine.load("echo", third).await.unwrap();
    assert!(!known().is_empty());
}
