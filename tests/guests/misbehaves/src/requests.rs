//! Requests that must not leave the host.

use crate::hoth::adapter::types::Step;
use crate::hoth::adapter::types::Target;
use crate::pair;
use crate::request;

pub fn path(path: &str) -> Step {
    request(|request| request.target = Target::Path(path.to_owned()))
}

pub fn header(name: &str, value: &str) -> Step {
    request(|request| request.headers = vec![pair(name, value)])
}
