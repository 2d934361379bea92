use super::*;
use crate::model::instrument::SYMBOL_BYTES_MAX;
use std::ffi::OsString;

const GOOD: &str =
    "[[venue]]\nid = \"aster-futures\"\nsymbols = [\"BTCUSDT\"]\nchannels = [\"depth@100ms\"]\n";

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::from_parts("x.toml", text, [], &[])
}

fn parse_with(text: &str, env: &[(&str, &str)], flags: &[&str]) -> Result<Config, ConfigError> {
    let env = env.iter().map(|(k, v)| (OsString::from(k), OsString::from(v)));
    let flags: Vec<String> = flags.iter().map(|f| (*f).to_owned()).collect();
    Config::from_parts("x.toml", text, env, &flags)
}

/// The error's text must begin with `place` and contain all of `parts`.
#[track_caller]
fn refused(result: Result<Config, ConfigError>, place: &str, parts: &[&str]) {
    let e = result.expect_err("this text must be refused").to_string();
    assert!(e.starts_with(&format!("{place}: ")), "place of {e:?}");
    for p in parts {
        assert!(e.contains(p), "{p:?} in {e:?}");
    }
    assert!(!e.contains('\n'), "one line: {e:?}");
}

#[test]
fn the_design_s_example_works_as_written() {
    let text = r#"
[dataset]
path = "data"                      # created; refused if it is not ours or in use
interval = "1h"                    # how often parts are published
keep = { raw = "30d" }             # optional

[capture]
cores = [1]                        # raw CPU ids for reader threads; empty = not pinned
wait = "epoll"                     # or "spin" on isolated cores

[http]
listen = "127.0.0.1:9464"          # /livez /readyz /metrics /status; omit to turn off

[[venue]]
id = "aster-futures"
symbols = ["BTCUSDT", "ETHUSDT"]
channels = ["depth@100ms", "aggTrade", "bookTicker", "markPrice@1s", "forceOrder"]
legs = 1
rest = "http://127.0.0.1:8080"
ws = "ws://127.0.0.1:8080"
"#;
    let c = parse(text).unwrap();
    assert_eq!(c.dataset.interval_ns, 3_600_000_000_000);
    assert_eq!(c.dataset.keep["raw"], 30 * 86_400_000_000_000);
    assert_eq!((c.capture.cores.as_slice(), c.capture.wait), ([1].as_slice(), Wait::Epoll));
    assert_eq!(c.http.unwrap().listen.port(), 9464);
    assert_eq!(c.venues[0].symbols, ["BTCUSDT", "ETHUSDT"]);
    assert_eq!(c.venues[0].channels.len(), 5);
    assert_eq!(c.venues[0].ws.as_deref(), Some("ws://127.0.0.1:8080"));
}

#[test]
fn what_is_left_out_has_a_default() {
    let c = parse(GOOD).unwrap();
    assert_eq!(c.dataset.path, Path::new("data"));
    assert_eq!(c.dataset.book_top_interval_ns, 100_000_000);
    assert_eq!(c.capture.ring_size, 64 << 20);
    assert_eq!(c.http, None);
    assert_eq!((c.venues[0].legs, c.venues[0].allow_missing), (1, false));
}

#[test]
fn the_example_file_documents_every_key_and_its_default() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/lobtape.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut c = parse(&text).unwrap();
    // With its commented keys switched on it must still be good.
    let on: String = text
        .lines()
        .map(|l| match l.strip_prefix("# ") {
            Some(rest) if rest.split_once(" = ").is_some_and(|(k, _)| !k.contains(' ')) => {
                format!("{rest}\n")
            }
            _ => format!("{l}\n"),
        })
        .collect();
    parse(&on).unwrap();
    let mut table = String::new();
    let mut there = Vec::new();
    for line in on.lines() {
        if line.starts_with('[') {
            table = line.trim_matches(['[', ']']).to_owned() + ".";
        } else if let Some((key, _)) = line.split_once(" = ")
            && !line.starts_with('#')
        {
            there.push(format!("{table}{key}"));
        }
    }
    there.sort();
    let mut all = raw::all_keys();
    all.sort();
    assert_eq!(there, all, "examples/lobtape.toml must document each key once");
    // What it shows as the default is the default.
    let d = parse(GOOD).unwrap();
    assert_eq!(std::mem::take(&mut c.dataset.keep).len(), 1);
    assert_eq!((c.dataset, c.capture, c.tls, c.proxy), (d.dataset, d.capture, d.tls, d.proxy));
    assert_eq!(c.venues[0].rest_weight_share, d.venues[0].rest_weight_share);
    assert_eq!(c.venues[0].allow_missing, d.venues[0].allow_missing);
}

