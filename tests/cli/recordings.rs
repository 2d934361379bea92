//! Recordings that are not what they should be: told with their place, used as far as they are good, and the code says it.

use std::fmt::Write as _;
use std::io::{Read, Write};

use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use lobtape::dataset::read::{self, Want};
use lobtape::dataset::{Dataset, Table};

use super::{lobtape, run, stderr, stdout};
use crate::common::root;

const USDM: &str = "data/recordings/binance-usdm_4symbols_20210722.gz";
const SPOT: &str = "data/recordings/binance-spot_4symbols_20211012.gz";

fn text_of(file: &str) -> String {
    let mut text = String::new();
    MultiGzDecoder::new(std::fs::File::open(root().join(file)).unwrap()).read_to_string(&mut text).unwrap();
    text
}

/// What `checkpoints` and `replay` do with a file: code, stdout, stderr.
fn reads(file: &str, venue: &str) -> [(Option<i32>, String, String); 2] {
    [
        &["checkpoints", file, "--venue", venue, "--every", "1"][..],
        &["replay", file, "--venue", venue, "--json"],
    ]
    .map(|args| {
        let o = run(args);
        (o.status.code(), stdout(&o), stderr(&o))
    })
}

#[test]
fn a_damaged_or_cut_recording_is_told_with_its_place_by_all_that_read_it() {
    let d = tempfile::tempdir().unwrap();
    let at = |name: &str| d.path().join(name).to_str().unwrap().to_owned();
    let good = std::fs::read(root().join(USDM)).unwrap();
    let (cut, short, hurt) = (at("cut.gz"), at("short.gz"), at("hurt.gz"));
    std::fs::write(&cut, &good[..good.len() / 2]).unwrap();
    // All lines are there, and their checksum is not.
    std::fs::write(&short, &good[..good.len() - 4]).unwrap();
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle..middle + 64].fill(0xff);
    std::fs::write(&hurt, bad).unwrap();
    let whole = reads(USDM, "binance-usdm");
    for (code, out, err) in &whole {
        assert_eq!((*code, err.as_str()), (Some(0), ""), "{out}");
    }
    for (file, word) in [(&cut, "the file is cut"), (&short, "the file is cut"), (&hurt, "damaged: ")] {
        for ((found, out, err), (_, all, _)) in reads(file, "binance-usdm").iter().zip(&whole) {
            assert_eq!(*found, Some(2), "{err}");
            assert!(err.contains(word) && err.contains(&format!("{file} line ")), "{err}");
            // The line in which it breaks off is none.
            assert!(err.lines().count() <= 2, "{err}");
            let (some, all) = (out.matches("\"cp\"").count(), all.matches("\"cp\"").count());
            assert!(some <= all && (all == 0 || some > all / 10), "the good part is used: {some} of {all}");
            assert!(file != &short || some == all, "all of it: {some} of {all}");
        }
        for (json, out) in [(true, format!("{file}.json")), (false, format!("{file}.text"))] {
            let args = ["import", file, "--venue", "binance-usdm", "--out", &out, "--json"];
            let o = run(&args[..args.len() - usize::from(!json)]);
            let told = if json { stderr(&o) } else { stdout(&o) };
            let line = told.lines().find(|l| l.contains(word) && l.contains(&format!("{file} line ")));
            assert!(o.status.code() == Some(2) && line.is_some(), "{told}");
            let ds = Dataset::open(&out).unwrap();
            let rows = |t: Table| -> i64 {
                ds.manifest().unwrap().parts().filter(|p| p.table() == Some(t)).map(|p| p.rows).sum()
            };
            assert!(rows(Table::Raw) > 100 && rows(Table::BookDelta) > 100, "the good part is used");
            let verify = run(&["verify", &out]);
            assert!(verify.status.success(), "{}", stdout(&verify));
        }
    }
}

