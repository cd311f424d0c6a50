//! The code of a function as clients upload it: a zip file with a module in it, or the module itself,
//! in base64.
//!
//! Nothing is ever extracted: of the zip one entry is read, into memory, up to the size a module may
//! have. Names of other entries and what they claim to be mean nothing to us.

use std::io::{Cursor, Read as _};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zip::ZipArchive;
use zip::result::ZipResult;

use super::super::error::ApiError;
use crate::app::UPLOADS_MAX;
use crate::registry::{Code, NewCode};

/// Most bytes of an upload. Lambda's limit for zip files that are sent in the request.
pub(super) const ZIPPED_BYTES_MAX: usize = 52_428_800;

/// Most bytes of all entries of a zip together. Lambda's limit.
pub(super) const UNZIPPED_BYTES_MAX: u64 = 262_144_000;

/// Most bytes of a module, as in the drop folder.
pub(super) const MODULE_BYTES_MAX: u64 = 64 << 20;

/// Most entries of a zip. What clients make has a few hundred.
const ENTRIES_MAX: usize = 10_000;

/// How a module begins.
const WASM_MAGIC: &[u8] = b"\0asm";

/// Where code may come from, as far as Lambda knows.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct CodeSource {
    /// Base64.
    zip_file: Option<String>,
    s3_bucket: Option<String>,
    s3_key: Option<String>,
    pub(super) image_uri: Option<String>,
}

/// An upload that was looked through.
#[derive(Debug)]
pub(super) struct Uploaded {
    /// The module.
    pub(super) wasm: Vec<u8>,
    /// Of what was uploaded, as are the bytes.
    pub(super) sha256: [u8; 32],
    pub(super) bytes: u64,
}

impl From<Uploaded> for NewCode {
    fn from(uploaded: Uploaded) -> Self {
        Self {
            wasm: uploaded.wasm,
            uploaded: Code {
                sha256: uploaded.sha256,
                bytes: uploaded.bytes,
            },
        }
    }
}

/// A place among the uploads that are worked on; held until the upload is published or refused.
///
/// # Errors
///
/// 429 when all are taken.
pub(super) fn take_place(uploads: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, ApiError> {
    Arc::clone(uploads).try_acquire_owned().map_err(|_| {
        ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "TooManyRequestsException",
            format!("Rate Exceeded. {UPLOADS_MAX} uploads are being published already."),
        )
    })
}

/// Reads what is uploaded. `handler` says which module is meant when a zip has several.
///
/// # Errors
///
/// 400, or 413 when it is too large.
pub(super) fn read(source: &CodeSource, handler: Option<&str>) -> Result<Uploaded, ApiError> {
    if source.image_uri.is_some() {
        return Err(ApiError::validation(
            "Please don't provide ImageUri for a function with packageType Zip.",
        ));
    }
    if source.s3_bucket.is_some() || source.s3_key.is_some() {
        return Err(ApiError::validation(
            "Mayfly has no object store: send the code in ZipFile, not with S3Bucket and S3Key.",
        ));
    }
    match &source.zip_file {
        Some(zip_file) => read_zip_file(zip_file, handler),
        None => Err(ApiError::validation(
            "Please provide a source for function code: ZipFile is missing.",
        )),
    }
}

/// Reads a zip, or a module, in base64.
fn read_zip_file(zip_file: &str, handler: Option<&str>) -> Result<Uploaded, ApiError> {
    let bytes = STANDARD.decode(zip_file).map_err(|_| {
        ApiError::validation("Could not decode the uploaded file: ZipFile must be base64.")
    })?;
    if bytes.len() > ZIPPED_BYTES_MAX {
        return Err(ApiError::too_large(format!(
            "Zipped size must be smaller than {ZIPPED_BYTES_MAX} bytes"
        )));
    }
    let sha256 = Sha256::digest(&bytes).into();
    let length = bytes.len() as u64;
    let wasm = if bytes.starts_with(WASM_MAGIC) {
        bytes
    } else {
        module(&bytes, handler)?
    };
    Ok(Uploaded {
        wasm,
        sha256,
        bytes: length,
    })
}

