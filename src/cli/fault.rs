//! From errors to exit codes.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use super::{DATA, IO, USAGE, WELL};

/// An error that knows its exit code. Prints as the error inside.
#[derive(Debug)]
pub struct Fault {
    code: u8,
    inner: anyhow::Error,
}

impl Fault {
    /// The arguments or the configuration are wrong.
    pub fn usage(e: impl Into<anyhow::Error>) -> anyhow::Error {
        Fault { code: USAGE, inner: e.into() }.into()
    }

    /// The data is at fault.
    pub fn data(e: impl Into<anyhow::Error>) -> anyhow::Error {
        Fault { code: DATA, inner: e.into() }.into()
    }

    /// Input or output failed.
    pub fn io(e: impl Into<anyhow::Error>) -> anyhow::Error {
        Fault { code: IO, inner: e.into() }.into()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl StdError for Fault {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source()
    }
}

/// Gives a result's error its exit code: `config::load(path).or_usage()?`.
pub trait Faulty<T> {
    /// The arguments or the configuration are wrong.
    ///
    /// # Errors
    /// The same error, with code 1.
    fn or_usage(self) -> anyhow::Result<T>;
    /// The data is at fault.
    ///
    /// # Errors
    /// The same error, with code 2.
    fn or_data(self) -> anyhow::Result<T>;
    /// Input or output failed.
    ///
    /// # Errors
    /// The same error, with code 3.
    fn or_io(self) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> Faulty<T> for Result<T, E> {
    fn or_usage(self) -> anyhow::Result<T> {
        self.map_err(Fault::usage)
    }

    fn or_data(self) -> anyhow::Result<T> {
        self.map_err(Fault::data)
    }

    fn or_io(self) -> anyhow::Result<T> {
        self.map_err(Fault::io)
    }
}

/// The exit code of an error: a broken pipe is success, a [`Fault`] says it (the outermost one wins), anything else
/// is input or output that failed.
pub fn exit_code(e: &anyhow::Error) -> u8 {
    if e.chain().any(is_broken_pipe) {
        return WELL;
    }
    e.chain().find_map(|c| c.downcast_ref::<Fault>()).map_or(IO, |f| f.code)
}

fn is_broken_pipe(e: &(dyn StdError + 'static)) -> bool {
    let io = match e.downcast_ref::<Fault>() {
        Some(f) => f.inner.downcast_ref::<io::Error>(),
        None => e.downcast_ref::<io::Error>(),
    };
    io.is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

/// The whole chain in one line for people. A cause whose text its parent has printed already is not said twice.
pub fn one_line(e: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in e.chain() {
        let said = cause.to_string();
        if text.is_empty() {
            text = said;
        } else if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
    }
    text.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    fn broken() -> io::Error {
        io::Error::from(io::ErrorKind::BrokenPipe)
    }

    #[test]
    fn each_fault_has_its_code_under_any_context() {
        for (e, code) in [
            (Fault::usage(anyhow::anyhow!("x")), USAGE),
            (Fault::data(anyhow::anyhow!("x")), DATA),
            (Fault::io(io::Error::other("x")), IO),
            (anyhow::anyhow!("x"), IO),
        ] {
            assert_eq!(exit_code(&e.context("while at it").context("and more")), code);
        }
    }

    #[test]
    fn a_reader_that_goes_away_is_no_fault() {
        assert_eq!(exit_code(&broken().into()), WELL);
        assert_eq!(exit_code(&Fault::io(broken())), WELL);
        let e: anyhow::Error = Err::<(), _>(broken()).context("writing rows").unwrap_err();
        assert_eq!(exit_code(&Fault::io(e)), WELL);
    }

    #[test]
    fn the_line_says_each_cause_once() {
        let e = anyhow::anyhow!("no space\nleft").context("part-1.tmp: no space\nleft").context("publishing");
        assert_eq!(one_line(&Fault::io(e)), "publishing: part-1.tmp: no space left");
    }
}
