//! Every test vector of every page on what a venue speaks: run, and counted by page. Pages are the venues' own documents as
//! they were read (`README.md` of the venue folders says which); vectors of books stand in `data/vectors`, published
//! recordings are replayed by the code of `lobtape checkpoints`, the rest are frames, ids and signatures.

use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::checkpoints::{self, Args, tape::Tape};
use crate::book::tests::vectors;
use crate::fold::tests::pumpkin as fold;
use crate::model::{Event, StreamKind};
use crate::parse::Scratch;
use crate::venue::testing::MemoryCtx;
use crate::venue::{Credentials, by_id, tests::pumpkin as frames};

/// Its name on the page, and what runs it.
type Vector = (String, Box<dyn Fn()>);

fn one(name: &str, run: impl Fn() + 'static) -> Vector {
    (name.to_owned(), Box::new(run))
}

/// Those that are sequences of diffs and snapshots.
fn books(page: &str) -> Vec<Vector> {
    let run = |v: Value| {
        let id = v["id"].as_str().unwrap().to_owned();
        one(&id, move || assert!(vectors::run(&v) > 1))
    };
    vectors::of_page(page).into_iter().map(run).collect()
}

/// All pages and their vectors; the numbers of vectors are those of the pages.
fn pages() -> Vec<(&'static str, usize, Vec<Vector>)> {
    let more = |page, others: Vec<Vector>| books(page).into_iter().chain(others).collect::<Vec<_>>();
    vec![
        ("aster-futures", 8, books("aster-futures")),
        ("aster-spot", 7, books("aster-spot")),
        ("aster-prediction", 4, more("aster-prediction", vec![one("P4", events_of_a_market)])),
        ("binance", 6, books("binance")),
        (
            "ascendex-futures",
            8,
            more("ascendex-futures", vec![one("7", futures_replay), one("8", large_ids)]),
        ),
        ("ascendex-spot", 1, vec![one("replay", spot_replay)]),
        ("pumpkin-perp", 17, pumpkin()),
    ]
}

fn pumpkin() -> Vec<Vector> {
    let mut all = vec![
        one("1, 2", fold::vectors_1_and_2_rest_seed_gap_and_recovery),
        one("3", fold::vector_3_whole_views),
        one("4", fold::vector_4_seed_too_old),
        one("5", fold::vector_5_snowflake_ids),
        one("6, 7", fold::vectors_6_and_7_crossed_and_one_sided),
        one("8", times_and_ids_of_trades),
        one("protobuf of a deal, of a depth, of a candle", frames::protobuf_frames_of_the_page_are_read),
    ];
    const SIGNED: [(&str, &str); 3] = [
        ("/v2/public/time", "f7f9bd47fb987337b5796fdc1fdb9ba221d0d5396814bfcaf9521f43fd8927fd"),
        (
            "/v2/public/q/depth?symbol=btc_usdt&level=10",
            "e12425163936410589f19b64266587abc161e274bea9e47aa1a1f9664c88359d",
        ),
        (
            "/v2/public/q/kline?symbol=btc_usdt&interval=1h&startTime=1672444800000&endTime=1672531200000&limit=500",
            "46c5797f366824067dba72bd621c6969d84bcb81c42abd367a2e93b853824c23",
        ),
    ];
    all.extend(
        SIGNED.map(|(path, wanted)| one(&format!("signature of {path}"), move || signed(path, wanted))),
    );
    const IDS: [(i64, i64); 3] = [
        (586_765_918_776_852_548, 1_769_597_896_620),
        (586_721_053_934_975_552, 1_769_587_200_008),
        (587_004_485_520_343_296, 1_769_654_775_364),
    ];
    all.extend(IDS.map(|(id, ms)| one(&format!("time of id {id}"), move || time_of_id(id, ms))));
    all
}

/// Vectors by name: `"1, 2"` are two, `"a, of b"` as many as it has commas and one.
fn count(v: &[Vector]) -> usize {
    v.iter()
        .map(|(name, _)| if name.starts_with("signature") { 1 } else { name.matches(", ").count() + 1 })
        .sum()
}

