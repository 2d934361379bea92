//! Tests that walk every venue, and the helpers they share.

mod ascendex;
mod bad_input;
mod conformance;
mod fixtures;
mod hostile;
mod independent;
mod instruments;
mod paths;
mod polled;
pub(crate) mod pumpkin;
mod recordings;

use crate::model::num::Dec;
use crate::model::{Depth, Event, Kline, Level, Reject, RejectCause, StreamKind, StreamSpec, Trade};
use crate::parse::Scratch;
use crate::venue::testing::MemoryCtx;
use crate::venue::{Venue, all, by_id};

/// Exponents of all instruments in these tests where a test does not say otherwise.
const EXP: u8 = 9;

/// When everything here is received: times and ids of some venues are told apart by it.
const RECEIVED: i64 = 1_769_598_709_200_000_000;

fn venue(id: &str) -> &'static dyn Venue {
    by_id(id).unwrap_or_else(|| panic!("no venue {id}")).1
}

/// The venues of which it is known what their REST has: a new one may have less.
fn built_in() -> impl Iterator<Item = &'static dyn Venue> {
    [
        "aster-futures",
        "aster-spot",
        "aster-prediction",
        "binance-spot",
        "binance-usdm",
        "binance-coinm",
        "ascendex-spot",
        "ascendex-futures",
        "pumpkin-perp",
    ]
    .into_iter()
    .map(venue)
}

/// The venues whose streams are named in the URL and come in an envelope: those that speak as Binance does.
fn by_url() -> impl Iterator<Item = &'static dyn Venue> {
    all().iter().copied().filter(|v| names_streams_in_url(*v))
}

fn names_streams_in_url(v: &dyn Venue) -> bool {
    let stream = v.stream(v.spec().channels_default[0], Some("BTCUSDT")).unwrap();
    v.plan(&[stream], &crate::model::Hosts::default()).unwrap()[0].subscribe.is_empty()
}

/// Whether trades that were missed can be asked for.
fn trades_by_rest(v: &dyn Venue) -> bool {
    [StreamKind::AggTrade, StreamKind::Trade, StreamKind::TradeSparse]
        .into_iter()
        .any(|kind| v.trades_request(kind, "X", 0).is_some())
}

/// What stands for the symbol in a stream's name.
fn subject(v: &dyn Venue, name: &str) -> String {
    if names_streams_in_url(v) {
        return name.split('@').next().unwrap_or_default().to_ascii_uppercase();
    }
    match v.parse_stream(name).and_then(|s| s.symbol) {
        Some(symbol) if name.contains(&symbol) => symbol,
        _ => name.rsplit(':').next().unwrap_or_default().to_owned(),
    }
}

fn px(m: i64) -> String {
    Dec::new(m, EXP).to_string()
}

fn side(levels: &[Level]) -> String {
    let texts: Vec<String> = levels.iter().map(|l| format!("{}x{}", px(l.price), px(l.size))).collect();
    texts.join(" ")
}

/// An event as one line of plain decimals, so that exponents do not matter and an independent reader can say it too.
fn line(e: &Event<'_>) -> String {
    match e {
        Event::Depth(d) => book_line("depth", d),
        Event::Snapshot(d) => book_line("snapshot", d),
        Event::Partial(d) => book_line("partial", d),
        Event::Trade(t) => trade_line(t),
        Event::Bbo(b) => {
            let (bid, ask) = (side(&[b.bid]), side(&[b.ask]));
            format!("bbo T={} E={} u={} b={bid} a={ask}", b.ts_event, b.ts_send, b.last)
        }
        Event::Mark(m) => format!(
            "mark T={} E={} p={} i={} P={} r={} next={}",
            m.ts_event, m.ts_send, m.mark_px, m.index_px, m.settle_px, m.funding_rate, m.ts_next_funding
        ),
        Event::Kline(k) => kline_line(k),
        Event::Ticker(t) => {
            let (prices, sizes) = ([t.open, t.high, t.low, t.last], [t.last_size, t.volume, t.quote_volume]);
            let ([o, h, l, c], [last_size, v, q]) = (prices, sizes);
            format!(
                "ticker E={} o={o} h={h} l={l} c={c} Q={last_size} v={v} q={q} n={} O={} C={}",
                t.ts_send, t.trade_count, t.ts_open, t.ts_close
            )
        }
        Event::Liquidation(l) => {
            let (p, ap, q) = (l.price, l.avg_price, l.size);
            format!(
                "liquidation T={} E={} side={} {} {} p={p} ap={ap} q={q} l={} z={} {}",
                l.ts_event, l.ts_send, l.side, l.order_type, l.tif, l.last_filled, l.filled, l.status
            )
        }
        Event::Reply(r) => format!("reply id={} error={} code={} {:?}", r.id, r.is_error, r.code, r.text),
        Event::Notice(n) => format!("notice {n:?}"),
        Event::Other { name, .. } => format!("other {name}"),
        Event::OpenInterest(o) => format!("interest T={} E={} oi={}", o.ts_event, o.ts_send, o.open_interest),
        Event::Funding(_) => format!("{e:?}"),
    }
}

