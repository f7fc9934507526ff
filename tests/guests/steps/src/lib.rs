//! A guest that makes three requests in one run, and fails if another version
//! goes on with the run than the one that began it. Its outcome has the trace
//! context of the job.
//!
//! A test makes versions of it by writing over `MARK` in the component.

use std::hint::black_box;

use hoth_adapter::prelude::*;
use serde::Deserialize;
use serde::Serialize;

struct Steps;

hoth_adapter::export!(Steps);

/// The bytes that a test finds and replaces.
static MARK: &str = "hoth-guest-mark-0000";

/// Requests after the first one.
const FURTHER: u32 = 2;

#[derive(Serialize, Deserialize)]
struct State {
    /// The mark of the version that made the last request.
    mark: String,
    further: u32,
}

/// Reads the mark that a test has written, which the compiler must not know.
fn mark() -> &'static str {
    black_box(MARK)
}

fn ask(further: u32) -> Next<Steps> {
    let state = State { mark: mark().to_owned(), further };
    let request = Request::post(["steps", mark()]).scope("atat/write-portfolio");
    Ok(request.json(Object::new()).retry(Retry::Safe).then(state))
}

impl Adapter for Steps {
    const NAME: &'static str = "steps";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const OPERATIONS: &'static [&'static str] = &[operation::ADD_PORTFOLIO];
    type State = State;

    fn begin(_: &Job) -> Next<Self> {
        ask(FURTHER)
    }

    fn resume(job: &Job, state: State, event: Event) -> Next<Self> {
        if state.mark != mark() {
            let details = format!("{} began, and {} goes on", state.mark, mark());
            return Err(Failure::refused(500, Object::new().with("details", details)));
        }
        event.answer()?.success()?;
        match state.further.checked_sub(1) {
            Some(further) => ask(further),
            None => {
                let traced = job.context("traceparent").unwrap_or_default();
                Ok(Step::done(Object::new().with("mark", mark()).with("traced", traced)))
            }
        }
    }

    fn asked(_: &Job, _: Option<&State>) -> Object {
        Object::new()
    }
}
