//! Addresses that a venue lets in no more: some say so themselves when they are asked by REST, until when and why. What they say
//! is obeyed: a knock at a closed door makes the time longer.

use super::*;
use crate::wire::reader::{CloseInfo, ClosePhase};

/// A ban is obeyed no longer than this before the door is tried again, whatever it says.
const BAN_MOST_NS: i64 = 3600 * S;
/// And so long where the venue does not say until when, or says a time that is over.
const BAN_LEAST_NS: i64 = 60 * S;

impl Control {
    /// A connection was refused by an answer to its handshake: the venue is asked what it has against this address.
    pub(super) fn turned_away(&mut self, conn: ConnId, info: &CloseInfo, now: i64) {
        if info.phase != ClosePhase::Upgrade || info.http_status == 0 {
            return;
        }
        let Some(v) = self.owner.get(&conn).copied() else { return };
        let venue = &self.venues[v];
        let Some(request) = venue.plan.venue.ban_request() else { return };
        let (address, group) = (venue.address, venue.group);
        // Many connections are refused at once: one of them asks.
        let may_ask = self.addresses.may_ask(address, now);
        // What the budget does not bear now the next refusal asks.
        if may_ask && self.groups[group].budget.grant(now, request.weight, Priority::Vital) == Grant::Granted
        {
            self.addresses.asks(address, now);
            self.get(v, Purpose::Ban, request.path);
        }
    }

    /// What the venue has against this address.
    pub(super) fn account(
        &mut self,
        v: usize,
        path: &str,
        now: i64,
        result: Result<RestResponse, RestError>,
    ) {
        let id = self.venues[v].plan.venue.spec().id;
        let Ok(r) = result else { return };
        self.record_body(v, path, &r);
        let ban = match (r.status, self.venues[v].plan.venue.parse_ban(&r.body)) {
            (200, Ok(Some(ban))) => ban,
            (200, Ok(None)) => {
                tracing::info!(
                    venue = id,
                    "connections are refused, and the venue says that this address is not banned"
                );
                return;
            }
            (status, other) => {
                let why = other.err().map_or_else(String::new, |e| e.to_string());
                tracing::warn!(venue = id, status, why, "the venue does not say why it refuses connections");
                return;
            }
        };
        let wall = clock::wall_ns();
        let wait = match ban.until.saturating_sub(wall) {
            left if ban.until > 0 && left > 0 => left.min(BAN_MOST_NS),
            _ => BAN_LEAST_NS,
        };
        let address = self.venues[v].address;
        self.addresses.ban(address, now + wait);
        for other in self.venues.iter().filter(|o| o.address == address) {
            other.metrics.banned_until.set(wall + wait);
        }
        let (until, said) = (time_text(ban.until), beginning(&ban.reason));
        let seconds = wait / S;
        tracing::error!(
            venue = id,
            until,
            said,
            seconds,
            "the venue has banned this address: no connection is tried for so long"
        );
    }

    /// A connection is open: whatever the address was banned for is over.
    pub(super) fn let_in(&self, v: usize) {
        let address = self.venues[v].address;
        self.venues.iter().filter(|o| o.address == address).for_each(|o| o.metrics.banned_until.set(0));
    }
}

/// For people; "" = not said.
fn time_text(ns: i64) -> String {
    let at = jiff::Timestamp::from_nanosecond(i128::from(ns));
    if ns <= 0 { String::new() } else { at.map_or_else(|_| ns.to_string(), |t| t.to_string()) }
}
