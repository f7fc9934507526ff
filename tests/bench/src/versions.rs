//! Versions of one adapter, as a developer makes them.

use anyhow::Context as _;
use anyhow::ensure;
use wasmparser::FunctionBody;
use wasmparser::Operator;
use wasmparser::Parser;
use wasmparser::Payload;

/// One of so many functions differs between two versions that share most.
const CHANGED_EVERY: usize = 20;

/// Returns the adapter with one more custom section, which holds `number`. It
/// shares all functions with the adapter.
pub fn same_code(wasm: &[u8], number: u32) -> Vec<u8> {
    let mut version = wasm.to_vec();
    version.extend([0, 8, 3, b'n', b'e', b'w']);
    version.extend(number.to_le_bytes());
    version
}

/// Returns the adapter with exchanged terms of one sum in one of
/// [`CHANGED_EVERY`] functions, which changes their code and not their results.
/// Each `number` below that changes other functions.
pub fn most_code(wasm: &[u8], number: usize) -> anyhow::Result<Vec<u8>> {
    let mut version = wasm.to_vec();
    let sums = sums(wasm)?;
    ensure!(sums.len() >= CHANGED_EVERY, "the adapter has too few functions");
    for Sum { first, second, end } in sums.into_iter().skip(number).step_by(CHANGED_EVERY) {
        version[first..end].rotate_left(second - first);
    }
    Ok(version)
}

/// The places of a sum's terms, which are one instruction each, and their end.
struct Sum {
    first: usize,
    second: usize,
    end: usize,
}

/// Returns the first simple sum of each function that has one.
fn sums(wasm: &[u8]) -> anyhow::Result<Vec<Sum>> {
    let mut sums = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::CodeSectionEntry(function) = payload.context("parsing a component")? {
            sums.extend(first_sum(&function)?);
        }
    }
    Ok(sums)
}

fn first_sum(function: &FunctionBody<'_>) -> anyhow::Result<Option<Sum>> {
    let reader = function.get_operators_reader().context("parsing a function")?;
    let operators: Result<Vec<_>, _> = reader.into_iter_with_offsets().collect();
    let operators = operators.context("parsing an instruction")?;
    Ok(operators.windows(3).find_map(|three| match three {
        [(left, first), (right, second), (Operator::I32Add, end)]
            if is_term(left) && is_term(right) =>
        {
            Some(Sum { first: *first, second: *second, end: *end })
        }
        _ => None,
    }))
}

fn is_term(operator: &Operator<'_>) -> bool {
    matches!(operator, Operator::LocalGet { .. } | Operator::I32Const { .. })
}
