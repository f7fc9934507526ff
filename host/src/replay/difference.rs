//! A difference between the steps of two versions.

use std::fmt;

use serde::Deserialize;
use serde::Serialize;

/// Characters of one value in a report. More would not help a reader.
const VALUE_CHARS_MAX: usize = 160;

/// A place at which the active version and the candidate differ.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Difference {
    /// `request`, `header x-api-version`, `body /name`, and the like.
    pub place: String,
    /// The value of the active version; `None` if it has no value there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The value of the candidate; `None` if it has no value there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl Difference {
    /// Creates a difference at `place`, and cuts long values.
    pub(super) fn new(
        place: impl Into<String>,
        before: Option<impl Into<String>>,
        after: Option<impl Into<String>>,
    ) -> Self {
        let before = before.map(Into::into);
        let after = after.map(Into::into);
        // Both are cut at the same place, where they differ: two equal
        // beginnings would tell nothing.
        let common = match (&before, &after) {
            (Some(before), Some(after)) => {
                before.chars().zip(after.chars()).take_while(|(a, b)| a == b).count()
            }
            (None, _) | (_, None) => 0,
        };
        let from = common.saturating_sub(VALUE_CHARS_MAX / 2);
        let cut = |text: String| cut(&text, from);
        Self { place: place.into(), before: before.map(cut), after: after.map(cut) }
    }
}

/// Returns the characters from `from` on, as one line.
fn cut(text: &str, from: usize) -> String {
    let total = text.chars().count();
    let from = if total <= VALUE_CHARS_MAX { 0 } else { from };
    let mut kept: String = text
        .chars()
        .skip(from)
        .take(VALUE_CHARS_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if from > 0 {
        kept.insert(0, '…');
    }
    if total > from + VALUE_CHARS_MAX {
        kept.push('…');
    }
    kept
}

impl fmt::Display for Difference {
    /// Writes a line for each side, as `diff` does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, before, after } = self;
        match (before, after) {
            (Some(before), Some(after)) => write!(f, "- {place} {before}\n+ {place} {after}"),
            (Some(before), None) => write!(f, "- {place} {before}"),
            (None, Some(after)) => write!(f, "+ {place} {after}"),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_is_cut_to_the_part_that_differs() {
        let before = format!("{}a{}", "x".repeat(1_000), "y".repeat(1_000));
        let after = before.replace('a', "b");
        let difference = Difference::new("body", Some(before), Some(after));
        let expected = |c: char| format!("…{}{c}{}…", "x".repeat(80), "y".repeat(79));
        assert_eq!(difference.before, Some(expected('a')));
        assert_eq!(difference.after, Some(expected('b')));
        let short = Difference::new("body", Some("one\ntwo"), None::<String>);
        assert_eq!(short.to_string(), "- body one two");
        let longer = Difference::new("body", Some("x"), Some("x".repeat(200)));
        assert_eq!(longer.before.as_deref(), Some("x"));
    }
}
