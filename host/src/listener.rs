//! The way in: connections, and knowing that a response left.
