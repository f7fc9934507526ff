//! The house from the street: the real program with real adapters, a real
//! queue and real HTTP on both sides.

#![expect(clippy::print_stderr, reason = "the log of the host belongs to the test that runs it")]

mod adapter_run;
mod adapters;
mod answers;
mod auth;
mod breaker;
mod collecting;
mod csp;
mod door;
mod durability;
mod egress;
mod environment;
mod failpoints;
mod faults;
mod harness;
mod hostile;
mod operating;
mod operations;
mod order;
mod replay;
mod retry;
mod samples;
mod sandbox;
mod secrets;
mod several;
mod stratus;
mod tls;
mod watcher;
