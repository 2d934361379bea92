//! Pumpkin alone: protobuf frames of its page, frames of the wrong kind, REST answers and refusals.

use super::{EXP, RECEIVED, line, refused, said, venue};
use crate::model::num::Dec;
use crate::model::{Event, Reject, RejectCause, RestKind};
use crate::parse::Scratch;
use crate::venue::testing::MemoryCtx;

const ID: &str = "pumpkin-perp";
const DEAL: &str = "08e6dab5a2c03312086274635f757364741a0738393330302e372201332a0341534b308080a697f8f2a79208";
const DEPTH: &str = "0a086274635f7573647410d285d8cc0418d385d8cc0422120a0834353030302e30301206312e323334352a120a0834353030312e30301206302e35343332";
const KLINE: &str = "0a087472785f757364741207302e33313836351a07302e33313836322207302e33313836352a07302e333138363232093131372e35373131343a033336394202316d48a0c6c5a0f52f";
const TOPICS: [&str; 3] = ["trade@btc_usdt", "kline@trx_usdt,1m", "depth@btc_usdt,10"];

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// What is said of a frame that came as a binary one.
fn binary(frame: &[u8]) -> Result<Vec<String>, Reject> {
    let mut lines = Vec::new();
    let mut ctx = MemoryCtx::new(|e: Event<'_>| lines.push(line(&e)));
    (ctx.binary, ctx.ts_recv, ctx.contract_size) = (true, RECEIVED, Dec::new(1, 0));
    ctx.exponents = (EXP, EXP);
    TOPICS.iter().for_each(|t| assert!(ctx.subscribe(venue(ID), t)));
    let result = venue(ID).decode(&mut Scratch::default(), frame, None, &mut ctx);
    assert!(result.is_ok() || lines.is_empty(), "a refused frame said {lines:?}");
    result.map(|()| lines)
}

#[test]
pub(crate) fn protobuf_frames_of_the_page_are_read() {
    let deal = "trade T=1769598709094000000 E=0 chain=-1 id=586769324550225920 last=-1 text=\"\" side=-1 p=89300.7 q=3 unknown agg=false";
    assert_eq!(binary(&hex(DEAL)), Ok(vec![deal.to_owned()]));
    let kline = "kline E=0 i=1m t=1646382900000000000 T=0 o=0.31865 h=0.31865 l=0.31862 c=0.31862 v=369 q=117.57114 V= Q= n=-1 f=-1 L=-1 x=false";
    assert_eq!(binary(&hex(KLINE)), Ok(vec![kline.to_owned()]));
    // Whole view or change: it does not say.
    assert_eq!(binary(&hex(DEPTH)), Ok(vec!["other DepthVO".to_owned()]));
}

/// Cut at any byte a frame is refused, or is the shorter message that protobuf takes it for: never more, never a panic.
#[test]
fn protobuf_cut_anywhere_says_nothing_wrong() {
    for text in [DEAL, DEPTH, KLINE] {
        let whole = hex(text);
        let said = binary(&whole).unwrap();
        for n in 0..whole.len() {
            match binary(&whole[..n]) {
                Err(r) => assert!(matches!(r.cause, RejectCause::Malformed | RejectCause::Shape), "{n}: {r}"),
                // Only the deal's id, and the depth's sides, may be missing.
                Ok(lines) => assert!(lines.len() == said.len() && text != KLINE, "{n}: {lines:?}"),
            }
        }
    }
}

#[test]
fn text_where_binary_is_due_and_back_is_read_or_refused() {
    let json = br#"{"e":"trade","s":"btc_usdt","t":1769598709094,"p":"89300.7","a":"3","m":"ASK"}"#;
    let lines = said(venue(ID), &TOPICS, json, None).unwrap();
    let bare = lines[0].split_once(' ').unwrap().1.to_owned();
    assert_eq!(binary(json), Ok(vec![bare.clone()]), "JSON in a binary frame");
    for level in [flate2::Compression::none(), flate2::Compression::best()] {
        use std::io::Write;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), level);
        gzip.write_all(json).unwrap();
        let gzip = gzip.finish().unwrap();
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), level);
        zlib.write_all(&hex(DEAL)).unwrap();
        let zlib = zlib.finish().unwrap();
        assert_eq!(binary(&gzip), Ok(vec![bare.clone()]));
        assert!(binary(&zlib).is_ok_and(|l| l.len() == 1));
        for n in 3..gzip.len() {
            assert!(binary(&gzip[..n]).is_err(), "{n}");
        }
    }
    assert_eq!(refused(venue(ID), &TOPICS, &hex(DEAL)), RejectCause::Malformed);
    for text in ["", "pin", "pingpong", "PING"] {
        assert_eq!(refused(venue(ID), &TOPICS, text.as_bytes()), RejectCause::Malformed, "{text:?}");
    }
    let notice = |t: &[u8]| said(venue(ID), &[], t, None);
    assert_eq!(notice(b"ping"), Ok(vec!["notice Ping".to_owned()]));
    assert_eq!(notice(b"pong"), Ok(vec!["notice Alive".to_owned()]));
}

