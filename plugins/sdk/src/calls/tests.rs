//! Dialogues of an adapter whose calls find, create and read a folder.

use super::*;
use crate::Adapter;
use crate::Next;
use crate::operation;
use crate::testing;
use crate::testing::Run;

const PAUSE: Duration = Duration::from_secs(60);
const TRIES_MAX: u32 = SOON_MAX + 3;

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Folder {
    Create,
    Find,
    Read { id: String },
    Pages,
}

struct Folders;

impl Adapter for Folders {
    const NAME: &'static str = "folders";
    const VERSION: &'static str = "0.0.0";
    const OPERATIONS: &'static [&'static str] = operation::ALL;
    type State = State<Folder>;

    fn begin(job: &Job) -> Next<Self> {
        begin(job)
    }

    fn resume(job: &Job, state: State<Folder>, event: Event) -> Next<Self> {
        resume(job, state, event)
    }
}

impl Call for Folder {
    type Settings = String;
    const PAUSE: Option<Duration> = Some(PAUSE);

    fn settings(job: &Job) -> Result<String, Failure> {
        let lacks = || Failure::broken("settings.parent is missing");
        job.setting("parent")?.map(str::to_owned).ok_or_else(lacks)
    }

    fn first(work: &Work<'_, String>) -> Result<Self, Failure> {
        Ok(if work.job.operation()?.portfolio_id().is_none() { Self::Create } else { Self::Pages })
    }

    fn request(&self, work: &Work<'_, String>) -> Result<Request, Failure> {
        Ok(match self {
            Self::Create => Request::post([&work.settings]),
            Self::Find | Self::Pages => Request::get([&work.settings]),
            Self::Read { id } => Request::get([&work.settings, id]),
        })
    }

    fn after(self, work: &Work<'_, String>, answer: Answer) -> Result<Action<Self>, Failure> {
        match (answer.status, self) {
            (429, _) => Ok(Action::Repeat(Repeat {
                after: answer.text().parse().ok().map(Duration::from_secs),
                tries_max: TRIES_MAX,
                note: "the CSP is busy".to_owned(),
                failure: Failure::unavailable(503, "the CSP is busy for ever"),
            })),
            (500.., _) => Ok(Action::Lost(Failure::of(&answer))),
            (404, Self::Find) => Ok(Action::Call(Self::Create)),
            (_, Self::Create | Self::Find) => {
                let call = Self::Read { id: answer.success()?.text() };
                Ok(Wait::checkpoint(call, "the folder is created").into())
            }
            (_, Self::Read { .. }) => work.done("portfolio", answer.success()?.object()?),
            (_, Self::Pages) => Ok(Action::Call(Self::Pages)),
        }
    }

    fn after_loss(&self) -> Option<Self> {
        matches!(self, Self::Create).then_some(Self::Find)
    }

    fn made(&self) -> Vec<Made> {
        match self {
            Self::Read { id } if id == "many" => vec![("folder", "x".repeat(64)); 1_000],
            Self::Read { id } => vec![("folder", id.clone())],
            Self::Create | Self::Find | Self::Pages => Vec::new(),
        }
    }
}

