//! A guest: one version of a function, ready to be run any number of times.
//!
//! Making one is cheap; its code is loaded by the first run, and by one run only, and may be taken
//! again when it was not used for a while. What is the same for every event (environment, half of the
//! context) is put together once.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use domain::{FunctionName, Limits, VersionId};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use wasmtime::{InstancePre, Module, ModuleExport};

use crate::ArtifactId;
use crate::compile::CompileError;
use crate::execute::State;
use crate::sdk;

/// How a guest takes its event and gives its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GuestKind {
    /// A WASI preview 1 program: the event on stdin, the answer on stdout.
    Command,
    /// A module built with the SDK: event and answer in linear memory.
    Sdk,
}

impl GuestKind {
    /// The word used in configuration, logs and the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Sdk => "sdk",
        }
    }
}

/// What a guest is made from.
#[derive(Debug, Clone)]
pub struct GuestSpec {
    /// Its kind, from [`crate::inspect()`].
    pub kind: GuestKind,
    /// The file's hash.
    pub artifact: ArtifactId,
    /// The file itself; read again, and its hash checked, when its code has to be compiled again.
    pub artifact_path: PathBuf,
    /// Bounds on each run.
    pub limits: Limits,
    /// The function's own variables. The platform's variables win over these.
    pub environment: Arc<[(String, String)]>,
    /// The function's name.
    pub function: FunctionName,
    /// The version's number.
    pub version: VersionId,
    /// The function's resource name, as a guest sees it that was not asked for by a version or alias.
    pub arn: String,
    /// The region it is in.
    pub region: String,
    /// The name of the stream its log goes to.
    pub log_stream: Arc<str>,
}

/// One version of a function, ready to run.
pub struct Guest {
    pub(crate) spec: GuestSpec,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) context: sdk::ContextTemplate,
    pub(crate) code: Code,
    /// A compilation that goes on when nobody waits for it.
    pub(crate) preparing: Mutex<Option<JoinHandle<Prepared>>>,
}

/// A guest's code and what loading it took, the compilation not counted.
pub(crate) type Prepared = Result<(Loaded, Duration), LoadError>;

impl std::fmt::Debug for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guest")
            .field("spec", &self.spec)
            .finish_non_exhaustive()
    }
}

impl Guest {
    pub(crate) fn new(spec: GuestSpec) -> Self {
        let environment = environment(&spec);
        let context = sdk::ContextTemplate::new(&spec);
        Self {
            spec,
            environment,
            context,
            code: Code::default(),
            preparing: Mutex::new(None),
        }
    }

    /// What it was made from.
    #[must_use]
    pub fn spec(&self) -> &GuestSpec {
        &self.spec
    }

    /// Whether its code is loaded.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.code.is_loaded()
    }
}

/// The variable with the function's resource name.
pub(crate) const ARN_VARIABLE: &str = "MAYFLY_FUNCTION_ARN";

/// Variables that only the platform sets.
const RESERVED: [&str; 9] = [
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_REGION",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "MAYFLY_REQUEST_ID",
    ARN_VARIABLE,
    "MAYFLY_DEADLINE_MS",
];

