//! What venues count by address: new connections, and messages that subscribe. Two products of one venue at one host are
//! counted together there, so they are here.

use crate::model::{Hosts, VenueSpec};
use crate::wire::rate::RateWindow;
use crate::wire::url::Target;
use crate::wire::{ConnectLimiter, Grant};

const MINUTE_NS: i64 = 60_000_000_000;
/// A venue is asked what it has against an address no more often than this.
const ASK_EVERY_NS: i64 = 10_000_000_000;

/// Who is counted together: the venue's own group, and the host that it is reached at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressKey {
    group: &'static str,
    host: String,
}

impl AddressKey {
    /// That of a venue at the hosts in force.
    pub fn of(spec: &'static VenueSpec, hosts: &Hosts) -> AddressKey {
        let base = hosts.ws.as_deref().unwrap_or(spec.ws);
        // A base that is no URL opens no connection either.
        let host = Target::parse(base).map_or_else(|_| base.to_owned(), |t| format!("{}:{}", t.host, t.port));
        let group = if spec.address_group.is_empty() { spec.id } else { spec.address_group };
        AddressKey { group, host }
    }
}

/// The counts of one key.
#[derive(Debug)]
struct Address {
    key: AddressKey,
    connects: ConnectLimiter,
    /// `None`: the venue has no limit of messages that subscribe.
    subscribes: Option<RateWindow>,
    /// No connection before this: the venue said so.
    banned_until: i64,
    /// The venue is not asked again before this.
    ask_at: i64,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Addresses(Vec<Address>);

impl Addresses {
    /// The number of a venue's counts; they begin with the first venue that has them.
    pub fn of(&mut self, spec: &'static VenueSpec, hosts: &Hosts) -> usize {
        let key = AddressKey::of(spec, hosts);
        if let Some(at) = self.0.iter().position(|a| a.key == key) {
            return at;
        }
        let subscribes =
            (spec.subscribes_per_minute > 0).then(|| RateWindow::new(spec.subscribes_per_minute, MINUTE_NS));
        self.0.push(Address {
            key,
            connects: ConnectLimiter::new(spec.connects_per_5min),
            subscribes,
            banned_until: 0,
            ask_at: 0,
        });
        self.0.len() - 1
    }

    /// The venue lets no connection in before this (monotonic ns).
    pub fn ban(&mut self, address: usize, until: i64) {
        if let Some(a) = self.0.get_mut(address) {
            a.banned_until = until;
        }
    }

    /// Whether the venue may be asked what it has against an address.
    pub fn may_ask(&self, address: usize, now: i64) -> bool {
        self.0.get(address).is_some_and(|a| now >= a.ask_at && now >= a.banned_until)
    }

    /// It is asked now.
    pub fn asks(&mut self, address: usize, now: i64) {
        if let Some(a) = self.0.get_mut(address) {
            a.ask_at = now + ASK_EVERY_NS;
        }
    }

