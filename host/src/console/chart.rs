//! Charts of the last 24 hours, drawn on the host as SVG.

use maud::Markup;
use maud::html;

use super::text;
use crate::activity::BAR_MINUTES;
use crate::activity::BARS;
use hoth_core::domain::Timestamp;
use hoth_trail::Minute;

/// The size of the drawing, in units of its own.
const BAR_WIDTH: usize = 10;
const HEIGHT: u64 = 100;

/// The span of a chart.
pub const SPAN: std::time::Duration = std::time::Duration::from_hours(24);

/// The counts behind one bar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Bar {
    ok: u64,
    failed: u64,
}

/// Adds up the minutes of the last 24 hours, the latest bar last.
fn bars(minutes: &[Minute], csp: Option<&str>, now: Timestamp) -> [Bar; BARS] {
    let mut bars = [Bar::default(); BARS];
    let last = now.as_millis() / 60_000 / BAR_MINUTES;
    for minute in minutes.iter().filter(|minute| csp.is_none_or(|csp| minute.csp == csp)) {
        let slot = minute.at.as_millis() / 60_000 / BAR_MINUTES;
        let back = usize::try_from(last.saturating_sub(slot)).unwrap_or(BARS);
        if let Some(at) = (BARS - 1).checked_sub(back) {
            bars[at].ok += minute.ended_ok;
            bars[at].failed += minute.ended_failed;
        }
    }
    bars
}

/// Draws the jobs that ended in the last 24 hours: of one CSP, or of all. `marks`
/// are the times at which versions changed.
pub fn ended(minutes: &[Minute], csp: Option<&str>, now: Timestamp, marks: &[Timestamp]) -> Markup {
    let bars = bars(minutes, csp, now);
    let most = bars.iter().map(|bar| bar.ok + bar.failed).max().unwrap_or_default().max(1);
    let scaled = |count: u64| count * HEIGHT / most + u64::from(count > 0 && count * HEIGHT < most);
    let (ok, failed) =
        bars.iter().fold((0, 0), |(ok, failed), bar| (ok + bar.ok, failed + bar.failed));
    let summary = format!(
        "Jobs that ended in the last 24 hours: {ok} succeeded, {failed} failed; at most {most} in {BAR_MINUTES} minutes"
    );
    let from = now.as_millis().saturating_sub(SPAN.as_secs() * 1_000);
    html! {
        svg class="chart" role="img" aria-label=(summary) viewBox={ "0 0 " (BARS * BAR_WIDTH) " " (HEIGHT) }
            preserveAspectRatio="none" xmlns="http://www.w3.org/2000/svg" {
            @for (n, bar) in bars.iter().enumerate() {
                @let (ok, failed) = (scaled(bar.ok), scaled(bar.failed));
                @if ok > 0 {
                    rect class="ok" x=(n * BAR_WIDTH) y=(HEIGHT.saturating_sub(ok + failed)) width=(BAR_WIDTH - 1) height=(ok) {}
                }
                @if failed > 0 {
                    rect class="failed" x=(n * BAR_WIDTH) y=(HEIGHT.saturating_sub(failed)) width=(BAR_WIDTH - 1) height=(failed) {}
                }
            }
            @for mark in marks.iter().filter(|mark| mark.as_millis() >= from) {
                @let x = (mark.as_millis() - from) * (BARS * BAR_WIDTH) as u64 / (SPAN.as_secs() * 1_000);
                line class="mark" x1=(x) x2=(x) y1="0" y2=(HEIGHT) {}
            }
        }
        p class="soft" { (summary) "." @if !marks.is_empty() { " Lines: " (text::count(marks.len() as u64, "change", "changes")) " of versions." } }
    }
}

/// The bars of an hour.
const HOUR_BARS: usize = 4;

/// Draws the messages into a queue (bars) and out of it (dashes) in the last 24
/// hours, in quarters of an hour.
pub fn traffic(bars: &[[u64; 2]; BARS]) -> Markup {
    in_and_out(bars, "chart", "15 minutes")
}

