//! Runs of a target over its corpus and random variations of it.

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::time::Duration;
use std::time::Instant;

use fastrand::Rng;

use crate::Target;

/// A fixed seed, so that a failure repeats.
const SEED: u64 = 0x4854_4f48;

/// The largest variation; a few inputs of the corpus are larger.
const INPUT_BYTES_MAX: usize = 64 * 1024;

/// The end of a run.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// The number of variations.
    Tried(u64),
    /// The time since the start.
    Passed(Duration),
}

/// The number of inputs that were tried.
#[derive(Debug, Clone, Copy)]
pub struct Tried {
    /// Inputs of the corpus.
    pub corpus: usize,
    pub variations: u64,
}

/// Tries the whole corpus of `target`, and then variations.
///
/// # Panics
///
/// Panics at the first input that breaks an invariant, which is named or
/// printed.
pub fn run(target: Target, until: Until) -> Tried {
    let corpus = corpus(target);
    for (name, input) in &corpus {
        attempt(target, name, input);
    }
    let inputs: Vec<&[u8]> = corpus.iter().map(|(_, input)| input.as_slice()).collect();
    let mut rng = Rng::with_seed(SEED);
    let begun = Instant::now();
    let mut variations = 0;
    while match until {
        Until::Tried(count) => variations < count,
        Until::Passed(time) => begun.elapsed() < time,
    } {
        attempt(target, &format!("variation {variations}"), &vary(&inputs, &mut rng));
        variations += 1;
    }
    Tried { corpus: corpus.len(), variations }
}

fn corpus(target: Target) -> Vec<(String, Vec<u8>)> {
    let folder = target.corpus();
    let entries = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", folder.display()));
    let mut inputs: Vec<(String, Vec<u8>)> = entries
        .map(|entry| {
            let path = entry.expect("an entry of the corpus can be read").path();
            let input = std::fs::read(&path).expect("an input of the corpus can be read");
            (path.display().to_string(), input)
        })
        .collect();
    inputs.sort();
    inputs
}

fn attempt(target: Target, name: &str, input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target.run(input))) {
        let shown = input.escape_ascii();
        panic!("{target} broke an invariant on {name}: {}\nb\"{shown}\"", message(&*panic));
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked")
}

/// Combines inputs of the corpus: cuts, joins and repeats them, and changes
/// bytes.
fn vary(corpus: &[&[u8]], rng: &mut Rng) -> Vec<u8> {
    let pick = |rng: &mut Rng| corpus.get(rng.usize(..corpus.len().max(1))).copied();
    let mut input = pick(rng).unwrap_or_default().to_vec();
    for _ in 0..rng.usize(1..=4) {
        let at = rng.usize(..=input.len());
        let end = rng.usize(at..=input.len().min(at + 64));
        match rng.u8(..6) {
            0 => drop(input.drain(at..end)),
            1 => input.insert(at, rng.u8(..)),
            2 => drop(input.splice(at..end, (at..end).map(|_| rng.u8(..)).collect::<Vec<u8>>())),
            3 => {
                let piece = input[at..end].repeat(rng.usize(1..=32));
                input.splice(at..at, piece);
            }
            4 => {
                let other = pick(rng).unwrap_or_default();
                let from = rng.usize(..=other.len());
                input.splice(at..end, other[from..].iter().copied());
            }
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << rng.u8(..8);
                }
            }
        }
        input.truncate(INPUT_BYTES_MAX);
    }
    input
}
