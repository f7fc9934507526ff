//! HOTH and other systems under the same load, in turn.
//!
//! A job is the same for all: a POST that is answered when the job is on the
//! disk, one call to the same CSP, and an outcome that is stored. Each system
//! starts anew for each turn, with an empty folder on the same disk, so that no
//! idle system takes processor time and all have stored as much.

mod bullmq;
mod process;
mod restate;

use std::path::Path;

use anyhow::Context as _;
use mock_csp::Answer;
use mock_csp::Matching;
use mock_csp::MockCsp;

use crate::figure::Figure;
use crate::figure::Target;
use crate::figure::quantile;
use crate::host::Built;
use crate::host::Host;
use crate::report::Report;
use crate::stored;
use crate::stored::JOBS_PER_SECOND;
use crate::system::Ran;
use crate::system::System;

use bullmq::Bullmq;
use restate::Restate;

/// Jobs before the measured ones: connections, caches, and the compilers of the
/// JavaScript engines.
const WARM_UP: u64 = 3_200;

/// The load on each system.
pub struct Load {
    /// The length of a turn, for a system of [`JOBS_PER_SECOND`].
    pub seconds: u64,
    pub rounds: u32,
    /// A part of the names of the measured peers.
    pub only: String,
}

/// The kinds of systems, in the order of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Hoth,
    Bullmq,
    Restate,
}

/// The turns of one system; empty if it cannot be measured.
struct Turns {
    kind: Kind,
    ran: Vec<Ran>,
}

/// Runs all rounds, and adds the ratios to `report`. A peer that cannot be
/// started is named with the reason and left out. `folder` has the peers'
/// packages and scripts.
pub async fn compare(
    built: &Built,
    folder: &Path,
    load: &Load,
    report: &mut Report,
) -> anyhow::Result<()> {
    let csp = MockCsp::start(mock_csp::Options::default()).await.context("starting a CSP")?;
    csp.record(false);
    // Scripted, so that the call of each system costs the CSP the same.
    let answer = Answer::json(200, &serde_json::json!({ "id": "p" }));
    csp.script_for(Matching::path("/portfolios"), [answer]);
    let peers = [Kind::Bullmq, Kind::Restate];
    let peers = peers.into_iter().filter(|kind| kind.id().contains(&load.only));
    let kinds = [Kind::Hoth].into_iter().chain(peers);
    let mut all: Vec<Turns> = kinds.map(|kind| Turns { kind, ran: Vec::new() }).collect();
    for round in 0..load.rounds {
        // Every other round is the other way round, so that a disk that becomes
        // slower counts for none and against none.
        let mut order: Vec<usize> = (0..all.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        let mut missing = Vec::new();
        for at in order {
            let kind = all[at].kind;
            match turn(kind, built, folder, &csp, load.seconds * JOBS_PER_SECOND).await {
                Ok(ran) => {
                    println!("  {:<8} {}", kind.name(), row(&ran));
                    all[at].ran.push(ran);
                }
                Err(error) if kind == Kind::Hoth => return Err(error.context("measuring HOTH")),
                Err(error) => {
                    println!("  {}: not measured: {error:#}", kind.name());
                    missing.push(kind);
                }
            }
        }
        all.retain(|turns| !missing.contains(&turns.kind));
    }
    summarize(&all);
    let (hoth, peers) = all.split_first().context("HOTH is always measured")?;
    for peer in peers {
        report.show(ratios(hoth, peer));
    }
    Ok(())
}

/// Starts one system, and measures `jobs` jobs.
async fn turn(
    kind: Kind,
    built: &Built,
    folder: &Path,
    csp: &MockCsp,
    jobs: u64,
) -> anyhow::Result<Ran> {
    match kind {
        Kind::Hoth => {
            let host = Host::start(built, csp, "", "api,worker,watcher").await?;
            measure(stored::system(&host)?, csp, jobs).await
        }
        Kind::Bullmq => {
            let bullmq = Bullmq::start(folder, csp.base_url()).await?;
            measure(bullmq.system()?, csp, jobs).await
        }
        Kind::Restate => {
            let restate = Restate::start(folder, csp.base_url()).await?;
            measure(restate.system()?, csp, jobs).await
        }
    }
}

async fn measure(system: System, csp: &MockCsp, jobs: u64) -> anyhow::Result<Ran> {
    system.run(csp, "warm", WARM_UP).await?;
    system.run(csp, "turn", jobs).await
}

impl Kind {
    /// Returns the name for `--only`.
    fn id(self) -> &'static str {
        match self {
            Self::Hoth => "hoth",
            Self::Bullmq => "bullmq",
            Self::Restate => "restate",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Hoth => "HOTH",
            Self::Bullmq => "BullMQ",
            Self::Restate => "Restate",
        }
    }

    /// Returns the names of the ratios to HOTH's jobs per second, processor
    /// time and memory, with the least ratio of jobs.
    fn ratios(self) -> ([&'static str; 3], Target) {
        match self {
            Self::Hoth => (["HOTH: jobs/s", "HOTH: CPU", "HOTH: memory"], Target::None),
            Self::Bullmq => (
                [
                    "jobs/s, of HOTH to BullMQ on Redis",
                    "CPU of a job, of HOTH to BullMQ on Redis",
                    "memory, of HOTH to BullMQ on Redis",
                ],
                Target::AtLeast(2.0),
            ),
            Self::Restate => (
                [
                    "jobs/s, of HOTH to Restate",
                    "CPU of a job, of HOTH to Restate",
                    "memory, of HOTH to Restate",
                ],
                Target::AtLeast(5.0),
            ),
        }
    }
}

/// Returns the median over the rounds of each ratio of one pair. The two turns
/// of a round are close in time, so the ratio is steadier than either.
fn ratios(hoth: &Turns, peer: &Turns) -> Vec<Figure> {
    let (names, least) = peer.kind.ratios();
    let measures = [rate as fn(&Ran) -> f64, cpu, memory];
    let targets = [least, Target::None, Target::None];
    let mut figures = Vec::new();
    for ((name, measure), target) in names.into_iter().zip(measures).zip(targets) {
        let pairs = hoth.ran.iter().zip(&peer.ran);
        let mut ratios: Vec<f64> = pairs.map(|(own, its)| measure(own) / measure(its)).collect();
        if !ratios.is_empty() {
            let measured = quantile(&mut ratios, 0.5);
            figures.push(Figure { name, measured, unit: "x", limit: None, target });
        }
    }
    figures
}

/// Prints the medians of each system as a table in Markdown.
fn summarize(all: &[Turns]) {
    println!("\n| system | jobs/s | CPU of a job | memory |\n|---|---|---|---|");
    for turns in all.iter().filter(|turns| !turns.ran.is_empty()) {
        let median = |measure: fn(&Ran) -> f64| {
            quantile(&mut turns.ran.iter().map(measure).collect::<Vec<_>>(), 0.5)
        };
        println!(
            "| {} | {:.0} | {:.0} µs | {:.0} MiB |",
            turns.kind.name(),
            median(rate),
            median(cpu),
            median(memory)
        );
    }
    println!();
}

fn row(ran: &Ran) -> String {
    let (rate, cpu, memory) = (rate(ran), cpu(ran), memory(ran));
    format!("{rate:>7.0} jobs/s {cpu:>7.0} us of CPU a job {memory:>6.0} MiB at most")
}

fn rate(ran: &Ran) -> f64 {
    ran.jobs.per_second()
}

fn cpu(ran: &Ran) -> f64 {
    ran.usage.cpu_micros_each(ran.jobs.exchanges)
}

fn memory(ran: &Ran) -> f64 {
    ran.memory_mib
}
