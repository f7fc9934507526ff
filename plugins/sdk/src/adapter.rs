//! The trait that every adapter implements.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Event;
use crate::Failure;
use crate::Job;
use crate::Json;
use crate::Object;
use crate::Step;

/// The next step of a job, or its failure.
pub type Next<A> = Result<Step<<A as Adapter>::State>, Failure>;

/// An adapter, which [`export!`](crate::export) turns into a component.
///
/// Every call gets a fresh instance, so statics do not survive. The same
/// arguments must give the same step.
pub trait Adapter: Sized {
    /// The name of the adapter, for people.
    const NAME: &'static str;
    /// Semantic version, for people: `env!("CARGO_PKG_VERSION")`.
    const VERSION: &'static str;
    /// The supported operations, from [`operation`](crate::operation). The host
    /// requests no others.
    const OPERATIONS: &'static [&'static str];
    /// The endpoints, credentials and settings that the adapter needs: JSON
    /// text as `wit/v0.2/manifest.schema.json` specifies it, such as
    /// `include_str!("../manifest.json")`.
    const MANIFEST: &'static str = "{}";
    /// The version of [`Self::State`]. Raise it if older versions of the
    /// adapter cannot read the states of this one, or the reverse.
    const STATE_VERSION: u32 = 1;
    /// The oldest version that [`Self::read_state`] can read. Jobs with older
    /// states stay with the version of the adapter that wrote them.
    const OLDEST_STATE_VERSION: u32 = Self::STATE_VERSION;

    /// The adapter's memory between two steps: at most 256 KiB as JSON. It need
    /// not repeat the contents of the job.
    type State: Serialize + DeserializeOwned;

    /// Starts a job. Called again after a crash if the job had not reached a
    /// [`Wait`](crate::Wait).
    ///
    /// # Errors
    ///
    /// [`Failure`] ends the job.
    fn begin(job: &Job) -> Next<Self>;

    /// Continues a job with the event that has happened since the last step.
    ///
    /// # Errors
    ///
    /// [`Failure`], after which the host may poll again; see
    /// [`Class`](crate::Class).
    fn resume(job: &Job, state: Self::State, event: Event) -> Next<Self>;

    /// Returns the request to the CSP, in camelCase: the `request` of every
    /// outcome and failure that has none of its own. `state` is the state from
    /// which the job was resumed, `None` in `begin`. For costs, the host
    /// inserts the cost request instead.
    fn asked(job: &Job, state: Option<&Self::State>) -> Object {
        let _ = (job, state);
        Object::new()
    }

    /// Reads a state that this or an older version of the adapter wrote.
    /// Returns `None` if it cannot be read.
    fn read_state(version: u32, bytes: &[u8]) -> Option<Self::State> {
        let _ = version;
        Json::parse_bytes(bytes).ok()?.read().ok()
    }
}

/// Exports an [`Adapter`] as a component. Use it once, in a crate of the type
/// `["cdylib", "rlib"]`.
///
/// On targets other than WebAssembly, it only checks the type.
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
