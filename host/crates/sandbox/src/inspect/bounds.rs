//! How much of everything one module may have.
//!
//! The compiler's time can be far from linear in these, and each instance pays for some of them on
//! the host's heap; the numbers leave room for the largest programs that languages really produce.
//! What is accepted here can be instantiated: a test makes the largest module there is.

use domain::Limits;
use wasmparser::{DataKind, ElementItems, FunctionBody, Payload};

use crate::engine::{TABLE_ELEMENTS_MAX, TABLES_PER_MODULE_MAX};
use crate::refusal::Refusal;

/// Bytes of a file.
const FILE_BYTES_MAX: u64 = 32 << 20;
const FUNCTIONS_MAX: u64 = 100_000;
const IMPORTS_MAX: u64 = 1_000;
const EXPORTS_MAX: u64 = 10_000;
const TYPES_MAX: u64 = 20_000;
const GLOBALS_MAX: u64 = 40_000;
/// A program in Go has one for each pointer-free island of its data: 42,000 in a small one.
const DATA_SEGMENTS_MAX: u64 = 100_000;
const ELEMENT_SEGMENTS_MAX: u64 = 10_000;
/// Elements of all segments. The host holds those of passive segments again for each instance, out of
/// sight of the function's memory.
const ELEMENTS_SUM_MAX: u64 = 100_000;
const CUSTOM_SECTIONS_MAX: u64 = 1_000;
/// Bytes of one function's body.
const BODY_BYTES_MAX: u64 = 2 << 20;
/// Locals of one function, parameters included.
const LOCALS_MAX: u64 = 20_000;
/// Blocks within blocks, in one function.
const NESTING_MAX: u64 = 1_000;
/// Blocks of a whole module.
const BLOCKS_MAX: u64 = 5_000_000;
/// Targets of one `br_table`; the engine's own limit.
const BRANCH_TARGETS_MAX: u64 = 65_520;
/// Targets of all `br_table`s of a module.
const BRANCH_TARGETS_SUM_MAX: u64 = 1_000_000;
/// Bytes of the section with the names of functions.
const NAME_BYTES_MAX: u64 = 4 << 20;
/// Host memory behind one table element.
const TABLE_ELEMENT_BYTES: u64 = 8;

/// What was counted so far.
#[derive(Debug, Default)]
pub(super) struct Counts {
    imports: u64,
    branch_targets: u64,
    blocks: u64,
    custom_sections: u64,
    active_data_bytes: u64,
    /// Memories and tables at their smallest.
    initial_bytes: u64,
}

impl Counts {
    pub(super) fn imports(&self) -> u64 {
        self.imports
    }

