//! Payloads against what the venues' pages and the recordings print.

use super::*;
use crate::simulator::{config::Symbols, dialects, rng::Rng, symbols};

fn world(d: &'static Dialect) -> (Shape, Face, Market, Stats) {
    let def = &symbols::define(d, &Symbols::Count(1), false)[0];
    let m = Market::new(d, def, 0, 100, 5_000_000_000_000, &mut Rng::new(1, 1));
    let f = Face::new(def);
    let px = f.px(def.start_ticks);
    (Shape { d, st_ps: d.st_ps }, f, m, Stats::new(1_700_000_000_000, px))
}

fn keys(v: &[u8]) -> Vec<String> {
    // The order matters here, so the keys are read off the text.
    let s = std::str::from_utf8(v).unwrap();
    serde_json::from_str::<serde_json::Value>(s).unwrap();
    let mut out = Vec::new();
    let mut depth = 0;
    let b: Vec<char> = s.chars().collect();
    let mut i = 0;
    while i < b.len() {
        match b[i] {
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            '"' => {
                let end = (i + 1..b.len()).find(|&j| b[j] == '"').unwrap();
                if depth == 1 && b.get(end + 1) == Some(&':') {
                    out.push(b[i + 1..end].iter().collect());
                }
                i = end;
            }
            _ => {}
        }
        i += 1;
    }
    out
}

fn check(d: &'static Dialect, write: impl Fn(&Shape, &mut Out, &Face, &Market, &Stats), expect: &str) {
    let (sh, f, m, s) = world(d);
    let mut o = Out { logged: true, ..Out::default() };
    write(&sh, &mut o, &f, &m, &s);
    assert_eq!(keys(&o.data).join(","), expect, "{}", d.venue);
    let line = format!("{{\"k\":\"msg\"{}}}", std::str::from_utf8(&o.line).unwrap());
    let v: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert!(v["kind"].is_string() && v["sym"].is_string(), "{line}");
}

#[test]
fn keys_stand_in_the_recorded_order() {
    use dialects::{ASTER_FUTURES as A, BINANCE_COINM as C, BINANCE_SPOT as S, BINANCE_USDM as U};
    let depth = |sh: &Shape, o: &mut Out, f: &Face, _: &Market, _: &Stats| {
        sh.depth(o, f, "depth", Span { e: 5, t: 4, first: 3, last: 3, prev: 2, speed: 0 }, &[(5, 1)], &[]);
    };
    check(&A, depth, "e,E,T,s,U,u,pu,b,a");
    check(&U, depth, "e,E,T,s,U,u,pu,b,a,ps,st");
    check(&C, depth, "e,E,T,s,ps,U,u,pu,b,a,st");
    check(&S, depth, "e,E,s,U,u,b,a");
    let bbo = |sh: &Shape, o: &mut Out, f: &Face, m: &Market, _: &Stats| sh.book_ticker(o, f, m, 9, 7);
    check(&A, bbo, "e,u,E,T,s,b,B,a,A");
    check(&U, bbo, "e,u,s,b,B,a,A,T,E,ps,st");
    check(&C, bbo, "u,e,s,ps,b,B,a,A,T,E,st");
    check(&S, bbo, "u,s,b,B,a,A");
    let fill = Ev::Fill { t: 1, px: 100, qty: 2, buyer_maker: true, insurance: false };
    let trade = move |sh: &Shape, o: &mut Out, f: &Face, _: &Market, _: &Stats| sh.trade(o, f, fill, 7);
    check(&A, trade, "e,E,T,s,t,p,q,X,m");
    check(&U, trade, "e,E,T,s,t,p,q,X,m,st");
    check(&S, trade, "e,E,s,t,p,q,T,m,M");
    let agg = Ev::Agg { a: 1, px: 100, qty: 2, first: 4, last: 5, buyer_maker: true };
    let agg = move |sh: &Shape, o: &mut Out, f: &Face, _: &Market, _: &Stats| sh.agg_trade(o, f, agg, 7, 8);
    check(&A, agg, "e,E,s,a,p,q,f,l,T,m");
    check(&U, agg, "e,E,a,s,p,q,nq,f,l,T,m,st");
    check(&C, agg, "e,E,a,s,p,q,f,l,T,m,st");
    check(&S, agg, "e,E,s,a,p,q,f,l,T,m,M");
    let mark = |sh: &Shape, o: &mut Out, f: &Face, _: &Market, _: &Stats| {
        sh.mark(o, f, Marked { mark: 100, index: 99, rate_e8: 10_000, interest: 1 }, 8, 7)
    };
    check(&A, mark, "e,E,s,p,i,P,r,T");
    check(&U, mark, "e,E,s,p,ap,P,i,r,T,st");
    let kline = |sh: &Shape, o: &mut Out, f: &Face, _: &Market, s: &Stats| {
        sh.kline(o, f, 1, &s.bars[1], CandleOf::Symbol, 7)
    };
    check(&A, kline, "e,E,s,k");
    let mini = |sh: &Shape, o: &mut Out, f: &Face, _: &Market, s: &Stats| sh.mini_ticker(o, f, s, 7);
    check(&A, mini, "e,E,s,c,o,h,l,v,q");
    check(&C, mini, "e,E,s,c,o,h,l,v,q,ps,st");
    let ticker = |sh: &Shape, o: &mut Out, f: &Face, m: &Market, s: &Stats| sh.ticker(o, f, s, m, 7);
    check(&A, ticker, "e,E,s,p,P,w,c,Q,o,h,l,v,q,O,C,F,L,n");
    check(&S, ticker, "e,E,s,p,P,w,x,c,Q,b,B,a,A,o,h,l,v,q,O,C,F,L,n");
    let force = Ev::Force { sell: true, px: 100, avg: 101, qty: 5, last_fill: 2 };
    let force =
        move |sh: &Shape, o: &mut Out, f: &Face, _: &Market, _: &Stats| sh.force_order(o, f, force, 6, 7);
    check(&A, force, "e,E,o");
    check(&U, force, "e,E,o,ps,st");
}

