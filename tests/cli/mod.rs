//! The program from outside: exit codes, help, output for people and for programs.

mod check;
mod probe;
mod recordings;

use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};

use lobtape::dataset::Dataset;

use crate::common::root;

/// The program, in the checkout, without variables that mean it.
pub fn lobtape(args: &[&str]) -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_lobtape"));
    c.args(args).current_dir(root());
    for (key, _) in std::env::vars_os() {
        if key.to_str().is_some_and(|k| k.starts_with("LOBTAPE_")) {
            c.env_remove(key);
        }
    }
    c
}

fn run(args: &[&str]) -> Output {
    lobtape(args).output().unwrap()
}

fn stdout(o: &Output) -> String {
    String::from_utf8(o.stdout.clone()).unwrap()
}

fn stderr(o: &Output) -> String {
    String::from_utf8(o.stderr.clone()).unwrap()
}

/// The commands that `--help` lists.
fn commands() -> Vec<String> {
    let text = stdout(&run(&["--help"]));
    let list = text.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    fn name(l: &str) -> Option<&str> {
        l.strip_prefix("  ").filter(|l| !l.starts_with(' '))?.split(' ').next()
    }
    list.lines()
        .map(|l| name(l).unwrap_or_else(|| panic!("{l:?}")).to_owned())
        .filter(|n| n != "help")
        .collect()
}

/// Keys are read before anything is made: a file that others may read is a fault of usage, and leaves nothing behind.
#[test]
fn a_key_that_others_may_read_ends_a_capture_before_it_makes_anything() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (key, data, config) =
        (dir.path().join("key"), dir.path().join("data"), dir.path().join("lobtape.toml"));
    std::fs::write(&key, "key = \"k\"\nsecret = \"s\"\n").unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let text = format!(
        "[dataset]\npath = {data:?}\n[[venue]]\nid = \"pumpkin-perp\"\nsymbols = [\"btc_usdt\"]\nchannels = [\"trade\"]\n\
         rest = \"http://127.0.0.1:1\"\nws = \"ws://127.0.0.1:1\"\nkey_file = {key:?}\n"
    );
    std::fs::write(&config, text).unwrap();
    let o = run(&["capture", "-c", config.to_str().unwrap(), "--for", "1s"]);
    assert_eq!(o.status.code(), Some(1), "{}", stderr(&o));
    assert!(stderr(&o).contains("mode 644") && stderr(&o).contains("chmod 600"), "{}", stderr(&o));
    assert!(!data.exists(), "something was made");
}

#[test]
fn every_command_has_help_with_an_example_and_reading_ones_speak_json() {
    let all = commands();
    assert!(all.len() >= 5, "{all:?}");
    for c in &all {
        let o = run(&[c, "--help"]);
        let text = stdout(&o);
        assert!(o.status.success() && text.contains("Examples:"), "{c}: no example\n{text}");
        assert!(text.contains(&format!("lobtape {c}")), "{c}: the example does not use it\n{text}");
        if ["check", "ls", "book", "verify", "import", "venues", "instruments"].contains(&c.as_str()) {
            assert!(text.contains("--json"), "{c}: no --json\n{text}");
        }
    }
}

#[test]
fn the_readme_lists_the_commands_that_there_are() {
    let readme = crate::common::read("README.md");
    let block = readme.split("## Commands").nth(1).unwrap().split("```").nth(1).unwrap();
    let mut listed: Vec<&str> = block
        .lines()
        .filter_map(|l| l.strip_prefix("lobtape "))
        .filter_map(|l| l.split(' ').next())
        .collect();
    let mut there = commands();
    listed.sort_unstable();
    there.sort_unstable();
    assert_eq!(listed, there, "README.md, chapter Commands");
}

