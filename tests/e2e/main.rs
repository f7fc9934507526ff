//! End-to-end tests: the real program with real adapters, a real queue and real
//! HTTP on both sides.

mod adapter_run;
mod adapters;
mod answers;
mod api;
mod auth;
mod aws;
mod azure;
mod breaker;
mod collecting;
mod csp;
mod durability;
mod egress;
mod environment;
mod failpoints;
mod faults;
mod harness;
mod hostile;
mod metrics;
mod operating;
mod operations;
mod order;
mod queue_messages;
mod replay;
mod retry;
mod samples;
mod sandbox;
mod secrets;
mod several;
mod sqs;
mod sqs_wire;
mod stratus;
mod supervision;
mod tls;
mod unknown_senders;
mod watcher;
