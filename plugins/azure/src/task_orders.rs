//! Task orders, which have no place in Azure: the operator's settings list
//! them, and a tag of each subscription names the CLIN that pays.

use hoth_adapter::Date;
use hoth_adapter::Failure;
use hoth_adapter::payload::Classification;
use hoth_adapter::payload::ClinMark;
use hoth_adapter::payload::TaskOrder;
use hoth_adapter::payload::cloud_clin;

use crate::Work;
use crate::settings::Settings;

/// The tags of a subscription: the job that created it, and its CLIN.
pub const JOB_TAG: &str = "hoth-job";
pub const CLIN_TAG: &str = "hoth-clin";

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
                level.word()
            ),
        ));
    };
    Ok(ClinMark::of(order, clin))
}
