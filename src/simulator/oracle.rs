//! The oracle: a log of every message handed to a socket, and what a recorder must therefore have found.
//!
//! JSON lines. `k` says what happened, `at` is the wall clock in ns:
//!
//! | `k` | fields |
//! |---|---|
//! | `start` | `venue`, `seed`, `symbols`, `version` |
//! | `open` | `conn` (from 1), `path` |
//! | `turned-away` | `path` of a connection that is refused because its address is banned |
//! | `sub`, `unsub` | `conn`, `streams` |
//! | `msg` | `conn`, `n` (from 0), `off` (bytes handed over so far), `stream`, `kind`, `sym`, ids (`U`,`u`,`pu` / `t` / `a`,`f`,`l`), times `E`,`T` in ms, `p`,`q`,`m` or `bp`,`bq`,`ap`,`aq`, `nb`,`na`,`lv`, `x` (`column=value;` of the message's table), `oi` (open interest), `tm` (matching time of a mark price, ms), `rows` (elements of an array, in the same words), `len`, `crc`; `fault` names the fault that made or hit it; an answered snapshot of a connection has `kind` `snapshot` and its id `u`; a frame lost by a fault has `dropped: true` and no `n`, `off` |
//! | `close` | `conn`, `how`, `code`, `msgs`, `bytes` (last byte handed over), `unsent` |
//! | `rest` | `path`, `status`, `sym`, `last_id`, `len`, `crc`, `used` |
//! | `fault` | `kind`, `detail` |
//! | `omit` | `stream`, `sym`, `u` of the diff that lacks a level, `detail` says which |
//! | `cross` | `stream`, `sym`, `u` of the diff that leaves the book crossed |
//! | `end` | |
//!
//! `crc` is the CRC-32 (IEEE) of the payload as sent, 8 hex digits. `lv` is the CRC-32 of `<bids as sent>|<asks as sent>`
//! with `price:size;` per level in canonical numbers (no trailing zeros), so that rows of a dataset can be held against it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufWriter, Write};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use super::config::{OracleTo, SimError};
use super::text::{int, put};

/// Version of the log's format.
pub const VERSION: u32 = 1;

enum Sink {
    None,
    File(BufWriter<std::fs::File>),
    Memory(Arc<Mutex<Vec<u8>>>),
}

/// The writing side.
pub(super) struct Oracle {
    sink: Sink,
    line: Vec<u8>,
    failed: Option<std::io::Error>,
}

/// The wall clock, ns.
#[allow(
    clippy::disallowed_methods,
    reason = "the simulator is the other side: its stamps must not follow the recorder's"
)]
pub(super) fn wall_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as i64)
}

impl Oracle {
    pub(super) fn open(to: &OracleTo) -> Result<Oracle, SimError> {
        let sink = match to {
            OracleTo::None => Sink::None,
            OracleTo::Memory(m) => Sink::Memory(m.clone()),
            OracleTo::File(p) => {
                let f = std::fs::File::create(p)
                    .map_err(|e| SimError::io(format!("creating the oracle log {}", p.display()), e))?;
                Sink::File(BufWriter::with_capacity(1 << 20, f))
            }
        };
        Ok(Oracle { sink, line: Vec::with_capacity(1024), failed: None })
    }

    /// Whether anybody listens.
    pub(super) fn on(&self) -> bool {
        !matches!(self.sink, Sink::None)
    }

    /// Begins a line; the caller appends `,"key":value…` and calls [`Oracle::end_line`].
    pub(super) fn begin(&mut self, k: &str) -> &mut Vec<u8> {
        self.line.clear();
        put(&mut self.line, "{\"k\":\"");
        put(&mut self.line, k);
        put(&mut self.line, "\",\"at\":");
        int(&mut self.line, wall_ns());
        &mut self.line
    }

    pub(super) fn end_line(&mut self) {
        put(&mut self.line, "}\n");
        let done = match &mut self.sink {
            Sink::None => Ok(()),
            Sink::File(f) => f.write_all(&self.line),
            Sink::Memory(m) => {
                // A poisoned lock still holds good bytes.
                m.lock().unwrap_or_else(|e| e.into_inner()).extend_from_slice(&self.line);
                Ok(())
            }
        };
        if let Err(e) = done {
            // A log with a hole would accuse the recorder: stop writing and say so at the end.
            self.sink = Sink::None;
            self.failed = Some(e);
        }
    }

