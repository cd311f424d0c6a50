//! Code that a command sends: a module, or a zip with one, read from a file and put into base64.
//!
//! Whether it is any good is for the server to say.

use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

/// Most bytes of a file. The server's own bound on an upload.
const BYTES_MAX: u64 = 50 << 20;

/// What the server says of a version, as far as commands show it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Uploaded {
    pub(super) version: String,
    pub(super) code_size: u64,
    pub(super) memory_size: u64,
    pub(super) timeout: u64,
}

/// The file in base64.
pub(super) fn read(file: &Path) -> anyhow::Result<String> {
    let place = file.display();
    let opened = std::fs::File::open(file).with_context(|| format!("reading `{place}` failed"))?;
    anyhow::ensure!(
        opened.metadata().is_ok_and(|metadata| metadata.is_file()),
        "`{place}` is no file; give a .wasm file or a .zip with one"
    );
    let mut bytes = Vec::new();
    opened
        .take(BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("reading `{place}` failed"))?;
    anyhow::ensure!(!bytes.is_empty(), "`{place}` is empty");
    anyhow::ensure!(
        u64::try_from(bytes.len()).is_ok_and(|length| length <= BYTES_MAX),
        "`{place}` has more than {BYTES_MAX} bytes, the most that can be uploaded"
    );
    Ok(STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f.wasm");
        let reason = |file: &Path| read(file).unwrap_err().to_string();
        assert!(reason(&file).starts_with("reading `"));
        assert!(reason(folder.path()).contains("is no file"));
        std::fs::write(&file, b"").unwrap();
        assert!(reason(&file).ends_with("is empty"));
        std::fs::write(&file, b"\0asm").unwrap();
        assert_eq!(read(&file).unwrap(), "AGFzbQ==");
        // Sparse: it takes no room.
        let large = std::fs::File::create(&file).unwrap();
        large.set_len(BYTES_MAX + 1).unwrap();
        assert!(reason(&file).contains("more than 52428800 bytes"));
    }
}
