//! Candles and rolling statistics of one symbol, kept from its fills.

use std::collections::VecDeque;

use super::streams::INTERVALS;

/// Closed candles that are remembered per interval.
const PAST: usize = 12;

/// One candle. Prices and sizes are mantissas under the symbol's printed decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bar {
    /// First ms.
    pub open_ms: i64,
    /// Last ms.
    pub close_ms: i64,
    /// First price.
    pub open: i64,
    /// Highest price.
    pub high: i64,
    /// Lowest price.
    pub low: i64,
    /// Last price.
    pub close: i64,
    /// Base volume.
    pub volume: i128,
    /// Turnover, as [`super::payload::Face::turnover`] has it.
    pub quote: i128,
    /// Base volume bought by takers.
    pub taker: i128,
    /// Turnover bought by takers.
    pub taker_quote: i128,
    /// Number of trades.
    pub trades: i64,
    /// First trade id, −1 if none.
    pub first: i64,
    /// Last trade id, −1 if none.
    pub last: i64,
    /// Whether it changed since it was told.
    pub changed: bool,
}

/// Candles of all intervals and the rolling day.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Running candles, by interval.
    pub bars: [Bar; INTERVALS.len()],
    /// Closed candles not yet told, by interval.
    pub closed: [Option<Bar>; INTERVALS.len()],
    /// Closed candles, by interval, oldest first; the latest few.
    pub past: [VecDeque<Bar>; INTERVALS.len()],
    /// The rolling day, begun at the start of the simulation.
    pub day: Bar,
    /// Size of the last trade.
    pub last_qty: i64,
    /// Time of the last trade, ms.
    pub last_ms: i64,
    /// Whether the day changed since `!miniTicker@arr` was told.
    pub changed_mini_all: bool,
    /// Whether the day changed since `!ticker@arr` was told.
    pub changed_ticker_all: bool,
    /// So far east of Greenwich the calendar's days begin, ms.
    east_ms: i64,
}

/// Whose candle it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CandleOf {
    /// The symbol's.
    Symbol,
    /// The contract's: its frame names no symbol.
    Contract,
    /// The symbol's, by a calendar eight hours east.
    East,
}

impl CandleOf {
    /// What a recorder calls its interval.
    pub fn name(self, interval: &'static str) -> std::borrow::Cow<'static, str> {
        match self {
            CandleOf::East => format!("{interval}@+08:00").into(),
            _ => interval.into(),
        }
    }
}

/// `(first, last)` ms of the candle of an interval in which `ms` lies.
pub fn bounds(interval: usize, ms: i64) -> (i64, i64) {
    const DAY: i64 = 86_400_000;
    let len = INTERVALS[interval].1;
    if len < 0 {
        // Months, quarters and halves of the calendar.
        let months = -len;
        let (y, m) = year_month(ms.div_euclid(DAY));
        let m = m - (m - 1) % months;
        let (y2, m2) = if m + months > 12 { (y + 1, m + months - 12) } else { (y, m + months) };
        return (first_day(y, m) * DAY, first_day(y2, m2) * DAY - 1);
    }
    // Weeks begin on Mondays; 1970-01-01 was a Thursday.
    let shift = if INTERVALS[interval].0 == "1w" { 3 * DAY } else { 0 };
    let open = (ms + shift).div_euclid(len) * len - shift;
    (open, open + len - 1)
}

/// Days since the epoch of the first of a month (proleptic Gregorian).
fn first_day(y: i64, m: i64) -> i64 {
    // Years counted from March, so that the leap day is the last one.
    let (y, m) = if m <= 2 { (y - 1, m + 9) } else { (y, m - 3) };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + (153 * m + 2) / 5 - 719_468
}

fn year_month(day: i64) -> (i64, i64) {
    let z = day + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let m = if mp < 10 { mp + 3 } else { mp - 9 };
    (era * 400 + yoe + i64::from(m <= 2), m)
}

fn flat(interval: usize, ms: i64, px: i64, east_ms: i64) -> Bar {
    let (open_ms, close_ms) = bounds(interval, ms + east_ms);
    let (open_ms, close_ms) = (open_ms - east_ms, close_ms - east_ms);
    Bar { open_ms, close_ms, open: px, high: px, low: px, close: px, first: -1, last: -1, ..Bar::default() }
}

impl Bar {
    fn add(&mut self, (px, qty, quote): (i64, i64, i128), taker_buys: bool, t: i64) {
        self.high = self.high.max(px);
        self.low = self.low.min(px);
        self.close = px;
        self.volume += i128::from(qty);
        self.quote += quote;
        if taker_buys {
            self.taker += i128::from(qty);
            self.taker_quote += quote;
        }
        self.trades += 1;
        if self.first < 0 {
            self.first = t;
        }
        self.last = t;
        self.changed = true;
    }
}

impl Stats {
    /// Before the first trade.
    pub fn new(ms: i64, px: i64) -> Stats {
        Stats::east(ms, px, 0)
    }

