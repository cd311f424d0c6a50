//! The `sdk` kind: event and answer in the guest's linear memory, version 1 of the interface.
//!
//! The module exports `memory`; a global with the address of an input buffer; a function that
//! allocates a larger one; and the handler, which takes address and length of the input and returns
//! those of the answer. Input is the length of the context (four bytes, little endian), the context
//! as JSON, and the event. The answer's first byte says what follows: 0 a payload, 1 an error object.
//!
//! Everything the guest says about its memory is checked against its memory.

use std::fmt::Write as _;
use std::ops::Range;

use bytes::Bytes;
use domain::limits::PAYLOAD_BYTES_MAX;
use domain::{FunctionError, Outcome};
use serde::de::IgnoredAny;
use serde_json::json;
use wasmtime::{Extern, Func, Instance, Memory, ModuleExport, Store, Val};

use crate::command::ErrorObject;
use crate::execute::{Event, State};
use crate::failure::{self, Phase};
use crate::guest::{GuestSpec, SdkExports};
use crate::run::SandboxError;

/// The global with the input buffer's address.
pub(crate) const INPUT: &str = "mayfly_v1_input";
/// Allocates room for input that does not fit that buffer.
pub(crate) const ALLOC: &str = "mayfly_v1_alloc";
/// The handler.
pub(crate) const HANDLE: &str = "mayfly_v1_handle";
/// What runs once before a snapshot is taken.
pub(crate) const INIT: &str = "mayfly_v1_init";
/// Set-up that a module without `_start` wants to run before anything else.
pub(crate) const INITIALIZE: &str = "_initialize";

/// Size of the input buffer.
const INPUT_BYTES: usize = 65_536;

const PAYLOAD: u8 = 0;
const ERROR: u8 = 1;

/// The part of the context that is the same for every event of one guest.
#[derive(Debug)]
pub(crate) struct ContextTemplate {
    /// An object that is not closed.
    text: String,
    /// The function's resource name as a JSON text.
    arn: String,
}

impl ContextTemplate {
    pub(crate) fn new(spec: &GuestSpec) -> Self {
        let mut text = json!({
            "functionName": spec.function.as_str(),
            "functionVersion": spec.version.to_string(),
            "memoryMb": spec.limits.memory.get(),
        })
        .to_string();
        // Reopened, so that the members of the event can follow.
        text.pop();
        Self {
            text,
            arn: json!(spec.arn).to_string(),
        }
    }

