//! Candles that grow: they hold trades, so a stream of trades of the same market that says nothing is silent.

use crate::model::{ConnId, Dec, Kline, StreamId};

/// What was last seen of one stream's candle, and how often it grew since somebody asked.
#[derive(Clone, Copy)]
struct Seen {
    ts_open: i64,
    volume: Dec,
    /// The newest connection that brought one; over two legs and while a connection is replaced there are several.
    conn: ConnId,
    grown: u64,
}

/// By stream.
#[derive(Default)]
pub(super) struct Candles(Vec<Option<Seen>>);

impl Candles {
    /// By how much the first one of a connection is more than the last one before nobody counts: those trades may have come while
    /// nobody listened.
    ///
    /// Hot where candles are captured: allocates for a stream that is new.
    #[inline]
    pub(super) fn see(&mut self, conn: ConnId, k: &Kline<'_>) {
        let at = k.stream.0 as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, None);
        }
        let volume = if k.volume.is_none() { k.quote_volume } else { k.volume };
        let seen = self.0[at].get_or_insert(Seen { ts_open: k.ts_open, volume, conn, grown: 0 });
        // Numbers of connections rise.
        let is_first = conn > seen.conn;
        seen.conn = seen.conn.max(conn);
        // A candle that is new may hold nothing; one that is older is a late word.
        let before = if k.ts_open > seen.ts_open { Dec { m: 0, e: 0 } } else { seen.volume };
        if k.ts_open >= seen.ts_open {
            seen.grown += u64::from(!is_first && is_more(volume, before));
            (seen.ts_open, seen.volume) = (k.ts_open, volume);
        }
    }

    /// How often candles grew since the last time.
    pub(super) fn grown(&mut self) -> impl Iterator<Item = (StreamId, u64)> + use<> {
        let take = |(n, s): (usize, &mut Option<Seen>)| {
            let grown = std::mem::take(&mut s.as_mut()?.grown);
            (grown > 0).then_some((StreamId(n as u32), grown))
        };
        // cold: once a second, and as many as grew.
        self.0.iter_mut().enumerate().filter_map(take).collect::<Vec<_>>().into_iter()
    }
}

/// Whether a volume is above another one, where both are known.
fn is_more(a: Dec, b: Dec) -> bool {
    if a.is_none() || b.is_none() {
        return false;
    }
    let wide = |d: Dec| i128::from(d.m) * 10i128.pow(u32::from(19 - d.e.min(18)));
    wide(a) > wide(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::InstrumentId;

    fn candle(stream: u32, ts_open: i64, volume: Dec) -> Kline<'static> {
        Kline {
            instrument: InstrumentId(0),
            stream: StreamId(stream),
            ts_event: 0,
            ts_send: 0,
            interval: "1m",
            ts_open,
            ts_close: ts_open + 59,
            open: Dec::NONE,
            high: Dec::NONE,
            low: Dec::NONE,
            close: Dec::NONE,
            volume,
            quote_volume: Dec::NONE,
            taker_volume: Dec::NONE,
            taker_quote_volume: Dec::NONE,
            trade_count: -1,
            trade_id_first: -1,
            trade_id_last: -1,
            is_closed: false,
        }
    }

    #[test]
    fn a_candle_grows_by_its_volume_and_by_nothing_else() {
        let mut c = Candles::default();
        let mut told = |stream: u32, ts_open: i64, volume: Dec| {
            c.see(1, &candle(stream, ts_open, volume));
            c.grown().map(|g| (g.0.0, g.1)).collect::<Vec<_>>()
        };
        let v = Dec::new;
        assert_eq!(told(3, 60, v(15, 1)), [], "what was before nobody knows");
        assert_eq!(told(3, 60, v(150, 2)), [], "the same in more digits");
        assert_eq!(told(3, 60, v(151, 2)), [(3, 1)]);
        assert_eq!(told(3, 120, v(0, 0)), [], "an empty candle");
        assert_eq!(told(3, 60, v(900, 2)), [], "a late word of the one before");
        assert_eq!(told(3, 120, v(1, 3)), [(3, 1)]);
        assert_eq!(told(3, 120, Dec::NONE), []);
        assert_eq!(told(3, 120, v(5, 3)), [], "from what is not known");
        assert_eq!(told(3, 180, v(1, 3)), [(3, 1)], "a new one that holds something");
        assert_eq!(told(1, 180, v(1, 3)), [], "each stream by itself");
    }

    #[test]
    fn what_a_candle_grew_by_while_nobody_listened_is_not_counted() {
        let mut c = Candles::default();
        let mut told = |conn: ConnId, ts_open: i64, volume: i64| {
            c.see(conn, &candle(0, ts_open, Dec::new(volume, 0)));
            c.grown().map(|g| g.1).sum::<u64>()
        };
        assert_eq!((told(7, 60, 10), told(7, 60, 11)), (0, 1));
        assert_eq!(told(8, 60, 15), 0, "nobody knows when that came");
        assert_eq!(told(8, 60, 16), 1, "and this came while somebody listened");
        assert_eq!(told(9, 120, 3), 0, "nor whether a new one grew before");
        assert_eq!(told(9, 120, 4), 1);
        // One that is replaced, or another leg, brings what it always did.
        assert_eq!((told(10, 120, 4), told(9, 120, 5), told(10, 120, 5)), (0, 1, 0));
        assert_eq!((told(10, 120, 6), told(9, 120, 6)), (1, 0));
    }
}
