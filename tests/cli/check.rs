//! `check` of a configuration whose symbols are chosen by rule.

use lobtape::simulator::{SimConfig, SimHandle, Simulator, Symbols};
use serde_json::Value;
use tempfile::TempDir;

use super::{run, stderr, stdout};

/// A simulated venue of five symbols, and a configuration that names it with these symbols.
fn place(symbols: &str) -> (TempDir, SimHandle, String) {
    let dir = tempfile::tempdir().unwrap();
    let config = SimConfig {
        venue: "aster-futures".to_owned(),
        symbols: Symbols::Count(5),
        book_levels: 5,
        ..SimConfig::default()
    };
    let sim = Simulator::start(config).unwrap();
    let file = dir.path().join("c.toml");
    let text = format!(
        "[dataset]\npath = {:?}\n[[venue]]\nid = \"aster-futures\"\nsymbols = {symbols}\nchannels = [\"depth@100ms\", \"trade\"]\n\
         rest = \"{}\"\nws = \"{}\"\n",
        dir.path().join("data"),
        sim.rest_base(),
        sim.ws_base()
    );
    std::fs::write(&file, text).unwrap();
    (dir, sim, file.to_str().unwrap().to_owned())
}

#[test]
fn a_rule_is_said_to_be_unresolved_and_how_it_is_resolved() {
    let rule = "{ quote = \"USDT\", status = \"TRADING\", glob = [\"B*\", \"E*\"], exclude = \"*DOM*\", top_by_volume = 2 }";
    let (_dir, sim, config) = place(rule);
    let o = run(&["check", "-c", &config]);
    let text = stdout(&o);
    assert!(o.status.success(), "{}", stderr(&o));
    for part in [
        "symbols by rule are not known here: `check` asks no venue, so the figures leave them out",
        "`check --ask`",
        &format!(
            "lobtape instruments --venue aster-futures --rest {} --quote USDT --status TRADING --glob 'B*' --glob 'E*' \
             --exclude '*DOM*' --top-by-volume 2",
            sim.rest_base()
        ),
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let v: Value = serde_json::from_str(&stdout(&run(&["check", "-c", &config, "--json"]))).unwrap();
    let rule = &v["venues"][0]["symbols_by_rule"];
    assert_eq!((&rule["asked"], &v["venues"][0]["streams"]), (&Value::from(false), &Value::from(0)), "{v}");
    assert!(
        rule["instruments"].as_str().is_some_and(|c| c.starts_with("lobtape instruments --venue")),
        "{v}"
    );
    let warnings = v["warnings"].to_string();
    assert!(warnings.contains("aster-futures: symbols by rule are not known here"), "{warnings}");
    assert_eq!(sim.stop().requests, 0, "nothing is opened");
}

#[test]
fn asked_for_the_venue_s_list_check_knows_what_a_rule_comes_to() {
    let (_dir, sim, config) = place("{ quote = \"USDT\", top_by_volume = 3 }");
    let o = run(&["check", "-c", &config, "--ask"]);
    let text = stdout(&o);
    assert!(o.status.success(), "{}", stderr(&o));
    assert!(text.contains("aster-futures: 6 streams, 3 books"), "{text}");
    assert!(text.contains("the rule chooses 3 of the 5 listed: "), "{text}");
    assert!(!text.contains("not known here"), "{text}");
    let v: Value = serde_json::from_str(&stdout(&run(&["check", "-c", &config, "--ask", "--json"]))).unwrap();
    let rule = &v["venues"][0]["symbols_by_rule"];
    assert_eq!((&rule["asked"], &rule["listed"]), (&Value::from(true), &Value::from(5)), "{v}");
    assert_eq!(
        (rule["symbols"].as_array().map(Vec::len), &v["venues"][0]["books"]),
        (Some(3), &rule["symbols"])
    );
    // What the file says is what `capture` records of it, asked or not.
    let plain: Value = serde_json::from_str(&stdout(&run(&["check", "-c", &config, "--json"]))).unwrap();
    assert_eq!((&v["config"], &v["config_sha256"]), (&plain["config"], &plain["config_sha256"]));
    sim.stop();
}

#[test]
fn asked_check_refuses_what_capture_would_refuse_and_says_when_nobody_answers() {
    let (_dir, sim, config) = place("[\"BTCUSDT\", \"NOSUCH\"]");
    assert!(run(&["check", "-c", &config]).status.success(), "offline nobody knows");
    let o = run(&["check", "-c", &config, "--ask"]);
    assert_eq!(o.status.code(), Some(1), "{}", stdout(&o));
    assert!(stderr(&o).contains("c.toml:5: ") && stderr(&o).contains("not listed: NOSUCH"), "{}", stderr(&o));
    sim.stop();
    let (_dir, sim, config) = place("{ quote = \"NONE\" }");
    let o = run(&["check", "-c", &config, "--ask"]);
    assert_eq!(o.status.code(), Some(1), "{}", stdout(&o));
    assert!(stderr(&o).contains("no stream is left to capture"), "{}", stderr(&o));
    sim.stop();
    let o = run(&["check", "-c", &config, "--ask"]);
    assert_eq!(o.status.code(), Some(3), "{}", stdout(&o));
    assert!(
        stderr(&o).contains("aster-futures: ") && stderr(&o).contains("rest of its [[venue]]"),
        "{}",
        stderr(&o)
    );
}

/// Whether requests are signed is the configuration's to say, and what it says is done.
#[test]
fn requests_are_signed_as_rest_auth_says() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let config = SimConfig {
        venue: "pumpkin-perp".to_owned(),
        variant: Some("signed".to_owned()),
        symbols: Symbols::Count(2),
        ..SimConfig::default()
    };
    let sim = Simulator::start(config).unwrap();
    let (key, file) = (dir.path().join("key"), dir.path().join("c.toml"));
    std::fs::write(&key, "key = \"test_key\"\nsecret = \"test_secret\"\n").unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let with = |command: &[&str], more: &str| {
        let text = format!(
            "[dataset]\npath = {:?}\n[[venue]]\nid = \"pumpkin-perp\"\nsymbols = {{ glob = \"*\" }}\nchannels = [\"trade\"]\n\
             rest = \"{}\"\nws = \"{}\"\n{more}\n",
            dir.path().join("data"),
            sim.rest_base(),
            sim.ws_base()
        );
        std::fs::write(&file, text).unwrap();
        let o = run(&[command, &["-c", file.to_str().unwrap()]].concat());
        (o.status.code(), stdout(&o), stderr(&o))
    };
    let ask = ["check", "--ask"];
    let key = format!("key_file = {key:?}");
    for more in [key.clone(), format!("{key}\nrest_auth = \"query_hmac\"")] {
        let (code, out, err) = with(&ask, &more);
        assert!(code == Some(0) && out.contains("chooses 2 of the 2 listed"), "{more}: {out}{err}");
    }
    let (code, out, err) = with(&ask, &format!("{key}\nrest_auth = \"none\""));
    assert!(code == Some(3) && err.contains("signature"), "a key that is not to be used: {out}{err}");
    for command in [&ask[..], &["capture", "--for", "1s"]] {
        let (code, out, err) = with(command, "rest_auth = \"query_hmac\"");
        assert!(code == Some(1) && err.contains("LOBTAPE_PUMPKIN_PERP_KEY"), "{command:?}: {out}{err}");
    }
    assert!(!dir.path().join("data").exists(), "something was made");
    sim.stop();
}

