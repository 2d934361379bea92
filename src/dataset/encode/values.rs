//! Values as Parquet's encodings put them into pages. Widths are whole bytes: zstd, which comes behind, finds more in
//! aligned values than bit packing saves, and copying is cheaper than shifting.

/// Deltas of a block and of a miniblock, as every known writer has them.
const BLOCK: usize = 128;
const MINI: usize = 32;

/// Unsigned LEB128.
pub(super) fn varint(mut v: u64, out: &mut Vec<u8>) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

fn zigzag(v: i64, out: &mut Vec<u8>) {
    varint(((v << 1) ^ (v >> 63)) as u64, out);
}

/// `DELTA_BINARY_PACKED`. Returns the smallest and the largest value; `values` must not be empty.
pub(super) fn delta(values: &[i64], out: &mut Vec<u8>) -> (i64, i64) {
    let first = values[0];
    varint(BLOCK as u64, out);
    varint((BLOCK / MINI) as u64, out);
    varint(values.len() as u64, out);
    zigzag(first, out);
    let (mut low, mut high) = (first, first);
    let mut deltas = [0i64; BLOCK];
    for (before, block) in values.chunks(BLOCK).zip(values[1..].chunks(BLOCK)) {
        for ((d, v), b) in deltas.iter_mut().zip(block).zip(before) {
            *d = v.wrapping_sub(*b);
        }
        let d = deltas[0];
        let differs = deltas[..block.len()].iter().fold(0, |differs, x| differs | (x ^ d));
        if differs == 0 && d == 0 {
            // Most blocks: what all levels of a message share.
            out.extend_from_slice(&[0; 1 + BLOCK / MINI]);
            continue;
        }
        for v in block {
            low = low.min(*v);
            high = high.max(*v);
        }
        if differs == 0 {
            zigzag(d, out);
            out.extend_from_slice(&[0; BLOCK / MINI]);
        } else {
            packed_block(&mut deltas, block.len(), out);
        }
    }
    (low, high)
}

fn packed_block(deltas: &mut [i64; BLOCK], len: usize, out: &mut Vec<u8>) {
    let min = deltas[..len].iter().copied().fold(i64::MAX, i64::min);
    zigzag(min, out);
    // Places behind the last value are zero once the least delta is off.
    deltas[len..].fill(min);
    for d in deltas.iter_mut() {
        *d = d.wrapping_sub(min);
    }
    let mut widths = [0u8; BLOCK / MINI];
    for (w, mini) in widths.iter_mut().zip(deltas.chunks(MINI)) {
        let bits = mini.iter().fold(0, |bits, d| bits | d);
        *w = (64 - bits.leading_zeros()).div_ceil(8) as u8;
    }
    out.extend(widths.map(|w| w * 8));
    for (w, mini) in widths.into_iter().zip(deltas.chunks(MINI)) {
        narrow(mini.iter().map(|d| *d as u64), usize::from(w), out);
    }
}

/// The low `width` bytes of each value.
fn narrow(values: impl Iterator<Item = u64>, width: usize, out: &mut Vec<u8>) {
    match width {
        0 => {}
        1 => out.extend(values.map(|v| v as u8)),
        2 => values.for_each(|v| out.extend_from_slice(&(v as u16).to_le_bytes())),
        4 => values.for_each(|v| out.extend_from_slice(&(v as u32).to_le_bytes())),
        8 => values.for_each(|v| out.extend_from_slice(&v.to_le_bytes())),
        _ => {
            // Whole words, each over the unused end of the one before.
            let mut words = [0u8; MINI * 8];
            let mut len = 0;
            for v in values.take(MINI) {
                words[len..len + 8].copy_from_slice(&v.to_le_bytes());
                len += width;
            }
            out.extend_from_slice(&words[..len]);
        }
    }
}

/// Bytes of a dictionary index.
pub(super) fn index_width(entries: usize) -> usize {
    match entries {
        0..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    }
}

/// `RLE_DICTIONARY`: the width, then runs. Columns of few values are runs of one value; the others are one packed run.
pub(super) fn indices(codes: impl ExactSizeIterator<Item = u32>, width: usize, out: &mut Vec<u8>) {
    out.push(8 * width as u8);
    let n = codes.len();
    if width == 1 {
        return runs(codes, out);
    }
    let packed = n.next_multiple_of(8);
    varint((packed as u64 / 8) << 1 | 1, out);
    if width == 2 {
        codes.for_each(|c| out.extend_from_slice(&(c as u16).to_le_bytes()));
    } else {
        codes.for_each(|c| out.extend_from_slice(&c.to_le_bytes()));
    }
    out.resize(out.len() + (packed - n) * width, 0);
}

/// Runs of at least eight equal values as such, the rest packed in groups of eight.
fn runs(codes: impl Iterator<Item = u32>, out: &mut Vec<u8>) {
    let mut packed = Vec::new();
    let (mut value, mut count) = (0u8, 0usize);
    for c in codes.map(|c| c as u8) {
        if c != value || count == 0 {
            run(value, count, &mut packed, out);
            (value, count) = (c, 0);
        }
        count += 1;
    }
    run(value, count, &mut packed, out);
    flush(&mut packed, out);
}

