//! `lobtape replay`: the tape again, through the same fold or to WebSocket clients.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use tungstenite::{Message, WebSocket};

use super::importing::{self, FirstReject, Options};
use super::{Fault, WELL, out};
use crate::fold::{Fold, FoldCounters, NoSink};
use crate::model::{Kind, LaneId, Record};
use crate::replay::{DatasetTape, Pace, parse_speed};
use crate::wire::clock;

/// Arguments of `lobtape replay`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  lobtape replay lobtape-demo --speed max
  lobtape replay btcusdt_20240808.gz --venue binance-usdm --speed 10x --listen 127.0.0.1:9001

Without --listen the records run through the fold and what it made of them is printed. With --listen every WebSocket
client that connects (any path) gets the frames, byte for byte, from the moment on at which the first one has come.")]
pub struct Args {
    /// Recordings (plain or .gz), or one dataset directory.
    #[arg(required = true, value_name = "FILE|DIR")]
    pub inputs: Vec<PathBuf>,
    /// Venue id; needed for recordings.
    #[arg(long)]
    pub venue: Option<String>,
    /// `10x`, `0.5x`, `max`.
    #[arg(long, default_value = "max")]
    pub speed: String,
    /// Serves the frames instead of folding them. Loopback only.
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// The result as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs it.
///
/// # Errors
/// Inputs that cannot be read, an address that is not loopback.
pub fn run(args: Args) -> anyhow::Result<u8> {
    let speed = parse_speed(&args.speed).map_err(|e| Fault::usage(anyhow::anyhow!("--speed: {e}")))?;
    let mut to: Box<dyn Take> = match args.listen {
        None => Box::new(Folded::default()),
        Some(addr) => Box::new(Served::start(addr)?),
    };
    let mut pace = Pace::new(speed);
    let begun = clock::mono_ns();
    let mut progress = out::Progress::new(args.json);
    let mut frames = 0u64;
    let mut take = |rec: &Record<'_>| {
        wait(pace.wait_ns(rec.ts_recv, clock::mono_ns()));
        if rec.kind == Kind::Frame {
            frames += 1;
            progress.show(|| format!("{} frames", out::count(frames)));
        }
        to.take(rec)
    };
    let read = match args.inputs.as_slice() {
        [dir] if dir.is_dir() => {
            let mut tape = DatasetTape::open(dir).map_err(super::ls::fault)?;
            while tape.step(&mut |rec| _ = take(rec)).map_err(super::ls::fault)? {}
            None
        }
        files => {
            let venue = args.venue.as_deref().ok_or_else(|| {
                Fault::usage(anyhow::anyhow!(
                    "--venue is needed for recordings; a dataset directory knows its venues"
                ))
            })?;
            let mut first = FirstReject::default();
            let stats = importing::records(files, venue, &Options::default(), &mut |rec, at| {
                first.note(&take(rec), at);
                Ok(())
            })?;
            Some((files, venue, stats, first))
        }
    };
    progress.clear();
    let seconds = (clock::mono_ns() - begun) as f64 / 1e9;
    let c = to.finish();
    print(&args, frames, seconds, &c)?;
    match read {
        Some((files, venue, stats, first)) => Ok(importing::judge(files, venue, &stats, &c, first)?.tell()),
        None => Ok(WELL),
    }
}

/// What came of it.
fn print(args: &Args, frames: u64, seconds: f64, c: &FoldCounters) -> std::io::Result<()> {
    let mut o = out::stdout();
    if args.json {
        let line = serde_json::json!({
            "frames": frames, "seconds": seconds, "rejects": c.rejects, "diffs_applied": c.applied, "levels": c.levels,
            "syncs": c.syncs, "seq_gaps": c.seq_gaps, "duplicates": c.duplicates,
        });
        out::json_line(&mut o, &line)?;
    } else {
        let rate = frames as f64 / seconds.max(1e-9);
        writeln!(
            o,
            "{} frames in {seconds:.2} s ({} frames/s)",
            out::count(frames),
            out::count(rate as u64)
        )?;
        if args.listen.is_none() {
            writeln!(
                o,
                "{} diffs with {} levels applied, {} book(s) proven, {} sequence gap(s), {} rejected",
                out::count(c.applied),
                out::count(c.levels),
                c.syncs,
                c.seq_gaps,
                c.rejects
            )?;
        }
    }
    o.flush()
}

