//! A host under load whose files and process are handled by others: people,
//! backup programs, a second host.

mod act;
mod scene;

use std::path::Path;

use anyhow::Context as _;

use crate::disk;
use crate::host::Built;
use crate::trial::Trial;

use self::act::Act;
use self::scene::Scene;
use self::scene::Seen;

/// Performs every act on a host under load, `rounds` times.
///
/// After each act, the host has either gone on, or has ended by itself and left
/// every acknowledged job where the next host finds it, perhaps after the step
/// that its last sentence names.
pub async fn harmless(built: &Built, place: &Path, seed: u64, rounds: u32) -> anyhow::Result<bool> {
    let scene = Scene::new(place)?;
    let mut trial = Trial::begin("hands", built, place, &scene.queue, seed, true).await?;
    trial.shared.ledger().allow_failed_deletions();
    for _ in 0..rounds {
        for act in Act::HARMLESS {
            perform(act, &scene, &mut trial, built).await.context(act.name())?;
        }
    }
    Ok(trial.end().await?.is_good())
}

/// Performs every act that destroys content, `rounds` times. After each act, the
/// host has ended by itself, and the next one starts with what is left.
pub async fn destructive(
    built: &Built,
    place: &Path,
    seed: u64,
    rounds: u32,
) -> anyhow::Result<bool> {
    for round in 0..rounds {
        for (number, act) in Act::DESTRUCTIVE.into_iter().enumerate() {
            let place = place.join(format!("{round}-{number}"));
            destroy(act, &place, built, seed).await.context(act.name())?;
        }
    }
    Ok(true)
}

/// Performs one act, and compares what was acknowledged with what is on disk.
async fn perform(act: Act, scene: &Scene, trial: &mut Trial, built: &Built) -> anyhow::Result<()> {
    let before = trial.shared.ledger().counts();
    let seen = run(act, scene, trial, built).await?;
    trial.compare()?;
    let after = trial.shared.ledger().counts();
    println!(
        "  {}: {seen}; {} acknowledged, {} of them after its begin, {} lost",
        act.name(),
        after.acknowledged - before.acknowledged,
        after.acknowledged - seen.acknowledged,
        after.lost - before.lost,
    );
    Ok(())
}

/// Performs an act after which messages are gone, and checks that the next host
/// starts with an intact file.
async fn destroy(act: Act, place: &Path, built: &Built, seed: u64) -> anyhow::Result<()> {
    let scene = Scene::new(place)?;
    let mut trial = Trial::begin("destroy", built, place, &scene.queue, seed, true).await?;
    let seen = run(act, &scene, &mut trial, built).await?;
    let counts = trial.shared.ledger().counts();
    println!(
        "  {}: {seen}; {} acknowledged, {} of them after its begin; their content is gone",
        act.name(),
        counts.acknowledged,
        counts.acknowledged - seen.acknowledged,
    );
    let next = trial.deployment.start().await.context("starting with what is left")?;
    disk::check(&scene.queue)?;
    next.kill().await?;
    trial.abandon();
    Ok(())
}

async fn run(act: Act, scene: &Scene, trial: &mut Trial, built: &Built) -> anyhow::Result<Seen> {
    let second = match act.other_queue(scene) {
        Some(queue) => Some(trial.second(built, &scene.other, &queue)?),
        None => None,
    };
    let shared = trial.shared.clone();
    let mut seen = Seen::default();
    let performed = trial.cycle(async |host| {
        seen = scene.perform(act, host, second.as_ref(), &shared).await?;
        Ok(())
    });
    performed.await?;
    Ok(seen)
}