#[test]
fn unknown_keys_name_the_nearest_and_the_line() {
    let t = |s: &str| format!("{GOOD}{s}");
    refused(parse(&t("symbls = [\"A\"]\n")), "x.toml:5", &["\"symbls\"", "nearest known one is \"symbols\""]);
    refused(parse(&t("[capture]\n\nwiat = 1\n")), "x.toml:7", &["\"wiat\"", "\"wait\""]);
    refused(parse(&t("[dataset]\nintervall = \"1h\"\n")), "x.toml:6", &["\"interval\""]);
    refused(parse(&t("[datasets]\n")), "x.toml:5", &["\"datasets\"", "\"dataset\""]);
    refused(parse(&t("[dataset]\nkeep = { rawe = \"1d\" }\n")), "x.toml:6", &["\"rawe\"", "\"raw\""]);
    refused(parse(&t("[http]\nport = 1\n")), "x.toml:6", &["\"port\"", "\"listen\""]);
}

#[test]
fn wrong_types_and_values_name_the_line() {
    let t = |s: &str| format!("{GOOD}{s}");
    refused(parse("[[venue]]\nid = 5\n"), "x.toml:2", &["integer", "string"]);
    refused(parse(&t("[dataset]\ninterval = 3600\n")), "x.toml:6", &["a duration like"]);
    refused(parse(&t("[dataset]\ninterval = \"1 hour\"\n")), "x.toml:6", &["\"1 hour\"", "unit"]);
    refused(parse(&t("[dataset]\ninterval = \"7m\"\n")), "x.toml: dataset.interval", &["divide a day"]);
    refused(parse(&t("[dataset]\ninterval = \"-1h\"\n")), "x.toml: dataset.interval", &["divide a day"]);
    refused(parse(&t("[dataset]\nmax_size = \"2 lots\"\n")), "x.toml:6", &["\"2 lots\"", "MiB"]);
    refused(parse(&t("[dataset]\nmax_size = -1\n")), "x.toml:6", &["negative"]);
    refused(parse(&t("[dataset]\nmax_size = \"1MB\"\n")), "x.toml: dataset.max_size", &["100MiB"]);
    refused(parse(&t("[dataset]\nkeep = { raw = \"2h\" }\n")), "x.toml: dataset.keep.raw", &["1d"]);
    refused(parse(&t("[dataset]\npath = \"\"\n")), "x.toml: dataset.path", &["empty"]);
    refused(parse(&t("[capture]\nwait = \"poll\"\n")), "x.toml:6", &["unknown value \"poll\"", "\"epoll\""]);
    refused(parse(&t("[capture]\ncores = [-1]\n")), "x.toml:6", &["-1"]);
    refused(parse(&t("[capture]\ncores = [1, 1]\n")), "x.toml: capture.cores", &["twice"]);
    refused(parse(&t("[capture]\nring_size = \"65MiB\"\n")), "x.toml: capture.ring_size", &["power of two"]);
    refused(parse(&t("[capture]\nring_size = \"1kB\"\n")), "x.toml: capture.ring_size", &["between"]);
    refused(parse(&t("[capture]\nring_size = \"16MiB\"\n")), "x.toml: capture.ring_size", &["32MiB"]);
    refused(parse(&t("rest_weight_share = 1.5\n")), "x.toml:5", &["above 0"]);
    refused(parse(&t("rest_weight_share = nan\n")), "x.toml:5", &["above 0"]);
    refused(parse(&t("[dataset\n")), "x.toml:5", &[]);
    refused(parse(&t("id = \"twice\"\n")), "x.toml:5", &["duplicate key"]);
}

