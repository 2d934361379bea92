//! A recording served as a venue: the lines of `data/README.md`, their bytes as they are, at the recorded pace times N.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::config::SimError;
use super::symbols::SymbolDef;
use super::text::{int, key_int, key_str, put};
use crate::model::dialect::Dialect;

/// One recorded frame or snapshot.
#[derive(Debug)]
struct Item {
    /// ns since the first item.
    at: i64,
    /// Stream name; empty for a snapshot.
    name: Range<usize>,
    /// Payload (bare), or the body of a snapshot.
    data: Range<usize>,
}

/// A side as `price → (price text, size text)`; prices compare as numbers under 18 decimals.
type Side = BTreeMap<i128, (String, String)>;

/// The book as the recording tells it, for snapshots asked for late.
#[derive(Debug, Default)]
struct Book {
    last: i64,
    bids: Side,
    asks: Side,
}

/// What is known of one recorded symbol.
#[derive(Debug, Default)]
struct Known {
    symbol: String,
    price_dec: u8,
    size_dec: u8,
    /// Body of the first snapshot.
    snapshot: Option<Range<usize>>,
    /// Whether it was handed out already.
    given: bool,
    book: Option<Book>,
}

/// A recording in memory.
#[derive(Debug)]
pub struct Recording {
    bytes: Vec<u8>,
    items: Vec<Item>,
    next: usize,
    known: BTreeMap<String, Known>,
    first_ns: i64,
}

impl Recording {
    /// Reads files (gzip or plain), in order, as one.
    ///
    /// # Errors
    /// [`SimError::Recording`] with file and line; [`SimError::Io`] where a file cannot be read.
    pub fn load(files: &[PathBuf]) -> Result<Recording, SimError> {
        let mut r =
            Recording { bytes: Vec::new(), items: Vec::new(), next: 0, known: BTreeMap::new(), first_ns: 0 };
        for f in files {
            let from = r.bytes.len();
            read_file(f, &mut r.bytes)?;
            r.index(f, from)?;
        }
        if r.items.iter().all(|i| i.name.is_empty()) {
            let path = files.first().cloned().unwrap_or_default();
            return Err(SimError::Recording { path, line: 0, what: "no frames of combined streams".into() });
        }
        r.learn();
        Ok(r)
    }

    fn index(&mut self, path: &Path, from: usize) -> Result<(), SimError> {
        let mut at = from;
        let mut n = 0;
        while at < self.bytes.len() {
            n += 1;
            let end = self.bytes[at..].iter().position(|&b| b == b'\n').map_or(self.bytes.len(), |i| at + i);
            let bad =
                |what: &str| SimError::Recording { path: path.to_owned(), line: n, what: what.to_owned() };
            if end > at {
                let line = at..end;
                let space = self.bytes[line.clone()].iter().position(|&b| b == b' ');
                let space = at + space.ok_or_else(|| bad("no blank after the time"))?;
                let ts = std::str::from_utf8(&self.bytes[at..space]).ok().and_then(|t| t.parse::<i64>().ok());
                let ts = match (ts, space - at) {
                    (Some(t), 19) => t,
                    (Some(t), 16) => t * 1000,
                    _ => return Err(bad("a line begins with a time of 19 digits (ns) or 16 (µs)")),
                };
                self.item(ts, space + 1..end);
            }
            at = end + 1;
        }
        Ok(())
    }

    fn item(&mut self, ts: i64, rest: Range<usize>) {
        let b = &self.bytes[rest.clone()];
        if b.starts_with(b"#") || b.starts_with(b">") {
            return;
        }
        if self.items.is_empty() && self.first_ns == 0 {
            self.first_ns = ts;
        }
        let at = ts - self.first_ns;
        const HEAD: &[u8] = b"{\"stream\":\"";
        const MID: &[u8] = b"\",\"data\":";
        if b.starts_with(HEAD) {
            let Some(q) = b[HEAD.len()..].iter().position(|&c| c == b'"').map(|i| i + HEAD.len()) else {
                return;
            };
            if b[q..].starts_with(MID) && b.ends_with(b"}") {
                let name = rest.start + HEAD.len()..rest.start + q;
                let data = rest.start + q + MID.len()..rest.end - 1;
                self.items.push(Item { at, name, data });
            }
        } else if let Some(brace) = b.iter().position(|&c| c == b'{')
            && find(&b[brace..], "lastUpdateId").is_some()
        {
            let data = rest.start + brace..rest.end;
            // The path names the symbol; without one the file holds a single symbol.
            let path = String::from_utf8_lossy(&b[..brace]).into_owned();
            let symbol = path.split(['?', '&', ' ']).find_map(|p| p.strip_prefix("symbol=")).unwrap_or("");
            let lower = super::symbols::lower(symbol);
            self.known.entry(lower).or_default().snapshot.get_or_insert(data.clone());
            self.items.push(Item { at, name: 0..0, data });
        }
    }

