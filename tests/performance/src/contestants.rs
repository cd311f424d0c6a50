//! Who takes part: what each is, where its program is found, how it is started.
//!
//! Knows nothing of how they are measured.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::guests::{Guests, Places};
use crate::machine::{first_line, locked_version};

/// How to get the peers.
const GET_WASMTIME: &str = "install it with `cargo install wasmtime-cli --locked`, or as \
                            https://wasmtime.dev says; --wasmtime PATH names one elsewhere";
const GET_WORKERD: &str = "install it with `npm install workerd` and name it with --workerd \
                           node_modules/.bin/workerd, or put it on PATH";
const GET_DIST: &str = "say --dist, which builds the profile `dist` first (about ten minutes)";

/// What the settings of a reset sandbox are when they are tuned by hand: the kernel is asked which
/// pages were written, and they are copied back instead of being unmapped.
const TUNED: &str = "pooling-allocator=y,pooling-pagemap-scan=y,\
                     pooling-memory-keep-resident=4194304,pooling-table-keep-resident=65536,\
                     pooling-async-stack-keep-resident=65536";

/// More requests than a run can make.
const REUSE_COUNT: &str = "1000000000";

/// How our own programs were built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    Release,
    Dist,
}

impl Profile {
    /// The folder inside `target`, and cargo's name for it.
    fn folder(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Dist => "dist",
        }
    }
}

/// The kinds of functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guest {
    Sdk,
    Command,
}

/// How `wasmtime serve` treats instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instances {
    /// One for each request, as by default.
    Fresh,
    /// The same with the pool tuned by hand.
    FreshTuned,
    /// As by default, but an instance serves request after request.
    Reused,
}

/// One who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contestant {
    /// Hyper alone, which does the work itself.
    Hyper(Profile),
    /// Mayfly with everything on.
    Mayfly(Guest, Profile),
    /// `wasmtime serve` with a component.
    Wasmtime(Instances),
    /// workerd with one isolate, which is reused.
    Workerd,
}

/// Programs that are named on the command line.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Programs {
    /// The program `wasmtime` [default: the one on PATH]
    #[arg(long, value_name = "PATH", env = "WASMTIME")]
    wasmtime: Option<PathBuf>,

    /// The program `workerd` [default: the one on PATH]
    #[arg(long, value_name = "PATH", env = "WORKERD")]
    workerd: Option<PathBuf>,

    /// Mayfly and the ceiling also in the profile `dist`, which is built when it is not fresh
    #[arg(long)]
    pub(crate) dist: bool,
}

/// Where a program is, and its version; or how to get it.
pub(crate) type Found = Result<Program, &'static str>;

/// A program that is there.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) version: String,
}

impl Contestant {
    /// Everyone, in the order of the table.
    pub(crate) const ALL: [Self; 10] = [
        Self::Hyper(Profile::Release),
        Self::Mayfly(Guest::Sdk, Profile::Release),
        Self::Mayfly(Guest::Command, Profile::Release),
        Self::Hyper(Profile::Dist),
        Self::Mayfly(Guest::Sdk, Profile::Dist),
        Self::Mayfly(Guest::Command, Profile::Dist),
        Self::Wasmtime(Instances::Fresh),
        Self::Wasmtime(Instances::FreshTuned),
        Self::Wasmtime(Instances::Reused),
        Self::Workerd,
    ];

