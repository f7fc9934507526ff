//! The words of a page about the other hosts.

use maud::Markup;
use maud::html;

use crate::console::text;
use crate::peers::Answer;

/// The name of this host beside those of its peers.
pub const OWN: &str = "this host";

/// Returns a line about the peers that told nothing; nothing if all told.
pub fn missing<T>(answers: &[Answer<T>]) -> Markup {
    let missing: Vec<_> = answers
        .iter()
        .filter_map(|answer| Some((&answer.peer, answer.told.as_ref().err()?)))
        .collect();
    html! {
        @if !missing.is_empty() {
            div class="refusal" role="status" {
                p { "This page lacks what these hosts have seen:" }
                ul { @for (peer, down) in missing {
                    li {
                        strong { (text::foreign(peer)) } " "
                        (text::foreign(&down.failure.to_string())) ", since " (text::time(down.since))
                    }
                } }
            }
        }
    }
}

/// Returns the names of hosts in one cell.
pub fn names(hosts: &[String]) -> String {
    text::foreign(&hosts.join(", "))
}
