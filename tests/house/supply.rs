//! What we build on.

use std::collections::BTreeSet;
use std::process::Command;

use super::verdict;
use crate::common::{read, root};

/// Crates that must not come in, and why.
const BANNED: &[(&str, &str)] = &[
    ("aws-lc-rs", "with two providers compiled in rustls cannot choose and panics at the first handshake"),
    ("aws-lc-sys", "as aws-lc-rs; needs cmake"),
    ("openssl", "rustls with ring is our TLS"),
    ("openssl-sys", "rustls with ring is our TLS"),
    ("native-tls", "rustls with ring is our TLS"),
    ("bincode", "unmaintained"),
    ("rustls-pemfile", "unmaintained; rustls-pki-types reads PEM"),
    ("serde_cbor", "unmaintained"),
    ("serde_yaml", "unmaintained"),
    ("fast-float", "unsound"),
    ("arrow2", "unmaintained; arrow-array is ours"),
    ("memmap", "unmaintained; memmap2 is ours"),
];

/// Crates of which there may be one version only.
const ONCE: &[&str] = &["tungstenite", "zstd", "arrow-array", "parquet", "rustls", "ring", "tokio", "mio"];

const CRATES_MAX: usize = 200;

/// Name and version of every package of the lock file.
fn locked() -> Vec<(String, String)> {
    let lock = read("Cargo.lock");
    let value = |l: &str, key: &str| l.strip_prefix(key).map(|v| v.trim_matches('"').to_owned());
    let names = lock.lines().filter_map(|l| value(l, "name = "));
    let versions = lock.lines().filter_map(|l| value(l, "version = ")).skip_while(|v| !v.contains('.'));
    names.zip(versions).collect()
}

#[test]
fn banned_crates_are_absent_and_no_crate_comes_from_git() {
    let mut faults = Vec::new();
    let all = locked();
    assert!(all.len() > 50, "the lock file was not understood");
    for (name, _) in &all {
        if let Some((_, why)) = BANNED.iter().find(|(b, _)| b == name) {
            faults.push(format!("{name}: {why}"));
        }
    }
    for name in ONCE {
        let versions: Vec<&str> = all.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect();
        if versions.len() > 1 {
            faults.push(format!("{name} is there as {versions:?}"));
        }
    }
    if read("Cargo.lock").contains("source = \"git+") {
        faults.push("a dependency comes from git".to_owned());
    }
    verdict("Cargo.lock holds no banned crate, no second copy of a heavy one, nothing from git.", &faults);
}

#[test]
fn the_default_build_has_at_most_200_crates() {
    let out = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--locked",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    let crates: BTreeSet<&str> =
        text.lines().map(|l| l.trim_end_matches(" (*)").trim()).filter(|l| !l.is_empty()).collect();
    assert!(crates.len() > 50, "cargo tree was not understood:\n{text}");
    assert!(
        crates.len() <= CRATES_MAX,
        "the default build has {} crates; the limit is {CRATES_MAX}",
        crates.len()
    );
}

#[test]
fn deny_toml_bans_the_same_crates() {
    let deny = read("deny.toml");
    for (name, _) in BANNED {
        assert!(deny.contains(&format!("\"{name}\"")), "deny.toml does not ban {name}");
    }
}
