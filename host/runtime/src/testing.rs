//! Real components for tests, small enough to read: the core module is
//! written in WAT, and the types come from the WIT in this repository.

use wit_component::ComponentEncoder;
use wit_component::StringEncoding;
use wit_parser::Resolve;

/// The description of a test component.
#[derive(Debug, Clone)]
pub struct TestGuest {
    /// The name in the description.
    pub name: &'static str,
    pub version: &'static str,
    pub states: (u32, u32),
    /// At most eight names of at most 32 bytes.
    pub operations: &'static [&'static str],
    /// A JSON object of at most 256 bytes.
    pub manifest: &'static str,
    /// Code that `describe` runs before it writes its result to address 512.
    pub describe: &'static str,
    /// Code that `describe` runs after that.
    pub described: &'static str,
    /// More fields of the core module: memories, tables, a start function.
    pub fields: &'static str,
    /// The body of `begin`. Its parameters: pointer and length of id (0, 1),
    /// operation (2, 3), input (4, 5) and settings (6, 7), attempt (8), now
    /// (9), entropy (10, 11), context (12, 13). It returns the address of a
    /// step; 512 is free for it.
    pub begin: &'static str,
    /// The body of `resume`; parameter 0 is the address of all arguments.
    pub resume: &'static str,
    /// Core imports, and the world's imports that they come from.
    pub imports: &'static str,
    pub world: &'static str,
    /// WIT packages that the world's imports come from.
    pub packages: &'static [&'static str],
}

/// The reason that building a guest cannot fail.
const VALID: &str = "the test's WAT and WIT are valid";

/// The body of a `begin` that is done with code 200, the settings as the
/// request and the input as the response.
pub const ECHO_BEGIN: &str = "
    (i32.store8 (i32.const 512) (i32.const 2))
    (i32.store16 (i32.const 520) (i32.const 200))
    (i32.store (i32.const 524) (local.get 6))
    (i32.store (i32.const 528) (local.get 7))
    (i32.store (i32.const 532) (local.get 4))
    (i32.store (i32.const 536) (local.get 5))
    (i32.const 512)";

/// The body of a `resume` that is done with the response's status, the state as
/// the request and the body as the response.
pub const ECHO_RESUME: &str = "
    (i32.store8 (i32.const 512) (i32.const 2))
    (i32.store16 (i32.const 520) (i32.load16_u (i32.add (local.get 0) (i32.const 88))))
    (i32.store (i32.const 524) (i32.load (i32.add (local.get 0) (i32.const 76))))
    (i32.store (i32.const 528) (i32.load (i32.add (local.get 0) (i32.const 80))))
    (i32.store (i32.const 532) (i32.load (i32.add (local.get 0) (i32.const 112))))
    (i32.store (i32.const 536) (i32.load (i32.add (local.get 0) (i32.const 116))))
    (i32.const 512)";

impl Default for TestGuest {
    fn default() -> Self {
        Self {
            name: "echo",
            version: "1.0.0",
            states: (1, 1),
            operations: &["add-portfolio"],
            manifest: "{}",
            describe: "",
            described: "",
            fields: "",
            begin: ECHO_BEGIN,
            resume: ECHO_RESUME,
            imports: "",
            world: "",
            packages: &[],
        }
    }
}

impl TestGuest {
    /// Builds the component, and returns its bytes.
    pub fn build(&self) -> Vec<u8> {
        let mut resolve = Resolve::default();
        resolve.push_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/v0.2")).expect(VALID);
        for package in self.packages {
            resolve.push_str("package.wit", package).expect(VALID);
        }
        let world = format!(
            "package test:guest; world guest {{ include hoth:adapter/csp-adapter@0.2.0; {} }}",
            self.world
        );
        let package = resolve.push_str("guest.wit", &world).expect(VALID);
        let world = resolve.select_world(&[package], Some("guest")).expect(VALID);
        let mut module = wat::parse_str(self.core_module()).expect(VALID);
        wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
            .expect(VALID);
        ComponentEncoder::default().module(&module).expect(VALID).encode().expect(VALID)
    }

    fn core_module(&self) -> String {
        let Self { name, version, states: (oldest, newest), begin, resume, imports, .. } = self;
        let Self { describe, described, fields, .. } = self;
        let (operations, list_operations) = words(self.operations, 1536, 600);
        let manifest = self.manifest.replace('"', "\\22");
        format!(
            r#"(module {imports}
                (memory (export "memory") 64)
                {fields}
                (global $heap (mut i32) (i32.const 65536))
                (data (i32.const 1024) "{name}")
                (data (i32.const 1280) "{version}")
                {operations}
                (data (i32.const 1776) "poll")
                (data (i32.const 1792) "{manifest}")
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
                    (local.set $at
                        (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
                    (global.set $heap (i32.add (local.get $at) (local.get 3)))
                    (local.get $at))
                (func (export "hoth:adapter/adapter@0.2.0#describe") (result i32)
                    {describe}
                    {list_operations}
                    (i32.store (i32.const 512) (i32.const 1024))
                    (i32.store (i32.const 516) (i32.const {name_len}))
                    (i32.store (i32.const 520) (i32.const 1280))
                    (i32.store (i32.const 524) (i32.const {version_len}))
                    (i32.store (i32.const 528) (i32.const 600))
                    (i32.store (i32.const 532) (i32.const {operations_len}))
                    (i32.store (i32.const 536) (i32.const {oldest}))
                    (i32.store (i32.const 540) (i32.const {newest}))
                    (i32.store (i32.const 544) (i32.const 1792))
                    (i32.store (i32.const 548) (i32.const {manifest_len}))
                    {described}
                    (i32.const 512))
                (func (export "hoth:adapter/adapter@0.2.0#begin")
                    (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i64 i64 i64 i32 i32) (result i32)
                    {begin})
                (func (export "hoth:adapter/adapter@0.2.0#resume") (param i32) (result i32)
                    {resume}))"#,
            operations_len = self.operations.len(),
            manifest_len = self.manifest.len(),
            name_len = name.len(),
            version_len = version.len(),
        )
    }
}

/// Returns the fields that place `words` at `at`, and the code that lists them
/// at `list`.
fn words(words: &[&str], at: usize, list: usize) -> (String, String) {
    let (mut fields, mut code) = (String::new(), String::new());
    for (n, word) in words.iter().enumerate() {
        let (at, list) = (at + 32 * n, list + 8 * n);
        fields.push_str(&format!("(data (i32.const {at}) \"{word}\")"));
        code.push_str(&format!("(i32.store (i32.const {list}) (i32.const {at}))"));
        code.push_str(&format!("(i32.store (i32.const {}) (i32.const {}))", list + 4, word.len()));
    }
    (fields, code)
}
