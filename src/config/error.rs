//! Errors that name the place and the remedy.

use std::io;
use std::path::PathBuf;

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot read the configuration: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something in it is wrong.
    #[error("{place}: {message}")]
    Bad {
        /// `file:line`, the variable or the flag.
        place: String,
        /// What is wrong and what would be right.
        message: String,
    },
}

impl ConfigError {
    /// A fault at byte `at` of the file's text.
    #[cold]
    pub(super) fn at(name: &str, text: &str, at: usize, message: impl Into<String>) -> ConfigError {
        ConfigError::Bad { place: format!("{name}:{}", line_of(text, at)), message: message.into() }
    }

    /// The file is not UTF-8.
    #[cold]
    pub(super) fn no_text(name: &str, e: &std::string::FromUtf8Error) -> ConfigError {
        let (good, rest) = e.as_bytes().split_at(e.utf8_error().valid_up_to());
        let line = good.iter().filter(|&&b| b == b'\n').count() + 1;
        let byte = rest.first().copied().unwrap_or_default();
        let message = format!("byte 0x{byte:02x} is no UTF-8 text; save it as UTF-8");
        ConfigError::Bad { place: format!("{name}:{line}"), message }
    }

    /// A fault in a variable or a flag.
    #[cold]
    pub(super) fn in_source(place: impl Into<String>, message: impl Into<String>) -> ConfigError {
        ConfigError::Bad { place: place.into(), message: message.into() }
    }
}

/// 1-based line of a byte offset.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|&&b| b == b'\n').count() + 1
}

/// The parser's message about `text`, with the nearest known key where a key is unknown, and with the key and what would be
/// right where a value is of the wrong type.
pub(super) fn explain(e: &toml::de::Error, text: &str) -> String {
    let message = e.message().trim_end_matches('\n').replace('\n', ", ");
    if let Some((_, expected)) =
        message.strip_prefix("invalid type: ").and_then(|m| m.rsplit_once("expected "))
    {
        let key = e.span().and_then(|s| key_before(text, s.start));
        let remedy = remedy(key, expected);
        let key = key.map(|k| format!("{k:?} has an ")).unwrap_or_default();
        return format!("{key}{message}{remedy}");
    }
    let mut words = message.split('`');
    if !message.starts_with("unknown field") && !message.starts_with("unknown variant") {
        return message;
    }
    // "unknown field `a`, expected one of `b`, `c`": every second piece is a name.
    words.next();
    let Some(unknown) = words.next() else { return message };
    let known: Vec<&str> = words.skip(1).step_by(2).collect();
    let what = if message.starts_with("unknown field") { "key" } else { "value" };
    unknown_name(what, unknown, &known)
}

/// The key whose value begins, or goes on, at byte `at` of the same line.
fn key_before(text: &str, at: usize) -> Option<&str> {
    let line = text.get(..at)?.rsplit('\n').next()?;
    let before = line.rsplit_once('=')?.0.trim_end();
    let is_bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let key = before.rsplit(|c| !is_bare(c)).next()?;
    (!key.is_empty()).then_some(key)
}

/// What to write where the parser expected this.
fn remedy(key: Option<&str>, expected: &str) -> &'static str {
    match expected {
        "a sequence" if key == Some("venue") => "; write [[venue]] on a line of its own",
        "a sequence" => "; write a list, like [\"…\", \"…\"]",
        "a string" => "; write it in quotes, like \"…\"",
        "a boolean" => "; write true or false",
        "i64" | "u64" | "i32" | "u32" | "u16" | "u8" | "usize" => "; write a whole number without quotes",
        _ => "",
    }
}

/// "unknown key ..., did you mean ...".
pub(super) fn unknown_name(what: &str, unknown: &str, known: &[&str]) -> String {
    match nearest(unknown, known) {
        Some(n) => nearest_is(what, unknown, n, known),
        None => format!("unknown {what} {unknown:?}"),
    }
}

/// The same where it is known which of them is nearest.
pub(super) fn nearest_is(what: &str, unknown: &str, nearest: &str, known: &[&str]) -> String {
    format!("unknown {what} {unknown:?}; the nearest known one is {nearest:?} (known: {})", known.join(", "))
}

/// The known word with the least edits (insert, remove, replace, swap neighbours); ties go to the first. `None` if none
/// is known.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    known.iter().copied().min_by_key(|k| edits(word, k))
}

fn edits(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).flat_map(char::to_lowercase).collect();
    let b: Vec<char> = b.chars().take(64).flat_map(char::to_lowercase).collect();
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut least = replace.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    least = least.min(rows[i - 2][j - 2] + 1);
                }
                least
            };
        }
    }
    rows[a.len()][b.len()]
}