    /// Finds out symbols and decimals.
    fn learn(&mut self) {
        let names: BTreeSet<&[u8]> = self.items.iter().map(|i| &self.bytes[i.name.clone()]).collect();
        let lowers: BTreeSet<String> = names
            .iter()
            .filter_map(|n| std::str::from_utf8(n).ok()?.split_once('@').map(|p| p.0.to_owned()))
            .filter(|l| !l.is_empty())
            .collect();
        let unnamed = self.known.remove("");
        for l in &lowers {
            self.known.entry(l.clone()).or_default();
        }
        if let (Some(u), [only]) = (unnamed, lowers.iter().collect::<Vec<_>>().as_slice()) {
            self.known.insert((*only).clone(), u);
        }
        for (lower, k) in &mut self.known {
            k.symbol = lower.to_ascii_uppercase();
            (k.price_dec, k.size_dec) = (1, 1);
        }
        for i in &self.items {
            let data = &self.bytes[i.data.clone()];
            let name = std::str::from_utf8(&self.bytes[i.name.clone()]).unwrap_or("");
            let lower = name.split_once('@').map_or("", |p| p.0);
            let Some(k) = self.known.get_mut(lower) else { continue };
            if name.contains("@depth") {
                for side in ["b", "a"] {
                    for (px, qty) in pairs(data, side).into_iter().take(4) {
                        k.price_dec = k.price_dec.max(decimals(px));
                        k.size_dec = k.size_dec.max(decimals(qty));
                    }
                }
            }
        }
    }

    /// The recorded symbols as instruments.
    pub fn symbols(&self, _d: &Dialect) -> Vec<SymbolDef> {
        let mut defs: Vec<SymbolDef> = self
            .known
            .iter()
            .map(|(lower, k)| SymbolDef {
                symbol: k.symbol.clone(),
                lower: lower.clone(),
                pair: k.symbol.split('_').next().unwrap_or("").to_owned(),
                base: String::new(),
                quote: String::new(),
                price_dec: k.price_dec,
                tick_mult: 1,
                size_dec: k.size_dec,
                step_mult: 1,
                contract: None,
                contract_type: "",
                start_ticks: 100_000,
                typical_steps: 10,
                weight: 1,
            })
            .collect();
        super::symbols::name_contracts(&mut defs);
        defs
    }

    /// Recorder's time of the first line, ms.
    pub fn start_ms(&self) -> i64 {
        self.first_ns / 1_000_000
    }

    /// Whether all has been said.
    pub fn ended(&self) -> bool {
        self.next >= self.items.len()
    }

    /// Says all that was recorded up to `elapsed_ms · speed`.
    pub fn play_until(&mut self, elapsed_ms: i64, speed: f64, mut say: impl FnMut(&str, &[u8])) {
        let until = (elapsed_ms as f64 * speed * 1e6) as i64;
        while let Some(i) = self.items.get(self.next)
            && i.at <= until
        {
            let data = &self.bytes[i.data.clone()];
            let name = std::str::from_utf8(&self.bytes[i.name.clone()]).unwrap_or("");
            if name.is_empty() {
                let start = i.data.start;
                let of =
                    self.known.values_mut().find(|k| k.snapshot.as_ref().is_some_and(|r| r.start == start));
                if let Some(k) = of {
                    k.book = Some(load_book(data));
                }
            } else {
                say(name, data);
                if let Some((lower, channel)) = name.split_once('@')
                    && channel.starts_with("depth")
                    && let Some(book) = self.known.get_mut(lower).and_then(|k| k.book.as_mut())
                {
                    apply(book, data);
                }
            }
            self.next += 1;
        }
    }

    /// The body of a snapshot: the recorded one the first time, later the book at this moment.
    pub fn snapshot(&mut self, lower: &str, limit: usize) -> Option<(i64, Vec<u8>)> {
        let k = self.known.get_mut(lower)?;
        let recorded = k.snapshot.clone()?;
        if let (true, Some(b)) = (k.given, &k.book) {
            let mut out = Vec::new();
            put(&mut out, "{\"lastUpdateId\":");
            int(&mut out, b.last);
            put(&mut out, ",\"bids\":[");
            put(&mut out, &join(b.bids.values().rev().take(limit)));
            put(&mut out, "],\"asks\":[");
            put(&mut out, &join(b.asks.values().take(limit)));
            put(&mut out, "]}");
            return Some((b.last, out));
        }
        k.given = true;
        let body = self.bytes[recorded].to_vec();
        Some((number(&body, "lastUpdateId").unwrap_or(-1), body))
    }
}

