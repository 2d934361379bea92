//! Event rows against the oracle: outside recorded gaps each row is the event that was sent, and each event has its row.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lobtape::dataset::Table;
use lobtape::dataset::read::Batch;
use lobtape::model::flags;
use lobtape::simulator::oracle::Line;

use super::oracle_check::{Pair, Rules, Verdict};
use super::tape::{self, Gap, Tape};

const MS: i64 = 1_000_000;

/// The tables that are judged, with the oracle's word for their events.
const TABLES: [(Table, &[&str]); 8] = [
    (Table::Trades, &["trade", "sparseTrade", "aggTrade", "blockTrade"]),
    (Table::Bbo, &["bookTicker"]),
    (Table::Mark, &["mark"]),
    (Table::Liquidations, &["forceOrder"]),
    (Table::BookPartial, &["partial"]),
    (Table::Klines, &["kline"]),
    (Table::Tickers, &["miniTicker", "ticker"]),
    (Table::OpenInterest, &["mark"]),
];

/// Rows found per recorded frame, by connection.
struct Seen<'a, 'p> {
    by_id: BTreeMap<i64, (&'p Pair<'a>, Vec<u32>)>,
    /// REST answers by their connection.
    bodies: BTreeMap<i64, i64>,
    venue: &'p str,
    sparse: bool,
    /// Rows out of messages of many instruments: how many of which frame, table and symbol.
    elements: BTreeMap<(i64, i64, Table, String), u32>,
}

impl<'a, 'p> Seen<'a, 'p> {
    /// The matching time that a message must have: sparse ids are snowflakes, which begin with it.
    fn event_time(&self, l: &Line) -> i64 {
        match l.last {
            Some(id) if self.sparse && matches!(l.kind.as_str(), "depth" | "partial") => {
                ms(Some((id >> 22) + 1_629_702_000_000))
            }
            _ => ms(l.ts),
        }
    }

    /// Whether an event has a table. Whole views in a stream of changes are the book's own.
    fn has_row(&self, l: &Line) -> bool {
        self.rows_of(l) > 0
    }

    /// How many rows come of a message; those of `book_delta` count once.
    fn rows_of(&self, l: &Line) -> u32 {
        let kind = l.kind.as_str();
        let v = lobtape::venue::by_id(self.venue).unwrap().1;
        let is = match kind {
            "array" => return l.rows.iter().map(|r| self.rows_of(r)).sum(),
            "depth" => true,
            "partial" => v
                .stream("depth20@100ms", Some("X_PERP"))
                .is_ok_and(|s| s.kind == lobtape::model::StreamKind::DepthPartial),
            _ => TABLES.iter().any(|t| t.1.contains(&kind)),
        };
        u32::from(is) + u32::from(is && l.oi.is_some())
    }

    /// The frame of a row, counted. `None`: there is no such frame.
    fn line(&mut self, conn: i64, rseq: i64) -> Option<(&'p Pair<'a>, usize, &'a Line)> {
        let (pair, seen) = self.by_id.get_mut(&conn)?;
        let n = usize::try_from(rseq).ok()?;
        *seen.get_mut(n)? += 1;
        Some((*pair, n, pair.sent.get(n)?))
    }
}

