//! The acts of the audit trail, handed on to the trail.
//!
//! The audit lines are the one description of what operators and the
//! configuration do, so the trail takes its acts from them. What clients do
//! with single jobs belongs to the events of the jobs.

use std::fmt;
use std::fmt::Write as _;
use std::sync::OnceLock;

use tracing::Event;
use tracing::Subscriber;
use tracing::field::Field;
use tracing::field::Visit;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::http::audit;
use hoth_core::domain::event_id;
use hoth_platform::clock::Clock;
use hoth_trail::Act;
use hoth_trail::Trail;

/// The acts of clients on jobs, which are events of the jobs.
const OF_JOBS: [&str; 5] = ["submit", "collect", "lease", "acknowledge", "release"];

/// The fields that name the object of an act. The first one of a line does.
const OBJECTS: [&str; 7] = ["job.id", "adapter", "csp", "queue", "host", "path", "kind"];

/// The trail of this process.
static TRAIL: OnceLock<(Trail, Clock)> = OnceLock::new();

/// Hands the acts of this process to `trail` from now on. A second call has no
/// effect.
pub fn record_acts(trail: Trail, clock: Clock) {
    TRAIL.get_or_init(|| (trail, clock));
}

/// The layer that reads audit lines.
pub struct ActsLayer;

impl<S: Subscriber> Layer<S> for ActsLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != audit::TARGET {
            return;
        }
        let Some((trail, clock)) = TRAIL.get() else { return };
        let mut fields = Fields::default();
        event.record(&mut fields);
        if OF_JOBS.contains(&fields.act.as_str()) {
            return;
        }
        trail.act(Act {
            at: clock.now(),
            act: fields.act,
            by: fields.by,
            object: event_id(&fields.object).into(),
            details: event_id(&fields.details).into(),
        });
    }
}

/// The fields of an audit line.
#[derive(Default)]
struct Fields {
    act: String,
    by: String,
    object: String,
    /// The other fields: `redriven=3 unreadable=0`.
    details: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "act" => value.clone_into(&mut self.act),
            "by" => value.clone_into(&mut self.by),
            "message" => {}
            name if OBJECTS.contains(&name) && self.object.is_empty() => {
                value.clone_into(&mut self.object);
            }
            name => self.add(name, &format_args!("{value}")),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => {}
            name if OBJECTS.contains(&name) && self.object.is_empty() => {
                self.object = format!("{value:?}");
            }
            name => self.add(name, &format_args!("{value:?}")),
        }
    }
}

impl Fields {
    fn add(&mut self, name: &str, value: &dyn fmt::Display) {
        let space = if self.details.is_empty() { "" } else { " " };
        write!(self.details, "{space}{name}={value}").expect("writing to a string succeeds");
    }
}
