//! `mayfly invoke --local`: one event, one sandbox, in this process.
//!
//! The same sandbox, limits, prices and report as a server has. Absent on purpose: the ledger, the
//! log files and the registry; nothing is left behind.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use domain::report::{Ending, Ran};
use domain::{Clock, FunctionName, Invocation, Trigger, VersionId};
use sandbox::{
    ArtifactId, Compile, EngineSettings, Guest, GuestSpec, Observed, RunRequest, Sandboxes,
};

use super::{failed, print_answer};
use crate::answer::Answer;
use crate::app::Random;
use crate::cli::build::function::{MANIFEST, read_manifest};
use crate::cli::output::{note, printable};
use crate::closing::{self, Closing};
use crate::config::Config;
use crate::manifest::Manifest;
use crate::time_text::day;

/// A function as it lies on disk.
#[derive(Debug)]
struct Local {
    name: FunctionName,
    manifest: Manifest,
    artifact: PathBuf,
}

/// Runs `function`, a name or the path of a wasm file, on `event`.
pub(super) fn run(function: &str, event: Bytes, config: &Config) -> anyhow::Result<ExitCode> {
    let local = find(function, &config.functions_dir)?;
    let wasm = std::fs::read(&local.artifact)
        .with_context(|| format!("reading `{}` failed", local.artifact.display()))?;
    let cache = Cache::new()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("starting threads failed")?;
    let clock = Clock::system();
    let sandboxes = Sandboxes::new(EngineSettings {
        sandboxes_max: 1,
        loaded_max: 1,
        cache_dir: cache.folder.clone(),
        compile: Compile::InProcess,
        background: runtime.handle().clone(),
        clock: clock.clone(),
    })?;
    let host = Host {
        sandboxes,
        clock,
        config,
    };
    let closed = runtime.block_on(host.run(&local, &wasm, event))?;
    for line in &closed.log {
        note(&printable(line));
    }
    Ok(match closed.answer {
        Ok(payload) => {
            print_answer(&payload)?;
            ExitCode::SUCCESS
        }
        Err(payload) => {
            print_answer(&payload)?;
            failed(local.name.as_str(), "Unhandled")
        }
    })
}

/// What runs functions here.
struct Host<'a> {
    sandboxes: Sandboxes,
    clock: Clock,
    config: &'a Config,
}

/// How the invocation went.
struct Closed {
    /// The answer, or the error object.
    answer: Result<Bytes, Bytes>,
    /// From START to REPORT.
    log: Vec<String>,
}

impl Host<'_> {
    /// The function, compiled.
    fn guest(&self, local: &Local, wasm: &[u8], random: &Random) -> anyhow::Result<Arc<Guest>> {
        let (limits, name) = (local.manifest.limits, &local.name);
        let artifact = ArtifactId::of(wasm);
        let day = day(self.clock.unix_us()).replace('-', "/");
        let guest = self.sandboxes.guest(GuestSpec {
            kind: sandbox::inspect(wasm, &limits)?,
            artifact,
            artifact_path: local.artifact.clone(),
            limits,
            environment: local.manifest.environment.as_slice().into(),
            function: name.clone(),
            version: VersionId::Latest,
            arn: name.arn(&self.config.region),
            region: self.config.region.clone(),
            log_stream: format!("{day}/[{}]{}", VersionId::Latest, random.hex()).into(),
        });
        self.sandboxes.compile(artifact, wasm)?;
        Ok(guest)
    }

    async fn run(&self, local: &Local, wasm: &[u8], event: Bytes) -> anyhow::Result<Closed> {
        let Self {
            sandboxes,
            clock,
            config,
        } = self;
        let limits = local.manifest.limits;
        let random = Random::default();
        let guest = self.guest(local, wasm, &random)?;
        let invocation = Invocation {
            id: domain::RequestId::new(clock.unix_ms(), random.bytes()),
            attempt: 1,
            function: local.name.clone(),
            qualifier: None,
            trigger: Trigger::Invoke,
            client_context: None,
            keep_log: true,
            event,
        };
        let observed = Observed::new();
        let started_at_us = clock.unix_us();
        let request = RunRequest {
            id: invocation.id,
            event: invocation.event.clone(),
            arn: None,
            client_context: None,
            deadline: clock.now() + limits.timeout.duration(),
            deadline_unix_ms: clock.unix_ms() + u64::from(limits.timeout.ms()),
            observed: Arc::clone(&observed),
        };
        let outcome = sandboxes.run(guest, request).await?;
        let (answer, outcome) = closing::read(&invocation, outcome);
        let closing = Closing {
            invocation: &invocation,
            ran: Ran {
                version: VersionId::Latest,
                limits,
            },
            started_at_us,
            observed: &observed,
            tariff: &config.billing,
            clock,
        };
        let ending = Ending::Outcome(&outcome);
        let report = closing.report(ending);
        Ok(Closed {
            log: closing
                .log(&report, ending)
                .into_iter()
                .map(|event| event.shown().into_owned())
                .collect(),
            answer: match answer {
                Ok(Answer::Payload(payload)) => Ok(payload),
                Ok(Answer::Http(_)) => anyhow::bail!("an answer for HTTP to an event without HTTP"),
                Err(error) => Err(error.payload(invocation.id)),
            },
        })
    }
}