/// Judges all event tables of a venue.
pub fn check(
    (root, venue, tape): (&Path, &str, &Tape),
    pairs: &[Pair<'_>],
    gaps: &[Gap],
    rules: Rules,
    v: &mut Verdict,
) {
    let by_id = pairs.iter().map(|p| (p.id, (p, vec![0; p.conn.frames.len()]))).collect();
    let bodies = tape.conns.iter().filter(|c| c.1.frames.is_empty()).map(|(id, c)| (*id, c.bodies)).collect();
    let mut seen = Seen { by_id, bodies, venue, sparse: rules.sparse, elements: BTreeMap::new() };
    for (table, kinds) in TABLES {
        let mut rows = 0;
        tape::batches(root, table, venue, |b| {
            rows += b.rows();
            flat_rows(b, table, kinds, &mut seen, v);
        });
        v.figures.rows.insert(table.name().to_owned(), rows);
    }
    let mut delta = Delta::default();
    tape::batches(root, Table::BookDelta, venue, |b| delta.take(b, &mut seen, v));
    delta.end(&mut seen, v);
    v.figures.rows.insert(Table::BookDelta.name().to_owned(), delta.rows);
    match rules.replaced || rules.legs {
        true => once(&seen, gaps, v),
        false => complete(&seen, gaps, v),
    }
}

/// The columns in which every event row must agree with its frame.
fn heads(b: &Batch) -> [&[i64]; 6] {
    ["ts_recv", "ts_kernel", "ts_event", "ts_send", "conn", "rseq"].map(|c| b.i64(c).unwrap())
}

fn ms(t: Option<i64>) -> i64 {
    t.unwrap_or(0) * MS
}

/// The double nearest to a text of the oracle.
fn num(t: Option<&String>) -> Option<f64> {
    t.map(|t| t.parse().unwrap())
}

fn flat_rows(b: &Batch, table: Table, kinds: &[&str], seen: &mut Seen<'_, '_>, v: &mut Verdict) {
    let [ts_recv, ts_kernel, ts_event, ts_send, conn, rseq] = heads(b);
    let instrument = b.text("instrument").unwrap();
    for i in 0..b.rows() {
        let at = format!("{} ({}, {})", table.name(), conn[i], rseq[i]);
        if seen.bodies.get(&conn[i]).is_some_and(|n| (0..*n).contains(&rseq[i])) {
            // Of what was asked for the log tells the answer as a whole, not its rows.
            continue;
        }
        let Some((pair, n, l)) = seen.line(conn[i], rseq[i]) else {
            v.fault(format!("{at}: no such frame"));
            continue;
        };
        let f = pair.conn.frames[n];
        if (f.ts_recv, f.ts_kernel) != (ts_recv[i], ts_kernel[i]) {
            v.fault(format!("{at}: not received when its frame was"));
        }
        let named = instrument.value(i).split_once(':').map_or("", |x| x.1);
        if l.kind == "array" {
            *seen.elements.entry((conn[i], rseq[i], table, named.to_owned())).or_default() += 1;
        }
        let element = (l.kind == "array").then(|| l.rows.iter().find(|r| r.sym == named));
        let Some(l) = element.unwrap_or(Some(l)) else {
            v.fault(format!("{at}: its message holds nothing of {named}"));
            continue;
        };
        let key = format!("{}:{}", seen.venue, l.sym);
        let event = if l.kind == "mark" { ms(l.tm) } else { seen.event_time(l) };
        let facts = (l.kind.as_str(), key.as_str(), event, ms(l.e));
        let row = (l.kind.as_str(), instrument.value(i), ts_event[i], ts_send[i]);
        if !kinds.contains(&l.kind.as_str()) || facts != row {
            v.fault(format!("{at}: is {row:?}, sent was {facts:?}"));
        }
        if let Some(what) = differs(b, i, table, l) {
            v.fault(format!("{at}: {what}, sent was {l:?}"));
        }
    }
}

/// What a row says otherwise than its event, in its table's own columns.
fn differs(b: &Batch, i: usize, table: Table, l: &Line) -> Option<String> {
    let int = |c: &str| b.i64(c).unwrap()[i];
    let real = |c: &str| {
        let a = b.f64(c).unwrap();
        (!arrow_array::Array::is_null(a, i)).then(|| a.value(i))
    };
    let mut ints = Vec::new();
    let mut reals = Vec::new();
    match table {
        Table::Trades => {
            ints.push(("trade_id", int("trade_id"), l.t.or(l.f)));
            ints.push(("trade_id_last", int("trade_id_last"), l.t.map(|_| -1).or(l.l)));
            let side = l.m.map(|m| if m { -1 } else { 1 });
            ints.push(("side", i64::from(b.i32("side").unwrap()[i]), side));
            let agg = i64::from(b.bool("is_aggregate").unwrap().value(i));
            ints.push(("is_aggregate", agg, Some(i64::from(l.a.is_some()))));
            reals.extend([("price", num(l.p.as_ref())), ("size", num(l.q.as_ref()))]);
            let text = b.text("trade_id_text").unwrap().value(i);
            if text != l.a.map_or_else(String::new, |a| a.to_string()) {
                return Some(format!("trade_id_text {text:?}"));
            }
        }
        Table::Bbo => {
            ints.push(("seq_last", int("seq_last"), l.last));
            reals.extend([("bid_px_00", num(l.bp.as_ref())), ("ask_px_00", num(l.ap.as_ref()))]);
            reals.extend([("bid_sz_00", num(l.bq.as_ref())), ("ask_sz_00", num(l.aq.as_ref()))]);
        }
        Table::Mark => {
            ints.push(("ts_next_funding", int("ts_next_funding"), Some(ms(l.ts))));
            reals.push(("mark_px", num(l.p.as_ref())));
        }
        Table::OpenInterest => {
            let sent = num(l.oi.as_ref());
            return (real("open_interest") != sent).then(|| format!("open_interest, {sent:?} is due"));
        }
        Table::Liquidations => reals.extend([("price", num(l.p.as_ref())), ("size", num(l.q.as_ref()))]),
        Table::BookPartial => {
            ints.push(("seq_last", int("seq_last"), l.last));
            if levels(b, i) != (l.nb, l.na, l.lv.clone()) {
                return Some(format!("levels {:?}", levels(b, i)));
            }
        }
        _ => {}
    }
    for (c, have, sent) in ints {
        if Some(have) != sent {
            return Some(format!("{c} {have}"));
        }
    }
    for (c, sent) in reals {
        if real(c) != sent {
            return Some(format!("{c} {:?}", real(c)));
        }
    }
    l.x.as_deref().into_iter().flat_map(|x| x.split_terminator(';')).find_map(|x| {
        let (c, sent) = x.split_once('=').unwrap_or((x, ""));
        let have = cell(b, i, c);
        let same = match &have {
            Cell::Real(r) => *r == sent.parse().ok(),
            Cell::Other(t) => t == sent,
        };
        (!same).then(|| format!("{c} {have:?}"))
    })
}

/// A value of a row.
#[derive(Debug)]
enum Cell {
    Real(Option<f64>),
    Other(String),
}

fn cell(b: &Batch, i: usize, column: &str) -> Cell {
    if let Ok(a) = b.f64(column) {
        return Cell::Real((!arrow_array::Array::is_null(a, i)).then(|| a.value(i)));
    }
    Cell::Other(match (b.i64(column), b.i32(column), b.bool(column)) {
        (Ok(a), _, _) => a[i].to_string(),
        (_, Ok(a), _) => a[i].to_string(),
        (_, _, Ok(a)) => a.value(i).to_string(),
        _ => b.text(column).unwrap().value(i).to_owned(),
    })
}

/// Number and checksum of the levels of a flat book row, as the oracle has them.
fn levels(b: &Batch, i: usize) -> (Option<u64>, Option<u64>, Option<String>) {
    let (mut counts, mut text) = ([0; 2], String::new());
    for (n, side) in ["bid", "ask"].into_iter().enumerate() {
        if n == 1 {
            text.push('|');
        }
        for rank in 0..20 {
            let [px, sz] = ["px", "sz"].map(|what| b.f64(&format!("{side}_{what}_{rank:02}")).unwrap());
            if arrow_array::Array::is_null(px, i) {
                break;
            }
            counts[n] += 1;
            text.push_str(&format!("{}:{};", px.value(i), sz.value(i)));
        }
    }
    (Some(counts[0]), Some(counts[1]), Some(format!("{:08x}", crc32fast::hash(text.as_bytes()))))
}

/// One message of `book_delta` while its rows are gathered.
#[derive(Default)]
struct Message {
    conn: i64,
    rseq: i64,
    ids: (i64, i64, i64),
    times: (i64, i64, i64),
    flags: i32,
    bids: u64,
    asks: u64,
    text: String,
}

/// The rows of `book_delta` put together as messages again; a message may go over from one batch to the next.
#[derive(Default)]
struct Delta {
    open: Option<Message>,
    rows: usize,
}

impl Delta {
    fn take(&mut self, b: &Batch, seen: &mut Seen<'_, '_>, v: &mut Verdict) {
        let [ts_recv, _, ts_event, ts_send, conn, rseq] = heads(b);
        let ids = ["seq_first", "seq_last", "seq_prev"].map(|c| b.i64(c).unwrap());
        let (flag, side) = (b.i32("flags").unwrap(), b.i32("side").unwrap());
        let (price, size) = (b.f64("price").unwrap(), b.f64("size").unwrap());
        for i in 0..b.rows() {
            if flag[i] & (flags::SNAPSHOT | flags::CLEAR) != 0 {
                continue;
            }
            self.rows += 1;
            let m = self.open.get_or_insert_with(|| Message {
                conn: conn[i],
                rseq: rseq[i],
                ids: (ids[0][i], ids[1][i], ids[2][i]),
                times: (ts_recv[i], ts_event[i], ts_send[i]),
                flags: flag[i],
                ..Message::default()
            });
            if (m.conn, m.rseq) != (conn[i], rseq[i]) {
                v.fault(format!("book_delta ({}, {}): has no last row", m.conn, m.rseq));
                self.end(seen, v);
                continue;
            }
            if side[i] < 0 && m.asks == 0 {
                m.text.push('|');
            }
            m.bids += u64::from(side[i] > 0);
            m.asks += u64::from(side[i] < 0);
            if side[i] != 0 {
                // The shortest text that reads back as this double is the venue's, without trailing zeros.
                m.text.push_str(&format!("{}:{};", price.value(i), size.value(i)));
            }
            if flag[i] & flags::LAST != 0 {
                self.end(seen, v);
            }
        }
    }

    fn end(&mut self, seen: &mut Seen<'_, '_>, v: &mut Verdict) {
        let Some(mut m) = self.open.take() else { return };
        let at = format!("book_delta ({}, {})", m.conn, m.rseq);
        let Some((pair, n, l)) = seen.line(m.conn, m.rseq) else {
            v.fault(format!("{at}: no such frame"));
            return;
        };
        if m.asks == 0 {
            m.text.push('|');
        }
        let prev = l.pu.unwrap_or(-1);
        let ids = (l.first.unwrap_or(-1), l.last.unwrap_or(-1), prev);
        let replayed = m.flags & flags::REPLAYED != 0;
        let ts_recv = if replayed { m.times.0 } else { pair.conn.frames[n].ts_recv };
        let times = (ts_recv, seen.event_time(l), ms(l.e));
        let crc = format!("{:08x}", crc32fast::hash(m.text.as_bytes()));
        let levels = (Some(m.bids), Some(m.asks), Some(crc));
        if seen.sparse && m.flags & flags::UNVERIFIED_SEQ == 0 {
            v.fault(format!("{at}: nothing proves it, and it does not say so"));
        }
        if l.kind != "depth" || m.ids != ids || m.times != times || levels != (l.nb, l.na, l.lv.clone()) {
            v.fault(format!("{at}: {:?} {:?} {levels:?}, sent was {l:?}", m.ids, m.times));
        }
    }
}

/// Whether a moment lies in a recorded gap of its stream.
struct Gaps<'a> {
    by_stream: BTreeMap<&'a str, Vec<(i64, i64)>>,
}