/// A zip with one entry, `bootstrap.wasm`.
///
/// # Errors
///
/// [`zip::result::ZipError`], when there is no memory for it.
pub(in crate::api) fn zipped(wasm: &[u8]) -> ZipResult<Vec<u8>> {
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::with_capacity(wasm.len() + 256)));
    writer.start_file("bootstrap.wasm", stored)?;
    std::io::Write::write_all(&mut writer, wasm)?;
    Ok(writer.finish()?.into_inner())
}

fn not_a_zip() -> ApiError {
    ApiError::validation(
        "Could not unzip uploaded file. Please check your file, then try to upload again.",
    )
}

/// The module in a zip.
fn module(zip: &[u8], handler: Option<&str>) -> Result<Vec<u8>, ApiError> {
    let mut archive = ZipArchive::new(Cursor::new(zip)).map_err(|_| not_a_zip())?;
    let entries = entries(&mut archive)?;
    let Some(index) = choose(&entries, handler) else {
        let wanted = wanted_names(handler).join("`, `");
        return Err(ApiError::validation(format!(
            "The uploaded file holds no module: it needs `{wanted}`, or a single file whose name ends with `.wasm`, at its root."
        )));
    };
    let entry = archive.by_index(index).map_err(|_| not_a_zip())?;
    let mut wasm = Vec::new();
    // What the zip says about the size is not relied on.
    entry
        .take(MODULE_BYTES_MAX + 1)
        .read_to_end(&mut wasm)
        .map_err(|_| not_a_zip())?;
    if wasm.len() as u64 > MODULE_BYTES_MAX {
        return Err(ApiError::validation(format!(
            "The module in the uploaded file is larger than {MODULE_BYTES_MAX} bytes."
        )));
    }
    Ok(wasm)
}

/// The names of the files at the root, each with its index.
fn entries(archive: &mut ZipArchive<Cursor<&[u8]>>) -> Result<Vec<(String, usize)>, ApiError> {
    if archive.len() > ENTRIES_MAX {
        return Err(ApiError::validation(format!(
            "The uploaded file has {} entries; at most {ENTRIES_MAX} are allowed.",
            archive.len()
        )));
    }
    let mut unzipped = 0_u64;
    let mut names = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(|_| not_a_zip())?;
        unzipped = unzipped.saturating_add(entry.size());
        if let Ok(name) = entry.name()
            && entry.is_file()
            && !name.contains(['/', '\\'])
        {
            names.push((name.into_owned(), index));
        }
    }
    if unzipped > UNZIPPED_BYTES_MAX {
        return Err(ApiError::validation(format!(
            "Unzipped size must be smaller than {UNZIPPED_BYTES_MAX} bytes"
        )));
    }
    Ok(names)
}

/// What a module is called, in the order that we look.
fn wanted_names(handler: Option<&str>) -> Vec<String> {
    let mut names = Vec::new();
    if let Some(handler) = handler {
        if let Some((file, _)) = handler.rsplit_once('.') {
            names.push(format!("{file}.wasm"));
        }
        names.push(format!("{handler}.wasm"));
    }
    names.extend(["bootstrap.wasm".to_owned(), "bootstrap".to_owned()]);
    names
}