fn book_line(kind: &str, d: &Depth<'_>) -> String {
    let (times, ids) = ((d.ts_event, d.ts_send), (d.first, d.last, d.prev));
    format!(
        "{kind} T={} E={} U={} u={} pu={} b=[{}] a=[{}]",
        times.0,
        times.1,
        ids.0,
        ids.1,
        ids.2,
        side(d.bids),
        side(d.asks)
    )
}

fn trade_line(t: &Trade<'_>) -> String {
    let (p, q, kind) = (px(t.price), px(t.size), t.trade_type.as_str());
    format!(
        "trade T={} E={} chain={} id={} last={} text={:?} side={} p={p} q={q} {kind} agg={}",
        t.ts_event, t.ts_send, t.chain_id, t.id, t.id_last, t.id_text, t.side, t.is_aggregate
    )
}

fn kline_line(k: &Kline<'_>) -> String {
    let [o, h, l, c] = [k.open, k.high, k.low, k.close];
    let [v, q, tv, tq] = [k.volume, k.quote_volume, k.taker_volume, k.taker_quote_volume];
    let [f, last] = [k.trade_id_first, k.trade_id_last];
    format!(
        "kline E={} i={} t={} T={} o={o} h={h} l={l} c={c} v={v} q={q} V={tv} Q={tq} n={} f={f} L={last} x={}",
        k.ts_send, k.interval, k.ts_open, k.ts_close, k.trade_count, k.is_closed
    )
}

/// What a venue says of one frame, each line led by the symbol. All names in `streams` are subscribed.
fn said(
    venue: &dyn Venue,
    streams: &[&str],
    frame: &[u8],
    only: Option<&StreamSpec>,
) -> Result<Vec<String>, (Reject, Vec<String>)> {
    let mut events = Vec::new();
    let mut ctx = MemoryCtx::new(|e: Event<'_>| events.push((instrument_of(&e), line(&e))));
    (ctx.ts_recv, ctx.contract_size) = (RECEIVED, Dec::new(1, 0));
    ctx.exponents = (EXP, EXP);
    for name in streams {
        assert!(ctx.subscribe(venue, name), "{}: {name} is no stream", venue.spec().id);
    }
    let result = venue.decode(&mut Scratch::default(), frame, only, &mut ctx);
    let symbols: Vec<String> = (0..8).map(|i| ctx.symbol(crate::model::InstrumentId(i)).to_owned()).collect();
    let lines = events
        .into_iter()
        .map(|(i, line)| i.map_or(line.clone(), |i| format!("{} {line}", symbols.get(i).map_or("?", |s| s))))
        .collect();
    match result {
        Ok(()) => Ok(lines),
        Err(r) => Err((r, lines)),
    }
}

fn instrument_of(e: &Event<'_>) -> Option<usize> {
    Some(match e {
        Event::Depth(d) | Event::Snapshot(d) | Event::Partial(d) => d.instrument.ix(),
        Event::Trade(t) => t.instrument.ix(),
        Event::Bbo(b) => b.instrument.ix(),
        Event::Mark(m) => m.instrument.ix(),
        Event::Kline(k) => k.instrument.ix(),
        Event::Ticker(t) => t.instrument.ix(),
        Event::Liquidation(l) => l.instrument.ix(),
        Event::OpenInterest(o) => o.instrument.ix(),
        Event::Funding(f) => f.instrument.ix(),
        Event::Reply(_) | Event::Notice(_) | Event::Other { .. } => return None,
    })
}

/// The cause of a refusal, for frames that must be refused and say nothing.
fn refused(venue: &dyn Venue, streams: &[&str], frame: &[u8]) -> RejectCause {
    match said(venue, streams, frame, None) {
        Err((r, lines)) if lines.is_empty() => r.cause,
        other => panic!("{}: {:?} gave {other:?}", venue.spec().id, String::from_utf8_lossy(frame)),
    }
}
