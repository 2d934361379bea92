//! Book states as JSON lines; the fields are those of `data/README.md`.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::book::Book;
use crate::fold::Changes;
use crate::model::{InstrumentId, Side, num::write_plain};

/// Lines in the making, for any number of instruments.
pub struct Tape {
    every: u64,
    sha: bool,
    only: Option<String>,
    /// Whether frames come, not a dataset's rows.
    is_record: bool,
    at: (u32, u64),
    insts: Vec<Inst>,
    out: Vec<u8>,
    text: Vec<u8>,
}

#[derive(Default)]
struct Inst {
    sym: String,
    proto: &'static str,
    quiet: bool,
    n: u64,
    seen: u64,
    applied: u64,
    stale: u64,
    gaps: u64,
    snaps: u64,
    syncs: u64,
    crossed: u64,
    changes: Changes,
    synced: bool,
    tops: u32,
    /// The `sync` line without its `replayed`, and how many were replayed so far.
    pending: Option<(String, u64)>,
    /// Lines that wait behind it.
    behind: Vec<String>,
    last: Option<String>,
}

impl Tape {
    /// `every`: a `cp` line every so many applied diffs; `sha`: adds SHA-256; `only`: this symbol alone.
    pub fn new(every: u64, sha: bool, only: Option<String>) -> Tape {
        Tape {
            every,
            sha,
            only,
            is_record: false,
            at: (0, 0),
            insts: Vec::new(),
            out: Vec::new(),
            text: Vec::new(),
        }
    }

    /// What comes are the frames themselves: a snapshot is told when the first diff of its symbol has come.
    pub fn of_record(&mut self) {
        self.is_record = true;
    }

    /// The first line.
    pub fn meta(&mut self, files: &[String]) {
        let line = serde_json::json!({"ev": "meta", "format": 1, "files": files, "every": self.every});
        self.out.extend_from_slice(line.to_string().as_bytes());
        self.out.push(b'\n');
    }

    /// What is ready to print.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// An instrument's symbol and the kind of its sequence rule (`futures`, `spot`, `ascendex`, `learned`).
    pub fn name(&mut self, id: InstrumentId, sym: &str, proto: &'static str) {
        while self.insts.len() <= id.ix() {
            self.insts.push(Inst::default());
        }
        let i = &mut self.insts[id.ix()];
        sym.clone_into(&mut i.sym);
        i.proto = proto;
        i.quiet = self.only.as_ref().is_some_and(|o| o != sym);
    }

    /// 0-based file and 1-based line of the record that comes next.
    pub fn position(&mut self, file: u32, line: u64) {
        self.at = (file, line);
    }

    /// Where the tape is.
    pub fn at(&self) -> (u32, u64) {
        self.at
    }

    /// A diff was seen.
    pub fn diff(&mut self, id: InstrumentId) {
        self.insts[id.ix()].seen += 1;
    }

    /// A diff was dropped at the snapshot.
    pub fn stale(&mut self, id: InstrumentId) {
        self.insts[id.ix()].stale += 1;
    }

    /// The chain broke.
    pub fn gap(&mut self, id: InstrumentId) {
        let line = format!(
            "{{\"ev\":\"gap\",\"sym\":{},\"file\":{},\"line\":{}}}",
            json(&self.insts[id.ix()].sym),
            self.at.0,
            self.at.1
        );
        let i = &mut self.insts[id.ix()];
        i.gaps += 1;
        i.synced = false;
        i.behind.push(line);
    }

    /// A snapshot was loaded.
    pub fn loaded(&mut self, id: InstrumentId, snap_id: i64, book: &Book, exps: (u8, u8)) {
        let mut line = format!(
            "{{\"ev\":\"sync\",\"sym\":{},\"file\":{},\"line\":{},\"snap_id\":{snap_id},\"replayed\":",
            json(&self.insts[id.ix()].sym),
            self.at.0,
            self.at.1
        );
        line.push('\u{1}');
        self.state(&mut line, book, exps, None);
        let i = &mut self.insts[id.ix()];
        i.snaps += 1;
        i.syncs += 1;
        i.synced = true;
        i.tops = 0;
        i.n = 0;
        i.pending = Some((line, 0));
    }