#[test]
fn streams_that_only_some_venues_have_print_what_their_pages_list() {
    use dialects::{ASTER_FUTURES as A, BINANCE_COINM as C, BINANCE_SPOT as S, BINANCE_USDM as U};
    let def = |d| symbols::define(d, &Symbols::Count(1), false).remove(0);
    let fill = Ev::Fill { t: 1, px: 100, qty: 2, buyer_maker: true, insurance: false };
    check(&A, |sh, o, f, _, _| sh.trade_pro(o, f, fill, 7), "e,E,T,s,t,p,q,h,m");
    check(&S, |sh, o, f, _, _| sh.block_trade(o, f, 5, (100, 2), true, 7), "e,E,s,t,p,q,T,m");
    check(&S, |sh, o, f, _, s| sh.reference_price(o, f, &def(&S), s, 1000), "e,s,r,t");
    check(&S, |sh, o, f, _, s| sh.window(o, f, 0, &s.day, 7), "e,E,s,p,P,o,h,l,c,w,v,q,O,C,F,L,n");
    check(&U, |sh, o, f, _, _| sh.contract_info(o, f, 7), "e,E,s,ct,dt,ot,cs,bks,st");
    check(&C, |sh, o, f, _, _| sh.contract_info(o, f, 7), "e,E,s,ps,ct,dt,ot,cs,bks,st");
    let p = Marked { mark: 100, index: 99, rate_e8: 10_000, interest: 1 };
    check(&U, |sh, o, f, _, _| sh.composite_index(o, f, &def(&U), p, 7), "e,E,s,p,C,c");
    check(&U, |sh, o, f, _, _| sh.asset_index(o, f, p, 7), "e,E,s,i,b,a,B,A,q,g,Q,G");
    check(&U, |sh, o, _, _, _| sh.trading_session(o, 7), "e,E,t,T,S");
    check(&C, |sh, o, f, _, s| sh.price_candle(o, f, true, 1, &s.bars[1], 7), "e,E,ps,k,st");
    let event = |now| {
        move |sh: &Shape, o: &mut Out, _: &Face, _: &Market, _: &Stats| {
            sh.market_event(
                o,
                &symbols::define(&dialects::ASTER_PREDICTION, &Symbols::Count(1), false)[0],
                5000,
                now,
            )
        }
    };
    check(&dialects::ASTER_PREDICTION, event(60_000), "e,m,y,n,p,t");
    check(&dialects::ASTER_PREDICTION, event(61_000), "e,m,y,n,p,r,t");
    check(&dialects::ASTER_PREDICTION, event(119_000), "e,m,y,n,p,r,t,w");
}

