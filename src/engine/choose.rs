//! Symbols by rule: which of a venue's instruments are recorded, now that its list is there.

use std::collections::BTreeSet;

use crate::config::SymbolRule;
use crate::model::{InstrumentVersion, VenueSpec};
use crate::venue::Venue;

/// A symbol and the volume of its last 24 hours, in whatever unit the venue ranks its markets by.
pub type Volume = (String, u64);

/// The symbols that the rule wants, in the list's order.
///
/// `spec` is the venue whose list it is: the symbols of its own tests are left out unless a pattern of the rule is their
/// name, and so is what is over if the rule says no status. `None`: the list is no venue's, and whatever fits is wanted.
///
/// With `top_by_volume = N` a symbol that is held already stays until it falls behind rank N + N/5, so that two markets
/// of nearly equal volume do not take turns.
pub fn choose(
    rule: &SymbolRule,
    spec: Option<&VenueSpec>,
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
            && spec.is_none_or(|s| is_usual(rule, s, i))
    };
    let mut fitting: Vec<&str> = listed.iter().filter(fits).map(|i| i.symbol.as_str()).collect();
    if let Some(n) = rule.top_by_volume {
        let keep = ranked(&fitting, volumes, n as usize, held);
        fitting.retain(|s| keep.contains(s));
    }
    fitting.into_iter().map(str::to_owned).collect()
}

/// Whether a rule that does not ask for it by name may have it.
fn is_usual(rule: &SymbolRule, spec: &VenueSpec, i: &InstrumentVersion) -> bool {
    let is_test = !spec.test_symbols.is_empty() && i.symbol.starts_with(spec.test_symbols);
    let is_over = rule.status.is_none() && spec.ended_statuses.contains(&i.status.as_str());
    !is_over && (!is_test || rule.glob.0.contains(&i.symbol)) && !is_unnamable(spec, &i.symbol)
}

/// Whether a listed instrument has a name that the venue's streams take for something else, so that none can be asked for. A
/// rule leaves it out, and costs no other symbol.
pub fn is_unnamable(spec: &VenueSpec, symbol: &str) -> bool {
    crate::venue::by_id(spec.id).is_some_and(|(_, v)| v.is_pair(symbol))
}

