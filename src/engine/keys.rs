//! Keys of the user's: from a file that only its owner may read, or from the environment. Never in a log.

use std::path::Path;

use serde::Deserialize;

use crate::config::VenueConfig;
use crate::venue::Credentials;

/// Why a key cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFault {
    /// The file cannot be read.
    #[error("{venue}: key file {path}: {source}")]
    Read {
        /// Venue slug.
        venue: String,
        /// The file.
        path: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Others may read it.
    #[error("{venue}: key file {path} may be read by others (mode {mode:03o}); chmod 600 it")]
    Open {
        /// Venue slug.
        venue: String,
        /// The file.
        path: String,
        /// Its permissions.
        mode: u32,
    },
    /// It is no key file. What it holds is not shown.
    #[error("{venue}: key file {path} must hold key = \"…\" and secret = \"…\"")]
    Shape {
        /// Venue slug.
        venue: String,
        /// The file.
        path: String,
    },
    /// No request can carry it. What it holds is not shown.
    #[error("{venue}: the {what} of {place} has {why}: was it copied whole, and nothing else?")]
    Odd {
        /// Venue slug.
        venue: String,
        /// `key` or `secret`.
        what: &'static str,
        /// The file, or the variable.
        place: String,
        /// What it has.
        why: &'static str,
    },
    /// Requests are to be signed, and there is no key.
    #[error(
        "{venue}: rest_auth = {word:?} signs every request, and there is no key: write key_file = \"…\", or set {variable} \
         and its _SECRET in the environment"
    )]
    Needed {
        /// Venue slug.
        venue: String,
        /// What the configuration says.
        word: String,
        /// The variable that may hold the key.
        variable: String,
    },
    /// Half of a key.
    #[error("{venue}: {set} is set, {missing} is not")]
    Half {
        /// Venue slug.
        venue: String,
        /// The variable that is there.
        set: String,
        /// The one that is not.
        missing: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    key: String,
    secret: String,
}

/// The key of a venue: the environment goes over the file; `None`: there is none, or it is not to be used (`rest_auth`).
///
/// # Errors
/// [`KeyFault`]; no text of it holds a secret.
pub fn load(
    config: &VenueConfig,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Credentials>, KeyFault> {
    let word = config.tuning.rest_auth.as_deref();
    let signs = word.and_then(|said| {
        let own = crate::venue::by_id(&config.id)?.1.rest_auths();
        own.iter().find(|w| w.0 == said).map(|w| w.1)
    });
    if signs == Some(false) {
        return Ok(None);
    }
    let key = of(&config.id, config.key_file.as_deref(), env)?;
    match (key, signs) {
        (None, Some(true)) => Err(KeyFault::Needed {
            venue: config.id.clone(),
            word: word.unwrap_or_default().to_owned(),
            variable: variable(&config.id, "KEY"),
        }),
        (key, _) => Ok(key),
    }
}

/// The variable that holds a venue's `KEY` or `SECRET`.
pub fn variable(venue: &str, what: &str) -> String {
    format!("LOBTAPE_{}_{what}", venue.replace('-', "_").to_ascii_uppercase())
}

/// The same, out of a venue's slug and a file.
///
/// # Errors
/// As [`load`].
pub fn of(
    venue: &str,
    key_file: Option<&Path>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Credentials>, KeyFault> {
    let venue = venue.to_owned();
    let (k, s) = (variable(&venue, "KEY"), variable(&venue, "SECRET"));
    match (env(&k), env(&s)) {
        (Some(key), Some(secret)) => return fit(Credentials { key, secret }, venue, (k, s)).map(Some),
        (Some(_), None) => return Err(KeyFault::Half { venue, set: k, missing: s }),
        (None, Some(_)) => return Err(KeyFault::Half { venue, set: s, missing: k }),
        (None, None) => {}
    }
    key_file.map(|path| from_file(&venue, path)).transpose()
}

fn from_file(venue: &str, path: &Path) -> Result<Credentials, KeyFault> {
    use std::os::unix::fs::PermissionsExt;
    let (venue, shown) = (venue.to_owned(), path.display().to_string());
    let read = |source| KeyFault::Read { venue: venue.clone(), path: shown.clone(), source };
    let mode = std::fs::metadata(path).map_err(read)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFault::Open { venue, path: shown, mode });
    }
    let text = std::fs::read_to_string(path).map_err(read)?;
    match toml::from_str::<File>(&text) {
        Ok(File { key, secret }) if !key.is_empty() && !secret.is_empty() => {
            fit(Credentials { key, secret }, venue, (shown.clone(), shown))
        }
        // The parser's words would show the line.
        _ => Err(KeyFault::Shape { venue, path: shown }),
    }
}

