//! `lobtape simulate`: a venue that speaks the real protocol.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use crate::simulator::{
    FaultSpec, OracleTo, SimConfig, SimError, SimHandle, Simulator, Symbols, TlsConfig, fault_help,
    parse_script,
};

use super::{Fault, Faulty, WELL, out};

const EXAMPLES: &str = "\
Examples:
  lobtape simulate --venue aster-futures --symbols 4
  lobtape simulate --venue binance-usdm --symbols BTCUSDT,ETHUSDT --rate 5000 --duration 60 \\
      --fault drop=0.0005 --fault cut@20000 --oracle sent.jsonl
  lobtape simulate --venue binance-spot --tls --ca ca.pem --listen 0.0.0.0:9443
  lobtape simulate --venue binance-usdm --serve btcusdt_20240808.gz --speed 10

Faults: KIND[=PROBABILITY][@MS][:KEY=VALUE,…], e.g. drop@8000:stream=btcusdt@depth@100ms,frames=3
  Kinds: --help has each with an example
  Keys:  stream symbol conn frames for_ms every_ms retry_after_s how (rst fin close mid-frame half-open) code hex status
  A value with a comma stands in double quotes, and all of it in single ones for the shell:
      --fault 'mute@8000:stream=\"depth@btc_usdt,10\"'. Kinds that strike frames hit frames=N of one stream, one behind the other.
  for_ms, a time in ms, must be given for: stall gap late-snapshot 429 418 503 403 439 denied redirect refuse, and cut with
  how=half-open.
  delist, halt and list are about one symbol and need it; with for_ms the first two pass by themselves. The symbol of a list
  that is not among --symbols is not traded before. status is what the instrument list says of a halted symbol, e.g.
  halt@5000:symbol=ETHUSDT,status=BREAK,for_ms=20000
  Times count from the first subscription. A script has the same keys, as JSON lines or as TOML [[fault]] tables.

Point the recorder at it with, in its [[venue]]: rest = \"http://127.0.0.1:9443\" and ws = \"ws://127.0.0.1:9443\".";

/// A simulated venue: REST and WebSocket on one port, until the duration is over or a signal comes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = long_help())]
pub struct Args {
    /// Whose protocol (`aster-futures`, …).
    #[arg(long)]
    pub venue: String,
    /// Another way in which the venue may speak, e.g. `doc-literal` on aster-spot.
    #[arg(long, value_name = "NAME")]
    pub variant: Option<String>,
    /// Where to listen; port 0 takes a free one. Without --tls only loopback.
    #[arg(long, default_value = "127.0.0.1:9443")]
    pub listen: SocketAddr,
    /// Decides all content and all random faults.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many symbols, or which, comma-separated; the first is the busiest.
    #[arg(long, default_value = "4", value_name = "N|LIST")]
    pub symbols: String,
    /// Frames per second that one client of --rate-channels gets, over all symbols.
    #[arg(long, default_value_t = 500)]
    pub rate: u32,
    /// The channels by which --rate is counted (default: depth@100ms, aggTrade, bookTicker, markPrice@1s, forceOrder).
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub rate_channels: Vec<String>,
    /// Ends after so long ("90s", "1h30m", or seconds), counted from the first subscription.
    #[arg(long, value_name = "DURATION")]
    pub duration: Option<String>,
    /// No fault in the last so many seconds of --duration.
    #[arg(long, default_value_t = 5.0, value_name = "S")]
    pub quiet_tail: f64,
    /// A fault; may be given many times.
    #[arg(long = "fault", value_name = "FAULT")]
    pub faults: Vec<String>,
    /// A file of faults: JSON lines, or TOML.
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
    /// Log of all that was sent, JSON lines.
    #[arg(long, value_name = "FILE")]
    pub oracle: Option<PathBuf>,
    /// The log holds the payloads too.
    #[arg(long, requires = "oracle")]
    pub oracle_payload: bool,
    /// TLS with a made-up authority.
    #[arg(long)]
    pub tls: bool,
    /// Where the authority's certificate is written for the client to trust.
    #[arg(long, value_name = "FILE", requires = "tls", default_value = "lobtape-simulated-ca.pem")]
    pub ca: PathBuf,
    /// A further name of the server in its certificate.
    #[arg(long = "tls-name", value_name = "NAME", requires = "tls")]
    pub tls_names: Vec<String>,
    /// Serve recordings (lines of data/README.md, gzip or plain), in order, as one.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub serve: Vec<PathBuf>,
    /// How much faster than recorded.
    #[arg(long, default_value_t = 1.0, value_name = "N", requires = "serve")]
    pub speed: f64,
    /// Levels a side at the start.
    #[arg(long, default_value_t = 1000)]
    pub levels: usize,
    /// The venue's ping, seconds [default: as the venue].
    #[arg(long, value_name = "S")]
    pub ping: Option<f64>,
    /// Age at which connections are closed, seconds [default: as the venue].
    #[arg(long, value_name = "S")]
    pub age: Option<f64>,
    /// Request weight per minute [default: as the venue].
    #[arg(long, value_name = "N")]
    pub weight: Option<u32>,
    /// Futures frames without the keys `st` and `ps`.
    #[arg(long)]
    pub no_st_ps: bool,
    /// JSON lines instead of text.
    #[arg(long)]
    pub json: bool,
}