/// A contract is worth a sum of dollars: the turnover is in the base asset, and an average price is one.
#[test]
fn the_turnover_of_inverse_contracts_is_in_the_base_asset() {
    let (_, f, _, mut s) = world(&dialects::BINANCE_COINM);
    // 5 contracts of 100 USD at 61800.2 and as many at 30900.1: 0.00809061… and 0.01618122… BTC.
    for px in [618_002, 309_001] {
        let (px, qty) = (f.px(px), f.qty(5));
        s.fill(1_700_000_001_000, (px, qty, f.turnover(px, qty)), true, 1);
    }
    assert_eq!((s.day.volume, s.day.quote, f.qd), (10, 809_058 + 1_618_117, 8));
    // 1000 USD for 0.02427175 BTC.
    assert_eq!(f.average(&s.day), 412_001);
    let (_, f, _, _) = world(&dialects::BINANCE_USDM);
    assert_eq!((f.turnover(6_180_020, 14), f.qd), (86_520_280, 5));
}

#[test]
fn numbers_are_printed_as_the_venue_prints_them() {
    let (sh, f, m, _) = world(&dialects::BINANCE_USDM);
    let mut o = Out::default();
    sh.depth(
        &mut o,
        &f,
        "depth",
        Span { e: 5, t: 4, first: 3, last: 3, prev: 2, speed: 0 },
        &[(618_002, 14), (618_001, 0)],
        &[],
    );
    let text = String::from_utf8(o.data.clone()).unwrap();
    assert!(text.contains("\"b\":[[\"61800.20\",\"0.014\"],[\"61800.10\",\"0.000\"]],\"a\":[]"), "{text}");
    assert!(o.line.is_empty());
    sh.book_ticker(&mut o, &f, &m, 5_123_107_839_020, 7);
    assert!(
        String::from_utf8(o.data.clone())
            .unwrap()
            .starts_with("{\"e\":\"bookTicker\",\"u\":5123107839020,\"s\":\"BTCUSDT\",\"b\":\"6180")
    );
    let (sh, f, ..) = world(&dialects::BINANCE_SPOT);
    sh.partial_spot(&mut o, &f, 9, &[(618_002, 14)], &[]);
    assert_eq!(
        String::from_utf8(o.data).unwrap(),
        "{\"lastUpdateId\":9,\"bids\":[[\"61800.20000000\",\"0.00014000\"]],\"asks\":[]}"
    );
}

#[test]
fn the_level_checksum_is_that_of_the_canonical_text() {
    let (sh, f, ..) = world(&dialects::BINANCE_USDM);
    let mut o = Out { logged: true, ..Out::default() };
    sh.depth(
        &mut o,
        &f,
        "depth",
        Span { e: 5, t: 4, first: 3, last: 3, prev: 2, speed: 0 },
        &[(618_002, 14)],
        &[(618_003, 0)],
    );
    let line = format!("{{\"k\":1{}}}", String::from_utf8(o.line).unwrap());
    let v: serde_json::Value = serde_json::from_str(&line).unwrap();
    let crc = crc32fast::hash(b"61800.2:0.014;|61800.3:0;");
    assert_eq!(v["lv"], format!("{crc:08x}"));
    assert_eq!((&v["nb"], &v["u"], &v["pu"], &v["T"]), (&1.into(), &3.into(), &2.into(), &4.into()));
}
