//! What belongs to no stream, connection or book that the fold knows, and states in which a record finds nothing to change.

use rustc_hash::FxHashMap;

use super::*;
use crate::book::DiffIds;
use crate::fold::frames::By;
use crate::fold::gaps::{Cover, OpenGap};
use crate::fold::holes::{Held, Hole};
use crate::fold::legs::Mark;
use crate::fold::state::{Conn, Detector};
use crate::model::{Event, StreamId, StreamKind, Trade, TradeType};

const NONE: StreamId = StreamId::NONE;
const IDS: DiffIds = DiffIds { conn: 7, first: 13, last: 14, prev: 12, ts: 0 };

/// A frame of which nothing but its connection and time matters.
pub(super) fn frame_of(conn: i64, ts_recv: i64) -> Record<'static> {
    Record {
        kind: Kind::Frame,
        flags: 0,
        lane: 1,
        status: 0,
        conn,
        lane_seq: 0,
        rseq: 99,
        ts_kernel: 0,
        ts_mono: 0,
        ts_recv,
        url: "",
        payload: b"",
    }
}

fn stranger(id: i64) -> Conn {
    Conn {
        id,
        venue: venue_index(VENUE).unwrap(),
        leg: 0,
        url: String::new(),
        streams: Vec::new(),
        only: None,
        by_name: FxHashMap::default(),
        ts_last: 0,
        mono_last: 0,
    }
}

fn stream_of(t: &Tape, channel: &str) -> StreamId {
    let name = format!("btcusdt@{channel}");
    (0..).map(StreamId).find(|id| t.fold.stream(*id).unwrap().0 == name).unwrap()
}

/// State and rows: what must not move.
fn all_of(t: &Tape) -> (Vec<u8>, Vec<String>) {
    (t.fold.save().unwrap(), t.rows.lines.clone())
}

#[test]
fn what_is_of_no_known_stream_is_news_and_changes_nothing() {
    let mut t = Tape::synced();
    t.trade(7, 5);
    let before = all_of(&t);
    let (rec, c) = (frame_of(7, t.ts + 1), stranger(7));
    let (core, sink) = (&mut t.fold.core, &mut t.rows);
    assert!(core.chained(NONE, &c, &rec, (6, 0), sink));
    assert!(core.seen(NONE, &c, &rec, Mark::None, sink));
    core.races(NONE, &c, &rec, 6, sink);
    core.touch(NONE, &c, &rec);
    core.holes_due(NONE, &rec, sink);
    core.depth_follows(NONE, &rec, &IDS, sink);
    core.depth_waits(NONE, &c, &rec, &IDS, sink);
    core.depth_proven(NONE, &c, &rec, &IDS, (0, 1), sink);
    core.depth_gap(NONE, &c, &rec, &IDS, (12, 13), (0, 1), sink);
    core.depth_hole(NONE, &rec, (12, 13, 14), (0, 1), sink);
    core.depth_lost(NONE, &rec, GapCause::Operator, Detector::Close, 12, 0, sink);
    core.depth_seeded(NONE, &rec, &IDS, 1, sink);
    core.depth_synced(NONE, &rec, 14, 1, sink);
    assert_eq!(all_of(&t), before);
}

#[test]
fn a_trade_on_a_connection_that_does_not_carry_its_stream_goes_on_from_the_chain_and_begins_none() {
    let mut t = Tape::synced();
    t.trade(7, 100);
    let (id, rec, c) = (stream_of(&t, "trade"), frame_of(99, t.ts + 1), stranger(99));
    let (core, sink) = (&mut t.fold.core, &mut t.rows);
    assert!(core.chained(id, &c, &rec, (101, 0), sink));
    // Late, and nobody brought it. However often it says it, it is no count that begins anew.
    assert!(core.chained(id, &c, &rec, (50, 0), sink));
    assert!((0..40).all(|_| !core.chained(id, &c, &rec, (50, 0), sink)));
    assert_eq!(core.s(id).last_id, 101);
    // One without an id is told, and no id is missing by it.
    assert!(core.chained(id, &c, &rec, (-1, 0), sink));
    assert_eq!(core.s(id).last_id, 101);
    assert!(t.rows.of("gap btcusdt@trade").is_empty(), "{:?}", t.rows.of("gap"));
}

