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
