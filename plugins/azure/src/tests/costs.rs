//! Costs.

use super::*;

const BY_PORTFOLIO: &str = r#"{"portfolioId":"p1","startDate":"2029-11","endDate":"2030-02"}"#;
const BY_CLIN: &str = r#"{"portfolioId":"p1","taskOrderNumber":"T1","clin":"0001",
    "startDate":"2029-11","endDate":"2029-12"}"#;
const TREE: &str = "GET /providers/Microsoft.Management/managementGroups/p1?api-version=2023-04-01&$expand=children&$recurse=true";
const LIST: &str = "GET /subscriptions?api-version=2022-12-01";
const QUERY: &str = "POST /providers/Microsoft.Management/managementGroups/p1/providers/Microsoft.CostManagement/query?api-version=2025-03-01";
const ZERO: &str = r#"{"taskOrders":[{"taskOrderId":"T1","taskOrderNumber":"T1","clins":[{"clinNumber":"0001","actual":{"total":"0.00","results":[]}}]}]}"#;

fn tree() -> String {
    let child = |id: &str| format!(r#"{{"type":"/subscriptions","name":"{id}"}}"#);
    let children: Vec<String> = ["S1", "s2", "s3", "s4"].map(child).to_vec();
    GROUP.replace("null", &format!("[{}]", children.join(",")))
}

fn subscription(id: &str, mark: &str) -> String {
    format!(r#"{{"subscriptionId":"{id}","tags":{{"hoth-clin":"{mark}"}}}}"#)
}

/// Answers the calls before the queries.
#[track_caller]
fn read_subscriptions(run: &mut Run<Azure>) {
    expect(run, TREE, "", 200, &tree());
    let first = [subscription("s1", "T1.0001"), subscription("s9", "T1.0001")].join(",");
    let page = format!(r#"{{"value":[{first}],"nextLink":"https://a/subscriptions?page=2"}}"#);
    expect(run, LIST, "", 200, &page);
    let second = [
        subscription("s2", "T1.0002"),
        subscription("S3", "T0.0001"),
        r#"{"subscriptionId":"s4","tags":null}"#.to_owned(),
    ];
    let page = format!(r#"{{"value":[{}]}}"#, second.join(","));
    expect(run, "GET https://a/subscriptions?page=2", "", 200, &page);
}

fn answer(columns: &[&str], rows: &str, next: &str) -> String {
    let columns: Vec<String> =
        columns.iter().map(|name| format!(r#"{{"name":"{name}","type":"x"}}"#)).collect();
    format!(
        r#"{{"properties":{{"nextLink":{next},"columns":[{}],"rows":[{rows}]}}}}"#,
        columns.join(",")
    )
}

#[test]
fn the_costs_of_a_portfolio_are_one_query_by_subscription() {
    let mut run = begin("cost-by-portfolio", BY_PORTFOLIO);
    read_subscriptions(&mut run);
    assert_eq!(run.sent().retry, "never");
    // The period ends today, 2030-01-02: Azure would move one in the future.
    let body = r#"{"type":"ActualCost","timeframe":"Custom","timePeriod":{"from":"2029-11-01T00:00:00Z","to":"2030-01-02T23:59:59Z"},"dataset":{"granularity":"Monthly","aggregation":{"totalCost":{"name":"Cost","function":"Sum"}},"filter":{"dimensions":{"name":"SubscriptionId","operator":"In","values":["s1","s2","s3"]}},"grouping":[{"type":"Dimension","name":"SubscriptionId"}]}}"#;
    let rows =
        r#"[0.1,"2029-11-01T00:00:00","s1","USD"],[1.2E-05,"2029-12-01T00:00:00","S2","USD"]"#;
    let columns = ["Cost", "BillingMonth", "SubscriptionId", "Currency"];
    expect(&mut run, QUERY, body, 200, &answer(&columns, rows, r#""https://a/query?skip=1""#));
    // The next page is asked for with the same body, and has other columns.
    assert_eq!(run.sent().retry, "never");
    let rows = r#"["USD",0.2,"s1","2029-11-01T00:00:00"],["USD",7,"s3","2030-01-01T00:00:00"]"#;
    let columns = ["Currency", "cost", "SubscriptionId", "BillingMonth"];
    expect(&mut run, "POST https://a/query?skip=1", body, 200, &answer(&columns, rows, "null"));
    let expected = r#"{"taskOrders":[{"taskOrderId":"T0","taskOrderNumber":"T0","clins":[{"clinNumber":"0001","actual":{"total":"7.00","results":[{"month":"2030-01","value":"7.00"}]}}]},{"taskOrderId":"T1","taskOrderNumber":"T1","clins":[{"clinNumber":"0001","actual":{"total":"0.30","results":[{"month":"2029-11","value":"0.30"}]}},{"clinNumber":"0002","actual":{"total":"0.000012","results":[{"month":"2029-12","value":"0.000012"}]}}]}]}"#;
    assert_eq!(run.done().response, expected);
}

#[test]
fn the_costs_of_a_clin_are_those_of_its_subscriptions() {
    let mut run = begin("cost-by-clin", BY_CLIN);
    read_subscriptions(&mut run);
    let filter =
        r#""filter":{"dimensions":{"name":"SubscriptionId","operator":"In","values":["s1"]}}}}"#;
    let rows = r#"[12.5,"2029-11-01T00:00:00","USD"]"#;
    let columns = ["Cost", "BillingMonth", "Currency"];
    expect(&mut run, QUERY, filter, 200, &answer(&columns, rows, "\"\""));
    assert!(run.done().response.contains(r#""total":"12.50""#), "{}", run.done().response);
}

#[test]
fn no_costs_are_zero() {
    // 204: no data.
    let mut run = begin("cost-by-clin", BY_CLIN);
    read_subscriptions(&mut run);
    expect(&mut run, QUERY, "", 204, "");
    assert_eq!(run.done().response, ZERO);
    // No subscription has the mark.
    let mut run = begin("cost-by-clin", BY_CLIN);
    expect(&mut run, TREE, "", 200, GROUP);
    expect(&mut run, LIST, "", 200, r#"{"value":[]}"#);
    assert_eq!(run.done().response, ZERO);
    // The period is to come.
    let mut run = begin("cost-by-clin", &BY_CLIN.replace("2029", "2031"));
    read_subscriptions(&mut run);
    assert_eq!(run.done().response, ZERO);
    // The CLIN is neither in the settings nor on a subscription.
    let mut run = begin("cost-by-clin", &BY_CLIN.replace("0001", "0009"));
    read_subscriptions(&mut run);
    assert_eq!(run.failed().code, 404);
}

#[test]
fn a_long_period_is_asked_for_year_by_year() {
    let input = BY_CLIN.replace("2029-11", "2027-03-15").replace("2029-12", "2029-06-20");
    let mut run = begin("cost-by-clin", &input);
    read_subscriptions(&mut run);
    let columns = ["Cost", "BillingMonth", "Currency"];
    for (from, to, month) in [
        ("2027-03-15", "2028-02-29", "2027-03"),
        ("2028-03-01", "2029-02-28", "2028-04"),
        ("2029-03-01", "2029-06-20", "2029-06"),
    ] {
        let period = format!(r#""from":"{from}T00:00:00Z","to":"{to}T23:59:59Z""#);
        let rows = format!(r#"[1,"{month}-01T00:00:00","USD"]"#);
        expect(&mut run, QUERY, &period, 200, &answer(&columns, &rows, "null"));
        if month != "2029-06" {
            assert_eq!(run.waiting().purpose, "checkpoint");
            run.timer();
        }
    }
    assert!(run.done().response.contains(r#""total":"3.00""#), "{}", run.done().response);
    let run = begin("cost-by-clin", &BY_CLIN.replace("2029-11", "2001-01"));
    assert_eq!(run.failed().message, "the period is longer than 20 years");
}

#[test]
fn answers_that_would_give_wrong_sums_are_not_added() {
    let columns = ["Cost", "BillingMonth", "Currency"];
    let usd = r#"[1,"2029-11-01T00:00:00","USD"]"#;
    for (answer, message) in [
        (
            answer(&columns, r#"[1,"2029-10-01T00:00:00","USD"]"#, "null"),
            "Azure answered costs of 2029-10, which the query did not ask for",
        ),
        (
            answer(&columns, &format!(r#"{usd},[1,"2029-11-01T00:00:00","EUR"]"#), "null"),
            "the costs are in USD and EUR",
        ),
        (
            answer(&columns, r#"["x","2029-11-01T00:00:00","USD"]"#, "null"),
            "Azure answered a cost that is no number, or has too many digits",
        ),
        (
            answer(&columns, r#"[1,"soon","USD"]"#, "null"),
            "Azure answered costs with a BillingMonth that is no date",
        ),
        (answer(&columns[1..], usd, "null"), "the answer of Azure lacks Cost"),
    ] {
        let mut run = begin("cost-by-clin", BY_CLIN);
        read_subscriptions(&mut run);
        expect(&mut run, QUERY, "", 200, &answer);
        assert_eq!((run.failed().message.as_str(), run.failed().code), (message, 502));
    }
}

#[test]
fn a_throttled_query_waits_for_the_longest_pause() {
    let mut run = begin("cost-by-clin", BY_CLIN);
    read_subscriptions(&mut run);
    let family = "x-ms-ratelimit-microsoft.costmanagement";
    run.answer(
        Answer::new(429, error("429"))
            .header_added(&format!("{family}-qpu-retry-after"), "40")
            .header_added(&format!("{family}-client-retry-after"), "55")
            .header_added("retry-after", "5"),
    );
    let waiting = run.waiting();
    assert_eq!((waiting.purpose.as_str(), waiting.after.map(|a| a.as_secs())), ("pause", Some(55)));
    run.timer();
    // The host makes a query once, so the adapter repeats it.
    expect(&mut run, QUERY, "", 503, &error("ServiceUnavailable"));
    assert_eq!(run.waiting().purpose, "pause");
    run.timer();
    run.no_answer("timeout", None);
    assert_eq!(run.waiting().purpose, "pause");
    run.timer();
    expect(&mut run, QUERY, "", 204, "");
    assert_eq!(run.done().response, ZERO);
}

#[test]
fn subscriptions_are_asked_one_by_one_where_groups_have_no_costs() {
    let settings = SETTINGS.replace(r#""parent""#, r#""cost_scope":"subscription","parent""#);
    let mut run = begin_with(testing::job("cost-by-portfolio", BY_PORTFOLIO).settings(&settings));
    read_subscriptions(&mut run);
    let columns = ["Cost", "BillingMonth", "Currency"];
    for (nth, id) in ["s1", "s2", "s3"].into_iter().enumerate() {
        if nth > 0 {
            run.timer();
        }
        let line = format!("POST /subscriptions/{id}/providers/Microsoft.CostManagement/query?");
        let body = r#""aggregation":{"totalCost":{"name":"Cost","function":"Sum"}}}}"#;
        let rows = format!(r#"[{nth}.5,"2029-11-01T00:00:00","USD"]"#);
        expect(&mut run, &line, body, 200, &answer(&columns, &rows, "null"));
    }
    let response = run.done().response;
    for total in ["0.50", "1.50", "2.50"] {
        assert!(response.contains(&format!(r#""total":"{total}""#)), "{response}");
    }
}