/// What a rule has chosen, with the places in the calendar that its instruments have now, where one of the channels takes the
/// place and not the instrument.
pub fn with_places(
    venue: &dyn Venue,
    channels: &[String],
    listed: &[InstrumentVersion],
    mut chosen: Vec<String>,
) -> Vec<String> {
    let is_chosen: BTreeSet<&str> = chosen.iter().map(String::as_str).collect();
    let places: BTreeSet<String> = listed
        .iter()
        .filter(|i| is_chosen.contains(i.symbol.as_str()))
        .filter_map(|i| venue.place_of(i))
        .filter(|p| channels.iter().any(|c| venue.poll(c).is_none() && venue.stream(c, Some(p)).is_ok()))
        .filter(|p| !is_chosen.contains(p.as_str()))
        .collect();
    chosen.extend(places);
    chosen
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
        assert_eq!(choose(&rule, None, &listed(), &[], &BTreeSet::new()), ["BTCUSDT", "ETHUSDT", "DOGEUSDT"]);
        let rule = SymbolRule { base: Some("BTC".into()), ..SymbolRule::default() };
        assert_eq!(choose(&rule, None, &listed(), &[], &BTreeSet::new()), ["BTCUSDT", "BTCUSDC"]);
        let rule = SymbolRule { glob: Patterns(vec!["D*".into(), "E*".into()]), ..SymbolRule::default() };
        assert_eq!(choose(&rule, None, &listed(), &[], &BTreeSet::new()), ["ETHUSDT", "DOGEUSDT"]);
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
        assert_eq!(choose(&rule, None, &listed(), &volumes(), &none), ["BTCUSDT", "ETHUSDT"]);
        // Without volumes the names decide; nothing is left out for that.
        assert_eq!(choose(&rule, None, &listed(), &[], &none).len(), 2);

        let five: Vec<InstrumentVersion> =
            (0..8).map(|i| InstrumentVersion::observed("v", &format!("S{i}"))).collect();
        let volumes: Vec<Volume> = (0..8).map(|i| (format!("S{i}"), 100 - i)).collect();
        let rule = SymbolRule { top_by_volume: Some(5), ..SymbolRule::default() };
        let held = |s: &[&str]| s.iter().map(|s| (*s).to_owned()).collect::<BTreeSet<_>>();
        // S5 is sixth: it stays where it is held, and S6 does not.
        let chosen = choose(&rule, None, &five, &volumes, &held(&["S5", "S6", "S0"]));
        assert_eq!(chosen, ["S0", "S1", "S2", "S3", "S5"]);
        assert_eq!(choose(&rule, None, &five, &volumes, &none), ["S0", "S1", "S2", "S3", "S4"]);
    }

    #[test]
    fn a_rule_takes_the_places_that_its_instruments_have_now() {
        let one = |(symbol, kind): &(&str, &str)| InstrumentVersion {
            contract_type: (*kind).to_owned(),
            ..InstrumentVersion::observed("v", symbol)
        };
        let listed: Vec<InstrumentVersion> = [
            ("BTCUSD_PERP", "PERPETUAL"),
            ("BTCUSD_261225", "CURRENT_QUARTER"),
            ("BTCUSD_270326", "NEXT_QUARTER"),
            ("ETHUSD_261225", "CURRENT_QUARTER DELIVERING"),
        ]
        .iter()
        .map(one)
        .collect();
        let venue = crate::venue::by_id("binance-coinm").unwrap().1;
        let places = |channels: &[&str], chosen: &[&str]| {
            let channels: Vec<String> = channels.iter().map(|c| (*c).to_owned()).collect();
            let chosen: Vec<String> = chosen.iter().map(|s| (*s).to_owned()).collect();
            with_places(venue, &channels, &listed, chosen)
        };
        let all = ["BTCUSD_PERP", "BTCUSD_261225", "BTCUSD_270326", "ETHUSD_261225"];
        assert_eq!(places(&["depth@100ms", "openInterest"], &all), all);
        assert_eq!(
            places(&["depth@100ms", "continuousKline_1m"], &all)[4..],
            ["BTCUSD_CURRENT_QUARTER", "BTCUSD_NEXT_QUARTER"]
        );
        assert_eq!(places(&["continuousKline_1m"], &["BTCUSD_PERP"]), ["BTCUSD_PERP"]);
    }

    #[test]
    fn the_venue_s_own_tests_and_what_is_over_are_chosen_by_name_only() {
        let list = |venue: &str, all: &[(&str, &str)]| -> Vec<InstrumentVersion> {
            let one = |(symbol, status): &(&str, &str)| InstrumentVersion {
                quote: "USDT".into(),
                status: (*status).into(),
                ..InstrumentVersion::observed(venue, symbol)
            };
            all.iter().map(one).collect()
        };
        let of = |venue: &str, rule: &SymbolRule, listed: &[InstrumentVersion]| {
            let spec = crate::venue::by_id(venue).map(|(_, v)| v.spec());
            choose(rule, spec, listed, &[], &BTreeSet::new())
        };
        let spot =
            list("aster-spot", &[("TESTUSDT", "TRADING"), ("ATESTUSDT", "TRADING"), ("BTCUSDT", "BREAK")]);
        let rule = SymbolRule { quote: Some("USDT".into()), ..SymbolRule::default() };
        assert_eq!(of("aster-spot", &rule, &spot), ["ATESTUSDT", "BTCUSDT"]);
        assert_eq!(of("binance-spot", &rule, &spot).len(), 3, "the rule of one venue");
        let glob = |p: &str| SymbolRule { glob: Patterns(vec![p.into()]), ..SymbolRule::default() };
        assert!(of("aster-spot", &glob("TEST*"), &spot).is_empty(), "a pattern is no name");
        assert_eq!(of("aster-spot", &glob("TESTUSDT"), &spot), ["TESTUSDT"]);

        // A listing whose name is like that of a pair stops no other one.
        let coinm = list("binance-coinm", &[("BTCUSD_PERP", "TRADING"), ("龙虾USDT", "TRADING")]);
        assert_eq!(of("binance-coinm", &rule, &coinm), ["BTCUSD_PERP"]);

        let rounds = [("A", "PREMARKET"), ("B", "TRADING"), ("C", "SETTLED"), ("D", "")];
        let rounds = list("aster-prediction", &rounds);
        assert_eq!(of("aster-prediction", &rule, &rounds), ["A", "B", "D"]);
        let settled = SymbolRule { status: Some("SETTLED".into()), ..rule.clone() };
        assert_eq!(of("aster-prediction", &settled, &rounds), ["C"]);
        assert_eq!(of("aster-spot", &rule, &rounds).len(), 4, "its word there");
        assert_eq!(choose(&rule, None, &rounds, &[], &BTreeSet::new()).len(), 4);
    }
}