    /// Writes out what is buffered. The first error, if the log is not complete.
    pub(super) fn flush(&mut self) -> Option<std::io::Error> {
        if let Sink::File(f) = &mut self.sink
            && let Err(e) = f.flush()
        {
            self.sink = Sink::None;
            self.failed = Some(e);
        }
        self.failed.take()
    }
}

/// One line of the log. Fields that a line does not have are `None` or empty.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Line {
    /// What happened.
    pub k: String,
    /// When, ns.
    pub at: i64,
    /// Connection, from 1; 0 = none.
    pub conn: u64,
    /// Number of the message on its connection, from 0.
    pub n: Option<u64>,
    /// Bytes handed to the socket up to the end of this message.
    pub off: Option<u64>,
    /// Stream name.
    pub stream: String,
    /// Streams of `sub` and `unsub`.
    pub streams: Vec<String>,
    /// Kind of message.
    pub kind: String,
    /// Symbol.
    pub sym: String,
    /// First update id.
    #[serde(rename = "U")]
    pub first: Option<i64>,
    /// Last update id.
    #[serde(rename = "u")]
    pub last: Option<i64>,
    /// Last update id of the message before.
    pub pu: Option<i64>,
    /// Trade id.
    pub t: Option<i64>,
    /// Aggregate id.
    pub a: Option<i64>,
    /// First trade id of an aggregate.
    pub f: Option<i64>,
    /// Last trade id of an aggregate.
    pub l: Option<i64>,
    /// Time of the message, ms.
    #[serde(rename = "E")]
    pub e: Option<i64>,
    /// Matching time, ms (next funding time on mark prices).
    #[serde(rename = "T")]
    pub ts: Option<i64>,
    /// Price.
    pub p: Option<String>,
    /// Size.
    pub q: Option<String>,
    /// Buyer is maker.
    pub m: Option<bool>,
    /// Best bid price.
    pub bp: Option<String>,
    /// Best bid size.
    pub bq: Option<String>,
    /// Best ask price.
    pub ap: Option<String>,
    /// Best ask size.
    pub aq: Option<String>,
    /// Bid levels.
    pub nb: Option<u64>,
    /// Ask levels.
    pub na: Option<u64>,
    /// Checksum of the levels.
    pub lv: Option<String>,
    /// Further columns of the message's row: `column=value;`, in the units of the table.
    pub x: Option<String>,
    /// Open interest beside a mark price.
    pub oi: Option<String>,
    /// Matching time of a mark price, ms, where `T` is the time of the next funding.
    pub tm: Option<i64>,
    /// The elements of an array, one for each row that must come of it (two where there is `oi`).
    pub rows: Vec<Line>,
    /// Bytes of the payload.
    pub len: Option<u64>,
    /// Checksum of the payload.
    pub crc: Option<String>,
    /// The payload, if the log has it.
    pub payload: Option<String>,
    /// Lost by a fault.
    pub dropped: bool,
    /// The fault that made or hit this message.
    pub fault: Option<String>,
    /// How a connection ended.
    pub how: String,
    /// Close code.
    pub code: Option<u16>,
    /// Messages handed over on a connection.
    pub msgs: Option<u64>,
    /// Bytes handed over on a connection.
    pub bytes: Option<u64>,
    /// Bytes that were queued and never handed over.
    pub unsent: Option<u64>,
    /// Path of a connection or request.
    pub path: String,
    /// HTTP status.
    pub status: Option<u16>,
    /// Id of a snapshot.
    pub last_id: Option<i64>,
    /// Request weight used in this minute.
    pub used: Option<u64>,
    /// For people.
    pub detail: String,
    /// Venue (`start`).
    pub venue: String,
    /// Seed (`start`).
    pub seed: u64,
    /// Symbols (`start`).
    pub symbols: Vec<String>,
    /// Format (`start`).
    pub version: u32,
}

impl Line {
    /// The link of this message in its chain as `(last id before it, its last id)`; `None` if its stream has no chain,
    /// or if a fault made the ids up.
    pub fn link(&self) -> Option<(i64, i64)> {
        if matches!(self.fault.as_deref(), Some("reset-ids" | "huge-id" | "garbage" | "unknown-event")) {
            return None;
        }
        match self.kind.as_str() {
            "depth" => {
                let last = self.last?;
                Some((self.pu.or(self.first.map(|f| f - 1))?, last))
            }
            "trade" => self.t.map(|t| (t - 1, t)),
            "aggTrade" => self.a.map(|a| (a - 1, a)),
            _ => None,
        }
    }
}

