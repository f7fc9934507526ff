//! The charges, in millionths, one for each line and month.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::json;

/// A charge: funding, line, month, millionths, nature.
type Charge = (&'static str, &'static str, &'static str, i64, &'static str);

const CHARGES: &[Charge] = &[
    ("F-1", "0001", "2022-01", 20_000_000, "billed"),
    ("F-1", "0001", "2022-02", 30_000_000, "billed"),
    ("F-1", "0001", "2022-02", -500_000, "billed"),
    ("F-1", "0001", "2022-03", 40_000_000, "estimated"),
    ("F-1", "0002", "2022-01", 1_234_567, "billed"),
    ("F-1", "0002", "2022-02", 10_000, "billed"),
    ("F-2", "0001", "2022-01", 5_000_000, "billed"),
    ("F-2", "0001", "2022-02", 5_000_000, "billed"),
    ("F-2", "0001", "2022-03", 5_000_000, "estimated"),
    ("F-2", "0001", "2022-04", 5_000_000, "estimated"),
    ("F-2", "0001", "2022-05", 5_000_000, "estimated"),
    ("F-2", "0001", "2022-06", 5_000_000, "estimated"),
];

/// The prefix of the tokens of pages, which are opaque to clients.
const TOKEN: &str = "after/";

/// Returns one page of charges and the token of the next one, or `None` for a
/// token that was never issued.
pub fn page(query: &BTreeMap<String, String>, size: usize) -> Option<(Value, Option<String>)> {
    let asked = |name: &str, value: &str| query.get(name).is_none_or(|wanted| wanted == value);
    let chosen = CHARGES.iter().filter(|c| asked("funding", c.0) && asked("line", c.1));
    let chosen: Vec<&Charge> = chosen.collect();
    let begin = match query.get("page") {
        None => 0,
        Some(token) => token.strip_prefix(TOKEN)?.parse().ok().filter(|n| *n < chosen.len())?,
    };
    let end = chosen.len().min(begin + size);
    let charges: Vec<Value> = chosen[begin..end].iter().map(|charge| shown(charge)).collect();
    let next = (end < chosen.len()).then(|| format!("{TOKEN}{end}"));
    Some((json!({ "charges": charges }), next))
}

fn shown((funding, line, period, micros, nature): &Charge) -> Value {
    json!({
        "funding": funding, "line": line, "period": period,
        "micros": micros.to_string(), "nature": nature
    })
}
