//! Bad input: whatever a venue sends is refused with a cause or read, never a panic, never half an event.

use proptest::prelude::*;

use super::{by_url, fixtures, names_streams_in_url, refused, said, venue};
use crate::model::instrument::SYMBOL_BYTES_MAX;
use crate::model::{Event, RejectCause, StreamKind};
use crate::parse::Scratch;
use crate::venue::testing::MemoryCtx;
use crate::venue::{all, poll_request};

const DEPTH: &[&str] = &["btcusdt@depth"];

fn depth(data: &str) -> Vec<u8> {
    format!("{{\"stream\":\"btcusdt@depth\",\"data\":{data}}}").into_bytes()
}

#[test]
fn frames_that_are_no_frames_have_their_cause() {
    let v = venue("binance-usdm");
    for (frame, cause) in [
        (&b""[..], RejectCause::Malformed),
        (b"\xff\xfe", RejectCause::Malformed),
        (b"5", RejectCause::UnknownStream),
        (b"[]", RejectCause::UnknownStream),
        (b"{}", RejectCause::UnknownStream),
        (br#"{"stream":"btcusdt@depth","data":{"#, RejectCause::Malformed),
        (br#"{"stream":5,"data":{}}"#, RejectCause::Shape),
        (br#"{"stream":"nobody@depth","data":{}}"#, RejectCause::UnknownStream),
        (br#"{"stream":"btcusdt@depth","data":{}}"#, RejectCause::Shape),
        (br#"{"stream":"btcusdt@depth","data":5}"#, RejectCause::Shape),
        (br#"{"stream":"btcusdt@depth","data":null}"#, RejectCause::Shape),
        (br#"{"stream":"btcusdt@depth","data":[5]}"#, RejectCause::Shape),
        (br#"{"stream":"btcusdt@depth"}"#, RejectCause::UnknownStream),
    ] {
        assert_eq!(refused(v, DEPTH, frame), cause, "{:?}", String::from_utf8_lossy(frame));
    }
    assert_eq!(said(v, DEPTH, br#"{"stream":"btcusdt@depth","data":[]}"#, None), Ok(Vec::new()));
}

#[test]
fn faulty_depth_frames_have_their_cause() {
    let v = venue("binance-usdm");
    for (data, cause) in [
        (r#"{"U":1,"u":2,"b":[]}"#, RejectCause::Shape),
        (r#"{"U":1,"u":2,"a":[],"b":{}}"#, RejectCause::Shape),
        (r#"{"U":1,"u":2,"a":[],"b":[[]]}"#, RejectCause::Shape),
        (r#"{"U":1,"u":2,"a":[],"b":[["1"]]}"#, RejectCause::Shape),
        (r#"{"U":1,"u":2,"a":[],"b":[["1",2]]}"#, RejectCause::Shape),
        (r#"{"U":1,"u":2,"a":[],"b":[[["1","2"]]]}"#, RejectCause::Shape),
        (r#"{"U":1,"u":2,"a":[],"b":["12"]}"#, RejectCause::Shape),
        (r#"{"u":2,"a":[],"b":[]}"#, RejectCause::Shape),
        (r#"{"U":1,"a":[],"b":[]}"#, RejectCause::Shape),
        (r#"{"U":-1,"u":2,"a":[],"b":[]}"#, RejectCause::Shape),
        (r#"{"U":1,"u":-2,"a":[],"b":[]}"#, RejectCause::Shape),
        (r#"{"U":"1","u":2,"a":[],"b":[]}"#, RejectCause::Shape),
        (r#"{"U":1,"u":2,"s":"ETHUSDT","a":[],"b":[]}"#, RejectCause::Shape),
        (r#"{"U":1,"u":2,"s":7,"a":[],"b":[]}"#, RejectCause::Shape),
        (r#"{"e":7,"U":1,"u":2,"a":[],"b":[]}"#, RejectCause::Shape),
        (r#"{"E":"x","U":1,"u":2,"a":[],"b":[]}"#, RejectCause::Shape),
        (r#"{"U":1.5,"u":2,"a":[],"b":[]}"#, RejectCause::Number),
        (r#"{"U":1,"u":9223372036854775808,"a":[],"b":[]}"#, RejectCause::Number),
        (r#"{"U":1,"u":99999999999999999999999,"a":[],"b":[]}"#, RejectCause::Number),
        (r#"{"U":1,"u":2,"a":[],"b":[["",""]]}"#, RejectCause::Number),
        (r#"{"U":1,"u":2,"a":[],"b":[["-1","2"]]}"#, RejectCause::Number),
        (r#"{"U":1,"u":2,"a":[],"b":[["1","-2"]]}"#, RejectCause::Number),
        (r#"{"U":1,"u":2,"a":[],"b":[["+1","2"]]}"#, RejectCause::Number),
        (r#"{"U":1,"u":2,"a":[],"b":[["1e5","2"]]}"#, RejectCause::Number),
        (r#"{"U":1,"u":2,"a":[],"b":[["NaN","2"]]}"#, RejectCause::Number),
        (r#"{"U":1,"u":2,"a":[],"b":[["1","0.1234567890123456789"]]}"#, RejectCause::Number),
        (
            r#"{"U":1,"u":2,"a":[],"b":[["1111111111111111111111111111111111111111","2"]]}"#,
            RejectCause::Number,
        ),
        (
            r#"{"U":1,"u":2,"a":[],"b":[["11111111111111111111111111111111111111111","2"]]}"#,
            RejectCause::Number,
        ),
    ] {
        assert_eq!(refused(v, DEPTH, &depth(data)), cause, "{data}");
    }
}

#[test]
fn a_shutdown_is_heard_under_any_name() {
    let v = venue("binance-spot");
    let notice = Ok(vec!["notice Shutdown".to_owned()]);
    for name in ["btcusdt@depth", "!serverShutdown", ""] {
        let frame = format!(r#"{{"stream":"{name}","data":{{"e":"serverShutdown","E":1}}}}"#);
        assert_eq!(said(v, DEPTH, frame.as_bytes(), None), notice, "{name}");
    }
    let reply = br#"{"stream":"","data":{"result":null,"id":7}}"#;
    assert_eq!(said(v, DEPTH, reply, None), Ok(vec!["reply id=7 error=false code=0 \"\"".to_owned()]));
}

#[test]
fn ids_may_be_anything_that_fits() {
    let v = venue("binance-usdm");
    let frame =
        depth(r#"{"U":9223372036854775807,"u":0,"pu":-5,"b":[],"a":[],"E":-1,"T":9223372036854775807}"#);
    let want = "BTCUSDT depth T=0 E=0 U=9223372036854775807 u=0 pu=-1 b=[] a=[]";
    assert_eq!(said(v, DEPTH, &frame, None), Ok(vec![want.to_owned()]));
}

#[test]
fn keys_given_twice_have_their_last_value_and_keys_unknown_are_ignored() {
    let v = venue("binance-usdm");
    let frame = depth(
        r#"{"u":1,"U":1,"":{},"zz":[[[]]],"b":[["1","2"]],"b":[["3","4"]],"a":[],"u":2,"\u0000":"\u0000"}"#,
    );
    let want = "BTCUSDT depth T=0 E=0 U=1 u=2 pu=-1 b=[3x4] a=[]";
    assert_eq!(said(v, DEPTH, &frame, None), Ok(vec![want.to_owned()]));
    let escaped = depth(r#"{"\u0055":1,"\u0075":2,"b":[["\u0033","4"]],"a":[]}"#);
    assert_eq!(said(v, DEPTH, &escaped, None), Ok(vec![want.to_owned()]));
}

#[test]
fn sizes_and_depths_are_bounded() {
    let v = venue("binance-usdm");
    let levels =
        |n: usize| depth(&format!(r#"{{"U":1,"u":2,"a":[],"b":[{}]}}"#, vec![r#"["1","2"]"#; n].join(",")));
    assert!(said(v, DEPTH, &levels(20_000), None).is_ok());
    assert_eq!(refused(v, DEPTH, &levels(20_001)), RejectCause::Limit);
    assert_eq!(refused(v, DEPTH, &levels(1_000_000)), RejectCause::Limit);
    let deep = depth(&format!("{}{}", "[".repeat(200_000), "]".repeat(200_000)));
    assert_eq!(refused(v, DEPTH, &deep), RejectCause::Limit);
    let long = depth(&format!("\"{}\"", "x".repeat(9 << 20)));
    assert_eq!(refused(v, DEPTH, &long), RejectCause::Limit);
}

/// One faulty row of an all-market array does not cost the others.
#[test]
fn the_good_elements_of_an_array_survive_a_faulty_one() {
    let v = venue("aster-futures");
    let frame = br#"{"stream":"!miniTicker@arr","data":[{"s":"A","c":"1"},{"s":"B","c":"1e5"},{"s":"","c":1},{"s":"C","c":"3"}]}"#;
    let (reject, lines) = said(v, &["!miniTicker@arr"], frame, None).unwrap_err();
    assert_eq!(reject.cause, RejectCause::Number);
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with("A ticker") && lines[1].starts_with("C ticker"), "{lines:?}");
    let long = format!(
        r#"{{"stream":"!miniTicker@arr","data":[{{"s":"{}","c":"1"}}]}}"#,
        "X".repeat(SYMBOL_BYTES_MAX + 1)
    );
    assert_eq!(refused(v, &["!miniTicker@arr"], long.as_bytes()), RejectCause::UnknownSymbol);
}

/// A number that would not fit after widening widens nothing: else one poisoned frame would spoil all later ones.
#[test]
fn a_frame_that_cannot_fit_does_not_widen() {
    let v = venue("binance-usdm");
    let mut lines = Vec::new();
    let mut ctx = MemoryCtx::new(|e: Event<'_>| lines.push(format!("{e:?}")));
    ctx.exponents = (1, 3);
    assert!(ctx.subscribe(v, "btcusdt@depth"));
    let mut s = Scratch::default();
    let poison = depth(r#"{"U":1,"u":2,"a":[],"b":[["61800.2","1"],["0.000000000000000001","1"]]}"#);
    assert_eq!(v.decode(&mut s, &poison, None, &mut ctx).map_err(|r| r.cause), Err(RejectCause::Number));
    assert_eq!(ctx.widened, 0);
    let finer = depth(r#"{"U":1,"u":2,"a":[["61800.30","1"]],"b":[["61800.25","0.00010"]]}"#);
    assert_eq!(v.decode(&mut s, &finer, None, &mut ctx), Ok(()));
    assert_eq!(ctx.widened, 1);
    assert_eq!(lines.len(), 1);
    assert!(
        lines[0].contains("price: 6180025, size: 1 }") && lines[0].contains("price: 6180030, size: 10000 }")
    );
}

/// A number that fits, but not beside the decimals that another one had brought: those are taken back.
#[test]
fn a_number_that_wide_exponents_leave_no_room_for_narrows_them() {
    let v = venue("binance-usdm");
    let mut lines = Vec::new();
    let mut ctx = MemoryCtx::new(|e: Event<'_>| lines.push(format!("{e:?}")));
    ctx.exponents = (1, 3);
    assert!(ctx.subscribe(v, "btcusdt@depth"));
    let mut s = Scratch::default();
    let poison = depth(r#"{"U":1,"u":2,"a":[],"b":[["61800.2","0.000000000000000001"]]}"#);
    let good = depth(r#"{"U":3,"u":4,"a":[["61800.35","12.5"]],"b":[["61800.2","1234567.25"]]}"#);
    assert_eq!(v.decode(&mut s, &poison, None, &mut ctx), Ok(()));
    assert_eq!(v.decode(&mut s, &good, None, &mut ctx), Ok(()));
    assert_eq!((ctx.widened, ctx.narrowed), (2, 1));
    // One that fits under no exponents changes none.
    let never = depth(r#"{"U":5,"u":6,"a":[["61800.35","9223372036854775808"]],"b":[]}"#);
    assert_eq!(v.decode(&mut s, &never, None, &mut ctx).map_err(|r| r.cause), Err(RejectCause::Number));
    assert_eq!((ctx.widened, ctx.narrowed), (2, 1));
    assert_eq!(lines.len(), 2);
    assert!(lines[0].contains("price: 618002, size: 1 }"), "{lines:?}");
    assert!(
        lines[1].contains("price: 6180020, size: 123456725 }")
            && lines[1].contains("price: 6180035, size: 1250 }"),
        "{lines:?}"
    );
}

#[test]
fn snapshots_that_are_none_have_their_cause() {
    for v in by_url() {
        let mut s = Scratch::default();
        for (body, cause) in [
            (&br#"{"code":-1121,"msg":"Invalid symbol."}"#[..], RejectCause::Status),
            (b"", RejectCause::Malformed),
            (b"<html>503</html>", RejectCause::Malformed),
            (b"[]", RejectCause::Shape),
            (b"{}", RejectCause::Shape),
            (br#"{"lastUpdateId":1,"bids":[]}"#, RejectCause::Shape),
            (br#"{"lastUpdateId":"1","bids":[],"asks":[]}"#, RejectCause::Shape),
            (br#"{"lastUpdateId":1,"bids":[["1","x"]],"asks":[]}"#, RejectCause::Number),
            (br#"{"lastUpdateId":1,"symbol":"ETHUSDT","bids":[],"asks":[]}"#, RejectCause::Shape),
        ] {
            let mut ctx = MemoryCtx::new(|e: Event<'_>| panic!("said {e:?}"));
            let got = v.decode_snapshot(&mut s, "BTCUSDT", body, &mut ctx);
            assert_eq!(got.map_err(|r| r.cause), Err(cause), "{}", String::from_utf8_lossy(body));
        }
        let body = br#"{"lastUpdateId":7,"E":2,"T":1,"bids":[["2","1"]],"asks":[["3","1"],["4.5","2"]]}"#;
        for n in 0..body.len() {
            let mut ctx = MemoryCtx::new(|e: Event<'_>| panic!("said {e:?}"));
            assert!(v.decode_snapshot(&mut s, "BTCUSDT", &body[..n], &mut ctx).is_err());
        }
        let mut events = 0;
        let mut ctx = MemoryCtx::new(|e: Event<'_>| {
            events += usize::from(matches!(e, Event::Snapshot(d) if d.last == 7 && d.asks.len() == 2));
        });
        assert_eq!(v.decode_snapshot(&mut s, "BTCUSDT", body, &mut ctx), Ok(()));
        assert_eq!(events, 1);
    }
}

/// Streams whose frames may come without an envelope.
const BARE: [&str; 5] =
    ["btcusdt@depth", "btcusdt@trade", "btcusdt@bookTicker", "btcusdt@kline_1m", "btcusdt@ticker"];

/// Answers by REST that are read, one of each shape.
const ANSWERS: [&str; 7] = [
    r#"[{"symbol":"BTCUSDT","openInterest":"1.5","markPrice":"2","indexPrice":"2","lastFundingRate":"0.1","time":5,"fundingRate":"-0.1","fundingTime":5,"price":"3","lastPrice":"3","bidPrice":"1","bidQty":"2","askPrice":"3","askQty":"4"}]"#,
    r#"[[1499040000000,"0.1","0.8","0.1","0.2","148.1",1499644799999,"2434.1",308,"1756.8","28.4","0"]]"#,
    r#"[{"a":26129,"p":"0.1","q":"4.7","f":1,"l":2,"T":5,"m":true},{"id":5,"price":"4","qty":"48","baseQty":"12","time":5,"isBuyerMaker":false}]"#,
    r#"{"code":0,"data":{"contracts":[{"symbol":"X","time":5,"fundingRate":"0.1","indexPrice":"1","markPrice":"1","openInterest":"9","nextFundingTime":5}]}}"#,
    r#"{"code":0,"data":[{"m":"bar","s":"X","data":{"i":"1","ts":5,"o":"1","c":"2","h":"3","l":"1","v":"8"}},{"symbol":"X","open":"1","close":"2","volume":"7"}]}"#,
    r#"{"code":0,"data":{"m":"trades","symbol":"BTCUSDT","data":[{"seqnum":28823037709725942,"p":"1","q":"7","ts":5,"bm":false}]}}"#,
    r#"{"code":0,"msg":"success","data":[{"t":1769598709094,"s":"BTCUSDT","p":"89300.7","a":"3","v":"7","m":"ASK","o":"1","h":"2","l":"1","c":"1"}]}"#,
];

/// Bytes changed, put in, taken out, cut off, repeated.
fn mutate(bytes: &mut Vec<u8>, cuts: Vec<(prop::sample::Index, u8, u8)>) {
    for (at, byte, how) in cuts {
        if bytes.is_empty() {
            break;
        }
        let i = at.index(bytes.len());
        match how {
            0 => bytes[i] = byte,
            1 => bytes.insert(i, byte),
            2 => {
                bytes.remove(i);
            }
            3 => bytes.truncate(i),
            _ => {
                let tail = bytes[i..].to_vec();
                bytes.extend_from_slice(&tail);
            }
        }
    }
}

/// Everything that takes bytes or texts from outside.
fn feed(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for v in all() {
        let mut scratch = Scratch::default();
        let mut ctx = MemoryCtx::new(|_| {});
        let streams = fixtures::of(*v);
        for f in &streams {
            f.streams().iter().for_each(|s| assert!(ctx.subscribe(*v, s)));
        }
        let _ = v.decode(&mut scratch, bytes, None, &mut ctx);
        let bare: &[&str] = if names_streams_in_url(*v) { &BARE } else { &[] };
        for only in bare.iter().copied() {
            let spec = v.parse_stream(only);
            assert!(ctx.subscribe(*v, only));
            let _ = v.decode(&mut scratch, bytes, spec.as_ref(), &mut ctx);
        }
        let _ = v.decode_snapshot(&mut scratch, "BTCUSDT", bytes, &mut ctx);
        for p in v.polls() {
            let r = poll_request(p, &format!("{}{}", p.channel, p.args[0]), &text);
            let _ = v.decode_polled(&mut scratch, &r.path, bytes, &mut ctx);
        }
        for kind in [StreamKind::AggTrade, StreamKind::Trade, StreamKind::TradeSparse] {
            let _ = v.trades_request(kind, &text, i64::MAX);
        }
        let _ = v.decode_polled(&mut scratch, &text, bytes, &mut ctx);
        let _ = v.decode_trades(&mut scratch, "BTCUSDT", bytes, &mut ctx);
        let _ = v.refusal(200, bytes);
        let _ = v.parse_volumes(bytes);
        let _ = v.parse_instruments(bytes);
        let _ = v.parse_time(bytes);
        let _ = v.rest_kind(&text);
        let _ = v.parse_stream(&text);
        let _ = v.stream(&text, Some(&text));
        let _ = v.stream("depth", Some(&text));
        let _ = v.snapshot_request(&text);
        if let Ok(s) = v.stream(v.spec().channels_default[0], Some(&text)) {
            let _ = v.snapshot_message(&s);
            let _ = v.resubscribe_messages(&s, &crate::model::Tuning::default());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        feed(&bytes);
    }

    #[test]
    fn mutated_answers_never_panic(
        answer in 0..ANSWERS.len(),
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..5), 1..6),
    ) {
        let mut bytes = ANSWERS[answer].as_bytes().to_vec();
        mutate(&mut bytes, cuts);
        feed(&bytes);
    }

    #[test]
    fn mutated_fixtures_never_panic(
        venue in 0..all().len(),
        fixture in any::<prop::sample::Index>(),
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..5), 1..6),
    ) {
        let list = fixtures::of(all()[venue]);
        let mut bytes = fixture.get(&list).combined().into_bytes();
        mutate(&mut bytes, cuts);
        feed(&bytes);
    }
}