    /// Everything that stands before the event in the input.
    fn header(&self, event: &Event) -> Vec<u8> {
        let addressed = event.arn.as_ref().map(|arn| json!(arn).to_string());
        let arn = addressed.as_ref().unwrap_or(&self.arn);
        let mut text = String::with_capacity(self.text.len() + arn.len() + 112);
        text.push_str("\0\0\0\0");
        text.push_str(&self.text);
        text.push_str(r#","functionArn":"#);
        text.push_str(arn);
        if let Some(client_context) = &event.client_context {
            text.push_str(r#","clientContext":"#);
            text.push_str(client_context);
        }
        let written = write!(
            text,
            r#","requestId":"{}","deadlineMs":{}}}"#,
            event.id, event.deadline_unix_ms
        );
        debug_assert!(written.is_ok(), "writing to a String can't fail");
        let mut header = text.into_bytes();
        let length = u32::try_from(header.len() - 4).unwrap_or(u32::MAX);
        header[..4].copy_from_slice(&length.to_le_bytes());
        header
    }
}

/// Why a call has no answer.
enum Stop {
    /// The engine says why.
    Engine(wasmtime::Error),
    Function(FunctionError),
    Host(SandboxError),
}

impl From<wasmtime::Error> for Stop {
    fn from(error: wasmtime::Error) -> Self {
        Self::Engine(error)
    }
}

/// Calls the handler.
pub(crate) async fn call(
    store: &mut Store<State>,
    instance: Instance,
    exports: &SdkExports,
) -> Result<Outcome, SandboxError> {
    match exchange(store, instance, exports).await {
        Ok(payload) => Ok(Outcome::Payload(payload)),
        Err(Stop::Engine(error)) => failure::outcome(store.data(), &error, Phase::Call),
        Err(Stop::Function(error)) => Ok(Outcome::Failed(error)),
        Err(Stop::Host(error)) => Err(error),
    }
}

async fn exchange(
    store: &mut Store<State>,
    instance: Instance,
    exports: &SdkExports,
) -> Result<Bytes, Stop> {
    let Some(Extern::Memory(memory)) = instance.get_module_export(&mut *store, &exports.memory)
    else {
        return Err(Stop::Host(SandboxError::NotLoaded));
    };
    if let Some(initialize) = &exports.initialize {
        let initialize = func(store, instance, initialize)?.typed::<(), ()>(&*store)?;
        initialize.call_async(&mut *store, ()).await?;
    }
    let handle = func(store, instance, &exports.handle)?.typed::<(u32, u32), u64>(&*store)?;

    let state = store.data();
    let header = state.guest.context.header(&state.event);
    let event = state.event.payload.clone();
    let length = header.len() + event.len();
    let address = if length <= INPUT_BYTES {
        input_buffer(store, instance, exports)?
    } else {
        allocate(store, instance, exports, length).await?
    };
    write_input(memory.data_mut(&mut *store), address, &header, &event)?;
    let length = u32::try_from(length).map_err(|_| Stop::Function(FunctionError::OutOfMemory))?;

    let packed = handle.call_async(&mut *store, (address, length)).await?;
    read_answer(store, memory, packed)
}

fn func(store: &mut Store<State>, instance: Instance, export: &ModuleExport) -> Result<Func, Stop> {
    match instance.get_module_export(&mut *store, export) {
        Some(Extern::Func(func)) => Ok(func),
        _ => Err(Stop::Host(SandboxError::NotLoaded)),
    }
}

fn input_buffer(
    store: &mut Store<State>,
    instance: Instance,
    exports: &SdkExports,
) -> Result<u32, Stop> {
    match instance.get_module_export(&mut *store, &exports.input) {
        Some(Extern::Global(input)) => match input.get(&mut *store) {
            Val::I32(address) => Ok(address.cast_unsigned()),
            _ => Err(Stop::Host(SandboxError::NotLoaded)),
        },
        _ => Err(Stop::Host(SandboxError::NotLoaded)),
    }
}

async fn allocate(
    store: &mut Store<State>,
    instance: Instance,
    exports: &SdkExports,
    length: usize,
) -> Result<u32, Stop> {
    let length = u32::try_from(length).map_err(|_| Stop::Function(FunctionError::OutOfMemory))?;
    let alloc = func(store, instance, &exports.alloc)?.typed::<u32, u32>(&*store)?;
    match alloc.call_async(&mut *store, length).await? {
        0 => Err(Stop::Function(FunctionError::OutOfMemory)),
        address => Ok(address),
    }
}

fn write_input(memory: &mut [u8], address: u32, header: &[u8], event: &[u8]) -> Result<(), Stop> {
    let length = header.len() + event.len();
    let size = memory.len();
    let Some(room) = range(address, length).and_then(|range| memory.get_mut(range)) else {
        return Err(invalid(format!(
            "its input buffer, {length} bytes at {address}, is outside its memory of {size} bytes"
        )));
    };
    room[..header.len()].copy_from_slice(header);
    room[header.len()..].copy_from_slice(event);
    Ok(())
}

fn read_answer(store: &Store<State>, memory: Memory, packed: u64) -> Result<Bytes, Stop> {
    let address = u32::try_from(packed >> 32).unwrap_or(u32::MAX);
    let length = usize::try_from(packed & u64::from(u32::MAX)).unwrap_or(usize::MAX);
    let memory = memory.data(store);
    let Some(answer) = range(address, length).and_then(|range| memory.get(range)) else {
        let size = memory.len();
        return Err(invalid(format!(
            "its answer, {length} bytes at {address}, is outside its memory of {size} bytes"
        )));
    };
    let Some((kind, body)) = answer.split_first() else {
        return Err(invalid(
            "its answer is empty, it lacks the first byte that says what it is",
        ));
    };
    if body.len() > PAYLOAD_BYTES_MAX {
        return Err(Stop::Function(FunctionError::ResponseTooLarge));
    }
    let text = std::str::from_utf8(body).map_err(|error| {
        invalid(format!(
            "its answer is not UTF-8 at byte {}",
            error.valid_up_to()
        ))
    })?;
    match *kind {
        PAYLOAD => match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => Ok(Bytes::copy_from_slice(body)),
            Err(error) => Err(invalid(format!("its answer is not JSON: {error}"))),
        },
        ERROR => Err(returned_error(text)),
        other => Err(invalid(format!(
            "the first byte of its answer is {other}, not 0 or 1"
        ))),
    }
}

fn returned_error(text: &str) -> Stop {
    match ErrorObject::parse(text) {
        Some(error) => Stop::Function(error.returned(Bytes::copy_from_slice(text.as_bytes()))),
        None => invalid("its error is not a JSON object with an `errorMessage`"),
    }
}

fn invalid(message: impl Into<String>) -> Stop {
    Stop::Function(FunctionError::InvalidResponse {
        message: message.into(),
    })
}

/// The bytes from `address` on, if their end can be written down.
fn range(address: u32, length: usize) -> Option<Range<usize>> {
    let start = usize::try_from(address).ok()?;
    Some(start..start.checked_add(length)?)
}
