//! An adapter that misbehaves as the job asks: the name of the portfolio to add
//! selects a [`Misbehavior`].

mod answers;
mod misbehaviors;
mod requests;
mod resource_abuse;

wit_bindgen::generate!({
    path: "../../../wit/v0.2",
    // The only imports of WASI are those for sleeping.
    inline: "
        package guest:misbehaves;
        world misbehaves {
            include hoth:adapter/csp-adapter@0.2.0;
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
    world: "guest:misbehaves/misbehaves",
    generate_all,
});

use exports::hoth::adapter::adapter::Guest;
use exports::hoth::adapter::adapter::Info;
use hoth::adapter::types::Credential;
use hoth::adapter::types::CredentialUse;
use hoth::adapter::types::EndpointPath;
use hoth::adapter::types::Event;
use hoth::adapter::types::Extension;
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
use misbehaviors::Misbehavior;

struct Adapter;

#[expect(unsafe_code, reason = "the exports of wit-bindgen have the C ABI")]
mod exported {
    use super::Adapter;

    crate::export!(Adapter with_types_in crate);
}

impl Guest for Adapter {
    fn describe() -> Info {
        Info {
            name: "misbehaves".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            operations: vec!["add-portfolio".to_owned()],
            states: (1, 1),
            manifest: "{}".to_owned(),
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

/// Returns the step after `steps` earlier ones.
fn act(job: &Job, steps: u32) -> Step {
    let misbehavior = Misbehavior::ALL
        .iter()
        .find(|misbehavior| job.input.contains(&format!("\"{}\"", misbehavior.name())));
    let Some(misbehavior) = misbehavior else { return done("{}") };
    match misbehavior {
        Misbehavior::Spins => resource_abuse::spin(),
        Misbehavior::Dawdles => resource_abuse::dawdle(steps),
        Misbehavior::Hoards => resource_abuse::hoard(),
        Misbehavior::Traps => panic!("job {} makes this adapter panic", job.id),
        Misbehavior::Recurses => done(&format!("{{\"depth\":{}}}", resource_abuse::recurse(steps))),

        Misbehavior::AnswersVast => done(&format!("{{\"vast\":\"{}\"}}", "x".repeat(10_000_000))),
        Misbehavior::AnswersAliased => answers::aliased(),
        Misbehavior::LargeBody => request(|r| r.body = Some(vec![b' '; (1 << 20) + 1])),
        Misbehavior::ManyHeaders => request(|r| r.headers = vec![pair("x-a", "b"); 65]),
        Misbehavior::LargeHeader => {
            request(|r| r.headers = vec![pair("x-a", &"b".repeat(16 << 10))])
        }
        Misbehavior::LongPath => {
            request(|r| r.target = Target::Path(format!("/{}", "x".repeat(8 << 10))))
        }
        Misbehavior::ManyScopes => request(|r| r.scopes = vec!["s".to_owned(); 17]),
        Misbehavior::LargeState => {
            wait("poll", None, State { version: 1, bytes: vec![0; (256 << 10) + 1] })
        }
        Misbehavior::OtherState => wait("poll", None, State { version: 7, bytes: Vec::new() }),
        Misbehavior::OtherStep => {
            let (name, value) = ("fan-out".to_owned(), "{}".to_owned());
            Step::Other(Extension { name, value })
        }
        Misbehavior::OtherPurpose => wait("nap", None, state(steps)),
        Misbehavior::OtherRetry => request(|r| r.retry = "perhaps".to_owned()),
        Misbehavior::NoStatus => answers::outcome(42, "{}"),
        Misbehavior::BrokenJson => done("{\"open\":"),
        Misbehavior::ArrayJson => done("[]"),
        Misbehavior::DeepJson => answers::deep(),
        Misbehavior::HalfCharacter => done(r#"{"name":"\ud800"}"#),

        Misbehavior::SendsForEver => sends(steps, |_| ()),
        Misbehavior::ChecksForEver => wait("checkpoint", None, state(steps)),
        Misbehavior::WaitsForEver => wait("poll", Some(1), state(steps)),
        Misbehavior::WaitsAnAge => wait("poll", Some(u64::MAX), state(steps)),

        Misbehavior::PausesAnAge => pauses(steps),

        Misbehavior::ForeignLocation => request(|r| r.target = Target::Location(elsewhere(job))),
        Misbehavior::ForeignPath => request(|r| r.target = Target::Path(elsewhere(job))),
        Misbehavior::ForeignHost => request(|r| {
            r.target = Target::Location(elsewhere(job).trim_start_matches("http:").to_owned());
        }),
        Misbehavior::ClimbsOut => requests::path("/a/../../admin"),
        Misbehavior::ClimbsEncoded => requests::path("/a/%2e%2E/%2e%2e/admin"),
        Misbehavior::CutsPath => requests::path("/a?b=c#d"),
        Misbehavior::BreaksValue => requests::header("x-a", "b\r\nHost: elsewhere"),
        Misbehavior::BreaksName => requests::header("x-a: b\r\nHost", "elsewhere"),
        Misbehavior::SetsHost => requests::header("Host", "elsewhere"),
        Misbehavior::SetsAuthorization => requests::header("Authorization", "Bearer stolen"),
        Misbehavior::SetsCookie => requests::header("Cookie", "session=stolen"),
        Misbehavior::SetsLength => requests::header("Content-Length", "5"),
        Misbehavior::OtherCredential => request(|r| {
            let (name, parameters) = ("billing".to_owned(), Vec::new());
            r.credential = Credential::Named(CredentialUse { name, parameters });
        }),
        Misbehavior::OtherEndpoint => request(|r| {
            let (endpoint, path) = ("billing".to_owned(), "/costs".to_owned());
            r.target = Target::Endpoint(EndpointPath { endpoint, path, parameters: Vec::new() });
        }),

        Misbehavior::LogsGigabyte => resource_abuse::log_much(steps),
        Misbehavior::LogsForged => resource_abuse::log_forged(),
    }
}

fn done(response: &str) -> Step {
    answers::outcome(200, response)
}

/// Ends the job with the host's message.
fn refused(message: String) -> Step {
    let (request, response) = ("{}".to_owned(), "{}".to_owned());
    let outcome = Outcome { code: 502, request, response, extra: Vec::new() };
    Step::Fail(Failure { class: "unavailable".to_owned(), message, outcome, extra: Vec::new() })
}

fn wait(purpose: &str, after_ms: Option<u64>, state: State) -> Step {
    let (note, details) = ("on purpose".to_owned(), "{}".to_owned());
    let progress = Progress { reference: None, note, details };
    let purpose = purpose.to_owned();
    Step::Wait(WaitStep { after_ms, purpose, state, progress, extra: Vec::new() })
}

fn state(steps: u32) -> State {
    State { version: 1, bytes: steps.to_le_bytes().to_vec() }
}

/// Returns a valid request with a change.
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
        credential: Credential::Default,
        scopes: Vec::new(),
        retry: "safe".to_owned(),
        extra: Vec::new(),
    };
    change(&mut request);
    let (after_ms, extra) = (None, Vec::new());
    Step::Send(SendStep { request, state: state(steps), after_ms, extra })
}

/// Makes one request, after the longest pause.
fn pauses(steps: u32) -> Step {
    if steps > 0 {
        return done("{}");
    }
    let Step::Send(send) = sends(steps, |_| ()) else { return done("{}") };
    Step::Send(SendStep { after_ms: Some(u64::MAX), ..send })
}

fn pair(name: &str, value: &str) -> hoth::adapter::types::Pair {
    hoth::adapter::types::Pair { name: name.to_owned(), value: value.to_owned() }
}

/// Returns the URL in the settings, to which no request may go.
fn elsewhere(job: &Job) -> String {
    let url = job.settings.split('"').find(|part| part.starts_with("http://"));
    url.expect("the settings name a URL").to_owned()
}
