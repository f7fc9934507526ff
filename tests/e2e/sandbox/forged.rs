//! Forged components, which no compiler would make.

use serde_json::Value;

use super::words;
use crate::csp;
use crate::harness::Setup;
use crate::harness::client;
use crate::harness::job;
use hoth_runtime::testing::TestGuest;

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the test's WAT is valid")
}

fn importing(
    imports: &'static str,
    world: &'static str,
    package: &'static [&'static str],
) -> Vec<u8> {
    let begin = "(call $it) (unreachable)";
    TestGuest { imports, world, packages: package, begin, ..TestGuest::default() }.build()
}

fn describing(describe: &'static str) -> Vec<u8> {
    TestGuest { describe, ..TestGuest::default() }.build()
}

fn with(fields: &'static str) -> Vec<u8> {
    TestGuest { fields, ..TestGuest::default() }.build()
}

/// A description, the component, and the expected text.
type Case = (&'static str, Vec<u8>, &'static str);

/// Returns components that are refused.
pub fn refused() -> Vec<Case> {
    [no_components(), strange_imports(), strange_exports(), bad_starts(), bad_sizes()].concat()
}

fn no_components() -> Vec<Case> {
    let good = TestGuest::default().build();
    vec![
        ("nothing", Vec::new(), "not a WebAssembly component: it does not begin like one"),
        ("a core module", wat("(module)"), "this is a core module; wrap it with `wasm-tools"),
        ("machine code", b"\x7fELF and more".to_vec(), "this is compiled machine code; only a"),
        ("half a component", good[..good.len() / 2].to_vec(), "the component does not compile"),
    ]
}

fn strange_imports() -> Vec<Case> {
    vec![
        (
            "an unknown import",
            importing(
                r#"(import "acme:net/sockets@1.0.0" "open" (func $it))"#,
                "import acme:net/sockets@1.0.0;",
                &["package acme:net@1.0.0; interface sockets { open: func(); }"],
            ),
            "imports `acme:net/sockets@1.0.0`, which the host does not offer: an adapter may",
        ),
        (
            "HTTP of its own",
            importing(
                r#"(import "wasi:http/types@0.2.0" "open" (func $it))"#,
                "import wasi:http/types@0.2.0;",
                &["package wasi:http@0.2.0; interface types { open: func(); }"],
            ),
            "imports `wasi:http/types@0.2.0`, which the host does not offer: an adapter may",
        ),
        (
            "a later log",
            importing(
                r#"(import "hoth:adapter/log@0.3.0" "write" (func $it))"#,
                "import hoth:adapter/log@0.3.0;",
                &["package hoth:adapter@0.3.0; interface log { write: func(); }"],
            ),
            "imports `hoth:adapter/log@0.3.0`, which the host does not offer: an adapter may",
        ),
        (
            "WASI that there is not",
            importing(
                r#"(import "wasi:random/random@0.2.0" "get-lucky" (func $it))"#,
                "import wasi:random/random@0.2.0;",
                &["package wasi:random@0.2.0; interface random { get-lucky: func(); }"],
            ),
            "get-lucky",
        ),
    ]
}

