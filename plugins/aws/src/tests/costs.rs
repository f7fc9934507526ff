//! Costs.

use super::*;

#[test]
fn costs_are_added_over_the_accounts_of_a_clin() {
    let input = r#"{"portfolioId":"ou-1","startDate":"2029-11","endDate":"2030-02"}"#;
    let mut run = begin("cost-by-portfolio", input);
    expect(&mut run, "ListTagsForResource", "ou-1", TAGS);
    let accounts = r#"{"Accounts":[{"Id":"1"},{"Id":"2"},{"Id":"3"}]}"#;
    expect(&mut run, "ListAccountsForParent", "ou-1", accounts);
    let marked = r#"{"Tags":[{"Key":"hoth-clin","Value":"T1.0001"}]}"#;
    let paired =
        r#"{"Tags":[{"Key":"hoth-clin","Value":"T1.0001"},{"Key":"hoth-pair","Value":"9"}]}"#;
    expect(&mut run, "ListTagsForResource", r#""1""#, marked);
    expect(&mut run, "ListTagsForResource", r#""2""#, paired);
    expect(&mut run, "ListTagsForResource", r#""3""#, r#"{"Tags":[]}"#);
    assert_eq!(run.sent().retry, "never");
    let month = |start: &str, amount: &str| {
        format!(
            r#"{{"TimePeriod":{{"Start":"{start}"}},"Total":{{"NetUnblendedCost":{{"Amount":"{amount}"}}}}}}"#
        )
    };
    let first = month("2029-11-01", "0.1");
    let page = format!(r#"{{"ResultsByTime":[{first}],"NextPageToken":"n"}}"#);
    // The period ends tomorrow: today is 2030-01-02.
    let part = r#""TimePeriod":{"Start":"2029-11-01","End":"2030-01-03"}"#;
    expect(&mut run, "GetCostAndUsage", part, &page);
    let page = format!(r#"{{"ResultsByTime":[{},{first}]}}"#, month("2029-12-01", "2E-1"));
    expect(&mut run, "GetCostAndUsage", r#""Values":["1","9"]"#, &page);
    let forecast =
        r#"{"ForecastResultsByTime":[{"TimePeriod":{"Start":"2030-01-02"},"MeanValue":"5"}]}"#;
    let part = r#""TimePeriod":{"Start":"2030-01-02","End":"2030-03-01"}"#;
    expect(&mut run, "GetCostForecast", part, forecast);
    let expected = r#"{"taskOrders":[{"taskOrderId":"T1","taskOrderNumber":"T1","clins":[{"clinNumber":"0001","actual":{"total":"0.40","results":[{"month":"2029-11","value":"0.20"},{"month":"2029-12","value":"0.20"}]},"forecast":{"total":"5.00","results":[{"month":"2030-01","value":"5.00"}]}}]}]}"#;
    assert_eq!(run.done().response, expected);
}

#[test]
fn costs_of_an_unknown_clin_are_refused() {
    let input = r#"{"portfolioId":"ou-1","taskOrderNumber":"T1","clin":"9","startDate":"2029-11","endDate":"2029-12"}"#;
    let mut run = begin("cost-by-clin", input);
    expect(&mut run, "ListTagsForResource", "ou-1", TAGS);
    assert_eq!(run.failed().code, 404);
}