/// Finds a function by its name in the functions folder, or by the path of its file or folder.
fn find(function: &str, functions_dir: &Path) -> anyhow::Result<Local> {
    let path = Path::new(function);
    if path
        .extension()
        .is_some_and(|extension| extension == "wasm")
    {
        return from_file(path);
    }
    if let Ok(name) = FunctionName::parse(function) {
        let folder = functions_dir.join(function);
        if folder.is_dir() {
            return from_folder(&folder, name);
        }
        let file = functions_dir.join(format!("{name}.wasm"));
        if file.is_file() {
            return from_file(&file);
        }
    }
    if let Ok(folder) = path.canonicalize()
        && folder.is_dir()
    {
        let name = folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        return from_folder(&folder, FunctionName::parse(&name)?);
    }
    let place = functions_dir.display();
    anyhow::bail!(
        "there is no function `{}` in `{place}`; name one that is there, or give the path of a .wasm file",
        printable(function)
    )
}

fn from_file(path: &Path) -> anyhow::Result<Local> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = FunctionName::parse(&stem)?;
    let manifest = read_manifest(&path.with_extension("toml"))?;
    Ok(Local {
        name,
        manifest,
        artifact: path.to_owned(),
    })
}

fn from_folder(folder: &Path, name: FunctionName) -> anyhow::Result<Local> {
    let manifest = read_manifest(&folder.join(MANIFEST))?;
    let artifact = folder.join(manifest.artifact_path(&name));
    anyhow::ensure!(
        artifact.is_file(),
        "`{}` is not there; build it with `mayfly build {name}`",
        artifact.display()
    );
    Ok(Local {
        name,
        manifest,
        artifact,
    })
}

/// Where compiled code is kept while this runs: a folder of our own, gone afterwards.
///
/// Not the server's: that one is the server's alone.
#[derive(Debug)]
struct Cache {
    folder: PathBuf,
}

impl Cache {
    fn new() -> anyhow::Result<Self> {
        let unique = Random::default().hex();
        let folder = std::env::temp_dir().join(format!("mayfly-{unique}"));
        std::fs::create_dir(&folder)
            .with_context(|| format!("making `{}` failed", folder.display()))?;
        Ok(Self { folder })
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        // What can't be removed lies in the system's folder for such things.
        let _removed = std::fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A command that writes `answer` to stdout, and `log` to stderr.
    fn module(answer: &str, log: &str) -> Vec<u8> {
        let data = format!("{answer}{log}")
            .replace('"', "\\22")
            .replace('\n', "\\0a");
        let text = format!(
            r#"(module
                (import "wasi_snapshot_preview1" "fd_write"
                    (func $write (param i32 i32 i32 i32) (result i32)))
                (memory (export "memory") 1)
                (data (i32.const 0) "{data}")
                (func $say (param $fd i32) (param $at i32) (param $length i32)
                    (i32.store (i32.const 1024) (local.get $at))
                    (i32.store (i32.const 1028) (local.get $length))
                    (drop (call $write (local.get $fd) (i32.const 1024) (i32.const 1) (i32.const 1032))))
                (func (export "_start")
                    (call $say (i32.const 2) (i32.const {}) (i32.const {}))
                    (call $say (i32.const 1) (i32.const 0) (i32.const {}))))"#,
            answer.len(),
            log.len(),
            answer.len(),
        );
        wat::parse_str(text).unwrap()
    }

