//! `lobtape capture`: the daemon.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args as ClapArgs;

use super::configured::Configured;
use super::{Fault, WELL, out};
use crate::engine::control::ControlFault;
use crate::engine::{Capture, CaptureError, Summary};
use crate::http::Bound;

/// Arguments of `lobtape capture`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  lobtape check -c lobtape.toml && lobtape capture -c lobtape.toml
  lobtape capture -c lobtape.toml --set dataset.path=/data/tape --for 10m

SIGHUP reads the configuration again: symbols, channels and venues come and go, rotate_after, keep and max_size change,
and what stays is recorded without a gap. What needs a restart is named in the log and stays as it was.
SIGTERM and Ctrl-C seal everything and exit 0; one more, half a second later or more, ends at once (nothing received is
lost: the next start drains the ring). examples/lobtape.toml documents every key.")]
pub struct Args {
    /// The configuration.
    #[command(flatten)]
    pub configured: Configured,
    /// Stops by itself after so long.
    #[arg(long = "for", value_name = "DURATION")]
    pub duration: Option<String>,
    /// The summary at the end as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs it.
///
/// # Errors
/// Configuration, dataset, venue and disk faults, each with its exit code.
pub fn run(args: Args) -> anyhow::Result<u8> {
    let config = args.configured.load()?;
    let limit = match &args.duration {
        None => None,
        Some(d) => {
            let d =
                crate::config::Duration::parse(d).map_err(|e| Fault::usage(anyhow::anyhow!("--for: {e}")))?;
            Some(crate::wire::clock::mono_ns() + d.ns)
        }
    };
    let stop = super::stopping::asked()?;
    let reload = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::clone(&reload)).map_err(Fault::io)?;
    let quiet = args.json;
    let line = Box::new(move |l: &str| {
        if !quiet {
            out::complain(l);
        }
    });
    // The address is taken before anything runs: one that is in use must not cost a started capture. But whoever starts a
    // second recorder on one dataset must hear of that, not of the address that the first one has.
    let address = config.http.as_ref().map(|h| h.listen);
    let ds = Capture::lock(&config).map_err(fault)?;
    super::demo::keep(ds.root());
    let bound = address.map(Bound::new).transpose().map_err(Fault::usage)?;
    let capture = Capture::start_on(ds, config, line).map_err(fault)?;
    let http = match bound.map(|b| b.serve(capture.shared(), capture.events())).transpose() {
        Ok(h) => h,
        Err(e) => {
            capture.stop().map_err(fault)?;
            return Err(Fault::io(e));
        }
    };
    if let Some(h) = &http {
        tracing::info!(addr = %h.addr(), "status is served");
    }
    while !stop.load(Ordering::Acquire) && !capture.has_ended() {
        capture.wait(Duration::from_millis(50));
        if reload.swap(false, Ordering::AcqRel) {
            reread(&args.configured, &capture);
        }
        if limit.is_some_and(|at| crate::wire::clock::mono_ns() >= at) {
            break;
        }
    }
    let stopped = capture.stop();
    if let Some(h) = http {
        h.stop();
    }
    let summary = stopped.map_err(fault)?;
    let mut stdout = out::stdout();
    if args.json {
        out::json_line(&mut stdout, &summary)?;
    } else {
        for l in summary_lines(&summary) {
            writeln!(stdout, "{l}")?;
        }
    }
    stdout.flush()?;
    Ok(WELL)
}

fn reread(from: &Configured, capture: &Capture) {
    match from.load() {
        Ok(c) => capture.reload(c),
        Err(e) => tracing::error!(error = %e, "the configuration is not applied, the old one stays in force"),
    }
}

/// The summary for people.
pub fn summary_lines(s: &Summary) -> Vec<String> {
    let gaps: Vec<String> = s.gaps.iter().map(|(c, n)| format!("{n} {c}")).collect();
    let others: Vec<String> = s.others.iter().map(|(name, n)| format!("{n} {name}")).collect();
    let others = (!others.is_empty()).then(|| format!("in raw alone: {}", others.join(", ")));
    let mut lines = vec![
        format!(
            "{} frames ({}), {} rejected",
            out::count(s.frames),
            out::bytes(s.bytes),
            out::count(s.rejects)
        ),
        format!("gaps: {}", if gaps.is_empty() { "none".to_owned() } else { gaps.join(", ") }),
        format!(
            "{} rows in {} files, {}",
            out::count(s.rows.unsigned_abs()),
            s.files,
            out::bytes(s.file_bytes.unsigned_abs())
        ),
    ];
    lines.extend(others);
    lines
}

/// A capture's error with its exit code.
pub fn fault(e: CaptureError) -> anyhow::Error {
    use crate::engine::recovering::RecoverError;
    let dataset = match &e {
        // A REST base that cannot be one, a key that cannot be had.
        CaptureError::Control(ControlFault::Rest(_) | ControlFault::Key(_)) => return Fault::usage(e),
        CaptureError::Plan(_) | CaptureError::Runtime(_) | CaptureError::Control(ControlFault::Plan(_)) => {
            return Fault::usage(e);
        }
        CaptureError::Dataset(d) | CaptureError::Recover(RecoverError::Dataset(d)) => d,
        _ => return Fault::io(e),
    };
    match (dataset.is_damage(), dataset.is_usage()) {
        (true, _) => Fault::data(e),
        (_, true) => Fault::usage(e),
        _ => Fault::io(e),
    }
}