    /// The same under the calendar of another time zone.
    pub fn east(ms: i64, px: i64, east_ms: i64) -> Stats {
        let mut day = flat(1, ms, px, 0);
        (day.open_ms, day.close_ms) = (ms - 86_400_000, ms);
        Stats {
            bars: std::array::from_fn(|i| flat(i, ms, px, east_ms)),
            closed: [None; INTERVALS.len()],
            past: std::array::from_fn(|_| VecDeque::new()),
            day,
            last_qty: 0,
            last_ms: ms,
            changed_mini_all: false,
            changed_ticker_all: false,
            east_ms,
        }
    }

    /// One fill: price, size, turnover.
    pub fn fill(&mut self, ms: i64, deal: (i64, i64, i128), taker_buys: bool, t: i64) {
        let (px, qty, _) = deal;
        self.roll(ms);
        for b in &mut self.bars {
            if b.trades == 0 {
                (b.open, b.high, b.low) = (px, px, px);
            }
            b.add(deal, taker_buys, t);
        }
        self.day.add(deal, taker_buys, t);
        (self.last_qty, self.last_ms) = (qty, ms);
        (self.changed_mini_all, self.changed_ticker_all) = (true, true);
    }

    /// The candles of an interval that were not told yet: the one that has ended, the one that has changed.
    pub fn news(&mut self, interval: usize) -> impl Iterator<Item = Bar> + use<> {
        let closed = self.closed[interval].take();
        let running = &mut self.bars[interval];
        let running = std::mem::take(&mut running.changed).then_some(*running);
        [closed, running].into_iter().flatten()
    }

    /// Closes the candles that ended before `ms`.
    pub fn roll(&mut self, ms: i64) {
        for i in 0..self.bars.len() {
            if ms > self.bars[i].close_ms {
                self.closed[i] = Some(self.bars[i]);
                if self.past[i].len() == PAST {
                    self.past[i].pop_front();
                }
                self.past[i].push_back(self.bars[i]);
                self.bars[i] = flat(i, ms, self.bars[i].close, self.east_ms);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ix(name: &str) -> usize {
        INTERVALS.iter().position(|i| i.0 == name).unwrap()
    }

    #[test]
    fn candles_begin_where_the_calendar_says() {
        let ms = 1_709_211_600_000; // 2024-02-29 13:00:00 UTC, a Thursday
        assert_eq!(bounds(ix("1m"), ms), (1_709_211_600_000, 1_709_211_659_999));
        assert_eq!(bounds(ix("1w"), ms).0, 1_708_905_600_000); // Monday 2024-02-26
        assert_eq!(bounds(ix("1M"), ms), (1_706_745_600_000, 1_709_251_199_999)); // February 2024
        assert_eq!(bounds(ix("1M"), 1_735_689_599_999), (1_733_011_200_000, 1_735_689_599_999)); // December 2024
        assert_eq!(bounds(ix("3M"), ms), (1_704_067_200_000, 1_711_929_599_999)); // January to March 2024
        assert_eq!(bounds(ix("3M"), 1_735_689_599_999), (1_727_740_800_000, 1_735_689_599_999)); // its last quarter
        assert_eq!(bounds(ix("6M"), ms), (1_704_067_200_000, 1_719_791_999_999)); // its first half
        assert_eq!(bounds(ix("6M"), 1_735_689_599_999), (1_719_792_000_000, 1_735_689_599_999)); // its second
    }

    #[test]
    fn a_candle_adds_up_and_closes_once() {
        let mut s = Stats::new(60_000, 100);
        s.fill(60_500, (110, 2, 220), true, 7);
        s.fill(61_000, (90, 1, 90), false, 8);
        let b = s.bars[ix("1m")];
        assert_eq!((b.open, b.high, b.low, b.close), (110, 110, 90, 90));
        assert_eq!((b.volume, b.quote, b.taker, b.taker_quote), (3, 310, 2, 220));
        assert_eq!((b.trades, b.first, b.last), (2, 7, 8));
        s.fill(120_000, (95, 1, 95), true, 9);
        let c = s.closed[ix("1m")].unwrap();
        assert_eq!((c.open_ms, c.close, c.trades), (60_000, 90, 2));
        assert_eq!((s.bars[ix("1m")].open, s.bars[ix("1m")].trades), (95, 1));
        assert_eq!(s.day.trades, 3);
    }

    #[test]
    fn days_of_the_east_begin_eight_hours_earlier() {
        let ms = 1_709_211_600_000; // 2024-02-29 13:00:00 UTC
        let s = Stats::east(ms, 1, 8 * 3_600_000);
        assert_eq!(s.bars[ix("1d")].open_ms, 1_709_136_000_000); // 2024-02-28 16:00:00 UTC
        assert_eq!(s.bars[ix("1h")], Stats::new(ms, 1).bars[ix("1h")]);
    }
}
