//! What a file is, decided from its bytes alone: which kind of guest, or why none.
//!
//! One pass over the file that validates it for the engine's own set of features and counts what
//! makes compilers slow. Memory stays within a small multiple of the file. Knows nothing of the
//! engine: whatever passes here still has to compile and link.

mod bounds;
mod entry;

use domain::Limits;
use wasmparser::{
    Encoding, FuncValidatorAllocations, FunctionBody, Operator, Parser, Payload, ValidPayload,
    Validator, WasmFeatures,
};

use crate::guest::GuestKind;
use crate::refusal::Refusal;
use bounds::Counts;

/// The parts of WebAssembly that are switched on, by exhaustive list: a new proposal is off.
pub(crate) const FEATURES: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::FLOATS);

/// Decides what kind of guest `wasm` is.
///
/// # Errors
///
/// [`Refusal`] names the rule that the file breaks. Any bytes can be given.
pub fn inspect(wasm: &[u8], limits: &Limits) -> Result<GuestKind, Refusal> {
    check_magic(wasm)?;
    bounds::check_file(wasm)?;
    let mut validator = Validator::new_with_features(FEATURES);
    let mut parser = Parser::new(0);
    parser.set_features(FEATURES);
    let mut counts = Counts::default();
    let mut allocations = FuncValidatorAllocations::default();
    let mut kind = None;
    for payload in parser.parse_all(wasm) {
        let payload = payload?;
        if let Payload::Version {
            encoding: Encoding::Component,
            ..
        } = payload
        {
            return Err(Refusal::Component);
        }
        // The bounds first: they keep what the validator does small.
        counts.section(&payload)?;
        if let Payload::ImportSection(imports) = &payload {
            entry::check_imports(imports.clone())?;
        }
        match validator.payload(&payload)? {
            ValidPayload::Func(function, body) => {
                let mut function = function.into_validator(allocations);
                check_body(&mut function, &body, &mut counts)?;
                allocations = function.into_allocations();
            }
            ValidPayload::End(types) => {
                counts.check_memory(limits)?;
                kind = Some(entry::kind(types.as_ref(), counts.imports() > 0)?);
            }
            ValidPayload::Ok | ValidPayload::Parser(_) => {}
        }
    }
    kind.ok_or_else(|| Refusal::Invalid {
        message: "it ends early".to_owned(),
        offset: wasm.len(),
    })
}

fn check_body(
    function: &mut wasmparser::FuncValidator<wasmparser::ValidatorResources>,
    body: &FunctionBody<'_>,
    counts: &mut Counts,
) -> Result<(), Refusal> {
    bounds::check_body_size(body)?;
    let mut locals = body.get_binary_reader();
    function.read_locals(&mut locals)?;
    bounds::check_locals(function.len_locals())?;
    let mut operators = body.get_operators_reader()?;
    while !operators.eof() {
        let (operator, offset) = operators.read_with_offset()?;
        function.op(offset, &operator)?;
        match operator {
            Operator::BrTable { targets } => counts.branch_targets(targets.len())?,
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                counts.block(function.control_stack_height())?;
            }
            _ => {}
        }
    }
    operators.finish()?;
    Ok(())
}

/// Tells other kinds of files by how they begin, before anything parses them.
fn check_magic(wasm: &[u8]) -> Result<(), Refusal> {
    let found = match wasm {
        [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => return Ok(()),
        [b'\0', b'a', b's', b'm', _, 0, 1, 0, ..] => return Err(Refusal::Component),
        [b'\0', b'a', b's', b'm', _, _, _, _, ..] => "WebAssembly of an unknown version",
        [b'\0', b'a', b's', b'm', ..] => "cut off after its first bytes",
        [] => "empty",
        [0x7f, b'E', b'L', b'F', ..] => "native code (ELF)",
        [0xcf | 0xce, 0xfa, 0xed, 0xfe, ..] => "native code (Mach-O)",
        [b'M', b'Z', ..] => "native code (Windows)",
        [0x1f, 0x8b, ..] => "compressed with gzip",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "compressed with zstd",
        [b'P', b'K', ..] => "a zip archive",
        [b'%', b'P', b'D', b'F', ..] => "a PDF document",
        [b'#', b'!', ..] => "a script",
        _ => {
            return Err(Refusal::NotWasm {
                found: describe_text(wasm),
            });
        }
    };
    Err(Refusal::NotWasm { found })
}

fn describe_text(wasm: &[u8]) -> &'static str {
    let head = &wasm[..wasm.len().min(512)];
    let printable = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..);
    if !head.iter().all(printable) {
        return "unknown data";
    }
    let text = head.trim_ascii_start();
    if text.starts_with(b"(module") || text.starts_with(b"(component") || text.starts_with(b";;") {
        "WebAssembly text (compile it to binary first)"
    } else {
        "text"
    }
}
