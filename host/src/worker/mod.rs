//! Takes jobs, drives adapters, acts on decisions.
