//! What a module wants from the host, and how it can be entered.

use wasmparser::types::{EntityType, TypesRef};
use wasmparser::{ImportSectionReader, TypeRef, ValType};

use crate::guest::GuestKind;
use crate::refusal::Refusal;
use crate::{sdk, wasi};

/// Only functions of WASI preview 1 may be imported. Their types are checked when the module is
/// linked.
pub(super) fn check_imports(imports: ImportSectionReader<'_>) -> Result<(), Refusal> {
    for import in imports.into_imports() {
        let import = import?;
        let kind = match import.ty {
            TypeRef::Func(_) | TypeRef::FuncExact(_) => {
                if import.module != wasi::MODULE || !wasi::FUNCTIONS.contains(&import.name) {
                    return Err(Refusal::import(import.module, import.name));
                }
                continue;
            }
            TypeRef::Memory(_) => "memory",
            TypeRef::Table(_) => "table",
            TypeRef::Global(_) => "global",
            TypeRef::Tag(_) => "tag",
        };
        return Err(Refusal::import_kind(kind, import.module, import.name));
    }
    Ok(())
}

/// The kind of a valid module.
pub(super) fn kind(types: TypesRef<'_>, has_imports: bool) -> Result<GuestKind, Refusal> {
    let exports = Exports(types);
    let missing = [sdk::INPUT, sdk::ALLOC, sdk::HANDLE]
        .into_iter()
        .filter(|name| exports.get(name).is_none())
        .collect::<Vec<_>>();
    let kind = match (exports.get("_start"), missing.len()) {
        (Some(_), 3) => GuestKind::Command,
        (Some(_), _) => return Err(Refusal::TwoEntries { sdk: sdk::HANDLE }),
        (None, 0) => GuestKind::Sdk,
        (None, _) => return Err(Refusal::NoEntry { missing }),
    };
    match kind {
        GuestKind::Command => {
            exports.check_function(
                "_start",
                &[],
                &[],
                "a function without parameters or results",
            )?;
            // Without imports nobody asks for its memory.
            if has_imports || exports.get("memory").is_some() {
                exports.check_memory()?;
            }
        }
        GuestKind::Sdk => exports.check_sdk()?,
    }
    Ok(kind)
}

struct Exports<'a>(TypesRef<'a>);

impl Exports<'_> {
    fn get(&self, name: &str) -> Option<EntityType> {
        self.0
            .core_exports()?
            .find(|(exported, _)| *exported == name)
            .map(|(_, ty)| ty)
    }

    fn check_memory(&self) -> Result<(), Refusal> {
        match self.get("memory") {
            Some(EntityType::Memory(_)) => Ok(()),
            _ => Err(Refusal::NoMemory),
        }
    }

    fn check_sdk(&self) -> Result<(), Refusal> {
        use ValType::{I32, I64};
        self.check_memory()?;
        match self.get(sdk::INPUT) {
            Some(EntityType::Global(input))
                if input.content_type == I32 && !input.mutable && !input.shared => {}
            _ => {
                let expected = "an immutable global of type i32";
                return Err(Refusal::ExportType {
                    name: sdk::INPUT,
                    expected,
                });
            }
        }
        self.check_function(sdk::ALLOC, &[I32], &[I32], "a function from i32 to i32")?;
        self.check_function(
            sdk::HANDLE,
            &[I32, I32],
            &[I64],
            "a function from (i32, i32) to i64",
        )?;
        for name in [sdk::INIT, sdk::INITIALIZE] {
            if self.get(name).is_some() {
                self.check_function(name, &[], &[], "a function without parameters or results")?;
            }
        }
        Ok(())
    }

    fn check_function(
        &self,
        name: &'static str,
        params: &[ValType],
        results: &[ValType],
        expected: &'static str,
    ) -> Result<(), Refusal> {
        if let Some(EntityType::Func(id) | EntityType::FuncExact(id)) = self.get(name) {
            let function = self.0[id].unwrap_func();
            if function.params() == params && function.results() == results {
                return Ok(());
            }
        }
        Err(Refusal::ExportType { name, expected })
    }
}
