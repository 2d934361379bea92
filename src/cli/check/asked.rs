//! What the rules of a configuration come to: known when the venues have been asked.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Value, json};

use crate::cli::asking::{Asker, Reach};
use crate::cli::{Faulty, instruments, venues};
use crate::config::{Config, SymbolRule, VenueConfig};
use crate::engine::choose::with_places;
use crate::engine::links::{Links, is_pair_of, lanes};
use crate::engine::plan::{Plan, plan};

/// So many of the chosen symbols are named.
const NAMED: usize = 10;

/// By venue; those without a rule are not among them.
pub(super) type Rules = BTreeMap<String, ByRule>;

/// A venue's rule.
pub(super) enum ByRule {
    /// Nobody was asked; the command that shows what fits.
    Unknown(String),
    /// The symbols of the venue's list that it chooses.
    Known {
        /// How many are listed.
        listed: usize,
        /// Those that fit.
        symbols: Vec<String>,
    },
}

impl ByRule {
    /// What is missing, as a sentence; `None` = nothing.
    pub(super) fn warning(&self, id: &str) -> Option<String> {
        match self {
            ByRule::Unknown(command) => Some(format!(
                "{id}: symbols by rule are not known here: `check` asks no venue, so the figures leave them out; \
                 `check --ask` resolves the rule, `{command}` shows what fits it"
            )),
            ByRule::Known { .. } => None,
        }
    }

    /// For people.
    pub(super) fn print(&self, w: &mut impl Write) -> io::Result<()> {
        match self {
            ByRule::Unknown(command) => writeln!(
                w,
                "          symbols by rule are not known here: `check` asks no venue, so the figures leave them out\n          \
                 `check --ask` resolves the rule; this shows what fits it: {command}"
            ),
            ByRule::Known { listed, symbols } => {
                let (n, named) = (symbols.len(), symbols[..symbols.len().min(NAMED)].join(", "));
                let more = if n > NAMED { format!(" and {} more", n - NAMED) } else { String::new() };
                writeln!(w, "          the rule chooses {n} of the {listed} listed: {named}{more}")
            }
        }
    }

    /// For programs.
    pub(super) fn to_json(&self) -> Value {
        match self {
            ByRule::Unknown(command) => json!({"asked": false, "instruments": command}),
            ByRule::Known { listed, symbols } => json!({"asked": true, "listed": listed, "symbols": symbols}),
        }
    }
}

/// Nobody is asked.
pub(super) fn unasked(config: &Config) -> Rules {
    let of = |v: &VenueConfig| Some((v.id.clone(), ByRule::Unknown(command(config, v, v.rule.as_ref()?))));
    config.venues.iter().filter_map(of).collect()
}

/// Asks every venue of the configuration for its list; the plan is that of a capture which has it.
///
/// # Errors
/// Symbols that are not listed, a rule that nothing fits, a venue that refuses or does not answer.
pub(super) fn ask(config: &Config) -> anyhow::Result<(Plan, Rules)> {
    let (mut config, mut rules) = (config.clone(), Rules::new());
    let mut lists = Vec::new();
    for i in 0..config.venues.len() {
        let v = &config.venues[i];
        let mut asker = Asker::new(venues::by_id(&v.id)?, &Reach::of(&config, v))?;
        let asked = instruments::ask(&mut asker, &v.rule.clone().unwrap_or_default())?;
        let venue = asker.venue;
        let fit = with_places(venue, &v.channels, &asked.list.instruments, asked.fit);
        let listed: Vec<String> = asked.list.instruments.into_iter().map(|i| i.symbol).collect();
        if v.rule.is_some() {
            let known = ByRule::Known { listed: listed.len(), symbols: fit.clone() };
            rules.insert(v.id.clone(), known);
            config.venues[i].symbols = fit;
        } else if v.allow_missing {
            let names: Vec<&str> = listed.iter().map(String::as_str).collect();
            let is_there = |s: &String| names.contains(&s.as_str()) || is_pair_of(venue, s, &names);
            config.venues[i].symbols.retain(is_there);
        }
        lists.push(listed);
    }
    let links = Links::all(&config).or_usage()?;
    for (i, (link, listed)) in links.iter().zip(&lists).enumerate() {
        let listed: Vec<&str> = listed.iter().map(String::as_str).collect();
        link.streams(i, usize::from(lanes(&config)), &listed, &|_| None, &std::collections::BTreeMap::new())
            .or_usage()?;
    }
    Ok((plan(&config).or_usage()?, rules))
}

/// The command that shows what fits.
fn command(config: &Config, v: &VenueConfig, rule: &SymbolRule) -> String {
    let one = |flag: &'static str, value: &Option<String>| value.clone().map(|t| (flag, t));
    let path = |p: &std::path::PathBuf| p.display().to_string();
    let top = rule.top_by_volume.map(|n| n.to_string());
    let reach = [
        one("rest", &v.rest),
        one("ca", &config.tls.ca.as_ref().map(path)),
        one("proxy", &config.proxy),
        one("key-file", &v.key_file.as_ref().map(path)),
        one("quote", &rule.quote),
        one("base", &rule.base),
        one("status", &rule.status),
        one("contract-type", &rule.contract_type),
    ];
    let patterns =
        |flag: &'static str, all: &[String]| all.iter().map(move |p| (flag, p.clone())).collect::<Vec<_>>();
    let flags = reach.into_iter().flatten();
    let flags = flags.chain(patterns("glob", &rule.glob.0)).chain(patterns("exclude", &rule.exclude.0));
    let mut out = format!("lobtape instruments --venue {}", v.id);
    for (flag, value) in flags.chain(one("top-by-volume", &top)) {
        out.push_str(&format!(" --{flag} {}", quoted(&value)));
    }
    out
}

/// A word of a shell.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}
