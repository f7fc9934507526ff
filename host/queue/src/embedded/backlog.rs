//! The rest of work that is done in parts, each in a transaction of its own.

/// Rows that are left after one part of a deletion or of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Backlog {
    None,
    Remains,
}
