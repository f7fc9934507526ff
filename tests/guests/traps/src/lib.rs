//! A guest that panics, which must fail only its own job.

wit_bindgen::generate!({ path: "../../../wit/v0.2", world: "csp-adapter" });

use exports::hoth::adapter::adapter::Guest;
use exports::hoth::adapter::adapter::Info;
use hoth::adapter::types::Event;
use hoth::adapter::types::Job;
use hoth::adapter::types::State;
use hoth::adapter::types::Step;

struct Adapter;

#[expect(unsafe_code, reason = "the exports of wit-bindgen have the C ABI")]
mod exported {
    use super::Adapter;

    crate::export!(Adapter with_types_in crate);
}

impl Guest for Adapter {
    fn describe() -> Info {
        Info {
            name: "traps".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            operations: vec!["add-portfolio".to_owned()],
            states: (1, 1),
            manifest: "{}".to_owned(),
        }
    }

    fn begin(job: Job) -> Step {
        panic!("job {} makes this adapter panic", job.id)
    }

    fn resume(job: Job, _: State, _: Event) -> Step {
        Self::begin(job)
    }
}
