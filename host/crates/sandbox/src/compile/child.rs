//! The parent's side of a compilation in a child process: starts it, talks to it, and says what its
//! end means.
//!
//! A module is too expensive when a limit ended the child. Any other end is the host's failure, and
//! what the child said on stderr goes with it.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::{COMPILED, CompileError, FAILED, PIPE_BYTES_MAX, REFUSED};
use crate::failure::printable;

/// Wall time of one compilation.
pub(super) const WALL_MAX: Duration = Duration::from_secs(60);

/// Wall time of a short one: more than its CPU time, since others may have the cores.
pub(super) const SHORT_WALL_MAX: Duration = Duration::from_secs(10);

/// What is kept of the child's stderr.
const STDERR_BYTES_MAX: u64 = 4 << 10;

/// Longest text taken over from the child, in characters.
const MESSAGE_CHARS_MAX: usize = 500;

/// This very program, also when its file has been replaced or removed since it was started.
const SELF: &str = "/proc/self/exe";

/// What the child wrote.
struct Said {
    stdout: io::Result<Vec<u8>>,
    stderr: Vec<u8>,
}

/// Compiles `wasm` in a child, in `wall` at most.
pub(super) fn compile(
    program: &Path,
    args: &[OsString],
    wasm: &[u8],
    wall: Duration,
) -> Result<Vec<u8>, CompileError> {
    let failed = |source| CompileError::Child {
        program: program.to_owned(),
        source,
    };
    // An upgraded program on disk would make code for another engine than this one.
    let this_one = std::env::current_exe().is_ok_and(|current| is_this(program, &current));
    let file = if this_one { Path::new(SELF) } else { program };
    let mut child = Command::new(file)
        .arg0(program)
        .args(args)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let said = converse(&mut child, wasm, wall);
    let status = child.wait().map_err(failed)?;
    let Some(Said { stdout, stderr }) = said else {
        return Err(CompileError::TooExpensive {
            limit: format!("stopped after {} s", wall.as_secs_f32()),
        });
    };
    if status.success() {
        return unpack(stdout.map_err(failed)?).unwrap_or_else(|| {
            Err(failed(io::Error::other(
                "it answered something else than the worker does",
            )))
        });
    }
    Err(why(status, &stdout.unwrap_or_default(), &stderr))
}

/// Whether `program` is the file that `current` was started from. The kernel marks the name of a file
/// that is gone.
fn is_this(program: &Path, current: &Path) -> bool {
    let gone = [program.as_os_str().as_encoded_bytes(), b" (deleted)"].concat();
    program == current || current.as_os_str().as_encoded_bytes() == gone
}

/// Gives the child its input and takes its output; `None` if that took too long, and the child was
/// killed.
fn converse(child: &mut Child, wasm: &[u8], wall: Duration) -> Option<Said> {
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let stderr = child.stderr.take();
    thread::scope(|scope| {
        scope.spawn(move || {
            // A child that ends early closes the pipe; its exit status says why.
            let _written = stdin.map(|mut stdin| stdin.write_all(wasm));
        });
        let stderr = scope.spawn(move || stderr.map_or_else(Vec::new, first_bytes));
        let (sender, receiver) = mpsc::channel();
        scope.spawn(move || {
            let mut code = Vec::new();
            let read = stdout.map_or(Ok(0), |stdout| {
                stdout.take(PIPE_BYTES_MAX).read_to_end(&mut code)
            });
            // The receiver is gone when time is up.
            let _sent = sender.send(read.map(|_| code));
        });
        let stdout = receiver.recv_timeout(wall).ok();
        if stdout.is_none() {
            // Ends all threads: the pipes close. It may have ended by itself in the meantime.
            let _killed = child.kill();
        }
        Some(Said {
            stdout: stdout?,
            stderr: stderr.join().unwrap_or_default(),
        })
    })
}

