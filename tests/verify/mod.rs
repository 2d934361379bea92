//! Recordings become datasets, are proven, and come out again to the same bytes.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::cli::lobtape;
use crate::common::root;

fn run(args: &[&str]) -> Output {
    lobtape(args).output().unwrap()
}

fn json(o: &Output) -> Value {
    let text = String::from_utf8_lossy(&o.stdout);
    serde_json::from_str(&text)
        .unwrap_or_else(|e| panic!("{e}: {text}{}", String::from_utf8_lossy(&o.stderr)))
}

/// Imports recordings of the checkout.
fn import(dir: &Path, venue: &str, interval: &str, files: &[&str]) {
    let files: Vec<PathBuf> = files.iter().map(|f| root().join("data/recordings").join(f)).collect();
    let mut args = vec!["import"];
    args.extend(files.iter().map(|f| f.to_str().unwrap()));
    args.extend(["--venue", venue, "--interval", interval, "--out", dir.to_str().unwrap(), "--json"]);
    let o = run(&args);
    assert!(o.status.success(), "{}", String::from_utf8_lossy(&o.stderr));
}

fn check(v: &Value, name: &str) -> Value {
    v["checks"].as_array().unwrap().iter().find(|c| c["check"] == name).unwrap().clone()
}

#[test]
fn a_recording_over_midnight_is_proven_and_each_day_comes_out_again() {
    let d = tempfile::tempdir().unwrap();
    let dir = d.path().join("data");
    let dir_text = dir.to_str().unwrap();
    let files = ["binance-coinm_ethusd_perp_20240808.gz", "binance-coinm_ethusd_perp_20240809.gz"];
    import(&dir, "binance-coinm", "1h", &files);
    let o = run(&["verify", dir_text, "--json"]);
    let v = json(&o);
    assert_eq!((o.status.code(), &v["well"]), (Some(0), &Value::Bool(true)), "{v}");
    assert_eq!(check(&v, "raw")["counts"]["frames"], 78_313);
    assert_eq!(check(&v, "books")["counts"]["carried"], 1, "the second day opens with the book");
    for days in [&["--date", "2024-08-08"][..], &["--date", "2024-08-09"], &["--all"]] {
        let o = run(&[&["rebuild", dir_text, "--json"], days].concat());
        let v = json(&o);
        let lists = ["different", "missing", "extra", "checkpoints_different"];
        assert!(
            o.status.success() && lists.iter().all(|l| v[l].as_array().unwrap().is_empty()),
            "{days:?}: {v}"
        );
        assert!(v["equal"].as_u64().unwrap() >= 9, "{v}");
    }
}

/// One acknowledgement for several symbols begins all their streams, on each connection anew, whether they ever say something or not.
#[test]
fn streams_that_are_confirmed_together_are_proven_from_there() {
    let d = tempfile::tempdir().unwrap();
    let (dir, file) = (d.path().join("data"), d.path().join("recording.txt"));
    let ack = r#"{"m":"sub","ch":"trades:BTC-PERP,ETH-PERP","code":0}"#;
    let trade = |symbol: &str, at: u64| {
        let data = format!(r#"[{{"p":"1","q":"2","ts":{at},"bm":false,"seqnum":{at}}}]"#);
        format!(r#"{{"m":"trades","symbol":"{symbol}","data":{data}}}"#)
    };
    let mut text = String::new();
    // The second connection has one more stream, of which nobody hears again.
    for (n, ack) in [ack.to_owned(), ack.replace("BTC-PERP,", "BTC-PERP,XRP-PERP,")].iter().enumerate() {
        let at = 1_795_700_000_000 + n as u64 * 5_000;
        text += &format!("{at}000000 # connect wss://ascendex.com:443/api/pro/v2/stream\n");
        text += &format!("{}000000 {ack}\n", at + 200);
        text += &format!("{}000000 {}\n", at + 300, trade("ETH-PERP", at + 300));
        text += &format!("{}000000 {}\n", at + 3000, trade("BTC-PERP", at + 3000));
    }
    std::fs::write(&file, text).unwrap();
    let (dir, file) = (dir.to_str().unwrap(), file.to_str().unwrap());
    let o = run(&["import", file, "--venue", "ascendex-futures", "--out", dir, "--json"]);
    assert!(o.status.success(), "{}", String::from_utf8_lossy(&o.stderr));
    let o = run(&["verify", dir, "--json"]);
    let v = json(&o);
    assert_eq!((o.status.code(), &v["well"]), (Some(0), &Value::Bool(true)), "{v}");
    assert_eq!(check(&v, "coverage")["counts"]["streams"], 3, "{v}");
}

#[test]
fn many_short_intervals_are_proven_deeply_and_one_bad_byte_is_named() {
    let d = tempfile::tempdir().unwrap();
    let dir = d.path().join("data");
    let dir_text = dir.to_str().unwrap();
    import(&dir, "binance-usdm", "5s", &["binance-usdm_4symbols_20210722.gz"]);
    let o = run(&["verify", dir_text, "--deep", "--json"]);
    let v = json(&o);
    assert_eq!((o.status.code(), &v["well"]), (Some(0), &Value::Bool(true)), "{v}");
    assert!(v["rebuild"]["equal"].as_u64().unwrap() > 50, "{v}");
    assert!(v["rebuild"]["checkpoints_equal"].as_u64().unwrap() >= 5, "{v}");
    assert!(check(&v, "books")["counts"]["carried"].as_i64().unwrap() >= 10, "{v}");

    let bad = "v1/trades/venue=binance-usdm/symbol=AKROUSDT";
    let day = std::fs::read_dir(dir.join(bad)).unwrap().next().unwrap().unwrap().path();
    let mut parts: Vec<PathBuf> = std::fs::read_dir(day).unwrap().map(|e| e.unwrap().path()).collect();
    parts.sort();
    let mut bytes = std::fs::read(&parts[0]).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&parts[0], bytes).unwrap();
    let o = run(&["verify", dir_text]);
    let text = String::from_utf8(o.stdout).unwrap();
    let name = parts[0].strip_prefix(&dir).unwrap().to_str().unwrap();
    assert_eq!(o.status.code(), Some(2), "{text}");
    assert!(text.contains(name) && text.contains("FAULT  files"), "{text}");
    assert_eq!(run(&["rebuild", dir_text, "--all"]).status.code(), Some(2));
}

#[test]
fn wrong_usage_is_told_with_the_remedy() {
    let d = tempfile::tempdir().unwrap();
    let nowhere = d.path().join("x");
    let nowhere = nowhere.to_str().unwrap();
    for args in [
        &["verify", nowhere][..],
        &["rebuild", nowhere, "--all"],
        &["rebuild", nowhere],
        &["rebuild", nowhere, "--date", "yesterday"],
        &["verify", nowhere, "--table", "candles"],
        &["verify", nowhere, "--date", "2026-13-01"],
    ] {
        let o = run(args);
        assert_eq!(o.status.code(), Some(1), "{args:?}: {}", String::from_utf8_lossy(&o.stderr));
    }
}
