//! Faults: what is done to the client on purpose, when, and to whom. Text, JSON lines and TOML say the same things.

use serde::{Deserialize, Serialize};

use super::config::SimError;
use super::rng::mix;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FaultKind {
    /// A frame of a stream is not sent. Without `stream` only chained streams are hit: a hole there can be proven.
    Drop,
    /// A frame is sent twice.
    Duplicate,
    /// A frame is sent after its successor.
    Reorder,
    /// Nothing is sent for `for_ms`, then all of it: on one connection, or of one `stream`.
    Stall,
    /// A connection ends: `how` = `rst` (default), `fin`, `close` (with `code`), `mid-frame`, `half-open` (for `for_ms`, then RST).
    Cut,
    /// All frames of a `symbol` (or of all) are lost for `for_ms`.
    Gap,
    /// `frames` snapshots are answered as the book was at the start.
    StaleSnapshot,
    /// Snapshots are answered `for_ms` late, `frames` times.
    LateSnapshot,
    /// `frames` snapshots carry an id in the hole after the symbol's last one (futures).
    HoleSnapshot,
    /// REST answers 429 for `for_ms`.
    #[serde(rename = "429")]
    Http429,
    /// REST answers 418 for `for_ms`.
    #[serde(rename = "418")]
    Http418,
    /// REST answers 503 for `for_ms`.
    #[serde(rename = "503")]
    Http503,
    /// REST answers 302 to another host for `for_ms`.
    Redirect,
    /// `frames` REST bodies are cut in half.
    TruncatedJson,
    /// A frame that is no JSON, or cut, or not UTF-8.
    Garbage,
    /// A well-formed event that nobody knows.
    UnknownEvent,
    /// The venue announces its end and closes `for_ms` later.
    ServerShutdown,
    /// New connections are reset for `for_ms`.
    Refuse,
    /// A diff or trade with ids near zero, between good ones.
    ResetIds,
    /// A diff or trade with ids beyond 64 bits, between good ones.
    HugeId,
    /// The bytes of `hex` on the socket, between frames.
    Raw,
    /// `frames` requests for a snapshot by message are answered with an error.
    RefuseSnapshot,
    /// `frames` diffs, for whoever listens, do not tell one of the levels that changed. Their ids are whole.
    OmitLevel,
    /// A symbol `龙虾USDT` is traded from the start.
    NonAscii,
    /// A `symbol` is traded no more: its streams are silent, REST does not know it. With `for_ms` it comes back.
    Delist,
    /// Trading in a `symbol` stops; the list says so, by `status` or the venue's own word. With `for_ms` it goes on.
    Halt,
    /// A `symbol` is traded (again); one that is not among the simulated ones is not there before.
    List,
    /// REST answers 403 with the page of a firewall for `for_ms`.
    #[serde(rename = "403")]
    Http403,
    /// REST answers that the weight is used up (439) for `for_ms`.
    #[serde(rename = "439")]
    Http439,
    /// REST answers that the key has no right to that for `for_ms`.
    Denied,
    /// A refusal that names no stream, between good frames.
    ErrorReply,
    /// A frame comes once more in gzip, as a binary one.
    Gzip,
    /// A frame comes once more in zlib, as a binary one.
    Zlib,
    /// A frame comes once more as it is, but as a binary one.
    Binary,
    /// `frames` messages that subscribe are refused; with a `code` of the venue's table, where it has one.
    RefuseSubscribe,
    /// A `stream`, all of a `symbol` or of a connection are taken and acknowledged, and bring nothing: for `for_ms`, or for ever.
    Mute,
    /// `frames` diffs, one behind the other, leave the book crossed: a bid above the best ask. The next one takes it back. Their ids are
    /// whole.
    CrossBook,
    /// New connections are turned away with 429 for `for_ms`; REST answers, and says so where the venue has an account of addresses.
    Ban,
}

