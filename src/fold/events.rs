//! Events that are rows of their own: trades, quotes, marks, tickers, candles, liquidations.

use super::legs::Mark;
use super::state::{About, Conn, Core};
use super::{FoldSink, Observed};
use crate::model::{
    ConnId, Depth, Event, Head, InstrumentId, Record, RowRef, StreamId, TopRow, TradeType, flags,
};

/// The columns that an event gives to its row.
struct Facts {
    instrument: InstrumentId,
    stream: StreamId,
    ts_event: i64,
    ts_send: i64,
    /// What it is known by: its id where there is one, else the time the message was made.
    mark: Mark,
    flags: i32,
}

impl Core {
    /// Everything but depth diffs, snapshots and control events.
    pub fn on_table_event<S: FoldSink>(
        &mut self,
        rec: &Record<'_>,
        conn: &Conn,
        about: &mut About,
        event: &Event<'_>,
        sink: &mut S,
    ) {
        let Some(f) = facts(event) else { return };
        (about.ts_event, about.ts_send) = (f.ts_event, f.ts_send);
        if f.stream == StreamId::NONE && !self.is_told_once(event) {
            return;
        }
        let news = match event {
            Event::Trade(t) if t.chain_id >= 0 => {
                self.chained(f.stream, conn, rec, (t.chain_id, t.ts_event), sink)
            }
            Event::Trade(t) => {
                let news = self.seen(f.stream, conn, rec, f.mark, sink);
                let repeated = news && self.is_repeated(t);
                self.counters.duplicates += u64::from(repeated);
                news && !repeated
            }
            _ => {
                let news = self.seen(f.stream, conn, rec, f.mark, sink);
                let told = news && self.told_by_twin(conn, f.stream, event);
                self.counters.duplicates += u64::from(told);
                news && !told
            }
        };
        if S::LIVE && news {
            shows(conn.id, event, sink);
        }
        if !news || !S::ROWS {
            return;
        }
        if let Event::Trade(t) = event {
            if self.times.are_not_of_answers {
                self.forget(t.stream, rec, sink);
            } else if self.remember(t) {
                return;
            }
        }
        let base = self.head(rec);
        let head = Head {
            instrument: f.instrument,
            venue: conn.venue,
            ts_event: f.ts_event,
            ts_send: f.ts_send,
            flags: base.flags | f.flags | conn.flags() | self.derived(),
            ..base
        };
        match event {
            Event::Trade(t) => sink.row(&head, RowRef::Trade(t)),
            Event::Bbo(b) => sink.row(&head, RowRef::Bbo(b)),
            Event::Partial(d) => sink.row(&head, RowRef::BookPartial(partial_row(d))),
            Event::Mark(m) => sink.row(&head, RowRef::Mark(m)),
            Event::Liquidation(l) => sink.row(&head, RowRef::Liquidation(l)),
            Event::Ticker(t) => sink.row(&head, RowRef::Ticker(t)),
            Event::Kline(k) => sink.row(&head, RowRef::Kline(k)),
            Event::OpenInterest(o) => sink.row(&head, RowRef::OpenInterest(o)),
            Event::Funding(x) => sink.row(&head, RowRef::Funding(x)),
            Event::Depth(_)
            | Event::Snapshot(_)
            | Event::Reply(_)
            | Event::Notice(_)
            | Event::Other { .. } => {}
        }
    }
}

impl Core {
    /// Lists that are polled hold what the answer before held: a payment of funding and a final candle are told once.
    fn is_told_once(&mut self, event: &Event<'_>) -> bool {
        let (instrument, what, at) = match event {
            Event::Funding(x) => (x.instrument, "", x.ts_funding),
            Event::Kline(k) if k.is_closed => (k.instrument, k.interval, k.ts_open),
            _ => return true,
        };
        let told = self.told.entry((instrument, what.to_owned())).or_insert(i64::MIN);
        let is_news = at > *told;
        *told = at.max(*told);
        is_news
    }
}

/// What those who watch are shown of an event.
#[inline]
fn shows<S: FoldSink>(conn: ConnId, event: &Event<'_>, sink: &mut S) {
    match event {
        Event::Trade(t) => sink.observe(Observed::Trade(t)),
        Event::Kline(k) if k.stream != StreamId::NONE => sink.observe(Observed::Candle(conn, k)),
        _ => {}
    }
}

fn partial_row<'a>(d: &Depth<'a>) -> TopRow<'a> {
    TopRow {
        interval_ns: -1,
        seq_last: d.last,
        book_epoch: 0,
        bids: d.bids,
        asks: d.asks,
        bid_horizon: None,
        ask_horizon: None,
    }
}

/// An event with an id that rises, or, without one, as far as the venue says when it was made.
fn mark(instrument: InstrumentId, id: i64, ts_send: i64, ts_event: i64) -> Mark {
    match id {
        0.. => Mark::Id(instrument, id),
        _ if ts_send != 0 => Mark::Made(ts_send),
        _ => Mark::Made(ts_event),
    }
}

fn facts(e: &Event<'_>) -> Option<Facts> {
    macro_rules! of {
        ($x:expr, $id:expr, $flags:expr) => {
            Facts {
                instrument: $x.instrument,
                stream: $x.stream,
                ts_event: $x.ts_event,
                ts_send: $x.ts_send,
                mark: mark($x.instrument, $id, $x.ts_send, $x.ts_event),
                flags: $flags,
            }
        };
    }
    Some(match e {
        Event::Trade(t) => {
            let off = matches!(t.trade_type, TradeType::Insurance | TradeType::Adl);
            of!(t, t.id, if off { flags::OFF_BOOK } else { 0 })
        }
        Event::Bbo(b) => of!(b, b.last, flags::TOB),
        Event::Partial(d) => of!(d, d.last, flags::SNAPSHOT),
        Event::Mark(x) => of!(x, -1, 0),
        Event::Liquidation(x) => of!(x, -1, 0),
        Event::Ticker(x) => of!(x, -1, 0),
        Event::Kline(x) => of!(x, -1, 0),
        Event::OpenInterest(x) => of!(x, -1, 0),
        Event::Funding(x) => of!(x, -1, 0),
        Event::Depth(_) | Event::Snapshot(_) | Event::Reply(_) | Event::Notice(_) | Event::Other { .. } => {
            return None;
        }
    })
}