    /// Whether a connection that sends so many messages that subscribe may be opened now (monotonic ns); it is counted
    /// then. Else when it may.
    pub fn opens(&mut self, address: usize, messages: usize, now: i64) -> Result<(), i64> {
        let Some(a) = self.0.get_mut(address) else { return Ok(()) };
        if a.banned_until > now {
            return Err(a.banned_until);
        }
        if let Some(window) = a.subscribes.as_ref().filter(|_| messages > 0) {
            // More than the limit at once cannot be: then they wait for an empty window.
            let at = window.allowed_at(u32::try_from(messages - 1).unwrap_or(u32::MAX));
            if at > now {
                return Err(at);
            }
        }
        if let Grant::WaitUntil(at) = a.connects.grant(now) {
            return Err(at);
        }
        if let Some(window) = &mut a.subscribes {
            (0..messages).for_each(|_| window.note(now));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(id: &str) -> &'static VenueSpec {
        crate::venue::by_id(id).unwrap().1.spec()
    }

    #[test]
    fn two_products_at_one_host_share_what_the_venue_counts() {
        let mut all = Addresses::default();
        let (own, other) =
            (Hosts::default(), Hosts { ws: Some("ws://127.0.0.1:9000".to_owned()), ..Hosts::default() });
        let (spot, futures) = (spec("ascendex-spot"), spec("ascendex-futures"));
        let (a, b) = (all.of(spot, &own), all.of(futures, &own));
        assert_eq!(a, b);
        assert_ne!(all.of(futures, &other), a, "another host counts for itself");
        assert_ne!(all.of(spec("binance-spot"), &other), all.of(futures, &other), "another venue as well");
        // Forty-five in five minutes, whoever opens them.
        let limit = spot.connects_per_5min as usize;
        assert!((0..limit).all(|n| all.opens([a, b][n % 2], 0, 1 + n as i64).is_ok()));
        let five = 5 * MINUTE_NS;
        assert_eq!(all.opens(b, 0, 100), Err(1 + five));
        assert_eq!(all.opens(a, 0, 1 + five), Ok(()));
    }

    #[test]
    fn a_ban_holds_for_all_that_share_the_address_and_ends() {
        let mut all = Addresses::default();
        let own = Hosts::default();
        let (a, b) = (all.of(spec("ascendex-spot"), &own), all.of(spec("binance-spot"), &own));
        let s = 1_000_000_000;
        assert!(all.may_ask(a, s));
        all.asks(a, s);
        assert!(!all.may_ask(a, 2 * s) && all.may_ask(b, 2 * s) && all.may_ask(a, 11 * s));
        all.ban(a, 900 * s);
        assert_eq!((all.opens(a, 0, 899 * s), all.opens(b, 0, 899 * s)), (Err(900 * s), Ok(())));
        assert!(!all.may_ask(a, 899 * s), "what is known is not asked");
        assert_eq!(all.opens(a, 0, 900 * s), Ok(()));
    }

    #[test]
    fn check_knows_how_long_two_products_take_together() {
        let venue = |id: &str, symbol: &str, channel: &str, more: &str| {
            let all: Vec<String> = (0..30).map(|n| format!("\"S{n}{symbol}\"")).collect();
            format!(
                "[[venue]]\nid = {id:?}\nsymbols = [{}]\nchannels = [{channel:?}]\nmax_topics_per_conn = 1\n{more}",
                all.join(", ")
            )
        };
        let seconds = |more: &str| -> Vec<usize> {
            let text =
                venue("ascendex-spot", "/USDT", "bbo", "") + &venue("ascendex-futures", "-PERP", "bbo", more);
            let config = crate::config::Config::from_parts("x.toml", &text, [], &[]).unwrap();
            let plan = crate::engine::plan::plan(&config).unwrap();
            plan.venues.iter().map(|v| v.seconds_to_connect()).collect()
        };
        assert_eq!(seconds(""), [300, 300]);
        assert_eq!(seconds("ws = \"ws://127.0.0.1:9000\"\n"), [1, 1]);
    }

    #[test]
    fn messages_that_subscribe_are_counted_together_and_only_when_they_go_out() {
        let mut all = Addresses::default();
        let at = all.of(spec("ascendex-spot"), &Hosts::default());
        let most = spec("ascendex-futures").subscribes_per_minute as usize;
        assert_eq!(all.opens(at, most - 1, 5), Ok(()));
        assert_eq!(all.opens(at, 2, 6), Err(5 + MINUTE_NS));
        assert_eq!(all.opens(at, 1, 7), Ok(()));
        // More than the limit go alone.
        assert_eq!(all.opens(at, most * 3, 8 + MINUTE_NS), Ok(()));
        // No limit of messages: only connections count.
        let free = all.of(spec("binance-spot"), &Hosts::default());
        assert!((0..200).all(|n| all.opens(free, 100, n).is_ok()));
    }
}
