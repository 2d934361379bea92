//! What was recorded against what the venue's oracle says it sent: no frame missing, none doubled, every hole explained.
//!
//! The judge shares no code with the recorder's fold: what must be missing is worked out from the oracle's ids and from
//! how far each connection's record reaches.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lobtape::simulator::oracle::Line;

use super::rows_check;
use super::tape::{self, Conn, Gap, Tape};

/// What is borne.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// The recorder was killed: connections end where the record ends, and some may have left none.
    pub killed: bool,
    /// The recorder was stopped before the venue: the last connections end where the record ends.
    pub stopped_first: bool,
    /// Connections were replaced while they lived: an event that came over both is told once.
    pub replaced: bool,
    /// Ids of changes have holes by nature: none of them shows a loss.
    pub sparse: bool,
    /// The line was cut on the way: what it held is gone.
    pub line_cut: bool,
    /// Each stream came over two connections: missing is what neither brought, and the end of one is no gap.
    pub legs: bool,
}

/// Numbers of a run, for people.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Figures {
    pub connections: usize,
    pub frames_sent: usize,
    pub frames_recorded: usize,
    /// Handed to a socket that was then reset or whose reader was killed.
    pub frames_in_flight: usize,
    pub frames_dropped_by_faults: usize,
    pub holes: usize,
    pub disconnects: usize,
    pub gap_rows: usize,
    pub rows: BTreeMap<String, usize>,
    /// Events that came over more than one connection.
    pub frames_twice: usize,
    /// Frames of depth streams that stand inside a recorded gap.
    pub depth_in_gaps: usize,
}

/// The judge's word.
#[derive(Debug, Default)]
pub struct Verdict {
    pub faults: Vec<String>,
    pub figures: Figures,
}

impl Verdict {
    pub fn fault(&mut self, text: String) {
        if self.faults.len() < 200 {
            self.faults.push(text);
        }
    }

    /// Panics with the faults, if there are any.
    pub fn demand(&self, what: &str) {
        let n = self.faults.len();
        assert!(n == 0, "{what}: {n} faults\n{}\n{:?}", self.faults[..n.min(40)].join("\n"), self.figures);
    }
}

/// One connection, sent and recorded.
pub struct Pair<'a> {
    /// Its number at the venue.
    pub no: u64,
    /// Its id in the dataset.
    pub id: i64,
    pub conn: &'a Conn,
    /// Every message handed to the socket, in order.
    pub sent: Vec<&'a Line>,
}

impl<'a> Pair<'a> {
    /// The part of what was sent that is recorded.
    pub fn recorded(&self) -> &[&'a Line] {
        &self.sent[..self.conn.frames.len().min(self.sent.len())]
    }
}

/// Holds the part of `venue` in the dataset at `root` against its log.
pub fn check(root: &Path, venue: &str, log: &[Line], rules: Rules) -> Verdict {
    let mut v = Verdict::default();
    let tape = Tape::load(root);
    v.faults.extend(tape.faults.iter().cloned());
    let pairs = pair_up(&tape, venue, log, rules, &mut v);
    prefixes(&pairs, log, rules, &mut v);
    bodies(&tape, venue, log, &mut v);
    let gaps = joined(tape::gaps(root, venue));
    v.figures.gap_rows = gaps.len();
    v.figures.frames_dropped_by_faults = log.iter().filter(|l| l.dropped).count();
    if rules.legs {
        holes_of_both(&pairs, &gaps, rules, &mut v);
    } else {
        let covers = tape::coverage(root, venue);
        holes(&pairs, &gaps, &covers, rules, &mut v);
        disconnects(&tape, venue, &gaps, &mut v);
    }
    seconds(&gaps, &tape::coverage(root, venue), &mut v);
    rows_check::check((root, venue, &tape), &pairs, &gaps, rules, &mut v);
    v
}

/// Which connection of the venue is which of the record.
pub fn pairs<'a>(tape: &'a Tape, venue: &str, log: &'a [Line], rules: Rules) -> Vec<Pair<'a>> {
    pair_up(tape, venue, log, rules, &mut Verdict::default())
}

/// So many messages of a connection are held against the record to find out which one it is.
const FIRST_FRAMES: usize = 50;