impl FaultKind {
    /// All kinds.
    pub const ALL: [FaultKind; 38] = [
        FaultKind::Drop,
        FaultKind::Duplicate,
        FaultKind::Reorder,
        FaultKind::Stall,
        FaultKind::Cut,
        FaultKind::Gap,
        FaultKind::StaleSnapshot,
        FaultKind::LateSnapshot,
        FaultKind::HoleSnapshot,
        FaultKind::Http429,
        FaultKind::Http418,
        FaultKind::Http503,
        FaultKind::Redirect,
        FaultKind::TruncatedJson,
        FaultKind::Garbage,
        FaultKind::UnknownEvent,
        FaultKind::ServerShutdown,
        FaultKind::Refuse,
        FaultKind::ResetIds,
        FaultKind::HugeId,
        FaultKind::Raw,
        FaultKind::RefuseSnapshot,
        FaultKind::OmitLevel,
        FaultKind::NonAscii,
        FaultKind::Delist,
        FaultKind::Halt,
        FaultKind::List,
        FaultKind::Http403,
        FaultKind::Http439,
        FaultKind::Denied,
        FaultKind::ErrorReply,
        FaultKind::Gzip,
        FaultKind::Zlib,
        FaultKind::Binary,
        FaultKind::RefuseSubscribe,
        FaultKind::Mute,
        FaultKind::CrossBook,
        FaultKind::Ban,
    ];

    /// The word in scripts, flags and the oracle log.
    pub fn as_str(self) -> &'static str {
        match self {
            FaultKind::Drop => "drop",
            FaultKind::Duplicate => "duplicate",
            FaultKind::Reorder => "reorder",
            FaultKind::Stall => "stall",
            FaultKind::Cut => "cut",
            FaultKind::Gap => "gap",
            FaultKind::StaleSnapshot => "stale-snapshot",
            FaultKind::LateSnapshot => "late-snapshot",
            FaultKind::HoleSnapshot => "hole-snapshot",
            FaultKind::Http429 => "429",
            FaultKind::Http418 => "418",
            FaultKind::Http503 => "503",
            FaultKind::Redirect => "redirect",
            FaultKind::TruncatedJson => "truncated-json",
            FaultKind::Garbage => "garbage",
            FaultKind::UnknownEvent => "unknown-event",
            FaultKind::ServerShutdown => "server-shutdown",
            FaultKind::Refuse => "refuse",
            FaultKind::ResetIds => "reset-ids",
            FaultKind::HugeId => "huge-id",
            FaultKind::Raw => "raw",
            FaultKind::RefuseSnapshot => "refuse-snapshot",
            FaultKind::OmitLevel => "omit-level",
            FaultKind::NonAscii => "non-ascii",
            FaultKind::Delist => "delist",
            FaultKind::Halt => "halt",
            FaultKind::List => "list",
            FaultKind::Http403 => "403",
            FaultKind::Http439 => "439",
            FaultKind::Denied => "denied",
            FaultKind::ErrorReply => "error-reply",
            FaultKind::Gzip => "gzip",
            FaultKind::Zlib => "zlib",
            FaultKind::Binary => "binary",
            FaultKind::RefuseSubscribe => "refuse-subscribe",
            FaultKind::Mute => "mute",
            FaultKind::CrossBook => "cross-book",
            FaultKind::Ban => "ban",
        }
    }

    /// Whether it is done to single frames of a stream as they pass.
    pub fn hits_frames(self) -> bool {
        matches!(
            self,
            FaultKind::Drop
                | FaultKind::Duplicate
                | FaultKind::Reorder
                | FaultKind::Garbage
                | FaultKind::UnknownEvent
                | FaultKind::ResetIds
                | FaultKind::HugeId
                | FaultKind::ErrorReply
                | FaultKind::Gzip
                | FaultKind::Zlib
                | FaultKind::Binary
        )
    }

    /// Whether `frames` says how many frames, snapshots or bodies it is done to.
    pub fn counts_frames(self) -> bool {
        self.hits_frames()
            || matches!(
                self,
                FaultKind::StaleSnapshot
                    | FaultKind::LateSnapshot
                    | FaultKind::HoleSnapshot
                    | FaultKind::TruncatedJson
                    | FaultKind::RefuseSnapshot
                    | FaultKind::OmitLevel
                    | FaultKind::RefuseSubscribe
                    | FaultKind::CrossBook
            )
    }
}