    /// Checks what a section says of itself, before anyone reads its items.
    pub(super) fn section(&mut self, payload: &Payload<'_>) -> Result<(), Refusal> {
        match payload {
            Payload::TypeSection(section) => check("types", section.count(), TYPES_MAX),
            Payload::ImportSection(section) => {
                self.imports = u64::from(section.count());
                check("imports", section.count(), IMPORTS_MAX)
            }
            Payload::FunctionSection(section) => check("functions", section.count(), FUNCTIONS_MAX),
            Payload::CodeSectionStart { count, .. } => check("functions", *count, FUNCTIONS_MAX),
            Payload::GlobalSection(section) => check("globals", section.count(), GLOBALS_MAX),
            Payload::ExportSection(section) => check("exports", section.count(), EXPORTS_MAX),
            Payload::ElementSection(section) => elements(section.clone()),
            Payload::DataCountSection { count, .. } => {
                check("data segments", *count, DATA_SEGMENTS_MAX)
            }
            Payload::TableSection(section) => self.tables(section.clone()),
            Payload::MemorySection(section) => self.memories(section.clone()),
            Payload::DataSection(section) => self.data(section.clone()),
            Payload::CustomSection(section) => {
                self.custom_sections += 1;
                check("custom sections", self.custom_sections, CUSTOM_SECTIONS_MAX)?;
                if section.name() == "name" {
                    let bytes = u64::try_from(section.data().len()).unwrap_or(u64::MAX);
                    check("bytes of names", bytes, NAME_BYTES_MAX)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn tables(&mut self, section: wasmparser::TableSectionReader<'_>) -> Result<(), Refusal> {
        check("tables", section.count(), u64::from(TABLES_PER_MODULE_MAX))?;
        for table in section {
            let elements = table?.ty.initial;
            check("elements in one table", elements, TABLE_ELEMENTS_MAX as u64)?;
            self.initial_bytes += elements * TABLE_ELEMENT_BYTES;
        }
        Ok(())
    }

    fn memories(&mut self, section: wasmparser::MemorySectionReader<'_>) -> Result<(), Refusal> {
        for (index, memory) in section.into_iter_with_offsets().enumerate() {
            let (offset, memory) = memory?;
            if index > 0 {
                return Err(Refusal::Proposal {
                    proposal: "multi-memory".to_owned(),
                    offset,
                });
            }
            let page_bytes = 1_u64
                .checked_shl(memory.page_size_log2.unwrap_or(16))
                .unwrap_or(0);
            let bytes = memory.initial.saturating_mul(page_bytes);
            self.initial_bytes = self.initial_bytes.saturating_add(bytes);
        }
        Ok(())
    }

    fn data(&mut self, section: wasmparser::DataSectionReader<'_>) -> Result<(), Refusal> {
        check("data segments", section.count(), DATA_SEGMENTS_MAX)?;
        for segment in section {
            let segment = segment?;
            if let DataKind::Active { .. } = segment.kind {
                self.active_data_bytes += u64::try_from(segment.data.len()).unwrap_or(u64::MAX);
            }
        }
        Ok(())
    }

    pub(super) fn branch_targets(&mut self, targets: u32) -> Result<(), Refusal> {
        check("targets in one `br_table`", targets, BRANCH_TARGETS_MAX)?;
        self.branch_targets += u64::from(targets);
        check(
            "`br_table` targets",
            self.branch_targets,
            BRANCH_TARGETS_SUM_MAX,
        )
    }

    pub(super) fn block(&mut self, height: u32) -> Result<(), Refusal> {
        self.blocks += 1;
        check("blocks", self.blocks, BLOCKS_MAX)?;
        check("blocks inside each other", height, NESTING_MAX)
    }

    /// Whether the module can start within the function's memory.
    pub(super) fn check_memory(&self, limits: &Limits) -> Result<(), Refusal> {
        let needed_bytes = self.initial_bytes.max(self.active_data_bytes);
        if needed_bytes > limits.memory.bytes() {
            return Err(Refusal::Memory {
                needed_bytes,
                limit_mb: limits.memory.get(),
            });
        }
        Ok(())
    }
}

fn elements(section: wasmparser::ElementSectionReader<'_>) -> Result<(), Refusal> {
    check("element segments", section.count(), ELEMENT_SEGMENTS_MAX)?;
    let mut sum = 0;
    for segment in section {
        sum += u64::from(match segment?.items {
            ElementItems::Functions(items) => items.count(),
            ElementItems::Expressions(_, items) => items.count(),
        });
        check("elements in all segments", sum, ELEMENTS_SUM_MAX)?;
    }
    Ok(())
}

pub(super) fn check_file(wasm: &[u8]) -> Result<(), Refusal> {
    let bytes = u64::try_from(wasm.len()).unwrap_or(u64::MAX);
    if bytes > FILE_BYTES_MAX {
        return Err(Refusal::FileTooLarge {
            bytes,
            max: FILE_BYTES_MAX,
        });
    }
    Ok(())
}

pub(super) fn check_body_size(body: &FunctionBody<'_>) -> Result<(), Refusal> {
    let bytes = u64::try_from(body.range().len()).unwrap_or(u64::MAX);
    check("bytes in one function", bytes, BODY_BYTES_MAX)
}

pub(super) fn check_locals(locals: u32) -> Result<(), Refusal> {
    check("locals in one function", locals, LOCALS_MAX)
}

fn check(what: &'static str, count: impl Into<u64>, max: u64) -> Result<(), Refusal> {
    let count = count.into();
    if count > max {
        Err(Refusal::TooMany { what, count, max })
    } else {
        Ok(())
    }
}