#[test]
fn nothing_to_capture_is_refused() {
    refused(parse(""), "x.toml", &["[[venue]]"]);
    refused(parse("[[venue]]\nsymbols = [\"A\"]\n"), "x.toml:1", &["no id"]);
    refused(parse("[[venue]]\nid = \"v\"\nsymbols = [\"A\"]\n"), "x.toml:1", &["no channels"]);
    let v = "[[venue]]\nid = \"v\"\n";
    refused(parse(&format!("{v}symbols = [\"A\"]\nchannels = []\n")), "x.toml:4", &["empty"]);
    refused(parse(&format!("{v}symbols = []\nchannels = [\"trade\"]\n")), "x.toml:3", &["zero streams"]);
    refused(parse(&format!("{v}channels = [\"trade\"]\n")), "x.toml:1", &["zero streams"]);
    assert!(
        parse(&format!("{v}channels = [\"!miniTicker@arr\"]\n")).is_ok(),
        "all-market streams need no symbol"
    );
}

#[test]
fn symbols_by_rule_are_read_and_nonsense_is_refused() {
    let with =
        |rule: &str| parse(&format!("[[venue]]\nid = \"v\"\nchannels = [\"trade\"]\nsymbols = {rule}\n"));
    let c = with(
        "{ quote = \"USDT\", status = \"TRADING\", top_by_volume = 50, exclude = \"*DOM*\", glob = [\"B*\", \"E*\"] }",
    );
    let v = &c.unwrap().venues[0];
    let rule = v.rule.as_ref().unwrap();
    assert!(v.symbols.is_empty());
    assert_eq!((rule.quote.as_deref(), rule.top_by_volume), (Some("USDT"), Some(50)));
    assert!(rule.exclude.fits("BTCDOMUSDT") && rule.glob.fits("ETHUSDT") && !rule.glob.fits("SOLUSDT"));
    refused(with("{}"), "x.toml:4", &["the rule is empty"]);
    refused(with("{ top_by_volume = 0 }"), "x.toml:4", &["1 or more"]);
    refused(with("{ qoute = \"USDT\" }"), "x.toml:4", &["\"qoute\"", "nearest known one is \"quote\""]);
    refused(with("{ glob = 7 }"), "x.toml:4", &["pattern"]);
    refused(with("{ glob = \"\" }"), "x.toml:4", &["empty pattern"]);
    refused(with("7"), "x.toml:4", &["list of symbols", "rule"]);
}

#[test]
fn what_is_not_built_says_so() {
    refused(parse(&format!("{GOOD}legs = 3\n")), "x.toml:5", &["1 or 2"]);
    refused(parse(&format!("{GOOD}legs = 0\n")), "x.toml:5", &["1 or 2"]);
    refused(parse(&format!("{GOOD}{GOOD}")), "x.toml:5", &["stands twice"]);
}

#[test]
fn names_that_cannot_be_names_are_refused() {
    let with = |s: &str| parse(&format!("[[venue]]\nid = \"v\"\nsymbols = {s}\nchannels = [\"trade\"]\n"));
    refused(with("[\"\"]"), "x.toml:3", &["cannot be a symbol"]);
    refused(with("[\"A\\u0000B\"]"), "x.toml:3", &["cannot be a symbol"]);
    refused(
        with(&format!("[\"{}\"]", "A".repeat(SYMBOL_BYTES_MAX + 1))),
        "x.toml:3",
        &[&SYMBOL_BYTES_MAX.to_string()],
    );
    refused(with("[\"A\", \"B\", \"A\"]"), "x.toml:3", &["\"A\" stands twice"]);
    // Symbols are opaque: how they become file names is the dataset's business.
    assert!(with(&format!("[\"{}\"]", "A".repeat(SYMBOL_BYTES_MAX))).is_ok());
    assert!(with("[\"BTC/USDT\", \"../../x\", \"龙虾USDT\", \"1000\"]").is_ok());
}

