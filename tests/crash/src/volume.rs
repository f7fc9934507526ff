//! A file system of its own, on a loop device: one that can be shut down, one on
//! a drive that can lose its power, and one that can be full.

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

/// How long the last writer may take to be gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a program that mounts or unmounts may take. One that waits for a
/// drive which is gone for good is left behind.
const RUN_MAX: Duration = Duration::from_secs(60);

/// How often it is looked whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// ext4 in a file; unmounted when it is dropped.
pub struct Volume {
    image: PathBuf,
    folder: PathBuf,
}

impl Volume {
    /// Makes and mounts one of so many MiB in `place`.
    ///
    /// # Errors
    ///
    /// Among others when this is not root, or there are no loop devices.
    pub fn make(place: &Path, mib: u64) -> anyhow::Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "only root can mount a file system");
        let image = place.join("volume.img");
        let file = File::create(&image).context("making the image")?;
        file.set_len(mib * 1_024 * 1_024).context("sizing the image")?;
        Self::on(image, place)
    }

    /// Makes and mounts one on a file that there is, in `place`.
    ///
    /// # Errors
    ///
    /// As above.
    pub fn on(image: PathBuf, place: &Path) -> anyhow::Result<Self> {
        let folder = folder_in(place);
        std::fs::create_dir_all(&folder).context("making the mount point")?;
        // Without blocks that only root may use: it is root who fills it.
        run("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), "-m0".as_ref(), image.as_ref()])?;
        let volume = Self { image, folder };
        volume.mount()?;
        Ok(volume)
    }

    /// Where it is mounted.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Mounts it, which repeats what its journal holds.
    pub fn mount(&self) -> anyhow::Result<()> {
        run("mount", &["-o".as_ref(), "loop".as_ref(), self.image.as_ref(), self.folder.as_ref()])
    }

    /// Unmounts it. Nobody may have a file of it open.
    pub fn unmount(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            match run("umount", &[self.folder.as_ref()]) {
                Err(_) if begun.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(20)),
                done => return done,
            }
        }
    }

    /// From this moment nothing reaches the disk any more, and what has not
    /// reached it is lost.
    #[expect(unsafe_code, reason = "the kernel's call has no safe wrapper")]
    pub fn cut_power(&self) -> anyhow::Result<()> {
        let root = File::open(&self.folder).context("opening the volume")?;
        // SAFETY: FS_IOC_SHUTDOWN reads one u32 and keeps no pointer to it.
        let cut = unsafe { ioctl::ioctl(&root, ioctl::Setter::<SHUTDOWN, u32>::new(NO_LOG_FLUSH)) };
        cut.context("shutting the file system down")
    }

    /// Brings it back, as a machine does that has its power again. Nobody may
    /// have a file of it open.
    pub fn restore_power(&self) -> anyhow::Result<()> {
        self.unmount()?;
        self.mount()
    }

    /// Fills it to the last byte.
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

    /// Gives the space back.
    pub fn empty(&self) -> anyhow::Result<()> {
        std::fs::remove_file(self.filler()).context("removing what fills the disk")
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

/// Where the volume of `place` is mounted.
pub fn folder_in(place: &Path) -> PathBuf {
    place.join("volume")
}

/// Unmounts what is mounted at `folder` as soon as nobody uses it any more.
pub fn detach(folder: &Path) {
    // What cannot be unmounted now is at the next start of the machine.
    let _ = run("umount", &["-l".as_ref(), folder.as_ref()]);
}

fn run(program: &str, arguments: &[&OsStr]) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("running {program}"))?;
    let begun = Instant::now();
    // What it says fits into a pipe.
    while child.try_wait().with_context(|| format!("waiting for {program}"))?.is_none() {
        ensure!(begun.elapsed() < RUN_MAX, "{program} {arguments:?} does not come to an end");
        thread::sleep(LOOK_EVERY);
    }
    let output = child.wait_with_output().with_context(|| format!("hearing from {program}"))?;
    if !output.status.success() {
        bail!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
