//! One frame through the venue's own parser, with what it says kept apart from the frame.

use std::collections::BTreeMap;

use crate::model::instrument::SYMBOL_BYTES_MAX;
use crate::model::num::EXP_MAX;
use crate::model::{
    Dec, DecodeCtx, Event, InstrumentId, InstrumentRef, InstrumentVersion, Notice, StreamId, StreamInfo,
    StreamKind, StreamSpec,
};

/// Something that a frame said.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// A change of a book: ids.
    Diff(StreamId, (i64, i64, i64)),
    /// A whole book: whose, its id, levels of both sides.
    Snapshot(InstrumentId, i64, usize),
    /// A trade: the id that rises by one.
    Trade(StreamId, i64),
    /// Any other row, by its table.
    Row,
    /// An answer to a message of ours: stream, whether it refuses, code, text.
    Reply(StreamId, bool, i64, String),
    /// Something about the connection.
    Notice(Notice),
    /// A message that has no table.
    Other(StreamId, String),
}

/// What was said with when: table (or kind), stream, venue time (0 = none).
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    /// The table of the row, or what else it is.
    pub kind: &'static str,
    /// On which stream.
    pub stream: StreamId,
    /// Venue time of matching, or else of sending, ns.
    pub ts: i64,
    /// What.
    pub said: Said,
}

/// Instruments of the venue and the streams of one connection.
#[derive(Debug, Default)]
pub struct Instruments {
    by_symbol: BTreeMap<String, InstrumentRef>,
    symbols: Vec<String>,
    contracts: Vec<Dec>,
}

impl Instruments {
    /// Those of a list.
    pub fn of(listed: &[InstrumentVersion]) -> Instruments {
        let mut all = Instruments::default();
        for i in listed {
            let at = all.intern(&i.symbol);
            let known = InstrumentRef { price_exp: i.price_exp, size_exp: i.size_exp, ..at };
            all.by_symbol.insert(i.symbol.clone(), known);
            all.contracts[at.id.ix()] = i.contract_size;
        }
        all
    }

    fn intern(&mut self, symbol: &str) -> InstrumentRef {
        if let Some(i) = self.by_symbol.get(symbol) {
            return *i;
        }
        let id = InstrumentId(self.symbols.len() as u32);
        let i = InstrumentRef { id, price_exp: 0, size_exp: 0 };
        self.by_symbol.insert(symbol.to_owned(), i);
        self.symbols.push(symbol.to_owned());
        self.contracts.push(Dec::NONE);
        i
    }

    /// The symbol of an id; "" if there is none.
    pub fn symbol(&self, id: InstrumentId) -> &str {
        self.symbols.get(id.ix()).map_or("", String::as_str)
    }
}

/// What the parser sees of a connection.
pub struct Reading<'a> {
    /// Of the venue.
    pub instruments: &'a mut Instruments,
    /// The connection's streams with their place among all.
    pub streams: &'a [(usize, StreamSpec)],
    /// As received.
    pub binary: bool,
    /// As received.
    pub ts_recv: i64,
    /// The stream that the frame turned out to be of.
    pub entered: Option<usize>,
    /// What it said.
    pub words: Vec<Word>,
}

impl<'a> Reading<'a> {
    /// Before a frame.
    pub fn new(instruments: &'a mut Instruments, streams: &'a [(usize, StreamSpec)]) -> Reading<'a> {
        Reading { instruments, streams, binary: false, ts_recv: 0, entered: None, words: Vec::new() }
    }

    fn info(&mut self, at: usize) -> StreamInfo {
        let (place, spec) = &self.streams[at];
        let instrument = spec.symbol.as_deref().map(|s| self.instruments.intern(s));
        StreamInfo { stream: StreamId(*place as u32), kind: spec.kind, instrument }
    }
}

