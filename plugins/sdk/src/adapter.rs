//! What an adapter is.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Event;
use crate::Failure;
use crate::Job;
use crate::Object;
use crate::Step;

/// What an adapter wants next, or why the job cannot be done.
pub type Next<A> = Result<Step<<A as Adapter>::State>, Failure>;

/// An adapter; [`export!`](crate::export) makes a component of it.
///
/// Every call gets a fresh instance, so nothing that is kept in a static
/// survives. The same arguments must give the same step.
pub trait Adapter: Sized {
    /// For people.
    const NAME: &'static str;
    /// Semantic version, for people: `env!("CARGO_PKG_VERSION")`.
    const VERSION: &'static str;
    /// Out of [`operation`](crate::operation). The host asks for no others.
    const OPERATIONS: &'static [&'static str];
    /// Credentials that requests name, besides the default one.
    const CREDENTIALS: &'static [&'static str] = &[];
    /// The version of [`Self::State`]. Raise it when older versions of the
    /// adapter could not read what this one writes, or the other way round.
    const STATE_VERSION: u32 = 1;
    /// The oldest version that [`Self::read_state`] understands. Jobs of older
    /// states stay with the version of the adapter that wrote them.
    const OLDEST_STATE_VERSION: u32 = Self::STATE_VERSION;

    /// What must be remembered between two steps: at most 64 KiB as JSON. What
    /// can be found out from the job again need not be in it.
    type State: Serialize + DeserializeOwned;

    /// Starts a job. Called again after a crash when the job had not reached a
    /// [`Wait`](crate::Wait).
    ///
    /// # Errors
    ///
    /// [`Failure`] ends the job.
    fn begin(job: &Job) -> Next<Self>;

    /// Goes on with what has happened since the last step.
    ///
    /// # Errors
    ///
    /// [`Failure`], after which the host may poll again; see
    /// [`Class`](crate::Class).
    fn resume(job: &Job, state: Self::State, event: Event) -> Next<Self>;

    /// What was asked of the CSP, in camelCase: the `request` of every outcome
    /// and failure that names none itself. `state` is the one that was
    /// resumed from; none: the job did not get that far. For costs the host
    /// puts the cost request instead.
    fn asked(job: &Job, state: Option<&Self::State>) -> Object {
        let _ = (job, state);
        Object::new()
    }

    /// Reads a state that this or an older version of the adapter wrote; none
    /// when it cannot be read.
    fn read_state(version: u32, bytes: &[u8]) -> Option<Self::State> {
        let _ = version;
        serde_json::from_slice(bytes).ok()
    }
}

/// Makes a component of a type that is an [`Adapter`]; once in a crate of the
/// type `["cdylib", "rlib"]`.
///
/// Anywhere but in WebAssembly it only checks the type.
#[macro_export]
macro_rules! export {
    ($adapter:ty) => {
        #[cfg(not(target_family = "wasm"))]
        const _: fn() -> $crate::wit::exports::hoth::adapter::adapter::Info =
            $crate::bridge::describe::<$adapter>;

        #[cfg(target_family = "wasm")]
        const _: () = {
            use $crate::wit::exports::hoth::adapter::adapter::Guest;
            use $crate::wit::exports::hoth::adapter::adapter::Info;
            use $crate::wit::hoth::adapter::types;

            struct Component;

            impl Guest for Component {
                fn describe() -> Info {
                    $crate::bridge::describe::<$adapter>()
                }

                fn begin(job: types::Job) -> types::Step {
                    $crate::bridge::begin::<$adapter>(job)
                }

                fn resume(
                    job: types::Job,
                    state: types::State,
                    event: types::Event,
                ) -> types::Step {
                    $crate::bridge::resume::<$adapter>(job, state, event)
                }
            }

    $crate::wit::export_component!(Component with_types_in $crate::wit);
        };
    };
}
