//! The probe against simulated venues: content where they speak as their pages say, not where they do otherwise.

use std::path::PathBuf;

use lobtape::simulator::{FaultSpec, SimConfig, Simulator, Symbols};
use serde_json::Value;
use tempfile::TempDir;

use super::lobtape;

struct Probed {
    code: Option<i32>,
    out: String,
    markdown: String,
    json: Value,
}

impl Probed {
    /// Whether a finding of this weight about something has these words.
    fn found(&self, weight: &str, about: &str, words: &str) -> bool {
        let findings = self.json["findings"].as_array().unwrap();
        findings.iter().any(|f| {
            let has = |key: &str, word: &str| f[key].as_str().unwrap().contains(word);
            f["weight"] == weight && has("about", about) && has("what", words)
        })
    }

    fn stream(&self, name: &str) -> &Value {
        let streams = self.json["streams"].as_array().unwrap();
        streams.iter().find(|s| s["name"] == name).unwrap_or_else(|| panic!("{name}: {}", self.out))
    }
}

/// Probes a simulated venue for some seconds.
fn probe(venue: &str, seconds: u32, more: &[&str], change: impl FnOnce(&mut SimConfig)) -> Probed {
    let dir = TempDir::new().unwrap();
    let report: PathBuf = dir.path().join("report.md");
    let mut config = SimConfig {
        venue: venue.to_owned(),
        symbols: Symbols::Count(3),
        rate: 300,
        quiet_tail_ms: 0,
        ..SimConfig::default()
    };
    change(&mut config);
    let sim = Simulator::start(config).unwrap();
    let (rest, ws, seconds) = (sim.rest_base(), sim.ws_base(), seconds.to_string());
    let o = lobtape(&["probe", "--venue", venue, "--rest", &rest, "--ws", &ws, "--seconds", &seconds])
        .args(["--out", report.to_str().unwrap()])
        .args(more)
        .output()
        .unwrap();
    let out = [o.stdout, o.stderr].concat();
    let out = String::from_utf8_lossy(&out).into_owned();
    let markdown = std::fs::read_to_string(&report).unwrap_or_else(|e| panic!("{e}: {out}"));
    let json =
        std::fs::read_to_string(report.with_extension("json")).unwrap_or_else(|e| panic!("{e}: {out}"));
    Probed { code: o.status.code(), out, markdown, json: serde_json::from_str(&json).unwrap() }
}

#[test]
fn every_simulated_venue_fits_what_is_known_of_it() {
    let _turn = crate::e2e::rig::turn();
    for venue in lobtape::venue::all() {
        let id = venue.spec().id;
        let p = probe(id, 4, &[], |_| {});
        assert_eq!(p.code, Some(0), "{id}: {}", p.out);
        assert!(p.out.contains("all that was tried fits"), "{id}: {}", p.out);
        let spoke = p.json["streams"].as_array().unwrap().iter().filter(|s| s["frames"] != 0).count();
        assert!(spoke >= 4, "{id}: {}", p.markdown);
        assert!(p.json["clock"][0]["round_trip_ms"].as_f64().unwrap() > 0.0, "{id}");
        assert!(p.json["snapshots"].as_array().unwrap().iter().any(|s| s["verdict"] == "fits"), "{id}");
        for chapter in ["## Findings", "## Clock", "## Ids", "## Streams", "## Connections", "## Requests"] {
            assert!(p.markdown.contains(chapter), "{id}: {chapter}");
        }
        assert!(p.markdown.len() < 210_000, "{id}: {}", p.markdown.len());
        let url = p.json["connections"][0]["url"].as_str().unwrap();
        assert!(url.starts_with("ws://127.0.0.1:"), "{id}: {url}");
    }
}

/// The venue's documents name two paths of its clock: where the first one is not served the second one is asked.
#[test]
fn a_clock_that_is_not_where_one_page_says_is_asked_for_where_the_other_says() {
    let _turn = crate::e2e::rig::turn();
    for variant in [None, Some("other-clock")] {
        let p = probe("aster-prediction", 4, &[], |c| c.variant = variant.map(str::to_owned));
        assert_eq!(p.code, Some(0), "{variant:?}: {}", p.out);
        assert!(p.json["clock"][0]["round_trip_ms"].as_f64().unwrap_or(0.0) > 0.0, "{variant:?}: {}", p.out);
        let asked: Vec<&str> =
            p.json["requests"].as_array().unwrap().iter().filter_map(|r| r["path"].as_str()).collect();
        assert_eq!(asked.contains(&"/api/v3/prediction/time"), variant.is_some(), "{asked:?}");
    }
}

/// Two families of ids of one book: a snapshot says something about its own alone.
#[test]
fn a_snapshot_by_message_is_held_against_the_stream_that_it_was_asked_for() {
    let _turn = crate::e2e::rig::turn();
    let p = probe("ascendex-spot", 8, &["--channel", "depth", "--channel", "depth-realtime"], |_| {});
    assert_eq!(p.code, Some(0), "{}", p.out);
    let snaps = p.json["snapshots"].as_array().unwrap();
    assert_eq!(snaps.len(), 3 * 2 * 2, "three rounds, two symbols, two families: {}", p.markdown);
    for s in snaps {
        assert_ne!(s["verdict"], "too old", "{}", p.markdown);
    }
    for r in p.json["requests"].as_array().unwrap() {
        assert_eq!(r["limits"].as_array().map(Vec::len), Some(0), "the venue states no weight: {r}");
    }
    assert!(!p.markdown.contains("0 / 0"), "{}", p.markdown);
}