/// The key goes out in a header, the secret signs.
fn fit(c: Credentials, venue: String, (key, secret): (String, String)) -> Result<Credentials, KeyFault> {
    if !c.key.bytes().all(|b| b.is_ascii_graphic()) {
        let why = "characters that no header can carry (a blank, a line's end, or none of ASCII)";
        return Err(KeyFault::Odd { venue, what: "key", place: key, why });
    }
    if c.secret.chars().any(char::is_control) {
        return Err(KeyFault::Odd { venue, what: "secret", place: secret, why: "a control character" });
    }
    Ok(c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn config(key_file: Option<&Path>) -> VenueConfig {
        let text = "[[venue]]\nid = \"pumpkin-perp\"\nsymbols = [\"btc_usdt\"]\nchannels = [\"trade\"]\n";
        let c = crate::config::Config::from_parts("x.toml", text, [], &[]).unwrap();
        VenueConfig { key_file: key_file.map(Path::to_owned), ..c.venues[0].clone() }
    }

    #[test]
    fn a_key_comes_from_the_environment_or_from_a_closed_file() {
        let none = |_: &str| None;
        assert_eq!(load(&config(None), &none).unwrap(), None);
        let env = |n: &str| n.strip_prefix("LOBTAPE_PUMPKIN_PERP_").map(str::to_owned);
        assert_eq!(load(&config(None), &env).unwrap().unwrap().secret, "SECRET");
        let half = |n: &str| n.ends_with("_KEY").then(|| "a".to_owned());
        assert!(load(&config(None), &half).unwrap_err().to_string().contains("LOBTAPE_PUMPKIN_PERP_SECRET"));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.toml");
        let with = |text: &str, mode: u32| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            load(&config(Some(&path)), &none)
        };
        let good = "key = \"k\"\nsecret = \"s3cret\"\n";
        assert_eq!(with(good, 0o600).unwrap().unwrap().key, "k");
        for (text, mode, word) in [
            (good, 0o640, "chmod 600"),
            ("key = \"k\"\nsecret = s3cret\n", 0o600, "must hold"),
            ("key = \"k\"\nsecret = \"\"", 0o600, "must hold"),
        ] {
            let e = with(text, mode).unwrap_err();
            let all = format!("{e} {e:?}");
            assert!(all.contains(word) && !all.contains("s3cret"), "{all}");
        }
        // What no request can carry is seen when it is read, not at the first request; its value is not shown.
        for (text, what) in [
            ("key = \"k1\\nX: y\"\nsecret = \"s3cret\"\n", "key of"),
            ("key = \"k1 \"\nsecret = \"s3cret\"\n", "key of"),
            ("key = \"k1é\"\nsecret = \"s3cret\"\n", "key of"),
            ("key = \"k1\"\nsecret = \"s3cret\\u0000\"\n", "secret of"),
        ] {
            let e = with(text, 0o600).map(|_| ()).unwrap_err();
            let all = format!("{e} {e:?}");
            let says = all.contains(what) && all.contains("key.toml") && all.contains("pumpkin-perp");
            assert!(says && !all.contains("s3cret") && !all.contains("k1"), "{all}");
        }
        let odd = |n: &str| Some(if n.ends_with("_KEY") { "k1\r" } else { "s" }.to_owned());
        let e = load(&config(None), &odd).unwrap_err().to_string();
        assert!(e.contains("LOBTAPE_PUMPKIN_PERP_KEY") && !e.contains("k1"), "{e}");
        // What is said of signatures goes over both.
        let said = |word: &str, path: Option<&Path>| {
            let mut c = config(path);
            c.tuning.rest_auth = Some(word.to_owned());
            c
        };
        assert_eq!(with(good, 0o600).unwrap().unwrap().key, "k");
        assert_eq!(load(&said("none", Some(&path)), &env).unwrap(), None);
        assert_eq!(load(&said("query_hmac", Some(&path)), &none).unwrap().unwrap().secret, "s3cret");
        let e = load(&said("query_hmac", None), &none).unwrap_err().to_string();
        let says = ["pumpkin-perp: rest_auth = \"query_hmac\"", "key_file", "LOBTAPE_PUMPKIN_PERP_KEY"];
        assert!(says.iter().all(|part| e.contains(part)), "{e}");
        let gone = dir.path().join("nowhere");
        assert!(matches!(load(&config(Some(&gone)), &none), Err(KeyFault::Read { .. })));
    }
}
