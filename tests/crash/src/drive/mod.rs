//! Power cuts of a drive, which loses its write cache.

mod cache;
mod file;
mod process;

use std::path::Path;
use std::path::PathBuf;

use fastrand::Rng;

use self::cache::Cut;
use self::process::Drive;
pub use self::process::serve;
use crate::host::Built;
use crate::host::Host;
use crate::trial::Trial;
use crate::volume::Volume;

/// Returns `true` if a process can be a file system here.
pub fn is_possible() -> bool {
    Path::new(process::DEVICE).exists()
}

/// Returns the folder in which this process must [serve] a drive, or `None` if
/// its arguments do not ask for one.
pub fn requested_place() -> Option<PathBuf> {
    let mut arguments = std::env::args_os().skip(1);
    (arguments.next()? == process::ROLE).then(|| arguments.next().map(PathBuf::from))?
}

/// A drive with a file system on it.
///
/// The fields are dropped in this order: an unmount must not wait for a drive,
/// and does not once the drive is gone.
pub struct Machine {
    drive: Drive,
    volume: Volume,
    rng: Rng,
    cuts: Cut,
}

impl Machine {
    /// Sets up a drive and its file system in `place`.
    pub fn make(place: &Path, seed: u64) -> anyhow::Result<Self> {
        let drive = Drive::start(place)?;
        let volume = Volume::on(drive.image(), place)?;
        Ok(Self { drive, volume, rng: Rng::with_seed(seed), cuts: Cut::default() })
    }

    /// Returns the mount point of the file system.
    pub fn folder(&self) -> &Path {
        self.volume.folder()
    }

    /// Makes the drive ignore flushes; see [`Drive::ignore_flushes`].
    pub fn ignore_flushes(&mut self) -> anyhow::Result<()> {
        self.drive.ignore_flushes()
    }

    /// Cuts the power while the host is at work, and restores it.
    ///
    /// Between the cut and its end the host gets no answer from the drive.
    /// Every thread of the host has the signal to die before a request is
    /// answered again, so none of them sees an answer.
    pub async fn cut_power(&mut self, mut host: Host) -> anyhow::Result<()> {
        self.cuts += self.drive.cut(self.rng.u64(..))?;
        let killed = host.start_kill();
        // Runs even if the kill failed, so that no request waits for ever.
        self.cuts += self.drive.fail()?;
        killed?;
        host.killed().await?;
        self.volume.unmount()?;
        self.drive.power_on()?;
        self.volume.mount()
    }

    /// Copies the files on the drive to `folder`, as far as they can be read.
    fn keep(&self, folder: &Path) {
        let copied = std::fs::create_dir_all(folder).and_then(|()| {
            for file in std::fs::read_dir(self.folder())? {
                let file = file?;
                if file.file_type()?.is_file() {
                    std::fs::copy(file.path(), folder.join(file.file_name()))?;
                }
            }
            Ok(())
        });
        if let Err(error) = copied {
            println!("drive: its files cannot be copied: {error}");
        }
    }

    /// Unmounts the file system and returns the effects of all cuts.
    fn shut_down(self) -> anyhow::Result<Cut> {
        self.volume.unmount()?;
        Ok(self.cuts)
    }
}

/// Cuts the power `cuts` times. Nothing may be lost; if it is, the queue's
/// files are kept in `place`, since the drive forgets them.
pub async fn cuts(built: &Built, place: &Path, seed: u64, cuts: u32) -> anyhow::Result<bool> {
    let mut machine = Machine::make(place, seed)?;
    let done = cut_under_load(&mut machine, built, place, seed, cuts).await;
    if !matches!(done, Ok(true)) {
        machine.keep(&place.join("kept"));
        return done;
    }
    let Cut { held, held_flushes, cached, lost, flushes } = machine.shut_down()?;
    println!(
        "drive: {flushes} flushes in {cuts} runs; the cuts found {cached} sectors in the write \
         cache, {lost} of which lost what was written last, and {held} requests on their way, \
         {held_flushes} of them flushes"
    );
    done
}

async fn cut_under_load(
    machine: &mut Machine,
    built: &Built,
    place: &Path,
    seed: u64,
    cuts: u32,
) -> anyhow::Result<bool> {
    let queue = machine.folder().join("hoth.db");
    let mut trial = Trial::begin("drive", built, place, &queue, seed, true).await?;
    trial.cycles(cuts, async |host: Host| machine.cut_power(host).await).await?;
    Ok(trial.end().await?.is_good())
}
