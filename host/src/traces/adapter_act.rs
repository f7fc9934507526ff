//! The spans of acts on adapters: deployments, and replays of past jobs.

use std::sync::Arc;

use super::span::Attribute;
use super::span::Moment;
use super::span::Parent;
use super::span::Span;
use super::span::SpanKind;
use super::span::Value;
use super::span::new_span_id;
use super::tracer::Inner;
use super::tracer::Tracer;
use hoth_core::domain::Digest;
use hoth_core::domain::TraceContext;

/// An act on an adapter, while it is under way. It makes no span if it is dropped
/// without an end.
#[derive(Debug)]
pub struct AdapterAct(Option<Open>);

#[derive(Debug)]
struct Open {
    tracer: Arc<Inner>,
    name: &'static str,
    context: TraceContext,
    parent: Option<Parent>,
    started: Moment,
    attributes: Vec<Attribute>,
}

impl Tracer {
    /// Begins the act `name` on an adapter, with a candidate version, in a trace
    /// of its own. Acts are rare, so each of them is kept.
    pub fn adapter_act(&self, name: &'static str, adapter: &str, candidate: &Digest) -> AdapterAct {
        AdapterAct(self.0.as_ref().map(|tracer| {
            let attributes = vec![
                ("hoth.adapter.name", Value::from(adapter)),
                ("hoth.candidate", Value::from(candidate.prefix())),
            ];
            Open::begin(tracer, name, tracer.new_root_sampled(true), None, attributes)
        }))
    }
}

impl AdapterAct {
    /// Begins an act that belongs to this one, on the same candidate. It may
    /// outlive it.
    pub fn child(&self, name: &'static str) -> Self {
        Self(self.0.as_ref().map(|above| {
            let context = above.context.with_span(new_span_id());
            let parent = Some(Parent::local(&above.context));
            // The adapter and the candidate, which every act has.
            let attributes = above.attributes[..2].to_vec();
            Open::begin(&above.tracer, name, context, parent, attributes)
        }))
    }

    /// Adds an attribute.
    pub fn set(&mut self, name: &'static str, value: &str) {
        if let Some(open) = &mut self.0 {
            open.attributes.push((name, Value::from(value)));
        }
    }

    /// Adds a number.
    pub fn count(&mut self, name: &'static str, number: u64) {
        if let Some(open) = &mut self.0 {
            let number = i64::try_from(number).unwrap_or(i64::MAX);
            open.attributes.push((name, Value::from(number)));
        }
    }

    /// Ends the act with its verdict, and with the class of the error if it has
    /// failed.
    pub fn end(self, verdict: &str, error_type: Option<&str>) {
        let Some(Open { tracer, name, context, parent, started, attributes }) = self.0 else {
            return;
        };
        let times = started.until_now();
        let mut span = Span::new(name, SpanKind::Internal, context, parent, times);
        span.attributes = attributes;
        span.set("hoth.verdict", verdict);
        if let Some(error_type) = error_type {
            span.fail(error_type);
        }
        tracer.export(vec![span]);
    }
}

impl Open {
    fn begin(
        tracer: &Arc<Inner>,
        name: &'static str,
        context: TraceContext,
        parent: Option<Parent>,
        attributes: Vec<Attribute>,
    ) -> Self {
        let started = Moment::new(tracer.clock.wall());
        Self { tracer: Arc::clone(tracer), name, context, parent, started, attributes }
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::Config;
    use super::*;

    #[test]
    fn a_replay_is_below_its_deployment_and_names_the_candidate() {
        let (tracer, mut spans) = Tracer::for_tests(&Config::default());
        let digest = Digest::of(b"candidate");
        let mut deploy = tracer.adapter_act("deploy", "atat", &digest);
        deploy.set("hoth.source", "api");
        let mut replay = deploy.child("replay");
        replay.count("hoth.replay.journals", 7);
        deploy.end("refused", Some("replay"));
        replay.end("different", None);
        drop(tracer.adapter_act("deploy", "atat", &digest));
        let (deploy, replay) =
            (spans.try_recv().expect("a span"), spans.try_recv().expect("a span"));
        assert_eq!(replay.parent, Some(Parent::local(&deploy.context)));
        assert_eq!((deploy.parent, deploy.is_error, replay.is_error), (None, true, false));
        let candidate = ("hoth.candidate", Value::from(digest.prefix()));
        for (span, verdict) in [(&deploy, "refused"), (&replay, "different")] {
            assert!(span.attributes.contains(&candidate), "{span:?}");
            assert!(span.attributes.contains(&("hoth.verdict", Value::from(verdict))), "{span:?}");
        }
        assert!(!replay.attributes.iter().any(|(name, _)| *name == "hoth.source"));
        assert!(spans.try_recv().is_err(), "an act that was dropped has no span");
        // Without an endpoint.
        Tracer::off().adapter_act("deploy", "atat", &digest).child("replay").end("same", None);
    }
}
