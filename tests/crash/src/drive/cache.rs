//! The contents of a drive: the flushed pages, and the write cache.
//!
//! A flush makes everything durable that was written before it. When the power
//! goes, each sector of the write cache has the state in which the drive
//! happened to write it last: any state since the flush, in any order among the
//! sectors.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use anyhow::Context as _;
use fastrand::Rng;

/// The size of a page in bytes, the unit in which contents are kept. A page
/// that was never written costs nothing.
const PAGE: usize = 4_096;

/// The largest number of states kept of one page since the last flush. Older
/// ones are dropped, as if the drive had never written them.
const STATES_MAX: usize = 16;

/// The sizes of a sector, which a drive writes atomically: 512 bytes in old
/// drives, 4 096 in new ones.
const SECTORS: [usize; 2] = [512, PAGE];

/// The shares of the write cache that reach the disk at a power cut, in
/// percent.
const SHARES: [u8; 5] = [0, 10, 50, 90, 100];

type Page = Box<[u8; PAGE]>;

/// The disk and the write cache of one drive.
#[derive(Default)]
pub struct Cache {
    durable: BTreeMap<u64, Page>,
    /// Each page's states since the last flush, the newest last.
    written: BTreeMap<u64, Vec<Page>>,
}

/// The effects of power cuts on a write cache. Can be summed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cut {
    /// Requests without an answer.
    pub held: u64,
    /// Flushes among them.
    pub held_flushes: u64,
    /// Sectors in the write cache.
    pub cached: u64,
    /// Sectors that have lost their newest state, or all states.
    pub lost: u64,
    /// Flushes that were answered since the last cut.
    pub flushes: u64,
}

impl Cache {
    /// Fills `into` with the bytes that were last written at `offset`.
    pub fn read(&self, offset: u64, into: &mut [u8]) {
        for (page, within, bytes) in pieces(offset, into.len()) {
            let newest = self.written.get(&page).and_then(|states| states.last());
            let into = &mut into[bytes];
            match newest.or_else(|| self.durable.get(&page)) {
                Some(page) => into.copy_from_slice(&page[within]),
                None => into.fill(0),
            }
        }
    }

    /// Writes `data` to the write cache.
    pub fn write(&mut self, offset: u64, data: &[u8]) {
        for (page, within, bytes) in pieces(offset, data.len()) {
            let states = self.written.entry(page).or_default();
            let before = states.last().or_else(|| self.durable.get(&page));
            let mut state = before.cloned().unwrap_or_else(|| Box::new([0; PAGE]));
            state[within].copy_from_slice(&data[bytes]);
            if states.len() == STATES_MAX {
                states.remove(0);
            }
            states.push(state);
        }
    }

    /// Makes durable everything that was written so far.
    pub fn flush(&mut self) {
        for (page, mut states) in std::mem::take(&mut self.written) {
            self.durable.extend(states.pop().map(|newest| (page, newest)));
        }
    }

    /// Cuts the power: decides which sectors of the write cache have reached
    /// the disk.
    pub fn lose_power(&mut self, seed: u64) -> Cut {
        let mut rng = Rng::with_seed(seed);
        let sector = SECTORS[rng.usize(..SECTORS.len())];
        let share = SHARES[rng.usize(..SHARES.len())];
        let mut cut = Cut::default();
        for (page, states) in std::mem::take(&mut self.written) {
            for start in (0..PAGE).step_by(sector) {
                let within = start..start + sector;
                let survives = rng.u8(0..100) < share;
                // A drive may have written an early state, and not the newest.
                let state = if share == 100 { states.len() - 1 } else { rng.usize(..states.len()) };
                cut.cached += 1;
                cut.lost += u64::from(!survives || state + 1 < states.len());
                if survives {
                    let disk = self.durable.entry(page).or_insert_with(|| Box::new([0; PAGE]));
                    disk[within.clone()].copy_from_slice(&states[state][within]);
                }
            }
        }
        cut
    }

    /// Cuts the power, and drops the whole write cache.
    pub fn lose_everything(&mut self) -> Cut {
        let pages = std::mem::take(&mut self.written).len();
        let cached = u64::try_from(pages).unwrap_or(u64::MAX);
        Cut { cached, lost: cached, ..Cut::default() }
    }
}

