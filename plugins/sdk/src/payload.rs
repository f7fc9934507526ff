//! The documented part of payloads, for adapters that read fields.
//!
//! In [`Adapter::begin`], `portfolio.read::<payload::Portfolio>()?` turns a
//! mismatch into a failure that names the field. Undocumented keys are skipped
//! and stay in the [`Object`]. ServiceNow sends some keys in snake_case, and
//! every field is read in either spelling.
//!
//! [`Adapter::begin`]: crate::Adapter::begin
//! [`Object`]: crate::Object

use std::fmt;

use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;

use crate::Date;

/// The payload of `add-portfolio`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Portfolio {
    pub name: String,
    #[serde(alias = "task_orders")]
    pub task_orders: Vec<TaskOrder>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskOrder {
    pub id: Option<String>,
    #[serde(alias = "task_order_number")]
    pub task_order_number: String,
    /// `YYYY-MM-DD` or `YYYY-MM`, like every date.
    #[serde(alias = "pop_start_date")]
    pub pop_start_date: String,
    #[serde(alias = "pop_end_date")]
    pub pop_end_date: String,
    pub clins: Vec<Clin>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Clin {
    #[serde(alias = "clin_number")]
    pub clin_number: String,
    #[serde(rename = "type")]
    pub kind: ClinType,
    #[serde(alias = "classification_level")]
    pub classification_level: Option<Classification>,
    #[serde(alias = "pop_start_date")]
    pub pop_start_date: String,
    #[serde(alias = "pop_end_date")]
    pub pop_end_date: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ClinType {
    Cloud,
    NonCloud,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Classification {
    Unclassified,
    Secret,
    TopSecret,
}

impl ClinType {
    /// Returns the word of ServiceNow.
    pub fn word(self) -> &'static str {
        match self {
            Self::Cloud => "CLOUD",
            Self::NonCloud => "NON_CLOUD",
        }
    }
}

impl Classification {
    /// Returns the word of ServiceNow.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unclassified => "UNCLASSIFIED",
            Self::Secret => "SECRET",
            Self::TopSecret => "TOP_SECRET",
        }
    }
}

/// A CLIN of a task order, as a tag of what it pays for names it. Formatted as
/// `<task order>.<CLIN>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClinMark {
    pub order: String,
    pub clin: String,
}

impl ClinMark {
    pub fn of(order: &TaskOrder, clin: &Clin) -> Self {
        Self { order: order.task_order_number.clone(), clin: clin.clin_number.clone() }
    }

    /// Reads the value of a tag, or returns `None` if it has no dot. Numbers of
    /// CLINs have no dots, those of task orders may.
    pub fn read(text: &str) -> Option<Self> {
        let (order, clin) = text.rsplit_once('.')?;
        Some(Self { order: order.to_owned(), clin: clin.to_owned() })
    }
}

impl fmt::Display for ClinMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.order, self.clin)
    }
}