/// What can be read only once is refused by all that read recordings, and an import leaves nothing behind.
#[test]
fn a_pipe_is_refused_by_all_that_read_recordings_and_a_file_as_stdin_is_read() {
    let d = tempfile::tempdir().unwrap();
    let (out, plain) = (d.path().join("out"), d.path().join("plain"));
    std::fs::write(&plain, text_of(USDM)).unwrap();
    let commands = [
        &["checkpoints", "/dev/stdin", "--venue", "binance-usdm"][..],
        &["replay", "/dev/stdin", "--venue", "binance-usdm"],
        &["import", "/dev/stdin", "--venue", "binance-usdm", "--out", out.to_str().unwrap()],
    ];
    for args in commands {
        // Its writer stays: whoever reads it waits for ever.
        let (pipe, _writer) = std::io::pipe().unwrap();
        let o = lobtape(args).stdin(pipe).output().unwrap();
        assert_eq!(o.status.code(), Some(1), "{args:?}: {}{}", stdout(&o), stderr(&o));
        let said = "/dev/stdin: is a pipe: recordings are read more than once; write it to a file first";
        assert!(stderr(&o).contains(said), "{args:?}: {}", stderr(&o));
        assert!(!out.exists(), "an import that was refused left a directory");
    }
    for args in commands {
        let o = lobtape(args).stdin(std::fs::File::open(&plain).unwrap()).output().unwrap();
        assert_eq!(o.status.code(), Some(0), "{args:?}: {}{}", stdout(&o), stderr(&o));
    }
    // A directory among recordings is none, and a file of the system's own has no end.
    for (path, what) in [(d.path().to_str().unwrap(), "a directory"), ("/dev/zero", "a device")] {
        let o = run(&["checkpoints", plain.to_str().unwrap(), path, "--venue", "binance-usdm"]);
        assert_eq!((o.status.code(), stdout(&o).contains("\"cp\"")), (Some(1), false), "{}", stderr(&o));
        assert!(stderr(&o).contains(&format!("{path}: is {what}")), "{}", stderr(&o));
    }
}

/// A recording of one venue read as another's.
#[test]
fn a_recording_of_another_venue_is_told_with_line_and_remedy() {
    let d = tempfile::tempdir().unwrap();
    let coinm = "data/recordings/binance-coinm_ethusd_perp_20240808.gz";
    for (n, (file, venue, word, remedy)) in [
        (SPOT, "binance-usdm", "without `pu`", "--venue binance-spot"),
        (SPOT, "aster-futures", "without `pu`", "--venue binance-spot"),
        (USDM, "binance-spot", "with `pu`", "--venue binance-usdm"),
        (coinm, "binance-spot", "", "--venue binance-coinm"),
        ("data/recordings/ascendex-spot_10symbols_20210417.gz", "binance-spot", "", "--venue ascendex-spot"),
        (USDM, "ascendex-futures", "", "--venue binance-usdm"),
    ]
    .into_iter()
    .enumerate()
    {
        let out = d.path().join(n.to_string());
        let o = run(&["import", file, "--venue", venue, "--out", out.to_str().unwrap()]);
        let said = stdout(&o);
        assert_eq!(o.status.code(), Some(2), "{file} as {venue}: {said}");
        let line =
            said.lines().find(|l| l.contains("this is no recording of")).unwrap_or_else(|| panic!("{said}"));
        assert!(line.starts_with(&format!("{file} line ")), "{line}");
        assert!(line.contains(word) && line.contains(venue) && line.contains(remedy), "{line}");
        // Nothing is thrown away, and nothing is taken for what it is not.
        let ds = Dataset::open(&out).unwrap();
        let m = ds.manifest().unwrap();
        let rows = |t: Table| m.parts().filter(|p| p.table() == Some(t)).map(|p| p.rows).sum::<i64>();
        assert!(rows(Table::Raw) > 100 && rows(Table::BookDelta) == 0, "{file} as {venue}");
        if !word.is_empty() {
            let mut refused = 0;
            for p in m.parts().filter(|p| p.table() == Some(Table::Rejects)) {
                for b in read::open(&out.join(&p.path), Want::default()).unwrap() {
                    let b = b.unwrap();
                    let cause = b.text("cause").unwrap();
                    refused += (0..b.rows()).filter(|&i| cause.value(i) == "dialect").count();
                }
            }
            assert!(refused > 50, "{refused} in rejects");
        }
        let verify = run(&["verify", out.to_str().unwrap()]);
        assert!(verify.status.success(), "{}", stdout(&verify));
        for (code, _, err) in reads(file, venue) {
            assert!(
                code == Some(2) && err.contains("this is no recording of") && err.contains(remedy),
                "{err}"
            );
        }
    }
}

