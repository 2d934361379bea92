//! The recordings are what their manifest says.

use std::collections::BTreeSet;
use std::io::Read;

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
