//! Answers that are polled: what every venue must keep, and what the bodies of each page become.

use super::{EXP, line, venue};
use crate::model::num::Dec;
use crate::model::{Event, Reject, RejectCause, RestKind, StreamKind};
use crate::parse::Scratch;
use crate::venue::testing::MemoryCtx;
use crate::venue::{Venue, all, poll_request};

/// What is said of a body, each line led by the symbol.
fn polled(v: &dyn Venue, url: &str, body: &str) -> Result<Vec<String>, Reject> {
    let mut lines: Vec<(Option<usize>, String)> = Vec::new();
    let mut ctx = MemoryCtx::new(|e: Event<'_>| lines.push((super::instrument_of(&e), line(&e))));
    (ctx.exponents, ctx.contract_size) = ((EXP, EXP), Dec::new(1, 3));
    assert_eq!(v.rest_kind(url), RestKind::Polled, "{}: {url}", v.spec().id);
    let result = v.decode_polled(&mut Scratch::default(), url, body.as_bytes(), &mut ctx);
    let symbols: Vec<String> = (0..8).map(|i| ctx.symbol(crate::model::InstrumentId(i)).to_owned()).collect();
    let named =
        |(i, line): (Option<usize>, String)| i.map_or(line.clone(), |i| format!("{} {line}", symbols[i]));
    result.map(|()| lines.into_iter().map(named).collect())
}

#[test]
fn every_poll_has_a_name_of_its_own_and_its_answer_is_recognised() {
    for v in all() {
        let id = v.spec().id;
        let mut names = std::collections::BTreeSet::new();
        for p in v.polls() {
            assert!(p.weight > 0 && p.every_s > 0 && !p.args.is_empty(), "{id}: {p:?}");
            assert_eq!(p.path.contains("{}"), p.args != [""], "{id}: {p:?}");
            assert_eq!(p.path.ends_with('=') || p.path.contains("{symbol}"), p.per_symbol, "{id}: {p:?}");
            for arg in p.args {
                let name = format!("{}{arg}", p.channel);
                assert!(v.stream(&name, Some("BTCUSDT")).is_err(), "{id}: {name} is a stream as well");
                assert_eq!(v.poll(&name), Some(p), "{id}: {name}");
                let symbol = if p.per_symbol { "龙虾/USD T" } else { "" };
                let r = poll_request(p, &name, symbol);
                assert_eq!(v.rest_kind(&r.path), RestKind::Polled, "{id}: {}", r.path);
                assert!(r.path.bytes().all(|b| b.is_ascii_graphic()), "{id}: {}", r.path);
                assert!(names.insert(name), "{id}: {p:?}");
            }
        }
        assert!(v.poll("nothing").is_none());
    }
    for v in super::built_in() {
        assert!(!v.polls().is_empty(), "{}: a page without REST answers?", v.spec().id);
    }
}

/// Bodies that are none: cut, of another shape, refusals, pages of a proxy.
#[test]
fn what_is_no_answer_is_refused_and_says_nothing() {
    for v in all() {
        let id = v.spec().id;
        for p in v.polls() {
            let name = format!("{}{}", p.channel, p.args[0]);
            let url = poll_request(p, &name, if p.per_symbol { "BTCUSDT" } else { "" }).path;
            let cause = |body: &str| polled(*v, &url, body).map_err(|r| r.cause);
            for (body, wanted) in [
                ("", RejectCause::Malformed),
                ("<html>403 Forbidden</html>", RejectCause::Malformed),
                ("{\"a\":", RejectCause::Malformed),
                ("[[[[", RejectCause::Malformed),
            ] {
                assert_eq!(cause(body), Err(wanted), "{id}: {name}: {body}");
            }
            let refusals = [
                r#"{"code":-1121,"msg":"Invalid symbol."}"#,
                r#"{"code":-1003,"msg":"Too many requests"}"#,
                r#"{"code":429,"msg":"ip_high_frequency","data":{"reset":3600}}"#,
                r#"{"code":100008,"reason":"SYMBOL_ERROR","message":"x"}"#,
            ];
            for body in refusals {
                let is_own = body.contains("msg") != id.starts_with("ascendex");
                if is_own {
                    assert_eq!(cause(body), Err(RejectCause::Status), "{id}: {name}: {body}");
                }
            }
            if p.kind != StreamKind::RawOnly {
                let nothing = if id == "pumpkin-perp" { r#"{"code":0,"data":5}"# } else { "5" };
                assert_eq!(cause(nothing), Err(RejectCause::Shape), "{id}: {name}");
            }
        }
    }
}

/// Numbers as texts, numbers beyond 2^53, missing cells: a faulty row does not cost the others.
#[test]
fn a_faulty_row_does_not_cost_the_others() {
    let v = venue("binance-usdm");
    let mut lines = Vec::new();
    let body = r#"[{"symbol":"A","openInterest":"1","time":9223372036854775808},{"symbol":"B","openInterest":"2","time":5}]"#;
    let mut ctx = MemoryCtx::new(|e: Event<'_>| lines.push(line(&e)));
    let url = "/fapi/v1/openInterest?symbol=A";
    let r = v.decode_polled(&mut Scratch::default(), url, body.as_bytes(), &mut ctx);
    assert_eq!(r.map_err(|r| r.cause), Err(RejectCause::Number));
    assert_eq!(lines, ["interest T=5000000 E=0 oi=2"]);
    let short = polled(v, "/fapi/v1/klines?symbol=A&interval=1m", "[[1]]").unwrap();
    assert!(short[0].contains("o= h= l= c="), "{short:?}");
    let cut = polled(v, "/fapi/v1/klines?symbol=A", "[]").map_err(|r| r.cause);
    assert_eq!(cut, Err(RejectCause::Shape), "of no interval");
}

/// The samples of `protocols/aster-futures.md` 3.1 and `protocols/binance.md` 3.
#[test]
fn the_family_s_answers_become_rows_in_the_right_units() {
    let v = venue("aster-futures");
    let one = |url: &str, body: &str| polled(v, url, body).unwrap();
    assert_eq!(
        one(
            "/fapi/v3/premiumIndex?symbol=BTCUSDT",
            r#"{"symbol":"BTCUSDT","markPrice":"11793.63104562","indexPrice":"11781.80495970","estimatedSettlePrice":"11781.16138815","lastFundingRate":"0.00038246","nextFundingTime":1597392000000,"interestRate":"0.00010000","time":1597370495002}"#
        ),
        [
            "BTCUSDT mark T=1597370495002000000 E=0 p=11793.63104562 i=11781.8049597 P=11781.16138815 r=0.00038246 next=1597392000000000000"
        ]
    );
    let funding = one(
        "/fapi/v3/fundingRate?limit=100&symbol=BTCUSDT",
        r#"[{"symbol":"BTCUSDT","fundingRate":"-0.03750000","fundingTime":1570608000000},{"symbol":"BTCUSDT","fundingRate":"0.00010000","fundingTime":1570636800000}]"#,
    );
    assert!(funding.len() == 2 && funding[0].contains("ts_funding: 1570608000000000000"), "{funding:?}");
    assert_eq!(
        one(
            "/fapi/v3/ticker/24hr?symbol=BTCUSDT",
            r#"{"symbol":"BTCUSDT","priceChange":"-94.9","priceChangePercent":"-95.9","weightedAvgPrice":"0.29","prevClosePrice":"0.10","lastPrice":"4.00000200","lastQty":"200.00000000","openPrice":"99.0","highPrice":"100.0","lowPrice":"0.1","volume":"8913.3","quoteVolume":"15.3","openTime":1499783499040,"closeTime":1499869899040,"firstId":28385,"lastId":28460,"count":76}"#
        ),
        [
            "BTCUSDT ticker E=0 o=99 h=100 l=0.1 c=4.000002 Q=200 v=8913.3 q=15.3 n=76 O=1499783499040000000 C=1499869899040000000"
        ]
    );
    assert_eq!(
        one(
            "/fapi/v3/ticker/price",
            r#"[{"symbol":"A","price":"6.0","time":1},{"symbol":"B","price":"7","time":2}]"#
        ),
        [
            "A ticker E=0 o= h= l= c=6 Q= v= q= n=-1 O=0 C=0",
            "B ticker E=0 o= h= l= c=7 Q= v= q= n=-1 O=0 C=0"
        ]
    );
    assert_eq!(
        one(
            "/fapi/v3/ticker/bookTicker?symbol=BTCUSDT",
            r#"{"symbol":"BTCUSDT","bidPrice":"4.0","bidQty":"431.0","askPrice":"4.000002","askQty":"9.0","time":1589437530011}"#
        ),
        ["BTCUSDT bbo T=1589437530011000000 E=0 u=-1 b=4x431 a=4.000002x9"]
    );
}

/// Twelve cells; and what has no table.
#[test]
fn candles_are_final_but_the_last_and_what_has_no_table_is_counted() {
    let v = venue("aster-futures");
    let one = |url: &str, body: &str| polled(v, url, body).unwrap();
    let candle = r#"[1499040000000,"0.01634790","0.80000000","0.01575800","0.01577100","148976.11427815",1499644799999,"2434.19055334",308,"1756.87402397","28.46694368","17928899.62484339"]"#;
    let told = one("/fapi/v3/klines?interval=1m&limit=10&symbol=BTCUSDT", &format!("[{candle},{candle}]"));
    let facts = "BTCUSDT kline E=0 i=1m t=1499040000000000000 T=1499644799999000000 o=0.0163479 h=0.8 l=0.015758 c=0.015771 v=148976.11427815 q=2434.19055334 V=1756.87402397 Q=28.46694368 n=308 f=-1 L=-1";
    assert_eq!(told, [format!("{facts} x=true"), format!("{facts} x=false")], "the last one is being made");
    // Eleven cells on Aster spot; an ignored cell that is none on others.
    let short = candle.replace(",\"17928899.62484339\"", "");
    let spot =
        polled(venue("aster-spot"), "/api/v3/klines?interval=1m&symbol=BTCUSDT", &format!("[{short}]"));
    assert_eq!(spot.unwrap(), [format!("{facts} x=false")]);
    // What has no table is counted by name.
    assert_eq!(one("/fapi/v3/fundingInfo", "[]"), ["other fundingInfo"]);
}

#[test]
fn coin_margined_contracts_are_counted_in_contracts() {
    // An array for one symbol.
    let coinm = venue("binance-coinm");
    assert_eq!(
        polled(
            coinm,
            "/dapi/v1/openInterest?symbol=BTCUSD_PERP",
            r#"{"symbol":"BTCUSD_PERP","pair":"BTCUSD","openInterest":"15004","contractType":"PERPETUAL","time":1591261042378}"#
        )
        .unwrap(),
        ["BTCUSD_PERP interest T=1591261042378000000 E=0 oi=15004"]
    );
    assert_eq!(
        polled(
            coinm,
            "/dapi/v1/premiumIndex",
            r#"[{"symbol":"BTCUSD_260925","pair":"BTCUSD","markPrice":"9000","indexPrice":"9001","estimatedSettlePrice":"9002","lastFundingRate":"","interestRate":"","nextFundingTime":0,"time":5}]"#
        )
        .unwrap(),
        ["BTCUSD_260925 mark T=5000000 E=0 p=9000 i=9001 P=9002 r= next=0"]
    );
    // Turnovers are in the base asset, which no column is: they are not given for the quote's.
    let day = r#"[{"symbol":"BTCUSD_PERP","pair":"BTCUSD","lastPrice":"61800.0","lastQty":"2","volume":"2089","baseVolume":"3.38025889","count":7}]"#;
    assert_eq!(
        polled(coinm, "/dapi/v1/ticker/24hr?symbol=BTCUSD_PERP", day).unwrap(),
        ["BTCUSD_PERP ticker E=0 o= h= l= c=61800 Q=2 v=2089 q= n=7 O=0 C=0"]
    );
    let candle = r#"[[1591261500000,"9638.9","9639.8","9638.6","9639.8","156",1591261559999,"1.61836886",31,"73","0.75731156","0"]]"#;
    assert_eq!(
        polled(coinm, "/dapi/v1/klines?symbol=BTCUSD_PERP&interval=1m", candle).unwrap(),
        [
            "BTCUSD_PERP kline E=0 i=1m t=1591261500000000000 T=1591261559999000000 o=9638.9 h=9639.8 l=9638.6 c=9639.8 v=156 q= V=73 Q= n=31 f=-1 L=-1 x=false"
        ]
    );
}

/// The shapes of `protocols/ascendex-futures.md` 4 and `protocols/ascendex-spot.md`.
#[test]
fn ascendex_s_answers_become_rows() {
    let v = venue("ascendex-futures");
    let ok = |data: &str| format!(r#"{{"code":0,"data":{data}}}"#);
    let pricing = r#"{"contracts":[{"symbol":"BTC-PERP","time":1614814705716,"fundingRate":"0.000565699","indexPrice":"50702.8","markPrice":"50652.3553","openInterest":"90.7367","nextFundingTime":1614816000000}],"collaterals":[{"asset":"USDT","referencePrice":"1"}]}"#;
    assert_eq!(
        polled(v, "/api/pro/v2/futures/pricing-data", &ok(pricing)).unwrap(),
        [
            "BTC-PERP mark T=1614814705716000000 E=0 p=50652.3553 i=50702.8 P= r=0.000565699 next=1614816000000000000",
            "BTC-PERP interest T=1614814705716000000 E=0 oi=90.7367"
        ]
    );
    let ticker = |volume: &str| {
        format!(
            r#"{{"symbol":"X","open":"1","close":"2","high":"3","low":"0.5","{volume}":"7","ask":["2.1","1"],"bid":["2","4"]}}"#
        )
    };
    let row = "X ticker E=0 o=1 h=3 l=0.5 c=2 Q= v=7 q= n=-1 O=0 C=0";
    assert_eq!(polled(v, "/api/pro/v2/futures/ticker?symbol=X", &ok(&ticker("baseVol"))).unwrap(), [row]);
    let many = ok(&format!("[{0},{0}]", ticker("volume")));
    assert_eq!(polled(venue("ascendex-spot"), "/api/pro/v1/spot/ticker", &many).unwrap(), [row, row]);
    // In any order; the newest one is being made.
    let bar = |ts: i64| {
        format!(
            r#"{{"m":"bar","s":"X","data":{{"i":"1","ts":{ts},"o":"1","c":"2","h":"3","l":"0.5","v":"8052"}}}}"#
        )
    };
    let body = ok(&format!("[{},{}]", bar(1_575_399_000_000), bar(1_575_398_940_000)));
    let told = polled(v, "/api/pro/v1/barhist?interval=1&n=10&symbol=X", &body).unwrap();
    assert!(told[0].contains("i=1m t=1575398940000000000") && told[0].ends_with("x=true"), "{told:?}");
    assert!(told[1].contains("t=1575399000000000000") && told[1].ends_with("x=false"), "{told:?}");
    let raw = polled(v, "/api/pro/v2/futures/collateral", &ok("[]")).unwrap();
    assert_eq!(raw, ["other /api/pro/v2/futures/collateral"]);
}

/// The samples of `protocols/pumpkin-perp.md` 4 that are lists.
#[test]
fn pumpkin_s_lists_are_told_oldest_first() {
    let v = venue("pumpkin-perp");
    let ok = |data: &str| format!(r#"{{"code":0,"msg":"success","data":{data},"bizCode":null}}"#);
    let kline = |t: i64| {
        format!(
            r#"{{"s":"btc_usdt","t":{t},"o":"89300","c":"89390.8","h":"89400","l":"89200","a":"11630","v":"1039615.004"}}"#
        )
    };
    let body = ok(&format!("[{},{}]", kline(1_769_598_720_000), kline(1_769_598_660_000)));
    let told = polled(v, "/v2/public/q/kline?interval=1m&limit=10&symbol=btc_usdt", &body).unwrap();
    assert!(told[0].contains("t=1769598660000000000") && told[0].ends_with("x=true"), "{told:?}");
    assert!(told[0].contains("v=11630 q=1039615.004"), "contracts, then the turnover: {told:?}");
    assert!(told[1].contains("t=1769598720000000000") && told[1].ends_with("x=false"), "{told:?}");
    let record = |at: i64, rate: &str| {
        format!(
            r#"{{"id":"586721053934975552","symbol":"btc_usdt","fundingRate":"{rate}","createdTime":{at},"collectionInternal":28800}}"#
        )
    };
    let items = format!(
        r#"{{"hasPrev":false,"hasNext":true,"items":[{},{}]}}"#,
        record(1_769_587_200_000, "0.0002"),
        record(1_769_558_400_000, "-0.0001")
    );
    let told = polled(v, "/v2/public/q/funding-rate-record?limit=100&symbol=btc_usdt", &ok(&items)).unwrap();
    assert!(told[0].contains("ts_funding: 1769558400000000000") && told.len() == 2, "{told:?}");
    let risk = ok(
        r#"{"hasPrev":false,"hasNext":false,"items":[{"id":"1","coin":"usdt","amount":"1","createdTime":1}]}"#,
    );
    let told = polled(v, "/v2/public/contract/risk-balance?symbol=btc_usdt", &risk).unwrap();
    assert_eq!(told, ["other risk-balance"]);
}

/// What is said of a body with trades.
fn missed(v: &dyn Venue, url: &str, body: &str) -> Result<Vec<String>, Reject> {
    let mut lines = Vec::new();
    let mut ctx = MemoryCtx::new(|e: Event<'_>| lines.push(line(&e)));
    ctx.exponents = (EXP, EXP);
    let RestKind::Trades { symbol } = v.rest_kind(url) else { panic!("{}: {url}", v.spec().id) };
    let result = v.decode_trades(&mut Scratch::default(), &symbol, body.as_bytes(), &mut ctx);
    result.map(|()| lines)
}

#[test]
fn missed_trades_are_asked_for_from_an_id_on_and_the_answer_is_recognised() {
    for v in all() {
        let id = v.spec().id;
        for kind in [StreamKind::AggTrade, StreamKind::Trade, StreamKind::TradeSparse] {
            let Some(r) = v.trades_request(kind, "A/B 龙虾", 9_007_199_254_740_993) else { continue };
            assert!(r.weight > 0 && r.weight <= v.spec().weight_per_minute / 8 && r.most > 0, "{id}: {r:?}");
            assert_eq!(
                v.rest_kind(&r.path),
                RestKind::Trades { symbol: "A/B 龙虾".to_owned() },
                "{id}: {r:?}"
            );
            assert_eq!(r.by_id, r.path.contains("9007199254740993"), "{id}: {r:?}");
        }
    }
    for v in super::built_in() {
        let any = |k| v.trades_request(k, "X", 0).is_some();
        assert!(any(StreamKind::AggTrade) || any(StreamKind::TradeSparse), "{}", v.spec().id);
    }
    for (id, path) in [
        ("binance-usdm", "/fapi/v1/trades?symbol=BTCUSDT&limit=1000"),
        ("binance-coinm", "/dapi/v1/trades?symbol=BTCUSDT&limit=1000"),
    ] {
        let r = venue(id).latest_trades_request(StreamKind::Trade, "BTCUSDT").unwrap();
        assert_eq!((r.path.as_str(), r.weight, r.most, r.by_id), (path, 5, 1000, false));
        assert_eq!(venue(id).rest_kind(&r.path), RestKind::Trades { symbol: "BTCUSDT".to_owned() });
        assert_eq!(venue(id).latest_trades_request(StreamKind::AggTrade, "BTCUSDT"), None);
    }
    assert_eq!(venue("binance-spot").latest_trades_request(StreamKind::Trade, "BTCUSDT"), None);
    assert!(venue("binance-usdm").trades_need_key(StreamKind::Trade));
    assert!(!venue("binance-spot").trades_need_key(StreamKind::Trade));
    let key = crate::venue::Credentials { key: "k".into(), secret: "s".into() };
    let signed = |path: &str| venue("binance-usdm").sign(path, &key);
    assert_eq!(signed("/fapi/v1/historicalTrades?symbol=X"), [("X-MBX-APIKEY", "k".to_owned())]);
    assert!(signed("/fapi/v1/aggTrades?symbol=X").is_empty());
}

/// The samples of the pages: ids, taker's side, sizes in the stream's unit.
#[test]
fn trades_by_rest_are_those_of_the_streams() {
    let futures = venue("aster-futures");
    let agg = r#"[{"a":26129,"p":"0.01633102","q":"4.70443515","f":27781,"l":27782,"T":1498793709153,"m":true,"M":true}]"#;
    assert_eq!(
        missed(futures, "/fapi/v3/aggTrades?symbol=BTCUSDT&fromId=26129&limit=1000", agg).unwrap(),
        [
            "trade T=1498793709153000000 E=0 chain=26129 id=27781 last=27782 text=\"26129\" side=-1 p=0.01633102 q=4.70443515 market agg=true"
        ]
    );
    let one = |qty: &str, more: &str| {
        format!(
            r#"[{{"id":28457,"price":"4.00000100","qty":"{qty}"{more},"time":1499865549590,"isBuyerMaker":false}}]"#
        )
    };
    let row = |kind: &str, q: &str| {
        format!(
            "trade T=1499865549590000000 E=0 chain=28457 id=28457 last=-1 text=\"\" side=1 p=4.000001 q={q} {kind} agg=false"
        )
    };
    let url = "/fapi/v3/historicalTrades?symbol=BTCUSDT&fromId=1&limit=1000";
    assert_eq!(
        missed(futures, url, &one("12", r#","quoteQty":"48.000012""#)).unwrap(),
        [row("unknown", "12")]
    );
    // On Aster spot `qty` is the turnover; should it be the size one day, the numbers say so.
    let spot = venue("aster-spot");
    let url = "/api/v3/historicalTrades?symbol=X&fromId=1&limit=1000";
    assert_eq!(missed(spot, url, &one("48.000012", r#","baseQty":"12""#)).unwrap(), [row("market", "12")]);
    assert_eq!(missed(spot, url, &one("12", r#","baseQty":"48.000012""#)).unwrap(), [row("market", "12")]);
    assert_eq!(
        missed(spot, url, &one("12", r#","baseQty":"7""#)).map_err(|r| r.cause),
        Err(RejectCause::Shape)
    );
    // COIN-M: contracts.
    let url = "/dapi/v1/historicalTrades?symbol=BTCUSD_PERP&fromId=1&limit=1000";
    let coinm = missed(venue("binance-coinm"), url, &one("12", r#","baseQty":"0.0013""#));
    assert_eq!(coinm.unwrap(), [row("unknown", "12")]);
    let ascendex = r#"{"code":0,"data":{"m":"trades","symbol":"X","data":[{"seqnum":288230377097259426,"p":"19.152","q":"79","ts":1650929774384,"bm":false}]}}"#;
    assert_eq!(
        missed(venue("ascendex-futures"), "/api/pro/v1/trades?n=100&symbol=X", ascendex).unwrap(),
        [
            "trade T=1650929774384000000 E=0 chain=-1 id=288230377097259426 last=-1 text=\"\" side=1 p=19.152 q=79 unknown agg=false"
        ]
    );
    for (body, cause) in [
        (r#"{"code":-1121,"msg":"Invalid symbol."}"#, RejectCause::Status),
        ("<html>", RejectCause::Malformed),
        ("{}", RejectCause::Shape),
        (r#"[{"a":"1","p":"1","q":"1"}]"#, RejectCause::Shape),
        (r#"[{"a":9223372036854775808,"p":"1","q":"1"}]"#, RejectCause::Number),
        (r#"[{"a":1,"p":"1e5","q":"1","T":1,"m":true}]"#, RejectCause::Number),
        (r#"[{"a":1,"p":"1","q":"1","T":1,"m":"yes"}]"#, RejectCause::Shape),
        ("[7]", RejectCause::Shape),
    ] {
        let r = missed(futures, "/fapi/v3/aggTrades?symbol=X&fromId=1", body).map_err(|r| r.cause);
        assert_eq!(r, Err(cause), "{body}");
    }
}
