//! The peers: other hosts, which this host asks what they have seen: for its
//! console, and on Amazon SQS for the status of a job.
//!
//! All peers are asked side by side, each for at most [`ANSWER_MAX`](failure::ANSWER_MAX), and one
//! that did not answer is left alone for [`REST`](client::REST), so that a host that is down
//! delays no page. They are asked at their admin API with a token of the
//! configuration. What a person sent to this host, a cookie or a key, goes to no
//! peer; and the admin API asks no peers, so that no question goes on from host
//! to host.

mod client;
mod config;
mod failure;
mod merge;
mod place;
mod status;

pub use self::client::Answer;
pub use self::client::Peers;
pub use self::config::PeerConfig;
pub use self::config::check;
pub use self::merge::SeenEvent;
pub use self::merge::SeenJob;
pub use self::merge::SeenView;
pub use self::merge::jobs;
pub use self::merge::views;
pub use self::place::Place;
pub use self::place::Places;
pub use self::status::find_status;
pub use self::status::status;
