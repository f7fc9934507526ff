//! Which operations can be asked of a CSP.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::Operation;

/// What a CSP offers, as far as its configuration says.
///
/// Written as a list of words as in `operationType`; those of cost requests,
/// which have no such field, are `COST_BY_PORTFOLIO` and `COST_BY_CLIN`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub enum Offer {
    /// Whatever its adapter does.
    #[default]
    Unsaid,
    /// These, and no others. Never empty.
    Only(BTreeSet<Operation>),
}

/// A list that no CSP can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadOffer {
    #[error("`{word}` is no operation; there are {}", Operation::ALL.map(Operation::word).join(", "))]
    Unknown { word: String },
    #[error("at least one operation must be listed; without a list, it is what the adapter does")]
    Nothing,
}

impl Offer {
    /// Whether the operation may be asked for.
    pub fn includes(&self, operation: Operation) -> bool {
        match self {
            Self::Unsaid => true,
            Self::Only(operations) => operations.contains(&operation),
        }
    }

    /// The words of the list; empty where there is none.
    pub fn words(&self) -> Vec<&'static str> {
        match self {
            Self::Unsaid => Vec::new(),
            Self::Only(operations) => operations.iter().map(|each| each.word()).collect(),
        }
    }
}

impl TryFrom<Vec<String>> for Offer {
    type Error = BadOffer;

    fn try_from(words: Vec<String>) -> Result<Self, BadOffer> {
        if words.is_empty() {
            return Err(BadOffer::Nothing);
        }
        let read = |word: String| Operation::from_word(&word).ok_or(BadOffer::Unknown { word });
        Ok(Self::Only(words.into_iter().map(read).collect::<Result<_, _>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(words: &[&str]) -> Result<Offer, BadOffer> {
        words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>().try_into()
    }

    #[test]
    fn a_list_has_the_words_of_the_api() {
        for operation in Operation::ALL {
            let only = offer(&[operation.word()]).unwrap();
            for other in Operation::ALL {
                assert_eq!(only.includes(other), other == operation, "{operation} {other}");
                assert!(Offer::Unsaid.includes(other));
            }
        }
        // The older word is the same operation.
        assert_eq!(offer(&["ADD_ADMINISTRATOR"]), offer(&["ADD_OPERATORS", "ADD_OPERATORS"]));
        for word in ["add-portfolio", "add_portfolio", "COST", ""] {
            assert_eq!(offer(&[word]), Err(BadOffer::Unknown { word: word.to_owned() }));
        }
        assert_eq!(offer(&[]), Err(BadOffer::Nothing));
    }
}