fn join<'a>(levels: impl Iterator<Item = &'a (String, String)>) -> String {
    levels.map(|(p, q)| format!("[\"{p}\",\"{q}\"]")).collect::<Vec<_>>().join(",")
}

fn read_file(path: &Path, into: &mut Vec<u8>) -> Result<(), SimError> {
    let io = |e| SimError::io(format!("reading the recording {}", path.display()), e);
    let raw = std::fs::read(path).map_err(io)?;
    if raw.starts_with(&[0x1f, 0x8b]) {
        flate2::read::MultiGzDecoder::new(raw.as_slice()).read_to_end(into).map_err(io)?;
    } else {
        into.extend_from_slice(&raw);
    }
    if into.last().is_some_and(|&b| b != b'\n') {
        into.push(b'\n');
    }
    Ok(())
}

fn load_book(body: &[u8]) -> Book {
    let mut b = Book { last: number(body, "lastUpdateId").unwrap_or(-1), ..Book::default() };
    for (key, side) in [("bids", &mut b.bids), ("asks", &mut b.asks)] {
        for (p, q) in pairs(body, key) {
            set(side, p, q);
        }
    }
    b
}

fn apply(book: &mut Book, data: &[u8]) {
    let Some(u) = number(data, "u") else { return };
    if u < book.last {
        return;
    }
    book.last = u;
    for (key, side) in [("b", &mut book.bids), ("a", &mut book.asks)] {
        for (p, q) in pairs(data, key) {
            set(side, p, q);
        }
    }
}

fn set(side: &mut Side, p: &str, q: &str) {
    let Some(key) = scaled(p) else { return };
    if scaled(q) == Some(0) {
        side.remove(&key);
    } else {
        side.insert(key, (p.to_owned(), q.to_owned()));
    }
}

/// A plain decimal under 18 decimals.
fn scaled(s: &str) -> Option<i128> {
    let (whole, part) = s.split_once('.').unwrap_or((s, ""));
    let digits = part.get(..part.len().min(18))?;
    let scale = 10i128.pow(18 - digits.len() as u32);
    let low: i128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    whole.parse::<i128>().ok()?.checked_mul(10i128.pow(18))?.checked_add(low * scale)
}

fn decimals(s: &str) -> u8 {
    s.split_once('.').map_or(0, |p| p.1.len().min(18) as u8)
}

/// Where the value of `"key":` begins.
fn find(b: &[u8], key: &str) -> Option<usize> {
    let k = format!("\"{key}\":");
    let at = b.windows(k.len()).position(|w| w == k.as_bytes())? + k.len();
    Some(at + b[at..].iter().take_while(|c| **c == b' ').count())
}

fn number(b: &[u8], key: &str) -> Option<i64> {
    let at = find(b, key)?;
    let end = b[at..].iter().position(|c| !c.is_ascii_digit()).map_or(b.len(), |n| at + n);
    std::str::from_utf8(&b[at..end]).ok()?.parse().ok()
}

fn text<'a>(b: &'a [u8], key: &str) -> Option<&'a str> {
    let at = find(b, key)?;
    let inner = b[at..].strip_prefix(b"\"")?;
    let end = inner.iter().position(|&c| c == b'"')?;
    std::str::from_utf8(&inner[..end]).ok()
}

/// `[["price","size"],…]` after a key.
fn pairs<'a>(b: &'a [u8], key: &str) -> Vec<(&'a str, &'a str)> {
    let Some(at) = find(b, key) else { return Vec::new() };
    if b.get(at) != Some(&b'[') {
        return Vec::new();
    }
    let end = b[at..].windows(2).position(|w| w == b"]]" || w == b"[]").map_or(b.len(), |n| at + n);
    let strings = b[at..end].split(|&c| c == b'"').skip(1).step_by(2);
    let strings: Vec<&str> = strings.filter_map(|s| std::str::from_utf8(s).ok()).collect();
    strings.chunks_exact(2).map(|c| (c[0], c[1])).collect()
}

