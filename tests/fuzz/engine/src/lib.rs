//! An empty crate, which has libFuzzer built.