    fn config(functions_dir: &Path) -> Config {
        let flags = crate::config::Flags {
            functions: Some(functions_dir.to_owned()),
            ..crate::config::Flags::default()
        };
        Config::resolve(None, |_| None, flags).unwrap()
    }

    fn closed(answer: &str) -> Closed {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("f.wasm");
        let wasm = module(answer, "a line\n");
        std::fs::write(&file, &wasm).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        let clock = Clock::system();
        let sandboxes = Sandboxes::new(EngineSettings {
            sandboxes_max: 1,
            loaded_max: 1,
            cache_dir: root.path().join("cache"),
            compile: Compile::InProcess,
            background: runtime.handle().clone(),
            clock: clock.clone(),
        })
        .unwrap();
        let host = Host {
            sandboxes,
            clock,
            config: &config(root.path()),
        };
        let local = find("f", root.path()).unwrap();
        runtime
            .block_on(host.run(&local, &wasm, Bytes::from_static(b"null")))
            .unwrap()
    }

    #[test]
    fn an_answer_comes_with_the_lines_around_it() {
        let closed = closed("{\"a\":1}");
        assert_eq!(closed.answer.unwrap(), "{\"a\":1}");
        let words: Vec<_> = closed
            .log
            .iter()
            .filter_map(|line| line.split(' ').next())
            .collect();
        assert_eq!(words, ["START", "a", "END", "REPORT"], "{:?}", closed.log);
    }

    #[test]
    fn an_answer_that_is_not_json_is_the_functions_failure_as_on_a_server() {
        let closed = closed("plain");
        let error = closed.answer.unwrap_err();
        let error: serde_json::Value = serde_json::from_slice(&error).unwrap();
        assert_eq!(error["errorType"], "Runtime.InvalidResponse");
        assert!(
            closed
                .log
                .last()
                .unwrap()
                .ends_with("Error Type: Runtime.InvalidResponse")
        );
    }

    #[test]
    fn a_function_is_found_by_name_file_and_folder() {
        let root = tempfile::tempdir().unwrap();
        let functions = root.path().join("functions");
        let write = |path: &str, text: &str| {
            let path = functions.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("flat.wasm", "");
        write("flat.toml", "memory_mb = 7");
        write("made/build/made.wasm", "");
        write(
            "elsewhere/function.toml",
            "[build]\nartifact = 'out/x.wasm'",
        );
        write("elsewhere/out/x.wasm", "");
        write("source/main.c", "");

        let flat = find("flat", &functions).unwrap();
        assert_eq!(flat.manifest.limits.memory.get(), 7);
        assert!(
            find("made", &functions)
                .unwrap()
                .artifact
                .ends_with("made/build/made.wasm")
        );
        let path = functions.join("elsewhere");
        let elsewhere = find(path.to_str().unwrap(), Path::new("/nowhere")).unwrap();
        assert!(elsewhere.artifact.ends_with("elsewhere/out/x.wasm"));
        let error = find("source", &functions).unwrap_err().to_string();
        assert!(
            error.ends_with("is not there; build it with `mayfly build source`"),
            "{error}"
        );
        assert!(
            find("none", &functions)
                .unwrap_err()
                .to_string()
                .starts_with("there is no function")
        );
    }
}