/// Finds which recorded connection is which. Its first messages name it: they carry ids and times, but for a greeting that
/// is the same on all; then the order of opening decides.
fn pair_up<'a>(tape: &'a Tape, venue: &str, log: &'a [Line], rules: Rules, v: &mut Verdict) -> Vec<Pair<'a>> {
    let mut sent: BTreeMap<u64, Vec<&Line>> = BTreeMap::new();
    for l in log.iter().filter(|l| l.k == "msg" && !l.dropped) {
        sent.entry(l.conn).or_default().push(l);
    }
    for (no, lines) in &sent {
        for (n, l) in lines.iter().enumerate() {
            if l.n != Some(n as u64) {
                v.fault(format!("oracle: message {:?} of connection {no} where {n} is due", l.n));
            }
        }
    }
    let mut pairs = Vec::new();
    for (id, conn) in tape.conns.iter().filter(|(_, c)| c.venue == venue) {
        if conn.frames.is_empty() {
            continue;
        }
        // Two legs begin alike: they differ only where one of them lost something, or ended.
        let first = if rules.legs { usize::MAX } else { FIRST_FRAMES };
        let begins_alike = |lines: &[&Line]| {
            let same = |(f, l): (&tape::Frame, &&Line)| {
                l.len == Some(f.len) && l.crc.as_deref() == Some(&format!("{:08x}", f.crc))
            };
            conn.frames.iter().zip(lines).take(first).all(same)
        };
        let alike = sent.iter().filter(|(_, lines)| begins_alike(lines));
        let nearest = alike.min_by_key(|(no, lines)| {
            (if rules.legs { lines.len().abs_diff(conn.frames.len()) } else { 0 }, **no)
        });
        match nearest.map(|(no, _)| *no) {
            Some(no) => {
                let sent = sent.remove(&no).unwrap_or_default();
                pairs.push(Pair { no, id: *id, conn, sent });
            }
            None => v.fault(format!("connection {id}: the venue never sent its first frame")),
        }
    }
    for (no, lines) in sent {
        v.figures.frames_in_flight += lines.len();
        if !rules.killed {
            v.fault(format!("connection {no} of the venue: {} messages and no record", lines.len()));
        }
    }
    pairs.sort_by_key(|p| p.no);
    v.figures.connections = pairs.len();
    pairs
}

