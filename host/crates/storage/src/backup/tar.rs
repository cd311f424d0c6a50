//! As much of the tar format (POSIX ustar) as backups need: regular files with short names.

use std::io::{self, Read, Write};

const BLOCK_BYTES: usize = 512;
const NAME_BYTES: usize = 100;
const SIZE_AT: usize = 124;
const CHECK_AT: usize = 148;
const TYPE_AT: usize = 156;
const MAGIC_AT: usize = 257;
const MAGIC: &[u8; 8] = b"ustar\x0000";
/// Largest size that eleven octal digits can say.
const SIZE_MAX: u64 = 0o777_7777_7777;

/// Begins a file of `bytes` bytes, which follow.
pub(super) fn begin(out: &mut impl Write, name: &str, bytes: u64) -> io::Result<()> {
    if name.len() > NAME_BYTES || bytes > SIZE_MAX {
        let text = format!("`{name}` of {bytes} bytes does not fit into a tar file");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let mut block = [0; BLOCK_BYTES];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    // Mode, owner, group.
    put(100, b"0000600\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(SIZE_AT, format!("{bytes:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(CHECK_AT, b"        ");
    put(TYPE_AT, b"0");
    put(MAGIC_AT, MAGIC);
    let check = checksum(&block);
    block[CHECK_AT..CHECK_AT + 8].copy_from_slice(format!("{check:06o}\0 ").as_bytes());
    out.write_all(&block)
}

/// Fills the last block of a file of `bytes` bytes.
pub(super) fn pad(out: &mut impl Write, bytes: u64) -> io::Result<()> {
    out.write_all(&[0; BLOCK_BYTES][..padding(bytes)])
}

/// Ends the tar file.
pub(super) fn end(out: &mut impl Write) -> io::Result<()> {
    out.write_all(&[0; 2 * BLOCK_BYTES])
}

/// What follows in a tar file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) bytes: u64,
}

/// The next file; `None` at the end. Its bytes follow, and then [`skip_padding`].
pub(super) fn next(input: &mut impl Read) -> io::Result<Option<Entry>> {
    let mut block = [0; BLOCK_BYTES];
    input.read_exact(&mut block)?;
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let bad = |text: &str| Err(io::Error::new(io::ErrorKind::InvalidData, text));
    let check = octal(&block[CHECK_AT..CHECK_AT + 8]);
    let mut blank = block;
    blank[CHECK_AT..CHECK_AT + 8].fill(b' ');
    if &block[MAGIC_AT..MAGIC_AT + 8] != MAGIC || check != Some(u64::from(checksum(&blank))) {
        return bad("it is not a tar file, or it is damaged");
    }
    if block[TYPE_AT] != b'0' {
        return bad("it holds something else than files");
    }
    let name = &block[..NAME_BYTES];
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let (Ok(name), Some(bytes)) = (
        std::str::from_utf8(name),
        octal(&block[SIZE_AT..SIZE_AT + 12]),
    ) else {
        return bad("a name or a size in it can't be read");
    };
    Ok(Some(Entry {
        name: name.to_owned(),
        bytes,
    }))
}

/// Reads over what fills the last block of a file.
pub(super) fn skip_padding(input: &mut impl Read, bytes: u64) -> io::Result<()> {
    let mut block = [0; BLOCK_BYTES];
    input.read_exact(&mut block[..padding(bytes)])
}

fn padding(bytes: u64) -> usize {
    let used = usize::try_from(bytes % BLOCK_BYTES as u64).unwrap_or(0);
    (BLOCK_BYTES - used) % BLOCK_BYTES
}

fn checksum(block: &[u8; BLOCK_BYTES]) -> u32 {
    block.iter().map(|byte| u32::from(*byte)).sum()
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    let digits = text.trim_matches([' ', '\0']);
    u64::from_str_radix(digits, 8).ok()
}