/// A key that capture cannot have is a fault of the configuration.
#[test]
fn a_key_that_cannot_be_had_is_refused_by_check_as_by_capture() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (key, file) = (dir.path().join("key"), dir.path().join("c.toml"));
    let text = format!(
        "[dataset]\npath = {:?}\n[[venue]]\nid = \"pumpkin-perp\"\nsymbols = [\"btc_usdt\"]\nchannels = [\"trade\"]\n\
         rest = \"http://127.0.0.1:1\"\nws = \"ws://127.0.0.1:1/ws\"\nkey_file = {key:?}\n",
        dir.path().join("data")
    );
    std::fs::write(&file, text).unwrap();
    let refused = |words: &str| {
        for command in [&["check"][..], &["check", "--json"], &["capture", "--for", "1s"]] {
            let o = run(&[command, &["-c", file.to_str().unwrap()]].concat());
            let err = stderr(&o);
            let says = err.contains("pumpkin-perp") && err.contains(words) && !err.contains("test_");
            assert!(o.status.code() == Some(1) && says, "{command:?}: {}{err}", stdout(&o));
        }
    };
    refused("No such file");
    let write = |text: &str, mode: u32| {
        std::fs::write(&key, text).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    write("key = \"test_key\"\nsecret = \"test_secret\"\n", 0o644);
    refused("may be read by others");
    write("key = \"test_key\\nX: y\"\nsecret = \"test_secret\"\n", 0o600);
    refused("the key of");
    assert!(!dir.path().join("data").exists(), "something was made");
    write("key = \"test_key\"\nsecret = \"test_secret\"\n", 0o600);
    let o = run(&["check", "-c", file.to_str().unwrap()]);
    assert!(o.status.success(), "{}", stderr(&o));
}

