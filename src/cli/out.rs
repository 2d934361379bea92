//! Printing: output of commands to stdout, progress and complaints to stderr.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::time::{Duration, Instant};

/// Buffered stdout. `println!` would panic when the reader goes away; write here and hand the error up instead.
/// Flush it at the end: `BufWriter` swallows errors when dropped.
pub fn stdout() -> BufWriter<StdoutLock<'static>> {
    BufWriter::with_capacity(64 * 1024, io::stdout().lock())
}

/// One line on stderr; if that is gone there is nobody left to tell.
pub fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// One JSON object and a newline.
///
/// # Errors
/// The writer's.
pub fn json_line(out: &mut impl Write, value: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

/// A status line of long work on stderr: rewritten in place on a terminal, otherwise a new line every ten seconds.
pub struct Progress {
    terminal: bool,
    quiet: bool,
    last: Instant,
    width: usize,
}

impl Progress {
    /// `quiet` shows nothing (`--json`, tests). Work that is over before the first pause is shows nothing either.
    #[allow(clippy::disallowed_methods, reason = "how often a terminal is painted concerns no data")]
    pub fn new(quiet: bool) -> Progress {
        Progress { terminal: io::stderr().is_terminal(), quiet, last: Instant::now(), width: 0 }
    }

    /// Shows a line if the last one is old enough; `line` is called only then.
    #[allow(clippy::disallowed_methods, reason = "how often a terminal is painted concerns no data")]
    pub fn show(&mut self, line: impl FnOnce() -> String) {
        let pause = if self.terminal { Duration::from_millis(100) } else { Duration::from_secs(10) };
        if self.quiet || self.last.elapsed() < pause {
            return;
        }
        self.last = Instant::now();
        let text = line();
        if self.terminal {
            let width = self.width;
            let _ = write!(io::stderr().lock(), "\r{text:width$}");
            self.width = text.chars().count();
        } else {
            complain(&text);
        }
    }

    /// Takes the line away so that what follows stands on its own.
    pub fn clear(&mut self) {
        if self.terminal && self.width > 0 {
            let width = self.width;
            let _ = write!(io::stderr().lock(), "\r{:width$}\r", "");
            self.width = 0;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// How this program is called from here: by its name where the shell finds it, else by its path.
pub fn program() -> String {
    let name = "lobtape";
    let Ok(exe) = std::env::current_exe() else { return name.to_owned() };
    let is_it = |dir: std::path::PathBuf| dir.join(name).canonicalize().is_ok_and(|p| p == exe);
    if std::env::var_os("PATH").is_some_and(|p| std::env::split_paths(&p).any(is_it)) {
        return name.to_owned();
    }
    let here = std::env::current_dir().ok();
    let near = here.as_deref().and_then(|d| exe.strip_prefix(d).ok()).filter(|p| p.components().count() > 1);
    near.unwrap_or(&exe).display().to_string()
}

/// Bytes for people: `3.6 MB` (powers of 1000).
pub fn bytes(n: u64) -> String {
    let mut x = n as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if x < 999.95 {
            return if unit == "B" { format!("{n} B") } else { format!("{x:.1} {unit}") };
        }
        x /= 1000.0;
    }
    format!("{x:.1} TB")
}

/// A count for people: `12,345,678`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(3_637_062), "3.6 MB");
        assert_eq!(bytes(999_999), "1.0 MB");
        assert_eq!(bytes(2_000_000_000_000), "2.0 TB");
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(12_345_678), "12,345,678");
    }

    #[test]
    fn a_json_line_is_one_line() {
        let mut v = Vec::new();
        json_line(&mut v, &serde_json::json!({"a": "x\ny"})).unwrap();
        assert_eq!(v, b"{\"a\":\"x\\ny\"}\n");
    }
}