    /// Its name in tables and for `--only`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hyper(Profile::Release) => "hyper",
            Self::Hyper(Profile::Dist) => "hyper-dist",
            Self::Mayfly(Guest::Sdk, Profile::Release) => "mayfly-sdk",
            Self::Mayfly(Guest::Sdk, Profile::Dist) => "mayfly-sdk-dist",
            Self::Mayfly(Guest::Command, Profile::Release) => "mayfly-command",
            Self::Mayfly(Guest::Command, Profile::Dist) => "mayfly-command-dist",
            Self::Wasmtime(Instances::Fresh) => "wasmtime-fresh",
            Self::Wasmtime(Instances::FreshTuned) => "wasmtime-tuned",
            Self::Wasmtime(Instances::Reused) => "wasmtime-reused",
            Self::Workerd => "workerd",
        }
    }

    /// What it is, in a few words.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::Hyper(_) => "the work in hyper itself: the ceiling",
            Self::Mayfly(Guest::Sdk, _) => "function with the SDK, fresh sandbox, everything on",
            Self::Mayfly(Guest::Command, _) => "any WASI program, fresh sandbox, everything on",
            Self::Wasmtime(Instances::Fresh) => "component, fresh instance, defaults",
            Self::Wasmtime(Instances::FreshTuned) => "component, fresh instance, tuned by hand",
            Self::Wasmtime(Instances::Reused) => "component, one instance reused",
            Self::Workerd => "JavaScript, one isolate reused",
        }
    }

    /// Looks for its program.
    pub(crate) fn find(self, programs: &Programs, places: &Places) -> Found {
        let version = |path: PathBuf, or: &'static str| {
            let version = first_line(Command::new(&path).arg("--version")).ok_or(or)?;
            Ok(Program { path, version })
        };
        let named =
            |path: &Option<PathBuf>, name: &str| path.clone().unwrap_or_else(|| name.into());
        let of_profile = |profile: Profile, name| {
            if profile == Profile::Dist && !programs.dist {
                return Err(GET_DIST);
            }
            let path = places.target.join(profile.folder()).join(name);
            path.is_file()
                .then_some(path)
                .ok_or("start it with `cargo xtask bench`, which builds it")
        };
        match self {
            Self::Hyper(profile) => Ok(Program {
                path: of_profile(profile, "ceiling")?,
                version: format!("hyper {}", locked_version(&places.checkout, "hyper")),
            }),
            Self::Mayfly(_, profile) => {
                version(of_profile(profile, "mayfly")?, "it does not start")
            }
            Self::Wasmtime(_) => version(named(&programs.wasmtime, "wasmtime"), GET_WASMTIME),
            Self::Workerd => version(named(&programs.workerd, "workerd"), GET_WORKERD),
        }
    }

    /// How to start it so that it listens on `address`; `folder` is empty and its own.
    pub(crate) fn command(
        self,
        program: &Path,
        guests: &Guests,
        address: SocketAddr,
        folder: &Path,
    ) -> Command {
        let mut command = Command::new(program);
        command.current_dir(folder);
        let address: OsString = address.to_string().into();
        match self {
            Self::Hyper(_) => {
                command.arg(address);
            }
            Self::Mayfly(guest, _) => {
                let functions = match guest {
                    Guest::Sdk => &guests.sdk_folder,
                    Guest::Command => &guests.command_folder,
                };
                command
                    .arg("serve")
                    .arg("--functions")
                    .arg(functions)
                    .arg("--data")
                    .arg(folder.join("data"))
                    .arg("--listen")
                    .arg(address)
                    .args(["--control", "127.0.0.1:0"]);
            }
            Self::Wasmtime(instances) => {
                command.arg("serve").arg("--addr").arg(address);
                match instances {
                    Instances::Fresh => command.arg(&guests.component),
                    Instances::FreshTuned => command.args(["-O", TUNED]).arg(&guests.component),
                    Instances::Reused => command
                        .args(["--max-instance-reuse-count", REUSE_COUNT])
                        .arg(&guests.component_reused),
                };
            }
            Self::Workerd => {
                let mut socket = OsString::from("http=");
                socket.push(address);
                command
                    .arg("serve")
                    .arg(&guests.worker)
                    .arg("--socket-addr")
                    .arg(socket);
            }
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_contestant_has_a_name_of_its_own() {
        let names: HashSet<&str> = Contestant::ALL.map(Contestant::name).into();
        assert_eq!(names.len(), Contestant::ALL.len());
    }
}