/// Reads a log.
///
/// # Errors
/// The input's error, or `InvalidData` with the number of the line that is none of ours.
pub fn read(input: impl BufRead) -> std::io::Result<Vec<Line>> {
    let mut out = Vec::new();
    for (n, line) in input.lines().enumerate() {
        let line = line?;
        let l = serde_json::from_str(&line).map_err(|e| {
            std::io::Error::new(std::io::ErrorKind::InvalidData, format!("oracle log, line {}: {e}", n + 1))
        })?;
        out.push(l);
    }
    Ok(out)
}

/// A maximal run of ids that a connection's stream did not get, between two messages that it got.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hole {
    /// Stream name.
    pub stream: String,
    /// First missing id.
    pub first: i64,
    /// Last missing id.
    pub last: i64,
    /// On which connection.
    pub conn: u64,
}

/// A connection's end, for one of its streams.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Disconnect {
    /// Stream name.
    pub stream: String,
    /// On which connection.
    pub conn: u64,
    /// How it ended.
    pub how: String,
    /// Last id handed over, −1 if none or if the stream has no chain.
    pub last_id: i64,
    /// When, ns.
    pub at: i64,
}

/// What a recorder must have found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Holes in chained streams.
    pub holes: BTreeSet<Hole>,
    /// One per connection and subscribed stream.
    pub disconnects: BTreeSet<Disconnect>,
    /// Lost frames that no later frame of the stream on that connection shows: they belong to the disconnect.
    pub trailing: BTreeMap<String, u64>,
    /// Lost frames of streams without chain, by stream: nobody can know.
    pub undetectable: BTreeMap<String, u64>,
    /// Messages handed over, by stream.
    pub sent: BTreeMap<String, u64>,
}

impl Expected {
    /// The holes as `(stream, first id, last id)`, whatever the connection.
    pub fn hole_set(&self) -> BTreeSet<(String, i64, i64)> {
        self.holes.iter().map(|h| (h.stream.clone(), h.first, h.last)).collect()
    }
}

/// Computes what a recorder must have found.
///
/// A message that comes late or twice (its last id is not above the greatest seen) closes no hole and opens none: the
/// recorder has seen the hole already.
pub fn expected<'a>(log: impl IntoIterator<Item = &'a Line>) -> Expected {
    let mut x = Expected::default();
    // Greatest id handed over, and frames lost since, per connection and stream.
    let mut seen: BTreeMap<(u64, &str), (i64, u64)> = BTreeMap::new();
    let mut subs: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
    for l in log {
        match l.k.as_str() {
            "sub" => subs.entry(l.conn).or_default().extend(l.streams.iter().map(String::as_str)),
            "unsub" => {
                for s in &l.streams {
                    subs.entry(l.conn).or_default().remove(s.as_str());
                    seen.remove(&(l.conn, s.as_str()));
                }
            }
            "msg" => one_message(&mut x, &mut seen, l),
            "close" => {
                for s in subs.remove(&l.conn).unwrap_or_default() {
                    let (last_id, lost) = seen.remove(&(l.conn, s)).unwrap_or((-1, 0));
                    if lost > 0 {
                        *x.trailing.entry(s.to_owned()).or_default() += lost;
                    }
                    let (stream, how) = (s.to_owned(), l.how.clone());
                    x.disconnects.insert(Disconnect { stream, conn: l.conn, how, last_id, at: l.at });
                }
            }
            _ => {}
        }
    }
    for ((_, stream), (_, lost)) in seen {
        if lost > 0 {
            *x.trailing.entry(stream.to_owned()).or_default() += lost;
        }
    }
    x
}