/// Per connection the record is an exact prefix of what was sent, and all of it where the connection ended in order.
fn prefixes(pairs: &[Pair<'_>], log: &[Line], rules: Rules, v: &mut Verdict) {
    let mut ends: BTreeMap<u64, &Line> = BTreeMap::new();
    for l in log.iter().filter(|l| l.k == "close") {
        ends.insert(l.conn, l);
    }
    for p in pairs {
        let (have, sent) = (p.conn.frames.len(), p.sent.len());
        v.figures.frames_sent += sent;
        v.figures.frames_recorded += have;
        v.figures.frames_in_flight += sent.saturating_sub(have);
        if have > sent {
            v.fault(format!("connection {}: {have} frames recorded, {sent} sent", p.no));
        }
        for (n, (f, l)) in p.conn.frames.iter().zip(&p.sent).enumerate() {
            let crc = format!("{:08x}", f.crc);
            if l.crc.as_deref() != Some(&crc) || l.len != Some(f.len) {
                v.fault(format!("connection {}: frame {n} is not what was sent ({} {crc})", p.no, f.len));
                break;
            }
        }
        let how = ends.get(&p.no).map_or("", |l| l.how.as_str());
        // A reset throws away what the peer's kernel still holds; a recorder that ends leaves its connections unread.
        let may_lack = how == "rst"
            || (how == "client" && rules.line_cut)
            || (p.conn.closed.is_none() && (rules.killed || rules.stopped_first));
        if have < sent && !may_lack {
            v.fault(format!("connection {} ({how}): {} of {sent} frames are missing", p.no, sent - have));
        }
    }
}

/// Every REST body in the record is one that the venue gave.
fn bodies(tape: &Tape, venue: &str, log: &[Line], v: &mut Verdict) {
    let given: BTreeSet<(&str, i32, String)> = log
        .iter()
        .filter(|l| l.k == "rest")
        .map(|l| (l.path.as_str(), l.status.map_or(0, i32::from), l.crc.clone().unwrap_or_default()))
        .collect();
    for b in tape.bodies.iter().filter(|b| b.venue == venue && b.status != 0) {
        if !given.contains(&(b.path.as_str(), b.status, format!("{:08x}", b.crc))) {
            v.fault(format!("REST {} {}: the venue never gave this body", b.status, b.path));
        }
    }
}

/// Rows that an interval boundary has split are one again.
fn joined(rows: Vec<Gap>) -> Vec<Gap> {
    let mut out: Vec<Gap> = Vec::new();
    let mut open: BTreeMap<(String, String), usize> = BTreeMap::new();
    for g in rows {
        let key = (g.stream.clone(), g.cause.clone());
        let at = open.remove(&key).filter(|&i| out[i].end == g.begin && out[i].before == g.before);
        let at = match at {
            Some(i) => {
                (out[i].after, out[i].end) = (g.after, g.end);
                out[i].recovered_by.clone_from(&g.recovered_by);
                i
            }
            None => {
                out.push(g);
                out.len() - 1
            }
        };
        if out[at].recovered_by == "boundary" {
            open.insert(key, at);
        }
    }
    out
}

type Run = (String, i64, i64);

/// Of each stream the ids that neither leg brought, and those of `gaps`.
fn holes_of_both(pairs: &[Pair<'_>], gaps: &[Gap], rules: Rules, v: &mut Verdict) {
    let mut brought: BTreeMap<&str, Vec<(i64, i64)>> = BTreeMap::new();
    for l in pairs.iter().flat_map(|p| p.recorded()) {
        if let Some(link) = l.link() {
            brought.entry(l.stream.as_str()).or_default().push(link);
        }
    }
    let mut due = Vec::new();
    for (stream, mut links) in brought {
        links.sort_unstable();
        let mut greatest = links[0].1;
        for (before, last) in links {
            if before > greatest {
                due.push((stream.to_owned(), greatest + 1, before));
            }
            greatest = greatest.max(last);
        }
    }
    let rows = gaps.iter().filter(|g| g.before >= 0 && g.after > g.before);
    let found = rows.map(|g| (g.stream.clone(), g.before + 1, g.after)).collect();
    let (due, found) = (maximal(due), maximal(found));
    v.figures.holes = due.len();
    for x in due.difference(&found) {
        v.fault(format!("{}: neither leg brought ids {}..={} and no gap says so", x.0, x.1, x.2));
    }
    // After a kill one leg may be there a moment before the other, which then still brings what came between.
    for x in found.difference(&due).filter(|_| !rules.killed) {
        v.fault(format!("{}: a gap says that ids {}..={} are missing", x.0, x.1, x.2));
    }
}

/// Overlapping and adjacent runs of one stream become one.
fn maximal(mut runs: Vec<Run>) -> BTreeSet<Run> {
    runs.sort();
    let mut out: Vec<Run> = Vec::new();
    for (stream, first, last) in runs {
        match out.last_mut().filter(|o| o.0 == stream && first <= o.2.saturating_add(1)) {
            Some(o) => o.2 = o.2.max(last),
            None => out.push((stream, first, last)),
        }
    }
    out.into_iter().collect()
}

/// The missing ids of each stream by what was recorded, and whether the venue skipped them on one connection; between two
/// there was no connection. `views`: answered snapshots of a connection show what is missing before them, too.
fn missing(
    pairs: &[Pair<'_>],
    covers: &[tape::Cover],
    rules: Rules,
    views: bool,
) -> (Vec<Run>, BTreeMap<Run, bool>) {
    // Between two subscriptions that are apart nobody wanted the stream.
    let ended: BTreeSet<&str> =
        covers.iter().filter(|c| c.end_cause == "unsubscribed").map(|c| c.stream.as_str()).collect();
    let mut due = Vec::new();
    let mut within: BTreeMap<Run, bool> = BTreeMap::new();
    let mut seen: BTreeMap<&str, (i64, u64)> = BTreeMap::new();
    for p in pairs {
        for l in p.recorded() {
            let view = l.last.filter(|_| views && l.kind == "snapshot").map(|id| (id, id));
            let Some((before, last)) = l.link().or(view).filter(|_| !(rules.sparse && l.kind == "depth"))
            else {
                continue;
            };
            let Some((greatest, conn)) = seen.get_mut(l.stream.as_str()) else {
                seen.insert(&l.stream, (last, p.no));
                continue;
            };
            if before > *greatest && (*conn == p.no || !ended.contains(l.stream.as_str())) {
                let run = (l.stream.clone(), *greatest + 1, before);
                within.insert(run.clone(), *conn == p.no);
                due.push(run);
            }
            (*greatest, *conn) = ((*greatest).max(last), p.no);
        }
    }
    (due, within)
}

/// Whether a run lies in one of some.
fn lies_in(x: &Run, runs: &BTreeSet<Run>) -> bool {
    runs.iter().any(|r| r.0 == x.0 && r.1 <= x.1 && x.2 <= r.2)
}

/// The missing ids, as sets: those of the oracle, and those of `gaps`.
fn holes(pairs: &[Pair<'_>], gaps: &[Gap], covers: &[tape::Cover], rules: Rules, v: &mut Verdict) {
    let (due, mut within) = missing(pairs, covers, rules, false);
    // What nothing came after may be known all the same, by a snapshot that is behind it.
    let (known, by_views) = missing(pairs, covers, rules, true);
    within.extend(by_views);
    // Around a loss of sparse ids a row says between which two it lies, not that those in between ever were.
    let blind = |g: &Gap| rules.sparse && g.stream.starts_with("depth");
    let rows: Vec<&Gap> = gaps.iter().filter(|g| g.before >= 0 && g.after > g.before && !blind(g)).collect();
    let found = rows.iter().map(|g| (g.stream.clone(), g.before + 1, g.after)).collect();
    let (due, known, found) = (maximal(due), maximal(known), maximal(found));
    v.figures.holes = due.len();
    for x in due.iter().filter(|x| !lies_in(x, &found)) {
        v.fault(format!("{}: ids {}..={} are missing and no gap says so", x.0, x.1, x.2));
    }
    for x in found.iter().filter(|x| !lies_in(x, &known)) {
        v.fault(format!("{}: a gap says that ids {}..={} are missing", x.0, x.1, x.2));
    }
    for g in rows {
        let run = (g.stream.clone(), g.before + 1, g.after);
        let fits = match within.get(&run) {
            Some(true) => g.cause == "venue_seq_gap",
            Some(false) => g.cause != "venue_seq_gap",
            None => false,
        };
        if !fits && found.contains(&run) {
            v.fault(format!("{}: ids {}..={} under cause {}", run.0, run.1, run.2, g.cause));
        }
    }
}

/// A connection's end is one row per stream that it carried.
fn disconnects(tape: &Tape, venue: &str, gaps: &[Gap], v: &mut Verdict) {
    let mut due: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for c in tape.conns.values().filter(|c| c.venue == venue && !c.retired) {
        let Some((cause, _)) = &c.closed else { continue };
        v.figures.disconnects += 1;
        for s in &c.streams {
            *due.entry((s, cause)).or_default() += 1;
        }
    }
    let causes: BTreeSet<&str> = due.keys().map(|k| k.1).collect();
    let mut found: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for g in gaps.iter().filter(|g| causes.contains(g.cause.as_str())) {
        *found.entry((&g.stream, &g.cause)).or_default() += 1;
    }
    for (k, n) in &due {
        let have = found.get(k).copied().unwrap_or(0);
        if have != *n {
            v.fault(format!("{}: {n} connections ended by {}, {have} rows", k.0, k.1));
        }
    }
}

/// Coverage and gaps of a stream together are every nanosecond from its subscription to the last row, once.
fn seconds(gaps: &[Gap], covers: &[tape::Cover], v: &mut Verdict) {
    let mut spans: BTreeMap<&str, Vec<(i64, i64, String)>> = BTreeMap::new();
    for g in gaps {
        spans.entry(&g.stream).or_default().push((g.begin, g.end, format!("gap {}", g.cause)));
    }
    for c in covers {
        spans.entry(&c.stream).or_default().push((c.begin, c.end, format!("coverage to {}", c.end_cause)));
    }
    for (stream, mut s) in spans {
        s.sort();
        for w in s.windows(2) {
            let ((_, end, a), (begin, _, b)) = (&w[0], &w[1]);
            let unwanted = a == "coverage to unsubscribed" && begin > end;
            if end != begin && !unwanted {
                let what = if begin > end { "unexplained" } else { "told twice" };
                v.fault(format!("{stream}: {} ns {what} between {a} and {b}", (begin - end).abs()));
            }
        }
    }
}