/// What `--help` says after the arguments: as `-h`, and every fault.
fn long_help() -> String {
    EXAMPLES.replacen("  Kinds: --help has each with an example\n", &format!("Kinds:\n{}", fault_help()), 1)
}

/// Runs the command.
///
/// # Errors
/// A wrong argument, fault or script; an address that cannot be listened on; an oracle log that is not complete.
pub fn run(args: Args) -> anyhow::Result<u8> {
    let cfg = config(&args)?;
    let stop = super::stopping::asked()?;
    let sim = Simulator::start(cfg).map_err(fault)?;
    hello(&args, &sim)?;
    let stats = sim.shared_stats();
    let mut progress = out::Progress::new(args.json);
    while !sim.ended_within(Duration::from_millis(100)) && !stop.load(Ordering::Relaxed) {
        progress.show(|| {
            let get = |a: &std::sync::atomic::AtomicU64| a.load(Ordering::Relaxed);
            format!(
                "{} connections, {} streams, {} messages, {}, {} lost on purpose, {} REST requests, {} ms behind",
                get(&stats.open),
                get(&stats.subscriptions),
                get(&stats.messages),
                out::bytes(get(&stats.bytes)),
                get(&stats.dropped),
                get(&stats.requests),
                stats.lag_ms.load(Ordering::Relaxed),
            )
        });
    }
    progress.clear();
    let r = sim.stop();
    let mut stdout = out::stdout();
    if args.json {
        out::json_line(&mut stdout, &json!({"ev": "end", "report": r}))?;
    } else {
        writeln!(
            stdout,
            "{} messages, {} over {} connections in {:.1} s; {} lost on purpose; {} REST requests",
            r.messages,
            out::bytes(r.bytes),
            r.connections,
            r.venue_ms as f64 / 1e3,
            r.dropped,
            r.requests
        )?;
    }
    stdout.flush()?;
    match r.oracle_error {
        Some(e) => Err(Fault::io(anyhow::anyhow!("the oracle log is not complete: {e}"))),
        None => Ok(WELL),
    }
}

fn hello(args: &Args, sim: &SimHandle) -> anyhow::Result<()> {
    let mut stdout = out::stdout();
    let ca = args.tls.then(|| args.ca.display().to_string());
    if args.json {
        out::json_line(
            &mut stdout,
            &json!({"ev": "listening", "venue": args.venue, "seed": args.seed, "addr": sim.addr(), "ws": sim.ws_base(), "rest": sim.rest_base(), "ca": ca}),
        )?;
    } else {
        writeln!(stdout, "{}, seed {}, simulated at", args.venue, args.seed)?;
        writeln!(stdout, "  rest = \"{}\"", sim.rest_base())?;
        writeln!(stdout, "  ws = \"{}\"", sim.ws_base())?;
        if let Some(ca) = ca {
            writeln!(stdout, "  authority to trust: {ca}")?;
        }
    }
    stdout.flush()?;
    Ok(())
}

fn ms(what: &str, s: f64) -> anyhow::Result<u64> {
    if s.is_finite() && (0.0..1e9).contains(&s) {
        return Ok((s * 1e3).round() as u64);
    }
    Err(Fault::usage(anyhow::anyhow!("{what}: {s} is no time in seconds")))
}

/// A duration as `capture --for` takes it, or a number of seconds.
fn duration_ms(text: &str) -> anyhow::Result<u64> {
    if let Ok(s) = text.parse() {
        return ms("--duration", s);
    }
    let d = crate::config::Duration::parse(text);
    let d = d.map_err(|e| Fault::usage(anyhow::anyhow!("--duration: {e}, or seconds like \"90\"")))?;
    ms("--duration", d.ns as f64 / 1e9)
}