/// Draws the same in hours, small enough for a row of a table.
pub fn spark(bars: &[[u64; 2]; BARS]) -> Markup {
    let sum = |hour: &[[u64; 2]], way: usize| hour.iter().map(|bar| bar[way]).sum();
    let hours: Vec<[u64; 2]> =
        bars.chunks(HOUR_BARS).map(|hour| [sum(hour, 0), sum(hour, 1)]).collect();
    in_and_out(&hours, "spark", "an hour")
}

fn in_and_out(bars: &[[u64; 2]], class: &str, span: &str) -> Markup {
    let most = bars.iter().flatten().copied().max().unwrap_or_default();
    let scaled = |count: u64| (count * HEIGHT).div_ceil(most.max(1)).min(HEIGHT);
    let sum = |way: usize| bars.iter().map(|bar| bar[way]).sum::<u64>();
    let (came, left) = (sum(0), sum(1));
    let summary = format!("Last 24 hours: {came} in, {left} out; at most {most} in {span}");
    html! {
        svg class=(class) role="img" aria-label=(summary) viewBox={ "0 0 " (bars.len() * BAR_WIDTH) " " (HEIGHT) }
            preserveAspectRatio="none" xmlns="http://www.w3.org/2000/svg" {
            @for (n, [came, left]) in bars.iter().enumerate() {
                @let (x, came, left) = (n * BAR_WIDTH, scaled(*came), scaled(*left));
                @if came > 0 {
                    rect class="in" x=(x) y=(HEIGHT - came) width=(BAR_WIDTH - 1) height=(came) {}
                }
                @if left > 0 {
                    line class="out" x1=(x) x2=(x + BAR_WIDTH - 1) y1=(HEIGHT - left) y2=(HEIGHT - left)
                        vector-effect="non-scaling-stroke" {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(at_minute: u64, csp: &str, ok: u64, failed: u64) -> Minute {
        Minute {
            at: Timestamp::from_millis(at_minute * 60_000),
            csp: csp.to_owned(),
            ended_ok: ok,
            ended_failed: failed,
            calls: 0,
            calls_failed: 0,
            call_ms_sum: 0,
            call_ms_max: 0,
            accepted: 0,
            collected: 0,
        }
    }

    #[test]
    fn minutes_meet_in_bars_of_a_quarter_of_an_hour() {
        let now = Timestamp::from_millis(100_000 * 60_000);
        let minutes = [
            minute(100_000, "A", 2, 1),
            minute(99_999, "A", 1, 0),
            minute(99_990, "B", 5, 0),
            minute(90_000, "A", 9, 9),
        ];
        let of_a = bars(&minutes, Some("A"), now);
        assert_eq!(of_a[BARS - 1], Bar { ok: 3, failed: 1 });
        assert_eq!(of_a[..BARS - 1], [Bar::default(); BARS - 1]);
        let all = bars(&minutes, None, now);
        assert_eq!(all[BARS - 1], Bar { ok: 8, failed: 1 });
    }

    #[test]
    fn traffic_has_bars_and_dashes() {
        let mut bars = [[0; 2]; BARS];
        let empty = traffic(&bars).into_string();
        assert!(empty.contains("0 in, 0 out") && !empty.contains("<rect"), "{empty}");
        bars[BARS - 1] = [4, 2];
        bars[BARS - 2] = [1, 0];
        let drawn = traffic(&bars).into_string();
        assert!(drawn.contains("5 in, 2 out; at most 4 in 15 minutes"), "{drawn}");
        assert!(drawn.contains("height=\"100\"") && drawn.contains("y1=\"50\""), "{drawn}");
        let small = spark(&bars).into_string();
        assert!(small.contains("at most 5 in an hour"), "{small}");
        assert_eq!(small.matches("<rect").count(), 1);
    }

    #[test]
    fn a_chart_says_its_numbers_in_words() {
        let now = Timestamp::from_millis(100_000 * 60_000);
        let drawn = ended(&[minute(100_000, "A", 2, 1)], None, now, &[now]).into_string();
        assert!(drawn.contains("2 succeeded, 1 failed"), "{drawn}");
        assert!(drawn.contains("class=\"mark\""), "{drawn}");
    }
}
