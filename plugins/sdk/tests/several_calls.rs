//! An adapter for a CSP that is nothing like ATAT: calls that build on one
//! another, operations with ids, pages, and errors in an envelope.

use std::time::Duration;

use hoth_adapter::payload;
use hoth_adapter::prelude::*;
use hoth_adapter::testing;
use hoth_adapter::testing::Run;
use serde::Deserialize;
use serde::Serialize;

struct Layers;

hoth_adapter::export!(Layers);

#[derive(Serialize, Deserialize)]
enum State {
    Folder,
    FolderMade { folder: String },
    Project { folder: String },
    Working { operation: String },
    Page { found: Vec<Json> },
}

/// The envelope of this CSP, which is the same for every status.
#[derive(Deserialize)]
struct Envelope {
    error: Option<Trouble>,
    result: Option<Json>,
    next_page: Option<String>,
}

#[derive(Deserialize)]
struct Trouble {
    status: u16,
    reason: String,
    retry_seconds: Option<u64>,
}

enum Reading {
    Result(Json, Option<String>),
    Later(Duration),
}

fn read(event: Event) -> Result<Reading, Failure> {
    let Envelope { error, result, next_page } = event.answer()?.success()?.read()?;
    match (error, result) {
        (Some(Trouble { retry_seconds: Some(seconds), .. }), _) => {
            Ok(Reading::Later(Duration::from_secs(seconds)))
        }
        (Some(Trouble { status, reason, .. }), _) => {
            Err(Failure::refused(status, Object::new().with("details", reason)))
        }
        (None, Some(result)) => Ok(Reading::Result(result, next_page)),
        (None, None) => Err(Failure::invalid_answer("the CSP answered an empty envelope")),
    }
}

/// Returns the text of a field that the CSP must answer.
fn id(result: &Json, name: &str) -> Result<String, Failure> {
    let text = result.as_object().and_then(|object| object.text(name)).map(str::to_owned);
    text.ok_or_else(|| Failure::invalid_answer(format!("the CSP's answer lacks {name}")))
}

fn make_folder(job: &Job) -> Next<Layers> {
    let Operation::AddPortfolio { portfolio } = job.operation()? else {
        return Err(job.operation()?.unsupported());
    };
    let payload::Portfolio { name, .. } = portfolio.read()?;
    let request = Request::put(["folders", &job.id]).json(Object::new().with("title", name));
    Ok(request.then(State::Folder))
}

fn make_project(job: &Job, folder: String) -> Next<Layers> {
    let body = Object::new().with("requestId", &job.id);
    Ok(Request::post(["folders", &folder, "projects"]).json(body).then(State::Project { folder }))
}

fn ask_page(token: Option<&str>, found: Vec<Json>) -> Next<Layers> {
    let request = Request::get(["usage"]);
    let request = match token {
        Some(token) => request.query("page", token),
        None => request,
    };
    Ok(request.then(State::Page { found }))
}

impl Adapter for Layers {
    const NAME: &'static str = "layers";
    const VERSION: &'static str = "2.0.0";
    const OPERATIONS: &'static [&'static str] =
        &[operation::ADD_PORTFOLIO, operation::COST_BY_PORTFOLIO];
    type State = State;

    fn begin(job: &Job) -> Next<Self> {
        if let Operation::CostByPortfolio { .. } = job.operation()? {
            return ask_page(None, Vec::new());
        }
        make_folder(job)
    }

    fn resume(job: &Job, state: State, event: Event) -> Next<Self> {
        match state {
            State::FolderMade { folder } => make_project(job, folder),
            State::Working { operation } if event == Event::Timer => {
                Ok(Request::get(["operations", &operation]).then(State::Working { operation }))
            }
            State::Folder => match read(event)? {
                Reading::Later(_) => make_folder(job),
                Reading::Result(result, _) => {
                    let folder = id(&result, "name")?;
                    Ok(Wait::checkpoint(State::FolderMade { folder }, "the folder is made").into())
                }
            },
            State::Project { folder } => match read(event)? {
                Reading::Later(after) => {
                    let again = Wait::new(State::FolderMade { folder }, "the CSP is busy");
                    Ok(again.after(after).into())
                }
                Reading::Result(result, _) => {
                    let operation = id(&result, "operation")?;
                    let working = State::Working { operation: operation.clone() };
                    Ok(Wait::new(working, "the project is made").reference(operation).into())
                }
            },
            State::Working { operation } => match read(event)? {
                Reading::Later(after) => {
                    Ok(Wait::new(State::Working { operation }, "working").after(after).into())
                }
                Reading::Result(project, _) => {
                    log::info("the project is ready");
                    Ok(Step::done(Object::new().with("portfolio", project)))
                }
            },
            State::Page { mut found } => match read(event)? {
                Reading::Later(_) => Err(Failure::unavailable(503, "the CSP is busy")),
                Reading::Result(page, next) => {
                    found.push(page);
                    match next {
                        Some(token) => ask_page(Some(&token), found),
                        None => Ok(Step::done(Object::new().with("pages", found))),
                    }
                }
            },
        }
    }

    fn asked(job: &Job, _: Option<&State>) -> Object {
        Object::new().with("requestId", &job.id)
    }
}

