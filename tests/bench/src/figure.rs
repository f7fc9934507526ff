//! One measured figure beside its limit.

use std::fmt;

/// A measured value, with the limit that was measured in the same run.
pub struct Figure {
    pub name: &'static str,
    pub measured: f64,
    pub unit: &'static str,
    /// The best that the machine can do by the same measure, with its name.
    pub limit: Option<(&'static str, f64)>,
    /// The target that the value must meet.
    pub target: Target,
}

/// The target of a figure.
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// At least this part of the limit.
    PartOfLimit(f64),
    /// At most this part of the limit.
    AtMostPartOfLimit(f64),
    /// No target.
    None,
}

impl Figure {
    /// Returns `true` if the value has a target to meet.
    pub fn has_target(&self) -> bool {
        !matches!(self.target, Target::None)
    }

    /// Returns `true` if the target is met.
    pub fn is_met(&self) -> bool {
        match self.target {
            Target::AtLeast(least) => self.measured >= least,
            Target::AtMost(most) => self.measured <= most,
            Target::PartOfLimit(part) => {
                self.limit.is_some_and(|(_, limit)| self.measured >= part * limit)
            }
            Target::AtMostPartOfLimit(part) => {
                self.limit.is_some_and(|(_, limit)| self.measured <= part * limit)
            }
            Target::None => true,
        }
    }
}

impl Figure {
    /// Returns a row of a table in Markdown: name, value, reference and goal.
    pub fn table_row(&self) -> String {
        let unit = match self.unit {
            "us" => "µs",
            unit => unit,
        };
        let limit = self.limit.map(|(what, limit)| {
            format!("{:.2} × {what} ({})", self.measured / limit, with_unit(limit, unit))
        });
        let verdict = if self.is_met() { "met" } else { "missed" };
        let goal = match self.target {
            Target::AtLeast(least) => format!("≥ {}: {verdict}", with_unit(least, unit)),
            Target::AtMost(most) => format!("≤ {}: {verdict}", with_unit(most, unit)),
            Target::PartOfLimit(part) => format!("≥ {part} ×: {verdict}"),
            Target::AtMostPartOfLimit(part) => format!("≤ {part} ×: {verdict}"),
            Target::None => String::new(),
        };
        let (name, limit) = (self.name, limit.unwrap_or_default());
        format!("| {name} | {} | {limit} | {goal} |", with_unit(self.measured, unit))
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<44} {:>10} {:<7}", self.name, number(self.measured), self.unit)?;
        if let Some((what, limit)) = self.limit {
            let part = format!("{:.2}x of {} ({what})", self.measured / limit, number(limit));
            write!(f, " {part:<48}")?;
        } else {
            write!(f, " {:<48}", "")?;
        }
        let target = match self.target {
            Target::AtLeast(least) => format!(">= {}", number(least)),
            Target::AtMost(most) => format!("<= {}", number(most)),
            Target::PartOfLimit(part) => format!(">= {part:.2}x"),
            Target::AtMostPartOfLimit(part) => format!("<= {part:.2}x"),
            Target::None => return Ok(()),
        };
        write!(f, " {target} {}", if self.is_met() { "met" } else { "MISSED" })
    }
}

fn with_unit(value: f64, unit: &str) -> String {
    format!("{} {unit}", number(value)).trim_end().to_owned()
}

fn number(value: f64) -> String {
    match value {
        value if value >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        value if value >= 1.0 => format!("{value:.2}"),
        value => format!("{value:.3}"),
    }
}

/// Returns the value below which `part` of the samples lie.
pub fn quantile(samples: &mut [f64], part: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a run has thousands of samples"
    )]
    let at = ((samples.len() - 1) as f64 * part).round() as usize;
    samples[at]
}
