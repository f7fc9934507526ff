//! All figures of a run, printed as they are measured and as a table at the
//! end.

use std::path::Path;

use hoth_platform::clock::Clock;

use crate::figure::Figure;
use crate::sync_time::sync_ms;

/// The figures so far, and the machine that they were measured on.
pub struct Report {
    machine: String,
    figures: Vec<Figure>,
}

impl Report {
    /// Describes the machine, and prints the description.
    pub fn begin() -> anyhow::Result<Self> {
        let machine = machine()?;
        println!("{machine}");
        Ok(Self { machine, figures: Vec::new() })
    }

    /// Prints and keeps figures.
    pub fn show(&mut self, figures: impl IntoIterator<Item = Figure>) {
        for figure in figures {
            println!("{figure}");
            self.figures.push(figure);
        }
    }

    /// Prints and keeps the figures of a group. If the group could not be
    /// measured, prints the reason: the other groups still can.
    pub fn add(&mut self, group: &str, measured: anyhow::Result<Vec<Figure>>) {
        match measured {
            Ok(figures) => self.show(figures),
            Err(error) => println!("{group}: not measured: {error:#}"),
        }
    }

    /// Prints a table in Markdown, and the number of goals missed.
    pub fn end(self) {
        println!("\n{}\n", self.machine);
        println!("| measurement | measured | reference in the same run | goal |");
        println!("|---|---|---|---|");
        for figure in &self.figures {
            println!("{}", figure.table_row());
        }
        let goals = self.figures.iter().filter(|figure| figure.has_target());
        let missed = goals.clone().filter(|figure| !figure.is_met()).count();
        println!("\nGoals missed: {missed} of {}", goals.count());
    }
}

/// Describes the machine, the day, and the disk of temporary files.
fn machine() -> anyhow::Result<String> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let model =
        model.map_or("unknown processor", |model| model.trim_start_matches(['\t', ' ', ':']));
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let now = Clock::system().now().to_rfc3339();
    let day = now.get(..10).unwrap_or("unknown day");
    Ok(format!(
        "Measured on {day} on {cores} cores of {model}, Linux {}, {}, where a sync takes {:.2} ms \
         (p50); client, CSP and host share the cores, over loopback.",
        kernel.trim(),
        file_system(&std::env::temp_dir()),
        sync_ms()?,
    ))
}

/// Returns the type of the file system that holds `folder`.
fn file_system(folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    // The last of equal mounts hides the others.
    let holding = mounts.filter(|(point, _)| folder.starts_with(point));
    let deepest = holding.max_by_key(|(point, _)| point.len());
    deepest.map_or("unknown file system", |(_, kind)| kind).to_owned()
}