/// Rings that nobody can make are found before anything is made, and told alike by both.
#[test]
fn a_runtime_dir_that_takes_no_rings_is_refused_before_anything_is_made() {
    let d = tempfile::tempdir().unwrap();
    let at = |name: &str| d.path().join(name).to_str().unwrap().to_owned();
    let (file, data, config) = (at("file"), at("data"), at("c.toml"));
    std::fs::write(&file, "dear").unwrap();
    let write = |dir: &str| {
        let text = format!(
            "[dataset]\npath = {data:?}\n[capture]\nruntime_dir = {dir:?}\n[[venue]]\nid = \"aster-futures\"\n\
             symbols = [\"A\"]\nchannels = [\"trade\"]\nrest = \"http://127.0.0.1:1\"\nws = \"ws://127.0.0.1:1/ws\"\n"
        );
        std::fs::write(&config, text).unwrap();
    };
    for (dir, word, fix) in [
        (at("none"), "is not there", format!("mkdir -p {}", at("none"))),
        (file.clone(), "is a file", "name a directory".to_owned()),
        (format!("{file}/below"), "leads through one", "name a directory".to_owned()),
        ("/proc".to_owned(), "takes no files", "another directory".to_owned()),
    ] {
        write(&dir);
        let said = [&["capture", "--for", "1s"][..], &["check"], &["check", "--json"]].map(|command| {
            let o = run(&[command, &["-c", &config]].concat());
            let text = stderr(&o);
            assert_eq!(o.status.code(), Some(1), "{command:?}: {}{text}", stdout(&o));
            assert!(text.starts_with(&format!("lobtape: capture.runtime_dir {dir}: ")), "{text}");
            assert!(text.contains(word) && text.contains(&fix) && text.lines().count() == 1, "{text}");
            text
        });
        assert!(said[0] == said[1] && said[1] == said[2], "{said:?}");
        assert!(!std::path::Path::new(&data).exists(), "{dir}: something was made");
    }
    write(d.path().to_str().unwrap());
    let o = run(&["check", "-c", &config]);
    assert!(o.status.success() && !stdout(&o).contains("runtime_dir"), "{}{}", stdout(&o), stderr(&o));
}

/// The other place for segments may be made, the CA must be there: both are looked at before anything is made.
#[test]
fn a_fallback_dir_or_ca_that_cannot_be_used_is_refused_before_anything_is_made() {
    let d = tempfile::tempdir().unwrap();
    let at = |name: &str| d.path().join(name).to_str().unwrap().to_owned();
    let (file, data, config) = (at("file"), at("data"), at("c.toml"));
    std::fs::write(&file, "dear").unwrap();
    let write = |capture: &str, tls: &str| {
        let text = format!(
            "[dataset]\npath = {data:?}\n[capture]\n{capture}\n[tls]\n{tls}\n[[venue]]\nid = \"aster-futures\"\n\
             symbols = [\"A\"]\nchannels = [\"trade\"]\nrest = \"http://127.0.0.1:1\"\nws = \"ws://127.0.0.1:1/ws\"\n"
        );
        std::fs::write(&config, text).unwrap();
    };
    let fallback = |dir: &str| (format!("fallback_dir = {dir:?}"), String::new());
    let ca = |path: &str| (String::new(), format!("ca = {path:?}"));
    for ((capture, tls), begins, word) in [
        (fallback(&file), format!("capture.fallback_dir {file}: is a file"), "name a directory"),
        (
            fallback(&format!("{file}/below")),
            format!("capture.fallback_dir {file}/below: is a file"),
            "leads through",
        ),
        (
            fallback("/proc/none"),
            "capture.fallback_dir /proc/none: takes no files".to_owned(),
            "another directory",
        ),
        (ca(&at("none.pem")), format!("tls.ca {}: cannot be read", at("none.pem")), "name a PEM file"),
        (ca(&file), format!("tls.ca {file}: extra CA: no certificate"), "with certificates"),
    ] {
        write(&capture, &tls);
        for command in [&["capture", "--for", "1s"][..], &["check"], &["check", "--json"]] {
            let o = run(&[command, &["-c", &config]].concat());
            let text = stderr(&o);
            assert_eq!(o.status.code(), Some(1), "{command:?}: {}{text}", stdout(&o));
            assert!(text.starts_with(&format!("lobtape: {begins}")), "{text}");
            assert!(text.contains(word) && text.lines().count() == 1, "{text}");
        }
        assert!(!std::path::Path::new(&data).exists(), "{begins}: something was made");
    }
    let made = at("none/yet");
    let (capture, tls) = fallback(&made);
    write(&capture, &tls);
    let o = run(&["check", "-c", &config]);
    assert!(o.status.success() && !std::path::Path::new(&made).exists(), "{}{}", stdout(&o), stderr(&o));
}

