//! Processor time, memory and disk writes of processes, from `/proc`.
//!
//! The kernel counts them for the whole process, so the measured program needs
//! no change and is not affected.

use std::ops::AddAssign;
use std::time::Duration;

use anyhow::Context as _;
use hoth_testkit::memory;

/// The unit of processor time in `/proc/<id>/stat`: Linux shows hundredths of a
/// second on every architecture, whatever its timer does.
const TICK: Duration = Duration::from_millis(10);

/// The places of `utime`, `stime`, `cutime` and `cstime` in `/proc/<id>/stat`,
/// counted after the name of the program, which may contain spaces. See
/// proc(5).
const TIMES: std::ops::Range<usize> = 11..15;

/// The use of one or more processes, since their start or over a period.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Time of all threads on a processor, in user and kernel mode, and of
    /// child processes that have ended.
    pub cpu: Duration,
    /// Bytes that the processes had written to a disk, counted in whole pages:
    /// logs, checkpoints and everything else.
    pub written_bytes: u64,
}

impl Usage {
    /// Returns the use of `processes` since they started.
    pub fn of(processes: &[u32]) -> anyhow::Result<Self> {
        let mut all = Self::default();
        for id in processes {
            all += Self { cpu: cpu(*id)?, written_bytes: written_bytes(*id)? };
        }
        Ok(all)
    }

    /// Returns the use since an `earlier` reading.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            written_bytes: self.written_bytes.saturating_sub(earlier.written_bytes),
        }
    }

    /// Returns the microseconds of processor time for each of `count` things.
    pub fn cpu_micros_each(self, count: u64) -> f64 {
        self.cpu.as_secs_f64() * 1_000_000.0 / as_f64(count)
    }

    /// Returns the KB written for each of `count` things.
    pub fn written_kb_each(self, count: u64) -> f64 {
        as_f64(self.written_bytes) / 1_000.0 / as_f64(count)
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.cpu += other.cpu;
        self.written_bytes += other.written_bytes;
    }
}

/// Returns the highest resident memory of each of `processes` so far, summed
/// up, in MiB.
pub fn peak_mib(processes: &[u32]) -> anyhow::Result<f64> {
    let mut bytes = 0;
    for id in processes {
        bytes += memory::peak(*id)?;
    }
    Ok(as_mib(bytes))
}

/// Returns bytes in MiB.
pub fn as_mib(bytes: u64) -> f64 {
    as_f64(bytes) / 1_048_576.0
}

fn cpu(id: u32) -> anyhow::Result<Duration> {
    let stat = read(id, "stat")?;
    let (_, after_name) = stat.rsplit_once(')').context("no program name in a stat file")?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let mut ticks = 0;
    for place in TIMES {
        let text = fields.get(place).context("no processor time in a stat file")?;
        ticks += text.parse::<u32>().context("reading a processor time")?;
    }
    Ok(TICK * ticks)
}

fn written_bytes(id: u32) -> anyhow::Result<u64> {
    let text = read(id, "io")?;
    field(&text, "write_bytes:")?.parse().context("reading a number of bytes")
}

fn read(id: u32, file: &str) -> anyhow::Result<String> {
    let path = format!("/proc/{id}/{file}");
    std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))
}

fn field<'a>(text: &'a str, name: &str) -> anyhow::Result<&'a str> {
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value.map(str::trim).with_context(|| format!("no {name} in a file of /proc"))
}

#[expect(clippy::cast_precision_loss, reason = "a run has fewer than 2^53 of anything")]
fn as_f64(count: u64) -> f64 {
    count as f64
}
