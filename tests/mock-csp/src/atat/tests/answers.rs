//! The answers of an unscripted CSP.

use super::*;
use crate::atat::route::READ_COST;
use crate::atat::route::READ_PORTFOLIO;
use crate::atat::route::WRITE_PORTFOLIO;

#[tokio::test]
async fn created_resources_are_returned_with_their_ids() {
    let csp = start(Options::default()).await;
    let asked = TestRequest::new("POST", "/portfolios", &portfolio());
    let answered = ask(&csp, WRITE_PORTFOLIO, &asked).await;
    assert_eq!(answered.body["name"], "Sample Portfolio");
    assert!(answered.body["id"].is_string(), "{answered:?}");
    assert!(answered.body["task_orders"][0]["id"].is_string(), "{answered:?}");

    let asked = TestRequest::new("PUT", "/portfolios/p/task-orders/%C3%BC%2F", &task_order());
    let answered = ask(&csp, WRITE_PORTFOLIO, &asked).await;
    assert_eq!(answered.body["id"], "ü/");

    let asked = TestRequest::new("GET", "/portfolios/a%20b", &Value::Null);
    assert_eq!(ask(&csp, READ_PORTFOLIO, &asked).await.body["id"], "a b");

    let path = "/portfolios/p/task-orders/t/clins/0%2F1/costs?start_date=2022-01&end_date=2022-02";
    let asked = TestRequest::new("GET", path, &Value::Null);
    assert_eq!(ask(&csp, READ_COST, &asked).await.body["clin_number"], "0/1");
}

#[tokio::test]
async fn accepted_work_is_polled_until_it_is_done() {
    let csp = start(Options { mode: Mode::Async { polls: 2 }, ..Options::default() }).await;
    let asked = TestRequest::new("POST", "/portfolios/p-1/environments", &environment())
        .with("x-provision-deadline", &deadline(2));
    let answered = ask(&csp, WRITE_PORTFOLIO, &asked).await;
    assert_eq!(answered.status, 202);
    let job = answered.body["provisioning_job_id"].as_str().unwrap();
    let location = answered.header("location").unwrap();
    let path = location.strip_prefix(csp.base_url()).expect("it is below the base URL");
    let poll = TestRequest::new("GET", path, &Value::Null);
    for word in ["IN_PROGRESS", "IN_PROGRESS", "SUCCESS", "SUCCESS"] {
        let answered = ask(&csp, READ_PORTFOLIO, &poll).await;
        assert_eq!(answered.status, 200);
        assert_eq!(answered.body["status"], word);
        assert_eq!(answered.body["provisioning_job_id"], job);
        assert_eq!(answered.body["portfolio_id"], "p-1");
        assert!(answered.body["environment_id"].is_string());
    }
    let unknown = TestRequest::new("GET", "/provisioning/999/status", &Value::Null);
    assert_eq!(ask(&csp, READ_PORTFOLIO, &unknown).await.status, 404);
    let read = TestRequest::new("GET", "/portfolios/p-1", &Value::Null);
    assert_eq!(ask(&csp, READ_PORTFOLIO, &read).await.status, 200);
    assert_eq!(csp.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn portfolios_fail_by_their_names() {
    let csp = start(Options {
        fail_twice: Some("Twice".to_owned()),
        fail_always: Some("Always".to_owned()),
        ..Options::default()
    })
    .await;
    let mut statuses = Vec::new();
    for name in ["Twice", "Other", "Twice", "Twice", "Always", "Always", "Always"] {
        let body = json!({"name": name, "task_orders": []});
        let asked = TestRequest::new("POST", "/portfolios", &body);
        statuses.push(ask(&csp, WRITE_PORTFOLIO, &asked).await.status);
    }
    assert_eq!(statuses, [503, 200, 503, 200, 503, 503, 503]);
}

#[tokio::test]
async fn a_slow_csp_delays_every_answer() {
    let delay = Duration::from_millis(40);
    let csp = start(Options { delay, ..Options::default() }).await;
    for path in ["/portfolios/p-1", "/nowhere"] {
        let started_at = std::time::Instant::now();
        ask(&csp, READ_PORTFOLIO, &TestRequest::new("GET", path, &Value::Null)).await;
        assert!(started_at.elapsed() >= delay, "{path}");
    }
}

#[tokio::test]
async fn scripted_calls_are_counted_and_not_validated() {
    let csp = start(Options::default()).await;
    csp.script([Answer::json(418, &json!({}))]);
    let asked = TestRequest::new("GET", "/nowhere?x=1", &Value::Null);
    assert_eq!(ask(&csp, READ_PORTFOLIO, &asked).await.status, 418);
    assert_eq!((csp.call_count(), csp.token_call_count()), (1, 1));
    assert_eq!(csp.calls()[0].line(), format!("GET {BASE_PATH}/nowhere?x=1"));
    assert_eq!(csp.violations(), Vec::<String>::new());
}