/// The variables that are the same for every event.
fn environment(spec: &GuestSpec) -> Vec<(String, String)> {
    let own = spec
        .environment
        .iter()
        .filter(|(name, _)| !RESERVED.contains(&name.as_str()))
        .cloned();
    let platform = [
        (
            "AWS_LAMBDA_FUNCTION_NAME",
            spec.function.as_str().to_owned(),
        ),
        ("AWS_LAMBDA_FUNCTION_VERSION", spec.version.to_string()),
        (
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
            spec.limits.memory.get().to_string(),
        ),
        ("AWS_REGION", spec.region.clone()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", spec.function.log_group()),
        (
            "AWS_LAMBDA_LOG_STREAM_NAME",
            spec.log_stream.as_ref().to_owned(),
        ),
        (ARN_VARIABLE, spec.arn.clone()),
    ];
    own.chain(platform.map(|(name, value)| (name.to_owned(), value)))
        .collect()
}

/// Where a guest's code is while it is loaded.
#[derive(Default)]
pub(crate) struct Code {
    loaded: ArcSwapOption<Loaded>,
    /// It was used since someone last looked for code to take.
    used: AtomicBool,
}

impl Code {
    /// The code, for as long as the caller keeps it. About 20 ns.
    pub(crate) fn get(&self) -> Option<Arc<Loaded>> {
        let loaded = self.loaded.load_full();
        // Written only when that changes something: all cores read it.
        if loaded.is_some() && !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
        loaded
    }

    pub(crate) fn is_loaded(&self) -> bool {
        self.loaded.load().is_some()
    }

    pub(crate) fn set(&self, loaded: Option<Arc<Loaded>>) {
        self.loaded.store(loaded);
    }

    pub(crate) fn take(&self) -> Option<Arc<Loaded>> {
        self.loaded.swap(None)
    }

    /// Whether it was used since this was asked last.
    pub(crate) fn take_mark(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed)
    }
}

/// A guest's code, linked.
pub(crate) struct Loaded {
    pub(crate) linked: InstancePre<State>,
    pub(crate) entry: Entry,
}

/// Where a guest is entered, resolved once.
#[derive(Clone, Copy)]
pub(crate) enum Entry {
    Command { start: ModuleExport },
    Sdk(SdkExports),
}

/// The exports of the SDK's interface.
#[derive(Clone, Copy)]
pub(crate) struct SdkExports {
    pub(crate) memory: ModuleExport,
    pub(crate) input: ModuleExport,
    pub(crate) alloc: ModuleExport,
    pub(crate) handle: ModuleExport,
    /// Set-up of a module that was not snapshotted.
    pub(crate) initialize: Option<ModuleExport>,
}

impl Entry {
    /// Finds the exports of `kind` in `module`.
    pub(crate) fn find(kind: GuestKind, module: &Module) -> Result<Self, LoadError> {
        let export = |name: &'static str| {
            module
                .get_export_index(name)
                .ok_or(LoadError::MissingExport { name })
        };
        match kind {
            GuestKind::Command => Ok(Self::Command {
                start: export("_start")?,
            }),
            GuestKind::Sdk => Ok(Self::Sdk(SdkExports {
                memory: export("memory")?,
                input: export(sdk::INPUT)?,
                alloc: export(sdk::ALLOC)?,
                handle: export(sdk::HANDLE)?,
                initialize: module.get_export_index(sdk::INITIALIZE),
            })),
        }
    }
}

/// Why a guest's code is not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The artifact can't be read.
    #[error("reading artifact `{}` failed", path.display())]
    Artifact {
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The artifact's content is not what it was.
    #[error("artifact `{}` no longer has the hash {expected}", path.display())]
    ArtifactChanged {
        /// Where it is.
        path: PathBuf,
        /// What it should hash to.
        expected: ArtifactId,
    },
    /// Its code can't be compiled again.
    #[error("compiling artifact {artifact} failed")]
    Compile {
        /// Which one.
        artifact: ArtifactId,
        /// Why.
        source: CompileError,
    },
    /// Its code is being compiled again, and that takes longer than the run may.
    #[error("its code is being prepared; try again in a moment")]
    Preparing,
    /// An import is missing or has another type.
    #[error("linking failed: {message}")]
    Link {
        /// What the engine said; it names the import.
        message: String,
    },
    /// The kind of guest needs an export that the module does not have.
    #[error("export `{name}` is missing")]
    MissingExport {
        /// Its name.
        name: &'static str,
    },
    /// The system has no descriptor or no mapping left for it, also after code that was not used for
    /// a while was given up.
    #[error("the system has no room for its code: {source} (see `ulimit -n` and vm.max_map_count)")]
    NoRoom {
        /// What the system said.
        source: std::io::Error,
    },
    /// The runtime for blocking work is shutting down.
    #[error("loading was stopped")]
    Stopped,
}