/// A stream that is not served is asked for snapshots all the same, and answers: that is not the stream speaking.
#[test]
fn a_stream_that_only_answers_us_is_silent() {
    let _turn = crate::e2e::rig::turn();
    let p = probe("ascendex-spot", 6, &["--channel", "depth", "--channel", "depth-realtime"], |c| {
        let muted = ["BTC/USDT", "ETH/USDT"].map(|s| format!("mute:stream=depth-realtime:{s}"));
        c.symbols = Symbols::Count(2);
        c.faults = muted.iter().map(|f| FaultSpec::parse(f).unwrap()).collect();
    });
    assert_eq!(p.code, Some(0), "{}", p.out);
    for symbol in ["BTC/USDT", "ETH/USDT"] {
        let name = format!("depth-realtime:{symbol}");
        assert!(p.found("note", &name, "silent; a capture would take depth instead"), "{}", p.markdown);
        let s = p.stream(&name);
        assert_eq!((&s["frames"], &s["answers"]), (&Value::from(0), &Value::from(3)), "{}", p.markdown);
        assert!(p.stream(&format!("depth:{symbol}"))["frames"].as_u64().unwrap() > 10, "{}", p.markdown);
    }
    assert!(p.out.contains("2 of 4 streams spoke"), "{}", p.out);
}

#[test]
fn what_a_venue_does_otherwise_is_found() {
    let _turn = crate::e2e::rig::turn();
    let fault = |f: &str| FaultSpec::parse(f).unwrap();
    // A speed that is not served any more, where no other is to be taken instead.
    let only = ["--channel", "depth@100ms", "--channel", "depth@0ms", "--symbols", "BTCUSDT"];
    let p = probe("binance-usdm", 6, &only, |c| {
        c.faults = vec![fault("drop=1:stream=btcusdt@depth@0ms")];
    });
    assert_eq!(p.code, Some(2), "{}", p.out);
    assert!(p.found("differs", "btcusdt@depth@0ms", "silent"), "{}", p.out);
    assert!(p.stream("btcusdt@depth@100ms")["diffs"]["broken"] == 0, "{}", p.markdown);
    // Where there is another one it is no difference, and is told.
    let p = probe("aster-futures", 4, &["--channel", "depth@100ms", "--channel", "depth@0ms"], |_| {});
    assert_eq!(p.code, Some(0), "{}", p.out);
    assert!(p.found("note", "btcusdt@depth@0ms", "would take depth@100ms instead"), "{}", p.markdown);
    // Ids with holes, where the page says that there are none.
    let p = probe("binance-spot", 4, &["--channel", "depth@100ms", "--channel", "trade"], |c| {
        c.faults = vec![fault("drop=0.3")];
    });
    assert_eq!(p.code, Some(2), "{}", p.out);
    assert!(p.found("differs", "btcusdt@depth@100ms", "break the rule"), "{}", p.out);
    // Events and frames that nobody knows.
    let p = probe("aster-spot", 4, &["--channel", "depth@100ms", "--channel", "aggTrade"], |c| {
        c.faults = vec![fault("unknown-event=0.1"), fault("garbage=0.1")];
    });
    assert_eq!(p.code, Some(2), "{}", p.out);
    assert!(p.found("differs", "", "nobody knows") && p.found("differs", "", "not read"), "{}", p.out);
    assert!(p.markdown.contains("an event that nobody knows"), "{}", p.markdown);
    // Ids that are the venue's own kind of time: what is to be learned is told.
    let p = probe("pumpkin-perp", 4, &["--channel", "depth,10"], |c| {
        c.variant = Some("snowflake".to_owned());
        c.rate = 2000;
    });
    assert!(p.found("note", "depth@btc_usdt,10", "sparse"), "{}", p.markdown);
}

#[test]
fn a_venue_that_is_not_there_or_refuses_is_told_apart() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("r.md");
    let nobody = ["--rest", "http://127.0.0.1:1", "--ws", "ws://127.0.0.1:1", "--seconds", "3"];
    let run = |more: &[&str]| {
        let o = lobtape(&["probe", "--out", out.to_str().unwrap()]).args(nobody).args(more).output().unwrap();
        (o.status.code(), String::from_utf8_lossy(&[o.stdout, o.stderr].concat()).into_owned())
    };
    let (code, text) = run(&["--venue", "aster-spot"]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("--symbols"), "{text}");
    let report = std::fs::read_to_string(&out).unwrap();
    assert!(report.contains("failed") && report.contains("--symbols"), "{report}");
    let (code, text) = run(&["--venue", "aster-spot", "--symbols", "BTCUSDT"]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("the venue was not reached"), "{text}");
    let (code, text) = run(&["--venue", "aster-spot", "--channel", "dept"]);
    assert_eq!((code, text.contains("unknown channel")), (Some(1), true), "{text}");
    let o = lobtape(&["probe", "--venue", "pumpkin-perp"]).output().unwrap();
    assert_eq!(o.status.code(), Some(1));
    let sim = Simulator::start(SimConfig::default()).unwrap();
    let (rest, ws) = (sim.rest_base(), sim.ws_base());
    let o =
        lobtape(&["probe", "--venue", "aster-futures", "--rest", &rest, "--ws", &ws, "--symbols", "NOUSDT"])
            .args(["--out", out.to_str().unwrap()])
            .output()
            .unwrap();
    assert_eq!(o.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&o.stderr).contains("it lists no"), "{o:?}");
}