/// Most of what such venues send looks alike: trades and quotes are read, and the books are missing.
#[test]
fn a_recording_of_which_only_the_books_are_foreign_is_told_too() {
    let d = tempfile::tempdir().unwrap();
    for (file, venue, remedy) in [
        ("binance-usdm_btcusdt_20240808.gz", "binance-spot", "--venue binance-usdm"),
        ("binance-coinm_ethusd_perp_20240809.gz", "aster-spot", "--venue binance-coinm"),
    ] {
        let cut = d.path().join(venue);
        let text = text_of(&format!("data/recordings/{file}"));
        let lines: Vec<&str> = text.lines().take(2000).collect();
        std::fs::write(&cut, lines.join("\n")).unwrap();
        let (cut, out) = (cut.to_str().unwrap(), d.path().join("out"));
        let first = lines.iter().position(|l| l.contains("@depth")).unwrap() + 1;
        let o = run(&["import", cut, "--venue", venue, "--out", out.to_str().unwrap()]);
        std::fs::remove_dir_all(out).unwrap();
        let said = format!("{cut} line {first}: a stream of book updates");
        assert!(o.status.code() == Some(2) && stdout(&o).contains(&said), "{}", stdout(&o));
        assert!(stdout(&o).contains(remedy), "{}", stdout(&o));
        for (code, _, err) in reads(cut, venue) {
            assert!(code == Some(2) && err.contains(&said) && err.contains(remedy), "{err}");
        }
        let right = remedy.trim_start_matches("--venue ");
        for (code, out, err) in reads(cut, right) {
            assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
        }
    }
}

/// One wrong digit in a receive stamp costs its line, not the dataset.
#[test]
fn a_receive_stamp_that_cannot_be_true_is_told_and_costs_its_line_only() {
    let d = tempfile::tempdir().unwrap();
    let file = d.path().join("digit.txt");
    let mut lines: Vec<String> = text_of(USDM).lines().map(str::to_owned).collect();
    let at = lines.len() / 2;
    lines[at].replace_range(..1, "8");
    std::fs::write(&file, lines.join("\n")).unwrap();
    let file = file.to_str().unwrap();
    let said = format!("{file} line {}: 2243-", at + 1);
    for (code, _, err) in reads(file, "binance-usdm") {
        assert!(code == Some(2) && err.contains(&said), "{err}");
    }
    let hashes = ["a", "b"].map(|name| {
        let out = d.path().join(name);
        let dir = out.to_str().unwrap();
        let o = run(&["import", file, "--venue", "binance-usdm", "--out", dir]);
        assert!(o.status.code() == Some(2) && stdout(&o).contains(&said), "{}", stdout(&o));
        let o = run(&["verify", dir, "--deep"]);
        assert!(o.status.success(), "{}", stdout(&o));
        let ds = Dataset::open(&out).unwrap();
        let m = ds.manifest().unwrap();
        let rejects: i64 = m.parts().filter(|p| p.table() == Some(Table::Rejects)).map(|p| p.rows).sum();
        assert_eq!(rejects, 1);
        m.parts()
            .filter(|p| p.table != "runs")
            .map(|p| (p.path.clone(), p.sha256.clone()))
            .collect::<Vec<_>>()
    });
    assert_eq!(hashes[0], hashes[1]);
}