impl<'a> Gaps<'a> {
    fn new(gaps: &'a [Gap]) -> Gaps<'a> {
        let mut by_stream: BTreeMap<&str, Vec<(i64, i64)>> = BTreeMap::new();
        for g in gaps {
            let end = if g.end == 0 { i64::MAX } else { g.end };
            by_stream.entry(&g.stream).or_default().push((g.begin, end));
        }
        Gaps { by_stream }
    }

    fn holds(&self, stream: &str, ts: i64) -> bool {
        self.by_stream.get(stream).is_some_and(|g| g.iter().any(|(a, b)| (*a..=*b).contains(&ts)))
    }
}

/// What tells an event of a stream from all others. Its CRC alone does not: of the 80,000 messages of a busy stream two have
/// the same one in every other run.
type EventKey<'a> = (&'a str, &'a str, [Option<i64>; 4]);

fn event_key(l: &Line) -> EventKey<'_> {
    (&l.stream, l.crc.as_deref().unwrap_or(""), [l.e, l.last, l.t, l.len.and_then(|n| i64::try_from(n).ok())])
}

/// Every event with a table has its row, and one only, whichever connections brought it.
fn once(seen: &Seen<'_, '_>, gaps: &[Gap], v: &mut Verdict) {
    let gaps = Gaps::new(gaps);
    let mut events: BTreeMap<EventKey<'_>, (u32, usize, bool, u32)> = BTreeMap::new();
    // Without an id an event may be the same as one before: how often a connection brought it, at most.
    let mut most: BTreeMap<EventKey<'_>, u32> = BTreeMap::new();
    for (pair, counts) in seen.by_id.values() {
        let mut times: BTreeMap<EventKey<'_>, u32> = BTreeMap::new();
        for l in pair.recorded() {
            let n = times.entry(event_key(l)).or_default();
            // Trades have ids: what comes twice is one.
            *n = if l.kind == "sparseTrade" { 1 } else { *n + 1 };
        }
        for (event, n) in times {
            let m = most.entry(event).or_default();
            *m = n.max(*m);
        }
        for (n, (count, l)) in counts.iter().zip(pair.recorded()).enumerate() {
            if l.crc.is_none() || !seen.has_row(l) {
                continue;
            }
            let e = events.entry(event_key(l)).or_default();
            (e.0, e.1, e.3) = (e.0 + count, e.1 + 1, seen.rows_of(l));
            e.2 |= l.kind == "depth" && gaps.holds(&l.stream, pair.conn.frames[n].ts_recv);
        }
    }
    v.figures.frames_twice = events.values().filter(|e| e.1 > 1).count();
    for (key, (rows, _, in_gap, of_one)) in events {
        v.figures.depth_in_gaps += usize::from(in_gap);
        let due = most.get(&key).copied().unwrap_or(0);
        if rows != due.max(1) * of_one && !(in_gap && rows == 0) {
            let (stream, crc, ids) = key;
            v.fault(format!("{stream}: event {crc} {ids:?} has {rows} rows"));
        }
    }
}

