//! Symbols by rule: which of the instruments that a venue lists are wanted.

use serde::{Deserialize, Serialize};

/// What an instrument must be; all that is given must hold. Names are the venue's own, compared letter by letter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SymbolRule {
    /// Quote asset (`USDT`).
    pub quote: Option<String>,
    /// Base asset (`BTC`).
    pub base: Option<String>,
    /// The venue's word for its state (`TRADING`).
    pub status: Option<String>,
    /// The venue's word for its kind (`PERPETUAL`).
    pub contract_type: Option<String>,
    /// Patterns of which one must fit: `*` is any text, `?` any character.
    pub glob: Patterns,
    /// Patterns of which none may fit.
    pub exclude: Patterns,
    /// The so many with the greatest volume of the last 24 hours, of those that fit.
    pub top_by_volume: Option<u32>,
}

/// One pattern or a list of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Patterns(pub Vec<String>);

impl<'de> Deserialize<'de> for Patterns {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Patterns, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            One(String),
            List(Vec<String>),
        }
        let wrong = |_| serde::de::Error::custom("expected a pattern like \"*USDT\", or a list of them");
        Form::deserialize(d).map_err(wrong).map(|f| match f {
            Form::One(p) => Patterns(vec![p]),
            Form::List(all) => Patterns(all),
        })
    }
}

impl Patterns {
    /// Whether one of them fits.
    pub fn fits(&self, text: &str) -> bool {
        self.0.iter().any(|p| glob(p, text))
    }
}

impl SymbolRule {
    /// What no rule could mean; `None` if it is well.
    pub fn fault(&self) -> Option<String> {
        if *self == SymbolRule::default() {
            return Some(
                "the rule is empty; give it at least one of quote, base, status, contract_type, glob, top_by_volume"
                    .to_owned(),
            );
        }
        if self.top_by_volume == Some(0) {
            return Some("top_by_volume = 0 leaves nothing; write 1 or more".to_owned());
        }
        let empty = |p: &Patterns| p.0.iter().any(String::is_empty);
        (empty(&self.glob) || empty(&self.exclude)).then(|| "an empty pattern fits nothing".to_owned())
    }
}

/// Whether a pattern fits a whole text. Time grows with the product of their lengths at worst.
fn glob(pattern: &str, text: &str) -> bool {
    let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut i, mut j) = (0, 0);
    // Where to go on after the last star if what follows does not fit: one character further on.
    let mut star: Option<(usize, usize)> = None;
    while j < t.len() {
        match p.get(i) {
            Some('*') => {
                star = Some((i + 1, j));
                i += 1;
            }
            Some(c) if *c == '?' || *c == t[j] => (i, j) = (i + 1, j + 1),
            _ => match star {
                Some((after, from)) => {
                    star = Some((after, from + 1));
                    (i, j) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
    p[i..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_texts() {
        let cases = [
            ("*USDT", "BTCUSDT", true),
            ("*USDT", "BTCUSDC", false),
            ("BTC*", "BTCUSDT", true),
            ("*", "", true),
            ("", "", true),
            ("?", "龙", true),
            ("1000*", "1000PEPEUSDT", true),
            ("B?C*T", "BTCUSDT", true),
            ("*A*B*C", "xAyBzAC", true),
            ("*A*B*C", "xAyCzB", false),
            ("BTC", "BTCUSDT", false),
            ("btc*", "BTCUSDT", false),
        ];
        for (p, t, fits) in cases {
            assert_eq!(glob(p, t), fits, "{p} {t}");
        }
        let long = "a".repeat(20_000);
        assert!(!glob("*a*a*a*a*b", &long[..2000]));
    }
}
