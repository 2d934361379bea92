//! A line of the manifest of which one byte was changed, as it was: its checksum says which byte and how.
//!
//! CRC-32C is linear. What a changed byte does to it depends on the change and on how many bytes follow, so going back
//! from the difference byte by byte finds the one place where a single byte explains it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

use super::error::DatasetError;
use super::manifest::{SEAL, parse};

/// What each byte does to a CRC-32C (reflected).
const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut t = [0u32; 256];
    let mut i = 0;
    while i < 256 {
        let (mut c, mut bit) = (i as u32, 0);
        while bit < 8 {
            c = if c & 1 == 1 { 0x82f6_3b78 ^ (c >> 1) } else { c >> 1 };
            bit += 1;
        }
        t[i] = c;
        i += 1;
    }
    t
}

/// Mends what can be mended of a manifest's file and puts it in the place of the damaged one; says which lines, from 1.
///
/// # Errors
/// The file system's.
pub(super) fn mend(path: &Path) -> Result<Vec<usize>, DatasetError> {
    let mut text = Vec::new();
    File::open(path)
        .and_then(|mut f| f.read_to_end(&mut text))
        .map_err(|e| DatasetError::io(path, "reading the manifest", e))?;
    let (mut mended, mut out) = (Vec::new(), Vec::with_capacity(text.len()));
    for (i, line) in text.split_inclusive(|&b| b == b'\n').enumerate() {
        let found =
            line.strip_suffix(b"\n").filter(|l| !l.is_empty() && parse(l).is_err()).and_then(as_it_was);
        match found {
            Some(sound) => {
                mended.push(i + 1);
                out.extend_from_slice(&sound);
                out.push(b'\n');
            }
            None => out.extend_from_slice(line),
        }
    }
    if mended.is_empty() {
        return Ok(mended);
    }
    let tmp = path.with_extension("tmp");
    let write = || -> std::io::Result<()> {
        let mut f = File::create(&tmp)?;
        f.write_all(&out)?;
        f.sync_all()?;
        std::fs::rename(&tmp, path)?;
        path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    };
    write().map_err(|e| DatasetError::io(path, "mending the manifest", e))?;
    Ok(mended)
}

/// A line of which one byte was changed; `None` if more was.
fn as_it_was(line: &[u8]) -> Option<Vec<u8>> {
    let at = line.len().checked_sub(SEAL.len() + 10)?;
    let (content, seal) = line.split_at(at);
    let crc = crc32c::crc32c(content);
    let sealed = |content: &[u8], crc: u32| {
        let line = [content, SEAL, format!("{crc:08x}\"}}").as_bytes()].concat();
        parse(&line).is_ok().then_some(line)
    };
    let own = [SEAL, format!("{crc:08x}\"}}").as_bytes()].concat();
    if own.iter().zip(seal).filter(|(a, b)| a != b).count() == 1 {
        // In the checksum, or in what stands around it.
        return sealed(content, crc);
    }
    let digits = std::str::from_utf8(seal.get(SEAL.len()..SEAL.len() + 8)?).ok()?;
    let stated = u32::from_str_radix(digits, 16).ok()?;
    let mut difference = crc ^ stated;
    for p in (0..content.len()).rev() {
        // No two entries agree in their first byte, so only one can have led here.
        let change = TABLE.iter().position(|t| t >> 24 == difference >> 24)?;
        if TABLE[change] == difference {
            let mut fixed = content.to_vec();
            fixed[p] ^= change as u8;
            if let Some(line) = sealed(&fixed, stated) {
                return Some(line);
            }
        }
        difference = ((difference ^ TABLE[change]) << 8) | change as u32;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::manifest::{number_line, seal};
    use super::*;

    #[test]
    fn any_changed_byte_of_a_line_is_found_and_two_are_not_guessed() {
        let mut line =
            br#"{"op":"delete","path":"v1/trades/venue=v/symbol=S/x.parquet","why":"retention"}"#.to_vec();
        number_line(&mut line, 17);
        seal(&mut line);
        assert!(parse(&line).is_ok());
        for at in 0..line.len() {
            for change in [1, 2, 0x20, 0x80, 0xff] {
                let mut bad = line.clone();
                bad[at] ^= change;
                assert_eq!(as_it_was(&bad).as_ref(), Some(&line), "byte {at}");
            }
        }
        for (a, b) in [(3, 40), (10, 11), (0, line.len() - 4)] {
            let mut bad = line.clone();
            bad[a] ^= 1;
            bad[b] ^= 2;
            assert_ne!(as_it_was(&bad).as_ref(), Some(&bad));
            assert!(as_it_was(&bad).is_none_or(|l| l == line));
        }
        assert_eq!(as_it_was(b"{}"), None);
    }
}