/// What an event of one instrument says, whichever stream brings it.
fn says(l: &Line) -> (&str, &str, String) {
    let values = (l.e, l.ts, l.last, &l.p, &l.q, &l.bp, &l.bq, &l.ap, &l.aq, &l.x);
    (&l.kind, &l.sym, format!("{values:?}"))
}

/// Whether the stream of an instrument may have a twin of the whole market.
fn may_have_twin(l: &Line) -> bool {
    matches!(l.kind.as_str(), "bookTicker" | "mark" | "miniTicker" | "ticker" | "forceOrder")
}

/// The table of an event.
fn table_of(l: &Line) -> Option<Table> {
    TABLES.iter().find(|t| t.1.contains(&l.kind.as_str())).map(|t| t.0)
}

/// What comes for one instrument and for the whole market has as many rows as the one of the two that brought it more often;
/// what else a message of many instruments holds has one.
fn by_event(seen: &Seen<'_, '_>, v: &mut Verdict) {
    let mut events: BTreeMap<_, (u32, [u32; 2])> = BTreeMap::new();
    for (id, (pair, counts)) in &seen.by_id {
        for (n, (count, l)) in counts.iter().zip(pair.recorded()).enumerate() {
            if l.kind != "array" {
                if may_have_twin(l) {
                    let e = events.entry(says(l)).or_default();
                    e.0 += count;
                    e.1[usize::from(l.stream.starts_with('!'))] += 1;
                }
                continue;
            }
            let rows = |table: Table, r: &Line| {
                seen.elements.get(&(*id, n as i64, table, r.sym.clone())).copied().unwrap_or(0)
            };
            // Some arrays have no table.
            for r in l.rows.iter().filter(|r| table_of(r).is_some()) {
                let e = events.entry(says(r)).or_default();
                e.0 += table_of(r).map_or(0, |t| rows(t, r));
                e.1[1] += 1;
                if r.oi.is_some() && rows(Table::OpenInterest, r) != 1 {
                    v.fault(format!(
                        "{}: frame {n} of connection {}: open interest of {r:?}",
                        l.stream, pair.no
                    ));
                }
            }
        }
    }
    for (event, (rows, brought)) in events {
        if rows != brought[0].max(brought[1]) {
            v.fault(format!("{event:?}: {rows} rows, brought {brought:?} times alone and with all others"));
        }
    }
}

