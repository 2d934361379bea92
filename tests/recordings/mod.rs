//! The recordings are what their manifest says.

use std::collections::BTreeSet;
use std::io::Read;

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

use crate::common::{recordings_dirs, root};

fn hex_sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn recordings_are_those_of_the_manifest() {
    for dir in recordings_dirs() {
        let text = std::fs::read_to_string(dir.join("MANIFEST.json")).unwrap();
        let entries: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        assert!(entries.len() >= 10, "{}", dir.display());
        for e in entries {
            let file = dir.join(e["file"].as_str().unwrap());
            let bytes = std::fs::read(&file).unwrap_or_else(|x| panic!("{}: {x}", file.display()));
            assert_eq!(e["sha256"].as_str().unwrap(), hex_sha256(&bytes), "{}", file.display());
            assert_eq!(e["bytes"].as_u64().unwrap(), bytes.len() as u64, "{}", file.display());
            if let Some(raw) = e.get("raw_bytes") {
                let mut plain = Vec::new();
                flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut plain).unwrap();
                assert_eq!(raw.as_u64().unwrap(), plain.len() as u64, "{}", file.display());
            }
        }
    }
}

#[test]
fn every_expected_book_has_its_recording() {
    for dir in recordings_dirs() {
        let mut named = BTreeSet::new();
        for entry in std::fs::read_dir(dir.join("expected")).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let meta: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
            assert_eq!(meta["ev"], "meta", "{}", path.display());
            for f in meta["files"].as_array().unwrap() {
                let f = f.as_str().unwrap();
                assert!(dir.join(f).is_file(), "{} names {f}", path.display());
                named.insert(f.to_owned());
            }
        }
        for entry in std::fs::read_dir(&dir).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(!name.ends_with(".gz") || named.contains(&name), "{name}: no expected book");
        }
    }
}

#[test]
fn what_others_recorded_comes_with_their_licences() {
    let dir = root().join("data/recordings/LICENSES");
    for name in ["cryptofeed.txt", "depthviz.txt", "hftbacktest.txt"] {
        assert!(dir.join(name).is_file(), "{name}");
    }
}

/// The same session as cryptofeed's raw data collection writes it. The header stands last, so that line numbers stay.
fn as_cryptofeed(lines: &str) -> String {
    let mut text = String::new();
    for line in lines.lines() {
        let (stamp, rest) = line.split_once(' ').unwrap();
        let stamp = if stamp.len() == 16 { format!("{stamp}000") } else { stamp.to_owned() };
        let seconds = format!("{}.{}", &stamp[..10], &stamp[10..]);
        text += &if let Some(sent) = rest.strip_prefix("> ") {
            format!("wss://fstream.binance.com/stream <- {seconds}: {sent}")
        } else if let Some(url) = rest.strip_prefix("# connect ") {
            format!("{url} <-> {seconds}")
        } else if rest.starts_with('/') {
            let (path, body) = rest.split_once(' ').unwrap();
            format!("https://fapi.binance.com{path} -> {seconds}: {body}")
        } else if rest.starts_with('#') {
            continue;
        } else {
            format!("{seconds}: {rest}")
        };
        text.push('\n');
    }
    text + "configuration: {'exchanges': ['BINANCE_FUTURES']}\n"
}

#[test]
fn a_session_in_cryptofeeds_format_gives_the_same_states() {
    let plain = root().join("data/recordings/binance-usdm_4symbols_20210722.gz");
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("fstream.0");
    let mut lines = String::new();
    MultiGzDecoder::new(std::fs::File::open(&plain).unwrap()).read_to_string(&mut lines).unwrap();
    let text = as_cryptofeed(&lines);
    assert!(text.contains(" -> ") && text.lines().count() > 1_000, "{}", text.lines().count());
    std::fs::write(&other, text).unwrap();
    let states = |file: &std::path::Path| {
        let args = ["checkpoints", file.to_str().unwrap(), "--venue", "binance-usdm", "--every", "1"];
        let o = crate::cli::lobtape(&args).output().unwrap();
        assert!(o.status.success(), "{}", String::from_utf8_lossy(&o.stderr));
        let text = String::from_utf8(o.stdout).unwrap();
        // The first line names the files.
        text.split_once('\n').unwrap().1.to_owned()
    };
    let expected = states(&plain);
    assert!(expected.lines().count() > 100, "{expected}");
    let found = states(&other);
    for (n, (a, b)) in expected.lines().zip(found.lines()).enumerate() {
        assert_eq!(a, b, "state {n}");
    }
    assert_eq!(expected.lines().count(), found.lines().count());
}

/// Lines of `lobtape checkpoints` by symbol and update id, without what only they have.
fn checkpoints(file: &std::path::Path, venue: &str) -> (Vec<serde_json::Value>, Vec<serde_json::Value>) {
    let args = ["checkpoints", file.to_str().unwrap(), "--venue", venue, "--every", "1"];
    let o = crate::cli::lobtape(&args).output().unwrap();
    assert!(o.status.success(), "{}", String::from_utf8_lossy(&o.stderr));
    split(&String::from_utf8(o.stdout).unwrap())
}

/// States and totals.
fn split(text: &str) -> (Vec<serde_json::Value>, Vec<serde_json::Value>) {
    let lines = text.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
    let lines: Vec<_> = lines.filter(|v| v["ev"] != "meta").collect();
    lines.into_iter().partition(|v| v["ev"] != "end")
}