/// The first bytes of a pipe. The rest is read too, so that nobody waits for room in it.
fn first_bytes(mut pipe: impl Read) -> Vec<u8> {
    let mut first = Vec::new();
    // What can't be read is missing from a message, and nothing else.
    let _read = pipe.by_ref().take(STDERR_BYTES_MAX).read_to_end(&mut first);
    let _rest = io::copy(&mut pipe, &mut io::sink());
    first
}

/// What an answer says; `None` if it is none.
fn unpack(mut answer: Vec<u8>) -> Option<Result<Vec<u8>, CompileError>> {
    match *answer.first()? {
        COMPILED => {
            answer.remove(0);
            Some(Ok(answer))
        }
        REFUSED => Some(Err(CompileError::Refused {
            message: text(&answer[1..]),
        })),
        _ => None,
    }
}

/// Why there is no code when the child failed.
fn why(status: ExitStatus, stdout: &[u8], stderr: &[u8]) -> CompileError {
    let signal = status.signal().and_then(Signal::from_named_raw);
    let limit = match signal {
        Some(Signal::XCPU) => "it took more CPU time than allowed",
        Some(Signal::KILL) => "the compiler was killed for its memory or its CPU time",
        Some(Signal::ABORT) => "the compiler aborted, as it does when it gets no more memory",
        _ => {
            let message = match stdout {
                [FAILED, message @ ..] => text(message),
                _ => format!("it ended with {status}: {}", text(stderr)),
            };
            return CompileError::Worker {
                doing: "compiling",
                source: io::Error::other(message),
            };
        }
    };
    CompileError::TooExpensive {
        limit: limit.to_owned(),
    }
}

fn text(bytes: &[u8]) -> String {
    printable(String::from_utf8_lossy(bytes).trim_end(), MESSAGE_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `script` in place of the worker.
    fn worker(script: &str, wall: Duration) -> CompileError {
        let args = [OsString::from("-c"), OsString::from(script)];
        compile(Path::new("/bin/sh"), &args, b"wasm", wall).unwrap_err()
    }

    #[track_caller]
    fn check(script: &str, too_expensive: bool, expected: &str) {
        let error = worker(script, Duration::from_secs(60));
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        let text = format!("{error}: {}", cause.unwrap_or_default());
        assert!(text.contains(expected), "{script}: {text}");
        match error {
            CompileError::TooExpensive { .. } => assert!(too_expensive, "{script}: {text}"),
            CompileError::Worker { .. } => assert!(!too_expensive, "{script}: {text}"),
            other => panic!("{script}: {other:?}"),
        }
    }

    #[test]
    fn only_limits_make_a_module_too_expensive() {
        check("kill -XCPU $$", true, "CPU time");
        check("kill -KILL $$", true, "killed");
        check("kill -ABRT $$", true, "aborted");
        check("kill -SEGV $$", false, "SIGSEGV");
        check("kill -TERM $$", false, "SIGTERM");
        check("exit 1", false, "exit status: 1");
        check("printf '\\002no engine\\n'; exit 1", false, "no engine");
        check(
            "echo 'a\tb' >&2; head -c 300000 /dev/zero >&2; exit 101",
            false,
            "exit status: 101: a\\tb\\n\\0",
        );
    }

    #[test]
    fn a_child_that_does_not_answer_in_time_is_killed() {
        let clock = domain::Clock::system();
        let started = clock.now();
        let error = worker("exec sleep 600", Duration::from_millis(200));
        assert_eq!(
            error.to_string(),
            "the module is too expensive to compile (stopped after 0.2 s)"
        );
        assert!(clock.now() - started < Duration::from_secs(60));
    }

    #[test]
    fn this_program_is_known_by_its_name_also_when_its_file_is_gone() {
        let program = Path::new("/opt/mayfly");
        assert!(is_this(program, program));
        assert!(is_this(program, Path::new("/opt/mayfly (deleted)")));
        assert!(!is_this(program, Path::new("/opt/mayfly2")));
    }
}
