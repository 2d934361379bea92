//! Writing JSON quickly: integers and fixed decimals onto the end of a byte buffer.

/// Appends raw text.
#[inline]
pub fn put(out: &mut Vec<u8>, s: &str) {
    out.extend_from_slice(s.as_bytes());
}

/// Appends an integer.
#[inline]
pub fn int(out: &mut Vec<u8>, n: i64) {
    let mut buf = [0u8; 20];
    let mut i = buf.len();
    let mut u = n.unsigned_abs();
    loop {
        i -= 1;
        buf[i] = b'0' + (u % 10) as u8;
        u /= 10;
        if u == 0 {
            break;
        }
    }
    if n < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&buf[i..]);
}

/// Appends `m · 10^−dec` with exactly `dec` decimals.
#[inline]
pub fn fixed(out: &mut Vec<u8>, m: i128, dec: u8) {
    if let Ok(small) = u64::try_from(m) {
        // The common case, in 64-bit arithmetic.
        let mut buf = [0u8; 44];
        let (mut i, mut u, mut d) = (buf.len(), small, 0);
        loop {
            if d == dec && dec > 0 {
                i -= 1;
                buf[i] = b'.';
            }
            i -= 1;
            buf[i] = b'0' + (u % 10) as u8;
            u /= 10;
            d += 1;
            if u == 0 && d > dec {
                break;
            }
        }
        out.extend_from_slice(&buf[i..]);
        return;
    }
    if m < 0 {
        out.push(b'-');
    }
    let digits = m.unsigned_abs().to_string();
    let dec = usize::from(dec);
    let digits =
        if digits.len() <= dec { format!("{}{digits}", "0".repeat(dec + 1 - digits.len())) } else { digits };
    let (whole, part) = digits.split_at(digits.len() - dec);
    put(out, whole);
    if dec > 0 {
        out.push(b'.');
        put(out, part);
    }
}

/// Appends `"key":` and an integer, with a comma before it.
#[inline]
pub fn key_int(out: &mut Vec<u8>, key: &str, n: i64) {
    put(out, ",\"");
    put(out, key);
    put(out, "\":");
    int(out, n);
}

/// Appends `"key":"fixed"`, with a comma before it.
#[inline]
pub fn key_fixed(out: &mut Vec<u8>, key: &str, m: i128, dec: u8) {
    put(out, ",\"");
    put(out, key);
    put(out, "\":\"");
    fixed(out, m, dec);
    out.push(b'"');
}

/// Appends `"key":"text"`, with a comma before it; the text must be safe inside JSON quotes already.
#[inline]
pub fn key_str(out: &mut Vec<u8>, key: &str, safe: &str) {
    put(out, ",\"");
    put(out, key);
    put(out, "\":\"");
    put(out, safe);
    out.push(b'"');
}

/// Appends 8 hex digits.
#[inline]
pub fn hex8(out: &mut Vec<u8>, n: u32) {
    for i in (0..8).rev() {
        out.push(b"0123456789abcdef"[(n >> (4 * i)) as usize & 15]);
    }
}

/// The inside of a JSON string: escaped, without the quotes.
pub fn escaped(s: &str) -> String {
    // Infallible for a string.
    let q = serde_json::to_string(s).unwrap_or_default();
    q.get(1..q.len().saturating_sub(1)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f(m: i128, dec: u8) -> String {
        let mut v = Vec::new();
        fixed(&mut v, m, dec);
        String::from_utf8(v).unwrap()
    }

    #[test]
    fn decimals_are_exactly_as_many() {
        assert_eq!(f(6180020, 2), "61800.20");
        assert_eq!(f(0, 8), "0.00000000");
        assert_eq!(f(0, 0), "0");
        assert_eq!(f(5, 3), "0.005");
        assert_eq!(f(159, 0), "159");
        assert_eq!(f(-105, 2), "-1.05");
        assert_eq!(f(-5, 3), "-0.005");
        assert_eq!(f(i128::from(u64::MAX) * 1000, 3), "18446744073709551615.000");
        let mut v = Vec::new();
        int(&mut v, i64::MIN);
        key_int(&mut v, "a", 0);
        hex8(&mut v, 0x0a1b_2c3d);
        assert_eq!(v, b"-9223372036854775808,\"a\":00a1b2c3d");
    }

    #[test]
    fn hostile_names_stay_inside_their_quotes() {
        assert_eq!(escaped("a\"b\n"), "a\\\"b\\n");
        assert_eq!(escaped("龙虾"), "龙虾");
    }
}