fn key(v: &serde_json::Value) -> String {
    format!("{} {} {} {}", v["ev"], v["sym"], v["u"], v["snap_id"])
}

/// Every state that the reference has, from the files and from an import of them, which comes out the same twice.
#[test]
fn ascendex_spot_comes_out_as_the_reference_has_it() {
    let recordings = root().join("data/recordings");
    let file = recordings.join("ascendex-spot_10symbols_20210417.gz");
    let text =
        std::fs::read_to_string(recordings.join("expected/ascendex-spot_10symbols_20210417.jsonl")).unwrap();
    let (expected, totals) = split(&text);
    assert_eq!((expected.len(), totals.len()), (287, 10));
    let (found, found_totals) = checkpoints(&file, "ascendex-spot");
    let by_key: std::collections::BTreeMap<String, &serde_json::Value> =
        found.iter().map(|v| (key(v), v)).collect();
    for e in &expected {
        let f = by_key.get(&key(e)).unwrap_or_else(|| panic!("{} is missing", key(e)));
        for field in ["nb", "na", "bb", "ba", "crc", "crc20", "tops"] {
            assert_eq!(f[field], e[field], "{field} of {}", key(e));
        }
    }
    for e in &totals {
        let f = found_totals.iter().find(|f| f["sym"] == e["sym"]).unwrap();
        for (field, value) in e.as_object().unwrap() {
            assert_eq!(&f[field], value, "{field} of {}", e["sym"]);
        }
    }
    assert_eq!(found.len(), expected.len());
    let dir = tempfile::tempdir().unwrap();
    let files = ["a", "b"].map(|name| {
        let out = dir.path().join(name);
        let args =
            ["import", file.to_str().unwrap(), "--venue", "ascendex-spot", "--out", out.to_str().unwrap()];
        assert!(crate::cli::lobtape(&args).output().unwrap().status.success());
        let verify = crate::cli::lobtape(&["verify", out.to_str().unwrap()]).output().unwrap();
        assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stdout));
        let ds = lobtape::dataset::Dataset::open(&out).unwrap();
        let parts: BTreeSet<(String, String)> =
            ds.manifest().unwrap().parts().map(|p| (p.path.clone(), p.sha256.clone())).collect();
        assert!(parts.len() >= 25, "{}", parts.len());
        parts
    });
    assert_eq!(files[0], files[1]);
    let (rebuilt, _) = checkpoints(&dir.path().join("a"), "ascendex-spot");
    let by_id: std::collections::BTreeMap<String, &serde_json::Value> =
        rebuilt.iter().map(|v| (format!("{} {}", v["sym"], v["u"]), v)).collect();
    for e in expected.iter().filter(|e| e["ev"] == "cp") {
        let f = by_id[&format!("{} {}", e["sym"], e["u"])];
        assert_eq!((&f["crc"], &f["bb"], &f["ba"]), (&e["crc"], &e["bb"], &e["ba"]), "{}", key(e));
    }
}

/// The table of the protocol page: where each book of the published recording ends.
#[test]
fn ascendex_futures_of_2022_end_where_the_page_says() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ascendex.ws");
    let mut lines = String::new();
    let packed = root().join("data/vectors/ascendex-futures_20220425.ws.gz");
    MultiGzDecoder::new(std::fs::File::open(packed).unwrap()).read_to_string(&mut lines).unwrap();
    std::fs::write(&file, lines).unwrap();
    let (states, totals) = checkpoints(&file, "ascendex-futures");
    let sum = |field: &str| totals.iter().map(|t| t[field].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("stale"), sum("snaps"), sum("applied"), sum("gaps"), sum("crossed")), (6, 10, 251, 0, 0));
    for (sym, u, bid, ask, levels) in [
        ("BTC-PERP", 7795625731_u64, ["40483", "0.3241"], ["40491", "0.0113"], [86, 86]),
        ("LINK-PERP", 13069695730, ["13.471", "137.6"], ["13.484", "33.5"], [63, 54]),
        ("DOT-PERP", 13069591842, ["18.121", "61.3"], ["18.137", "62.7"], [52, 51]),
        ("UNI-PERP", 7795023630, ["8.73", "4043.7"], ["8.75", "2463.1"], [37, 38]),
        ("MATIC-PERP", 7794660126, ["1.352", "2395"], ["1.3536", "2184"], [63, 56]),
        ("APE-PERP", 608730349, ["19.136", "82"], ["19.139", "142"], [28, 14]),
        ("ATOM-PERP", 7794440731, ["22.1", "102.8"], ["22.14", "101.8"], [58, 398]),
        ("AKT-PERP", 7794290679, ["1.07", "162"], ["1.071", "246"], [62, 89]),
        ("XPRT-PERP", 608427309, ["2.715", "129"], ["2.725", "94"], [25, 41]),
        ("PORT-PERP", 273532941, ["0.51", "396"], ["0.513", "536"], [33, 47]),
    ] {
        let last = states.iter().find(|v| v["ev"] == "last" && v["sym"] == sym).unwrap();
        let want = serde_json::json!([u, bid, ask, levels[0], levels[1]]);
        assert_eq!(
            serde_json::json!([last["u"], last["bb"], last["ba"], last["nb"], last["na"]]),
            want,
            "{sym}"
        );
    }
}
