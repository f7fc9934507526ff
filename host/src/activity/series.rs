//! Counts and times in slots of a quarter of an hour, for 24 hours.

use std::collections::VecDeque;
use std::time::Duration;

use super::histogram::Histogram;
use hoth_core::domain::Timestamp;

/// The slots of a day, which are the bars of a chart.
pub const BARS: usize = 96;

/// The minutes of a slot.
pub const BAR_MINUTES: u64 = 15;

const SLOT_MS: u64 = BAR_MINUTES * 60_000;

/// Counts of `N` sorts, and times, over 24 hours. Slots without any take no
/// memory.
#[derive(Debug)]
pub struct Series<const N: usize>(VecDeque<Slot<N>>);

#[derive(Debug)]
struct Slot<const N: usize> {
    number: u64,
    counts: [u64; N],
    times: Histogram,
}

/// The counts of a span up to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window<const N: usize> {
    /// The length of the span: whole slots and the current one, or less if the
    /// host started later.
    pub length: Duration,
    pub counts: [u64; N],
    /// The time that half of all did not exceed, too high by a fifth at most;
    /// `None` if there are no times.
    pub p50: Option<Duration>,
    pub p99: Option<Duration>,
}

impl<const N: usize> Default for Series<N> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<const N: usize> Series<N> {
    /// Counts one of this sort, and its time.
    pub fn count(&mut self, at: Timestamp, sort: usize, time: Option<Duration>) {
        let number = at.as_millis() / SLOT_MS;
        // Events come late by a run at most, so the last slots are looked at
        // first.
        let place = self.0.iter().rposition(|slot| slot.number <= number);
        let place = match place {
            Some(place) if self.0[place].number == number => place,
            place => {
                let place = place.map_or(0, |before| before + 1);
                let (counts, times) = ([0; N], Histogram::default());
                self.0.insert(place, Slot { number, counts, times });
                place
            }
        };
        let slot = &mut self.0[place];
        slot.counts[sort] += 1;
        if let Some(time) = time {
            slot.times.record(time);
        }
        while self.0.len() > BARS {
            self.0.pop_front();
        }
    }

    /// Returns the counts of each slot of the last 24 hours, the latest last.
    pub fn bars(&self, now: Timestamp) -> [[u64; N]; BARS] {
        let mut bars = [[0; N]; BARS];
        let last = now.as_millis() / SLOT_MS;
        for slot in &self.0 {
            let back = usize::try_from(last.saturating_sub(slot.number)).unwrap_or(BARS);
            if let Some(at) = (BARS - 1).checked_sub(back) {
                bars[at] = slot.counts;
            }
        }
        bars
    }

    /// Returns the counts of a span of whole slots up to `now`, at most from
    /// `since` on.
    pub fn window(&self, now: Timestamp, since: Timestamp, span: Duration) -> Window<N> {
        let slots = u64::try_from(span.as_millis()).unwrap_or(u64::MAX) / SLOT_MS;
        // The current slot is not complete, so one more makes the span.
        let first = (now.as_millis() / SLOT_MS).saturating_sub(slots);
        let begins = Timestamp::from_millis(first * SLOT_MS).max(since);
        let (mut counts, mut times) = ([0; N], Histogram::default());
        for slot in self.0.iter().filter(|slot| slot.number >= first) {
            counts.iter_mut().zip(slot.counts).for_each(|(count, more)| *count += more);
            times.merge(&slot.times);
        }
        let (p50, p99) = (times.quantile(0.5), times.quantile(0.99));
        Window { length: now.since(begins), counts, p50, p99 }
    }
}

impl<const N: usize> Window<N> {
    /// Returns a count as a rate per minute; of less than a minute, the count.
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    pub fn per_minute(&self, sort: usize) -> f64 {
        self.counts[sort] as f64 / (self.length.as_secs_f64() / 60.0).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(slot: u64, ms: u64) -> Timestamp {
        Timestamp::from_millis((1_000 + slot) * SLOT_MS + ms)
    }

    #[test]
    fn a_window_has_the_slots_of_its_span() {
        let mut series = Series::<2>::default();
        let ms = |ms| Some(Duration::from_millis(ms));
        series.count(at(0, 0), 0, ms(1));
        series.count(at(5, 0), 1, ms(100));
        series.count(at(4, 0), 1, ms(100));
        series.count(at(9, 0), 1, None);
        let window = |span| series.window(at(9, 60_000), at(0, 0), Duration::from_hours(span));
        assert_eq!(window(1).counts, [0, 2]);
        assert_eq!(window(1).length, Duration::from_mins(61));
        assert_eq!(window(24).counts, [1, 3]);
        assert_eq!(window(24).length, Duration::from_mins(136));
        assert!(
            (series.window(at(9, 60_000), at(9, 0), Duration::from_hours(1)).per_minute(1) - 2.0)
                .abs()
                < 0.01
        );
        let bars = series.bars(at(9, 0));
        assert_eq!((bars[BARS - 1], bars[BARS - 6], bars[BARS - 10]), ([0, 1], [0, 1], [1, 0]));
    }

    #[test]
    fn a_series_keeps_one_day() {
        let mut series = Series::<1>::default();
        for slot in 0..3 * BARS as u64 {
            series.count(at(slot, 0), 0, None);
        }
        assert_eq!(series.0.len(), BARS);
        series.count(at(0, 0), 0, None);
        assert_eq!(
            (series.0.len(), series.0[0].number),
            (BARS, at(2 * BARS as u64, 0).as_millis() / SLOT_MS)
        );
        assert_eq!(series.bars(at(3 * BARS as u64 - 1, 0)), [[1]; BARS]);
    }
}