/// The first `key=value` of a flag's list, and what is behind its comma. A value in double quotes may hold commas; a quote in
/// it is doubled.
fn param(list: &str) -> Result<(&str, String, &str), String> {
    let whole = list.split(',').next().unwrap_or(list);
    let behind = |at: usize| list.get(at + 1..).unwrap_or("");
    if whole.is_empty() {
        return Ok(("", String::new(), behind(0)));
    }
    let Some((key, value)) = whole.split_once('=') else {
        return Err(format!(
            "{whole:?} is not key=value (a value with a comma stands in quotes: stream=\"a,b\")"
        ));
    };
    if !value.starts_with('"') {
        return Ok((key, value.to_owned(), behind(whole.len())));
    }
    let (mut text, mut at) = (String::new(), key.len() + 2);
    loop {
        let Some(n) = list[at..].find('"') else { return Err(format!("the quotes of {key} have no end")) };
        text.push_str(&list[at..at + n]);
        at += n + 1;
        match list.as_bytes().get(at) {
            Some(b'"') => text.push('"'),
            None | Some(b',') => return Ok((key, text, behind(at))),
            Some(_) => return Err(format!("{:?} is behind the quotes of {key}", &list[at..])),
        }
        at += 1;
    }
}

/// How a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CutHow {
    /// TCP reset.
    #[default]
    Rst,
    /// TCP FIN without a close frame.
    Fin,
    /// A close frame with `code`.
    Close,
    /// Half of a frame, then FIN.
    MidFrame,
    /// Nothing is read or written any more; the socket stays open for `for_ms`, then RST.
    HalfOpen,
}

impl CutHow {
    /// The word in the oracle log.
    pub fn as_str(self) -> &'static str {
        match self {
            CutHow::Rst => "rst",
            CutHow::Fin => "fin",
            CutHow::Close => "close",
            CutHow::MidFrame => "mid-frame",
            CutHow::HalfOpen => "half-open",
        }
    }
}

