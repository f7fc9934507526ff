//! The state of the handlers of each listener.

use std::sync::Arc;

use futures_util::FutureExt as _;
use secrecy::ExposeSecret as _;

use super::App;
use super::Role;
use super::parts;
use crate::admin;
use crate::api;
use crate::http::Health;
use crate::job_status::CspHold;
use crate::job_status::Statuses;
use crate::peers;
use crate::worker::ServedStages;
use hoth_core::domain::CspName;
use hoth_queue::Backend;
use hoth_queue::QueueName;

impl App {
    pub(super) fn served_stages(&self) -> ServedStages {
        ServedStages {
            requests: self.roles.contains(&Role::Worker),
            polls: self.roles.contains(&Role::Watcher),
        }
    }

    pub(super) fn api_state(&self) -> api::ApiState {
        let state = api::ApiState::new(
            &self.config.api,
            self.keys.clone(),
            self.config.limits.rate(),
            self.config.limits.timeouts().send,
            Arc::clone(&self.context.queue),
            self.config.offers(),
            self.context.clock.clone(),
        );
        let registry = Arc::clone(&self.context.registry);
        let state = state
            .with_served(Arc::new(move |csp| registry.operations(csp)))
            .with_observers(self.context.observers.clone())
            .with_tracer(self.tracer.clone())
            .with_statuses(self.statuses());
        let state = match self.status_lookup() {
            None => state,
            Some(lookup) => state.with_status_lookup(lookup),
        };
        match &self.batch_key {
            None => state,
            Some(key) => state.with_batch_key(key.expose_secret().as_bytes()),
        }
    }

    pub(super) fn statuses(&self) -> Statuses {
        let (csps, registry) = (self.csps.clone(), Arc::clone(&self.context.registry));
        let drain = self.context.drain.clone();
        // On a shared backend, other hosts take the jobs that this one leaves.
        let is_alone = match self.config.queue.backend() {
            Backend::Embedded { .. } => true,
            Backend::Sqs(_) => false,
        };
        let holds = move |name: &CspName| {
            let Some(csp) = csps.get(name) else { return Some(CspHold::Unknown) };
            let is_drained = || is_alone && drain.switch.since().is_some();
            csp.hold(&registry).or_else(|| is_drained().then_some(CspHold::Drained))
        };
        Statuses {
            queue: Arc::clone(&self.context.queue),
            trail: self.trail.clone(),
            clock: self.context.clock.clone(),
            holds: Arc::new(holds),
            deadline: self.context.polling.deadline,
            host: host_name(),
        }
    }

    /// Returns the look-up of job status over all hosts. Returns `None` if the
    /// queue tells where a job is, or there are no other hosts to ask.
    fn status_lookup(&self) -> Option<Arc<api::StatusLookup>> {
        match self.config.queue.backend() {
            Backend::Sqs(_) if !self.peers.is_empty() => {}
            Backend::Sqs(_) | Backend::Embedded { .. } => return None,
        }
        let parts = Arc::new((self.statuses(), Arc::clone(&self.peers)));
        Some(Arc::new(move |kind, id: String| {
            let parts = Arc::clone(&parts);
            async move { peers::find_status(&parts.0, &parts.1, kind, &id).await }.boxed()
        }))
    }

    pub(super) fn host_facts(&self) -> admin::HostFacts {
        let (config, clock) = (&self.config, &self.context.clock);
        let (queue, folder) = match config.queue.backend() {
            Backend::Embedded { path, .. } => {
                let folder = path.parent().map(std::path::Path::to_owned);
                (format!("embedded, {}", path.display()), folder)
            }
            Backend::Sqs(_) => ("Amazon SQS".to_owned(), None),
        };
        admin::HostFacts {
            name: host_name(),
            version: admin::BUILD[0],
            roles: self.roles.iter().map(|role| role.name()).collect(),
            started_at: clock.now(),
            configuration: config.file.clone(),
            queue,
            folder,
        }
    }

    pub(super) fn admin_state(&self, health: Health) -> admin::AdminState {
        let mut queues = QueueName::all(self.config.csp.keys());
        queues.extend_from_slice(&self.orphaned);
        admin::AdminState {
            queue: Arc::clone(&self.context.queue),
            storage: self.storage.clone(),
            stats: admin::StatsReader::new(Arc::clone(&self.context.queue), &queues),
            queues,
            registry: Arc::clone(&self.context.registry),
            csps: self.csps.clone(),
            metrics: self.metrics.clone(),
            listener_certificates: [
                ("api.tls", &self.reload.api_tls),
                ("admin.tls", &self.reload.admin_tls),
            ]
            .into_iter()
            .filter_map(|(which, tls)| Some((which, tls.clone()?)))
            .collect(),
            client_certificates: parts::client_certificates(&self.config),
            keys: self.keys.clone(),
            clock: self.context.clock.clone(),
            observers: self.context.observers.clone(),
            trail: self.trail.clone(),
            activity: self.activity.clone(),
            journals: Arc::clone(&self.journals),
            statuses: self.statuses(),
            health,
            drain: self.context.drain.clone(),
            host: self.host_facts(),
        }
    }
}

/// Returns the name of this machine, for answers that say who has seen a job.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "this host".to_owned(),
        name => name.to_owned(),
    }
}