    /// A diff was applied.
    pub fn applied(
        &mut self,
        id: InstrumentId,
        u: i64,
        replayed: bool,
        book: &Book,
        exps: (u8, u8),
        changes: Changes,
    ) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        book.write_tops_line(&mut text, u, exps.0, exps.1);
        let i = &mut self.insts[id.ix()];
        let mut crc = crc32fast::Hasher::new_with_initial(i.tops);
        crc.update(&text);
        i.tops = crc.finalize();
        self.text = text;
        i.n += 1;
        i.applied += 1;
        i.crossed += u64::from(book.is_crossed());
        i.changes.new += changes.new;
        i.changes.change += changes.change;
        i.changes.same += changes.same;
        i.changes.removed += changes.removed;
        i.changes.absent += changes.absent;
        if replayed && let Some((_, n)) = i.pending.as_mut() {
            *n += 1;
        }
        if i.quiet {
            return;
        }
        let due = i.n.is_multiple_of(self.every);
        let (tops, n) = (i.tops, i.n);
        // The last state is wanted too, but nobody knows yet which one that is: its text is made when the tape ends.
        if due {
            let line = self.line("cp", id, n, u, tops, book, exps);
            self.insts[id.ix()].behind.push(line);
        }
    }

    /// The state after the last applied diff; `last` of the file format.
    pub fn last(&mut self, id: InstrumentId, u: i64, book: &Book, exps: (u8, u8)) {
        let (tops, n) = (self.insts[id.ix()].tops, self.insts[id.ix()].n);
        let line = self.line("last", id, n, u, tops, book, exps);
        self.insts[id.ix()].last = Some(line);
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of one line")]
    fn line(
        &mut self,
        ev: &str,
        id: InstrumentId,
        n: u64,
        u: i64,
        tops: u32,
        book: &Book,
        exps: (u8, u8),
    ) -> String {
        let mut line = format!(
            "{{\"ev\":\"{ev}\",\"sym\":{},\"n\":{n},\"file\":{},\"line\":{},\"u\":{u}",
            json(&self.insts[id.ix()].sym),
            self.at.0,
            self.at.1
        );
        self.state(&mut line, book, exps, Some(tops));
        line
    }

    fn state(&mut self, line: &mut String, book: &Book, (p, s): (u8, u8), tops: Option<u32>) {
        let best = |side| match book.best(side) {
            None => "null".to_owned(),
            Some(l) => {
                let mut t = String::from("[\"");
                write_plain(&mut t, l.price, p);
                t.push_str("\",\"");
                write_plain(&mut t, l.size, s);
                t.push_str("\"]");
                t
            }
        };
        // Writing to a String cannot fail.
        let _ = write!(
            line,
            ",\"nb\":{},\"na\":{},\"bb\":{},\"ba\":{},\"crc\":\"{:08x}\",\"crc20\":\"{:08x}\"",
            book.len(Side::Bid),
            book.len(Side::Ask),
            best(Side::Bid),
            best(Side::Ask),
            book.checksum(p, s),
            book.checksum_top(20, p, s)
        );
        if self.sha {
            let mut text = std::mem::take(&mut self.text);
            text.clear();
            book.write_canonical(&mut text, p, s);
            let hex: String = Sha256::digest(&text).iter().map(|b| format!("{b:02x}")).collect();
            let _ = write!(line, ",\"sha\":\"{hex}\"");
            self.text = text;
        }
        if let Some(t) = tops {
            let _ = write!(line, ",\"tops\":\"{t:08x}\"");
        }
        line.push('}');
    }

    /// One record is done: what it said can be printed.
    pub fn record_done(&mut self) {
        for i in &mut self.insts {
            if i.pending.is_none() && i.behind.is_empty() {
                continue;
            }
            if i.quiet {
                i.pending = None;
                i.behind.clear();
                continue;
            }
            if i.seen == 0 && self.is_record {
                // A snapshot that no diff follows is a claim: nothing shows that the stream goes on from it.
                continue;
            }
            if let Some((line, n)) = i.pending.take() {
                self.out.extend_from_slice(line.replace('\u{1}', &n.to_string()).as_bytes());
                self.out.push(b'\n');
            }
            for line in i.behind.drain(..) {
                self.out.extend_from_slice(line.as_bytes());
                self.out.push(b'\n');
            }
        }
    }

    /// The closing lines.
    pub fn finish(&mut self) {
        self.record_done();
        for i in self.insts.iter_mut().filter(|i| i.pending.is_some()) {
            (i.synced, i.syncs) = (false, 0);
        }
        for i in &mut self.insts {
            if i.quiet || (i.seen == 0 && i.snaps == 0 && i.applied == 0) {
                continue;
            }
            if let Some(line) = i.last.take() {
                self.out.extend_from_slice(line.as_bytes());
                self.out.push(b'\n');
            }
        }
        for i in &self.insts {
            if i.quiet || (i.seen == 0 && i.snaps == 0 && i.applied == 0) {
                continue;
            }
            let c = i.changes;
            let line = format!(
                "{{\"ev\":\"end\",\"sym\":{},\"proto\":{},\"synced\":{},\"diffs\":{},\"applied\":{},\"stale\":{},\
                 \"gaps\":{},\"snaps\":{},\"syncs\":{},\"new\":{},\"change\":{},\"same\":{},\"removed\":{},\
                 \"absent\":{},\"crossed\":{}}}\n",
                json(&i.sym),
                // A rule is known by the diffs that it judges.
                if i.seen == 0 && i.applied == 0 { "null".to_owned() } else { json(i.proto) },
                i.synced,
                i.seen,
                i.applied,
                i.stale,
                i.gaps,
                i.snaps,
                i.syncs,
                c.new,
                c.change,
                c.same,
                c.removed,
                c.absent,
                i.crossed
            );
            self.out.extend_from_slice(line.as_bytes());
        }
    }
}

fn json(s: &str) -> String {
    serde_json::Value::from(s).to_string()
}
