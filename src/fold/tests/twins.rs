//! A stream of an instrument and that of the whole market bring the same events: each has one row.

use super::{Tape, VENUE};
use crate::fold::Fold;
use crate::model::control::to_payload;
use crate::model::{Kind, Subscribed};

fn lane(channels: &[(&str, bool)]) -> Tape {
    let mut t = Tape::new();
    t.conn("open", 7, "");
    let v = crate::venue::by_id(VENUE).unwrap().1;
    let add = channels.iter().map(|(c, own)| v.stream(c, own.then_some("BTCUSDT")).unwrap()).collect();
    let s = Subscribed { venue: VENUE.into(), add, ..Subscribed::default() };
    t.push(Kind::Subscription, 7, -1, "", &to_payload(&s), 0);
    t
}

fn order(stream: &str, symbol: &str, made: i64) -> String {
    format!(
        r#"{{"stream":"{stream}","data":{{"e":"forceOrder","E":{made},"o":{{"s":"{symbol}","S":"SELL","o":"LIMIT","f":"IOC","q":"0.014",
        "p":"9910","ap":"9910","X":"FILLED","l":"0.014","z":"0.014","T":{made}}}}}}}"#
    )
}

fn quote(stream: &str, u: i64) -> String {
    format!(
        r#"{{"stream":"{stream}","data":{{"e":"bookTicker","u":{u},"E":5,"T":4,"s":"BTCUSDT","b":"100.5","B":"1","a":"101","A":"2"}}}}"#
    )
}

#[test]
fn a_liquidation_on_both_streams_has_one_row_and_what_one_leaves_out_has_it_too() {
    let (own, all) = ("btcusdt@forceOrder", "!forceOrder@arr");
    let mut t = lane(&[("forceOrder", true), (all, false)]);
    t.frame(7, &order(own, "BTCUSDT", 1000));
    t.frame(7, &order(all, "BTCUSDT", 1000));
    t.frame(7, &order(all, "BTCUSDT", 2000));
    t.frame(7, &order(own, "BTCUSDT", 2000));
    let of = |t: &Tape| t.rows.of("liquidation").len();
    assert_eq!(of(&t), 2);
    // Only one of them brings it; and another symbol has no stream of its own.
    t.frame(7, &order(own, "BTCUSDT", 3000));
    t.frame(7, &order(all, "BTCUSDT", 4000));
    t.frame(7, &order(all, "ETHUSDT", 4000));
    assert_eq!(of(&t), 5);
    // A fold that goes on from a checkpoint knows what came.
    t.fold = Fold::restore(&t.fold.save().unwrap(), &mut super::Rows::default()).unwrap();
    t.frame(7, &order(own, "BTCUSDT", 4000));
    t.frame(7, &order(all, "BTCUSDT", 3000));
    assert_eq!(of(&t), 5);
}

#[test]
fn so_has_a_quote_and_without_the_twin_nothing_is_compared() {
    let mut t = lane(&[("bookTicker", true), ("!bookTicker", false)]);
    for u in 1..300 {
        t.frame(7, &quote("btcusdt@bookTicker", u));
        t.frame(7, &quote("!bookTicker", u));
    }
    assert_eq!(t.rows.of("quote").len(), 299);
    let mut t = lane(&[("bookTicker", true)]);
    t.frame(7, &quote("btcusdt@bookTicker", 1));
    t.frame(7, &quote("btcusdt@bookTicker", 1));
    assert_eq!(t.rows.of("quote").len(), 2, "a stream's own repeats are what it said");
}