fn config(args: &Args) -> anyhow::Result<SimConfig> {
    let mut faults: Vec<FaultSpec> =
        args.faults.iter().map(|f| FaultSpec::parse(f)).collect::<Result<_, _>>().or_usage()?;
    if let Some(p) = &args.script {
        let text = std::fs::read_to_string(p)
            .map_err(|e| Fault::io(anyhow::anyhow!("reading the script {}: {e}", p.display())))?;
        faults.extend(parse_script(&text).or_usage()?);
    }
    let symbols = match args.symbols.parse() {
        Ok(n) => Symbols::Count(n),
        Err(_) => Symbols::List(args.symbols.split(',').map(|s| s.trim().to_owned()).collect()),
    };
    let base = SimConfig::default();
    let rate_channels =
        if args.rate_channels.is_empty() { base.rate_channels.clone() } else { args.rate_channels.clone() };
    Ok(SimConfig {
        venue: args.venue.clone(),
        variant: args.variant.clone(),
        listen: args.listen,
        seed: args.seed,
        symbols,
        rate: args.rate,
        rate_channels,
        duration_ms: args.duration.as_deref().map(duration_ms).transpose()?,
        quiet_tail_ms: ms("--quiet-tail", args.quiet_tail)?,
        faults,
        oracle: args.oracle.clone().map_or(OracleTo::None, OracleTo::File),
        oracle_payload: args.oracle_payload,
        tls: args.tls.then(|| TlsConfig { ca_path: Some(args.ca.clone()), names: args.tls_names.clone() }),
        serve: args.serve.clone(),
        speed: args.speed,
        book_levels: args.levels,
        ping_every_ms: args.ping.map(|s| ms("--ping", s)).transpose()?,
        age_max_ms: args.age.map(|s| ms("--age", s)).transpose()?,
        weight_per_minute: args.weight,
        st_ps: args.no_st_ps.then_some(false),
        // A tape may be served faster than anybody reads; who is slow waits for the end of it instead of being cut.
        outbound_max_bytes: if args.serve.is_empty() { base.outbound_max_bytes } else { usize::MAX },
        ..base
    })
}

/// The exit code of an error of the simulator.
fn fault(e: SimError) -> anyhow::Error {
    match e {
        SimError::Io { .. } | SimError::Tls { .. } | SimError::Stopped => Fault::io(e),
        SimError::Recording { .. } => Fault::data(e),
        _ => Fault::usage(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command, DATA, IO, USAGE};
    use clap::Parser;

    fn args(line: &str) -> Args {
        let words = ["lobtape", "simulate"].into_iter().chain(line.split_whitespace());
        match Cli::try_parse_from(words).unwrap().command {
            Command::Simulate(a) => *a,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn arguments_become_one_checked_configuration() {
        let c = config(&args(
            "--venue binance-usdm --symbols BTCUSDT,龙虾USDT --rate 5000 --duration 1.5 --fault drop=0.1 --fault cut@20 --ping 2",
        ))
        .unwrap();
        assert_eq!(c.symbols, Symbols::List(vec!["BTCUSDT".into(), "龙虾USDT".into()]));
        assert_eq!(
            (c.rate, c.duration_ms, c.ping_every_ms, c.faults.len()),
            (5000, Some(1500), Some(2000), 2)
        );
        let long = config(&args("--venue x --duration 1m30s")).unwrap();
        assert_eq!(long.duration_ms, Some(90_000));
        assert_eq!(config(&args("--venue x --symbols 20")).unwrap().symbols, Symbols::Count(20));
    }

    #[test]
    fn help_names_every_fault() {
        let help = long_help();
        assert!(!help.contains("--help has"), "{help}");
        for k in crate::simulator::FaultKind::ALL {
            assert!(help.contains(&format!("\n  {:<16} ", k.as_str())), "{k:?}\n{help}");
        }
    }

    #[test]
    fn wrong_arguments_have_their_exit_codes() {
        let code = |line: &str| {
            let words = ["lobtape", "simulate"].into_iter().chain(line.split_whitespace());
            crate::cli::run(words.map(Into::into))
        };
        assert_eq!(code("--venue nowhere --listen 127.0.0.1:0"), USAGE);
        assert_eq!(code("--venue aster-futures --listen 0.0.0.0:0"), USAGE);
        assert_eq!(code("--venue aster-futures --fault dorp"), USAGE);
        assert_eq!(code("--venue aster-futures --duration -1"), USAGE);
        assert_eq!(code("--venue aster-futures --duration 1x"), USAGE);
        assert_eq!(code("--venue aster-futures --script /nonexistent"), IO);
        assert_eq!(code("--venue aster-futures --listen 127.0.0.1:0 --serve /nonexistent"), IO);
        let dir = tempfile::tempdir().unwrap();
        let p = dir.path().join("r");
        std::fs::write(&p, "nonsense\n").unwrap();
        assert_eq!(code(&format!("--venue binance-usdm --listen 127.0.0.1:0 --serve {}", p.display())), DATA);
        let script = dir.path().join("s");
        std::fs::write(&script, "{\"kind\":\"drop\",\"frames\":0}\n").unwrap();
        assert_eq!(code(&format!("--venue aster-futures --script {}", script.display())), USAGE);
    }

    #[test]
    fn a_short_simulation_ends_by_itself() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("o.jsonl");
        let line = format!(
            "simulate --venue aster-futures --listen 127.0.0.1:0 --duration 0.2 --oracle {} --json",
            log.display()
        );
        let words = ["lobtape"].into_iter().chain(line.split_whitespace());
        assert_eq!(crate::cli::run(words.map(Into::into)), WELL);
        let lines =
            crate::simulator::oracle::read(std::io::BufReader::new(std::fs::File::open(log).unwrap()))
                .unwrap();
        assert_eq!((lines[0].k.as_str(), lines.last().unwrap().k.as_str()), ("start", "end"));
    }
}