#[test]
fn what_an_answer_has_told_is_no_news_and_what_comes_behind_it_is() {
    let mut t = Tape::synced();
    let (id, rec, c) = (stream_of(&t, "bookTicker"), frame_of(7, t.ts + 1), stranger(7));
    let (core, sink) = (&mut t.fold.core, &mut t.rows);
    core.s(id).ahead.push(5);
    let was = core.counters.duplicates;
    let news = [5, 6].map(|n| core.seen(id, &c, &rec, Mark::Id(InstrumentId(0), n), sink));
    assert_eq!((news, core.counters.duplicates - was), ([false, true], 1));
    assert!(core.s(id).ahead.is_empty());
}

#[test]
fn a_race_is_counted_where_nobody_wants_rows() {
    let mut t = Tape::new();
    t.subscribe(7);
    t.subscribe(8);
    t.trade(7, 100);
    let id = stream_of(&t, "trade");
    let rec = frame_of(8, t.ts + 1);
    let c = Conn { leg: 1, ..stranger(8) };
    t.fold.core.s(id).carrier(8).unwrap().leg = 1;
    t.fold.core.races(id, &c, &rec, 100, &mut NoSink);
    assert_eq!((t.fold.counters().races, t.fold.core.won_by), ([1, 0], 0));
}

#[test]
fn a_hole_of_a_whole_markets_stream_is_held_and_told_without_a_timer() {
    let mut t = Tape::new();
    t.subscribe(7);
    t.subscribe(8);
    t.trade(7, 100);
    let id = stream_of(&t, "trade");
    t.fold.core.s(id).instrument = InstrumentId::NONE;
    let (found, effects) = (t.ts + 1, t.rows.effects.len());
    let step = |t: &mut Tape, ts: i64, chain_id: i64| {
        t.fold.core.chained(id, &stranger(7), &frame_of(7, ts), (chain_id, 0), &mut t.rows)
    };
    assert!(step(&mut t, found, 102));
    assert!(t.fold.core.s(id).holds());
    assert_eq!(t.rows.effects.len(), effects, "there is no instrument to wake it by: {:?}", t.rows.effects);
    assert!(step(&mut t, found + 3_000_000_000, 103));
    let gaps = t.rows.of("gap btcusdt@trade");
    assert!(gaps.len() == 1 && gaps[0].contains(&format!("(100, 101] {}..{found} ", found - 1)), "{gaps:?}");
}

#[test]
fn a_hole_that_lies_in_another_gap_is_that_ones() {
    let mut t = Tape::synced();
    t.trade(7, 100);
    let (id, rec) = (stream_of(&t, "trade"), frame_of(7, t.ts + 1));
    let held =
        Held { begin: t.ts, end: t.ts, rseq_before: 1, spoke_before: By::default(), rseq_after: 2, conn: 7 };
    let s = t.fold.core.s(id);
    s.holes.push(Hole { first: 90, last: 91, held: Some(held) });
    s.cover = None;
    s.gap = Some(OpenGap {
        cause: GapCause::VenueDisconnect,
        ts_begin: t.ts,
        seq_before: 100,
        rseq_before: 1,
        epoch_before: 0,
        detector: Detector::Close,
    });
    let rows = t.rows.lines.len();
    t.fold.core.tell_holes(id, &rec, &mut t.rows);
    assert!(!t.fold.core.s(id).holds());
    assert_eq!(t.rows.lines.len(), rows, "{:?}", t.rows.lines);
}

