//! Answers that break the contract.

use std::mem::ManuallyDrop;

use crate::hoth::adapter::types::Outcome;
use crate::hoth::adapter::types::Pair;
use crate::hoth::adapter::types::Step;

pub fn outcome(code: u16, response: &str) -> Step {
    let (request, response) = ("{}".to_owned(), response.to_owned());
    Step::Done(Outcome { code, request, response, extra: Vec::new() })
}

pub fn deep() -> Step {
    let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
    outcome(200, &format!("{{\"deep\":{open}{close}}}"))
}

/// Returns a request whose hundred parameters point at one text: little memory
/// in the guest, and a hundred times as much in a copy.
pub fn aliased() -> Step {
    let text = ManuallyDrop::new("x".repeat(1 << 20));
    let alias = || {
        #[expect(unsafe_code, reason = "safe Rust has no text in two places")]
        // SAFETY: the text is never freed, nor are the aliases: the host takes
        // the step, and the instance ends.
        unsafe {
            String::from_raw_parts(text.as_ptr().cast_mut(), text.len(), text.len())
        }
    };
    let pairs = (0..100).map(|_| Pair { name: String::new(), value: alias() }).collect();
    crate::request(|request| request.query = pairs)
}
