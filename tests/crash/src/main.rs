//! The crash test: a host that dies must keep everything that it acknowledged.
//!
//! `cargo xtask crash-test` builds everything and runs this. A host, in a
//! process of its own, works under load while it is killed again and again. A
//! [`ledger`] of the answers to its clients is compared with its queue file
//! each time, and at the end with the outcomes that the clients have.

#![expect(clippy::print_stdout, reason = "counts are for a terminal")]
#![expect(clippy::print_stderr, reason = "errors are for a terminal")]

mod clients;
mod clock;
mod control;
mod disk;
mod drive;
mod fsync;
mod full;
mod hands;
mod host;
mod ledger;
mod operator;
mod owners;
mod power;
mod shim;
mod trial;
mod volume;

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use clap::ValueEnum;

use crate::host::Built;
use crate::host::Host;
use crate::trial::Trial;

/// Kill a host under load and count lost jobs; fails if a job is lost
#[derive(Debug, Parser)]
struct Arguments {
    /// Path of the `hoth` program
    #[arg(long)]
    program: PathBuf,
    /// Path of the bundled adapter, as a component
    #[arg(long)]
    adapter: PathBuf,
    /// Number of times that the host is killed
    #[arg(long, default_value_t = 300)]
    cycles: u32,
    /// Number of power cuts, in each of two ways
    #[arg(long, default_value_t = 100)]
    power_cuts: u32,
    /// Number of times that each act of the parts `hands` and `destroy` is
    /// performed
    #[arg(long, default_value_t = 1)]
    rounds: u32,
    /// Repeat the choices of an earlier run; the scheduling of threads and
    /// processes still differs
    #[arg(long)]
    seed: Option<u64>,
    /// Run only these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
}

/// One part of the test: a way in which a host or its disk fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// SIGKILL at random moments
    Kill,
    /// Power cuts, by a shutdown of the file system; as root only
    Power,
    /// Power cuts of a drive with a write cache; as root only, with /dev/fuse
    Drive,
    /// Power cuts under a queue that does not wait for the disk, and of a drive
    /// that ignores flushes: they must lose jobs
    Control,
    /// An fsync that fails, then a power cut; as root only
    Fsync,
    /// A full disk; as root only
    Full,
    /// An exceeded disk quota
    Quota,
    /// A wall clock that is set by an hour, forward and back
    Clock,
    /// Two hosts on one file
    Owners,
    /// Other people and programs that copy, move, remove, lock, read, back up,
    /// restore and limit
    Hands,
    /// Files that are overwritten and truncated in place
    Destroy,
}

impl Part {
    /// Returns `true` if the part mounts a file system of its own.
    fn mounts(self) -> bool {
        match self {
            Self::Power | Self::Drive | Self::Control | Self::Fsync | Self::Full => true,
            Self::Kill | Self::Quota | Self::Clock | Self::Owners | Self::Hands | Self::Destroy => {
                false
            }
        }
    }

    /// Returns the reason why the part cannot run here, if there is one.
    fn skipped(self) -> Option<&'static str> {
        if self.mounts() && !rustix::process::geteuid().is_root() {
            return Some("only root can mount a file system for it");
        }
        if self == Self::Drive && !drive::is_possible() {
            return Some("there is no /dev/fuse here");
        }
        None
    }
}

fn main() -> ExitCode {
    let done = match drive::requested_place() {
        Some(place) => drive::serve(&place).map(|()| true),
        None => run_all(),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_all() -> anyhow::Result<bool> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("starting the async runtime")?.block_on(run(&arguments))
}

/// Runs the selected parts. Returns `false` if one of them failed.
async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}");
    let folder = tempfile::tempdir().context("making a temporary folder")?;
    let built = Built {
        program: arguments.program.clone(),
        adapter: arguments.adapter.clone(),
        cache: folder.path().join("cache"),
    };
    let mut good = true;
    for part in Part::value_variants() {
        if !arguments.only.is_empty() && !arguments.only.contains(part) {
            continue;
        }
        if let Some(why) = part.skipped() {
            println!("{part:?}: SKIPPED, because {why}");
            continue;
        }
        let place = folder.path().join(format!("{part:?}").to_lowercase());
        std::fs::create_dir_all(&place).context("making a folder")?;
        let done = match part {
            Part::Kill => kill(&built, &place, seed, arguments.cycles).await,
            Part::Power => power::cuts(&built, &place, seed, arguments.power_cuts).await,
            Part::Drive => drive::cuts(&built, &place, seed, arguments.power_cuts).await,
            Part::Control => control::all(&built, &place, seed).await,
            Part::Fsync => fsync::failures(&built, &place, seed).await,
            Part::Full => full::disk(&built, &place).await,
            Part::Quota => full::quota(&built, &place).await,
            Part::Clock => clock::jumps(&built, &place, seed).await,
            Part::Owners => owners::two(&built, &place).await,
            Part::Hands => hands::harmless(&built, &place, seed, arguments.rounds).await,
            Part::Destroy => hands::destructive(&built, &place, seed, arguments.rounds).await,
        };
        match done {
            Ok(one) => good &= one,
            Err(error) => {
                good = false;
                println!("{part:?}: FAILED: {error:#}");
            }
        }
    }
    if !good {
        let kept = folder.keep();
        println!("Queue files and host logs are kept in {}", kept.display());
    }
    Ok(good)
}

/// Kills the host at random moments, sometimes while it starts.
async fn kill(built: &Built, place: &Path, seed: u64, cycles: u32) -> anyhow::Result<bool> {
    let queue = place.join("hoth.db");
    let mut trial = Trial::begin("kill", built, place, &queue, seed, false).await?;
    trial.cycles(cycles, async |host: Host| host.kill().await).await?;
    let counts = trial.end().await?;
    if counts.by_hand == 0 {
        println!("kill: no act on a job was answered, so acts were not tested");
    }
    Ok(counts.is_good() && counts.by_hand > 0)
}
