//! The time that the disk takes to sync one page, which bounds each commit.

use std::fs::File;
use std::io::Seek as _;
use std::io::SeekFrom;
use std::io::Write as _;
use std::time::Instant;

use anyhow::Context as _;

use crate::figure::quantile;

/// The size of a page of SQLite.
const PAGE: [u8; 4096] = [7; 4096];

/// Pages of the file. They exist before the measured writes, as those of a log
/// that is used again do.
const PAGES: u64 = 64;

/// Measured syncs.
const SYNCS: u64 = 100;

/// Returns the median time in milliseconds to write a page and sync it, in the
/// folder of temporary files, where the measured queues are too.
pub fn sync_ms() -> anyhow::Result<f64> {
    let mut file = tempfile::tempfile().context("making a temporary file")?;
    for _ in 0..PAGES {
        file.write_all(&PAGE).context("writing a page")?;
    }
    file.sync_all().context("syncing a file")?;
    let mut samples = Vec::new();
    for number in 0..SYNCS {
        let started_at = Instant::now();
        sync_page(&mut file, number % PAGES)?;
        samples.push(started_at.elapsed().as_secs_f64() * 1_000.0);
    }
    Ok(quantile(&mut samples, 0.5))
}

fn sync_page(file: &mut File, number: u64) -> anyhow::Result<()> {
    file.seek(SeekFrom::Start(number * PAGE.len() as u64)).context("seeking")?;
    file.write_all(&PAGE).context("writing a page")?;
    file.sync_data().context("syncing a page")
}