fn one_message<'a>(x: &mut Expected, seen: &mut BTreeMap<(u64, &'a str), (i64, u64)>, l: &'a Line) {
    if l.stream.is_empty() {
        return;
    }
    let link = l.link();
    if l.dropped {
        if link.is_none() {
            *x.undetectable.entry(l.stream.clone()).or_default() += 1;
        } else if let Some(s) = seen.get_mut(&(l.conn, l.stream.as_str())) {
            s.1 += 1;
        }
        return;
    }
    *x.sent.entry(l.stream.clone()).or_default() += 1;
    let Some((before, last)) = link else { return };
    let key = (l.conn, l.stream.as_str());
    match seen.get_mut(&key) {
        None => {
            seen.insert(key, (last, 0));
        }
        Some((greatest, lost)) => {
            if before > *greatest {
                x.holes.insert(Hole {
                    stream: l.stream.clone(),
                    first: *greatest + 1,
                    last: before,
                    conn: l.conn,
                });
            }
            if last > *greatest {
                (*greatest, *lost) = (last, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: &[&str]) -> Vec<Line> {
        read(lines.join("\n").as_bytes()).unwrap()
    }

    #[test]
    fn holes_are_maximal_runs_between_two_messages() {
        let l = log(&[
            r#"{"k":"sub","conn":1,"streams":["x@depth","x@trade","x@bookTicker"]}"#,
            r#"{"k":"msg","conn":1,"stream":"x@depth","kind":"depth","U":5,"u":9,"pu":3}"#,
            r#"{"k":"msg","conn":1,"stream":"x@depth","kind":"depth","U":12,"u":15,"pu":9,"dropped":true}"#,
            r#"{"k":"msg","conn":1,"stream":"x@depth","kind":"depth","U":17,"u":18,"pu":15,"dropped":true}"#,
            r#"{"k":"msg","conn":1,"stream":"x@depth","kind":"depth","U":20,"u":22,"pu":18}"#,
            r#"{"k":"msg","conn":1,"stream":"x@trade","kind":"trade","t":7}"#,
            r#"{"k":"msg","conn":1,"stream":"x@trade","kind":"trade","t":9}"#,
            r#"{"k":"msg","conn":1,"stream":"x@trade","kind":"trade","t":8}"#,
            r#"{"k":"msg","conn":1,"stream":"x@trade","kind":"trade","t":10,"dropped":true}"#,
            r#"{"k":"msg","conn":1,"stream":"x@bookTicker","kind":"bookTicker","u":10,"dropped":true}"#,
            r#"{"k":"close","conn":1,"how":"rst","at":77}"#,
        ]);
        let x = expected(&l);
        let set: Vec<_> = x.hole_set().into_iter().collect();
        assert_eq!(set, [("x@depth".to_owned(), 10, 18), ("x@trade".to_owned(), 8, 8)]);
        assert_eq!(x.disconnects.len(), 3);
        assert!(x.disconnects.iter().any(|d| d.stream == "x@trade" && d.last_id == 9 && d.at == 77));
        assert_eq!(x.trailing, BTreeMap::from([("x@trade".to_owned(), 1)]));
        assert_eq!(x.undetectable, BTreeMap::from([("x@bookTicker".to_owned(), 1)]));
    }

    #[test]
    fn spot_chains_by_next_id_and_made_up_ids_do_not_count() {
        let l = log(&[
            r#"{"k":"msg","conn":1,"stream":"x@depth","kind":"depth","U":5,"u":9}"#,
            r#"{"k":"msg","conn":1,"stream":"x@depth","kind":"depth","U":1,"u":2,"fault":"reset-ids"}"#,
            r#"{"k":"msg","conn":1,"stream":"x@depth","kind":"depth","U":10,"u":11}"#,
            r#"{"k":"msg","conn":1,"stream":"x@depth","kind":"depth","U":14,"u":15}"#,
            r#"{"k":"msg","conn":2,"stream":"x@depth","kind":"depth","U":20,"u":21}"#,
        ]);
        let x = expected(&l);
        assert_eq!(x.hole_set().into_iter().collect::<Vec<_>>(), [("x@depth".to_owned(), 12, 13)]);
    }

    #[test]
    fn a_subscription_that_ends_ends_its_chain() {
        let l = log(&[
            r#"{"k":"sub","conn":1,"streams":["x@trade"]}"#,
            r#"{"k":"msg","conn":1,"stream":"x@trade","kind":"trade","t":7}"#,
            r#"{"k":"unsub","conn":1,"streams":["x@trade"]}"#,
            r#"{"k":"sub","conn":1,"streams":["x@trade"]}"#,
            r#"{"k":"msg","conn":1,"stream":"x@trade","kind":"trade","t":70}"#,
        ]);
        assert!(expected(&l).holes.is_empty());
        assert!(read(&b"{\"k\":"[..]).is_err());
    }
}
