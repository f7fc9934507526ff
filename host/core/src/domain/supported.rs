//! The operations that a CSP supports, by its configuration.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::Operation;

/// The operations that a CSP supports, by its configuration.
///
/// Written as a list of [API names](Operation::api_name).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub enum SupportedOperations {
    /// Every operation of its adapter: the configuration has no list.
    #[default]
    Any,
    /// Only these operations. Never empty.
    Only(BTreeSet<Operation>),
}

/// A list of operations that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadOperations {
    #[error("`{name}` is not an operation; expected one of {}", Operation::ALL.map(Operation::api_name).join(", "))]
    Unknown { name: String },
    #[error("the list is empty; omit it to allow every operation of the adapter")]
    Empty,
}

impl SupportedOperations {
    /// Returns true if the operation may be requested.
    pub fn includes(&self, operation: Operation) -> bool {
        match self {
            Self::Any => true,
            Self::Only(operations) => operations.contains(&operation),
        }
    }

    /// Returns the API names of the list; empty if there is no list.
    pub fn names(&self) -> Vec<&'static str> {
        match self {
            Self::Any => Vec::new(),
            Self::Only(operations) => operations.iter().map(|each| each.api_name()).collect(),
        }
    }
}

impl TryFrom<Vec<String>> for SupportedOperations {
    type Error = BadOperations;

    fn try_from(words: Vec<String>) -> Result<Self, BadOperations> {
        // A CSP without any operation is useless, so an empty list is a
        // mistake.
        if words.is_empty() {
            return Err(BadOperations::Empty);
        }
        let read =
            |name: String| Operation::from_api_name(&name).ok_or(BadOperations::Unknown { name });
        Ok(Self::Only(words.into_iter().map(read).collect::<Result<_, _>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(words: &[&str]) -> Result<SupportedOperations, BadOperations> {
        words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>().try_into()
    }

    #[test]
    fn a_list_has_the_names_of_the_api() {
        for operation in Operation::ALL {
            let only = offer(&[operation.api_name()]).unwrap();
            for other in Operation::ALL {
                assert_eq!(only.includes(other), other == operation, "{operation} {other}");
                assert!(SupportedOperations::Any.includes(other));
            }
        }
        // The older name is the same operation.
        assert_eq!(offer(&["ADD_ADMINISTRATOR"]), offer(&["ADD_OPERATORS", "ADD_OPERATORS"]));
        for word in ["add-portfolio", "add_portfolio", "COST", ""] {
            assert_eq!(offer(&[word]), Err(BadOperations::Unknown { name: word.to_owned() }));
        }
        assert_eq!(offer(&[]), Err(BadOperations::Empty));
    }
}