fn run(value: u8, count: usize, packed: &mut Vec<u8>, out: &mut Vec<u8>) {
    // A packed group must be full before a run can follow it.
    let fill = count.min(packed.len().next_multiple_of(8) - packed.len());
    if count - fill < 8 {
        return packed.resize(packed.len() + count, value);
    }
    packed.resize(packed.len() + fill, value);
    flush(packed, out);
    varint(((count - fill) as u64) << 1, out);
    out.push(value);
}

fn flush(packed: &mut Vec<u8>, out: &mut Vec<u8>) {
    if packed.is_empty() {
        return;
    }
    packed.resize(packed.len().next_multiple_of(8), 0);
    varint((packed.len() as u64 / 8) << 1 | 1, out);
    out.append(packed);
}

/// Bits in groups of eight, the first one lowest.
pub(super) fn bits(values: impl Iterator<Item = bool>, out: &mut Vec<u8>) {
    let (mut byte, mut at) = (0u8, 0);
    for v in values {
        byte |= u8::from(v) << at;
        at += 1;
        if at == 8 {
            out.push(byte);
            (byte, at) = (0, 0);
        }
    }
    if at > 0 {
        out.push(byte);
    }
}

/// Definition levels of a column that may be null: length, then one run, or the presence bits as one packed run.
pub(super) fn levels(n: usize, present: Option<impl Iterator<Item = bool>>, out: &mut Vec<u8>) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    match present {
        None => {
            varint((n as u64) << 1, out);
            out.push(1);
        }
        Some(present) => {
            varint((n.div_ceil(8) as u64) << 1 | 1, out);
            bits(present, out);
        }
    }
    let len = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&len.to_le_bytes());
}

/// The distinct values of a column chunk, found by their ordered bits.
#[derive(Default)]
pub(super) struct Distinct {
    /// Position in `keys` plus one; 0 = free. A power of two.
    slots: Vec<u32>,
    /// Distinct values in order of first sight, until [`Distinct::sort`].
    keys: Vec<u64>,
    /// Of each place by first sight, its place in order.
    ranks: Vec<u32>,
    shift: u32,
}

impl Distinct {
    const LEAST: usize = 256;

    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.slots.clear();
        self.resize(Distinct::LEAST);
    }

    fn resize(&mut self, slots: usize) {
        self.slots.clear();
        self.slots.resize(slots, 0);
        self.shift = 64 - slots.trailing_zeros();
    }

    fn slot(&self, key: u64) -> usize {
        (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift) as usize
    }

    /// The place of a value by first sight.
    #[inline]
    pub(super) fn code(&mut self, key: u64) -> u32 {
        let mask = self.slots.len() - 1;
        let mut at = self.slot(key);
        loop {
            match self.slots[at & mask] {
                0 => break,
                k if self.keys[k as usize - 1] == key => return k - 1,
                _ => at += 1,
            }
        }
        self.keys.push(key);
        self.slots[at & mask] = self.keys.len() as u32;
        if self.keys.len() * 2 > self.slots.len() {
            self.grow();
        }
        self.keys.len() as u32 - 1
    }

    #[cold]
    fn grow(&mut self) {
        self.resize(self.slots.len() * 4);
        let mask = self.slots.len() - 1;
        for k in 0..self.keys.len() {
            let mut at = self.slot(self.keys[k]);
            while self.slots[at & mask] != 0 {
                at += 1;
            }
            self.slots[at & mask] = k as u32 + 1;
        }
    }

    /// Puts the values in order: neighbours in a book get neighbouring indices, which compress better.
    pub(super) fn sort(&mut self) {
        let mut order: Vec<(u64, u32)> = self.keys.iter().copied().zip(0..).collect();
        order.sort_unstable();
        self.ranks.resize(order.len(), 0);
        for (rank, (key, code)) in order.into_iter().enumerate() {
            self.keys[rank] = key;
            self.ranks[code as usize] = rank as u32;
        }
    }

    /// The distinct values, in order once sorted.
    pub(super) fn keys(&self) -> &[u64] {
        &self.keys
    }

    /// Places by first sight as indices into the sorted dictionary; returns the smallest and the largest value.
    pub(super) fn rank(&self, codes: &[u32], width: usize, out: &mut Vec<u8>) -> Option<(u64, u64)> {
        let (mut low, mut high) = (u32::MAX, 0);
        let ranks = codes.iter().map(|c| {
            let rank = self.ranks[*c as usize];
            (low, high) = (low.min(rank), high.max(rank));
            rank
        });
        indices(ranks, width, out);
        (!codes.is_empty()).then(|| (self.keys[low as usize], self.keys[high as usize]))
    }
}

/// Bits that order as the values do (−0.0 before 0.0), and back.
pub(super) fn key_of_f64(x: f64) -> u64 {
    let b = x.to_bits();
    b ^ (((b as i64 >> 63) as u64) | 1 << 63)
}

pub(super) fn f64_of_key(k: u64) -> f64 {
    f64::from_bits(if k >> 63 == 1 { k ^ 1 << 63 } else { !k })
}

pub(super) fn key_of_i32(x: i32) -> u64 {
    u64::from(x as u32 ^ 1 << 31)
}

pub(super) fn i32_of_key(k: u64) -> i32 {
    (k as u32 ^ 1 << 31) as i32
}
