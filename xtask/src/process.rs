//! Other programs, run to their end.

use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::bail;
use anyhow::ensure;

/// How often a program with a time limit is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// How much of what a failed program said is worth repeating, in lines.
const SAID_MAX: usize = 5;

/// Runs `command` with this program's own output.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("running {}", shown(command)))?;
    ensure!(status.success(), "{} ended with {status}", shown(command));
    Ok(())
}

/// Runs `command` and returns what it printed.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output();
    read(command, output.with_context(|| format!("running {}", shown(command)))?)
}

/// Runs `command` for `limit` at most, without a word while all goes well.
pub fn quietly(command: &mut Command, limit: Duration) -> anyhow::Result<()> {
    let begun = Instant::now();
    // A backtrace would push what a program has to say out of the last lines.
    let silent = command.env_remove("RUST_BACKTRACE").stdin(Stdio::null());
    let silent = silent.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = silent.spawn().with_context(|| format!("running {}", shown(command)))?;
    let stderr = child.stderr.take().expect("standard error is piped");
    // Read beside the wait, so that a talkative program is never held up.
    let said = thread::spawn(move || std::io::read_to_string(stderr).unwrap_or_default());
    while child.try_wait().with_context(|| format!("waiting for {}", shown(command)))?.is_none() {
        if begun.elapsed() > limit {
            // It may have ended just now; both ways it is gone.
            let _ = child.kill();
            let _ = child.wait();
            bail!("{} did not end within {limit:?}", shown(command));
        }
        thread::sleep(LOOK);
    }
    let status = child.wait().with_context(|| format!("waiting for {}", shown(command)))?;
    if status.success() {
        return Ok(());
    }
    let stderr = said.join().unwrap_or_default().into_bytes();
    read(command, Output { status, stdout: Vec::new(), stderr }).map(drop)
}

fn read(command: &Command, output: Output) -> anyhow::Result<String> {
    if output.status.success() {
        return String::from_utf8(output.stdout)
            .with_context(|| format!("reading what {} printed", shown(command)));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = said.trim().lines().collect();
    let last = lines[lines.len().saturating_sub(SAID_MAX)..].join("\n");
    bail!("{} ended with {}\n{last}", shown(command), output.status)
}

/// The command as one would type it, as far as it helps to recognise it.
fn shown(command: &Command) -> String {
    let program = command.get_program().to_string_lossy().into_owned();
    let arguments = command.get_args().map(|argument| argument.to_string_lossy());
    let text = arguments.fold(program, |text, argument| format!("{text} {argument}"));
    format!("`{text}`")
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::quietly;

    #[test]
    fn a_program_that_hangs_is_ended_at_the_limit() {
        let limit = Duration::from_millis(50);
        let error = quietly(Command::new("sleep").arg("60"), limit).unwrap_err();
        assert_eq!(error.to_string(), "`sleep 60` did not end within 50ms");
    }

    #[test]
    fn what_a_failed_program_said_last_is_in_the_error() {
        let mut command = Command::new("sh");
        command.args(["-c", "seq 9 >&2; exit 3"]);
        let error = quietly(&mut command, Duration::from_secs(60)).unwrap_err().to_string();
        assert!(error.ends_with("ended with exit status: 3\n5\n6\n7\n8\n9"), "{error}");
    }
}
