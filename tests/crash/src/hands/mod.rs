//! A host under load whose files and process are handled by others: people,
//! backup programs, a second host.

mod act;
mod scene;

use std::path::Path;

use anyhow::Context as _;

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
pub async fn all(built: &Built, place: &Path, seed: u64, rounds: u32) -> anyhow::Result<bool> {
    let scene = Scene::new(place)?;
    let mut trial = Trial::begin("hands", built, place, &scene.queue, seed, true).await?;
    for _ in 0..rounds {
        for act in Act::ALL {
            let second = match act.other_queue(&scene) {
                Some(queue) => Some(trial.second(built, &scene.other, &queue)?),
                None => None,
            };
            let before = trial.shared.ledger().counts();
            let shared = trial.shared.clone();
            let mut seen = Seen::default();
            trial
                .cycle(async |host| {
                    seen = scene.perform(act, host, second.as_ref(), &shared).await?;
                    Ok(())
                })
                .await
                .with_context(|| format!("{}", act.name()))?;
            trial.compare()?;
            let after = trial.shared.ledger().counts();
            println!(
                "  {}: {seen}; {} acknowledged, {} of them after its begin, {} lost",
                act.name(),
                after.acknowledged - before.acknowledged,
                after.acknowledged - seen.acknowledged,
                after.lost - before.lost,
            );
        }
    }
    Ok(trial.end().await?.is_good())
}