fn choose(entries: &[(String, usize)], handler: Option<&str>) -> Option<usize> {
    for wanted in wanted_names(handler) {
        if let Some((_, index)) = entries.iter().find(|(name, _)| *name == wanted) {
            return Some(*index);
        }
    }
    let mut modules = entries.iter().filter(|(name, _)| name.ends_with(".wasm"));
    match (modules.next(), modules.next()) {
        (Some((_, index)), None) => Some(*index),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use zip::write::SimpleFileOptions;

    use super::*;

    fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in files {
            writer
                .start_file(*name, SimpleFileOptions::default())
                .unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn read_bytes(bytes: &[u8], handler: Option<&str>) -> Result<Uploaded, ApiError> {
        read_zip_file(&STANDARD.encode(bytes), handler)
    }

    #[track_caller]
    fn check(files: &[(&str, &[u8])], handler: Option<&str>, expected: Option<&[u8]>) {
        let read = read_bytes(&zip_of(files), handler).ok();
        assert_eq!(read.map(|read| read.wasm).as_deref(), expected);
    }

    #[test]
    fn uploads_beyond_those_that_may_wait_are_to_come_again() {
        let uploads = Arc::new(Semaphore::new(UPLOADS_MAX));
        let mut places: Vec<_> = (0..UPLOADS_MAX)
            .map(|_| take_place(&uploads).unwrap())
            .collect();
        let error = take_place(&uploads).unwrap_err();
        assert_eq!(error.code(), "TooManyRequestsException");
        assert!(error.message().contains("16 uploads"), "{error:?}");
        drop(places.pop());
        drop(take_place(&uploads).unwrap());
        assert_eq!(places.len(), UPLOADS_MAX - 1);
    }

    #[test]
    fn the_module_is_found_as_the_handler_says() {
        let files: [(&str, &[u8]); 5] = [
            ("app.wasm", b"1"),
            ("app.handler.wasm", b"2"),
            ("bootstrap.wasm", b"3"),
            ("bootstrap", b"4"),
            ("src/other.wasm", b"5"),
        ];
        check(&files, Some("app.handler"), Some(b"1"));
        check(&files[1..], Some("app.handler"), Some(b"2"));
        check(&files, Some("index.main"), Some(b"3"));
        check(&files[3..], None, Some(b"4"));
        check(&files[..1], Some("x"), Some(b"1"));
        check(&files[..2], Some("x"), None);
        check(&files[4..], None, None);
        check(&[], None, None);
    }

    #[test]
    fn a_module_may_come_without_a_zip_and_the_hash_is_that_of_the_upload() {
        let module = b"\0asm\x01\0\0\0";
        let raw = read_bytes(module, None).unwrap();
        assert_eq!((raw.wasm.as_slice(), raw.bytes), (&module[..], 8));
        let zip = zipped(module).unwrap();
        let zipped = read_bytes(&zip, None).unwrap();
        assert_eq!(zipped.wasm, module);
        assert_eq!(zipped.bytes, zip.len() as u64);
        assert_eq!(zipped.sha256, <[u8; 32]>::from(Sha256::digest(&zip)));
        assert_ne!(zipped.sha256, raw.sha256);
    }

    #[test]
    fn what_is_no_zip_is_refused_in_the_words_of_aws() {
        let whole = zip_of(&[("bootstrap.wasm", &[7; 1_000])]);
        for broken in [
            &b"PK"[..],
            b"",
            b"not a zip",
            &whole[..whole.len() - 4],
            &whole[8..],
        ] {
            // Cutting the head may leave a zip that can be read; it never panics.
            if let Err(error) = read_bytes(broken, None) {
                assert_eq!(error.message(), not_a_zip().message());
            }
        }
        assert_eq!(
            read_bytes(b"not a zip", None).unwrap_err().message(),
            not_a_zip().message()
        );
        read_zip_file("not base64!", None).unwrap_err();
    }

    #[test]
    fn a_bomb_is_noticed_while_it_is_inflated_or_before() {
        let zeros = vec![0; usize::try_from(MODULE_BYTES_MAX).unwrap() + 1];
        let bomb = zip_of(&[("bootstrap.wasm", &zeros)]);
        assert!(bomb.len() < 1 << 20);
        let error = read_bytes(&bomb, None).unwrap_err();
        assert!(
            error.message().contains("larger than 67108864"),
            "{error:?}"
        );
        let four: Vec<(String, &[u8])> = (0..4).map(|at| (format!("{at}"), &zeros[..])).collect();
        let four: Vec<(&str, &[u8])> = four.iter().map(|(name, of)| (name.as_str(), *of)).collect();
        let error = read_bytes(&zip_of(&four), None).unwrap_err();
        assert_eq!(
            error.message(),
            "Unzipped size must be smaller than 262144000 bytes"
        );
    }

    #[test]
    fn a_zip_with_too_many_entries_is_refused() {
        let names: Vec<String> = (0..=ENTRIES_MAX).map(|at| at.to_string()).collect();
        let files: Vec<(&str, &[u8])> =
            names.iter().map(|name| (name.as_str(), &b""[..])).collect();
        let error = read_bytes(&zip_of(&files), None).unwrap_err();
        assert!(error.message().contains("10001 entries"), "{error:?}");
    }

    #[test]
    fn an_upload_beyond_the_limit_is_too_large() {
        let error = read_zip_file(&"A".repeat((ZIPPED_BYTES_MAX + 3) / 3 * 4), None).unwrap_err();
        assert_eq!(
            error.message(),
            "Zipped size must be smaller than 52428800 bytes"
        );
    }
}