/// Never both a stretch of proof and a gap, whatever is asked of a stream twice.
#[test]
fn a_stream_that_is_covered_is_not_begun_anew() {
    let mut t = Tape::synced();
    let id = stream_of(&t, "trade");
    let cover = t.fold.core.s(id).cover;
    let waits =
        Subscribed { waiting: subscribed(&["trade"]).add, venue: VENUE.into(), ..Subscribed::default() };
    t.push(Kind::Subscription, 0, -1, "", &to_payload(&waits), 0);
    t.fold.core.s(id).carriers.clear();
    t.push(Kind::Subscription, 0, -1, "", &to_payload(&waits), 0);
    t.subscribe(8);
    let s = t.fold.core.s(id);
    assert!(cover.is_some() && s.cover == cover && s.gap.is_none(), "{:?} {:?}", s.cover, s.gap);
    assert!(t.rows.of("gap btcusdt@trade").is_empty() && t.rows.of("cover btcusdt@trade").is_empty());
}

#[test]
fn a_first_proof_is_one_by_snapshot_and_without_a_stretch_begins_one() {
    let mut t = Tape::new();
    t.subscribe(7);
    let (id, began) = (stream_of(&t, "depth@100ms"), t.ts);
    let (rec, c) = (frame_of(7, t.ts + 5), stranger(7));
    t.fold.core.depth_proven(id, &c, &rec, &IDS, (0, 77), &mut t.rows);
    let want = |cause: &str, begin: i64| {
        format!(
            "gap btcusdt@depth@100ms {cause} (-1, -1] {begin}..{} by subscription end snapshot",
            rec.ts_recv
        )
    };
    assert_eq!(t.rows.of("gap btcusdt@depth"), [want("initial_sync", began)]);
    // The epoch of before, but not one id of its chain: the gap ends by a snapshot as well.
    let (s, ts_begin) = (t.fold.core.s(id), began + 2);
    let begun = |c: Option<Cover>| c.map(|c| (c.ts_begin, c.id_first));
    assert_eq!(begun(s.cover.take()), Some((rec.ts_recv, 14)));
    s.last_id = -1;
    s.gap = Some(OpenGap {
        cause: GapCause::InitialSync,
        ts_begin,
        seq_before: -1,
        rseq_before: -1,
        epoch_before: 77,
        detector: Detector::Subscription,
    });
    t.fold.core.depth_proven(id, &c, &rec, &IDS, (77, 77), &mut t.rows);
    assert_eq!(t.rows.of("gap btcusdt@depth")[1], want("initial_sync", ts_begin));
    let s = t.fold.core.s(id);
    assert_eq!((begun(s.cover), s.gap), (Some((rec.ts_recv, 14)), None));
    s.cover = None;
    t.fold.core.depth_proven(id, &c, &rec, &IDS, (77, 77), &mut t.rows);
    let want = Cover { ts_begin: rec.ts_recv, id_first: 14, rseq_begin: 99, conn: 7, is_believed: false };
    assert_eq!(t.fold.core.s(id).cover, Some(want));
}

#[test]
fn what_happens_to_a_book_whose_stream_is_gone_begins_no_second_gap() {
    let mut t = Tape::synced();
    let gone = t.fold.core.conns[&7].clone();
    t.conn("close", 7, "venue_disconnect");
    let (id, lost, rec) = (stream_of(&t, "depth@100ms"), t.ts, frame_of(7, t.ts + 5));
    let before = all_of(&t);
    let (core, sink) = (&mut t.fold.core, &mut t.rows);
    // Proven out of what was held: nobody brings what comes after it.
    core.depth_synced(id, &rec, 14, 1, sink);
    core.depth_lost(id, &rec, GapCause::Operator, Detector::Close, 12, 0, sink);
    // Its end is said once more.
    core.disconnected(&gone, (GapCause::VenueDisconnect, false), Detector::Close, &rec, sink);
    assert_eq!(all_of(&t), before);
    // A hole behind it is the open gap's, with its ids.
    t.fold.core.depth_hole(id, &rec, (12, 20, 22), (0, 1), &mut t.rows);
    let gaps = t.rows.of("gap btcusdt@depth");
    let want = format!("venue_disconnect (12, 20] {}..{} ", lost - 1, rec.ts_recv);
    assert!(gaps.len() == 2 && gaps[1].contains(&want), "{gaps:?} {want}");
    let s = t.fold.core.s(id);
    assert_eq!((s.last_id, s.gap.map(|g| g.cause)), (22, Some(GapCause::ResyncWait)));
}

