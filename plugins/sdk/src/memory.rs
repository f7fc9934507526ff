//! Where an adapter's memory comes from.
//!
//! An instance lives for one call. Memory that it is born with costs nothing;
//! each time that it grows costs two system calls, and every processor its
//! translation cache. So most calls never grow.

#![expect(unsafe_code, reason = "an allocator hands out raw memory")]

use core::alloc::Layout;
use core::arch::wasm32::memory_grow;

use talc::base::Talc;
use talc::base::binning::Binning;
use talc::cell::TalcSyncCell;
use talc::source::Source;
use talc::wasm::WasmBinning;

/// What an instance is born with: room for the tree of a JSON text of 50 KB
/// and what is made of it.
const BORN_WITH: usize = 512 << 10;

/// A page of WebAssembly's memory.
const PAGE: usize = 64 << 10;

/// More than the allocator keeps for itself of each piece.
const OVERHEAD: usize = 64;

#[global_allocator]
static MEMORY: TalcSyncCell<BornThenGrown, WasmBinning> =
    TalcSyncCell::new_wasm(BornThenGrown { born: false });

/// First what the instance is born with, then new pages.
#[derive(Debug)]
struct BornThenGrown {
    /// Whether the first has been handed out.
    born: bool,
}

// SAFETY: it allocates nothing itself.
unsafe impl Source for BornThenGrown {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        static mut FIRST: [u8; BORN_WITH] = [0; BORN_WITH];

        let (base, size) = if talc.source.born {
            let pages = (layout.size() + layout.align() + OVERHEAD).div_ceil(PAGE);
            match memory_grow::<0>(pages) {
                usize::MAX => return Err(()),
                before => ((before * PAGE) as *mut u8, pages * PAGE),
            }
        } else {
            talc.source.born = true;
            ((&raw mut FIRST).cast(), BORN_WITH)
        };
        // SAFETY: nobody else knows of this memory: the one piece is named here
        // alone and given once, the other has just come into being.
        unsafe { talc.claim(base, size) }.map(drop).ok_or(())
    }
}
