//! A simulated venue in this process and the real recorder as a child of it.

use std::fs::File;
use std::io::{BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lobtape::dataset::Table;
use lobtape::model::StreamKind;
use lobtape::simulator::oracle::{self, Line};
use lobtape::simulator::{CutHow, FaultKind, FaultSpec, OracleTo, SimConfig, SimHandle, Simulator, Symbols};
use tempfile::TempDir;

/// One end-to-end test at a time: each wants both cores.
pub fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number of the environment, or the short form's.
pub fn number(name: &str, short: u64) -> u64 {
    match std::env::var(name) {
        Ok(v) => v.parse().unwrap_or_else(|_| panic!("{name}={v:?} is no number")),
        Err(_) => short,
    }
}

/// Prints a result where `scripts/prove` finds it.
pub fn proved(what: &str, figures: &impl serde::Serialize) {
    let line = serde_json::to_string(figures).unwrap();
    // Not `println!`: captured output would hide the figures of a test that passes.
    let _ = writeln!(std::io::stderr(), "PROVED {what} {line}");
}

/// Waits for a fact; `false` if it does not come in time.
pub fn wait_for(at_most: Duration, mut fact: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !fact() {
        if begun.elapsed() >= at_most {
            return false;
        }
        // The fact is another process's: there is nothing to be woken by.
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// Lets time pass in which another process works.
pub fn pass(time: Duration) {
    wait_for(time, || false);
}

/// What each venue is asked for.
pub fn channels(venue: &str) -> &'static [&'static str] {
    match venue {
        "binance-spot" => &["depth@100ms", "aggTrade", "trade", "bookTicker"],
        // What is polled has no frame to be held against; marks are left out because a stream of them is judged.
        "pumpkin-perp" => {
            &["depth,10", "trade", "kline,1m", "tickers", "open-interest", "funding-rate-record"]
        }
        "ascendex-spot" => &["depth", "trades", "bbo"],
        "ascendex-futures" => &["depth", "trades", "bbo", "futures-pricing-data"],
        "binance-usdm" => &["depth@100ms", "aggTrade", "trade", "bookTicker", "markPrice@1s", "forceOrder"],
        "aster-futures" | "binance-coinm" => {
            &["depth@100ms", "aggTrade", "bookTicker", "markPrice@1s", "forceOrder"]
        }
        other => lobtape::venue::by_id(other).unwrap().1.spec().channels_default,
    }
}

/// Streams of which nothing comes, as the venues' own pages say.
const SILENT: [(&str, &str); 4] = [
    // Retired, and not documented; alive on hosts that speak an older dialect.
    ("binance-spot", "!ticker@arr"),
    ("binance-spot", "!bookTicker"),
    // Nobody knows on which topic changes come: here they come with the whole views.
    ("pumpkin-perp", "depth.update"),
    // Another family of a book's changes than the one that is asked for.
    ("ascendex-spot", "depth-realtime"),
];

/// Every channel that the venue has, in each of its forms; of what may be asked for but once for a book, once.
pub fn all_channels(venue: &str) -> Vec<String> {
    let v = lobtape::venue::by_id(venue).unwrap().1;
    let mut all: Vec<String> = channels(venue).iter().map(|c| (*c).to_owned()).collect();
    let has_partial = |all: &[String]| all.iter().any(|c| c.starts_with("depth20"));
    for c in v.channels() {
        match c.kind {
            StreamKind::DepthDiff => continue,
            StreamKind::DepthPartial if has_partial(&all) => continue,
            StreamKind::DepthPartial => all.push("depth20@100ms".to_owned()),
            _ => all.extend(forms(&c)),
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    let is_silent = |c: &String| SILENT.iter().any(|(v, s)| *v == venue && s == c);
    all.retain(|c| !is_silent(c) && seen.insert(c.clone()));
    all
}

/// A channel's example, and the same with each suffix that its grammar has in square brackets.
fn forms(c: &lobtape::venue::ChannelInfo) -> Vec<String> {
    let options: Vec<&str> = c.grammar.split('[').skip(1).filter_map(|o| o.split(']').next()).collect();
    let base = options.iter().find_map(|o| c.example.strip_suffix(o)).unwrap_or(&c.example);
    std::iter::once(c.example.clone()).chain(options.iter().map(|o| format!("{base}{o}"))).collect()
}

/// The tables that these channels fill in a few seconds.
pub fn tables(venue: &str, channels: &[String]) -> Vec<Table> {
    let v = lobtape::venue::by_id(venue).unwrap().1;
    let kind = |c: &String| {
        v.poll(c).map_or_else(|| v.stream(c, (!v.is_market(c)).then_some("X_PERP")).unwrap().kind, |p| p.kind)
    };
    let kinds = channels.iter().map(kind);
    let of = |k| match k {
        StreamKind::DepthDiff => vec![Table::BookDelta, Table::BookTop],
        StreamKind::DepthPartial => vec![Table::BookPartial],
        StreamKind::Trade | StreamKind::TradeSparse | StreamKind::AggTrade => vec![Table::Trades],
        StreamKind::BookTicker => vec![Table::Bbo],
        StreamKind::Mark => vec![Table::Mark],
        StreamKind::Kline => vec![Table::Klines],
        StreamKind::MiniTicker | StreamKind::Ticker => vec![Table::Tickers],
        StreamKind::OpenInterest => vec![Table::OpenInterest],
        StreamKind::Funding => vec![Table::Funding],
        // Liquidations are too rare to be asked for.
        _ => Vec::new(),
    };
    let always = [Table::Instruments, Table::Coverage, Table::Gaps, Table::Connections, Table::Raw];
    kinds.flat_map(of).chain(always).collect()
}

/// What a venue's part of the configuration needs beside symbols, channels and hosts.
fn more(id: &str) -> String {
    let policies = lobtape::venue::by_id(id).unwrap().1.id_policies();
    // The simulated venue's ids rise by one; learning that would take longer than a short form lasts.
    if policies.is_empty() { String::new() } else { "id_policy = \"strict\"\n".to_owned() }
}

/// Holes, repeats and, if `cuts_every_ms` is above 0, cuts of each kind in turn, until the quiet tail.
pub fn faults(cuts_every_ms: u64) -> Vec<FaultSpec> {
    let mut f = vec![
        FaultSpec { probability: Some(0.002), frames: 2, ..FaultSpec::new(FaultKind::Drop) },
        FaultSpec { every_ms: Some(700), ..FaultSpec::new(FaultKind::Drop).at(1500) },
        FaultSpec { probability: Some(0.002), ..FaultSpec::new(FaultKind::Duplicate) },
    ];
    if cuts_every_ms > 0 {
        for (n, how) in [CutHow::Rst, CutHow::Fin, CutHow::MidFrame, CutHow::Close].into_iter().enumerate() {
            let (at, round) = (2000 + cuts_every_ms * n as u64, 4 * cuts_every_ms);
            f.push(FaultSpec { how, every_ms: Some(round), ..FaultSpec::new(FaultKind::Cut).at(at) });
        }
    }
    f
}

/// A simulated venue with its log.
pub struct Venue {
    pub id: String,
    pub symbols: Vec<String>,
    /// A rule instead of the symbols, as the configuration has it.
    pub rule: Option<String>,
    pub sim: SimHandle,
    /// Further keys of its part of the configuration.
    pub more: String,
    /// What the recorder asks for.
    pub channels: Vec<String>,
    pub log: PathBuf,
}

impl Venue {
    /// Starts one; `change` may alter the configuration. Its log goes to `dir`.
    pub fn start(
        dir: &Path,
        id: &str,
        symbols: usize,
        rate: u32,
        change: impl FnOnce(&mut SimConfig),
    ) -> Venue {
        let log = dir.join(format!("oracle-{id}.jsonl"));
        let mut config = SimConfig {
            venue: id.to_owned(),
            symbols: Symbols::Count(symbols),
            rate,
            rate_channels: channels(id).iter().map(|c| (*c).to_owned()).collect(),
            oracle: OracleTo::File(log.clone()),
            // Snapshots of many symbols at once must not wait for the budget of a real venue.
            weight_per_minute: Some(1_000_000),
            connects_per_5min: Some(0),
            ..SimConfig::default()
        };
        change(&mut config);
        let sim = Simulator::start(config).unwrap();
        let channels = channels(id).iter().map(|c| (*c).to_owned()).collect();
        let symbols = traded(id, Symbols::Count(symbols));
        Venue { id: id.to_owned(), symbols, rule: None, sim, more: more(id), channels, log }
    }

    /// Its part of the configuration.
    fn table(&self) -> String {
        let list = |v: &[String]| v.iter().map(|s| format!("{s:?}")).collect::<Vec<_>>().join(", ");
        format!(
            "[[venue]]\nid = \"{}\"\nsymbols = {}\nchannels = [{}]\nrest = \"{}\"\nws = \"{}\"\n{}",
            self.id,
            self.rule.clone().unwrap_or_else(|| format!("[{}]", list(&self.symbols))),
            list(&self.channels),
            self.sim.rest_base(),
            self.sim.ws_base(),
            self.more
        )
    }

    /// Stops it and reads its log.
    pub fn end(self) -> (String, Vec<Line>) {
        let report = if self.sim.is_over() { self.sim.wait() } else { self.sim.stop() };
        assert_eq!(report.oracle_error, None);
        let lines = oracle::read(BufReader::new(File::open(&self.log).unwrap())).unwrap();
        assert_eq!(lines.last().map(|l| l.k.as_str()), Some("end"));
        (self.id, lines)
    }
}

/// The symbols that a venue of so many trades, from the head of a log.
pub fn traded(id: &str, symbols: Symbols) -> Vec<String> {
    let log = Arc::new(Mutex::new(Vec::new()));
    let config = SimConfig {
        venue: id.to_owned(),
        symbols,
        oracle: OracleTo::Memory(log.clone()),
        book_levels: 1,
        ..SimConfig::default()
    };
    Simulator::start(config).unwrap().stop();
    let log = log.lock().unwrap();
    oracle::read(log.as_slice()).unwrap()[0].symbols.clone()
}

/// A recorder's place: dataset, ring, configuration.
pub struct Place {
    pub dir: TempDir,
    config: PathBuf,
}

impl Place {
    /// A new place; it stays behind if `LOBTAPE_PROVE_KEEP` is set.
    pub fn new() -> Place {
        let mut dir = tempfile::tempdir().unwrap();
        dir.disable_cleanup(std::env::var_os("LOBTAPE_PROVE_KEEP").is_some());
        std::fs::create_dir(dir.path().join("ring")).unwrap();
        let config = dir.path().join("lobtape.toml");
        Place { dir, config }
    }

    pub fn dataset(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// What recorders said.
    pub fn log(&self) -> PathBuf {
        self.dir.path().join("recorder.log")
    }

    /// Where the raw rings are.
    pub fn rings(&self) -> PathBuf {
        self.dir.path().join("ring")
    }

    /// Writes the configuration for these venues.
    pub fn configure(&self, interval: &str, wall_offset_ms: i64, venues: &[&Venue]) {
        let q = |p: &Path| format!("{:?}", p.to_str().unwrap());
        let mut text = format!(
            "[dataset]\npath = {}\ninterval = \"{interval}\"\n[capture]\nruntime_dir = {}\n\
             wall_offset = \"{wall_offset_ms}ms\"\ndisk_reserve = \"0\"\n",
            q(&self.dataset()),
            q(&self.rings())
        );
        for v in venues {
            text.push_str(&v.table());
        }
        std::fs::write(&self.config, text).unwrap();
    }

    /// Adds to the configuration.
    pub fn add(&self, text: &str) {
        let all = std::fs::read_to_string(&self.config).unwrap() + text;
        std::fs::write(&self.config, all).unwrap();
    }

    /// Changes the configuration, which has `from` once.
    pub fn change(&self, from: &str, to: &str) {
        let all = std::fs::read_to_string(&self.config).unwrap();
        assert_eq!(all.matches(from).count(), 1, "{from:?} in {all}");
        std::fs::write(&self.config, all.replace(from, to)).unwrap();
    }

    /// Writes a configuration that is none.
    pub fn misconfigure(&self) {
        std::fs::write(&self.config, "[[venue]]\nsymbol = 1\n").unwrap();
    }

    /// Starts the recorder.
    pub fn record(&self) -> Recorder {
        self.record_under(&[])
    }

    /// Starts the recorder as the last arguments of another command that becomes it, or nothing.
    pub fn record_under(&self, command: &[&str]) -> Recorder {
        let log = self.log();
        let stderr = File::options().create(true).append(true).open(&log).unwrap();
        let words = [command, &[env!("CARGO_BIN_EXE_lobtape"), "capture", "--json", "-c"]].concat();
        let child = Command::new(words[0])
            .args(&words[1..])
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap();
        Recorder { child, log }
    }
}

/// The recorder as a child. Killed when dropped, so that a failed test leaves nothing behind.
pub struct Recorder {
    child: Child,
    log: PathBuf,
}

impl Recorder {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; must end well. Returns its summary.
    pub fn stop(mut self) -> serde_json::Value {
        self.terminate();
        assert!(wait_for(Duration::from_secs(120), || !self.is_alive()), "does not stop: {}", self.words());
        let status: ExitStatus = self.child.wait().unwrap();
        let mut text = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(status.success(), "{status}: {}", self.words());
        serde_json::from_str(text.trim()).unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    /// SIGTERM to a recorder that cannot end well. Returns its exit code and what it said.
    pub fn stop_badly(mut self) -> (i32, String) {
        self.terminate();
        assert!(wait_for(Duration::from_secs(120), || !self.is_alive()), "does not stop: {}", self.words());
        (self.child.wait().unwrap().code().unwrap_or(-1), self.words())
    }

    /// As `timeout` of coreutils does it: twice in a moment.
    fn terminate(&self) {
        let twice = format!("kill -TERM {0}; kill -TERM {0}", self.pid());
        assert!(Command::new("sh").args(["-c", &twice]).status().unwrap().success());
    }

    /// SIGHUP: the configuration is read again.
    pub fn reload(&self) {
        self.signal("HUP");
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.pid());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// All that it said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What it said, for a test that fails.
    pub fn words(&self) -> String {
        let text = self.log();
        let from = text.char_indices().nth_back(3000).map_or(0, |(i, _)| i);
        text[from..].to_owned()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command of the program. Returns its exit code and both outputs.
pub fn lobtape(args: &[&str]) -> (i32, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_lobtape")).args(args).output().unwrap();
    let text = [out.stdout, out.stderr].concat();
    (out.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
}

/// Has the recorder of this venue's configuration serve its status; where.
pub fn status_of(venue: &mut Venue) -> SocketAddr {
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    venue.more.push_str(&format!("[http]\nlisten = \"{addr}\"\n"));
    addr
}

/// What it says; `None` while nobody answers.
pub fn status(addr: SocketAddr) -> Option<serde_json::Value> {
    let mut s = TcpStream::connect(addr).ok()?;
    write!(s, "GET /status HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    s.read_to_string(&mut text).ok()?;
    serde_json::from_str(text.split_once("\r\n\r\n")?.1).ok()
}
