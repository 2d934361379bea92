//! Memory under many streams: 500 symbols, five channels each, over an interval boundary.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::rig::{Place, Venue, number, pass, proved, turn, wait_for};
use lobtape::simulator::OracleTo;

const GIB: u64 = 1 << 30;

/// A line of `/proc/<pid>/status` in bytes; 0 where there is none.
fn status(pid: u32, key: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix(key));
    let kb = line
        .and_then(|l| l.trim_start_matches(':').trim().strip_suffix(" kB"))
        .and_then(|n| n.trim().parse().ok());
    kb.unwrap_or(0u64) * 1024
}

#[test]
fn five_hundred_symbols_stay_within_the_memory_budget() {
    let _turn = turn();
    let (seconds, rate) = (number("LOBTAPE_PROVE_SECONDS", 10), number("LOBTAPE_PROVE_RATE", 1000));
    let symbols = number("LOBTAPE_PROVE_SYMBOLS", 100);
    let place = Place::new();
    let venue = Venue::start(place.dir.path(), "aster-futures", symbols as usize, rate as u32, |c| {
        c.oracle = OracleTo::None;
    });
    let interval = if seconds >= 120 { "1m" } else { "5s" };
    place.configure(interval, 0, &[&venue]);
    let mut recorder = place.record();
    let stats = venue.sim.stats();
    let there =
        wait_for(Duration::from_secs(120), || stats.subscriptions.load(Ordering::Relaxed) >= symbols * 5);
    assert!(there, "{}", recorder.words());
    let begun = Instant::now();
    let (sent, mut rss) = (stats.messages.load(Ordering::Relaxed), Vec::new());
    while begun.elapsed() < Duration::from_secs(seconds) {
        pass(Duration::from_secs(1));
        assert!(recorder.is_alive(), "{}", recorder.words());
        rss.push(status(recorder.pid(), "VmRSS"));
    }
    let peak = status(recorder.pid(), "VmHWM");
    let frames = stats.messages.load(Ordering::Relaxed) - sent;
    let lag_ms = stats.lag_ms.load(Ordering::Relaxed);
    let summary = recorder.stop();
    drop(venue.sim.stop());
    let mib = |b: u64| b >> 20;
    let figures = serde_json::json!({
        "symbols": symbols, "seconds": seconds, "frames_per_s": frames / seconds.max(1), "venue_lag_ms": lag_ms,
        "rss_peak_mib": mib(peak), "rss_end_mib": rss.last().map(|b| mib(*b)),
        "rss_by_second_mib": rss.iter().step_by(rss.len().div_ceil(20).max(1)).map(|b| mib(*b)).collect::<Vec<_>>(),
        "files": summary["files"], "rows": summary["rows"],
    });
    proved("memory", &figures);
    assert!(peak > 0 && peak <= 2 * GIB, "{figures}");
    assert!(summary["frames"].as_u64() >= Some(frames / 2), "{figures} {summary}");
}