/// No venue has such a stream: should one come, its end touches no book.
#[test]
fn a_stream_of_diffs_without_an_instrument_ends_like_any_other() {
    let ends: [fn(&mut Tape); 3] = [
        |t| t.conn("close", 7, "venue_disconnect"),
        |t| {
            let s = Subscribed {
                venue: VENUE.into(),
                remove: vec!["btcusdt@depth@100ms".into()],
                ..Subscribed::default()
            };
            t.push(Kind::Subscription, 7, -1, "", &to_payload(&s), 0);
        },
        |t| {
            let s = Subscribed {
                venue: VENUE.into(),
                shed: vec!["btcusdt@depth@100ms".into()],
                ..Subscribed::default()
            };
            t.push(Kind::Subscription, 7, -1, "", &to_payload(&s), 0);
        },
    ];
    for end in ends {
        let mut t = Tape::synced();
        t.diff(7, 13, 14, 12, "", "");
        let id = stream_of(&t, "depth@100ms");
        t.fold.core.s(id).instrument = InstrumentId::NONE;
        end(&mut t);
        assert_eq!(t.rows.of("cover btcusdt@depth").len(), 1, "{:?}", t.rows.lines);
        assert!(t.fold.book(InstrumentId(0)).is_some());
    }
}

#[test]
fn a_silence_is_told_once_and_not_of_what_nobody_carries() {
    const LONG: i64 = 600_000_000_000;
    let mut t = Tape::synced();
    t.frame(7, &quote(1));
    let (id, heard, at) = (stream_of(&t, "bookTicker"), t.ts, t.ts + LONG);
    let rec = frame_of(7, at);
    for _ in 0..2 {
        t.fold.core.cut_silence_at(id, at, &rec, &mut t.rows);
        let gaps = t.rows.of("gap btcusdt@bookTicker");
        assert!(gaps.len() == 1 && gaps[0].contains(&format!(" {heard}..{at} ")), "{gaps:?}");
    }
    t.fold.core.s(id).carriers.clear();
    let before = all_of(&t);
    t.fold.core.cut_silence_at(id, at + LONG, &frame_of(7, at + LONG), &mut t.rows);
    assert_eq!(all_of(&t), before);
}

#[test]
fn only_a_market_s_kinds_have_twins_and_only_what_has_a_table_is_compared() {
    let mut t = Tape::synced();
    let quotes = stream_of(&t, "bookTicker");
    let c = stranger(7);
    t.fold.core.markets.push((c.venue, StreamKind::BookTicker));
    let other = Event::Other { name: "x", stream: quotes };
    for stream in [NONE, quotes, stream_of(&t, "trade")] {
        assert!((0..2).all(|_| !t.fold.core.told_by_twin(&c, stream, &other)));
    }
}

#[test]
fn a_trade_of_no_known_instrument_or_of_a_stream_whose_ids_chain_is_no_repeat() {
    let mut t = Tape::synced();
    let trade = Trade {
        instrument: InstrumentId(0),
        stream: stream_of(&t, "trade"),
        ts_event: 4,
        ts_send: 5,
        chain_id: -1,
        id: 77,
        id_last: -1,
        id_text: "",
        side: 1,
        price: 1,
        size: 1,
        trade_type: TradeType::Market,
        is_aggregate: false,
    };
    for t2 in [trade, Trade { instrument: InstrumentId::NONE, ..trade }, Trade { stream: NONE, ..trade }] {
        assert!((0..2).all(|_| !t.fold.core.is_repeated(&t2)), "{t2:?}");
    }
}
