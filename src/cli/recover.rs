//! `lobtape recover`: what capture does first after a crash, by hand.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::{DATA, Fault, WELL, out};
use crate::engine::recovering::{self, RecoverError};

/// Arguments of `lobtape recover`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  lobtape recover data
  lobtape recover data --json

Drains the raw rings of a run that died into the journal, states the gap of the crash, converts what is left and makes
it visible. A line of the manifest of which one byte was changed becomes what it was. Running it twice does nothing the second time. A capture does the same by itself when it starts.")]
pub struct Args {
    /// The dataset.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Where the raw rings are, if the capture's configuration says `runtime_dir`.
    #[arg(long, value_name = "DIR")]
    pub runtime_dir: Option<PathBuf>,
    /// The result as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs it.
///
/// # Errors
/// No dataset, a running capture, a disk that refuses.
pub fn run(args: Args) -> anyhow::Result<u8> {
    let o = recovering::by_hand(&args.dir, args.runtime_dir.as_deref()).map_err(|e| match e {
        RecoverError::Dataset(d) => super::ls::fault(d),
        e => Fault::io(e),
    })?;
    let mut stdout = out::stdout();
    if args.json {
        out::json_line(&mut stdout, &o)?;
    } else {
        writeln!(
            stdout,
            "{} records drained from {} ring(s), {} bytes of a torn tail cut, {} damaged place(s)",
            o.report.salvaged(),
            o.report.rings.len(),
            o.report.torn_bytes,
            o.damage
        )?;
        writeln!(stdout, "{} rows in {} files", o.rows, o.files)?;
        for place in &o.manifest_mended {
            writeln!(stdout, "{place}: a byte of the manifest had been changed; the line is as it was")?;
        }
        for damage in &o.manifest_damage {
            writeln!(stdout, "{damage}")?;
        }
    }
    stdout.flush()?;
    Ok(if o.manifest_damage.is_empty() { WELL } else { DATA })
}
