//! Requests for costs.

use super::*;

#[test]
fn cost_requests_are_read() {
    let good = json!({
        "requestId": "r", "portfolioId": "p", "targetCspName": "CSP_A",
        "startDate": "2022-01-01", "endDate": "2022-12", "remark": {"kept": 1}
    });
    assert_eq!(parse_cost(&good).expect("accepted").operation, Operation::CostByPortfolio);
    let half = changed(good.clone(), "/clin", Some(json!("1")));
    check_wrong_cost(&half, "taskOrderNumber", "is required together with clin");
    let other_half = changed(good.clone(), "/taskOrderNumber", Some(json!("t")));
    check_wrong_cost(&other_half, "clin", "is required together with taskOrderNumber");
    let both = changed(half, "/taskOrderNumber", Some(json!("t")));
    assert_eq!(parse_cost(&both).expect("accepted").operation, Operation::CostByClin);
    for (pointer, value) in [
        ("/requestId", None),
        ("/requestId", Some(json!(""))),
        ("/requestId", Some(json!(1))),
        ("/portfolioId", None),
        ("/portfolioId", Some(json!(""))),
        ("/targetCspName", Some(json!("NOPE"))),
        ("/startDate", Some(json!("yesterday"))),
        ("/endDate", Some(Value::Null)),
        ("/clin", Some(json!(1))),
    ] {
        let Err(Refusal::Invalid(errors)) = parse_cost(&changed(good.clone(), pointer, value))
        else {
            panic!("{pointer} was accepted");
        };
        assert_eq!(errors.keys().collect::<Vec<_>>(), [&pointer[1..]]);
    }
}

#[track_caller]
fn check_wrong_cost(body: &Value, path: &str, problem: &str) {
    let Err(Refusal::Invalid(errors)) = parse_cost(body) else { panic!("accepted: {body}") };
    let found: Vec<_> = errors.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(found, [(path, problem)], "{body}");
}

#[test]
fn a_cost_request_ends_no_earlier_than_it_starts() {
    let request = |start: &str, end: &str| {
        json!({
            "requestId": "r", "portfolioId": "p", "targetCspName": "CSP_A",
            "startDate": start, "endDate": end
        })
    };
    for (start, end, accepted) in [
        ("2026-07-02", "2026-07-01", false),
        ("2026-07-01", "2026-07-01", true),
        ("2026-07", "2026-07-01", true),
        ("2026-07-31", "2026-07", true),
        ("2026-07-01", "2026-06", false),
        ("2026-07", "2026-06-30", false),
        ("2026-07", "2026-07", true),
        ("2027-01", "2026-12", false),
        ("2024-02-29", "2024-02", true),
    ] {
        let body = request(start, end);
        match accepted {
            true => drop(parse_cost(&body).expect("accepted")),
            false => check_wrong_cost(&body, "endDate", "must not be before startDate"),
        }
    }
}
