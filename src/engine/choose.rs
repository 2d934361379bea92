//! Symbols by rule: which of a venue's instruments are recorded, now that its list is there.

use std::collections::BTreeSet;

use crate::config::SymbolRule;
use crate::model::InstrumentVersion;

/// A symbol and the volume of its last 24 hours, in whatever unit the venue ranks its markets by.
pub type Volume = (String, u64);

/// The symbols that the rule wants, in the list's order.
///
/// With `top_by_volume = N` a symbol that is held already stays until it falls behind rank N + N/5, so that two markets
/// of nearly equal volume do not take turns.
pub fn choose(
    rule: &SymbolRule,
    listed: &[InstrumentVersion],
    volumes: &[Volume],
    held: &BTreeSet<String>,
) -> Vec<String> {
    let fits = |i: &&InstrumentVersion| {
        let same = |want: &Option<String>, is: &str| want.as_deref().is_none_or(|w| w == is);
        same(&rule.quote, &i.quote)
            && same(&rule.base, &i.base)
            && same(&rule.status, &i.status)
            && same(&rule.contract_type, &i.contract_type)
            && (rule.glob.0.is_empty() || rule.glob.fits(&i.symbol))
            && !rule.exclude.fits(&i.symbol)
    };
    let mut fitting: Vec<&str> = listed.iter().filter(fits).map(|i| i.symbol.as_str()).collect();
    if let Some(n) = rule.top_by_volume {
        let keep = ranked(&fitting, volumes, n as usize, held);
        fitting.retain(|s| keep.contains(s));
    }
    fitting.into_iter().map(str::to_owned).collect()
}

fn ranked<'a>(
    fitting: &[&'a str],
    volumes: &[Volume],
    n: usize,
    held: &BTreeSet<String>,
) -> BTreeSet<&'a str> {
    let known: rustc_hash::FxHashMap<&str, u64> = volumes.iter().map(|(s, v)| (s.as_str(), *v)).collect();
    let mut rank = fitting.to_vec();
    // Ties by name, so that the same answer gives the same choice.
    rank.sort_by_key(|s| (std::cmp::Reverse(known.get(s).copied().unwrap_or(0)), *s));
    let stays = rank.iter().take(n + n / 5).filter(|s| held.contains(**s)).take(n);
    let mut chosen: BTreeSet<&str> = stays.copied().collect();
    for s in rank {
        if chosen.len() >= n {
            break;
        }
        chosen.insert(s);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Patterns;

    fn listed() -> Vec<InstrumentVersion> {
        ["BTCUSDT", "ETHUSDT", "BTCUSDC", "DOGEUSDT", "BTCDOMUSDT", "OLDUSDT"]
            .iter()
            .map(|s| InstrumentVersion {
                quote: s[s.len() - 4..].to_owned(),
                base: s[..s.len() - 4].to_owned(),
                status: if *s == "OLDUSDT" { "BREAK" } else { "TRADING" }.to_owned(),
                ..InstrumentVersion::observed("v", s)
            })
            .collect()
    }

    fn volumes() -> Vec<Volume> {
        [("BTCUSDT", 900), ("ETHUSDT", 500), ("DOGEUSDT", 499), ("BTCUSDC", 2000), ("OLDUSDT", 5000)]
            .map(|(s, v)| (s.to_owned(), v))
            .to_vec()
    }

    #[test]
    fn all_that_is_given_must_hold() {
        let rule = SymbolRule {
            quote: Some("USDT".into()),
            status: Some("TRADING".into()),
            exclude: Patterns(vec!["*DOM*".into()]),
            ..SymbolRule::default()
        };
        assert_eq!(choose(&rule, &listed(), &[], &BTreeSet::new()), ["BTCUSDT", "ETHUSDT", "DOGEUSDT"]);
        let rule = SymbolRule { base: Some("BTC".into()), ..SymbolRule::default() };
        assert_eq!(choose(&rule, &listed(), &[], &BTreeSet::new()), ["BTCUSDT", "BTCUSDC"]);
        let rule = SymbolRule { glob: Patterns(vec!["D*".into(), "E*".into()]), ..SymbolRule::default() };
        assert_eq!(choose(&rule, &listed(), &[], &BTreeSet::new()), ["ETHUSDT", "DOGEUSDT"]);
    }

    #[test]
    fn the_greatest_are_taken_of_those_that_fit_and_near_ties_do_not_take_turns() {
        let rule = SymbolRule {
            quote: Some("USDT".into()),
            status: Some("TRADING".into()),
            top_by_volume: Some(2),
            ..SymbolRule::default()
        };
        let none = BTreeSet::new();
        assert_eq!(choose(&rule, &listed(), &volumes(), &none), ["BTCUSDT", "ETHUSDT"]);
        // Without volumes the names decide; nothing is left out for that.
        assert_eq!(choose(&rule, &listed(), &[], &none).len(), 2);

        let five: Vec<InstrumentVersion> =
            (0..8).map(|i| InstrumentVersion::observed("v", &format!("S{i}"))).collect();
        let volumes: Vec<Volume> = (0..8).map(|i| (format!("S{i}"), 100 - i)).collect();
        let rule = SymbolRule { top_by_volume: Some(5), ..SymbolRule::default() };
        let held = |s: &[&str]| s.iter().map(|s| (*s).to_owned()).collect::<BTreeSet<_>>();
        // S5 is sixth: it stays where it is held, and S6 does not.
        let chosen = choose(&rule, &five, &volumes, &held(&["S5", "S6", "S0"]));
        assert_eq!(chosen, ["S0", "S1", "S2", "S3", "S5"]);
        assert_eq!(choose(&rule, &five, &volumes, &none), ["S0", "S1", "S2", "S3", "S4"]);
    }
}
