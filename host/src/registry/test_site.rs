//! A registry and a functions folder in a temporary directory, for tests.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::{Clock, FunctionName};
use sandbox::{Compile, EngineSettings, Sandboxes};
use storage::{Artifacts, DataDir, Records};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::drop_folder::{Changes, DropFolder};
use super::refusals::Refusals;
use super::{Draft, Parts, Registry};
use crate::budgets::Budgets;
use crate::manifest::Manifest;
use crate::metrics::Metrics;
use crate::trigger::queue::destination::AllowList;

/// How long a file must not change in these tests.
pub(super) const STABLE: Duration = Duration::from_millis(500);

/// Rounds after which a drop folder that never comes to rest is a failure.
const ROUNDS_MAX: usize = 50;

pub(super) struct Site {
    pub(super) registry: Arc<Registry>,
    pub(super) refusals: Arc<Refusals>,
    pub(super) clock: Clock,
    dir: TempDir,
    background: Runtime,
}

impl Site {
    /// An empty functions folder, nothing published, and a clock that stands still.
    pub(super) fn new() -> Self {
        Self::with_clock(Clock::manual(0))
    }

    pub(super) fn with_clock(clock: Clock) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("functions")).unwrap();
        Self::open(dir, clock)
    }

    fn open(dir: TempDir, clock: Clock) -> Self {
        let background = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let data_dir = DataDir::open(&dir.path().join("data")).unwrap();
        let sandboxes = Sandboxes::new(EngineSettings {
            sandboxes_max: 4,
            loaded_max: 1_000,
            cache_dir: data_dir.cache_dir(),
            compile: Compile::InProcess,
            background: background.handle().clone(),
            clock: clock.clone(),
        })
        .unwrap();
        let registry = Registry::open(Parts {
            records: Records::open(&data_dir).unwrap(),
            artifacts: Artifacts::open(&data_dir).unwrap(),
            sandboxes,
            metrics: Arc::new(Metrics::default()),
            budgets: Arc::new(Budgets::new(clock.clone(), None, &HashMap::new())),
            clock: clock.clone(),
            region: "local".to_owned(),
            concurrency_max: 1_000,
            destinations: AllowList::default(),
            log_stream_suffix: String::new(),
        });
        Self {
            registry: Arc::new(registry.unwrap()),
            refusals: Arc::default(),
            clock,
            dir,
            background,
        }
    }

    /// The same directory, in the next process. The drop folder must be gone before.
    pub(super) fn restart(self) -> Self {
        drop((self.registry, self.background));
        Self::open(self.dir, self.clock)
    }

    pub(super) fn functions(&self) -> PathBuf {
        self.dir.path().join("functions")
    }

    pub(super) fn data(&self, path: &str) -> PathBuf {
        self.dir.path().join("data").join(path)
    }

    pub(super) fn folder(&self) -> DropFolder {
        self.folder_at(self.functions())
    }

    pub(super) fn folder_at(&self, root: PathBuf) -> DropFolder {
        let parts = (Arc::clone(&self.registry), Arc::clone(&self.refusals));
        DropFolder::new(root, STABLE, parts, self.clock.clone())
    }

    /// Writes a file below the functions folder, and the folders on the way.
    pub(super) fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.functions().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(super) fn delete(&self, path: &str) {
        let path = self.functions().join(path);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }

    /// Looks at everything, and again and again as the folder asks to, until it is at rest.
    #[track_caller]
    pub(super) fn settle(&self, folder: &mut DropFolder) {
        let mut changes = Changes {
            everything: true,
            ..Changes::default()
        };
        for _ in 0..ROUNDS_MAX {
            let Some(wait) = folder.pass(&changes) else {
                return;
            };
            self.clock.advance(wait);
            changes = Changes::default();
        }
        panic!("it never comes to rest");
    }

    /// The names of all functions.
    pub(super) fn live(&self) -> Vec<String> {
        let functions = self.registry.functions();
        functions
            .iter()
            .map(|function| function.name.to_string())
            .collect()
    }

    /// Whether the function runs these bytes.
    pub(super) fn runs(&self, name: &str, wasm: &[u8]) -> bool {
        let name = FunctionName::parse(name).unwrap();
        let version = self.registry.resolve(&name, None, 0);
        version.is_ok_and(|version| version.artifact == storage::ArtifactId::of(wasm))
    }

    /// Why a file is refused, or nothing.
    pub(super) fn refusal(&self, file: &str) -> String {
        let all = self.refusals.list();
        let refused = all.into_iter().find(|refused| refused.file == file);
        refused.map(|refused| refused.reason).unwrap_or_default()
    }
}

/// A program that does nothing. Each text makes another artifact.
pub(super) fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(module (memory (export "memory") 1) (func (export "_start"))
             (data (i32.const 0) "{text}"))"#
    ))
    .unwrap()
}

/// A manifest with one route.
pub(super) fn route(path: &str) -> String {
    format!("[[http]]\npath = \"{path}\"\n")
}

pub(super) fn draft(name: &str, wasm: Vec<u8>) -> Draft {
    Draft {
        name: FunctionName::parse(name).unwrap(),
        wasm,
        manifest: Manifest::default(),
    }
}

/// How many files are in a directory.
pub(super) fn count(directory: &Path) -> usize {
    fs::read_dir(directory).unwrap().count()
}