/// Returns the pages that a range of bytes covers: for each its number, the
/// range within the page, and the range within the bytes.
fn pieces(
    offset: u64,
    length: usize,
) -> impl Iterator<Item = (u64, std::ops::Range<usize>, std::ops::Range<usize>)> {
    let page = PAGE as u64;
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let within = usize::try_from(at % page).expect("it is less than a page");
        let fits = (PAGE - within).min(length - done);
        let piece = (at / page, within..within + fits, done..done + fits);
        done += fits;
        (fits > 0).then_some(piece)
    })
}

impl std::ops::AddAssign for Cut {
    fn add_assign(&mut self, other: Self) {
        self.held += other.held;
        self.held_flushes += other.held_flushes;
        self.cached += other.cached;
        self.lost += other.lost;
        self.flushes += other.flushes;
    }
}

/// Writes the five numbers as one process of this program sends them to
/// another.
impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { held, held_flushes, cached, lost, flushes } = self;
        write!(f, "{held} {held_flushes} {cached} {lost} {flushes}")
    }
}

impl FromStr for Cut {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let mut numbers = text.split(' ').map(str::parse);
        let mut next = || anyhow::Ok(numbers.next().context("a cut has five numbers")??);
        Ok(Self {
            held: next()?,
            held_flushes: next()?,
            cached: next()?,
            lost: next()?,
            flushes: next()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(cache: &Cache, offset: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![9; length];
        cache.read(offset, &mut bytes);
        bytes
    }

    #[test]
    fn a_read_returns_the_last_write() {
        let mut cache = Cache::default();
        cache.write(4_094, &[1, 2, 3, 4]);
        cache.flush();
        cache.write(4_095, &[7, 7]);
        assert_eq!(read(&cache, 4_093, 6), [0, 1, 7, 7, 4, 0]);
    }

    #[test]
    fn flushed_data_survives_every_power_cut() {
        for seed in 0..100 {
            let mut cache = Cache::default();
            cache.write(0, &[1; 3 * PAGE]);
            cache.flush();
            cache.write(PAGE as u64, &[2; PAGE]);
            cache.lose_power(seed);
            assert_eq!(read(&cache, 0, PAGE), [1; PAGE]);
            assert!(read(&cache, PAGE as u64, PAGE).iter().all(|byte| [1, 2].contains(byte)));
            assert_eq!(read(&cache, 2 * PAGE as u64, PAGE), [1; PAGE]);
        }
    }

    #[test]
    fn any_unflushed_state_of_a_sector_may_survive() {
        let mut seen = [false; 4];
        let mut torn = false;
        for seed in 0..200 {
            let mut cache = Cache::default();
            for state in 1..=3 {
                cache.write(0, &[state; PAGE]);
            }
            let cut = cache.lose_power(seed);
            let left = read(&cache, 0, PAGE);
            left.iter().for_each(|byte| seen[usize::from(*byte)] = true);
            torn |= left.iter().any(|byte| *byte != left[0]);
            let newest = left.chunks(512).filter(|sector| sector[0] == 3).count() as u64;
            let sectors = if cut.cached == 1 { newest.div_ceil(8) } else { newest };
            assert_eq!(cut.cached - cut.lost, sectors, "with the seed {seed}");
        }
        assert_eq!((seen, torn), ([true; 4], true));
    }

    #[test]
    fn a_drive_may_lose_its_whole_cache() {
        let mut cache = Cache::default();
        cache.write(0, &[1; PAGE]);
        cache.flush();
        cache.write(0, &[2; PAGE]);
        assert_eq!(cache.lose_everything().lost, 1);
        assert_eq!(read(&cache, 0, PAGE), [1; PAGE]);
    }

    #[test]
    fn a_printed_cut_is_parsed_back() {
        let cut = Cut { held: 1, held_flushes: 2, cached: 3, lost: 4, flushes: 5 };
        assert_eq!(cut.to_string().parse::<Cut>().expect("it is well formed"), cut);
        assert!("1 2 3".parse::<Cut>().is_err());
    }
}
