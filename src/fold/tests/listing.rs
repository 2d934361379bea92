//! What is of a venue, and what says that this changed.

use super::{Rows, Tape, conn_event};
use crate::fold::Fold;
use crate::model::control::{PlanNote, to_payload};
use crate::model::{ConnEvent, InstrumentVersion, Kind, Listed, Subscribed, TimerEvent};
use crate::venue;

/// A lane of Binance USD-M that carries best prices of the whole market, and knows a list of it or does not.
fn whole_market(listed: &[&str]) -> Tape {
    let usdm = "binance-usdm";
    let mut t = Tape::new();
    let note = PlanNote { venue: usdm.into(), whole_market: !listed.is_empty(), ..PlanNote::default() };
    t.push(Kind::Config, 0, -1, "", &to_payload(&note), 0);
    for s in listed {
        let v = InstrumentVersion { source: "venue".into(), ..InstrumentVersion::observed(usdm, s) };
        t.push(Kind::Instrument, 0, -1, "", &to_payload(&v), 0);
    }
    let open = ConnEvent { venue: usdm.into(), ..conn_event("open", "") };
    t.push(Kind::Connection, 7, -1, "wss://x/public/stream?streams=", &to_payload(&open), 0);
    let v = venue::by_id(usdm).unwrap().1;
    let add = ["!bookTicker", "!forceOrder@arr"].map(|c| v.stream(c, None).unwrap()).to_vec();
    let s = Subscribed { venue: usdm.into(), add, ..Subscribed::default() };
    t.push(Kind::Subscription, 7, -1, "", &to_payload(&s), 0);
    t
}

#[test]
fn a_row_of_a_sister_product_becomes_no_instrument_of_this_venue() {
    let quote = |symbol: &str, u: i64, st: &str| {
        format!(
            "{{\"stream\":\"!bookTicker\",\"data\":{{\"e\":\"bookTicker\",\"u\":{u},\"s\":\"{symbol}\",\"b\":\"1\",\"B\":\"1\",\
             \"a\":\"2\",\"A\":\"1\",\"T\":1,\"E\":2{st}}}}}"
        )
    };
    let force = "{\"stream\":\"!forceOrder@arr\",\"data\":{\"e\":\"forceOrder\",\"E\":1,\"o\":{\"s\":\"ETHUSD_PERP\",\
                 \"S\":\"SELL\",\"o\":\"LIMIT\",\"f\":\"IOC\",\"q\":\"1\",\"p\":\"1\",\"ap\":\"1\",\"X\":\"FILLED\",\"l\":\"1\",\
                 \"z\":\"1\",\"T\":1}}}";
    for (listed, due) in [
        // `st` says whose it is; where it is missing the list does.
        (&["BTCUSDT"][..], &["quote 1", "quote 3"][..]),
        // Nobody has said what there is: all of it is taken.
        (&[], &["quote 1", "quote 2", "quote 3"]),
    ] {
        let mut t = whole_market(listed);
        t.frame(7, &quote("BTCUSDT", 1, ""));
        t.frame(7, &quote("BTCUSD_PERP", 2, ""));
        t.frame(7, &quote("NEWUSDT", 3, ",\"st\":1"));
        t.frame(7, &quote("ETHUSD_PERP", 4, ",\"st\":2"));
        t.frame(7, force);
        assert_eq!(t.rows.of("quote"), due);
        let v = venue::by_id("binance-usdm").unwrap().0;
        assert!(t.fold.find(v, "NEWUSDT").is_some());
        assert_eq!(t.fold.find(v, "BTCUSD_PERP").is_some(), listed.is_empty());
        assert_eq!(t.fold.find(v, "ETHUSD_PERP").is_some(), listed.is_empty());
        // Across a restart of the converter as well.
        let saved = t.fold.save().unwrap();
        let restored = Fold::restore(&saved, &mut Rows::default()).unwrap();
        assert_eq!(restored.save().unwrap(), saved);
    }
}