fn one() -> u32 {
    1
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultSpec {
    /// What is done.
    pub kind: FaultKind,
    /// When, in ms after the first subscription. Without `at_ms` and `probability`: at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_ms: Option<u64>,
    /// Again after each so many ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_ms: Option<u64>,
    /// At random, per frame (frame faults) or per second (all others); the seed decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// Only this stream; `*` at the end matches any rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// Only this symbol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symbol: Option<String>,
    /// Only this connection (numbered from 1 in the order of opening).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conn: Option<u64>,
    /// How many snapshots or bodies; of frames, how many of the stream that is hit, one behind the other.
    #[serde(default = "one")]
    pub frames: u32,
    /// How long, ms.
    #[serde(default)]
    pub for_ms: u64,
    /// `Retry-After` of 429 and 418, seconds; `None` = as the venue does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u32>,
    /// How a connection ends.
    #[serde(default)]
    pub how: CutHow,
    /// WebSocket close code of `how = close`, or the code of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u32>,
    /// Bytes of `raw`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hex: String,
    /// What the list says of a symbol that is halted; "" = the venue's own word.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub status: String,
}

impl FaultSpec {
    /// A fault of this kind, at once, with nothing else said.
    pub fn new(kind: FaultKind) -> FaultSpec {
        FaultSpec {
            kind,
            at_ms: None,
            every_ms: None,
            probability: None,
            stream: None,
            symbol: None,
            conn: None,
            frames: 1,
            for_ms: 0,
            retry_after_s: None,
            how: CutHow::Rst,
            code: None,
            hex: String::new(),
            status: String::new(),
        }
    }

    /// The same at this time, ms after the first subscription.
    pub fn at(mut self, at_ms: u64) -> FaultSpec {
        self.at_ms = Some(at_ms);
        self
    }

    /// Reads a flag: `kind[=probability][@at_ms][:key=value,…]`, e.g. `drop=0.001`, `cut@15000:how=fin`,
    /// `drop@8000:stream=btcusdt@depth@100ms,frames=3`, `429@3000:for_ms=5000,retry_after_s=2`. A value with a comma stands
    /// in double quotes, `mute:stream="a,b"`; a quote in it is doubled.
    ///
    /// # Errors
    /// [`SimError::Fault`] naming the part that is wrong.
    pub fn parse(text: &str) -> Result<FaultSpec, SimError> {
        let bad = |what: String| SimError::Fault { text: text.to_owned(), what };
        let (head, params) = text.split_once(':').unwrap_or((text, ""));
        let (head, at) = match head.split_once('@') {
            Some((h, at)) => (h, Some(at)),
            None => (head, None),
        };
        let (word, p) = match head.split_once('=') {
            Some((w, p)) => (w, Some(p)),
            None => (head, None),
        };
        let mut obj = serde_json::Map::new();
        obj.insert("kind".into(), word.into());
        if let Some(at) = at {
            let n: u64 = at.parse().map_err(|_| bad(format!("{at:?} is no time in ms")))?;
            obj.insert("at_ms".into(), n.into());
        }
        if let Some(p) = p {
            let n: f64 = p.parse().map_err(|_| bad(format!("{p:?} is no probability")))?;
            obj.insert("probability".into(), n.into());
        }
        let mut rest = params;
        while !rest.is_empty() {
            let (k, v, behind) = param(rest).map_err(&bad)?;
            rest = behind;
            if k.is_empty() {
                continue;
            }
            let text_key = matches!(k, "stream" | "symbol" | "how" | "hex" | "status");
            let v = match v.parse::<u64>() {
                Ok(n) if !text_key => n.into(),
                _ => v.into(),
            };
            obj.insert(k.into(), v);
        }
        FaultSpec::from_json(serde_json::Value::Object(obj), text)
    }

    fn from_json(v: serde_json::Value, text: &str) -> Result<FaultSpec, SimError> {
        let known = || FaultKind::ALL.map(FaultKind::as_str).join(", ");
        let bad = |what: String| SimError::Fault { text: text.to_owned(), what };
        if let Some(k) = v.get("kind").and_then(|k| k.as_str())
            && !FaultKind::ALL.iter().any(|x| x.as_str() == k)
        {
            return Err(bad(format!("unknown kind {k:?}; known: {}", known())));
        }
        let spec: FaultSpec = serde_json::from_value(v).map_err(|e| bad(e.to_string()))?;
        spec.check(text)?;
        Ok(spec)
    }

    /// Whether the parts fit together.
    ///
    /// # Errors
    /// [`SimError::Fault`] naming the part that is wrong.
    pub fn check(&self, text: &str) -> Result<(), SimError> {
        let bad = |what: &str| Err(SimError::Fault { text: text.to_owned(), what: what.to_owned() });
        if self.probability.is_some_and(|p| !(0.0..=1.0).contains(&p)) {
            return bad("a probability is between 0 and 1");
        }
        if self.probability.is_some() && self.at_ms.is_some() {
            return bad("either a time or a probability, not both");
        }
        if self.every_ms == Some(0) {
            return bad("every_ms must be above 0");
        }
        if self.frames == 0 {
            return bad("frames must be above 0");
        }
        if self.frames > 1 && !self.kind.counts_frames() {
            return bad("frames says nothing of this kind");
        }
        if self.kind == FaultKind::Raw && from_hex(&self.hex).is_none_or(|b| b.is_empty()) {
            return bad("raw needs hex=…, an even number of hex digits");
        }
        let of_one = matches!(self.kind, FaultKind::Delist | FaultKind::Halt | FaultKind::List);
        if of_one && self.symbol.as_deref().is_none_or(str::is_empty) {
            return bad("needs symbol=…");
        }
        let is_close = self.kind == FaultKind::Cut && self.how == CutHow::Close;
        if is_close && self.code.is_some_and(|c| u16::try_from(c).is_err()) {
            return bad("a close code is below 65536");
        }
        let of_some = self.stream.is_some() || self.symbol.is_some() || self.conn.is_some();
        if self.kind == FaultKind::Mute && !of_some {
            return bad("needs stream=…, symbol=… or conn=…");
        }
        let timed = matches!(
            self.kind,
            FaultKind::Stall
                | FaultKind::Gap
                | FaultKind::LateSnapshot
                | FaultKind::Http429
                | FaultKind::Http418
                | FaultKind::Http503
                | FaultKind::Http403
                | FaultKind::Http439
                | FaultKind::Denied
                | FaultKind::Redirect
                | FaultKind::Refuse
                | FaultKind::Ban
        ) || self.how == CutHow::HalfOpen;
        if timed && self.for_ms == 0 {
            return bad("needs for_ms=…, a time in ms");
        }
        Ok(())
    }

    /// Whether a stream (of a symbol, if it has one) on a connection is meant.
    pub fn aims_at(&self, conn: u64, stream: &str, symbol: Option<&str>) -> bool {
        self.conn.is_none_or(|c| c == conn)
            && self.symbol.as_deref().is_none_or(|s| symbol.is_some_and(|x| x.eq_ignore_ascii_case(s)))
            && self.stream.as_deref().is_none_or(|p| match p.strip_suffix('*') {
                Some(start) => stream.starts_with(start),
                None => stream == p,
            })
    }

    /// Whether a random fault strikes here: a pure function of the seed and of what names the place.
    pub fn strikes(&self, seed: u64, fault_ix: usize, conn: u64, place: u64, ordinal: u64) -> bool {
        let Some(p) = self.probability else { return false };
        let h = mix(mix(mix(mix(seed ^ 0xfa17) ^ fault_ix as u64) ^ conn) ^ place).wrapping_add(mix(ordinal));
        // 53 bits are all that a double holds; the comparison is exact enough for any probability worth asking for.
        ((mix(h) >> 11) as f64) < p * (1u64 << 53) as f64
    }
}

/// Reads a script: JSON lines (`#` begins a comment line), or TOML with `[[fault]]` tables.
///
/// # Errors
/// [`SimError::Fault`] with the first line or table that cannot be read.
pub fn parse_script(text: &str) -> Result<Vec<FaultSpec>, SimError> {
    let first = text.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with('#'));
    match first {
        None => Ok(Vec::new()),
        Some(l) if l.starts_with('{') => text
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty() && !l.starts_with('#'))
            .map(|l| {
                let v = serde_json::from_str(l)
                    .map_err(|e| SimError::Fault { text: l.to_owned(), what: e.to_string() })?;
                FaultSpec::from_json(v, l)
            })
            .collect(),
        Some(l) => {
            #[derive(Deserialize)]
            #[serde(deny_unknown_fields)]
            struct Script {
                fault: Vec<serde_json::Value>,
            }
            let s: Script = toml::from_str(text)
                .map_err(|e| SimError::Fault { text: l.to_owned(), what: e.message().to_owned() })?;
            s.fault
                .into_iter()
                .map(|v| {
                    let t = v.to_string();
                    FaultSpec::from_json(v, &t)
                })
                .collect()
        }
    }
}

