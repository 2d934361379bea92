//! A frame of trades that a venue sends twice where ids skip: one set of rows, and nothing that only looks alike is lost.

use super::Tape;
use crate::fold::Fold;
use crate::model::control::to_payload;
use crate::model::{ConnEvent, Kind, Subscribed};

/// One connection of one stream of trades.
struct Line {
    tape: Tape,
    venue: &'static str,
    channel: &'static str,
    symbol: &'static str,
}

impl Line {
    fn new(venue: &'static str, channel: &'static str, symbol: &'static str) -> Line {
        let mut l = Line { tape: Tape::new(), venue, channel, symbol };
        l.tape.ts = 1_769_598_709_200_000_000;
        l.opens(7, 0);
        l
    }

    fn conn(&mut self, event: &str, conn: i64, leg: u8) {
        let e = ConnEvent { venue: self.venue.into(), leg, ..super::conn_event(event, "") };
        self.tape.push(Kind::Connection, conn, -1, "ws://x/", &to_payload(&e), 0);
    }

    fn opens(&mut self, conn: i64, leg: u8) {
        self.conn("open", conn, leg);
        let v = crate::venue::by_id(self.venue).unwrap().1;
        let add = vec![v.stream(self.channel, Some(self.symbol)).unwrap()];
        let s = Subscribed { venue: self.venue.into(), add, ..Subscribed::default() };
        self.tape.push(Kind::Subscription, conn, -1, "", &to_payload(&s), 0);
    }

    fn trades(&self) -> usize {
        self.tape.rows.of("trade").len()
    }
}

fn ascendex(ids: &[i64]) -> String {
    let one = |n: &i64| format!(r#"{{"p":"19.152","q":"79","ts":1769598709100,"bm":false,"seqnum":{n}}}"#);
    let all: Vec<String> = ids.iter().map(one).collect();
    format!(r#"{{"m":"trades","symbol":"APE-PERP","data":[{}]}}"#, all.join(","))
}

/// `t` in JSON is a time, or an id; `more` are further keys.
fn pumpkin(t: i64, more: &str) -> String {
    format!(r#"{{"e":"trade","s":"btc_usdt","t":{t},"p":"95150.62","a":"7","m":"BID"{more}}}"#)
}

const FIRST: i64 = 288_230_377_097_259_426;

#[test]
fn ascendex_says_it_twice_and_it_is_told_once() {
    let mut l = Line::new("ascendex-futures", "trades", "APE-PERP");
    let frame = ascendex(&[FIRST, FIRST + 2]);
    l.tape.frame(7, &frame);
    let was = l.tape.fold.counters().duplicates;
    l.tape.frame(7, &frame);
    assert_eq!((l.trades(), l.tape.fold.counters().duplicates - was), (2, 2));
    // Some of it again, with news behind it; and what came late for the first time is news.
    l.tape.frame(7, &ascendex(&[FIRST + 2, FIRST + 6]));
    l.tape.frame(7, &ascendex(&[FIRST + 4]));
    assert_eq!(l.trades(), 4);
    // On the next connection, and by a fold that goes on from a checkpoint.
    l.conn("close", 7, 0);
    l.opens(8, 0);
    l.tape.fold = Fold::restore(&l.tape.fold.save().unwrap(), &mut super::Rows::default()).unwrap();
    l.tape.frame(8, &ascendex(&[FIRST + 4, FIRST + 6, FIRST + 8]));
    assert_eq!(l.trades(), 5);
}

#[test]
fn one_leg_that_says_it_twice_does_not_make_two_of_it() {
    let mut l = Line::new("ascendex-futures", "trades", "APE-PERP");
    l.opens(8, 1);
    for conn in [7, 7, 8, 8, 7] {
        l.tape.frame(conn, &ascendex(&[FIRST]));
    }
    assert_eq!(l.trades(), 1);
    l.tape.frame(8, &ascendex(&[FIRST + 2]));
    assert_eq!(l.trades(), 2);
}

#[test]
fn pumpkin_s_ids_tell_repeats_and_its_times_do_not() {
    let mut l = Line::new("pumpkin-perp", "trade", "btc_usdt");
    // A snowflake in `t`; an id of its own beside a time; a number that is no time at all.
    for frame in [
        pumpkin(586_769_324_550_225_920, ""),
        pumpkin(1_769_598_709_094, r#","id":586769324550225921"#),
        pumpkin(1_234_567_890_123_456, ""),
    ] {
        let was = l.trades();
        l.tape.frame(7, &frame);
        l.tape.frame(7, &frame);
        assert_eq!(l.trades() - was, 1, "{frame}");
    }
    // Two trades of one ms, price and size are two: nothing but their number tells them apart.
    let was = l.trades();
    let equal = pumpkin(1_769_598_709_095, "");
    l.tape.frame(7, &equal);
    l.tape.frame(7, &equal);
    l.tape.frame(7, &format!("[{equal},{equal}]"));
    assert_eq!(l.trades() - was, 4);
    // A time of which our clock thinks that it is none is not believed to be an id of one trade.
    let was = l.trades();
    let foreign = pumpkin(1_769_598_709_096 - 3 * 86_400_000, "");
    l.tape.frame(7, &foreign);
    l.tape.frame(7, &foreign);
    assert_eq!(l.trades() - was, 2);
    // The same id of another trade: not known what it means, so nothing is thrown away.
    let was = l.trades();
    l.tape.frame(7, &pumpkin(1_769_598_709_094, r#","id":586769324550225922"#));
    l.tape.frame(7, &pumpkin(1_769_598_709_099, r#","id":586769324550225922"#));
    assert_eq!(l.trades() - was, 2);
}
