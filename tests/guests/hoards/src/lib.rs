//! Takes memory until there is none: must end with its own bound named.

wit_bindgen::generate!({ path: "../../../wit/v0.1", world: "csp-adapter" });

use exports::hoth::adapter::adapter::Guest;
use exports::hoth::adapter::adapter::Info;
use hoth::adapter::types::Event;
use hoth::adapter::types::Job;
use hoth::adapter::types::State;
use hoth::adapter::types::Step;

struct Adapter;

export!(Adapter);

impl Guest for Adapter {
    fn describe() -> Info {
        Info {
            name: "hoards".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            operations: vec!["add-portfolio".to_owned()],
            states: (1, 1),
            credentials: Vec::new(),
        }
    }

    fn begin(_: Job) -> Step {
        let mut hoard = Vec::new();
        loop {
            // Not zeroes, which the machine would lend without giving.
            hoard.push(vec![1_u8; 1 << 20]);
            std::hint::black_box(&hoard);
        }
    }

    fn resume(job: Job, _: State, _: Event) -> Step {
        Self::begin(job)
    }
}
