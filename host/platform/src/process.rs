//! The resources that this process uses, as Linux reports them in `/proc`.

use std::fs;
use std::time::Duration;

use rustix::param::clock_ticks_per_second;
use rustix::param::page_size;
use rustix::process::Resource;
use rustix::process::getrlimit;

use hoth_core::domain::Timestamp;

/// The position of the first field behind the name of the program in
/// `/proc/self/stat`, which is field 3 (proc_pid_stat(5)).
const FIRST_FIELD: usize = 3;

/// The resources in use at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProcessUse {
    /// The time on a processor, of the user and the system.
    pub cpu: Duration,
    pub resident_bytes: u64,
    pub virtual_bytes: u64,
    pub threads: u64,
    pub started_at: Timestamp,
    pub open_descriptors: u64,
    /// `None` if there is no limit.
    pub descriptors_max: Option<u64>,
}

impl ProcessUse {
    /// Reads the resources of this process. Returns `None` where there is no
    /// `/proc` in Linux's form.
    pub fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let machine = fs::read_to_string("/proc/stat").ok()?;
        // The folder itself is open while it is read.
        let open_descriptors = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
        let booted_at: u64 =
            machine.lines().find_map(|line| line.strip_prefix("btime "))?.parse().ok()?;
        // The name is in parentheses and may have any characters.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - FIRST_FIELD)?.parse::<u64>().ok();
        let ticks = |ticks: u64| ticks_to_duration(ticks, clock_ticks_per_second());
        Some(Self {
            cpu: ticks(field(14)?) + ticks(field(15)?),
            threads: field(20)?,
            started_at: Timestamp::from_unix(Duration::from_secs(booted_at) + ticks(field(22)?)),
            virtual_bytes: field(23)?,
            resident_bytes: field(24)?.saturating_mul(page_size() as u64),
            open_descriptors: open_descriptors as u64,
            descriptors_max: getrlimit(Resource::Nofile).current,
        })
    }
}

fn ticks_to_duration(ticks: u64, per_second: u64) -> Duration {
    let per_second = per_second.max(1);
    let millis = (ticks % per_second) * 1_000 / per_second;
    Duration::from_secs(ticks / per_second) + Duration::from_millis(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_use_of_a_process_is_plausible() {
        let before = ProcessUse::read().expect("the tests run on Linux");
        let file = fs::File::open("/proc/self/stat").expect("a file can be opened");
        let after = ProcessUse::read().expect("the tests run on Linux");
        drop(file);
        assert!(before.cpu <= after.cpu);
        assert!(before.threads >= 1);
        assert!(before.resident_bytes > 100_000 && before.resident_bytes < before.virtual_bytes);
        assert!(after.open_descriptors > 3);
        let now = crate::clock::Clock::system().wall();
        assert_eq!(before.started_at, after.started_at);
        // The boot time in `/proc/stat` is in whole seconds.
        assert!(before.started_at <= now + Duration::from_secs(1), "{before:?} at {now:?}");
        assert!(now.since(before.started_at) < Duration::from_secs(3_600), "{before:?}");
    }

    #[test]
    fn ticks_are_fractions_of_a_second() {
        assert_eq!(ticks_to_duration(1_234, 100), Duration::from_millis(12_340));
        assert_eq!(ticks_to_duration(0, 0), Duration::ZERO);
    }
}