#[test]
fn only_loopback_is_spoken_to_in_the_clear() {
    let with = |s: &str| parse(&format!("{GOOD}{s}\n"));
    refused(with("ws = \"ws://example.com\""), "x.toml:5", &["loopback", "wss"]);
    refused(with("rest = \"http://10.0.0.1:80\""), "x.toml:5", &["loopback", "https"]);
    refused(with("rest = \"http://127.0.0.1.evil.com\""), "x.toml:5", &["loopback"]);
    refused(with("rest = \"https://user:pass@host\""), "x.toml:5", &["credentials"]);
    refused(with("rest = \"ftp://host\""), "x.toml:5", &["https://host"]);
    refused(with("rest = \"https://\""), "x.toml:5", &["https://host"]);
    refused(with("rest = \"https://host/a?b\""), "x.toml:5", &["https://host"]);
    refused(with("rest = \"https://host:99999\""), "x.toml:5", &["https://host"]);
    let c = with("rest = \"http://[::1]:8080/base/\"\nws = \"wss://fstream.asterdex.com/\"").unwrap();
    assert_eq!(c.venues[0].rest.as_deref(), Some("http://[::1]:8080/base"));
    assert_eq!(c.venues[0].ws.as_deref(), Some("wss://fstream.asterdex.com"));
    for listen in ["0.0.0.0:9464", "[::]:1", "192.168.1.2:80"] {
        refused(with(&format!("[http]\nlisten = \"{listen}\"")), "x.toml:6", &["other machines"]);
    }
    refused(with("[http]\nlisten = \"localhost\""), "x.toml:6", &["127.0.0.1:9464"]);
    refused(parse(&format!("proxy = \"socks5://h:1\"\n{GOOD}")), "x.toml:1", &["proxy"]);
    refused(parse(&format!("proxy = \"http://u:p@h:1\"\n{GOOD}")), "x.toml:1", &["credentials"]);
    refused(parse(&format!("proxy = \"http://h\"\n{GOOD}")), "x.toml:1", &["proxy"]);
    let c = parse(&format!("proxy = \"http://proxy.local:3128/\"\n{GOOD}")).unwrap();
    assert_eq!(c.proxy.as_deref(), Some("proxy.local:3128"));
}

#[test]
fn flags_go_over_environment_over_file() {
    let text = format!("{GOOD}[capture]\nwait = \"epoll\"\ncores = [1]\n[dataset]\npath = \"file\"\n");
    let env = [
        ("LOBTAPE_DATASET_PATH", "env dir"),
        ("LOBTAPE_CAPTURE_WAIT", "spin"),
        ("LOBTAPE_CAPTURE_CORES", "[2, 3]"),
        ("LOBTAPE_DATASET_KEEP", "{ trades = \"7d\" }"),
        ("LOBTAPE_HTTP_LISTEN", "127.0.0.1:0"),
        ("LOBTAPE_PROXY", "http://127.0.0.1:1"),
        ("LOBTAPE_LOG", "debug"),
        ("LOBTAPE_PORT_9464_TCP", "tcp://10.0.0.1:9464"),
        ("HOME", "/root"),
    ];
    let c = parse_with(&text, &env, &["dataset.path=flag", "capture.cores = [4]"]).unwrap();
    assert_eq!(c.dataset.path, Path::new("flag"));
    assert_eq!(c.capture.cores, [4]);
    assert_eq!(c.capture.wait, Wait::Spin);
    assert_eq!(c.dataset.keep.len(), 1);
    assert_eq!(c.http.unwrap().listen.port(), 0);
    assert_eq!(c.proxy.as_deref(), Some("127.0.0.1:1"));
    // A path that happens to be a TOML value is still a path.
    let c = parse_with(GOOD, &[("LOBTAPE_DATASET_PATH", "2026")], &[]).unwrap();
    assert_eq!(c.dataset.path, Path::new("2026"));
}

