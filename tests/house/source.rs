//! Rust source made plain enough to be judged by line: comments and literals taken out, test code marked.

use crate::common::{files_below, read};

/// One file of Rust.
pub struct Source {
    /// Relative to the checkout.
    pub path: String,
    /// Lines as written.
    pub lines: Vec<String>,
    /// The same lines without comments and without the inside of literals.
    pub code: Vec<String>,
    /// The comments of each line.
    pub comments: Vec<String>,
    /// Whether the line belongs to test code.
    pub test: Vec<bool>,
}

impl Source {
    pub fn all_below(dir: &str) -> Vec<Source> {
        files_below(dir)
            .into_iter()
            .filter(|f| f.ends_with(".rs"))
            .map(|f| Source::new(&f, &read(&f)))
            .collect()
    }

    pub fn new(path: &str, text: &str) -> Source {
        let (code, comments) = split(text);
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let pad = |mut v: Vec<String>| {
            v.resize(lines.len(), String::new());
            v
        };
        let (code, comments) = (pad(code), pad(comments));
        let test = mark_tests(path, &code);
        Source { path: path.to_owned(), lines, code, comments, test }
    }

    /// The room: the folder below `src/`, or the file for `lib.rs` and `main.rs`.
    pub fn room(&self) -> Option<&str> {
        self.path.strip_prefix("src/").map(|r| r.split(['/', '.']).next().unwrap_or(r))
    }

    /// Lines of product code: 1-based number and text without comments.
    pub fn product(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.iter().enumerate().filter(|(i, _)| !self.test[*i]).map(|(i, l)| (i + 1, l.as_str()))
    }

    /// Whether a comment stands on the 1-based line or in the lines directly above it, and contains `word`.
    pub fn comment_near(&self, line: usize, above: usize, word: &str) -> bool {
        let from = line.saturating_sub(above + 1);
        self.comments[from..line].iter().any(|c| !c.is_empty() && c.contains(word))
    }

    /// Functions as (name, first line, last line), 1-based.
    pub fn functions(&self) -> Vec<(String, usize, usize)> {
        let mut found = Vec::new();
        for (i, line) in self.code.iter().enumerate() {
            let Some(name) = fn_name(line) else { continue };
            if let Some(end) = end_of_block(&self.code, i) {
                found.push((name, i + 1, end + 1));
            }
        }
        found
    }
}