fn strange_exports() -> Vec<Case> {
    vec![
        (
            "another world",
            wat("(component)"),
            "it must export `hoth:adapter/adapter@0.2.0`, and exports nothing; build it for the \
             world `csp-adapter`",
        ),
        (
            "an earlier package",
            wat(r#"(component (instance $i) (export "hoth:adapter/adapter@0.1.0" (instance $i)))"#),
            "it must export `hoth:adapter/adapter@0.2.0`, and exports `hoth:adapter/adapter@0.1.0`",
        ),
        (
            "an empty adapter",
            wat(r#"(component (instance $i) (export "hoth:adapter/adapter@0.2.0" (instance $i)))"#),
            "its export `hoth:adapter/adapter@0.2.0`",
        ),
    ]
}

fn bad_starts() -> Vec<Case> {
    let name_of_65 = "(i32.store (i32.const 516) (i32.const 65))";
    vec![
        (
            "spins in `describe`",
            describing("(loop (br 0))"),
            "the component does not describe itself: the adapter did not answer within",
        ),
        (
            "spins while it is instantiated",
            with("(func $spins (loop (br 0))) (start $spins)"),
            "the component does not describe itself: the adapter did not answer within",
        ),
        (
            "traps in `describe`",
            describing("(unreachable)"),
            "the component does not describe itself: the adapter trapped",
        ),
        (
            "exhausts its memory in `describe`",
            describing(
                "(loop (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) \
                 (then (unreachable))) (br 0))",
            ),
            "the component does not describe itself: the adapter asked for more than its",
        ),
        (
            "a long name",
            TestGuest { described: name_of_65, ..TestGuest::default() }.build(),
            "the component describes itself wrongly: its name has 65 bytes, more than 64",
        ),
    ]
}

fn bad_sizes() -> Vec<Case> {
    vec![
        ("a vast memory", with("(memory 65536)"), "memory"),
        ("many memories", with("(memory 1) (memory 1) (memory 1) (memory 1)"), "memor"),
        ("a vast table", with("(table 10000000 funcref)"), "table"),
    ]
}

/// Returns adapters that load, and the details of their job's failure.
fn broken() -> Vec<Case> {
    let begin = |begin, fields| TestGuest { begin, fields, ..TestGuest::default() }.build();
    vec![
        (
            "two-memories",
            begin(
                "(loop
                    (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then (unreachable)))
                    (if (i32.eq (memory.grow $other (i32.const 16)) (i32.const -1))
                        (then (unreachable)))
                    (br 0))
                (unreachable)",
                "(memory $other 1)",
            ),
            "the adapter asked for more than its 67108864 bytes of memory",
        ),
        (
            "tables",
            begin(
                "(loop
                    (if (i32.eq (table.grow $table (ref.null func) (i32.const 1000)) (i32.const -1))
                        (then (unreachable)))
                    (br 0))
                (unreachable)",
                "(table $table 1 funcref)",
            ),
            "the adapter trapped",
        ),
        (
            "no-step",
            begin("(i32.store8 (i32.const 512) (i32.const 9)) (i32.const 512)", ""),
            "discriminant",
        ),
        ("nowhere", begin("(i32.const -8)", ""), "pointer"),
        (
            "no-text",
            begin(
                "(i32.store8 (i32.const 512) (i32.const 2))
                (i32.store16 (i32.const 520) (i32.const 200))
                (i32.store8 (i32.const 1792) (i32.const 255))
                (i32.store (i32.const 524) (i32.const 1792))
                (i32.store (i32.const 528) (i32.const 1))
                (i32.const 512)",
                "",
            ),
            "utf-8",
        ),
    ]
}

#[tokio::test]
async fn a_component_that_is_no_adapter_is_refused_with_a_reason() {
    let csp = csp::sync().await;
    // Two of them spin until the deadline.
    let setup = Setup::new().environment("HOTH__ADAPTERS__DEADLINE_MS", "3000");
    let host = setup.csp("CSP_TEST", &csp).start().await;
    let before = host.admin_json("/adapters/atat").await;
    let mut wrong = Vec::new();
    for (what, wasm, reason) in refused() {
        let url = format!("{}/adapters/atat", host.admin());
        let answer = client().put(url).body(wasm).send().await.expect("the host answers");
        let status = answer.status().as_u16();
        let answer: Value = answer.json().await.expect("the answer is JSON");
        let message = answer["message"].as_str().expect("a message");
        // Readable for people: no backtrace, no page of text.
        let readable = message.len() < 400 && message.lines().count() < 3;
        if status != 422 || !message.contains(reason) || !readable {
            wrong.push(format!("{what}: not 422 {reason}, but {status} {message}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(host.admin_json("/adapters/atat").await["versions"], before["versions"]);
    host.servicenow().provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    assert_eq!(host.servicenow().outcome().await.code(), 200);
}

#[tokio::test]
async fn a_forged_component_fails_only_its_own_job() {
    let csp = csp::sync().await;
    let mut setup = Setup::new();
    let name = |n: usize| format!("CSP_{n}");
    for (n, (adapter, wasm, _)) in broken().into_iter().enumerate() {
        setup = setup.adapter(adapter, wasm).with(&format!(
            "[csp.{}]\nadapter = \"{adapter}\"\nbase_url = \"{}\"",
            name(n),
            csp.base_url()
        ));
    }
    let host = setup.start().await;
    let snow = host.servicenow();
    for (n, (adapter, _, told)) in broken().into_iter().enumerate() {
        snow.provision(&job(adapter, &name(n), "ADD_PORTFOLIO")).await;
        let message = snow.outcome().await;
        assert_eq!(message.code(), 500, "{adapter}: {message}");
        let words = words(&message);
        assert!(words.contains(told), "{adapter}: {words}\nshould contain\n{told}");
    }
}