/// Oracle fields of a recorded payload.
pub fn describe(line: &mut Vec<u8>, data: &[u8]) {
    let event = text(data, "e").unwrap_or(if find(data, "u").is_some() { "bookTicker" } else { "other" });
    let kind = match event {
        "depthUpdate" => "depth",
        "markPriceUpdate" => "mark",
        other => other,
    };
    key_str(line, "kind", &super::text::escaped(kind));
    key_str(line, "sym", &super::text::escaped(text(data, "s").unwrap_or("")));
    let ids: &[&str] = match kind {
        "depth" => &["U", "u", "pu", "E", "T"],
        "bookTicker" => &["u", "E", "T"],
        "trade" => &["t", "E", "T"],
        "aggTrade" => &["a", "f", "l", "E", "T"],
        _ => &["E"],
    };
    for k in ids {
        if let Some(n) = number(data, k) {
            key_int(line, k, n);
        }
    }
    if matches!(kind, "trade" | "aggTrade") {
        for k in ["p", "q"] {
            if let Some(v) = text(data, k) {
                key_str(line, k, v);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
        let p = dir.join(name);
        std::fs::write(&p, text).unwrap();
        p
    }

    #[test]
    fn lines_come_at_their_pace_with_their_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let a = write(
            dir.path(),
            "a",
            "1723161255000000000 # connect\n\
             1723161255000000000 {\"stream\":\"btcusdt@depth@0ms\",\"data\":{\"e\":\"depthUpdate\",\"s\":\"BTCUSDT\",\"U\":5,\"u\":9,\"pu\":3,\"b\":[[\"10.50\",\"2.000\"]],\"a\":[]}}\n\
             1723161255300000000 {\"lastUpdateId\": 9, \"bids\": [[\"10.50\", \"2.000\"]], \"asks\": [[\"11.00\", \"0.300\"]]}\n",
        );
        let b = write(
            dir.path(),
            "b",
            "1723161256000000000 {\"stream\":\"btcusdt@depth@0ms\",\"data\":{\"e\":\"depthUpdate\",\"s\":\"BTCUSDT\",\"U\":10,\"u\":12,\"pu\":9,\"b\":[[\"10.5\",\"0\"],[\"10.4\",\"1\"]],\"a\":[[\"11\",\"0\"]]}}\n",
        );
        let mut r = Recording::load(&[a, b]).unwrap();
        assert_eq!(r.start_ms(), 1_723_161_255_000);
        let defs = r.symbols(&crate::simulator::dialects::BINANCE_USDM);
        assert_eq!(
            (defs.len(), defs[0].symbol.as_str(), defs[0].price_dec, defs[0].size_dec),
            (1, "BTCUSDT", 2, 3)
        );
        let mut said = Vec::new();
        r.play_until(0, 2.0, |n, d| said.push((n.to_owned(), d.len())));
        assert_eq!(said.len(), 1);
        let (id, body) = r.snapshot("btcusdt", 1000).unwrap();
        assert!(id == 9 && body.starts_with(b"{\"lastUpdateId\": 9"));
        r.play_until(500, 2.0, |n, d| said.push((n.to_owned(), d.len())));
        assert!(r.ended() && said.len() == 2);
        let (id, body) = r.snapshot("btcusdt", 1000).unwrap();
        assert_eq!(
            (id, String::from_utf8(body).unwrap().as_str()),
            (12, "{\"lastUpdateId\":12,\"bids\":[[\"10.4\",\"1\"]],\"asks\":[]}")
        );
        assert!(r.snapshot("ethusdt", 5).is_none());
    }

    #[test]
    fn bad_recordings_name_file_and_line() {
        let dir = tempfile::tempdir().unwrap();
        let p = write(dir.path(), "x", "1723161255000000000 # ok\nabc {}\n");
        let e = Recording::load(&[p]).unwrap_err().to_string();
        assert!(e.contains("line 2") && e.contains("19 digits"), "{e}");
        let p = write(dir.path(), "y", "1723161255000000000 # nothing\n");
        assert!(Recording::load(&[p]).unwrap_err().to_string().contains("no frames"));
        assert!(matches!(Recording::load(&[dir.path().join("none")]), Err(SimError::Io { .. })));
    }

    #[test]
    fn recorded_payloads_are_described() {
        let mut l = Vec::new();
        describe(
            &mut l,
            b"{\"e\":\"depthUpdate\",\"E\":7,\"T\":6,\"s\":\"X\",\"U\":1,\"u\":2,\"pu\":0,\"b\":[],\"a\":[]}",
        );
        assert_eq!(
            String::from_utf8(l).unwrap(),
            ",\"kind\":\"depth\",\"sym\":\"X\",\"U\":1,\"u\":2,\"pu\":0,\"E\":7,\"T\":6"
        );
        let mut l = Vec::new();
        describe(&mut l, b"{\"u\":2,\"s\":\"X\",\"b\":\"1\",\"B\":\"1\",\"a\":\"2\",\"A\":\"1\"}");
        assert_eq!(String::from_utf8(l).unwrap(), ",\"kind\":\"bookTicker\",\"sym\":\"X\",\"u\":2");
    }
}
