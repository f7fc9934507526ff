//! The `atat` adapter with one change, which a test selects by writing over
//! [`VARIANT`] in the component's file. Each variant is a version of its own,
//! as an integrator could have made it by a change or by mistake.

use std::hint::black_box;

use hoth_adapter::Adapter;
use hoth_adapter::Event;
use hoth_adapter::Job;
use hoth_adapter::Next;
use hoth_adapter::Object;
use hoth_adapter::Step;
use hoth_adapter::Target;
use hoth_atat::Atat;
use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;

/// The name of the change, padded with dots.
static VARIANT: [u8; 32] = *b"variant:none....................";

/// Iterations of nothing before each step of the variant `slow`: far more than
/// the step itself takes, on any machine.
const DAWDLE: u32 = 60_000_000;

struct Varies;

hoth_adapter::export!(Varies);

fn is(variant: &str) -> bool {
    let all = black_box(&VARIANT);
    let name = all.strip_prefix(b"variant:").unwrap_or(all);
    let length = name.iter().position(|byte| *byte == b'.').unwrap_or(name.len());
    &name[..length] == variant.as_bytes()
}

/// The state of `atat`. The variant `state` has another form under the same
/// version.
struct State(hoth_atat::State);

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if is("state") {
            return ("another form", &self.0).serialize(serializer);
        }
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if is("state") {
            let (_, state) = <(String, hoth_atat::State)>::deserialize(deserializer)?;
            return Ok(Self(state));
        }
        hoth_atat::State::deserialize(deserializer).map(Self)
    }
}

impl Adapter for Varies {
    const NAME: &'static str = Atat::NAME;
    const VERSION: &'static str = Atat::VERSION;
    const OPERATIONS: &'static [&'static str] = Atat::OPERATIONS;
    const MANIFEST: &'static str = Atat::MANIFEST;
    type State = State;

    fn begin(job: &Job) -> Next<Self> {
        vary(Atat::begin(job)?)
    }

    fn resume(job: &Job, state: State, event: Event) -> Next<Self> {
        assert!(!is("trap"), "this variant breaks when it is resumed");
        vary(Atat::resume(job, state.0, event)?)
    }

    fn asked(job: &Job, state: Option<&State>) -> Object {
        Atat::asked(job, state.map(|state| &state.0))
    }
}

fn vary(step: Step<hoth_atat::State>) -> Next<Varies> {
    if is("slow") {
        for n in 0..DAWDLE {
            black_box(n);
        }
    }
    Ok(match step {
        Step::Send(mut request, state) => {
            if is("header") {
                request = request.header("X-More", "1");
            }
            if is("path")
                && let Target::Path(path) = &mut request.target
            {
                path.insert_str(0, "/v2");
            }
            if is("body")
                && let Some(body) = &mut request.body
            {
                body.splice(..1, *br#"{"more":true,"#);
            }
            Step::Send(request, State(state))
        }
        Step::Wait(wait) => Step::Wait(hoth_adapter::Wait {
            after: wait.after,
            purpose: wait.purpose,
            state: State(wait.state),
            reference: wait.reference,
            note: wait.note,
            details: wait.details,
        }),
        Step::Done(outcome) => Step::Done(outcome),
    })
}
