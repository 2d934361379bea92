//! The canonical text of a book, streamed in small pieces so that hashing it allocates nothing.

use crate::model::Level;
use crate::model::num::write_plain_bytes;

const BUFFER: usize = 4096;
/// Longest item: two numbers of 44 bytes, and two separators.
const ITEM: usize = 96;

/// Writes canonical text into a sink.
pub(super) struct Text<F: FnMut(&[u8])> {
    price_exp: u8,
    size_exp: u8,
    buffer: [u8; BUFFER],
    len: usize,
    sink: F,
}

impl<F: FnMut(&[u8])> Text<F> {
    pub(super) fn new(price_exp: u8, size_exp: u8, sink: F) -> Text<F> {
        Text { price_exp, size_exp, buffer: [0; BUFFER], len: 0, sink }
    }

    /// `<bids>|<asks>`, each level as `price:size;`. Both best first.
    pub(super) fn book(&mut self, bids: impl Iterator<Item = Level>, asks: impl Iterator<Item = Level>) {
        self.levels(bids);
        self.byte(b'|');
        self.levels(asks);
        self.flush();
    }

    /// `<id>;<bid>;<size>;<ask>;<size>;<bids>;<asks>\n`.
    pub(super) fn tops(&mut self, id: i64, best: [Option<Level>; 2], len: [i64; 2]) {
        self.number(id, 0);
        self.byte(b';');
        for level in best {
            match level {
                Some(l) => {
                    self.number(l.price, self.price_exp);
                    self.byte(b';');
                    self.number(l.size, self.size_exp);
                    self.byte(b';');
                }
                None => b"-;-;".iter().for_each(|&b| self.byte(b)),
            }
        }
        self.number(len[0], 0);
        self.byte(b';');
        self.number(len[1], 0);
        self.byte(b'\n');
        self.flush();
    }

    fn levels(&mut self, levels: impl Iterator<Item = Level>) {
        for l in levels {
            if self.len > BUFFER - ITEM {
                self.flush();
            }
            self.number(l.price, self.price_exp);
            self.byte(b':');
            self.number(l.size, self.size_exp);
            self.byte(b';');
        }
    }

    fn number(&mut self, mantissa: i64, exp: u8) {
        let mut digits = [0u8; 44];
        let n = write_plain_bytes(&mut digits, mantissa, exp);
        self.buffer[self.len..self.len + n].copy_from_slice(&digits[44 - n..]);
        self.len += n;
    }

    fn byte(&mut self, b: u8) {
        self.buffer[self.len] = b;
        self.len += 1;
    }

    fn flush(&mut self) {
        (self.sink)(&self.buffer[..self.len]);
        self.len = 0;
    }
}
