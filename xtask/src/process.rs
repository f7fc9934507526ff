//! Runs other programs to their end.

use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::bail;
use anyhow::ensure;

/// Interval of checks of a program with a time limit.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Lines of a failed program's output that an error repeats.
const REPEATED_LINES_MAX: usize = 5;

/// Runs `command` with the output of this program.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("running {}", shown(command)))?;
    ensure!(status.success(), "{} ended with {status}", shown(command));
    Ok(())
}

/// Runs `command` and returns its standard output.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output();
    read(command, output.with_context(|| format!("running {}", shown(command)))?)
}

/// Runs `command` for at most `limit`. Prints nothing if it succeeds.
pub fn quietly(command: &mut Command, limit: Duration) -> anyhow::Result<()> {
    let started_at = Instant::now();
    // A backtrace would push the message of a panic out of the last lines.
    let silent = command.env_remove("RUST_BACKTRACE").stdin(Stdio::null());
    let silent = silent.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = silent.spawn().with_context(|| format!("running {}", shown(command)))?;
    let stderr = child.stderr.take().expect("standard error is piped");
    // Read during the wait, because a full pipe would block the program.
    let reader = thread::spawn(move || std::io::read_to_string(stderr).unwrap_or_default());
    while child.try_wait().with_context(|| format!("waiting for {}", shown(command)))?.is_none() {
        if started_at.elapsed() > limit {
            // Errors are ignored: the program may have ended just now.
            let _ = child.kill();
            let _ = child.wait();
            bail!("{} did not end within {limit:?}", shown(command));
        }
        thread::sleep(POLL_INTERVAL);
    }
    let status = child.wait().with_context(|| format!("waiting for {}", shown(command)))?;
    if status.success() {
        return Ok(());
    }
    let stderr = reader.join().unwrap_or_default().into_bytes();
    read(command, Output { status, stdout: Vec::new(), stderr }).map(drop)
}

fn read(command: &Command, output: Output) -> anyhow::Result<String> {
    if output.status.success() {
        return String::from_utf8(output.stdout)
            .with_context(|| format!("reading the output of {}", shown(command)));
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = stderr.trim().lines().collect();
    let last = lines[lines.len().saturating_sub(REPEATED_LINES_MAX)..].join("\n");
    bail!("{} ended with {}\n{last}", shown(command), output.status)
}

/// Returns the program and its arguments for messages, without quoting.
pub fn shown(command: &Command) -> String {
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
    fn a_program_that_hangs_is_killed_at_the_limit() {
        let limit = Duration::from_millis(50);
        let error = quietly(Command::new("sleep").arg("60"), limit).unwrap_err();
        assert_eq!(error.to_string(), "`sleep 60` did not end within 50ms");
    }

    #[test]
    fn an_error_repeats_the_last_lines_of_a_failed_program() {
        let mut command = Command::new("sh");
        command.args(["-c", "seq 9 >&2; exit 3"]);
        let error = quietly(&mut command, Duration::from_secs(60)).unwrap_err().to_string();
        assert!(error.ends_with("ended with exit status: 3\n5\n6\n7\n8\n9"), "{error}");
    }
}
