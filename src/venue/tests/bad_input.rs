//! What venues say when they refuse, and bytes of the wrong kind: each is a refusal that is heard or a rejection with its
//! cause, at every venue, and says nothing else.

use std::io::Write;

use super::{names_streams_in_url, refused, said, trades_by_rest, venue};
use crate::model::{Event, RejectCause};
use crate::parse::Scratch;
use crate::venue::testing::MemoryCtx;
use crate::venue::{Venue, all};

/// Streams of a venue's default channels.
fn streams(v: &dyn Venue) -> Vec<String> {
    let symbol = if v.spec().id == "pumpkin-perp" { "btc_usdt" } else { "BTCUSDT" };
    v.spec().channels_default.iter().map(|c| v.stream(c, Some(symbol)).unwrap().name).collect()
}

fn with_streams(v: &dyn Venue, f: impl FnOnce(&[&str])) {
    let names = streams(v);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    f(&names);
}

/// Every line of the pages' tables of errors, with and without an id, and in the newer shape.
#[test]
fn every_error_reply_of_the_pages_is_heard_as_one() {
    let texts = [
        (0, "Unknown property"),
        (1, "Invalid value type: expected Boolean"),
        (2, "Invalid request: property name must be a string"),
        (2, "Invalid request: request ID must be an unsigned integer"),
        (
            2,
            "Invalid request: unknown variant X, expected one of `SUBSCRIBE`, `UNSUBSCRIBE` at line 1 column 28",
        ),
        (2, "Invalid request: too many parameters"),
        (2, "Invalid request: missing field `method` at line 1 column 73"),
        (3, "Invalid JSON: expected value at line 1 column 1"),
        (4, "Too many subscriptions"),
    ];
    for v in all().iter().filter(|v| names_streams_in_url(**v)) {
        for (code, text) in texts {
            for frame in [
                format!(r#"{{"code":{code},"msg":"{text}"}}"#),
                format!(r#"{{"code":{code},"msg":"{text}","id":7}}"#),
                format!(r#"{{"code":{code},"msg":"{text}","id":"7"}}"#),
                format!(r#"{{"error":{{"code":{code},"msg":"{text}"}},"id":7}}"#),
            ] {
                let id = if frame.contains("\"id\"") { 7 } else { -1 };
                let heard = vec![format!("reply id={id} error=true code={code} {text:?}")];
                with_streams(*v, |names| {
                    assert_eq!(said(*v, names, frame.as_bytes(), None), Ok(heard), "{}", v.spec().id);
                });
            }
        }
    }
    let pumpkin = venue("pumpkin-perp");
    for code in [40001, 40002, 40003, 40004, 40005, 40006, 50001, 50002] {
        let frame = format!(r#"{{"code":{code},"message":"no"}}"#);
        let heard = vec![format!("reply id=-1 error=true code={code} \"no\"")];
        assert_eq!(said(pumpkin, &[], frame.as_bytes(), None), Ok(heard));
        assert_eq!(pumpkin.is_passing(code), matches!(code, 40006 | 50001 | 50002), "{code}");
        assert_eq!(pumpkin.is_full(code), code == 40003, "{code}");
    }
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut w = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    w.write_all(data).unwrap();
    w.finish().unwrap()
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut w = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    w.write_all(data).unwrap();
    w.finish().unwrap()
}

/// Compressed or binary where plain text is due. (Pumpkin opens such frames: its own tests say how.)
#[test]
fn bytes_of_another_kind_are_rejected_and_the_next_frame_is_read() {
    let plain = br#"{"stream":"btcusdt@trade","data":{"e":"trade"}}"#;
    let protobuf = [0x08, 0xe6, 0xda, 0xb5, 0xa2, 0xc0, 0x33, 0x12, 0x01, 0x61];
    for v in all().iter().filter(|v| v.spec().id != "pumpkin-perp") {
        with_streams(*v, |names| {
            for bytes in
                [gzip(plain), zlib(plain), protobuf.to_vec(), vec![0], vec![0xef, 0xbb, 0xbf, b'{', b'}']]
            {
                assert_eq!(refused(*v, names, &bytes), RejectCause::Malformed, "{}: {bytes:?}", v.spec().id);
            }
            let pages =
                ["<html><head><title>429 Too Many Requests</title></head></html>", "Bad Gateway", "ok"];
            for page in pages {
                assert_eq!(refused(*v, names, page.as_bytes()), RejectCause::Malformed, "{}", v.spec().id);
            }
        });
    }
}

/// Bodies with which a venue refuses a snapshot, a list, its clock: a cause, and nothing said.
#[test]
fn refused_requests_have_their_cause_at_every_venue() {
    let html = "<html><body><h1>403 Forbidden</h1></body></html>";
    for v in all() {
        let id = v.spec().id;
        let refusals: &[&str] = match id {
            "pumpkin-perp" => &[
                r#"{"code":1,"msg":"sign-error"}"#,
                r#"{"code":-1,"msg":"bad key"}"#,
                r#"{"code":403,"msg":"WAF"}"#,
                r#"{"code":418,"msg":"not in the list"}"#,
                r#"{"code":429,"msg":"ip_high_frequency","data":{"type":"ip","current":120,"limit":100,"reset":3600}}"#,
                r#"{"code":439,"msg":"weight"}"#,
                r#"{"code":467,"msg":"symbol"}"#,
            ],
            _ if id.starts_with("ascendex") => &[
                r#"{"code":100008,"reason":"SYMBOL_ERROR","message":"no such symbol"}"#,
                r#"{"code":100101,"reason":"UNKNOWN_ERROR","message":"x","info":"y"}"#,
                r#"{"code":510001,"reason":"SERVER_ERROR"}"#,
            ],
            _ if names_streams_in_url(*v) => &[
                r#"{"code":-1121,"msg":"Invalid symbol."}"#,
                r#"{"code":-1003,"msg":"Way too many requests; IP banned until 1720000000123."}"#,
                r#"{"code":-1130,"msg":"Data sent for parameter 'limit' is not valid."}"#,
                r#"{"code":-4021,"msg":"Invalid depth limit."}"#,
                r#"{"code":-2014,"msg":"API-key format invalid."}"#,
                r#"{"code":-1016,"msg":"This service is no longer available."}"#,
            ],
            // Who adds a venue adds its own.
            _ => &[],
        };
        for (body, cause) in
            refusals.iter().map(|b| (*b, RejectCause::Status)).chain([(html, RejectCause::Malformed)])
        {
            let mut events = 0;
            let mut ctx = MemoryCtx::new(|_: Event<'_>| events += 1);
            let r = v.decode_snapshot(&mut Scratch::default(), "BTCUSDT", body.as_bytes(), &mut ctx);
            assert_eq!(r.map_err(|r| r.cause), Err(cause), "{id}: snapshot {body}");
            if trades_by_rest(*v) {
                let r = v.decode_trades(&mut Scratch::default(), "BTCUSDT", body.as_bytes(), &mut ctx);
                assert_eq!(r.map_err(|r| r.cause), Err(cause), "{id}: trades {body}");
            }
            assert_eq!(events, 0, "{id}: {body}");
            let r = v.parse_instruments(body.as_bytes()).map(|_| ()).map_err(|r| r.cause);
            assert_eq!(r, Err(cause), "{id}: list {body}");
            assert!(v.parse_time(body.as_bytes()).is_err(), "{id}: clock {body}");
        }
    }
}

/// Ids as texts and beyond 2^53: read where the page allows texts, rejected where it does not, never rounded.
#[test]
fn ids_are_whole_numbers_and_never_rounded() {
    const BIG: i64 = 9_007_199_254_740_993;
    for v in all().iter().filter(|v| names_streams_in_url(**v)) {
        let id = v.spec().id;
        let frame = |u: &str| {
            let ids = format!(r#""U":{u},"u":{u},"pu":{u}"#);
            format!(
                r#"{{"stream":"btcusdt@depth@100ms","data":{{"e":"depthUpdate","E":1,"s":"BTCUSDT",{ids},"b":[],"a":[]}}}}"#
            )
        };
        let names = ["btcusdt@depth@100ms"];
        let lines = said(*v, &names, frame(&BIG.to_string()).as_bytes(), None).unwrap();
        assert!(lines[0].contains(&format!("u={BIG} ")), "{id}: {lines:?}");
        for (u, cause) in [
            (format!("\"{BIG}\""), RejectCause::Shape),
            ("9223372036854775808".to_owned(), RejectCause::Number),
            ("1e3".to_owned(), RejectCause::Number),
        ] {
            assert_eq!(refused(*v, &names, frame(&u).as_bytes()), cause, "{id}: {u}");
        }
    }
    for u in [format!("{BIG}"), format!("\"{BIG}\"")] {
        let frame = format!(r#"{{"e":"depth","s":"btc_usdt","u":{u},"b":[],"a":[]}}"#);
        let lines = said(venue("pumpkin-perp"), &["depth@btc_usdt,10"], frame.as_bytes(), None).unwrap();
        assert!(lines[0].contains(&format!("u={BIG} ")), "{lines:?}");
    }
}