/// Who checks need not be who captures.
#[test]
fn a_runtime_dir_of_others_is_warned_of_by_check_and_refused_by_capture() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let mode = |p: &std::path::Path, m| {
        std::fs::set_permissions(p, std::fs::Permissions::from_mode(m)).unwrap();
    };
    let d = tempfile::tempdir().unwrap();
    mode(d.path(), 0o777);
    let (rings, data, file) = (d.path().join("rings"), d.path().join("data"), d.path().join("c.toml"));
    std::fs::create_dir(&rings).unwrap();
    mode(&rings, 0o555);
    let text = format!(
        "[dataset]\npath = {data:?}\n[capture]\nruntime_dir = {rings:?}\n[[venue]]\nid = \"aster-futures\"\n\
         symbols = [\"A\"]\nchannels = [\"trade\"]\nrest = \"http://127.0.0.1:1\"\nws = \"ws://127.0.0.1:1/ws\"\n"
    );
    std::fs::write(&file, text).unwrap();
    let as_nobody = |args: &[&str]| {
        let mut c = super::lobtape(&[args, &["-c", file.to_str().unwrap()]].concat());
        // Root may write everywhere. The directory that tests run in may be closed to others, so the program stands elsewhere.
        if std::fs::write(rings.join("try"), "").is_ok() {
            std::fs::remove_file(rings.join("try")).unwrap();
            let program = d.path().join("lobtape");
            if !program.exists() {
                std::fs::copy(env!("CARGO_BIN_EXE_lobtape"), &program).unwrap();
            }
            let mut own = std::process::Command::new(&program);
            own.args(c.get_args()).current_dir(d.path()).uid(65_534).gid(65_534);
            c = own;
        }
        c.output().unwrap()
    };
    let words = format!("capture.runtime_dir {}: cannot be written into", rings.display());
    let o = as_nobody(&["check"]);
    assert!(o.status.success() && stdout(&o).contains(&format!("warning   {words}")), "{}", stdout(&o));
    let o = as_nobody(&["check", "--json"]);
    let v: Value = serde_json::from_str(&stdout(&o)).unwrap();
    assert!(o.status.success() && v["warnings"][0].as_str().is_some_and(|w| w.starts_with(&words)), "{v}");
    let o = as_nobody(&["capture", "--for", "1s"]);
    let text = stderr(&o);
    assert!(o.status.code() == Some(1) && text.contains(&words) && text.contains("chown"), "{text}");
    assert!(!data.exists(), "something was made");
}

/// A channel's name is the venue's, whatever the symbols are.
#[test]
fn a_channel_that_a_venue_does_not_have_is_refused_where_symbols_are_chosen_by_rule() {
    for v in lobtape::venue::all() {
        let (dir, spec) = (tempfile::tempdir().unwrap(), v.spec());
        let (file, data) = (dir.path().join("c.toml"), dir.path().join("data"));
        let with = |channels: &[&str]| {
            let text = format!(
                "[dataset]\npath = {data:?}\n[[venue]]\nid = {:?}\nsymbols = {{ glob = \"*\" }}\nchannels = [\n{}\n]\n\
                 rest = \"http://127.0.0.1:1\"\nws = \"ws://127.0.0.1:1/ws\"\n",
                spec.id,
                channels.iter().map(|c| format!("{c:?}")).collect::<Vec<_>>().join(",\n")
            );
            std::fs::write(&file, text).unwrap();
            [&["check"][..], &["check", "--json"], &["capture", "--for", "1s"]]
                .map(|command| (command, run(&[command, &["-c", file.to_str().unwrap()]].concat())))
        };
        let channels = v.channels();
        let known = channels.iter().find(|c| c.symbol.is_some()).unwrap().example.as_str();
        for (command, o) in with(&[known, "dpth"]) {
            let text = stderr(&o);
            assert_eq!(o.status.code(), Some(1), "{} {command:?}: {}{text}", spec.id, stdout(&o));
            let place = format!("c.toml:8: {}: unknown channel \"dpth\"; known: ", spec.id);
            assert!(text.contains(&place), "{command:?}: {text}");
        }
        assert!(!data.exists(), "{}: something was made", spec.id);
        let (_, o) = &with(&[known])[0];
        assert!(o.status.success(), "{}: {}", spec.id, stderr(o));
    }
}
