//! The allocator of an adapter.
//!
//! An instance lives for one call. Its initial memory costs nothing; each
//! growth costs two system calls, and every processor its translation cache.
//! The initial memory is therefore large enough for most calls.

#![expect(unsafe_code, reason = "an allocator hands out raw memory")]

use core::alloc::Layout;
use core::arch::wasm32::memory_grow;

use talc::base::Talc;
use talc::base::binning::Binning;
use talc::cell::TalcSyncCell;
use talc::source::Source;
use talc::wasm::WasmBinning;

/// The initial heap of an instance: space for the tree of a JSON text of
/// 50 KB and the values derived from it.
const BORN_WITH: usize = 512 << 10;

/// The size of a page of WebAssembly memory.
const PAGE: usize = 64 << 10;

/// An upper bound on the allocator's own use of each region.
const OVERHEAD: usize = 64;

#[global_allocator]
static MEMORY: TalcSyncCell<BornThenGrown, WasmBinning> =
    TalcSyncCell::new_wasm(BornThenGrown { born: false });

/// The source of memory: first the initial heap, then new pages.
#[derive(Debug)]
struct BornThenGrown {
    /// True if the initial heap has been handed out.
    born: bool,
}

// SAFETY: the source allocates nothing itself.
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
        // SAFETY: no other code has access to this memory: the initial heap is
        // named only here and handed out once, and the new pages were just
        // created.
        unsafe { talc.claim(base, size) }.map(drop).ok_or(())
    }
}
