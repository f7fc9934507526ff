//! Task orders, which have no place in Azure: the operator's settings list
//! them, and a tag of each subscription names the CLIN that pays.

use std::fmt;

use hoth_adapter::Date;
use hoth_adapter::Failure;
use hoth_adapter::payload::Classification;
use hoth_adapter::payload::TaskOrder;
use hoth_adapter::payload::cloud_clin;
use serde::Deserialize;
use serde::Serialize;

use crate::Work;
use crate::settings::Settings;

/// The tags of a subscription: the job that created it, and its CLIN.
pub const JOB_TAG: &str = "hoth-job";
pub const CLIN_TAG: &str = "hoth-clin";

/// A CLIN, as its tag names it: `<task order>.<CLIN>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClinMark {
    pub order: String,
    pub clin: String,
}

impl ClinMark {
    /// Reads the value of a tag. Numbers of CLINs have no dots, those of task
    /// orders may.
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

/// Returns the task orders that pay for a portfolio.
///
/// # Errors
///
/// [`Failure`] with code 500 if a setting is no task order.
pub fn of_portfolio(settings: &Settings, portfolio: &str) -> Result<Vec<TaskOrder>, Failure> {
    let orders = settings.task_orders.iter().enumerate();
    let own =
        orders.filter(|(_, order)| order.text("portfolioId").is_none_or(|id| id == portfolio));
    own.map(|(nth, order)| {
        let wrong =
            |wrong| Failure::broken(format!("settings.task_orders[{nth}] cannot be read: {wrong}"));
        order.read().map_err(wrong)
    })
    .collect()
}

/// Chooses the CLIN that pays for a new subscription.
///
/// # Errors
///
/// [`Failure`] of the class `refused` if the settings have none that suits.
pub fn choose_clin(
    work: &Work<'_>,
    portfolio: &str,
    level: Classification,
) -> Result<ClinMark, Failure> {
    let today = Date::from(work.job.now);
    let orders = of_portfolio(&work.settings, portfolio)?;
    let Some((order, clin)) = cloud_clin(&orders, level, today) else {
        return Err(Failure::refused_because(
            400,
            format!(
                "settings.task_orders of the CSP have no CLIN for the portfolio of the type CLOUD \
                 and the classification {} whose period contains {today}",
                level_word(level)
            ),
        ));
    };
    Ok(ClinMark { order: order.task_order_number.clone(), clin: clin.clin_number.clone() })
}

pub fn level_word(level: Classification) -> &'static str {
    match level {
        Classification::Unclassified => "UNCLASSIFIED",
        Classification::Secret => "SECRET",
        Classification::TopSecret => "TOP_SECRET",
    }
}