fn wait(ns: i64) {
    if ns > 0 {
        // Pacing is what was asked for: this thread has nothing else to do until the record is due.
        std::thread::park_timeout(Duration::from_nanos(ns.unsigned_abs()));
    }
}

/// What becomes of the records.
trait Take {
    /// Takes one; says what its lane has counted.
    fn take(&mut self, rec: &Record<'_>) -> FoldCounters;
    fn finish(&mut self) -> FoldCounters;
}

/// Through the fold, a fold per lane.
#[derive(Default)]
struct Folded {
    folds: std::collections::BTreeMap<LaneId, Fold>,
}

impl Take for Folded {
    fn take(&mut self, rec: &Record<'_>) -> FoldCounters {
        let fold = self.folds.entry(rec.lane).or_insert_with(|| Fold::new(rec.lane));
        fold.step(rec, &mut NoSink);
        fold.counters()
    }

    fn finish(&mut self) -> FoldCounters {
        let mut sum = FoldCounters::default();
        for f in self.folds.values() {
            let c = f.counters();
            sum.frames += c.frames;
            sum.rejects += c.rejects;
            sum.others += c.others;
            sum.seq_gaps += c.seq_gaps;
            sum.syncs += c.syncs;
            sum.applied += c.applied;
            sum.duplicates += c.duplicates;
            sum.levels += c.levels;
        }
        sum
    }
}

/// To WebSocket clients.
struct Served {
    listener: TcpListener,
    clients: Vec<WebSocket<TcpStream>>,
}

impl Served {
    fn start(addr: SocketAddr) -> anyhow::Result<Served> {
        if !addr.ip().is_loopback() {
            return Err(Fault::usage(anyhow::anyhow!("--listen {addr}: only loopback addresses are served")));
        }
        let listener = TcpListener::bind(addr).map_err(Fault::io)?;
        out::complain(&format!("waiting for a client on ws://{}", listener.local_addr().map_err(Fault::io)?));
        let mut s = Served { listener, clients: Vec::new() };
        while s.clients.is_empty() {
            s.accept().map_err(Fault::io)?;
        }
        s.listener.set_nonblocking(true).map_err(Fault::io)?;
        Ok(s)
    }

    fn accept(&mut self) -> std::io::Result<()> {
        let (socket, from) = self.listener.accept()?;
        socket.set_nonblocking(false)?;
        socket.set_write_timeout(Some(Duration::from_secs(5)))?;
        match tungstenite::accept(socket) {
            Ok(ws) => self.clients.push(ws),
            Err(e) => out::complain(&format!("client {from}: {e}")),
        }
        Ok(())
    }
}

impl Take for Served {
    fn take(&mut self, rec: &Record<'_>) -> FoldCounters {
        if rec.kind != Kind::Frame {
            return FoldCounters::default();
        }
        // No newcomer is the usual answer.
        let _ = self.accept();
        let binary = rec.flags & crate::model::record::FLAG_BINARY != 0;
        self.clients.retain_mut(|c| {
            let message = match std::str::from_utf8(rec.payload) {
                Ok(t) if !binary => Message::text(t),
                _ => Message::binary(rec.payload.to_vec()),
            };
            c.send(message).is_ok()
        });
        FoldCounters::default()
    }

    fn finish(&mut self) -> FoldCounters {
        for c in &mut self.clients {
            // A client that is gone needs no goodbye.
            let _ = c.close(None);
            let _ = c.flush();
        }
        FoldCounters::default()
    }
}