/// "Decimal in a JSON string; accept a JSON number too": the same rows, to the last digit, and no float has more than 17.
#[test]
fn decimals_as_numbers_are_those_as_texts() {
    let v = venue(ID);
    let of = |frame: &str| said(v, &TOPICS, frame.as_bytes(), None).unwrap();
    for (texts, numbers) in [
        (
            r#"{"e":"depth","s":"btc_usdt","U":5,"u":6,"b":[["123456789.123456789","1"]],"a":[["123456790","0.300000000"],["123456791.5","7"]]}"#,
            r#"{"e":"depth","s":"btc_usdt","U":5,"u":6,"b":[[123456789.123456789,1]],"a":[[123456790,0.300000000],["123456791.5",7]]}"#,
        ),
        (
            r#"{"e":"depth.update","s":"btc_usdt","U":5,"u":6,"b":[["123456789.123456789","0"]]}"#,
            r#"{"e":"depth.update","s":"btc_usdt","U":5,"u":6,"b":[[123456789.123456789,0]]}"#,
        ),
        (
            r#"{"e":"trade","s":"btc_usdt","t":1769598709094,"p":"123456789.123456789","a":"3","m":"ASK"}"#,
            r#"{"e":"trade","s":"btc_usdt","t":1769598709094,"p":123456789.123456789,"a":3,"m":"ASK"}"#,
        ),
        (
            r#"{"e":"kline","s":"trx_usdt","k":{"s":"trx_usdt","i":"1m","t":1646382900000,"o":"0.1234567890123456789"}}"#,
            "",
        ),
        (
            r#"{"e":"kline","s":"trx_usdt","k":{"s":"trx_usdt","i":"1m","t":1646382900000,"o":"0.123456789012345678","c":"0.3","h":"1","l":"0.1","v":"369","a":"117.57114"}}"#,
            r#"{"e":"kline","s":"trx_usdt","k":{"s":"trx_usdt","i":"1m","t":1646382900000,"o":0.123456789012345678,"c":0.3,"h":1,"l":0.1,"v":369,"a":117.57114}}"#,
        ),
    ] {
        if numbers.is_empty() {
            assert_eq!(refused(v, &TOPICS, texts.as_bytes()), RejectCause::Number, "more than 18 decimals");
            continue;
        }
        assert_eq!(of(numbers), of(texts), "{numbers}");
        assert_eq!(of(&format!("[{texts},{numbers},{texts}]")).len(), 3 * of(texts).len(), "each once");
    }
}