/// Time that goes backwards from file to file would leave streams that nobody can prove.
#[test]
fn files_out_of_order_or_given_twice_are_refused_and_leave_nothing() {
    let d = tempfile::tempdir().unwrap();
    let text = text_of(USDM);
    let lines: Vec<&str> = text.lines().collect();
    let part = |name: &str, of: std::ops::Range<usize>| {
        let path = d.path().join(name);
        std::fs::write(&path, lines[of].join("\n")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (n, out) = (lines.len(), d.path().join("out"));
    let (whole, early, late) = (part("whole", 0..n), part("early", 0..n / 2), part("late", n / 2..n));
    for files in [[&late, &early], [&whole, &whole], [&whole, &late]] {
        let o =
            run(&["import", files[0], files[1], "--venue", "binance-usdm", "--out", out.to_str().unwrap()]);
        assert_eq!(o.status.code(), Some(1), "{files:?}: {}", stderr(&o));
        assert!(files.iter().all(|f| stderr(&o).contains(f.as_str())), "{}", stderr(&o));
        assert!(stderr(&o).contains("in order of time, each once") && !out.exists(), "{}", stderr(&o));
    }
    let o = run(&["import", &early, &late, "--venue", "binance-usdm", "--out", out.to_str().unwrap()]);
    assert!(o.status.success(), "{}", stdout(&o));
}

/// A few frames that cannot be read do not make a recording another venue's.
#[test]
fn frames_that_cannot_be_read_are_told_with_the_first_of_them() {
    let d = tempfile::tempdir().unwrap();
    let file = d.path().join("torn.txt");
    let mut lines: Vec<String> = text_of(USDM).lines().map(str::to_owned).collect();
    let at = lines.iter().rposition(|l| l.contains("@depth")).unwrap();
    let half = lines[at].len() / 2;
    lines[at].truncate(half);
    std::fs::write(&file, lines.join("\n")).unwrap();
    let file = file.to_str().unwrap();
    for (code, _, err) in reads(file, "binance-usdm") {
        assert_eq!(code, Some(0), "{err}");
        assert_eq!(
            err.trim_end(),
            format!("1 frames or bodies could not be read, the first at {file} line {}", at + 1)
        );
    }
}

/// A recording has no heartbeats: what it does not show is not covered.
#[test]
fn hours_in_which_a_recording_shows_nothing_are_not_covered() {
    let d = tempfile::tempdir().unwrap();
    let file = d.path().join("two.gz");
    let (mut text, mut id) = (String::new(), 0);
    // Two stretches of ten seconds, five hours apart; the trades' ids go on.
    for begin in [1_700_000_000_i64, 1_700_018_000] {
        for tick in 0..100_i64 {
            let (ts, ms) = (begin * 1_000_000_000 + tick * 100_000_000, begin * 1000 + tick * 100);
            id += 1;
            let trade = format!(
                r#"{{"stream":"btcusdt@trade","data":{{"e":"trade","E":{ms},"T":{ms},"s":"BTCUSDT","t":{id},"p":"100.5","q":"1","X":"MARKET","m":true}}}}"#
            );
            let quote = format!(
                r#"{{"stream":"btcusdt@bookTicker","data":{{"e":"bookTicker","u":{id},"E":{ms},"T":{ms},"s":"BTCUSDT","b":"100.5","B":"1","a":"101","A":"2"}}}}"#
            );
            writeln!(text, "{ts} {trade}\n{} {quote}", ts + 1_000).unwrap();
        }
    }
    let mut gz = GzEncoder::new(std::fs::File::create(&file).unwrap(), flate2::Compression::default());
    gz.write_all(text.as_bytes()).unwrap();
    gz.finish().unwrap();
    let hashes = ["a", "b"].map(|name| {
        let out = d.path().join(name);
        let args =
            ["import", file.to_str().unwrap(), "--venue", "binance-usdm", "--out", out.to_str().unwrap()];
        let o = run(&args);
        assert!(o.status.success(), "{}", stdout(&o));
        let o = run(&["verify", out.to_str().unwrap(), "--deep"]);
        assert!(o.status.success(), "{}", stdout(&o));
        let ds = Dataset::open(&out).unwrap();
        let m = ds.manifest().unwrap();
        m.parts()
            .filter(|p| p.table != "runs")
            .map(|p| (p.path.clone(), p.sha256.clone()))
            .collect::<Vec<_>>()
    });
    assert_eq!(hashes[0], hashes[1]);
    let out = d.path().join("a");
    let spans = |t: Table, stream: &str| {
        let ds = Dataset::open(&out).unwrap();
        let m = ds.manifest().unwrap();
        let mut rows = Vec::new();
        for p in m.parts().filter(|p| p.table() == Some(t)) {
            for b in read::open(&out.join(&p.path), Want::default()).unwrap() {
                let b = b.unwrap();
                let (name, begin, end) =
                    (b.text("stream").unwrap(), b.i64("ts_begin").unwrap(), b.i64("ts_end").unwrap());
                rows.extend((0..b.rows()).filter(|&i| name.value(i) == stream).map(|i| (begin[i], end[i])));
            }
        }
        rows.sort_unstable();
        rows
    };
    for stream in ["btcusdt@trade", "btcusdt@bookTicker"] {
        let covered: i64 = spans(Table::Coverage, stream).iter().map(|(b, e)| e - b).sum();
        let missing: i64 = spans(Table::Gaps, stream).iter().filter(|s| s.1 > 0).map(|(b, e)| e - b).sum();
        let hours = 17_990_000_000_000..=17_991_000_000_000;
        assert!(covered < 20_000_000_000 && hours.contains(&missing), "{stream}: {covered} {missing}");
    }
}

/// One book: a hole, a snapshot behind it, hours in which nothing was missing, and one more hole.
fn with_holes() -> String {
    let (mut text, mut s) = (String::new(), 1_700_000_000_i64);
    let mut line = |what: &str, after_s: i64| {
        s += after_s;
        let ms = s * 1000;
        writeln!(text, "{}000000000 {}", s, what.replace("TIME", &ms.to_string())).unwrap();
    };
    let diff = |first: i64, last: i64, prev: i64| {
        format!(
            r#"{{"stream":"ausdt@depth@100ms","data":{{"e":"depthUpdate","E":TIME,"T":TIME,"s":"AUSDT","U":{first},"u":{last},"pu":{prev},"b":[["100","{last}"]],"a":[["101","{first}"]]}}}}"#
        )
    };
    let view = |id: i64| {
        format!(
            r#"/fapi/v1/depth?symbol=AUSDT&limit=1000 {{"lastUpdateId":{id},"E":TIME,"T":TIME,"bids":[["100","5"],["99","1"]],"asks":[["101","5"]]}}"#
        )
    };
    line(&view(10), 1);
    line(&diff(9, 12, 8), 1);
    line(&diff(13, 14, 12), 1);
    line(&diff(20, 21, 19), 1);
    line(&diff(22, 23, 21), 1);
    line(&view(25), 1);
    line(&diff(24, 27, 23), 1);
    line(&diff(28, 29, 27), 1);
    line(&diff(30, 31, 29), 5 * 3600);
    line(&diff(32, 33, 31), 1);
    line(&diff(40, 41, 39), 1);
    text
}

/// What a recording shows its dataset shows: where a book's chain broke, and that it did not where the ids go on.
#[test]
fn a_dataset_s_checkpoints_tell_of_the_gaps_of_its_books() {
    let d = tempfile::tempdir().unwrap();
    let at = |name: &str| d.path().join(name).to_str().unwrap().to_owned();
    let (file, out) = (at("holes.txt"), at("data"));
    std::fs::write(&file, with_holes()).unwrap();
    let o = run(&["import", &file, "--venue", "binance-usdm", "--out", &out]);
    assert!(o.status.success(), "{}", stdout(&o));
    let states = |of: &str| {
        let o = run(&["checkpoints", of, "--venue", "binance-usdm", "--every", "1"]);
        assert!(o.status.success(), "{}", stderr(&o));
        let text = stdout(&o);
        let all: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let end = all.iter().find(|v| v["ev"] == "end").unwrap().clone();
        // Which state was the last one a recording tells only of books that are there at its end.
        let states = all.iter().filter(|v| !["meta", "last", "end"].contains(&v["ev"].as_str().unwrap()));
        let states = states.map(|v| format!("{} {} {}", v["ev"], v["u"], v["crc"])).collect::<Vec<_>>();
        (states, end["gaps"].clone(), end["synced"].clone())
    };
    let (recorded, found) = (states(&file), states(&out));
    assert_eq!(recorded, found);
    let order: Vec<&str> = found.0.iter().map(|s| s.split(' ').next().unwrap()).collect();
    let [sync, gap, cp] = ["\"sync\"", "\"gap\"", "\"cp\""];
    assert_eq!(order, [sync, cp, cp, gap, sync, cp, cp, cp, cp, gap]);
    assert_eq!((found.1, found.2), (2.into(), false.into()));
    // A whole recording has none, though its dataset ends as well.
    let out = at("whole");
    assert!(run(&["import", USDM, "--venue", "binance-usdm", "--out", &out]).status.success());
    assert!(!states(&out).0.iter().any(|s| s.contains("gap")));
}