fn fn_name(line: &str) -> Option<String> {
    let at = if line.trim_start().starts_with("fn ") { line.find("fn ")? } else { line.find(" fn ")? + 1 };
    let name: String = line[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

/// Line on which the block that opens at or after `from` closes; `None` if `;` comes first.
fn end_of_block(code: &[String], from: usize) -> Option<usize> {
    let (mut depth, mut round) = (0i32, 0i32);
    for (i, line) in code.iter().enumerate().skip(from) {
        for c in line.chars() {
            match c {
                '(' | '[' => round += 1,
                ')' | ']' => round -= 1,
                ';' if depth == 0 && round == 0 => return None,
                '{' => depth += 1,
                '}' => {
                    depth -= 1;
                    if depth == 0 {
                        return Some(i);
                    }
                }
                _ => {}
            }
        }
    }
    None
}

fn mark_tests(path: &str, code: &[String]) -> Vec<bool> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let whole = !path.starts_with("src/")
        || name == "tests.rs"
        || name.ends_with("_tests.rs")
        || path.contains("/tests/");
    let mut test = vec![whole; code.len()];
    for i in 0..code.len() {
        if code[i].contains("#[cfg(test)]") || code[i].contains("#[cfg(all(test") {
            let after = code[i].find("test").map_or(0, |p| p);
            let rest_opens = code[i][after..].contains('{');
            let from = if rest_opens { i } else { i + 1 };
            let end = end_of_block(code, from).unwrap_or(from);
            test[i..=end.min(code.len() - 1)].fill(true);
        }
    }
    test
}

/// Code and comments, line by line.
fn split(text: &str) -> (Vec<String>, Vec<String>) {
    let c: Vec<char> = text.chars().collect();
    let (mut code, mut comments) = (vec![String::new()], vec![String::new()]);
    let mut i = 0;
    macro_rules! newline {
        () => {{
            code.push(String::new());
            comments.push(String::new());
        }};
    }
    while i < c.len() {
        let rest = &c[i..];
        if rest.starts_with(&['/', '/']) {
            while i < c.len() && c[i] != '\n' {
                comments.last_mut().unwrap().push(c[i]);
                i += 1;
            }
        } else if rest.starts_with(&['/', '*']) {
            let mut depth = 0;
            while i < c.len() {
                if c[i..].starts_with(&['/', '*']) {
                    depth += 1;
                    i += 2;
                } else if c[i..].starts_with(&['*', '/']) {
                    depth -= 1;
                    i += 2;
                    if depth == 0 {
                        break;
                    }
                } else {
                    if c[i] == '\n' {
                        newline!()
                    } else {
                        comments.last_mut().unwrap().push(c[i])
                    }
                    i += 1;
                }
            }
        } else if let Some(end) = literal_end(&c, i) {
            code.last_mut().unwrap().push('"');
            for &x in &c[i..end] {
                if x == '\n' {
                    newline!();
                }
            }
            code.last_mut().unwrap().push('"');
            i = end;
        } else {
            if c[i] == '\n' {
                newline!()
            } else {
                code.last_mut().unwrap().push(c[i])
            }
            i += 1;
        }
    }
    (code, comments)
}

/// If a text or character literal begins at `i`, the index behind it.
fn literal_end(c: &[char], i: usize) -> Option<usize> {
    let word_before = i > 0 && (c[i - 1].is_alphanumeric() || c[i - 1] == '_');
    let mut at = i;
    if !word_before {
        if c.get(at) == Some(&'b') || c.get(at) == Some(&'c') {
            at += 1;
        }
        if c.get(at) == Some(&'r') {
            let hashes = c[at + 1..].iter().take_while(|x| **x == '#').count();
            if c.get(at + 1 + hashes) == Some(&'"') {
                let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
                let body = at + 2 + hashes;
                let end = c[body..].windows(close.len()).position(|w| w == close)?;
                return Some(body + end + close.len());
            }
        }
    }
    match c.get(at) {
        Some('"') => {
            let mut j = at + 1;
            while j < c.len() && c[j] != '"' {
                j += if c[j] == '\\' { 2 } else { 1 };
            }
            Some((j + 1).min(c.len()))
        }
        // A lifetime has no closing quote right behind one character.
        Some('\'') if c.get(at + 1) == Some(&'\\') => {
            let close = c[at + 3..].iter().position(|x| *x == '\'')?;
            Some(at + 3 + close + 1)
        }
        Some('\'') if c.get(at + 2) == Some(&'\'') => Some(at + 3),
        _ => None,
    }
}

#[test]
fn the_reader_of_source_sees_what_the_compiler_sees() {
    let text = r##"
use crate::model; // crate::wire in a comment
const A: &str = "crate::http \" { "; /* crate::cli
{ */ const B: char = '{'; const C: char = '\''; const D: &str = r#"crate::sink "{""#;
fn f<'a>(x: &'a str) -> [u8; 2] {
    *b"}{"
}
fn declared(x: u8);
#[cfg(test)]
mod tests {
    fn inside() {}
}
fn after() {}
"##;
    let s = Source::new("src/book/mod.rs", text);
    let code = s.code.join("\n");
    for hidden in ["wire", "http", "cli", "sink"] {
        assert!(!code.contains(hidden), "{hidden} in {code}");
    }
    assert!(code.contains("crate::model"));
    assert_eq!(
        s.functions(),
        [("f".to_owned(), 5, 7), ("inside".to_owned(), 11, 11), ("after".to_owned(), 13, 13)]
    );
    let tests: Vec<usize> = (1..=s.lines.len()).filter(|i| s.test[i - 1]).collect();
    assert_eq!(tests, [9, 10, 11, 12]);
    assert_eq!(s.room(), Some("book"));
}
