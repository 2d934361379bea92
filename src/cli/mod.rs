//! The command line: one file per command. Arguments in, exit code out.
//!
//! A command is a file here with `pub struct Args` (clap) and `pub fn run(args: Args) -> anyhow::Result<u8>`, its `mod`
//! line, its line in [`Command`] and its line in `Command::run`. What is not built yet does not appear.
//!
//! Exit codes: 0 well, 1 usage, 2 the data is at fault, 3 input or output failed. A reader that goes away (broken pipe)
//! is no fault. A command that ends without an error chooses 0 or 2 itself; an error carries its code by [`Fault`].

pub mod asking;
pub mod book;
pub mod capture;
pub mod check;
pub mod checkpoints;
pub mod configured;
pub mod demo;
pub mod fault;
pub mod import;
pub mod importing;
pub mod instruments;
pub mod log;
pub mod ls;
pub mod out;
pub mod probe;
pub mod rebuild;
pub mod recover;
pub mod replay;
pub mod simulate;
pub mod stopping;
#[cfg(test)]
mod vectors_tests;
pub mod venues;
pub mod verify;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use crate::sys::alloc::Counting;
pub use fault::{Fault, Faulty};

/// All is well.
pub const WELL: u8 = 0;
/// The arguments or the configuration are wrong.
pub const USAGE: u8 = 1;
/// The data is at fault.
pub const DATA: u8 = 2;
/// Input or output failed.
pub const IO: u8 = 3;

/// What `lobtape` understands.
#[derive(Debug, Parser)]
#[command(
    name = "lobtape",
    version,
    about = "Records the limit order book: every frame kept, every book proven, every gap written down.",
    after_help = "Exit codes: 0 well, 1 usage, 2 the data is at fault, 3 input or output failed.",
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// How much to log to stderr: off, error, warn, info, debug, trace.
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        default_value = "info",
        env = "LOBTAPE_LOG",
        hide_possible_values = true,
        help_heading = "Logging"
    )]
    pub log: log::Level,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The order book of an instrument at a time, out of a dataset.
    Book(book::Args),
    /// What a dataset holds at a glance.
    Ls(ls::Args),
    /// What a configuration comes to: connections, streams, REST weight, memory, disk. Nothing is opened.
    Check(check::Args),
    /// A simulated venue, a capture of it, a summary: works offline, leaves a dataset to open.
    Demo(demo::Args),
    /// The daemon: frames from the venues into the dataset.
    Capture(capture::Args),
    /// Book states as JSON lines, from recordings or a dataset.
    Checkpoints(checkpoints::Args),
    /// Recordings of other tools become a dataset.
    Import(import::Args),
    /// The tape again, through the same fold or to a WebSocket client.
    Replay(replay::Args),
    /// What capture does first after a crash, by hand.
    Recover(recover::Args),
    /// Parquet again from `raw`, compared with what is published.
    Rebuild(rebuild::Args),
    /// The proof from the files alone: checksums, chains, books, coverage.
    Verify(verify::Args),
    /// The venues that this build knows: ids, channels, and what their support rests on.
    Venues(venues::Args),
    /// What a venue lists, asked now, or the versions that a dataset has of its instruments.
    Instruments(Box<instruments::Args>),
    /// What a venue does when it is asked live, held against what we know of it: a report to attach to an issue.
    Probe(Box<probe::Args>),
    /// A venue that speaks the real protocol, from a seed or from a recording, with faults on demand.
    Simulate(Box<simulate::Args>),
}

impl Command {
    fn run(self) -> anyhow::Result<u8> {
        match self {
            Command::Book(a) => book::run(a),
            Command::Ls(a) => ls::run(a),
            Command::Check(a) => check::run(a),
            Command::Demo(a) => demo::run(a),
            Command::Capture(a) => capture::run(a),
            Command::Replay(a) => replay::run(a),
            Command::Recover(a) => recover::run(a),
            Command::Rebuild(a) => rebuild::run(a),
            Command::Verify(a) => verify::run(a),
            Command::Venues(a) => venues::run(a),
            Command::Instruments(a) => instruments::run(*a),
            Command::Probe(a) => probe::run(*a),
            Command::Simulate(a) => simulate::run(*a),
            Command::Checkpoints(a) => checkpoints::run(a),
            Command::Import(a) => import::run(a),
        }
    }
}

/// Parses the process's arguments, runs, and says how it went.
pub fn main() -> ExitCode {
    ExitCode::from(run(std::env::args_os()))
}

/// The same for any arguments (the first is the program's name); prints to stdout and stderr.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(e) => {
            // `--help` and `--version` come this way too. If even that cannot be printed nobody listens.
            let _ = e.print();
            return if e.use_stderr() { USAGE } else { WELL };
        }
    };
    let _flush_at_end = log::start(cli.log);
    match cli.command.run() {
        Ok(code) => code,
        Err(e) => {
            let code = fault::exit_code(&e);
            if code != WELL {
                out::complain(&format!("lobtape: {}", fault::one_line(&e)));
            }
            code
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn clap_finds_nothing_to_complain_about() {
        Cli::command().debug_assert();
    }

    #[test]
    fn wrong_usage_is_one_and_help_is_zero() {
        let run = |a: &[&str]| super::run(a.iter().map(OsString::from));
        assert_eq!(run(&["lobtape", "no-such-command"]), USAGE);
        assert_eq!(run(&["lobtape"]), USAGE);
        assert_eq!(run(&["lobtape", "--version"]), WELL);
        assert_eq!(run(&["lobtape", "--help"]), WELL);
    }
}
