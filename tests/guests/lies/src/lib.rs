//! Answers against the contract, each attempt in another way: every one must be refused.

wit_bindgen::generate!({ path: "../../../wit/v0.1", world: "csp-adapter" });

use exports::hoth::adapter::adapter::Guest;
use exports::hoth::adapter::adapter::Info;
use hoth::adapter::types::Event;
use hoth::adapter::types::Job;
use hoth::adapter::types::Outcome;
use hoth::adapter::types::Progress;
use hoth::adapter::types::State;
use hoth::adapter::types::Step;
use hoth::adapter::types::WaitStep;

struct Adapter;

export!(Adapter);

impl Guest for Adapter {
    fn describe() -> Info {
        Info {
            name: "lies".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            operations: vec!["add-portfolio".to_owned()],
            states: (1, 1),
            credentials: Vec::new(),
        }
    }

    fn begin(job: Job) -> Step {
        let done = |code, response: &str| {
            let (request, response) = ("{}".to_owned(), response.to_owned());
            Step::Done(Outcome { code, request, response })
        };
        let wait = |version, length| {
            let state = State { version, bytes: vec![0; length] };
            let progress = Progress { reference: None, note: String::new() };
            Step::Wait(WaitStep { after_ms: None, state, progress })
        };
        match job.attempt {
            1 => done(42, "{}"),
            2 => done(200, "[]"),
            3 => done(200, "{\"open\":"),
            4 => done(200, &format!("{{\"long\":\"{}\"}}", "x".repeat(1 << 20))),
            5 => wait(1, (64 << 10) + 1),
            6 => wait(7, 0),
            _ => wait(1, 8 << 20),
        }
    }

    fn resume(job: Job, _: State, _: Event) -> Step {
        Self::begin(job)
    }
}
