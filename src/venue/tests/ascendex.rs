//! AscendEX: names, messages, error bodies, bad frames, lists.

use super::{refused, said, venue};
use crate::model::instrument::SYMBOL_BYTES_MAX;
use crate::model::{
    Dec, Event, Hosts, PlanError, RejectCause, RestKind, SnapshotSource, StreamKind, StreamSpec,
};
use crate::parse::Scratch;
use crate::venue::Venue;
use crate::venue::testing::MemoryCtx;

const BOTH: [&str; 2] = ["ascendex-spot", "ascendex-futures"];

fn stream(v: &dyn Venue, channel: &str, symbol: &str) -> StreamSpec {
    v.stream(channel, Some(symbol)).unwrap()
}

/// Its page names the keys of the account and not their types.
#[test]
fn a_ban_is_read_whatever_its_time_is_written_as() {
    let v = crate::venue::by_id("ascendex-futures").unwrap().1;
    let read = |status: &str| {
        v.parse_ban(
            format!(r#"{{"code":0,"data":{{"ip":"1.2.3.4","webSocket":{{"status":{status}}}}}}}"#).as_bytes(),
        )
    };
    let ban = |until, reason: &str| Ok(Some(crate::venue::Ban { until, reason: reason.to_owned() }));
    assert_eq!(read(r#"{"isBanned":false,"bannedUntil":-1,"reason":null}"#), Ok(None));
    let until = 1_614_164_189_000_000_000;
    assert_eq!(read(r#"{"isBanned":true,"bannedUntil":1614164189000,"reason":"x"}"#), ban(until, "x"));
    assert_eq!(read(r#"{"isBanned":true,"bannedUntil":"1614164189","reason":7}"#), ban(until, ""));
    assert_eq!(read(r#"{"isBanned":true,"bannedUntil":null}"#), ban(0, ""));
    assert_eq!(read(r#"{"isBanned":true,"bannedUntil":-1}"#), ban(0, ""));
    assert!(read(r#"{"bannedUntil":1}"#).is_err() && v.parse_ban(b"<html>").is_err());
    assert!(v.parse_ban(br#"{"code":100005,"reason":"X"}"#).is_err());
}

#[test]
fn names_are_the_venues_own() {
    let (spot, futures) = (venue("ascendex-spot"), venue("ascendex-futures"));
    let s = stream(spot, "bar:1m", "BTC/USDT");
    assert_eq!(
        (s.name.as_str(), s.kind, s.symbol.as_deref()),
        ("bar:1m:BTC/USDT", StreamKind::Kline, Some("BTC/USDT"))
    );
    let s = stream(spot, "ref-px", "BTC/USDT");
    assert_eq!((s.name.as_str(), s.symbol), ("ref-px:BTC", None));
    assert_eq!(spot.parse_stream("ref-px:BTC/USDT"), None);
    assert_eq!(stream(futures, "trades", "BTC-PERP").kind, StreamKind::TradeSparse);
    let s = futures.stream("futures-pricing-data", None).unwrap();
    assert_eq!(
        (s.name.as_str(), s.symbol.as_deref(), s.kind),
        ("futures-pricing-data", None, StreamKind::Mark)
    );
    assert!(futures.is_market("futures-pricing-data") && !futures.is_market("depth"));
    assert!(matches!(spot.stream("futures-pricing-data", None), Err(PlanError::UnknownChannel { .. })));
    for v in BOTH.map(venue) {
        let e = v.stream("depht", Some("A/B")).unwrap_err().to_string();
        assert!(e.contains("bar:<1…1m>") && e.contains("depth-realtime"), "{e}");
        for channel in ["", "bar", "bar:", "bar:2", "depth:A/B", "trade", "user"] {
            let got = v.stream(channel, Some("A/B"));
            assert!(matches!(got, Err(PlanError::UnknownChannel { .. })), "{channel:?} gave {got:?}");
        }
        for symbol in ["", "a:b", "a,b", "*", "a\nb", &"X".repeat(SYMBOL_BYTES_MAX + 1)] {
            let got = v.stream("depth", Some(symbol));
            assert!(matches!(got, Err(PlanError::BadSymbol { .. })), "{symbol:?} gave {got:?}");
        }
        assert!(matches!(v.stream("depth", None), Err(PlanError::BadSymbol { .. })));
        for name in ["", ":", "depth", "depth:", ":A/B", "bar:A/B", "depth:A/B:", "btcusdt@depth"] {
            assert_eq!(v.parse_stream(name), None, "{name:?}");
        }
        assert_eq!(v.fallback("depth-realtime"), Some("depth"));
        assert_eq!(v.spec().snapshot, SnapshotSource::InBand);
    }
}

#[test]
fn one_message_per_channel_and_ten_symbols() {
    let v = venue("ascendex-futures");
    let symbols: Vec<String> = (0..12).map(|n| format!("S{n}-PERP")).collect();
    let mut streams = vec![v.stream("futures-pricing-data", None).unwrap()];
    for s in &symbols {
        streams.extend(["trades", "depth"].map(|c| stream(v, c, s)));
    }
    let plans = v.plan(&streams, &Hosts::default()).unwrap();
    assert_eq!(plans.len(), 1);
    assert_eq!(plans[0].url, "wss://ascendex.com/api/pro/v2/stream");
    let ch =
        |m: &String| serde_json::from_str::<serde_json::Value>(m).unwrap()["ch"].as_str().unwrap().to_owned();
    let said: Vec<String> = plans[0].subscribe.iter().map(ch).collect();
    // Diffs first: snapshots are asked for right behind the subscription.
    assert_eq!(
        said,
        [
            format!("depth:{}", symbols[..10].join(",")),
            format!("depth:{}", symbols[10..].join(",")),
            "futures-pricing-data".to_owned(),
            format!("trades:{}", symbols[..10].join(",")),
            format!("trades:{}", symbols[10..].join(",")),
        ]
    );
    assert_eq!(plans[0].subscribe[2], r#"{"ch":"futures-pricing-data","id":"sub2","op":"sub"}"#);
    let spot = venue("ascendex-spot");
    let plan = spot.plan(&[stream(spot, "depth", "BTC/USDT")], &Hosts::default()).unwrap();
    assert_eq!(plan[0].url, "wss://ascendex.com/1/api/pro/v1/stream");
    let two = [stream(spot, "depth", "BTC/USDT"), stream(spot, "depth-realtime", "BTC/USDT")];
    assert!(matches!(spot.plan(&two, &Hosts::default()), Err(PlanError::TwoChains { .. })));
}

#[test]
fn snapshots_are_asked_for_in_the_family_of_their_diffs() {
    let v = venue("ascendex-spot");
    assert_eq!(
        v.snapshot_message(&stream(v, "depth", "BTC/USDT")).unwrap(),
        r#"{"action":"depth-snapshot","args":{"symbol":"BTC/USDT"},"id":"snapshot:BTC/USDT","op":"req"}"#
    );
    let m = v.snapshot_message(&stream(v, "depth-realtime", "BTC/USDT")).unwrap();
    assert!(m.contains(r#""action":"depth-snapshot-realtime""#), "{m}");
    assert_eq!(v.snapshot_message(&stream(v, "bbo", "BTC/USDT")), None);
    let again = v.resubscribe_messages(&stream(v, "depth", "BTC/USDT"), &crate::model::Tuning::default());
    assert_eq!(
        again,
        [
            r#"{"ch":"depth:BTC/USDT","id":"unsub0","op":"unsub"}"#,
            r#"{"ch":"depth:BTC/USDT","id":"sub0","op":"sub"}"#
        ]
    );
}

/// Answers name streams; those that we do not have, and other families, are of no consequence.
#[test]
fn answers_name_their_streams() {
    let v = venue("ascendex-futures");
    let read = |frame: &str| {
        let mut heard = Vec::new();
        let mut ctx = MemoryCtx::new(|e: Event<'_>| match e {
            Event::Reply(r) => heard.push((r.stream.0, r.is_error, r.code, r.snapshot_of.0)),
            other => panic!("{other:?}"),
        });
        for name in ["depth:BTC-PERP", "trades:BTC-PERP", "futures-pricing-data"] {
            assert!(ctx.subscribe(v, name));
        }
        v.decode(&mut Scratch::default(), frame.as_bytes(), None, &mut ctx).unwrap();
        heard
    };
    let none = u32::MAX;
    assert_eq!(read(r#"{"m":"sub","ch":"trades:BTC-PERP","code":0}"#), [(1, false, 0, none)]);
    assert_eq!(read(r#"{"m":"sub","ch":"futures-pricing-data","code":0}"#), [(2, false, 0, none)]);
    let both = [(0, true, 100008, none), (none, true, 100008, none)];
    assert_eq!(read(r#"{"m":"sub","ch":"depth:BTC-PERP,XXX","code":100008,"reason":"x"}"#), both);
    assert_eq!(read(r#"{"m":"unsub","ch":"depth:BTC-PERP","code":0}"#), [(none, false, 0, none)]);
    let error = r#"{"m":"error","id":"snapshot:BTC-PERP","code":100008,"reason":"SYMBOL_ERROR"}"#;
    assert_eq!(read(error), [(none, true, 100008, 0)]);
    for code in
        [100001, 100002, 100004, 100005, 100006, 100009, 100010, 100014, 100101, 150001, 200001, 510001]
    {
        let error = format!(r#"{{"m":"error","id":"sub0","code":{code},"reason":"r","info":"i"}}"#);
        assert_eq!(read(&error), [(none, true, code, none)]);
    }
}

#[test]
fn frames_that_are_none_have_their_cause() {
    for id in BOTH {
        let v = venue(id);
        for (frame, cause) in [
            (b"".to_vec(), RejectCause::Malformed),
            // gzip, zlib, a protobuf: nothing of the kind is offered, and nothing of it is text.
            (b"\x1f\x8b\x08\x00\x00".to_vec(), RejectCause::Malformed),
            (b"\x78\x9c\x01".to_vec(), RejectCause::Malformed),
            (b"\x08\xe6\xda".to_vec(), RejectCause::Malformed),
            (b"ping".to_vec(), RejectCause::Malformed),
            (b"[]".to_vec(), RejectCause::Shape),
            (b"5".to_vec(), RejectCause::Shape),
            (b"{}".to_vec(), RejectCause::Shape),
            (br#"{"m":5}"#.to_vec(), RejectCause::Shape),
            (br#"{"m":"depth"}"#.to_vec(), RejectCause::Shape),
            (br#"{"m":"depth","symbol":7,"data":{}}"#.to_vec(), RejectCause::Shape),
            (
                br#"{"m":"depth","symbol":"C/D","data":{"seqnum":1,"bids":[],"asks":[]}}"#.to_vec(),
                RejectCause::UnknownStream,
            ),
            (
                br#"{"m":"depth-realtime","symbol":"A/B","data":{"seqnum":1,"bids":[],"asks":[]}}"#.to_vec(),
                RejectCause::UnknownStream,
            ),
            (
                br#"{"m":"depth-snapshot-realtime","symbol":"A/B","data":{"seqnum":1,"bids":[],"asks":[]}}"#
                    .to_vec(),
                RejectCause::UnknownStream,
            ),
        ] {
            refuses(v, &frame, cause);
        }
    }
}

fn refuses(v: &dyn Venue, frame: &[u8], cause: RejectCause) {
    let streams = ["depth:A/B", "trades:A/B", "bbo:A/B", "bar:1:A/B"];
    assert_eq!(refused(v, &streams, frame), cause, "{}", String::from_utf8_lossy(frame));
}

#[test]
fn fields_that_are_none_have_their_cause() {
    for id in BOTH {
        let v = venue(id);
        let depth = |data: &str| format!(r#"{{"m":"depth","symbol":"A/B","data":{data}}}"#).into_bytes();
        for (frame, cause) in [
            (depth("[]"), RejectCause::Shape),
            (depth(r#"{"seqnum":1,"bids":[]}"#), RejectCause::Shape),
            (depth(r#"{"bids":[],"asks":[]}"#), RejectCause::Shape),
            (depth(r#"{"seqnum":"1","bids":[],"asks":[]}"#), RejectCause::Shape),
            (depth(r#"{"seqnum":-1,"bids":[],"asks":[]}"#), RejectCause::Shape),
            (depth(r#"{"seqnum":1.5,"bids":[],"asks":[]}"#), RejectCause::Number),
            (depth(r#"{"seqnum":9223372036854775808,"bids":[],"asks":[]}"#), RejectCause::Number),
            (depth(r#"{"seqnum":1,"ts":"x","bids":[],"asks":[]}"#), RejectCause::Shape),
            (depth(r#"{"seqnum":1,"bids":[["1"]],"asks":[]}"#), RejectCause::Shape),
            (depth(r#"{"seqnum":1,"bids":[["1","1e5"]],"asks":[]}"#), RejectCause::Number),
            (br#"{"m":"trades","symbol":"A/B","data":{}}"#.to_vec(), RejectCause::Shape),
            (br#"{"m":"trades","symbol":"A/B","data":[5]}"#.to_vec(), RejectCause::Shape),
            (
                br#"{"m":"trades","symbol":"A/B","data":[{"p":"1","q":"1","bm":1,"seqnum":5}]}"#.to_vec(),
                RejectCause::Shape,
            ),
            (br#"{"m":"bbo","symbol":"A/B","data":{"ts":1}}"#.to_vec(), RejectCause::Shape),
            (br#"{"m":"bbo","symbol":"A/B","data":{"ts":1,"bid":["1",2]}}"#.to_vec(), RejectCause::Shape),
            (br#"{"m":"bar","s":"A/B","data":{"i":"1x"}}"#.to_vec(), RejectCause::UnknownStream),
            (
                br#"{"m":"bar","s":"A/B","data":{"i":"a very long word for an interval"}}"#.to_vec(),
                RejectCause::Shape,
            ),
            (br#"{"m":"sub"}"#.to_vec(), RejectCause::Shape),
            (
                format!(
                    r#"{{"m":"depth-snapshot","symbol":"{}","data":{{"seqnum":1,"bids":[],"asks":[]}}}}"#,
                    "X".repeat(SYMBOL_BYTES_MAX + 1)
                )
                .into_bytes(),
                RejectCause::UnknownSymbol,
            ),
        ] {
            refuses(v, &frame, cause);
        }
    }
}

/// A faulty trade or contract does not cost the others.
#[test]
fn the_good_elements_of_an_array_survive_a_faulty_one() {
    let v = venue("ascendex-futures");
    let frame = br#"{"m":"trades","symbol":"A","data":[{"p":"1","q":"2","seqnum":1,"bm":true},{"p":"x","q":"2","seqnum":2},{"p":"3","q":"4","seqnum":9223372036854775807}]}"#;
    let (reject, lines) = said(v, &["trades:A"], frame, None).unwrap_err();
    assert_eq!((reject.cause, lines.len()), (RejectCause::Number, 2));
    assert!(lines[1].contains("id=9223372036854775807") && lines[1].contains("side=0"), "{lines:?}");
    let frame = br#"{"m":"futures-pricing-data","con":[{"s":"A"},{"s":"B","mp":"1","t":5}]}"#;
    let (reject, lines) = said(v, &["futures-pricing-data"], frame, None).unwrap_err();
    assert_eq!((reject.cause, lines.len()), (RejectCause::Shape, 1));
    // Spot has no such stream: the frame is kept and counted.
    assert_eq!(
        said(venue("ascendex-spot"), &[], frame, None),
        Ok(vec!["other futures-pricing-data".to_owned()])
    );
}

#[test]
fn rest_bodies() {
    let spot = venue("ascendex-spot");
    assert_eq!(spot.snapshot_request("BTC/USDT").path, "/api/pro/v1/depth?symbol=BTC%2FUSDT");
    for path in ["/api/pro/v1/products", "/api/pro/v1/cash/products", "https://x/api/pro/v2/futures/contract"]
    {
        assert_eq!(spot.rest_kind(path), RestKind::Instruments);
    }
    for path in [
        "",
        "/",
        "/api/pro/v1/depth",
        "/api/pro/v1/depth?symbol=",
        "/api/pro/v1/trades?symbol=",
        "/fapi/v1/time",
    ] {
        assert_eq!(spot.rest_kind(path), RestKind::Other, "{path}");
    }
    let time = br#"{"code":0,"data":{"requestTimeEcho":0,"requestReceiveAt":1614164189123,"latency":1}}"#;
    assert_eq!(spot.parse_time(time), Ok(1_614_164_189_123_000_000));
    let refusal = br#"{"code":100001,"reason":"INVALID_HTTP_INPUT","message":"x"}"#;
    assert_eq!(spot.parse_time(refusal).map_err(|r| r.cause), Err(RejectCause::Status));
    let body = br#"{"code":0,"data":{"m":"depth-snapshot","symbol":"A/B","data":{"seqnum":7,"ts":5,"asks":[["3","1"]],"bids":[]}}}"#;
    let read = |body: &[u8], symbol: &str| {
        let mut lines = Vec::new();
        let mut ctx = MemoryCtx::new(|e: Event<'_>| lines.push(super::line(&e)));
        ctx.exponents = (super::EXP, super::EXP);
        let done = spot.decode_snapshot(&mut Scratch::default(), symbol, body, &mut ctx);
        done.map(|()| lines).map_err(|r| r.cause)
    };
    assert_eq!(read(body, "A/B"), Ok(vec!["snapshot T=5000000 E=0 U=-1 u=7 pu=-1 b=[] a=[3x1]".to_owned()]));
    assert_eq!(read(body, "A/C"), Err(RejectCause::Shape));
    assert_eq!(read(refusal, "A/B"), Err(RejectCause::Status));
    for n in 0..body.len() {
        assert!(read(&body[..n], "A/B").is_err());
    }
}

#[test]
fn lists_of_both_products() {
    let list = |id: &str, body: &str| venue(id).parse_instruments(body.as_bytes()).unwrap();
    let spot = list("ascendex-spot", include_str!("../ascendex/fixtures/products-spot-20210417.json"));
    assert_eq!(spot.faulty, 0);
    let chz = spot.instruments.iter().find(|i| i.symbol == "CHZ/USDT").unwrap();
    assert_eq!((chz.base.as_str(), chz.quote.as_str(), chz.contract_type.as_str()), ("CHZ", "USDT", "SPOT"));
    assert_eq!((chz.price_exp, chz.size_exp, chz.status.as_str()), (6, 0, "Normal"));
    assert_eq!((chz.contract_size, chz.min_notional), (Dec::NONE, Dec::new(5, 0)));
    assert!(spot.instruments.iter().any(|i| i.status == "NoTrading"));
    // The list of today has no base and quote.
    let today = r#"{"code":0,"data":[{"symbol":"A/B","statusCode":"Normal","tickSize":"0.010","lotSize":"1","useTick":true,"qtyScale":3},{"symbol":"x:y"},5,{"symbol":"C/D","tickSize":[]}]}"#;
    let l = list("ascendex-spot", today);
    assert_eq!((l.instruments.len(), l.faulty), (1, 3));
    assert_eq!(
        (l.instruments[0].base.as_str(), l.instruments[0].quote.as_str(), l.instruments[0].price_exp),
        ("A", "B", 2)
    );
    let futures =
        list("ascendex-futures", include_str!("../ascendex/fixtures/contract-futures-20220425.json"));
    let sv = futures.instruments.iter().find(|i| i.symbol == "BCHSV-PERP").unwrap();
    // `displayName` says BSVUSDT.
    assert_eq!((sv.base.as_str(), sv.quote.as_str(), sv.settle.as_str()), ("BCHSV", "USDT", "USDT"));
    let btc = futures.instruments.iter().find(|i| i.symbol == "BTC-PERP").unwrap();
    assert_eq!(
        (btc.tick_size, btc.step_size, btc.contract_size),
        (Dec::new(1, 0), Dec::new(1, 4), Dec::new(1, 0))
    );
    assert_eq!((btc.contract_type.as_str(), btc.size_exp, btc.ts_expiry), ("PERPETUAL", 4, 0));
    for (body, cause) in [
        ("", RejectCause::Malformed),
        ("<html>", RejectCause::Malformed),
        ("{\"code\":0,\"data\":[", RejectCause::Malformed),
        ("{}", RejectCause::Shape),
        ("{\"code\":0,\"data\":5}", RejectCause::Shape),
        ("{\"code\":100014,\"reason\":\"x\"}", RejectCause::Status),
    ] {
        let got = venue("ascendex-futures").parse_instruments(body.as_bytes());
        assert_eq!(got.map(|_| ()).map_err(|r| r.cause), Err(cause), "{body}");
    }
    let many = format!("{{\"code\":0,\"data\":[{}]}}", vec!["1"; 20_001].join(","));
    let got = venue("ascendex-spot").parse_instruments(many.as_bytes());
    assert_eq!(got.map(|_| ()).map_err(|r| r.cause), Err(RejectCause::Limit));
}

/// The request form of section 3 of the page, with the trades of its vector 8: what the stream has told already only ids tell.
#[test]
fn trades_that_were_asked_for_are_those_of_the_stream() {
    let list = r#"[{"p":"19.152","q":"79","ts":1650929774384,"bm":false,"seqnum":288230377097259426},{"p":"19.156","q":"15","ts":1650929774384,"bm":true,"seqnum":288230377097259428}]"#;
    let pushed = format!(r#"{{"m":"trades","symbol":"APE-PERP","data":{list}}}"#);
    let asked = format!(r#"{{"m":"market-trades","id":"t1","symbol":"APE-PERP","data":{list}}}"#);
    for v in BOTH.map(venue) {
        let told = said(v, &["trades:APE-PERP"], pushed.as_bytes(), None).unwrap();
        assert!(told.len() == 2 && told[0].contains("id=288230377097259426") && told[0].contains("side=1"));
        assert_eq!(said(v, &["trades:APE-PERP"], asked.as_bytes(), None).unwrap(), told);
        // Whoever asks need not have subscribed.
        assert_eq!(said(v, &[], asked.as_bytes(), None).unwrap(), told);
        let of =
            |symbol: &str, data: &str| format!(r#"{{"m":"market-trades","symbol":{symbol},"data":{data}}}"#);
        for (frame, cause) in [
            (of("\"\"", "[]"), RejectCause::UnknownSymbol),
            (of(&format!("{:?}", "X".repeat(SYMBOL_BYTES_MAX + 1)), "[]"), RejectCause::UnknownSymbol),
            (of("5", "[]"), RejectCause::Shape),
            (of("\"APE-PERP\"", "{}"), RejectCause::Shape),
        ] {
            assert_eq!(refused(v, &[], frame.as_bytes()), cause, "{frame}");
        }
    }
}
