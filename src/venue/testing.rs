//! A [`DecodeCtx`] in memory, for the tests, benches and fuzz targets of this room. Not part of the product.

use super::Venue;
use crate::model::instrument::SYMBOL_BYTES_MAX;
use crate::model::num::EXP_MAX;
use crate::model::{
    Dec, DecodeCtx, Event, InstrumentId, InstrumentRef, StreamId, StreamInfo, StreamKind, StreamSpec,
};

/// Knows the streams it was given and every symbol it is asked for; hands events to a closure.
pub struct MemoryCtx<F> {
    streams: Vec<(StreamSpec, Option<InstrumentId>)>,
    instruments: Vec<(String, InstrumentRef)>,
    /// What happens with each event.
    pub on_event: F,
    /// Decimals of prices and sizes of instruments not seen before.
    pub exponents: (u8, u8),
    /// Calls of [`DecodeCtx::widen`].
    pub widened: usize,
    /// How often exponents were narrowed.
    pub narrowed: usize,
    /// The stream that the last frame turned out to be of.
    pub entered: StreamId,
    /// As [`DecodeCtx::ts_recv`].
    pub ts_recv: i64,
    /// As [`DecodeCtx::is_binary`].
    pub binary: bool,
    /// As [`DecodeCtx::contract_size`], of all instruments.
    pub contract_size: Dec,
}

impl<F: FnMut(Event<'_>)> MemoryCtx<F> {
    /// A context without streams.
    pub fn new(on_event: F) -> MemoryCtx<F> {
        MemoryCtx {
            streams: Vec::new(),
            instruments: Vec::new(),
            on_event,
            exponents: (0, 0),
            widened: 0,
            narrowed: 0,
            entered: StreamId::NONE,
            ts_recv: 0,
            binary: false,
            contract_size: Dec::NONE,
        }
    }

    /// Subscribes to a stream by its name, and knows its instrument with the exponents of now. False if the venue does not know it.
    pub fn subscribe(&mut self, venue: &dyn Venue, name: &str) -> bool {
        let known = self.streams.iter().any(|(s, _)| s.name == name);
        match venue.parse_stream(name) {
            Some(spec) if !known => {
                let instrument = spec.symbol.as_deref().map(|s| self.known(s).id);
                self.streams.push((spec, instrument));
            }
            Some(_) => {}
            None => return false,
        }
        true
    }

    /// The symbol behind an id.
    pub fn symbol(&self, id: InstrumentId) -> &str {
        self.instruments.get(id.ix()).map_or("", |(s, _)| s)
    }

    fn at(&self, at: usize) -> StreamInfo {
        let (spec, id) = &self.streams[at];
        let instrument = id.map(|id| self.instruments[id.ix()].1);
        StreamInfo { stream: StreamId(at as u32), kind: spec.kind, instrument }
    }

    fn known(&mut self, symbol: &str) -> InstrumentRef {
        if let Some((_, i)) = self.instruments.iter().find(|(s, _)| s == symbol) {
            return *i;
        }
        let id = InstrumentId(self.instruments.len() as u32);
        let i = InstrumentRef { id, price_exp: self.exponents.0, size_exp: self.exponents.1 };
        self.instruments.push((symbol.to_owned(), i));
        i
    }
}

impl<F: FnMut(Event<'_>)> DecodeCtx for MemoryCtx<F> {
    fn stream(&mut self, name: &str) -> Option<StreamInfo> {
        let info = self.peek(name.as_bytes())?;
        self.enter(&info);
        Some(info)
    }

    fn peek(&mut self, name: &[u8]) -> Option<StreamInfo> {
        let at = self.streams.iter().position(|(s, _)| s.name.as_bytes() == name)?;
        Some(self.at(at))
    }

    fn enter(&mut self, stream: &StreamInfo) {
        self.entered = stream.stream;
    }

    fn stream_of(&mut self, kind: StreamKind, symbol: &str) -> Option<StreamInfo> {
        let found = self.streams.iter().find(|(s, _)| s.kind == kind && s.symbol.as_deref() == Some(symbol));
        let name = found?.0.name.clone();
        self.stream(&name)
    }

    fn ts_recv(&self) -> i64 {
        self.ts_recv
    }

    fn is_binary(&self) -> bool {
        self.binary
    }

    fn contract_size(&self, _id: InstrumentId) -> Dec {
        self.contract_size
    }

    fn instrument(&mut self, symbol: &str) -> Option<InstrumentRef> {
        (symbol.len() <= SYMBOL_BYTES_MAX).then(|| self.known(symbol))
    }

    fn widen(&mut self, id: InstrumentId, price_exp: u8, size_exp: u8) -> InstrumentRef {
        let (_, i) = &mut self.instruments[id.ix()];
        self.widened += usize::from(price_exp > i.price_exp || size_exp > i.size_exp);
        i.price_exp = i.price_exp.max(price_exp.min(EXP_MAX));
        i.size_exp = i.size_exp.max(size_exp.min(EXP_MAX));
        *i
    }

    fn narrow(&mut self, id: InstrumentId, (price_exp, size_exp): (u8, u8), _: (u8, u8)) -> InstrumentRef {
        self.narrowed += 1;
        let (_, i) = &mut self.instruments[id.ix()];
        (i.price_exp, i.size_exp) = (price_exp, size_exp);
        *i
    }

    fn event(&mut self, event: Event<'_>) {
        (self.on_event)(event);
    }
}