#[test]
fn faults_in_environment_and_flags_name_them() {
    refused(
        parse_with(GOOD, &[("LOBTAPE_CAPTURE_WIAT", "spin")], &[]),
        "LOBTAPE_CAPTURE_WIAT",
        &["\"wiat\"", "\"wait\""],
    );
    refused(
        parse_with(GOOD, &[("LOBTAPE_CAPTURE_WAIT", "x")], &[]),
        "LOBTAPE_CAPTURE_WAIT",
        &["\"x\"", "spin"],
    );
    refused(
        parse_with(GOOD, &[("LOBTAPE_HTTP_LISTEN", "0.0.0.0:1")], &[]),
        "LOBTAPE_HTTP_LISTEN",
        &["other machines"],
    );
    refused(parse_with(GOOD, &[], &["dataset.pth=x"]), "--set dataset.pth=x", &["\"path\""]);
    refused(parse_with(GOOD, &[], &["datset.path=x"]), "--set datset.path=x", &["\"dataset\""]);
    refused(parse_with(GOOD, &[], &["venue.id=x"]), "--set venue.id=x", &["in the file"]);
    refused(parse_with(GOOD, &[], &["dataset.path"]), "--set dataset.path", &["table.key=value"]);
    // A value cannot bring keys of its own.
    let c = parse_with(GOOD, &[], &["dataset.path=\"a\"\n[http]\nlisten=\"127.0.0.1:1\""]).unwrap();
    assert_eq!(c.http, None);
}

/// A fault in a key of a `[[venue]]` names the line of that key, not where the table begins.
#[test]
fn times_of_a_venue_that_cannot_be_name_their_line() {
    let t = |s: &str| format!("{GOOD}legs = 1\n{s}\nbackfill = true\n");
    refused(parse(&t("rotate_after = \"1ms\"")), "x.toml:6", &["rotate_after", "1s"]);
    refused(parse(&t("silent_after = \"-1s\"")), "x.toml:6", &["silent_after", "1s"]);
    refused(parse(&t("audit_every = \"5ms\"")), "x.toml:6", &["audit_every", "1s"]);
    refused(parse(&t("list_every = \"2d\"")), "x.toml:6", &["list_every", "1d"]);
    refused(parse(&t("polls = { openInterest = \"1ms\" }")), "x.toml:6", &["polls", "openInterest", "1s"]);
    let table = t("[venue.polls]\nfunding = \"1m\"\nopenInterest = \"1ms\"").replace("backfill = true\n", "");
    refused(parse(&table), "x.toml:8", &["polls", "openInterest", "1s"]);
}

/// `--set` with the bare name of a key: the table that has it is what was meant.
#[test]
fn a_flag_without_its_table_is_told_which_one() {
    let flag = |f: &str| parse_with(GOOD, &[], &[f]);
    let near = |n: &str| format!("nearest known one is {n:?}");
    refused(flag("interval=1h"), "--set interval=1h", &[&near("dataset.interval")]);
    refused(flag("intervl=1h"), "--set intervl=1h", &[&near("dataset.interval")]);
    refused(flag("wait=spin"), "--set wait=spin", &[&near("capture.wait")]);
    refused(flag("listen=127.0.0.1:0"), "--set listen=127.0.0.1:0", &[&near("http.listen")]);
    refused(flag("proxi=x"), "--set proxi=x", &[&near("proxy")]);
    refused(flag("legs=2"), "--set legs=2", &["[[venue]] is a list", "in the file"]);
}

#[test]
fn a_file_that_is_not_there_says_so() {
    let e = Config::load(Path::new("/nonexistent/lobtape.toml"), &[]).unwrap_err().to_string();
    assert!(e.starts_with("/nonexistent/lobtape.toml: cannot read"), "{e}");
}

#[test]
fn the_hash_sees_meaning_not_comments() {
    let a = parse(GOOD).unwrap();
    let b = parse(&format!("# hello\n{GOOD}legs = 1\n")).unwrap();
    let c = parse_with(GOOD, &[], &["dataset.path=other"]).unwrap();
    assert_eq!(a.sha256(), b.sha256());
    assert_ne!(a.sha256(), c.sha256());
    assert_eq!(a.sha256().len(), 64);
}