/// Bytes of hex digits; `None` if they are none.
pub fn from_hex(s: &str) -> Option<Vec<u8>> {
    if !s.is_ascii() || !s.len().is_multiple_of(2) {
        return None;
    }
    (0..s.len()).step_by(2).map(|i| u8::from_str_radix(&s[i..i + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_say_what_they_mean() {
        let f = FaultSpec::parse("drop=0.001").unwrap();
        assert_eq!((f.kind, f.probability, f.frames), (FaultKind::Drop, Some(0.001), 1));
        let f = FaultSpec::parse("drop@8000:stream=btcusdt@depth@100ms,frames=3").unwrap();
        assert_eq!((f.at_ms, f.stream.as_deref(), f.frames), (Some(8000), Some("btcusdt@depth@100ms"), 3));
        let f = FaultSpec::parse("429@3000:for_ms=5000,retry_after_s=2").unwrap();
        assert_eq!((f.kind, f.for_ms, f.retry_after_s), (FaultKind::Http429, 5000, Some(2)));
        let f = FaultSpec::parse("cut@15000:how=mid-frame,conn=2").unwrap();
        assert_eq!((f.how, f.conn), (CutHow::MidFrame, Some(2)));
        assert_eq!(FaultSpec::parse("raw:hex=ff00").unwrap().hex, "ff00");
    }

    #[test]
    fn a_name_with_a_comma_stands_in_quotes() {
        let f = FaultSpec::parse("drop@8000:stream=\"depth@btc_usdt,10\",frames=3").unwrap();
        assert_eq!((f.stream.as_deref(), f.frames), (Some("depth@btc_usdt,10"), 3));
        let f = FaultSpec::parse("mute:for_ms=5,stream=\"depth@btc_usdt,*\"").unwrap();
        assert_eq!((f.stream.as_deref(), f.for_ms), (Some("depth@btc_usdt,*"), 5));
        // A quote in quotes is doubled; one that does not begin the value is a letter like others.
        assert_eq!(FaultSpec::parse("mute:stream=\"a\"\"b,c\"").unwrap().stream.as_deref(), Some("a\"b,c"));
        assert_eq!(FaultSpec::parse("mute:stream=a\"b").unwrap().stream.as_deref(), Some("a\"b"));
        assert_eq!(FaultSpec::parse("drop:symbol=\"\",frames=2").unwrap().symbol.as_deref(), Some(""));
    }

    #[test]
    fn wrong_flags_name_what_is_wrong() {
        for (text, says) in [
            ("dorp", "unknown kind"),
            ("drop=2", "between 0 and 1"),
            ("drop=x", "no probability"),
            ("drop@x", "no time"),
            ("drop:frames", "key=value"),
            ("mute:stream=depth@btc_usdt,10", "quotes"),
            ("mute:stream=\"depth@btc_usdt,10", "no end"),
            ("mute:stream=\"depth\"@btc_usdt,10", "behind the quotes"),
            ("cut@5:frames=3", "frames"),
            ("mute:stream=a,frames=3", "frames"),
            ("drop:frames=0", "above 0"),
            ("drop:colour=red", "colour"),
            ("stall@5", "for_ms"),
            ("cut:how=half-open", "for_ms"),
            ("raw:hex=f", "hex"),
            ("drop=0.1:at_ms=4", "not both"),
        ] {
            let e = FaultSpec::parse(text).unwrap_err().to_string();
            assert!(e.contains(says), "{text}: {e}");
        }
    }

    #[test]
    fn scripts_are_json_lines_or_toml() {
        let j = "# a comment\n{\"kind\":\"drop\",\"at_ms\":5}\n\n{\"kind\":\"503\",\"for_ms\":9}\n";
        let t = "[[fault]]\nkind = \"drop\"\nat_ms = 5\n[[fault]]\nkind = \"503\"\nfor_ms = 9\n";
        let a = parse_script(j).unwrap();
        assert_eq!(a, parse_script(t).unwrap());
        assert_eq!(a.len(), 2);
        assert_eq!(parse_script("\n# nothing\n").unwrap(), []);
        assert!(parse_script("{\"kind\":\"drop\",").is_err());
        assert!(parse_script("[[fault]]\nkind = 3\n").is_err());
        assert!(parse_script("colour = 3\n").is_err());
    }

    #[test]
    fn every_kind_has_one_word() {
        for k in FaultKind::ALL {
            assert_eq!(serde_json::to_value(k).unwrap(), k.as_str());
        }
    }

    #[test]
    fn chance_is_the_seeds_and_near_its_probability() {
        let f = FaultSpec::parse("drop=0.01").unwrap();
        let hits = |seed| (0..100_000u64).filter(|&n| f.strikes(seed, 0, 1, 77, n)).collect::<Vec<_>>();
        assert_eq!(hits(5), hits(5));
        assert_ne!(hits(5), hits(6));
        assert!((800..1200).contains(&hits(5).len()), "{}", hits(5).len());
    }

    #[test]
    fn aims() {
        let f = FaultSpec::parse("drop:stream=btcusdt@*,conn=2").unwrap();
        assert!(f.aims_at(2, "btcusdt@trade", Some("BTCUSDT")));
        assert!(!f.aims_at(1, "btcusdt@trade", Some("BTCUSDT")));
        assert!(!f.aims_at(2, "ethusdt@trade", Some("ETHUSDT")));
        let f = FaultSpec::parse("gap:symbol=ethusdt,for_ms=5").unwrap();
        assert!(f.aims_at(9, "ethusdt@trade", Some("ETHUSDT")) && !f.aims_at(9, "!bookTicker", None));
    }
}
