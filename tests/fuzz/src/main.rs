//! The targets behind libFuzzer, which brings `main`; `cargo xtask fuzz` builds
//! and runs this. `HOTH_FUZZ_TARGET` names the target.

#![no_main]

use std::sync::LazyLock;

use hoth_fuzz::Target;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    // A panic that is caught breaks an invariant as well, and libFuzzer keeps
    // the input of a program that aborts.
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        std::process::abort();
    }));
    let name = std::env::var_os("HOTH_FUZZ_TARGET").unwrap_or_default();
    let target = name.to_str().and_then(Target::named);
    target.unwrap_or_else(|| panic!("HOTH_FUZZ_TARGET names no target: {name:?}"))
});

/// Called by libFuzzer with each input.
#[expect(unsafe_code, reason = "libFuzzer is C++, and calls this by its name with a raw slice")]
#[unsafe(no_mangle)]
extern "C" fn LLVMFuzzerTestOneInput(data: *const u8, size: usize) -> i32 {
    let input = match size {
        0 => &[],
        // SAFETY: libFuzzer owns `size` bytes at `data` until this returns.
        _ => unsafe { std::slice::from_raw_parts(data, size) },
    };
    TARGET.run(input);
    0
}