#[test]
fn the_silence_of_what_is_gone_ends_where_the_list_says_so() {
    let id = "aster-futures";
    let v = venue::by_id(id).unwrap().1;
    let mut t = Tape::new();
    let listed = |t: &mut Tape, status: &str| {
        let version = InstrumentVersion {
            source: "venue".into(),
            status: status.into(),
            ..InstrumentVersion::observed(id, "BTCUSDT")
        };
        t.push(Kind::Instrument, 0, -1, "", &to_payload(&version), 0);
        t.ts
    };
    listed(&mut t, "TRADING");
    let open = ConnEvent { venue: id.into(), ..conn_event("open", "") };
    t.push(Kind::Connection, 7, -1, "wss://x/stream?streams=", &to_payload(&open), 0);
    let add = vec![v.stream("markPrice@1s", Some("BTCUSDT")).unwrap()];
    let s = Subscribed { venue: id.into(), add, ..Subscribed::default() };
    t.push(Kind::Subscription, 7, -1, "", &to_payload(&s), 0);
    t.frame(
        7,
        "{\"stream\":\"btcusdt@markPrice@1s\",\"data\":{\"e\":\"markPriceUpdate\",\"E\":1,\"s\":\"BTCUSDT\",\"p\":\"1\",\"i\":\"1\",\
         \"P\":\"1\",\"r\":\"0.1\",\"T\":5}}",
    );
    let began = t.ts;
    let silent = TimerEvent::Silent { stream: "btcusdt@markPrice@1s".into() };
    t.push(Kind::Timer, 7, -1, "", &to_payload(&silent), 0);
    // That it stands still is no reason.
    listed(&mut t, "BREAK");
    assert!(t.rows.of("gap").is_empty(), "{:?}", t.rows.of("gap"));
    let gone = listed(&mut t, "DELISTED");
    let gaps = t.rows.of("gap");
    assert!(
        gaps.len() == 1 && gaps[0].contains(&format!("silent_stream (-1, -1] {began}..{gone} by watchdog")),
        "{gaps:?}"
    );
    assert!(gaps[0].ends_with("end listing"), "{gaps:?}");
    t.conn_ends("close", 7, "venue_disconnect", true);
    let covers = t.rows.of("cover");
    assert!(covers.iter().any(|c| c.contains(&format!("{gone}.."))), "{covers:?}");
}

#[test]
fn a_version_has_one_row_although_two_lanes_record_it() {
    let version = |status: &str| InstrumentVersion {
        source: "venue".into(),
        status: status.into(),
        price_exp: 1,
        ..InstrumentVersion::observed("binance-usdm", "BTCUSDT")
    };
    let mut t = whole_market(&[]);
    let rows = |t: &Tape| t.rows.of("instrument").len();
    for (status, elsewhere, due) in
        [("TRADING", true, 0), ("BREAK", true, 0), ("BREAK", false, 0), ("TRADING", false, 1)]
    {
        let l = Listed { version: version(status), elsewhere };
        t.push(Kind::Instrument, 0, -1, "", &to_payload(&l), 0);
        assert_eq!(rows(&t), due, "{status}");
    }
    // What frames have shown here nobody else says.
    let l = Listed { version: version("SETTLING"), elsewhere: true };
    t.push(Kind::Instrument, 0, -1, "", &to_payload(&l), 0);
    assert_eq!(rows(&t), 1);
    t.frame(
        7,
        "{\"stream\":\"!bookTicker\",\"data\":{\"e\":\"bookTicker\",\"u\":1,\"s\":\"BTCUSDT\",\"b\":\"1.25\",\"B\":\"1\",\
         \"a\":\"2\",\"A\":\"1\",\"T\":1,\"E\":2}}",
    );
    assert_eq!(rows(&t), 2);
}

#[test]
fn a_venue_that_says_what_opens_is_heard() {
    let mut t = Tape::new();
    let venue_id = "aster-prediction";
    let open = ConnEvent { venue: venue_id.into(), ..conn_event("open", "") };
    t.push(Kind::Connection, 7, -1, "wss://x/stream?streams=", &to_payload(&open), 0);
    let v = venue::by_id(venue_id).unwrap().1;
    let add = vec![v.stream("event", Some("BTC_UP_DOWN_5M_1778483280_YUSDT")).unwrap()];
    assert_eq!(add[0].name, "btc_up_down_5m@event");
    let s = Subscribed { venue: venue_id.into(), add, ..Subscribed::default() };
    t.push(Kind::Subscription, 7, -1, "", &to_payload(&s), 0);
    let mut heard = |data: &str| {
        t.rows.effects.clear();
        t.frame(7, &format!("{{\"stream\":\"btc_up_down_5m@event\",\"data\":{{{data}}}}}"));
        t.rows.effects.iter().any(|e| e.starts_with("Listing"))
    };
    assert!(heard("\"e\":\"market_start\",\"m\":\"BTC_UP_DOWN_5M_1\",\"t\":1"));
    assert!(!heard("\"e\":\"market_twap\",\"m\":\"BTC_UP_DOWN_5M_1\",\"r\":3,\"t\":1"));
    assert!(heard("\"e\":\"market_twap\",\"m\":\"BTC_UP_DOWN_5M_1\",\"r\":0,\"t\":1,\"w\":\"Y\""));
}