#[test]
fn wrong_usage_is_one_line_and_code_one() {
    for args in [
        &["check", "-c", "no/such/file.toml"][..],
        &["check", "-c", "examples/lobtape.toml", "--set", "capture.wiat=spin"],
        &["check", "-c", "examples/lobtape.toml", "--set", "dataset.interval=7m"],
        &["check", "-c", "Cargo.toml"],
    ] {
        let o = run(args);
        let text = stderr(&o);
        assert_eq!(o.status.code(), Some(1), "{args:?}: {text}");
        assert!(text.starts_with("lobtape: ") && text.lines().count() == 1, "{args:?}: {text}");
    }
    assert_eq!(run(&["no-such-command"]).status.code(), Some(1));
    assert_eq!(run(&["check"]).status.code(), Some(1));
    assert_eq!(run(&[]).status.code(), Some(1));
}

#[test]
fn check_says_what_the_example_comes_to() {
    let o = run(&["check", "-c", "examples/lobtape.toml"]);
    let text = stdout(&o);
    assert_eq!(o.status.code(), Some(0), "{}", stderr(&o));
    for part in
        ["files every 1h, raw kept 30d", "aster-futures: 10 streams, 2 books", "lane 001", "127.0.0.1:9464"]
    {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let o = lobtape(&["check", "-c", "examples/lobtape.toml", "--json"])
        .env("LOBTAPE_CAPTURE_CORES", "[3, 5]")
        .env("LOBTAPE_DATASET_PATH", "elsewhere")
        .output()
        .unwrap();
    let v: serde_json::Value = serde_json::from_str(&stdout(&o)).unwrap();
    assert_eq!(v["config"]["dataset"]["path"], "elsewhere");
    assert_eq!(v["lanes"].as_array().unwrap().len(), 2);
    assert_eq!(v["lanes"][1]["core"], 5);
    assert!(v["memory_bytes_total"].as_u64().unwrap() < 2 << 30);
}

#[test]
fn a_reader_that_goes_away_is_no_fault() {
    let mut child = lobtape(&["check", "-c", "examples/lobtape.toml", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let o = child.wait_with_output().unwrap();
    assert_eq!((o.status.code(), stderr(&o).as_str()), (Some(0), ""));
}

#[test]
fn output_that_cannot_be_written_is_code_three() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let o = lobtape(&["check", "-c", "examples/lobtape.toml"]).stdout(full).output().unwrap();
    assert_eq!(o.status.code(), Some(3), "{}", stderr(&o));
}

/// The same fault has the same code, whichever command meets it.
#[test]
fn a_directory_that_cannot_be_written_into_is_told_alike_by_all_that_would() {
    let d = tempfile::tempdir().unwrap();
    let at = |name: &str| d.path().join(name).to_str().unwrap().to_owned();
    let (foreign, newer, busy, bad) = (at("foreign"), at("newer"), at("busy"), at("bad"));
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(format!("{foreign}/letter.txt"), "dear").unwrap();
    for dir in [&newer, &busy, &bad] {
        drop(Dataset::create(dir).unwrap());
        // `demo` replaces what a demo made.
        std::fs::write(format!("{dir}/.lobtape-demo"), "").unwrap();
    }
    let edit = |dir: &str, from: &str, to: &str| {
        let marker = format!("{dir}/LOBTAPE");
        std::fs::write(&marker, std::fs::read_to_string(&marker).unwrap().replace(from, to)).unwrap();
    };
    edit(&newer, "format = 1", "format = 99");
    edit(&bad, "id = ", "id = z");
    let _held = Dataset::create(&busy).unwrap();
    let recording = "data/recordings/binance-usdm_4symbols_20210722.gz";
    let config = |dir: &str| {
        let file = format!("{dir}.toml");
        let venue = "[[venue]]\nid = \"aster-futures\"\nsymbols = [\"A\"]\nchannels = [\"trade\"]\n";
        std::fs::write(&file, format!("[dataset]\npath = '{dir}'\n{venue}")).unwrap();
        file
    };
    for (dir, code, word) in [
        (&foreign, 1, ""),
        (&newer, 1, "use a newer lobtape"),
        (&busy, 1, "in use by another writer"),
        (&bad, 2, "damaged marker"),
    ] {
        let config = config(dir);
        for args in [
            &["import", recording, "--venue", "binance-usdm", "--out", dir][..],
            &["demo", "--out", dir],
            &["capture", "-c", &config, "--for", "1s"],
        ] {
            let o = run(args);
            let text = stderr(&o);
            assert_eq!(o.status.code(), Some(code), "{args:?}: {text}");
            assert!(text.contains(word) && text.contains(dir), "{args:?}: {text}");
        }
    }
    assert_eq!(std::fs::read_dir(&foreign).unwrap().count(), 1, "nothing was left there");
    let letter = format!("{foreign}/letter.txt");
    let o = run(&["import", &letter, "--venue", "binance-usdm", "--out", &at("new")]);
    assert_eq!(o.status.code(), Some(2), "no recording: {}", stderr(&o));
    assert!(!std::path::Path::new(&at("new")).exists(), "a failed import leaves nothing behind");
    for interval in ["0s", "7m", "2d"] {
        let all =
            ["import", recording, "--venue", "binance-usdm", "--interval", interval, "--out", &at("new")];
        let o = run(&all);
        let words = String::from_utf8_lossy(&o.stderr).into_owned();
        assert!(o.status.code() == Some(1) && words.contains("--interval: must divide a day"), "{words}");
    }
}

#[test]
fn a_dataset_whose_manifest_is_gone_is_not_called_empty() {
    let d = tempfile::tempdir().unwrap();
    let dir = d.path().join("data").display().to_string();
    let recording = "data/recordings/binance-usdm_4symbols_20210722.gz";
    let o = run(&["import", recording, "--venue", "binance-usdm", "--out", &dir]);
    assert_eq!(o.status.code(), Some(0), "{}", stderr(&o));
    assert_eq!(run(&["ls", &dir]).status.code(), Some(0));
    std::fs::remove_dir_all(format!("{dir}/v1/_manifest")).unwrap();
    let o = run(&["ls", &dir]);
    assert_eq!(o.status.code(), Some(2), "{}", stderr(&o));
    assert!(stderr(&o).contains("line(s) of the manifest are missing"), "{}", stderr(&o));
    assert!(!String::from_utf8_lossy(&o.stdout).contains("nothing is published yet"));
}

/// What is wrong with a configuration is told with its line, and what to do about a path or a host.
#[test]
fn what_venues_and_disks_refuse_is_told_with_its_place_and_what_to_do() {
    let d = tempfile::tempdir().unwrap();
    let at = |name: &str| d.path().join(name).to_str().unwrap().to_owned();
    let (file, config) = (at("file"), at("c.toml"));
    std::fs::write(&file, "dear").unwrap();
    let write = |path: &str, venue: &str| {
        std::fs::write(&config, format!("[dataset]\npath = '{path}'\n[[venue]]\n{venue}\n")).unwrap();
    };
    let good = "id = \"aster-futures\"\nsymbols = [\"A\"]\nchannels = [\"trade\"]";
    for (venue, line, word) in [
        ("symbols = [\"A\"]\nid = \"aster-future\"\nchannels = [\"trade\"]", 5, "aster-futures"),
        (
            "id = \"aster-futures\"\nsymbols = [\"A\"]\nchannels = [\n\"trade\",\n\"dpth\",\n]",
            8,
            "unknown channel \"dpth\"",
        ),
        ("id = \"aster-futures\"\nsymbols = [\"A/B\"]\nchannels = [\"trade\"]", 5, "separates stream names"),
    ] {
        write(&at("new"), venue);
        for command in ["check", "capture"] {
            let o = run(&[command, "-c", &config]);
            let text = stderr(&o);
            assert!(o.status.code() == Some(1) && text.contains(&format!("{config}:{line}: ")), "{text}");
            assert!(text.contains(word), "{text}");
        }
    }
    for (path, word) in [
        (file.clone(), "is a file"),
        (format!("{file}/below"), "is a file, or leads through one"),
        ("/proc/lobtape".to_owned(), "cannot be made there"),
    ] {
        write(&path, good);
        let o = run(&["capture", "-c", &config, "--for", "1s"]);
        let text = stderr(&o);
        assert!(o.status.code() == Some(1) && text.contains(&path) && text.contains(word), "{text}");
        let o = run(&["check", "-c", &config]);
        assert_eq!((o.status.code(), stderr(&o)), (Some(1), text), "check says what capture says");
    }
}

/// What a venue does not have is not counted in numbers.
#[test]
fn check_says_what_a_venue_without_an_age_limit_and_without_books_comes_to() {
    let d = tempfile::tempdir().unwrap();
    let config = d.path().join("c.toml");
    let venue = "[[venue]]\nid = \"ascendex-spot\"\nsymbols = [\"BTC/USDT\"]\nchannels = [\"trades\"]\n";
    std::fs::write(&config, format!("[dataset]\npath = '{}'\n{venue}", d.path().join("new").display()))
        .unwrap();
    let config = config.to_str().unwrap();
    let text = stdout(&run(&["check", "-c", config]));
    assert!(text.contains("1 connection, replaced only when it fails: the venue has no age limit"), "{text}");
    assert!(!text.contains("4294967") && !text.contains("all books"), "{text}");
    let v: serde_json::Value =
        serde_json::from_str(&stdout(&run(&["check", "-c", config, "--json"]))).unwrap();
    let v = &v["venues"][0];
    assert!(v["rotate_after_ns"].is_null() && v["seconds_to_sync"] == 0, "{v}");
}

/// `check` says it before, `capture` when it is so; both in the same words.
#[test]
fn a_core_that_cannot_be_used_is_told_alike_by_check_and_capture() {
    let d = tempfile::tempdir().unwrap();
    let sim = lobtape::simulator::Simulator::start(lobtape::simulator::SimConfig::default()).unwrap();
    let config = d.path().join("c.toml");
    let text = format!(
        "[dataset]\npath = '{}'\n[capture]\ncores = [999]\nruntime_dir = '{}'\n[[venue]]\nid = \"aster-futures\"\n\
         symbols = [\"BTCUSDT\"]\nchannels = [\"trade\"]\nrest = \"{}\"\nws = \"{}\"\n",
        d.path().join("data").display(),
        d.path().display(),
        sim.rest_base(),
        sim.ws_base()
    );
    std::fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    let o = run(&["check", "-c", config]);
    let said = stdout(&o);
    let why = said.lines().find_map(|l| l.trim().strip_prefix("warning: capture.cores: CPU 999"));
    let why = why.unwrap_or_else(|| panic!("{said}"));
    assert!(o.status.success() && said.contains("lane 001  not pinned") && why.contains("may use"), "{said}");
    let o = run(&["check", "-c", config, "--json"]);
    assert!(stdout(&o).contains("\"warnings\":[\"capture.cores: CPU 999"), "{}", stdout(&o));
    let o = run(&["capture", "-c", config, "--for", "2s"]);
    assert!(
        o.status.success() && stderr(&o).contains(&format!("capture.cores: CPU 999{why}")),
        "{}",
        stderr(&o)
    );
}

/// Numbers of records go on where the journal ends; an import leaves none.
#[test]
fn a_capture_does_not_go_on_behind_an_import_and_a_damaged_recording_is_at_fault() {
    let d = tempfile::tempdir().unwrap();
    let at = |name: &str| d.path().join(name).to_str().unwrap().to_owned();
    let recording = "data/recordings/binance-usdm_4symbols_20210722.gz";
    let (out, config) = (at("data"), at("c.toml"));
    assert!(run(&["import", recording, "--venue", "binance-usdm", "--out", &out]).status.success());
    let venue = "[[venue]]\nid = \"aster-futures\"\nsymbols = [\"A\"]\nchannels = [\"trade\"]\n";
    std::fs::write(&config, format!("[dataset]\npath = '{out}'\n{venue}")).unwrap();
    let o = run(&["capture", "-c", &config, "--for", "1s"]);
    assert_eq!(o.status.code(), Some(1), "{}", stderr(&o));
    assert!(stderr(&o).contains("no journal") && stderr(&o).contains("new directory"), "{}", stderr(&o));
    assert!(run(&["verify", &out]).status.success(), "nothing was written");

    let (mut bytes, hurt) = (std::fs::read(recording).unwrap(), at("hurt.gz"));
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&hurt, bytes).unwrap();
    let o = run(&["import", &hurt, "--venue", "binance-usdm", "--out", &at("new")]);
    assert_eq!(o.status.code(), Some(2), "{} {}", stdout(&o), stderr(&o));
    assert!(stdout(&o).contains("damaged") && stdout(&o).contains(&hurt), "{}", stdout(&o));
}

/// An import knows its instruments from the recording; a venue lists its own.
#[test]
fn instruments_come_from_a_dataset_or_from_the_venue() {
    let d = tempfile::tempdir().unwrap();
    let out = d.path().join("data");
    let out = out.to_str().unwrap();
    let recording = "data/recordings/binance-usdm_4symbols_20210722.gz";
    assert!(run(&["import", recording, "--venue", "binance-usdm", "--out", out]).status.success());
    let o = run(&["instruments", "--data", out, "--json"]);
    let v: serde_json::Value = serde_json::from_str(&stdout(&o)).unwrap();
    assert_eq!((o.status.code(), v["instruments"].as_array().map(Vec::len)), (Some(0), Some(4)), "{v}");
    assert_eq!(v["instruments"][0]["venue"], "binance-usdm");
    assert!(v["instruments"][0]["versions"][0]["ts_valid_from"].as_i64().unwrap() > 0, "{v}");
    let o = run(&["instruments", "--data", out, "--venue", "binance-usdm", "--glob", "no*"]);
    assert!(o.status.success() && stdout(&o).contains("none of the 4"), "{}", stdout(&o));
    for (args, code, word) in [
        (&["instruments"][..], 1, "--venue"),
        (&["instruments", "--venue", "aster-future"], 1, "aster-futures"),
        (&["instruments", "--data", out, "--venue", "aster-spot"], 1, "lobtape ls"),
        (&["instruments", "--data", out, "--top-by-volume", "3"], 1, "--top-by-volume"),
        (&["instruments", "--venue", "pumpkin-perp"], 1, "--rest"),
        (&["instruments", "--venue", "aster-spot", "--rest", "http://127.0.0.1:1"], 3, "--proxy"),
    ] {
        let o = run(args);
        assert_eq!(o.status.code(), Some(code), "{args:?}: {}", stderr(&o));
        assert!(stderr(&o).contains(word), "{args:?}: {}", stderr(&o));
    }
    let sim = lobtape::simulator::Simulator::start(lobtape::simulator::SimConfig::default()).unwrap();
    let o = run(&["instruments", "--venue", "aster-futures", "--rest", &sim.rest_base(), "--quote", "USDT"]);
    assert!(o.status.success() && stdout(&o).contains("4 of 4 listed by aster-futures"), "{}", stdout(&o));
    // A host that has moved.
    let host = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", host.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut s, _) = host.accept().unwrap();
        let _ = s.read(&mut [0; 4096]).unwrap();
        s.write_all(b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 5\r\n\r\nmoved")
            .unwrap();
    });
    let o = run(&["instruments", "--venue", "aster-futures", "--rest", &base]);
    let text = stderr(&o);
    assert!(o.status.code() == Some(3) && text.contains("302: a redirect to \"http"), "{text}");
    assert!(text.contains("not followed") && text.contains("--rest") && !text.contains("JSON"), "{text}");
}

/// Whoever runs the program by `cargo run` has no `lobtape` that the shell would find.
#[test]
fn the_commands_that_are_printed_next_work_as_they_stand() {
    let d = tempfile::tempdir().unwrap();
    let out = d.path().join("data");
    let out = out.to_str().unwrap();
    let recording = "data/recordings/binance-usdm_4symbols_20210722.gz";
    let o = run(&["import", recording, "--venue", "binance-usdm", "--out", out]);
    let text = stdout(&o);
    let next = text.lines().find_map(|l| l.strip_prefix("next: ")).unwrap_or_else(|| panic!("{text}"));
    for command in next.split("; ") {
        let o = Command::new("sh").args(["-c", command]).current_dir(root()).output().unwrap();
        assert!(o.status.success(), "{command}: {}", stderr(&o));
    }
}