/// Every frame with a table has its row, and one only.
fn complete(seen: &Seen<'_, '_>, gaps: &[Gap], v: &mut Verdict) {
    let gaps = Gaps::new(gaps);
    by_event(seen, v);
    // Trades whose ids skip: a repeated frame has no rows of its own.
    let mut told: BTreeSet<(&str, i64)> = BTreeSet::new();
    for (pair, counts) in seen.by_id.values() {
        // Greatest id of each chained stream on this connection: what is not above it was told before.
        let mut greatest: BTreeMap<&str, i64> = BTreeMap::new();
        for (n, (count, l)) in counts.iter().zip(pair.recorded()).enumerate() {
            if !seen.has_row(l) {
                continue;
            }
            if l.kind == "array" || may_have_twin(l) {
                // Counted by event: see above.
                continue;
            }
            let mut due = seen.rows_of(l)..=seen.rows_of(l);
            if l.kind == "sparseTrade" && l.t.or(l.f).is_some_and(|id| !told.insert((&l.stream, id))) {
                due = 0..=0;
            }
            if let Some((_, last)) = l.link() {
                let g = greatest.entry(&l.stream).or_insert(-1);
                if last <= *g {
                    // Said before, or late: a late trade has its row, a late diff has come after its loss.
                    let is_late = l.fault.as_deref() == Some("reorder") && l.kind != "depth";
                    due = if is_late { 1..=1 } else { 0..=0 };
                }
                *g = last.max(*g);
            }
            if l.kind == "depth" && gaps.holds(&l.stream, pair.conn.frames[n].ts_recv) {
                v.figures.depth_in_gaps += 1;
                due = 0..=1;
            }
            if !due.contains(count) {
                v.fault(format!(
                    "{}: frame {n} of connection {} has {count} rows, due {due:?}: {l:?}",
                    l.stream, pair.no
                ));
            }
        }
    }
}
