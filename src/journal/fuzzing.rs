//! Segments made by hand: for tests and the fuzz target `journal`.

use super::format::{BLOCK, FRAGMENT, HEADER_LEN, Header, fragment_crc, settle};

/// The file of a segment that holds these fragments, each a type and its bytes, at the places where a reader looks for
/// them and with sound checksums, whatever they say. A fragment is cut at its block's end.
pub fn segment(number: u64, dataset: u128, fragments: &[(u8, &[u8])]) -> Vec<u8> {
    let mut header =
        Header { number, size: 2 * BLOCK, salt: [7; 16], dataset, ts_first: 0, recycled: false, prev: None };
    let seed = header.seed();
    let (mut file, mut pos) = (vec![0; 2 * BLOCK as usize], 0);
    for (kind, bytes) in fragments {
        let at = settle(pos);
        let room = (BLOCK - at % BLOCK) as usize - FRAGMENT;
        let bytes = &bytes[..bytes.len().min(room)];
        let from = at as usize;
        let to = from + FRAGMENT + bytes.len();
        if file.len() < to {
            file.resize(to.next_multiple_of(BLOCK as usize), 0);
        }
        file[from..from + 4].copy_from_slice(&fragment_crc(seed, at, *kind, bytes).to_le_bytes());
        file[from + 4..from + 6].copy_from_slice(&(bytes.len() as u16).to_le_bytes());
        file[from + 6] = *kind;
        file[from + FRAGMENT..to].copy_from_slice(bytes);
        pos = to as u64;
    }
    header.size = file.len() as u64;
    let bytes = header.encode();
    for at in [0, BLOCK as usize] {
        file[at..at + HEADER_LEN].copy_from_slice(&bytes);
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::format::{FIRST, FULL, LAST};
    use crate::journal::tests::{ID, Seen, bytes, read_all, scratch};

    #[test]
    fn a_segment_made_by_hand_is_read_like_any_other() {
        let dir = scratch();
        let (whole, parted) = (bytes(1, 0, 50), bytes(1, 1, 70_000));
        // To the end of the first block.
        let (first, last) = parted.split_at(BLOCK as usize - HEADER_LEN - 2 * FRAGMENT - whole.len());
        let file = segment(1, ID, &[(FULL, &whole), (FIRST, first), (LAST, last)]);
        std::fs::write(dir.path().join(crate::journal::segment::segment_name(1)), file).unwrap();
        assert_eq!(read_all(dir.path()), [Seen::Record(1, 0), Seen::Record(1, 1)]);
    }
}
