//! An adapter that misbehaves as the job asks: the name of the portfolio to add
//! is that of a [`Deed`].

mod answers;
mod burdens;
mod deeds;
mod requests;

wit_bindgen::generate!({
    path: "../../../wit/v0.1",
    // Of WASI only what sleeping takes.
    inline: "
        package guest:rogue;
        world rogue {
            include hoth:adapter/csp-adapter@0.1.0;
            import wasi:io/poll@0.2.0;
            import wasi:clocks/monotonic-clock@0.2.0;
        }
        package wasi:io@0.2.0 {
            interface poll { resource pollable { block: func(); } }
        }
        package wasi:clocks@0.2.0 {
            interface monotonic-clock {
                use wasi:io/poll@0.2.0.{pollable};
                type duration = u64;
                subscribe-duration: func(when: duration) -> pollable;
            }
        }
    ",
    world: "guest:rogue/rogue",
    generate_all,
});

use deeds::Deed;
use exports::hoth::adapter::adapter::Guest;
use exports::hoth::adapter::adapter::Info;
use hoth::adapter::types::Event;
use hoth::adapter::types::Failure;
use hoth::adapter::types::HttpRequest;
use hoth::adapter::types::Job;
use hoth::adapter::types::Method;
use hoth::adapter::types::Outcome;
use hoth::adapter::types::Progress;
use hoth::adapter::types::SendStep;
use hoth::adapter::types::State;
use hoth::adapter::types::Step;
use hoth::adapter::types::Target;
use hoth::adapter::types::WaitStep;

struct Adapter;

#[expect(unsafe_code, reason = "what wit-bindgen exports has the ABI of C")]
mod exported {
    use super::Adapter;

    crate::export!(Adapter with_types_in crate);
}

impl Guest for Adapter {
    fn describe() -> Info {
        Info {
            name: "rogue".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            operations: vec!["add-portfolio".to_owned()],
            states: (1, 1),
            credentials: Vec::new(),
        }
    }

    fn begin(job: Job) -> Step {
        act(&job, 0)
    }

    fn resume(job: Job, state: State, event: Event) -> Step {
        if let Event::TransportFailure(failure) = event {
            return refused(failure.message);
        }
        let steps = state.bytes.try_into().map_or(0, u32::from_le_bytes);
        act(&job, steps + 1)
    }
}

/// The next step after so many.
fn act(job: &Job, steps: u32) -> Step {
    let deed = Deed::ALL.iter().find(|deed| job.input.contains(&format!("\"{}\"", deed.name())));
    let Some(deed) = deed else { return done("{}") };
    match deed {
        Deed::Spins => burdens::spin(),
        Deed::Dawdles => burdens::dawdle(steps),
        Deed::Hoards => burdens::hoard(),
        Deed::Traps => panic!("job {} is more than this adapter can bear", job.id),
        Deed::Recurses => done(&format!("{{\"depth\":{}}}", burdens::recurse(steps))),

        Deed::AnswersVast => done(&format!("{{\"vast\":\"{}\"}}", "x".repeat(10_000_000))),
        Deed::AnswersAliased => answers::aliased(),
        Deed::LargeBody => request(|r| r.body = Some(vec![b' '; (1 << 20) + 1])),
        Deed::ManyHeaders => request(|r| r.headers = vec![pair("x-a", "b"); 65]),
        Deed::LargeHeader => request(|r| r.headers = vec![pair("x-a", &"b".repeat(16 << 10))]),
        Deed::LongPath => request(|r| r.target = Target::Path(format!("/{}", "x".repeat(8 << 10)))),
        Deed::ManyScopes => request(|r| r.scopes = vec!["s".to_owned(); 17]),
        Deed::LargeState => wait(None, State { version: 1, bytes: vec![0; (64 << 10) + 1] }),
        Deed::OtherState => wait(None, State { version: 7, bytes: Vec::new() }),
        Deed::NoStatus => answers::outcome(42, "{}"),
        Deed::BrokenJson => done("{\"open\":"),
        Deed::ArrayJson => done("[]"),
        Deed::DeepJson => answers::deep(),
        Deed::HalfCharacter => done(r#"{"name":"\ud800"}"#),

        Deed::SendsForEver => sends(steps, |_| ()),
        Deed::ChecksForEver => wait(Some(0), state(steps)),
        Deed::WaitsForEver => wait(Some(1), state(steps)),
        Deed::WaitsAnAge => wait(Some(u64::MAX), state(steps)),

        Deed::ForeignLocation => request(|r| r.target = Target::Location(elsewhere(job))),
        Deed::ForeignPath => request(|r| r.target = Target::Path(elsewhere(job))),
        Deed::ForeignHost => request(|r| {
            r.target = Target::Location(elsewhere(job).trim_start_matches("http:").to_owned());
        }),
        Deed::ClimbsOut => requests::path("/a/../../admin"),
        Deed::ClimbsEncoded => requests::path("/a/%2e%2E/%2e%2e/admin"),
        Deed::CutsPath => requests::path("/a?b=c#d"),
        Deed::BreaksValue => requests::header("x-a", "b\r\nHost: elsewhere"),
        Deed::BreaksName => requests::header("x-a: b\r\nHost", "elsewhere"),
        Deed::SetsHost => requests::header("Host", "elsewhere"),
        Deed::SetsAuthorization => requests::header("Authorization", "Bearer stolen"),
        Deed::SetsCookie => requests::header("Cookie", "session=stolen"),
        Deed::SetsLength => requests::header("Content-Length", "5"),
        Deed::OtherCredential => request(|r| r.credential = Some("billing".to_owned())),

        Deed::LogsGigabyte => burdens::log_much(steps),
        Deed::LogsForged => burdens::log_forged(),
    }
}

fn done(response: &str) -> Step {
    answers::outcome(200, response)
}

/// Ends the job with what the host said.
fn refused(message: String) -> Step {
    let outcome = Outcome { code: 502, request: "{}".to_owned(), response: "{}".to_owned() };
    Step::Fail(Failure { class: "unavailable".to_owned(), message, outcome })
}

fn wait(after_ms: Option<u64>, state: State) -> Step {
    let progress = Progress { reference: None, note: "on purpose".to_owned() };
    Step::Wait(WaitStep { after_ms, state, progress })
}

fn state(steps: u32) -> State {
    State { version: 1, bytes: steps.to_le_bytes().to_vec() }
}

/// A lawful request, changed.
fn request(change: impl FnOnce(&mut HttpRequest)) -> Step {
    sends(0, change)
}

fn sends(steps: u32, change: impl FnOnce(&mut HttpRequest)) -> Step {
    let mut request = HttpRequest {
        method: Method::Post,
        target: Target::Path("/portfolios".to_owned()),
        query: Vec::new(),
        headers: Vec::new(),
        body: Some(b"{}".to_vec()),
        credential: None,
        scopes: Vec::new(),
        idempotent: true,
    };
    change(&mut request);
    Step::Send(SendStep { request, state: state(steps) })
}

fn pair(name: &str, value: &str) -> hoth::adapter::types::Pair {
    hoth::adapter::types::Pair { name: name.to_owned(), value: value.to_owned() }
}

/// The URL in the settings, where no request may go.
fn elsewhere(job: &Job) -> String {
    let url = job.settings.split('"').find(|part| part.starts_with("http://"));
    url.expect("the settings name a URL").to_owned()
}
