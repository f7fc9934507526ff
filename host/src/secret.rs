//! Secrets by reference: where they come from, never what they are.
