//! The allocator of an adapter.
//!
//! An instance lives for one call, and most calls allocate less than the
//! initial heap has. There, an allocation is an addition, and memory is not
//! reused: the end of the call frees all of it. Calls that need more get it
//! from an allocator that reuses memory.
//!
//! The initial heap costs nothing. Each growth of memory costs two system
//! calls, and every processor its translation cache.

#![expect(unsafe_code, reason = "an allocator hands out raw memory")]

use core::alloc::GlobalAlloc;
use core::alloc::Layout;
use core::arch::wasm32::memory_grow;
use core::cell::Cell;
use core::cell::UnsafeCell;
use core::ptr;

use talc::base::Talc;
use talc::base::binning::Binning;
use talc::cell::TalcSyncCell;
use talc::source::Source;
use talc::wasm::WasmBinning;

/// The size of the initial heap: space for the tree of a JSON text of 50 KB and
/// the values derived from it.
const INITIAL_BYTES: usize = 512 << 10;

/// The size of a page of WebAssembly memory.
const PAGE: usize = 64 << 10;

/// The fewest pages of one growth.
const GROWTH_PAGES_MIN: usize = 4;

/// An upper bound on the allocator's own use of each region.
const OVERHEAD: usize = 64;

#[global_allocator]
static HEAP: Heap = Heap {
    initial: UnsafeCell::new([0; INITIAL_BYTES]),
    used: Cell::new(0),
    grown: TalcSyncCell::new_wasm(Pages),
};

/// The initial heap, of which the first `used` bytes are handed out, and the
/// allocator for everything beyond.
struct Heap {
    initial: UnsafeCell<[u8; INITIAL_BYTES]>,
    used: Cell<usize>,
    grown: TalcSyncCell<Pages, WasmBinning>,
}

// SAFETY: this target has one thread.
unsafe impl Sync for Heap {}

impl Heap {
    /// Returns the offset of a block in the initial heap, or `None` for a block
    /// outside of it.
    fn offset(&self, block: *mut u8) -> Option<usize> {
        let offset = (block as usize).wrapping_sub(self.initial.get() as usize);
        (offset < INITIAL_BYTES).then_some(offset)
    }

    /// Marks the initial heap as used up to `end`. Returns false if it ends
    /// before.
    fn use_up_to(&self, end: usize) -> bool {
        let fits = end <= INITIAL_BYTES;
        if fits {
            self.used.set(end);
        }
        fits
    }
}

// SAFETY: blocks of the initial heap are within it and do not overlap, because
// `used` is at the end of the last one. A block outside of it is `grown`'s.
unsafe impl GlobalAlloc for Heap {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let base: *mut u8 = self.initial.get().cast();
        let unaligned = base as usize + self.used.get();
        let start = unaligned.next_multiple_of(layout.align()) - base as usize;
        if self.use_up_to(start.saturating_add(layout.size())) {
            return base.wrapping_add(start);
        }
        // SAFETY: the caller's promises are those of `grown`.
        unsafe { self.grown.alloc(layout) }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match self.offset(block) {
            // Only the last block can be used again.
            Some(start) if start + layout.size() == self.used.get() => self.used.set(start),
            Some(_) => {}
            // SAFETY: `grown` has handed it out.
            None => unsafe { self.grown.dealloc(block, layout) },
        }
    }

    #[inline(never)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(start) = self.offset(block) else {
            // SAFETY: `grown` has handed it out.
            return unsafe { self.grown.realloc(block, layout, size) };
        };
        let is_last = start + layout.size() == self.used.get();
        if is_last && self.use_up_to(start.saturating_add(size)) || size <= layout.size() {
            return block;
        }
        // SAFETY: the caller promises that `size` is valid with the alignment.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !moved.is_null() {
                ptr::copy_nonoverlapping(block, moved, layout.size());
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

/// The source of memory beyond the initial heap: new pages.
#[derive(Debug)]
struct Pages;

// SAFETY: the source allocates nothing itself.
unsafe impl Source for Pages {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        let pages = (layout.size() + layout.align() + OVERHEAD).div_ceil(PAGE);
        let pages = pages.max(GROWTH_PAGES_MIN);
        let before = match memory_grow::<0>(pages) {
            usize::MAX => return Err(()),
            before => before,
        };
        // SAFETY: the new pages were just created, so no other code has access
        // to them.
        unsafe { talc.claim((before * PAGE) as *mut u8, pages * PAGE) }.map(drop).ok_or(())
    }
}