/// The payload of `add-environment`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Environment {
    pub name: String,
    /// Empty if ServiceNow sends null.
    #[serde(default, deserialize_with = "null_is_default")]
    pub administrators: Vec<Operator>,
    #[serde(alias = "classification_level")]
    pub classification_level: Classification,
    #[serde(alias = "cloud_distinguisher")]
    pub cloud_distinguisher: Option<CloudDistinguisher>,
    #[serde(alias = "account_name")]
    pub account_name: Option<String>,
    #[serde(alias = "email_distribution_list")]
    pub email_distribution_list: Option<String>,
    #[serde(default, alias = "is_migration", deserialize_with = "null_is_default")]
    pub is_migration: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operator {
    pub email: String,
    #[serde(alias = "dod_id")]
    pub dod_id: String,
    #[serde(default, alias = "needs_reset", deserialize_with = "null_is_default")]
    pub needs_reset: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CloudDistinguisher {
    pub name: String,
    #[serde(alias = "display_name")]
    pub display_name: String,
    pub description: String,
}

/// Selects the CLIN that pays for what is created today with a classification:
/// a CLOUD CLIN of that classification whose period contains the day. Of
/// several, the one whose period ends first, then the one with the smaller
/// numbers, so that the choice is always the same.
///
/// CLINs without a classification, and those whose dates cannot be read, are
/// not selected.
pub fn cloud_clin(
    task_orders: &[TaskOrder],
    level: Classification,
    today: Date,
) -> Option<(&TaskOrder, &Clin)> {
    let all =
        task_orders.iter().flat_map(|order| order.clins.iter().map(move |clin| (order, clin)));
    let suits = |clin: &Clin| {
        clin.kind == ClinType::Cloud
            && clin.classification_level == Some(level)
            && Date::first_of(&clin.pop_start_date).is_ok_and(|first| first <= today)
            && Date::after(&clin.pop_end_date).is_ok_and(|after| today < after)
    };
    all.filter(|(_, clin)| suits(clin)).min_by_key(|(order, clin)| {
        let after = Date::after(&clin.pop_end_date).ok();
        (after, &order.task_order_number, &clin.clin_number)
    })
}

fn null_is_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Json;
    use crate::Object;

    #[test]
    fn payloads_of_servicenow_are_read() {
        let portfolio = Object::parse(
            r#"{"name":"One","extra":1,"administrators":null,"taskOrders":[{"taskOrderNumber":"H","popStartDate":"2021-07",
                "popEndDate":"2026-07","clins":[{"clin_number":"0001","pop_start_date":"2021-07","pop_end_date":"2026-07",
                "classification_level":"TOP_SECRET","type":"NON_CLOUD"}]}]}"#,
        );
        let portfolio: Portfolio = portfolio.unwrap().read().unwrap();
        let clin = &portfolio.task_orders[0].clins[0];
        assert_eq!(clin.clin_number, "0001");
        assert_eq!(clin.classification_level, Some(Classification::TopSecret));
        assert_eq!(clin.kind, ClinType::NonCloud);
    }

    #[test]
    fn an_environment_may_leave_much_out() {
        let environment = Object::parse(
            r#"{"name":"E","administrators":[{"email":"e","dodId":"1","needsReset":null}],"classificationLevel":"SECRET",
                "cloudDistinguisher":null}"#,
        );
        let environment: Environment = environment.unwrap().read().unwrap();
        assert!(!environment.administrators[0].needs_reset);
        assert_eq!(environment.cloud_distinguisher, None);
        let bare =
            Object::parse(r#"{"name":"E","administrators":null,"classification_level":"SECRET"}"#);
        let bare: Environment = bare.unwrap().read().unwrap();
        assert_eq!((bare.administrators, bare.is_migration), (vec![], false));
    }

    #[test]
    fn a_mark_names_a_clin() {
        let mark = ClinMark { order: "T.1".to_owned(), clin: "0001".to_owned() };
        assert_eq!(mark.to_string(), "T.1.0001");
        assert_eq!(ClinMark::read("T.1.0001"), Some(mark));
        assert_eq!(ClinMark::read("none"), None);
    }

    #[test]
    fn words_are_those_of_servicenow() {
        use Classification::{Secret, TopSecret, Unclassified};
        for level in [Unclassified, Secret, TopSecret] {
            assert_eq!(Json::from(level.word()).read::<Classification>().ok(), Some(level));
        }
        for kind in [ClinType::Cloud, ClinType::NonCloud] {
            assert_eq!(Json::from(kind.word()).read::<ClinType>().ok(), Some(kind));
        }
    }

    #[test]
    fn the_clin_of_an_environment_is_of_its_classification_and_of_today() {
        let clin = |number: &str, kind, level, first: &str, last: &str| Clin {
            clin_number: number.to_owned(),
            kind,
            classification_level: level,
            pop_start_date: first.to_owned(),
            pop_end_date: last.to_owned(),
        };
        let order = |number: &str, clins| TaskOrder {
            id: None,
            task_order_number: number.to_owned(),
            pop_start_date: "2020-01".to_owned(),
            pop_end_date: "2030-01".to_owned(),
            clins,
        };
        use ClinType::Cloud;
        let unclassified = Some(Classification::Unclassified);
        let orders = [
            order(
                "t2",
                vec![
                    clin("0001", ClinType::NonCloud, unclassified, "2026-01", "2026-12"),
                    clin("0002", Cloud, Some(Classification::Secret), "2026-01", "2026-12"),
                    clin("0003", Cloud, unclassified, "2026-01-15", "2026-11-30"),
                    clin("0004", Cloud, None, "2020-01", "2020-02"),
                ],
            ),
            order(
                "t1",
                vec![
                    clin("0001", Cloud, unclassified, "2026-06", "2026-12"),
                    clin("0002", Cloud, unclassified, "2026-06", "2026-11"),
                    clin("0003", Cloud, unclassified, "no date", "2026-11"),
                ],
            ),
        ];
        for (today, level, expected) in [
            ("2026-01-14", Classification::Unclassified, None),
            ("2026-01-15", Classification::Unclassified, Some(("t2", "0003"))),
            ("2026-06-01", Classification::Unclassified, Some(("t1", "0002"))),
            ("2026-11-30", Classification::Unclassified, Some(("t1", "0002"))),
            ("2026-12-01", Classification::Unclassified, Some(("t1", "0001"))),
            ("2027-01-01", Classification::Unclassified, None),
            ("2026-12-31", Classification::Secret, Some(("t2", "0002"))),
            ("2026-06-01", Classification::TopSecret, None),
            ("2020-01-10", Classification::Unclassified, None),
        ] {
            let today = Date::first_of(today).expect("a date");
            let found = cloud_clin(&orders, level, today);
            let found = found
                .map(|(order, clin)| (order.task_order_number.as_str(), clin.clin_number.as_str()));
            assert_eq!(found, expected, "{today} {level:?}");
        }
    }
}