impl DecodeCtx for Reading<'_> {
    fn stream(&mut self, name: &str) -> Option<StreamInfo> {
        let info = self.peek(name.as_bytes())?;
        self.enter(&info);
        Some(info)
    }

    fn peek(&mut self, name: &[u8]) -> Option<StreamInfo> {
        let at = self.streams.iter().position(|(_, s)| s.name.as_bytes() == name)?;
        Some(self.info(at))
    }

    fn enter(&mut self, stream: &StreamInfo) {
        self.entered = Some(stream.stream.0 as usize);
    }

    fn stream_of(&mut self, kind: StreamKind, symbol: &str) -> Option<StreamInfo> {
        let at =
            self.streams.iter().position(|(_, s)| s.kind == kind && s.symbol.as_deref() == Some(symbol))?;
        let info = self.info(at);
        self.enter(&info);
        Some(info)
    }

    fn ts_recv(&self) -> i64 {
        self.ts_recv
    }

    fn is_binary(&self) -> bool {
        self.binary
    }

    fn contract_size(&self, id: InstrumentId) -> Dec {
        self.instruments.contracts.get(id.ix()).copied().unwrap_or(Dec::NONE)
    }

    fn instrument(&mut self, symbol: &str) -> Option<InstrumentRef> {
        (symbol.len() <= SYMBOL_BYTES_MAX).then(|| self.instruments.intern(symbol))
    }

    fn widen(&mut self, id: InstrumentId, price_exp: u8, size_exp: u8) -> InstrumentRef {
        let symbol = self.instruments.symbol(id).to_owned();
        let i = self.instruments.intern(&symbol);
        let wider = InstrumentRef {
            price_exp: i.price_exp.max(price_exp.min(EXP_MAX)),
            size_exp: i.size_exp.max(size_exp.min(EXP_MAX)),
            ..i
        };
        self.instruments.by_symbol.insert(symbol, wider);
        wider
    }

    fn narrow(&mut self, id: InstrumentId, (price_exp, size_exp): (u8, u8), _: (u8, u8)) -> InstrumentRef {
        let symbol = self.instruments.symbol(id).to_owned();
        let narrower = InstrumentRef { price_exp, size_exp, ..self.instruments.intern(&symbol) };
        self.instruments.by_symbol.insert(symbol, narrower);
        narrower
    }

    fn event(&mut self, event: Event<'_>) {
        self.words.push(word(event));
    }
}

/// An event without what it borrows.
fn word(event: Event<'_>) -> Word {
    let row = |kind, stream, (event, send): (i64, i64)| Word {
        kind,
        stream,
        ts: if event != 0 { event } else { send },
        said: Said::Row,
    };
    match event {
        Event::Depth(d) => Word {
            said: Said::Diff(d.stream, (d.first, d.last, d.prev)),
            ..row("book_delta", d.stream, (d.ts_event, d.ts_send))
        },
        Event::Snapshot(d) => Word {
            said: Said::Snapshot(d.instrument, d.last, d.bids.len() + d.asks.len()),
            ..row("snapshot", d.stream, (d.ts_event, d.ts_send))
        },
        Event::Partial(d) => row("book_partial", d.stream, (d.ts_event, d.ts_send)),
        Event::Trade(t) => Word {
            said: Said::Trade(t.stream, t.chain_id),
            ..row("trades", t.stream, (t.ts_event, t.ts_send))
        },
        Event::Bbo(b) => row("bbo", b.stream, (b.ts_event, b.ts_send)),
        Event::Mark(m) => row("mark", m.stream, (m.ts_event, m.ts_send)),
        Event::Liquidation(l) => row("liquidations", l.stream, (l.ts_event, l.ts_send)),
        Event::Ticker(t) => row("tickers", t.stream, (t.ts_event, t.ts_send)),
        Event::Kline(k) => row("klines", k.stream, (k.ts_event, k.ts_send)),
        Event::OpenInterest(o) => row("open_interest", o.stream, (o.ts_event, o.ts_send)),
        Event::Funding(f) => row("funding", f.stream, (f.ts_event, f.ts_send)),
        Event::Reply(r) => Word {
            said: Said::Reply(r.stream, r.is_error, r.code, r.text.to_owned()),
            ..row("reply", r.stream, (0, 0))
        },
        Event::Notice(n) => Word { said: Said::Notice(n), ..row("notice", StreamId::NONE, (0, 0)) },
        Event::Other { name, stream } => {
            Word { said: Said::Other(stream, name.to_owned()), ..row("(raw only)", stream, (0, 0)) }
        }
    }
}
