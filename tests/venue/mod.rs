//! A new venue is its folder and one line: here is one, and it is simulated, listed, probed, recorded and proven.

mod minnow;

use std::ffi::OsString;
use std::process::Command;

use lobtape::cli;
use lobtape::dataset::Table;
use lobtape::simulator::{FaultSpec, OracleTo, SimConfig, Simulator, Symbols};

/// The list of venues is settled once in a process, so the new one has a process of its own.
#[test]
fn a_venue_is_its_folder_and_one_line() {
    let _turn = crate::e2e::rig::turn();
    let o = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "venue::in_a_process_of_its_own", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&[o.stdout, o.stderr].concat()).into_owned();
    assert!(o.status.success() && text.contains("1 passed"), "{text}");
}

fn run(args: &[&str]) -> u8 {
    cli::run(["lobtape"].iter().chain(args).map(OsString::from))
}

#[test]
#[ignore = "adds a venue to the process: run by the test above"]
fn in_a_process_of_its_own() {
    // The one line.
    assert!(lobtape::venue::add(&[&minnow::SPOT]));

    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let log = at("oracle.jsonl");
    let sim = Simulator::start(SimConfig {
        venue: "minnow-spot".to_owned(),
        symbols: Symbols::Count(3),
        rate: 300,
        rate_channels: vec!["book".to_owned(), "trade".to_owned()],
        duration_ms: Some(5000),
        quiet_tail_ms: 1500,
        faults: vec![FaultSpec::parse("drop@1500").unwrap(), FaultSpec::parse("cut@2500").unwrap()],
        oracle: OracleTo::File(log.clone().into()),
        ..SimConfig::default()
    })
    .unwrap();
    let (rest, ws, config, data) = (sim.rest_base(), sim.ws_base(), at("lobtape.toml"), at("data"));
    assert_eq!(run(&["venues", "minnow-spot"]), cli::WELL);
    assert_eq!(run(&["instruments", "--venue", "minnow-spot", "--rest", &rest]), cli::WELL);
    let text = format!(
        "[dataset]\npath = {data:?}\n[capture]\nruntime_dir = {:?}\n[[venue]]\nid = \"minnow-spot\"\n\
         symbols = {{ quote = \"EUR\" }}\nchannels = [\"book\", \"trade\"]\nrest = {rest:?}\nws = {ws:?}\n",
        dir.path()
    );
    std::fs::write(&config, text).unwrap();
    assert_eq!(run(&["check", "-c", &config]), cli::WELL);
    assert_eq!(run(&["capture", "-c", &config, "--for", "6s"]), cli::WELL);
    assert_eq!(sim.stop().oracle_error, None);
    let file = std::fs::File::open(&log).unwrap();
    let lines = lobtape::simulator::oracle::read(std::io::BufReader::new(file)).unwrap();
    let v = crate::e2e::oracle_check::check(data.as_ref(), "minnow-spot", &lines, Default::default());
    v.demand("minnow-spot");
    assert!(v.figures.holes > 0 && v.figures.disconnects > 0, "no fault struck: {:?}", v.figures);
    for table in [Table::BookDelta, Table::BookTop, Table::Trades, Table::Instruments, Table::Raw] {
        let mut rows = 0;
        crate::e2e::tape::batches(data.as_ref(), table, "minnow-spot", |b| rows += b.rows());
        assert!(rows > 0, "no row of {}", table.name());
    }
    assert_eq!(run(&["verify", &data]), cli::WELL);
    assert_eq!(run(&["instruments", "--data", &data]), cli::WELL);

    let sim =
        Simulator::start(SimConfig { venue: "minnow-spot".to_owned(), ..SimConfig::default() }).unwrap();
    let (rest, ws, report) = (sim.rest_base(), sim.ws_base(), at("probe.md"));
    let probe = ["probe", "--venue", "minnow-spot", "--seconds", "4", "--out", &report];
    assert_eq!(run(&[&probe[..], &["--rest", &rest, "--ws", &ws]].concat()), cli::WELL);
}