fn run(operation: &str, input: &str) -> Run<Folders> {
    testing::begin(testing::job(operation, input).settings(r#"{"parent":"all"}"#))
}

fn create() -> Run<Folders> {
    run("add-portfolio", r#"{"payload":{"name":"P"}}"#)
}

fn busy(seconds: &str) -> Answer {
    Answer::new(429, seconds)
}

const MADE: &str = r#"{"made":[{"kind":"folder","id":"f1"}]}"#;

#[test]
fn calls_follow_one_another() {
    let mut run = create();
    assert_eq!(run.sent().line(), "POST /all");
    run.answer(Answer::new(201, "f1"));
    assert_eq!(
        (run.waiting().purpose.as_str(), run.waiting().details.as_str()),
        ("checkpoint", MADE)
    );
    run.timer();
    assert_eq!(run.sent().line(), "GET /all/f1");
    run.answer(Answer::new(200, r#"{"id":"f1"}"#));
    let expected = r#"{"portfolio":{"id":"f1"},"$metadata":{"status":200,"request":{"portfolio":{"name":"P"}}}}"#;
    assert_eq!(run.done().response, expected);
}

#[test]
fn a_failure_lists_what_was_created_before() {
    let mut run = create();
    run.answer(Answer::new(201, "f1")).timer().answer(Answer::new(403, r#"{"why":"no"}"#));
    let made = r#"{"why":"no","made":[{"kind":"folder","id":"f1"}]}"#;
    assert_eq!(run.failed().response, made);
    let mut run = create();
    run.answer(Answer::new(201, "f1")).set_settings("{}").timer();
    assert_eq!((run.failed().code, run.failed().response.contains(r#""id":"f1""#)), (500, true));
}

#[test]
fn details_list_as_much_as_they_have_room_for() {
    let mut run = create();
    run.answer(Answer::new(201, "many"));
    let details = run.waiting().details;
    assert_eq!(details.matches(r#""kind""#).count(), MADE_SHOWN_MAX);
    run.timer().answer(Answer::new(403, "{}"));
    assert_eq!(run.failed().response.matches(r#""kind""#).count(), 1_000);
}

#[test]
fn a_run_has_a_bounded_number_of_requests() {
    let mut run = run("get-portfolio", r#"{"portfolioId":"p","payload":{}}"#);
    for _ in 0..2 {
        for _ in 0..REQUESTS_MAX {
            assert_eq!(run.sent().line(), "GET /all");
            run.answer(Answer::new(200, ""));
        }
        assert_eq!(run.waiting().purpose, "checkpoint");
        run.timer();
    }
    // A repetition is a request too.
    for _ in 0..REQUESTS_MAX - 1 {
        run.answer(Answer::new(200, ""));
    }
    assert_eq!(run.answer(busy("1")).waiting().purpose, "pause");
}

#[test]
fn a_call_is_repeated_soon_then_after_pauses_and_not_for_ever() {
    let mut run = create();
    for seconds in [1, 2, 4, 8, 16, 20, 20, 20] {
        run.answer(busy(""));
        assert!(run.step().contains(&format!("\n  after: {seconds}001 ms")), "{}", run.step());
        assert_eq!(run.sent().line(), "POST /all");
    }
    for _ in SOON_MAX..TRIES_MAX {
        run.answer(busy(""));
        assert_eq!(run.waiting().after, Some(PAUSE));
        assert_eq!(
            (run.waiting().purpose, run.waiting().note),
            ("pause".into(), "the CSP is busy".into())
        );
        run.timer();
        assert_eq!(run.sent().line(), "POST /all");
    }
    assert_eq!(run.answer(busy("")).failed().message, "the CSP is busy for ever");
}

#[test]
fn the_csp_determines_the_pause() {
    let mut run = create();
    run.answer(busy("7"));
    assert!(run.step().contains("\n  after: 7001 ms"), "{}", run.step());
    // A wait, because the job would keep its turn for too long.
    for (seconds, after) in [("21", PAUSE), ("300", Duration::from_secs(300))] {
        assert_eq!(run.answer(busy(seconds)).waiting().after, Some(after));
        run.timer();
    }
}

#[test]
fn tries_are_those_of_one_call() {
    let mut run = create();
    for _ in 0..SOON_MAX {
        run.answer(busy(""));
    }
    run.answer(Answer::new(201, "f1")).timer().answer(busy(""));
    assert!(run.step().contains("\n  after: 1001 ms"), "{}", run.step());
}

#[test]
fn a_lost_response_is_looked_for_a_bounded_number_of_times() {
    let mut run = create();
    for nth in 0..LOSSES_MAX {
        if nth % 2 == 0 {
            run.no_answer("timeout", None);
        } else {
            run.answer(Answer::new(500, ""));
        }
        assert_eq!((run.waiting().purpose.as_str(), run.waiting().after), ("pause", Some(PAUSE)));
        run.timer();
        assert_eq!(run.sent().line(), "GET /all");
        run.answer(Answer::new(404, ""));
        assert_eq!(run.sent().line(), "POST /all");
    }
    assert_eq!(run.no_answer("timeout", None).failed().code, 504);
}

#[test]
fn a_call_that_was_not_sent_or_changes_nothing_is_not_looked_for() {
    assert_eq!(create().no_answer("connect", None).failed().code, 502);
    let mut run = create();
    run.answer(Answer::new(201, "f1")).timer().no_answer("timeout", None);
    assert_eq!(run.failed().code, 504);
    assert!(run.failed().response.contains(r#""id":"f1""#), "{}", run.failed().response);
}
