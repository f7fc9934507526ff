//! An ext4 file system on a loop device that can be shut down, filled, or laid
//! on a drive that can lose its power.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::bail;
use anyhow::ensure;
use rustix::ioctl;

/// `FS_IOC_SHUTDOWN` of the kernel, which ext4 shares with XFS.
const SHUTDOWN: ioctl::Opcode = ioctl::opcode::read::<u32>(b'X', 125);

/// `EXT4_GOING_FLAGS_NOLOGFLUSH`: as when the power goes, not even the journal
/// is written.
const NO_LOG_FLUSH: u32 = 2;

/// The longest wait for the last writer to close its files.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest run of a program that mounts or unmounts. A program that waits
/// for a drive which is gone for good is left behind.
const RUN_MAX: Duration = Duration::from_secs(60);

/// The pause between two checks for the end of such a program.
const CHECK_EVERY: Duration = Duration::from_millis(2);

/// ext4 in a file; unmounted when it is dropped.
pub struct Volume {
    image: PathBuf,
    folder: PathBuf,
}

impl Volume {
    /// Makes and mounts a volume of `mib` MiB in `place`.
    ///
    /// # Errors
    ///
    /// Returns an error if this process is not root, or there are no loop
    /// devices.
    pub fn make(place: &Path, mib: u64) -> anyhow::Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "only root can mount a file system");
        let image = place.join("volume.img");
        let file = File::create(&image).context("making the image")?;
        file.set_len(mib * 1_024 * 1_024).context("sizing the image")?;
        Self::on(image, place)
    }

    /// Makes a volume on an existing file and mounts it in `place`.
    ///
    /// # Errors
    ///
    /// Returns an error if this process is not root, or there are no loop
    /// devices.
    pub fn on(image: PathBuf, place: &Path) -> anyhow::Result<Self> {
        let folder = folder_in(place);
        std::fs::create_dir_all(&folder).context("making the mount point")?;
        // Without reserved blocks, since root fills the volume.
        run("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), "-m0".as_ref(), image.as_ref()])?;
        let volume = Self { image, folder };
        volume.mount()?;
        Ok(volume)
    }

    /// Returns the mount point.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Mounts the volume, which replays its journal.
    pub fn mount(&self) -> anyhow::Result<()> {
        run("mount", &["-o".as_ref(), "loop".as_ref(), self.image.as_ref(), self.folder.as_ref()])
    }

    /// Unmounts the volume. No process may have a file of it open.
    pub fn unmount(&self) -> anyhow::Result<()> {
        let started_at = Instant::now();
        loop {
            match run("umount", &[self.folder.as_ref()]) {
                Err(_) if started_at.elapsed() < PATIENCE => {
                    thread::sleep(Duration::from_millis(20))
                }
                done => return done,
            }
        }
    }

    /// Cuts the power: nothing reaches the disk any more, and writes that have
    /// not reached it are lost.
    #[expect(unsafe_code, reason = "the kernel's call has no safe wrapper")]
    pub fn cut_power(&self) -> anyhow::Result<()> {
        let root = File::open(&self.folder).context("opening the volume")?;
        // SAFETY: FS_IOC_SHUTDOWN reads one u32 and keeps no pointer to it.
        let cut = unsafe { ioctl::ioctl(&root, ioctl::Setter::<SHUTDOWN, u32>::new(NO_LOG_FLUSH)) };
        cut.context("shutting the file system down")
    }

    /// Restores the power by unmounting and mounting. No process may have a
    /// file of the volume open.
    pub fn restore_power(&self) -> anyhow::Result<()> {
        self.unmount()?;
        self.mount()
    }

    /// Fills the volume to the last byte.
    pub fn fill(&self) -> anyhow::Result<()> {
        let mut file = File::create(self.filler()).context("making a file that fills the disk")?;
        for block in [1 << 20, 1 << 12, 1] {
            let bytes = vec![0; block];
            loop {
                match file.write_all(&bytes) {
                    Ok(()) => {}
                    Err(full) if full.kind() == std::io::ErrorKind::StorageFull => break,
                    Err(error) => return Err(error).context("filling the disk"),
                }
            }
        }
        Ok(())
    }

    /// Frees the space that [`fill`](Self::fill) has taken.
    pub fn empty(&self) -> anyhow::Result<()> {
        std::fs::remove_file(self.filler()).context("removing the filler file")
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        detach(&self.folder);
    }
}

/// Returns the mount point of the volume of `place`.
pub fn folder_in(place: &Path) -> PathBuf {
    place.join("volume")
}

/// Unmounts the volume at `folder` as soon as no process uses it any more.
pub fn detach(folder: &Path) {
    // A mount that cannot be removed now ends with the next start of the
    // machine.
    let _ = run("umount", &["-l".as_ref(), folder.as_ref()]);
}

fn run(program: &str, arguments: &[&OsStr]) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("running {program}"))?;
    let started_at = Instant::now();
    // Its output fits into a pipe, so the program never waits for a reader.
    while child.try_wait().with_context(|| format!("waiting for {program}"))?.is_none() {
        ensure!(
            started_at.elapsed() < RUN_MAX,
            "{program} {arguments:?} did not end within {RUN_MAX:?}"
        );
        thread::sleep(CHECK_EVERY);
    }
    let output =
        child.wait_with_output().with_context(|| format!("reading the output of {program}"))?;
    if !output.status.success() {
        bail!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
