//! Costs: charges in millionths, added up page by page.

use std::collections::BTreeMap;

use hoth_adapter::Failure;
use hoth_adapter::Json;
use hoth_adapter::Object;
use serde::Deserialize;
use serde::Serialize;

/// The bound on the sums in a job's state, in bytes. A state has 64 KiB, and
/// this is enough for fifteen hundred lines and months.
const SUMS_BYTES_MAX: usize = 48 << 10;

/// The size of a stored sum: quotes, colon, comma, brackets and up to 20
/// digits.
const ENTRY_BYTES: usize = 26;

/// The amounts spent on each line of each funding.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sums(BTreeMap<String, BTreeMap<String, Line>>);

/// Millionths of the contract's currency by month.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Line {
    billed: BTreeMap<String, i64>,
    estimated: BTreeMap<String, i64>,
}

#[derive(Deserialize)]
struct Page {
    charges: Vec<Charge>,
}

#[derive(Deserialize)]
struct Charge {
    funding: String,
    line: String,
    period: String,
    /// Digits, with a minus for refunds.
    micros: String,
    nature: Nature,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Nature {
    Billed,
    Estimated,
}

impl Sums {
    /// Adds the charges of a page.
    pub fn add(&mut self, page: &Object) -> Result<(), Failure> {
        // serde's error is dropped because it may quote amounts, which are
        // business data.
        let unreadable = || Failure::invalid_answer("the CSP answered charges of another form");
        let Page { charges } = page.read().map_err(|_| unreadable())?;
        for charge in charges {
            let micros: i64 = charge.micros.parse().map_err(|_| unreadable())?;
            let line = self.0.entry(charge.funding).or_default().entry(charge.line).or_default();
            let months = match charge.nature {
                Nature::Billed => &mut line.billed,
                Nature::Estimated => &mut line.estimated,
            };
            let sum = months.entry(charge.period).or_default();
            *sum = sum.checked_add(micros).ok_or_else(too_large)?;
        }
        if self.bytes() > SUMS_BYTES_MAX {
            let message = "the CSP answered more charges than one job can sum up; ask for fewer months or for one CLIN";
            return Err(Failure::invalid_answer(message));
        }
        Ok(())
    }

    /// Converts to the costs of HOTH's representation.
    pub fn into_costs(self) -> Result<Object, Failure> {
        let orders = self.0.into_iter().map(|(funding, lines)| {
            let clins = lines.into_iter().map(|(number, line)| {
                Ok(Object::new()
                    .with("clinNumber", number)
                    .with_optional("actual", spent(line.billed)?)
                    .with_optional("forecast", spent(line.estimated)?)
                    .into())
            });
            let clins = clins.collect::<Result<Vec<Json>, Failure>>()?;
            Ok(Object::new().with("taskOrderNumber", funding).with("clins", clins).into())
        });
        let orders = orders.collect::<Result<Vec<Json>, Failure>>()?;
        Ok(Object::new().with("taskOrders", orders))
    }

    /// Returns an upper bound on the size as JSON.
    fn bytes(&self) -> usize {
        let text = |text: &str| Json::from(text).to_string().len() + ENTRY_BYTES;
        let months = |line: &Line| -> usize {
            line.billed.keys().chain(line.estimated.keys()).map(|month| text(month)).sum()
        };
        let lines = |lines: &BTreeMap<String, Line>| -> usize {
            lines.iter().map(|(number, line)| text(number) + ENTRY_BYTES + months(line)).sum()
        };
        self.0.iter().map(|(funding, under)| text(funding) + lines(under)).sum()
    }
}

/// Returns `None` if there are no amounts.
fn spent(months: BTreeMap<String, i64>) -> Result<Option<Object>, Failure> {
    if months.is_empty() {
        return Ok(None);
    }
    let mut total = 0_i64;
    let mut results = Vec::with_capacity(months.len());
    for (month, micros) in months {
        total = total.checked_add(micros).ok_or_else(too_large)?;
        results.push(Object::new().with("month", month).with("value", decimal(micros)).into());
    }
    Ok(Some(Object::new().with("total", decimal(total)).with("results", results)))
}

fn too_large() -> Failure {
    Failure::invalid_answer("the CSP answered charges whose sum is beyond all bounds")
}

/// Formats millionths as a decimal number, with at least two places.
fn decimal(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let (units, places) = (micros.unsigned_abs() / 1_000_000, micros.unsigned_abs() % 1_000_000);
    let places = format!("{places:06}");
    let (cents, beyond) = places.split_at(2);
    format!("{sign}{units}.{cents}{}", beyond.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn millionths_become_decimal_strings() {
        for (micros, text) in [
            (0, "0.00"),
            (1, "0.000001"),
            (10_000, "0.01"),
            (20_000_000, "20.00"),
            (-1_500_000, "-1.50"),
            (-1, "-0.000001"),
            (1_234_567, "1.234567"),
            (1_230_500, "1.2305"),
            (i64::MAX, "9223372036854.775807"),
            (i64::MIN, "-9223372036854.775808"),
        ] {
            assert_eq!(decimal(micros), text);
        }
    }
}
