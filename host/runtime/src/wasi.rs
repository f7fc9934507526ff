//! A stub WASI: no I/O, a fixed clock, seeded randomness.

use std::convert::Infallible;
use std::time::Duration;

use rand_core::TryRng;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::HostMonotonicClock;
use wasmtime_wasi::HostWallClock;
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi::WasiCtxView;

use super::guest_log::GuestLog;
use super::guest_log::GuestStream;
use super::wit::log::Level;
use hoth_core::domain::Timestamp;

/// The most random bytes of one request.
const RANDOM_BYTES_MAX: u64 = 64 << 10;

/// The most WASI objects that a guest may hold at once, such as streams and
/// timers.
const RESOURCES_MAX: usize = 1_024;

/// The WASI of one call.
pub(super) struct Wasi {
    context: WasiCtx,
    resources: ResourceTable,
}

impl Wasi {
    /// Makes a WASI without files, environment, arguments and sockets. Its
    /// clock is fixed at `now`, randomness is derived from `entropy`, and
    /// output goes to `log`.
    pub fn new(now: Timestamp, entropy: (u64, u64), log: &GuestLog) -> Self {
        let clock = FixedClock(Duration::from_millis(now.as_millis()));
        let (high, low) = entropy;
        let context = WasiCtx::builder()
            // Sockets are linked, because common libraries import them, and
            // refuse every use.
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .wall_clock(clock)
            .monotonic_clock(clock)
            .secure_random(Xoroshiro::new(entropy))
            // Another seed, so that the two generators give different bytes.
            .insecure_random(Xoroshiro::new((low, high)))
            .insecure_random_seed((u128::from(high) << 64) | u128::from(low))
            .max_random_size(RANDOM_BYTES_MAX)
            .stdout(GuestStream::new(log.clone(), Level::Info))
            .stderr(GuestStream::new(log.clone(), Level::Warn))
            .build();
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(RESOURCES_MAX);
        Self { context, resources }
    }

    pub fn view(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.context, table: &mut self.resources }
    }
}

/// A clock that always shows the same time.
#[derive(Debug, Clone, Copy)]
struct FixedClock(Duration);

impl HostWallClock for FixedClock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        self.0
    }
}

impl HostMonotonicClock for FixedClock {
    fn resolution(&self) -> u64 {
        1_000_000
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// xoroshiro128++ (Blackman and Vigna, 2019). Written out here because a
/// replay must give the same bytes in every release; `rand` does not promise
/// that of its generators.
#[derive(Debug)]
struct Xoroshiro(u64, u64);

impl Xoroshiro {
    fn new(seed: (u64, u64)) -> Self {
        // All zeroes would stay all zeroes.
        if seed == (0, 0) { Self(1, 0) } else { Self(seed.0, seed.1) }
    }

    fn next(&mut self) -> u64 {
        let Self(s0, s1) = *self;
        let result = s0.wrapping_add(s1).rotate_left(17).wrapping_add(s0);
        let mixed = s1 ^ s0;
        self.0 = s0.rotate_left(49) ^ mixed ^ (mixed << 21);
        self.1 = mixed.rotate_left(28);
        result
    }
}

impl TryRng for Xoroshiro {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.next() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.next())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_the_published_one() {
        // The reference implementation's first numbers from the state (1, 2).
        let mut random = Xoroshiro::new((1, 2));
        assert_eq!([random.next(), random.next()], [393_217, 669_327_710_093_319]);
        assert_eq!(random.next(), 1_732_421_326_133_921_491);
    }

    #[test]
    fn the_same_entropy_gives_the_same_bytes() {
        let bytes = |seed| {
            let mut bytes = [0; 33];
            let Ok(()) = Xoroshiro::new(seed).try_fill_bytes(&mut bytes);
            bytes
        };
        assert_eq!(bytes((7, 9)), bytes((7, 9)));
        assert_ne!(bytes((7, 9)), bytes((9, 7)));
        assert_ne!(bytes((0, 0)), [0; 33]);
    }
}
