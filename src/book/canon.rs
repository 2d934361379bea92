//! The canonical text of a book, streamed in small pieces so that hashing it allocates nothing.

use crate::model::Level;
use crate::model::num::{EXP_MAX, pow10};

const BUFFER: usize = 4096;
/// More than the longest item: two numbers of at most 21 bytes and two separators.
const ITEM: usize = 64;

/// "00" to "99".
const PAIRS: [[u8; 2]; 100] = {
    let mut t = [[0; 2]; 100];
    let mut i = 0;
    while i < 100 {
        t[i] = [b'0' + (i / 10) as u8, b'0' + (i % 10) as u8];
        i += 1;
    }
    t
};

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

    /// As [`crate::model::num::write_plain`], two digits at a time: a hash of a deep book is made of tens of
    /// thousands of numbers.
    fn number(&mut self, mantissa: i64, exp: u8) {
        if mantissa < 0 {
            self.byte(b'-');
        }
        let exp = exp.min(EXP_MAX);
        let unit = pow10(exp) as u64;
        let (whole, part) = match exp {
            0 => (mantissa.unsigned_abs(), 0),
            _ => (mantissa.unsigned_abs() / unit, mantissa.unsigned_abs() % unit),
        };
        self.digits(whole, whole.checked_ilog10().unwrap_or(0) as usize + 1);
        if part != 0 {
            self.byte(b'.');
            self.digits(part, exp as usize);
            while self.buffer[self.len - 1] == b'0' {
                self.len -= 1;
            }
        }
    }

    /// The last `count` digits of a number, leading zeros included.
    fn digits(&mut self, mut n: u64, count: usize) {
        let out = &mut self.buffer[self.len..self.len + count];
        let (odd, pairs) = out.as_rchunks_mut::<2>();
        for pair in pairs.iter_mut().rev() {
            *pair = PAIRS[(n % 100) as usize];
            n /= 100;
        }
        if let [first] = odd {
            *first = b'0' + (n % 10) as u8;
        }
        self.len += count;
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::num::write_plain;

    fn both(mantissa: i64, exp: u8) -> (String, String) {
        let mut fast = Vec::new();
        let mut text = Text::new(0, 0, |b| fast.extend_from_slice(b));
        text.number(mantissa, exp);
        text.flush();
        let mut slow = String::new();
        write_plain(&mut slow, mantissa, exp);
        (String::from_utf8(fast).unwrap(), slow)
    }

    proptest! {
        #[test]
        fn numbers_are_those_of_the_model(m in any::<i64>(), shift in 0u32..64, exp in 0u8..20) {
            let (fast, slow) = both(m >> shift, exp);
            prop_assert_eq!(fast, slow);
        }
    }

    #[test]
    fn round_numbers_and_extremes_too() {
        for exp in 0..=19 {
            for m in [0, 1, 10, 100, 105, 1_000_000_000, i64::MAX, i64::MIN, i64::MIN + 1, -50] {
                let (fast, slow) = both(m, exp);
                assert_eq!(fast, slow);
                assert!(fast.len() <= 21);
            }
        }
    }
}