fn add_portfolio() -> Run<Layers> {
    let input = r#"{"jobId":"job-1","payload":{"name":"One","taskOrders":[]}}"#;
    testing::begin(testing::job("add-portfolio", input))
}

fn busy(seconds: u32) -> Answer {
    let error = format!(r#"{{"status":503,"reason":"busy","retry_seconds":{seconds}}}"#);
    Answer::new(200, format!(r#"{{"error":{error}}}"#))
}

#[test]
fn calls_build_on_one_another_with_a_checkpoint_between() {
    let mut run = add_portfolio();
    assert_eq!(run.sent().line(), "PUT /folders/job-1");
    assert_eq!(run.sent().body.as_deref(), Some(r#"{"title":"One"}"#));
    run.answer(Answer::new(200, r#"{"result":{"name":"f/1"}}"#));
    assert_eq!(run.waiting().purpose, "checkpoint");

    run.timer();
    assert_eq!(run.sent().line(), "POST /folders/f%2F1/projects");
    assert_eq!(run.sent().retry, "unsent");
    run.answer(busy(7));
    assert_eq!(run.waiting().after, Some(Duration::from_secs(7)));
    run.timer().answer(Answer::new(200, r#"{"result":{"operation":"op-9"}}"#));
    assert_eq!(run.waiting().reference.as_deref(), Some("op-9"));

    run.timer();
    assert_eq!(run.sent().line(), "GET /operations/op-9");
    run.answer(busy(1)).timer().answer(Answer::new(200, r#"{"result":{"budget":1.10}}"#));
    assert_eq!(run.done().response, r#"{"portfolio":{"budget":1.10}}"#);
    assert_eq!(run.done().request, r#"{"requestId":"job-1"}"#);
    assert_eq!(run.log(), ["info: the project is ready"]);
}

#[test]
fn all_pages_are_read() {
    let input = r#"{"portfolioId":"p","startDate":"2022-01","endDate":"2022-12"}"#;
    let mut run = testing::begin::<Layers>(testing::job("cost-by-portfolio", input));
    run.answer(Answer::new(200, r#"{"result":{"cost":1.10},"next_page":"t 2"}"#));
    assert_eq!(run.sent().query, [("page".to_owned(), "t 2".to_owned())]);
    run.answer(Answer::new(200, r#"{"result":{"cost":12345678901234567890}}"#));
    let pages = r#"{"pages":[{"cost":1.10},{"cost":12345678901234567890}]}"#;
    assert_eq!(run.done().response, pages);
}

#[test]
fn an_error_in_an_envelope_becomes_a_refusal() {
    let mut run = add_portfolio();
    run.answer(Answer::new(200, r#"{"error":{"status":409,"reason":"the name is taken"}}"#));
    assert_eq!(
        run.step(),
        "fail 409 refused: the CSP answered 409\n  request: {\"requestId\":\"job-1\"}\n  \
         response: {\"details\":\"the name is taken\"}"
    );
}
