//! What is traded, and what becomes of it while the venue runs: symbols come, stand still and go.

use super::config::{SimConfig, SimError, Symbols};
use super::faults::{FaultKind, FaultSpec};
use super::recording::Recording;
use super::symbols::{self, SymbolDef};
use super::text::{key_int, key_str, put};
use super::world::{Stream, Symbol, World};
use crate::model::dialect::{Dialect, Extra};

/// Whether a symbol is traded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Listing {
    Trading,
    /// Listed, and not traded; the word is what the list says, "" = the venue's own.
    Halted(String),
    /// Not there.
    Gone,
}

/// What is traded: as recorded, or as configured; and which of it is there only when a fault lists it.
pub(super) fn traded(
    d: &Dialect,
    cfg: &SimConfig,
    recording: Option<&Recording>,
) -> Result<(Vec<SymbolDef>, Vec<String>), SimError> {
    let non_ascii = cfg.faults.iter().any(|f| f.kind == FaultKind::NonAscii);
    let defs = match recording {
        Some(r) => r.symbols(d),
        None => symbols::define(d, &cfg.symbols, non_ascii),
    };
    if defs.is_empty() {
        return Err(SimError::Config { what: "no symbols to simulate".to_owned() });
    }
    let names: Vec<String> = defs.iter().map(|s| s.symbol.clone()).collect();
    let lists = cfg.faults.iter().filter(|f| f.kind == FaultKind::List);
    let later: Vec<String> = lists.filter_map(|f| f.symbol.clone()).filter(|s| !names.contains(s)).collect();
    if later.is_empty() || recording.is_some() {
        return Ok((defs, Vec::new()));
    }
    let all = names.into_iter().chain(later.iter().cloned()).collect();
    Ok((symbols::define(d, &Symbols::List(all), false), later))
}

impl World {
    /// The symbols that are listed, traded or not.
    pub(super) fn listed(&self) -> impl Iterator<Item = (usize, &Symbol)> {
        self.symbols.iter().enumerate().filter(|(_, s)| s.listing != Listing::Gone)
    }

    /// What the list says of a symbol.
    pub(super) fn status(&self, s: &Symbol) -> String {
        match &s.listing {
            Listing::Halted(word) if !word.is_empty() => super::text::escaped(word),
            Listing::Halted(_) => self.shape.d.prints.halted.to_owned(),
            Listing::Trading | Listing::Gone => "TRADING".to_owned(),
        }
    }

    /// A symbol comes, stands still or goes.
    pub(super) fn list_by(&mut self, spec: FaultSpec) {
        let symbol = spec.symbol.as_deref().unwrap_or("");
        let Some(sym) = self.symbols.iter().position(|s| s.def.symbol == symbol) else { return };
        self.list_as(
            sym,
            match spec.kind {
                FaultKind::Delist => Listing::Gone,
                FaultKind::Halt => Listing::Halted(spec.status.clone()),
                _ => Listing::Trading,
            },
        );
        self.tell_listing(sym);
        if spec.for_ms > 0 && spec.kind != FaultKind::List {
            let back = self.since_t0().and_then(|t| u64::try_from(t).ok()).unwrap_or(0) + spec.for_ms;
            self.plan(FaultSpec { symbol: spec.symbol, ..FaultSpec::new(FaultKind::List).at(back) });
        }
    }

    /// The venue's own word of it, for whoever listens.
    fn tell_listing(&mut self, sym: usize) {
        let s = &self.symbols[sym];
        let (symbol, is_trading) = (s.face.s.as_str(), s.listing == Listing::Trading);
        let mut data = Vec::new();
        let d = self.shape.d;
        let name = match (d.has(Extra::Events), d.has(Extra::ContractInfo)) {
            (true, _) => {
                let market = symbol.trim_end_matches("_YUSDT");
                put(&mut data, if is_trading { "{\"e\":\"market_start\"" } else { "{\"e\":\"market_twap\"" });
                key_str(&mut data, "m", market);
                key_str(&mut data, "y", symbol);
                key_str(&mut data, "n", &format!("{market}_NUSDT"));
                key_str(&mut data, "p", "2073.68023256");
                if !is_trading {
                    key_int(&mut data, "r", 0);
                }
                key_int(&mut data, "t", self.now);
                if !is_trading {
                    key_str(&mut data, "w", "Y");
                }
                let series = market.rsplit_once('_').map_or(market, |m| m.0);
                format!("{}@event", symbols::lower(series))
            }
            (_, true) => {
                put(&mut data, "{\"e\":\"contractInfo\"");
                key_int(&mut data, "E", self.now);
                key_str(&mut data, "s", symbol);
                key_str(&mut data, "ps", &s.face.ps);
                key_str(&mut data, "ct", s.face.contract_type);
                key_int(&mut data, "dt", s.face.delivers.unwrap_or(symbols::NEVER));
                key_int(&mut data, "ot", 1_569_398_400_000);
                key_str(&mut data, "cs", &self.status(s));
                "!contractInfo".to_owned()
            }
            _ => return,
        };
        data.push(b'}');
        let heard = |st: &Stream| st.name == name && !st.subs.is_empty();
        let Some(ix) = self.streams.iter().position(heard) else { return };
        self.out.data = data;
        self.out.line.clear();
        if self.out.logged {
            key_str(&mut self.out.line, "kind", "notice");
        }
        self.spread(ix);
    }
}
