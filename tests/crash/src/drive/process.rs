//! The drive as a process of its own, so that it can be taken away from the
//! kernel at any time: when it ends, every request that waits for it gets an
//! error. It executes commands, one per line. When its standard input ends, the
//! process that started it is gone, and it removes the mounts.

use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::ChildStdin;
use std::process::ChildStdout;
use std::process::Command;
use std::process::Stdio;

use anyhow::Context as _;
use anyhow::bail;
use fuser::Config;
use fuser::MountOption;

use crate::drive::cache::Cut;
use crate::drive::file;
use crate::volume;

/// The first argument of a process that serves a drive; the second is its
/// folder.
pub const ROLE: &str = "serve-drive";

/// The kernel's device for file systems in user space.
pub const DEVICE: &str = "/dev/fuse";

/// A drive in a process of its own, which ends when this is dropped.
pub struct Drive {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    folder: PathBuf,
}

impl Drive {
    /// Starts a drive for the volume of `place`.
    ///
    /// # Errors
    ///
    /// Returns an error if the process cannot be started, or must not mount a
    /// file system here.
    pub fn start(place: &Path) -> anyhow::Result<Self> {
        let folder = folder_in(place);
        std::fs::create_dir_all(&folder).context("making the drive's folder")?;
        let program = std::env::current_exe().context("finding this program")?;
        let mut process = Command::new(program)
            .arg(ROLE)
            .arg(place)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the drive")?;
        let commands = process.stdin.take().context("standard input is piped")?;
        let answers = process.stdout.take().context("standard output is piped")?;
        let answers = BufReader::new(answers);
        let mut drive = Self { process, commands, answers, folder };
        drive.answer().context("starting the drive")?;
        Ok(drive)
    }

    /// Returns the file for a loop device.
    pub fn image(&self) -> PathBuf {
        self.folder.join(file::NAME)
    }

    /// Sends [`file::Drive::ignore_flushes`].
    pub fn ignore_flushes(&mut self) -> anyhow::Result<()> {
        self.command("ignore-flushes").map(drop)
    }

    /// Sends [`file::Drive::cut`].
    pub fn cut(&mut self, seed: u64) -> anyhow::Result<Cut> {
        self.command(&format!("cut {seed}"))?.parse()
    }

    /// Sends [`file::Drive::fail`].
    pub fn fail(&mut self) -> anyhow::Result<Cut> {
        self.command("fail")?.parse()
    }

    /// Sends [`file::Drive::power_on`].
    pub fn power_on(&mut self) -> anyhow::Result<()> {
        self.command("power-on").map(drop)
    }

    fn command(&mut self, command: &str) -> anyhow::Result<String> {
        writeln!(self.commands, "{command}").context("sending a command to the drive")?;
        self.answer().with_context(|| format!("running the drive command `{command}`"))
    }

    /// Reads the answer to a command. The longest wait is that of
    /// [`file::Drive::power_on`]; the drive waits for no other process.
    fn answer(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line).context("reading from the drive")?;
        match line.trim_end_matches('\n').split_once(' ') {
            Some(("ok", answer)) => Ok(answer.to_owned()),
            Some((_, error)) => bail!("{error}"),
            None => bail!("the drive has ended"),
        }
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        // Errors are ignored: the process may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
        volume::detach(&self.folder);
    }
}

fn folder_in(place: &Path) -> PathBuf {
    place.join("drive")
}

/// Serves a drive in `place` until standard input ends.
///
/// # Errors
///
/// Returns an error if the file system cannot be mounted. Later errors are
/// answers to commands.
pub fn serve(place: &Path) -> anyhow::Result<()> {
    let folder = folder_in(place);
    let drive = file::Drive::default();
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName("hoth-drive".to_owned())];
    let mounted = fuser::spawn_mount(drive.clone(), &folder, &config);
    let outcome = mounted.as_ref().map(|_| String::new());
    respond(&outcome.map_err(|error| anyhow::anyhow!("mounting the drive: {error}")))?;
    let _mounted = mounted.context("mounting the drive")?;
    for command in std::io::stdin().lines() {
        respond(&execute(&drive, &command.context("reading a command")?))?;
    }
    // All waiting requests must have failed before: an unmount that waited for
    // this process would keep it from ending.
    drive.fail();
    volume::detach(&volume::folder_in(place));
    volume::detach(&folder);
    Ok(())
}

fn execute(drive: &file::Drive, command: &str) -> anyhow::Result<String> {
    let (command, argument) = command.split_once(' ').unwrap_or((command, ""));
    match command {
        "ignore-flushes" => drive.ignore_flushes(),
        "cut" => return Ok(drive.cut(argument.parse().context("a seed")?).to_string()),
        "fail" => return Ok(drive.fail().to_string()),
        "power-on" => drive.power_on()?,
        _ => bail!("no such command"),
    }
    Ok(String::new())
}

fn respond(answer: &anyhow::Result<String>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match answer {
        Ok(answer) => writeln!(out, "ok {answer}"),
        Err(error) => writeln!(out, "error {error:#}"),
    }
    .context("answering")?;
    out.flush().context("answering")
}
