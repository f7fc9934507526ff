//! Queues on Amazon SQS, which several hosts share.
//!
//! Each queue is a FIFO queue with a prefix, and has a queue of its own for
//! dead letters. [setup] makes them if that is permitted. Facts that SQS has no
//! field for are stored in message attributes (see [encoding]). This process
//! remembers the ends of the leases that it holds ([leases]), so that most
//! settlements need two calls and not three.

mod backend;
mod background;
mod client;
mod contract;
mod dead_letters;
mod encoding;
mod entries;
mod error;
mod given_back;
mod leases;
mod receive;
mod release;
mod releaser;
mod setup;
mod shared;
#[cfg(test)]
mod tests;

pub use self::backend::SqsQueue;
pub use self::error::OpenError;