#[test]
fn every_vector_of_every_page_passes() {
    let mut table = format!("{:<18} {:>8} {:>7}\n", "page", "vectors", "passed");
    for (page, on_the_page, vectors) in pages() {
        for (name, run) in &vectors {
            let run = std::panic::AssertUnwindSafe(run);
            assert!(std::panic::catch_unwind(run).is_ok(), "{page}: vector {name} failed, see above");
        }
        let passed = count(&vectors);
        table.push_str(&format!("{page:<18} {on_the_page:>8} {passed:>7}\n"));
        assert_eq!(passed, on_the_page, "{page}");
    }
    // Not `println!`: captured output would hide the table of a test that passes.
    let _ = write!(std::io::stderr(), "{table}");
}

/// What one frame says, as text.
fn said(venue: &str, stream: &str, frame: &str, received_ms: i64) -> Vec<String> {
    let venue = by_id(venue).unwrap().1;
    let mut lines = Vec::new();
    let mut ctx = MemoryCtx::new(|e: Event<'_>| {
        lines.push(match e {
            Event::Trade(t) => format!("trade t={} id={} side={}", t.ts_event, t.id, t.side),
            Event::Depth(d) => format!("depth t={}", d.ts_event),
            Event::Other { name, .. } => format!("other {name}"),
            other => format!("{other:?}"),
        });
    });
    (ctx.exponents, ctx.ts_recv) = ((9, 9), received_ms * 1_000_000);
    assert!(ctx.subscribe(venue, stream), "{stream}");
    venue.decode(&mut Scratch::default(), frame.as_bytes(), None, &mut ctx).unwrap();
    lines
}

