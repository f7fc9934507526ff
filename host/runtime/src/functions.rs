//! Compiled functions of earlier components.
//!
//! Versions of an adapter share most functions, and adapters share those of the
//! SDK. The compiler looks a function up by a digest of its code and of every
//! setting that its machine code depends on, and compiles it only if it is new.
//!
//! The compiler process cannot reach files. It reads the known functions before
//! the component, and writes the new ones before the machine code.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use wasmtime::CacheStore;

/// The most bytes of all functions; the oldest are dropped first. An adapter in
/// Rust has about one megabyte.
pub(super) const STORE_BYTES_MAX: usize = 8 << 20;

/// The most bytes that one component adds: a large component must not displace
/// the functions of all others.
const ADDED_BYTES_MAX: usize = 4 << 20;

/// The digest by which the compiler looks a function up.
type Key = [u8; 32];

/// The functions that one compilation reuses and adds.
#[derive(Debug)]
pub(super) struct Functions {
    /// Entries: a key, a length of four bytes, and as many bytes.
    known: Vec<u8>,
    index: HashMap<Key, Range<usize>>,
    added: Mutex<Added>,
    reused: AtomicUsize,
}

#[derive(Debug, Default)]
struct Added {
    entries: Vec<u8>,
    /// Two functions of a component may be the same.
    keys: HashSet<Key>,
}

impl Functions {
    /// Reads the known functions, up to an entry that is cut.
    pub fn new(known: Vec<u8>) -> Self {
        let (mut index, mut at) = (HashMap::new(), 0);
        while let Some((key, value)) = entry(&known, at) {
            at = value.end;
            index.insert(key, value);
        }
        Self { known, index, added: Mutex::default(), reused: AtomicUsize::new(0) }
    }

    /// Returns the number of functions that were not compiled.
    pub fn reused(&self) -> usize {
        self.reused.load(Ordering::Relaxed)
    }

    /// Takes the entries of the new functions.
    pub fn take_added(&self) -> Vec<u8> {
        let mut added = self.added.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut added.entries)
    }
}

impl CacheStore for Functions {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        let found = self.known.get(self.index.get(key)?.clone())?;
        self.reused.fetch_add(1, Ordering::Relaxed);
        Some(Cow::Borrowed(found))
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> bool {
        let (Ok(key), Ok(length)) = (Key::try_from(key), u32::try_from(value.len())) else {
            return false;
        };
        let mut added = self.added.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = added.entries.len() + value.len() <= ADDED_BYTES_MAX;
        let is_added = fits && added.keys.insert(key);
        if is_added {
            added.entries.extend_from_slice(&key);
            added.entries.extend_from_slice(&length.to_le_bytes());
            added.entries.extend_from_slice(&value);
        }
        is_added
    }
}

/// Returns the newest of the known entries that leave space for `more` bytes.
pub(super) fn newest(known: &[u8], more: usize) -> &[u8] {
    let mut at = 0;
    while known.len() - at + more > STORE_BYTES_MAX
        && let Some((_, value)) = entry(known, at)
    {
        at = value.end;
    }
    known.get(at..).unwrap_or_default()
}

/// Returns the key of the entry at a position, and the range of its value.
fn entry(entries: &[u8], at: usize) -> Option<(Key, Range<usize>)> {
    let (key, rest) = entries.get(at..)?.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    rest.get(..length)?;
    let start = entries.len() - rest.len();
    Some((*key, start..start + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(keys: Range<u8>, bytes: usize) -> Functions {
        let functions = Functions::new(Vec::new());
        for key in keys {
            assert!(functions.insert(&[key; 32], vec![key; bytes]));
        }
        functions
    }

    fn known_keys(entries: &[u8]) -> Vec<u8> {
        let functions = Functions::new(entries.to_vec());
        let mut keys: Vec<_> = functions.index.keys().map(|key| key[0]).collect();
        keys.sort_unstable();
        keys
    }

    #[test]
    fn a_function_is_found_by_its_key_in_the_next_compilation() {
        let first = filled(1..3, 5);
        assert_eq!(first.get(&[1; 32]), None, "a compilation does not reuse its own functions");
        let next = Functions::new(first.take_added());
        assert_eq!(next.get(&[2; 32]).as_deref(), Some(&[2; 5][..]));
        assert_eq!((next.get(&[3; 32]), next.reused()), (None, 1));
        assert!(next.take_added().is_empty());
    }

    #[test]
    fn a_function_is_added_once_and_within_the_bound() {
        let functions = filled(1..3, ADDED_BYTES_MAX / 2 - 100);
        assert!(!functions.insert(&[1; 32], vec![1]));
        assert!(functions.insert(&[3; 32], vec![3]));
        assert!(!functions.insert(&[4; 32], vec![4; 200]));
    }

    #[test]
    fn the_oldest_functions_are_dropped_first() {
        let known = filled(0..8, 1_000).take_added();
        assert_eq!(known_keys(newest(&known, 0)), [0, 1, 2, 3, 4, 5, 6, 7]);
        let more = STORE_BYTES_MAX - 3 * 1_036;
        assert_eq!(known_keys(newest(&known, more)), [5, 6, 7]);
        assert_eq!(known_keys(newest(&known, more + 1)), [6, 7]);
        assert!(known_keys(newest(&known, STORE_BYTES_MAX)).is_empty());
    }

    #[test]
    fn an_entry_that_is_cut_is_not_used() {
        let known = filled(0..2, 10).take_added();
        assert_eq!(known_keys(&known[..known.len() - 1]), [0]);
        assert!(known_keys(&known[..20]).is_empty());
    }
}