#[test]
fn decimals_as_numbers_are_those_as_texts_by_rest_too() {
    let v = venue(ID);
    let snapshot = |levels: &str| {
        let body = format!(
            r#"{{"code":0,"data":{{"t":1769597897116,"s":"btc_usdt","u":586765918776852548,{levels}}}}}"#
        );
        let mut lines = Vec::new();
        let mut ctx = MemoryCtx::new(|e: Event<'_>| lines.push(line(&e)));
        v.decode_snapshot(&mut Scratch::default(), "btc_usdt", body.as_bytes(), &mut ctx).unwrap();
        lines
    };
    let texts = snapshot(r#""b":[["89390.8","11630"]],"a":[["89392","2240"]]"#);
    assert_eq!(snapshot(r#""b":[[89390.8,11630]],"a":[[89392,2240]]"#), texts);
    let rest = |url: &str, row: &str| {
        let body = format!(r#"{{"code":0,"data":[{row}]}}"#);
        let mut lines = Vec::new();
        let mut ctx = MemoryCtx::new(|e: Event<'_>| lines.push(line(&e)));
        ctx.exponents = (EXP, EXP);
        match v.rest_kind(url) {
            RestKind::Trades { symbol } => {
                v.decode_trades(&mut Scratch::default(), &symbol, body.as_bytes(), &mut ctx)
            }
            _ => v.decode_polled(&mut Scratch::default(), url, body.as_bytes(), &mut ctx),
        }
        .unwrap();
        lines
    };
    let deal = "/v2/public/q/deal?num=50&symbol=btc_usdt";
    assert_eq!(
        rest(deal, r#"{"t":1769598709094,"s":"btc_usdt","p":123456789.123456789,"a":3,"m":"ASK"}"#),
        rest(deal, r#"{"t":1769598709094,"s":"btc_usdt","p":"123456789.123456789","a":"3","m":"ASK"}"#)
    );
    let mark = "/v2/public/q/mark-price";
    assert_eq!(
        rest(mark, r#"{"s":"btc_usdt","p":123456789.123456789,"t":1}"#),
        rest(mark, r#"{"s":"btc_usdt","p":"123456789.123456789","t":1}"#)
    );
    let funding = "/v2/public/q/funding-rate-record?limit=100&symbol=btc_usdt";
    let row = |rate: &str| format!(r#"{{"symbol":"btc_usdt","fundingRate":{rate},"createdTime":1}}"#);
    assert_eq!(rest(funding, &row("-0.0001")), rest(funding, &row("\"-0.0001\"")));
}

/// The page shows deals newest first. Those of one millisecond are in that order too: told is what happened first.
#[test]
fn deals_are_told_in_the_order_in_which_they_happened() {
    let v = venue(ID);
    let told = |deals: &[(&str, &str)]| -> Vec<String> {
        let row =
            |(t, p): &(&str, &str)| format!(r#"{{"t":{t},"s":"btc_usdt","p":"{p}","a":"1","m":"ASK"}}"#);
        let body =
            format!(r#"{{"code":0,"data":[{}]}}"#, deals.iter().map(row).collect::<Vec<_>>().join(","));
        let mut prices = Vec::new();
        let mut ctx = MemoryCtx::new(|e: Event<'_>| {
            if let Event::Trade(t) = e {
                prices.push(t.price.to_string());
            }
        });
        ctx.exponents = (0, 0);
        v.decode_trades(&mut Scratch::default(), "btc_usdt", body.as_bytes(), &mut ctx).unwrap();
        prices
    };
    let newest_first = [("30", "5"), ("20", "4"), ("20", "3"), ("20", "2"), ("10", "1")];
    assert_eq!(told(&newest_first), ["1", "2", "3", "4", "5"]);
    // All of one millisecond: as the page shows them.
    assert_eq!(told(&[("7", "3"), ("7", "2"), ("7", "1")]), ["1", "2", "3"]);
    // Times as texts are times.
    assert_eq!(told(&[("\"9\"", "3"), ("\"8\"", "2"), ("\"8\"", "1")]), ["1", "2", "3"]);
    // An answer whose own times rise has its order already.
    assert_eq!(told(&[("10", "1"), ("20", "2"), ("20", "3"), ("30", "4")]), ["1", "2", "3", "4"]);
}

#[test]
fn faulty_frames_have_their_cause() {
    for (frame, cause) in [
        (r#"{"e":"depth.update","s":"btc_usdt","U":5,"u":4,"b":[],"a":[]}"#, RejectCause::Shape),
        (r#"{"e":"depth.update","s":"btc_usdt","u":4,"b":[],"a":[]}"#, RejectCause::Shape),
        (r#"{"e":"depth","s":"btc_usdt","b":[],"a":[]}"#, RejectCause::Shape),
        (r#"{"e":"depth","s":"btc_usdt","u":"x1","b":[],"a":[]}"#, RejectCause::Shape),
        (r#"{"e":"depth","s":"btc_usdt","u":-1,"b":[],"a":[]}"#, RejectCause::Number),
        (r#"{"e":"depth","s":"btc_usdt","u":1.5,"b":[],"a":[]}"#, RejectCause::Number),
        (r#"{"e":"depth","s":"btc_usdt","u":"9223372036854775808","b":[],"a":[]}"#, RejectCause::Number),
        (r#"{"e":"depth","s":"btc_usdt","u":1,"b":[["1","1e5"]],"a":[]}"#, RejectCause::Number),
        (r#"{"e":"depth","s":"btc_usdt","u":1,"b":[[1,1e5]],"a":[]}"#, RejectCause::Shape),
        (r#"{"e":"depth","s":"btc_usdt","u":1,"b":[[1,true]],"a":[]}"#, RejectCause::Shape),
        (r#"{"e":"depth","s":"btc_usdt","u":1,"b":[[-1,2]],"a":[]}"#, RejectCause::Shape),
        (r#"{"e":"depth","s":"eth_usdt","u":1,"b":[],"a":[]}"#, RejectCause::UnknownStream),
        (r#"{"e":"depth","s":"BTC_USDT","u":1,"b":[],"a":[]}"#, RejectCause::UnknownStream),
        (r#"{"e":"depth","s":"","u":1}"#, RejectCause::UnknownSymbol),
        (r#"{"e":"trade","s":"btc_usdt","t":1,"p":"1","a":"1"}"#, RejectCause::Shape),
        (r#"{"e":"kline","s":"trx_usdt","k":{"i":"5m","t":1}}"#, RejectCause::UnknownStream),
        (r#"{"e":"kline","s":"trx_usdt"}"#, RejectCause::Shape),
        (r#"{"e":7}"#, RejectCause::Shape),
        (r#"{}"#, RejectCause::Shape),
        (r#"[5]"#, RejectCause::Shape),
        (r#"{"e":"depth""#, RejectCause::Malformed),
    ] {
        assert_eq!(refused(venue(ID), &TOPICS, frame.as_bytes()), cause, "{frame}");
    }
}

#[test]
fn rest_answers_become_rows_and_refusals_have_their_cause() {
    let v = venue(ID);
    let polled = |url: &str, body: &str| {
        let mut lines = Vec::new();
        let mut ctx = MemoryCtx::new(|e: Event<'_>| lines.push(format!("{e:?}")));
        assert_eq!(v.rest_kind(url), RestKind::Polled, "{url}");
        let r = v.decode_polled(&mut Scratch::default(), url, body.as_bytes(), &mut ctx);
        r.map(|()| lines).map_err(|r| r.cause)
    };
    let ok = |data: &str| format!(r#"{{"code":0,"msg":"success","data":{data},"bizCode":null}}"#);
    let agg = r#"[{"t":1769598709094,"s":"btc_usdt","c":"89300.7","h":"90000","l":"88000","o":"89000","a":"11630","v":"103960","r":"0.01","i":"89301","m":"89302","bp":"1","ap":"2"}]"#;
    let rows = polled("/v2/public/q/agg-tickers?timeRangeType=H24", &ok(agg)).unwrap();
    assert!(rows.len() == 2 && rows[0].starts_with("Ticker") && rows[1].starts_with("Mark"), "{rows:?}");
    let rows = polled("/v2/public/q/mark-price", &ok(r#"[{"s":"a","p":"5.5","t":1},{"s":"b","p":6,"t":2}]"#));
    assert_eq!(rows.unwrap().len(), 2);
    let oi = r#"{"symbol":"btc_usdt","openInterest":"95.2852","openInterestUsd":"1","time":1769598709094}"#;
    let rows = polled("/v2/public/contract/open-interest?symbol=btc_usdt", &ok(oi)).unwrap();
    assert!(rows.len() == 1 && rows[0].starts_with("OpenInterest"));
    let record = r#"{"hasPrev":false,"hasNext":true,"items":[{"id":"586721053934975552","symbol":"btc_usdt","fundingRate":"0.0001","createdTime":1769587200000,"collectionInternal":28800}]}"#;
    let rows = polled("/v2/public/q/funding-rate-record?symbol=btc_usdt", &ok(record)).unwrap();
    assert!(rows.len() == 1 && rows[0].starts_with("Funding"));
    for (body, cause) in [
        (r#"{"code":1,"msg":"sign-error"}"#, RejectCause::Status),
        (r#"{"code":0,"msg":"success"}"#, RejectCause::Shape),
        (r#"[]"#, RejectCause::Shape),
        ("<html>", RejectCause::Malformed),
        (r#"{"code":0,"data":[{"s":"a","p":"x"}]}"#, RejectCause::Number),
    ] {
        assert_eq!(polled("/v2/public/q/mark-price", body), Err(cause), "{body}");
    }
    let refusal =
        |status, body: &str| v.refusal(status, body.as_bytes()).map(|r| (r.status, r.retry_after_s));
    assert_eq!(refusal(200, r#"{"code":0}"#), None);
    // What is wrong with one request stops no other; a wrong signature is wrong with all of them.
    assert_eq!(refusal(200, r#"{"code":1,"msg":"invalid symbol"}"#), Some((400, None)));
    assert_eq!(refusal(200, r#"{"code":1,"message":"sign-error"}"#), Some((418, Some(60))));
    let busy = r#"{"code":429,"msg":"ip_high_frequency","data":{"type":"ip","current":120,"limit":100,"reset":3600}}"#;
    assert_eq!(refusal(200, busy), Some((429, Some(3600))));
    let unworded = r#"{"code":429,"msg":null,"message":null,"data":{"reset":60}}"#;
    assert_eq!(refusal(200, unworded), Some((429, Some(60))), "words are not what counts");
    assert_eq!(refusal(200, r#"{"code":439}"#), Some((429, None)));
    assert_eq!(refusal(200, r#"{"code":403}"#), Some((418, Some(3600))));
    assert_eq!(refusal(200, r#"{"code":418}"#), Some((418, Some(600))));
    assert_eq!(refusal(403, "<html>"), Some((418, Some(3600))), "the page of a firewall has no code");
    assert_eq!(refusal(503, "x"), None);
}

#[test]
fn the_symbol_list_has_units_and_switches() {
    let body = include_str!("../pumpkin/fixtures/symbol-list.json");
    let l = venue(ID).parse_instruments(body.as_bytes()).unwrap();
    assert_eq!((l.instruments.len(), l.faulty), (4, 2));
    let facts: Vec<_> = l
        .instruments
        .iter()
        .map(|i| {
            (i.symbol.as_str(), i.price_exp, i.size_exp, i.contract_size, i.status.as_str(), i.is_inverse)
        })
        .collect();
    assert_eq!(
        facts,
        [
            ("btc_usdt", 1, 0, Dec::new(1, 4), "TRADING", false),
            ("eth_usdt", 2, 0, Dec::new(1, 3), "TRADING", false),
            ("old_usdt", 1, 0, Dec::new(1, 0), "HALTED", false),
            ("btc_usd", 1, 0, Dec::new(10, 0), "TRADING", true),
        ]
    );
    assert_eq!((l.instruments[0].base.as_str(), l.instruments[0].settle.as_str()), ("btc", "usdt"));
    let refused = |b: &str| venue(ID).parse_instruments(b.as_bytes()).unwrap_err();
    let wrong = refused(r#"{"code":1,"msg":"sign-error"}"#);
    assert!(wrong.cause == RejectCause::Status && wrong.detail.contains("signature"));
    assert_eq!(refused(r#"{"code":0}"#).cause, RejectCause::Shape);
}

/// The examples of the page's section 4, one by one as `symbol/detail` has them, and the list of names.
#[test]
fn a_symbol_by_itself_is_a_version_of_it_and_names_alone_are_none() {
    let v = venue(ID);
    let list = include_str!("../pumpkin/fixtures/symbol-list.json");
    let all = v.parse_instruments(list.as_bytes()).unwrap().instruments;
    let whole: serde_json::Value = serde_json::from_str(list).unwrap();
    let path = "/v2/public/symbol/detail?symbol=btc_usdt";
    let detail = |data: &str| format!(r#"{{"code":0,"msg":"success","data":{data},"bizCode":null}}"#);
    let read = |data: &str| v.polled_instruments(path, detail(data).as_bytes()).unwrap();
    for (n, (tick, contract, price_exp)) in
        [("0.1", "0.0001", 1), ("0.01", "0.001", 2)].into_iter().enumerate()
    {
        let one = read(&whole["data"][n].to_string()).unwrap();
        let [i] = &one.instruments[..] else { panic!("{one:?}") };
        assert!(i.same_facts(&all[n]), "{i:?}");
        let dec = |t: &str| crate::parse::parse_dec(t.as_bytes()).unwrap();
        assert_eq!(
            (i.tick_size, i.contract_size, i.price_exp, i.size_exp),
            (dec(tick), dec(contract), price_exp, 0)
        );
    }
    for data in ["null", "[]", "5", "{}", r#"{"symbol":"a@b"}"#] {
        assert_eq!(read(data).unwrap_err().cause, RejectCause::Shape, "{data}");
    }
    let refusal = v.polled_instruments(path, br#"{"code":1,"msg":"sign-error"}"#).unwrap();
    assert_eq!(refusal.unwrap_err().cause, RejectCause::Status);
    assert!(v.polled_instruments("/v2/public/symbol/all", b"{}").is_none());
    let names = |body: &str| {
        let mut lines = Vec::new();
        let mut ctx = MemoryCtx::new(|e: Event<'_>| lines.push(line(&e)));
        let url = "/v2/public/symbol/all";
        assert_eq!(v.rest_kind(url), RestKind::Polled);
        v.decode_polled(&mut Scratch::default(), url, body.as_bytes(), &mut ctx).map(|()| lines)
    };
    assert_eq!(names(&detail(r#"["btc_usdt","eth_usdt"]"#)), Ok(vec!["other symbol/all".to_owned()]));
    for data in ["{}", r#"["btc_usdt",5]"#, r#"[""]"#] {
        assert_eq!(names(&detail(data)).unwrap_err().cause, RejectCause::Shape, "{data}");
    }
}

/// Parameters go out in the order in which they are signed: that another one is as good is inferred only.
#[test]
fn requests_have_their_parameters_in_the_order_of_their_signature() {
    let v = venue(ID);
    let polls = v.polls().iter().map(|p| {
        let name = format!("{}{}", p.channel, p.args[0]);
        crate::venue::poll_request(p, &name, if p.per_symbol { "btc_usdt" } else { "" }).path
    });
    let trades = v.trades_request(crate::model::StreamKind::TradeSparse, "btc_usdt", 0).unwrap().path;
    let all: Vec<String> = polls.chain([v.snapshot_request("btc_usdt").path, trades]).collect();
    assert!(all.iter().any(|p| p.contains("symbol=btc_usdt") && p.contains("timeRangeType=H24")), "{all:?}");
    for path in all {
        let keys: Vec<&str> = path.split(['?', '&']).skip(1).filter_map(|p| p.split('=').next()).collect();
        assert!(keys.is_sorted(), "{path}");
    }
}
