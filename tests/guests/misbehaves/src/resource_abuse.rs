//! Misbehaviors that use up resources of the host: time, memory, disk space.

use std::hint::black_box;

use crate::done;
use crate::hoth::adapter::log;
use crate::hoth::adapter::log::Level;
use crate::hoth::adapter::types::Step;
use crate::sends;
use crate::wasi::clocks::monotonic_clock;

/// Bytes of one line of [`log_much`], lines of one call, and calls: 2^30 in
/// all.
const LINE_BYTES: usize = 1 << 20;
const LINES: u32 = 64;
const CALLS: u32 = 16;

/// Iterations of [`dawdle`] in each call: some tens of milliseconds, so that
/// the host interrupts it more than once.
const TURNS: u64 = 20_000_000;

/// The sleep of [`dawdle`] in each call, in nanoseconds: 400 ms. It makes the
/// sum of all calls independent of the processor: 51 calls use more than 20 s,
/// and one call is far from 2 s.
const SLEEP_NS: u64 = 400_000_000;

pub fn spin() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

pub fn dawdle(steps: u32) -> Step {
    let mut sum = 0_u64;
    for turn in 0..TURNS {
        sum = black_box(sum ^ turn);
    }
    black_box(sum);
    monotonic_clock::subscribe_duration(SLEEP_NS).block();
    sends(steps, |_| ())
}

pub fn hoard() -> ! {
    let mut hoard = Vec::new();
    loop {
        // Not zeroes, for which the system would reserve no memory.
        hoard.push(vec![1_u8; 1 << 20]);
        black_box(&hoard);
    }
}

/// Recurses deeper than any stack, in a way that the compiler cannot turn into
/// a loop.
pub fn recurse(depth: u32) -> u32 {
    let frame = black_box([depth; 64]);
    if depth == u32::MAX { depth } else { recurse(depth + 1).wrapping_add(frame[0]) }
}

pub fn log_much(steps: u32) -> Step {
    let line = "x".repeat(LINE_BYTES);
    for _ in 0..LINES {
        log::log(Level::Warn, &line);
    }
    if steps + 1 < CALLS { sends(steps, |_| ()) } else { done("{}") }
}

pub fn log_forged() -> Step {
    log::log(
        Level::Info,
        "one line\n{\"level\":\"ERROR\",\"message\":\"forged\"}\r\n\u{1b}[2Jgone",
    );
    done("{}")
}