#[test]
fn what_a_running_capture_cannot_change_is_named_as_written() {
    let a = parse(GOOD).unwrap();
    let same = parse(&format!(
        "{GOOD}rotate_after = \"1h\"\n[dataset]\nkeep = {{ raw = \"2d\" }}\nmax_size = \"1GB\"\n"
    ));
    assert_eq!(a.fixed_differences(&same.unwrap()), Vec::<String>::new());
    let b = parse(&format!(
        "{GOOD}rest = \"http://127.0.0.1:1\"\n[dataset]\ninterval = \"1m\"\n[capture]\ncores = [3]\n[http]\nlisten = \"127.0.0.1:0\"\n"
    ))
    .unwrap();
    assert_eq!(a.fixed_differences(&b), ["dataset.interval", "capture.cores", "http"]);
    assert_eq!(a.venues[0].fixed_differences(&b.venues[0]), ["rest"]);
}

#[test]
fn durations_and_sizes() {
    let d = |s: &str| Duration::parse(s).map(|d| d.ns);
    assert_eq!(d("1h30m"), Ok(5_400_000_000_000));
    assert_eq!(d("-2h"), Ok(-7_200_000_000_000));
    assert_eq!(d("+3s"), Ok(3_000_000_000));
    assert_eq!(d("0"), Ok(0));
    for bad in ["", "-", "1", "h", "1x", "1.5h", "1h ", "1 h", "99999999999d", "1h2", "١h"] {
        assert!(d(bad).is_err(), "{bad:?}");
    }
    let s = |t: &str| Size::parse(t).map(|s| s.bytes);
    assert_eq!(s("2TB"), Ok(2_000_000_000_000));
    assert_eq!(s("64 MiB"), Ok(64 << 20));
    assert_eq!(s("17"), Ok(17));
    for bad in ["", "MB", "-1MB", "1.5GB", "1mb", "99999999999TB", "1 MiB x"] {
        assert!(s(bad).is_err(), "{bad:?}");
    }
}

proptest::proptest! {
    /// Whatever is in the file, the environment or a flag: an answer, no panic.
    #[test]
    fn no_text_panics(text in "\\PC{0,60}", tail in "[\\[\\]a-z=\"' \n{}.,0-9]{0,80}", flag in "\\PC{0,40}") {
        let _ = parse(&format!("{GOOD}{text}"));
        let _ = parse(&tail);
        let _ = parse_with(GOOD, &[("LOBTAPE_CAPTURE_CORES", &text)], &[]);
        let _ = parse_with(GOOD, &[], &[&flag]);
        let _ = parse_with(GOOD, &[], &[&format!("dataset.path={tail}")]);
    }
}

#[test]
fn a_value_of_the_wrong_type_names_its_key_and_what_would_be_right() {
    let with = |line: &str| parse(&format!("{GOOD}{line}\n"));
    refused(with("legs = \"two\""), "x.toml:5", &["\"legs\"", "write a whole number without quotes"]);
    refused(with("allow_missing = 1"), "x.toml:5", &["\"allow_missing\"", "write true or false"]);
    refused(with("rest = 5"), "x.toml:5", &["\"rest\"", "a URL like"]);
    let channels = GOOD.replace("[\"depth@100ms\"]", "5");
    refused(
        parse(&channels),
        "x.toml:4",
        &["\"channels\"", "integer `5`", "write a list, like [\"…\", \"…\"]"],
    );
    let second = GOOD.replace("[\"depth@100ms\"]", "[\"depth@100ms\", 5]");
    refused(parse(&second), "x.toml:4", &["\"channels\"", "write it in quotes"]);
    refused(parse("venue = 5"), "x.toml:1", &["\"venue\"", "[[venue]]"]);
    // Where the line does not say the key, the parser's words stand alone.
    refused(
        parse(&GOOD.replace("[\"depth@100ms\"]", "[\n5]")),
        "x.toml:5",
        &["integer `5`", "write it in quotes"],
    );
}

#[test]
fn a_file_that_is_no_text_names_the_line_of_the_first_byte_that_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("u.toml");
    std::fs::write(&path, b"[dataset]\npath = \"d\xffta\"\n").unwrap();
    let place = format!("{}:2", path.display());
    refused(Config::load(&path, &[]), &place, &["byte 0xff", "save it as UTF-8"]);
}