fn events_of_a_market() {
    let of = |frame: &str| said("aster-prediction", "eth_up_down_5m@event", frame, 0);
    let market = r#""m":"ETH_UP_DOWN_5M_1779846660","y":"ETH_UP_DOWN_5M_1779846660_YUSDT","n":"ETH_UP_DOWN_5M_1779846660_NUSDT","p":"2076.40762162","t":1779846960000"#;
    let wrapped = |rest: &str| format!(r#"{{"stream":"eth_up_down_5m@event","data":{{{rest}}}}}"#);
    let decided = wrapped(&format!(r#""e":"market_twap",{market},"r":0,"w":"Y""#));
    assert_eq!(of(&decided), ["other market_twap", "Notice(Listing)"]);
    assert_eq!(of(&wrapped(&format!(r#""e":"market_twap",{market},"r":3"#))), ["other market_twap"]);
    assert_eq!(
        of(&wrapped(&format!(r#""e":"market_start",{market}"#))),
        ["other market_start", "Notice(Listing)"]
    );
    let v = by_id("aster-prediction").unwrap().1;
    assert_eq!(v.parse_stream("eth_up_down_5m@event").unwrap().kind, StreamKind::RawOnly);
}

fn large_ids() {
    let frame = r#"{"m":"trades","symbol":"APE-PERP","data":[{"p":"19.152","q":"79","ts":1650929774384,"bm":false,"seqnum":288230377097259426},{"p":"19.156","q":"15","ts":1650929774384,"bm":false,"seqnum":288230377097259428}]}"#;
    let t = 1_650_929_774_384_000_000i64;
    let wanted =
        [288_230_377_097_259_426i64, 288_230_377_097_259_428].map(|id| format!("trade t={t} id={id} side=1"));
    assert_eq!(said("ascendex-futures", "trades:APE-PERP", frame, 0), wanted);
}

fn times_and_ids_of_trades() {
    for (t, is) in [
        ("1769598709094", "trade t=1769598709094000000 id=-1"),
        ("1769598709094123", "trade t=1769598709094123000 id=-1"),
        ("1234567890123456", "trade t=0 id=1234567890123456"),
        ("586769324550225920", "trade t=1769598708619000000 id=586769324550225920"),
        ("987654321", "trade t=0 id=987654321"),
    ] {
        let frame = format!(r#"{{"e":"trade","s":"btc_usdt","t":{t},"p":"95150.62","a":"7","m":"BID"}}"#);
        let lines = said("pumpkin-perp", "trade@btc_usdt", &frame, 1_769_598_709_200);
        assert_eq!(lines, [format!("{is} side=1")], "{t}");
    }
}

fn time_of_id(id: i64, ms: i64) {
    let frame = format!(r#"{{"e":"depth.update","s":"btc_usdt","U":{id},"u":{id},"b":[["1","1"]],"a":[]}}"#);
    let lines = said("pumpkin-perp", "depth@btc_usdt,10", &frame, ms + 500);
    assert_eq!(lines, [format!("depth t={}", ms * 1_000_000)]);
}

fn signed(path: &str, wanted: &str) {
    let key = Credentials { key: "k".to_owned(), secret: "test_secret".to_owned() };
    let headers = by_id("pumpkin-perp").unwrap().1.sign(path, &key);
    assert!(headers.contains(&("X_SIGNATURE", wanted.to_owned())), "{path}: {headers:?}");
}

/// A sum over all books, by its name.
type Sum = Box<dyn Fn(&str) -> u64>;

/// States and sums of a recording.
fn replay(file: PathBuf, venue: &str) -> (Vec<Value>, Sum) {
    let args =
        Args { inputs: vec![file], venue: venue.to_owned(), every: 1, symbol: None, sha: false, json: false };
    let mut out = Vec::new();
    checkpoints::from_files(&args, Tape::new(1, false, None), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let all: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let totals: Vec<Value> = all.iter().filter(|v| v["ev"] == "end").cloned().collect();
    assert!(!totals.is_empty(), "{text}");
    (all, Box::new(move |field| totals.iter().map(|t| t[field].as_u64().unwrap()).sum()))
}

/// Where a book ends: symbol, id, best bid, best ask, levels a side.
type End<'a> = (&'a str, u64, [&'a str; 2], [&'a str; 2], [u64; 2]);

fn ends(states: &[Value], wanted: &[End<'_>]) {
    for (sym, u, bid, ask, levels) in wanted {
        let last = states.iter().find(|v| v["ev"] == "last" && v["sym"] == *sym).unwrap();
        let is = serde_json::json!([last["u"], last["bb"], last["ba"], last["nb"], last["na"]]);
        assert_eq!(is, serde_json::json!([u, bid, ask, levels[0], levels[1]]), "{sym}");
    }
}

fn futures_replay() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ascendex.ws");
    let packed = include_bytes!("../../data/vectors/ascendex-futures_20220425.ws.gz");
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
    std::fs::write(&file, text).unwrap();
    let (states, sum) = replay(file, "ascendex-futures");
    assert_eq!(["stale", "snaps", "applied", "gaps", "crossed"].map(sum), [6, 10, 251, 0, 0]);
    ends(
        &states,
        &[
            ("BTC-PERP", 7795625731, ["40483", "0.3241"], ["40491", "0.0113"], [86, 86]),
            ("LINK-PERP", 13069695730, ["13.471", "137.6"], ["13.484", "33.5"], [63, 54]),
            ("DOT-PERP", 13069591842, ["18.121", "61.3"], ["18.137", "62.7"], [52, 51]),
            ("UNI-PERP", 7795023630, ["8.73", "4043.7"], ["8.75", "2463.1"], [37, 38]),
            ("MATIC-PERP", 7794660126, ["1.352", "2395"], ["1.3536", "2184"], [63, 56]),
            ("APE-PERP", 608730349, ["19.136", "82"], ["19.139", "142"], [28, 14]),
            ("ATOM-PERP", 7794440731, ["22.1", "102.8"], ["22.14", "101.8"], [58, 398]),
            ("AKT-PERP", 7794290679, ["1.07", "162"], ["1.071", "246"], [62, 89]),
            ("XPRT-PERP", 608427309, ["2.715", "129"], ["2.725", "94"], [25, 41]),
            ("PORT-PERP", 273532941, ["0.51", "396"], ["0.513", "536"], [33, 47]),
        ],
    );
}

fn spot_replay() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/recordings");
    let (states, sum) = replay(root.join("ascendex-spot_10symbols_20210417.gz"), "ascendex-spot");
    assert_eq!(["stale", "snaps", "applied", "gaps", "crossed"].map(sum), [8, 10, 269, 0, 0]);
    ends(
        &states,
        &[
            ("NEO/USDT", 32164169316, ["94.533", "22.02"], ["94.875", "12.49"], [95, 80]),
            ("CHZ/USDT", 21034366184, ["0.626579", "3292"], ["0.636898", "600"], [39, 93]),
            ("SRM/BTC", 14844468789, ["0.00011224", "122"], ["0.000112528", "66"], [25, 28]),
            ("ALTBULL/USDT", 21031929402, ["1403.8", "1.576"], ["1442.7", "1.345"], [21, 13]),
            ("ZIG/USDT", 15360487484, ["0.097014", "2887"], ["0.097499", "1737"], [156, 337]),
            ("ROOM/USDT", 15303408703, ["1.9195", "93.9"], ["1.9199", "20.9"], [27, 58]),
        ],
    );
}
