//! The way out: egress rules, tokens, HTTP.
