//! What a thread has taken from the heap, for tests that hold a bound to it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static TAKEN: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(octets: isize) {
    // A thread that is ending has no counters any more, and nobody who would ask for them.
    let _ = TAKEN.try_with(|taken| {
        taken.set(taken.get() + octets);
        PEAK.try_with(|peak| peak.set(peak.get().max(taken.get())))
    });
}

fn size(octets: usize) -> isize {
    isize::try_from(octets).unwrap_or(isize::MAX)
}

// SAFETY: each call goes on to the system's allocator as it came, and counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(size(layout.size()));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-size(layout.size()));
        // SAFETY: as the caller promises; it came from there.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, octets: usize) -> *mut u8 {
        // The old and the new may be there together.
        count(size(octets));
        count(-size(layout.size()));
        // SAFETY: as the caller promises; it came from there.
        unsafe { System.realloc(at, layout, octets) }
    }
}

/// Begins to measure. Gives what the thread has taken now.
pub fn begin() -> isize {
    PEAK.set(TAKEN.get());
    TAKEN.get()
}

/// The most octets above `begin` that the thread had taken since then, given back or not.
pub fn most(begin: isize) -> isize {
    PEAK.get() - begin
}

/// What it has taken now above `begin`.
pub fn now(begin: isize) -> isize {
    TAKEN.get() - begin
}
