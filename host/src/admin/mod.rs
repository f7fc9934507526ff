//! The HTTP API of operators.
