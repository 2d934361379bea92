//! Instruments that come, stand still and go while they are recorded.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lobtape::dataset::Table;
use lobtape::simulator::{FaultKind, FaultSpec, oracle};
use serde_json::Value;

use super::oracle_check::{Rules, check};
use super::refold::refold;
use super::rig::{self, Place, Recorder, Venue, lobtape, pass, proved, turn, wait_for};
use super::{status, tape};

/// What the dataset says of a symbol: its states in order, with the times from which they hold.
fn states(root: &Path, venue: &str, symbol: &str) -> Vec<(String, i64)> {
    let key = format!("{venue}:{symbol}");
    let mut out = Vec::new();
    tape::batches(root, Table::Instruments, venue, |b| {
        let (instrument, status) = (b.text("instrument").unwrap(), b.text("status").unwrap());
        let ts = b.i64("ts_recv").unwrap();
        for i in (0..b.rows()).filter(|i| instrument.value(*i) == key) {
            out.push((status.value(i).to_owned(), ts[i]));
        }
    });
    out.sort_by_key(|s| s.1);
    // A day can be read alone: what holds at its midnight is said in it again.
    let day = |s: &(String, i64)| s.1 / (86_400 * 1_000_000_000);
    out.dedup_by(|b, a| a.0 == b.0 && day(a) != day(b));
    out
}

fn words(states: &[(String, i64)]) -> Vec<&str> {
    states.iter().map(|s| s.0.as_str()).collect()
}

fn of(kind: FaultKind, symbol: &str) -> FaultSpec {
    FaultSpec { symbol: Some(symbol.to_owned()), ..FaultSpec::new(kind) }
}

/// A moment in which a list comes and what follows from it is done.
const LISTED: Duration = Duration::from_millis(2500);

/// The venue is in trouble on purpose, and the record must still hold against its log, fold to the same and verify.
fn judged(place: &Place, recorder: Recorder, venue: Venue, what: &str) -> String {
    recorder.stop();
    let (id, log) = venue.end();
    let v =
        check(&place.dataset(), &id, &log, Rules { replaced: true, stopped_first: true, ..Rules::default() });
    proved(what, &v.figures);
    v.demand(what);
    refold(&place.dataset());
    let (code, said) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
    assert_eq!(code, 0, "{said}");
    id
}

#[test]
fn a_rule_drops_and_takes_symbols_and_the_dataset_says_why() {
    let _turn = turn();
    for (venue, trading, halted) in [
        ("aster-futures", "TRADING", "SETTLING"),
        ("pumpkin-perp", "TRADING", "HALTED"),
        ("binance-spot", "TRADING", "BREAK"),
    ] {
        let place = Place::new();
        let new = lobtape::simulator::Symbols::Count(5);
        let new = super::rig::traded(venue, new).pop().unwrap();
        let mut venue = Venue::start(place.dir.path(), venue, 4, 300, |c| {
            // A market that is not there until it is listed.
            c.faults = vec![of(FaultKind::List, &new).at(600_000)];
        });
        venue.rule = Some(format!("{{ status = {trading:?} }}"));
        // A candle in which nothing was traded is told alike before and after: that is no event told twice.
        venue.channels.retain(|c| !c.starts_with("kline"));
        venue.more.push_str("list_every = \"1s\"\n");
        if venue.id == "pumpkin-perp" {
            // The simulated venue bears more lists than the real one is believed to.
            venue.more.push_str("rest_budget_per_min = 6000\n");
        }
        place.configure("1h", 0, &[&venue]);
        let recorder = place.record();
        let per_symbol = venue
            .channels
            .iter()
            .filter(|c| lobtape::venue::by_id(&venue.id).unwrap().1.poll(c).is_none())
            .count();
        let has = |symbols: usize| {
            let n = (per_symbol * symbols) as u64;
            wait_for(Duration::from_secs(40), || venue.sim.stats().subscriptions.load(Ordering::Relaxed) == n)
        };
        assert!(has(4), "nobody came: {}", recorder.words());
        pass(Duration::from_millis(1500));
        let [still, gone] = [venue.symbols[1].clone(), venue.symbols[2].clone()];
        venue.sim.inject(of(FaultKind::Halt, &still)).unwrap();
        venue.sim.inject(of(FaultKind::Delist, &gone)).unwrap();
        assert!(has(2), "{}: {}", venue.id, recorder.words());
        venue.sim.inject(of(FaultKind::List, &still)).unwrap();
        venue.sim.inject(of(FaultKind::List, &new)).unwrap();
        assert!(has(4), "{}: {}", venue.id, recorder.words());
        pass(LISTED);
        let id = judged(&place, recorder, venue, "symbols that come and go by rule");
        let root = place.dataset();
        let of_still = states(&root, &id, &still);
        assert_eq!(words(&of_still), [trading, halted, trading], "{id}");
        let of_gone = states(&root, &id, &gone);
        assert_eq!(words(&of_gone), [trading, "DELISTED"], "{id}");
        assert_eq!(words(&states(&root, &id, &new)), [trading], "{id}");
        // What ends because the symbol does ends after the dataset has said so, and is no gap.
        let covers = tape::coverage(&root, &id);
        for (symbol, from) in [(&still, of_still[1].1), (&gone, of_gone[1].1)] {
            let ended: Vec<_> =
                covers.iter().filter(|c| names(&c.stream, symbol) && c.end_cause == "unsubscribed").collect();
            assert!(!ended.is_empty() && ended.iter().all(|c| c.end >= from), "{id} {symbol}: {covers:?}");
        }
    }
}

/// A round that is over is listed for a day: named or chosen, its streams end when the list says that it is.
#[test]
fn a_named_round_that_is_settled_ends_and_the_others_go_on() {
    let _turn = turn();
    let place = Place::new();
    let mut venue = Venue::start(place.dir.path(), "aster-prediction", 2, 200, |_| {});
    venue.more.push_str("list_every = \"1s\"\n");
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    let subscribed = || venue.sim.stats().subscriptions.load(Ordering::Relaxed);
    let all = 2 * venue.channels.iter().filter(|c| !c.starts_with('!')).count() as u64;
    let market = venue.channels.len() as u64 - all / 2;
    let has = |n: u64| wait_for(Duration::from_secs(40), || subscribed() == n + market);
    assert!(has(all), "{} of {all} and {market}: {}", subscribed(), recorder.words());
    let [stays, over] = [venue.symbols[0].clone(), venue.symbols[1].clone()];
    let settle = |symbol: &str| FaultSpec { status: "SETTLED".to_owned(), ..of(FaultKind::Halt, symbol) };
    venue.sim.inject(settle(&over)).unwrap();
    assert!(has(all / 2), "{}: {}", subscribed(), recorder.words());
    pass(LISTED);
    // The last one as well: nothing is left to carry, and that is no fault.
    venue.sim.inject(settle(&stays)).unwrap();
    assert!(has(0), "{}: {}", subscribed(), recorder.words());
    let id = judged(&place, recorder, venue, "rounds that are over");
    let root = place.dataset();
    for symbol in [&stays, &over] {
        let settled = states(&root, &id, symbol).last().unwrap().clone();
        assert_eq!(settled.0, "SETTLED");
        let covers = tape::coverage(&root, &id);
        let last = covers.iter().filter(|c| names(&c.stream, symbol)).max_by_key(|c| c.end).unwrap();
        assert!(last.end_cause == "unsubscribed" && last.end >= settled.1, "{symbol}: {covers:?}");
    }
}

/// Whether a stream is one of the symbol's.
fn names(stream: &str, symbol: &str) -> bool {
    stream.to_ascii_lowercase().contains(&symbol.to_ascii_lowercase())
}

#[test]
fn a_named_symbol_that_is_gone_is_said_to_be_and_nothing_else_waits_for_it() {
    let _turn = turn();
    let place = Place::new();
    let mut venue = Venue::start(place.dir.path(), "aster-futures", 3, 300, |_| {});
    venue.more = "list_every = \"1s\"\n".to_owned();
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    let has = |venue: &Venue, n: u64| {
        wait_for(Duration::from_secs(40), || venue.sim.stats().subscriptions.load(Ordering::Relaxed) == n)
    };
    assert!(has(&venue, 15), "nobody came: {}", recorder.words());
    pass(Duration::from_millis(1500));
    let [still, gone] = [venue.symbols[0].clone(), venue.symbols[1].clone()];
    let halt = FaultSpec { status: "BREAK".to_owned(), ..of(FaultKind::Halt, &still) };
    venue.sim.inject(halt).unwrap();
    venue.sim.inject(of(FaultKind::Delist, &gone)).unwrap();
    let said = || recorder.log().contains("the venue does not list it any more");
    assert!(wait_for(Duration::from_secs(20), said), "{}", recorder.words());
    // Its book is lost with the connection, and there is no other to be had.
    let conns = || recorder.log().matches("connected venue=").count();
    let before = conns();
    venue.sim.inject(FaultSpec { symbol: Some(still.clone()), ..FaultSpec::new(FaultKind::Cut) }).unwrap();
    assert!(wait_for(Duration::from_secs(20), || conns() > before), "{}", recorder.words());
    // A reload is about something else, and is done.
    venue.channels.push("kline_1m".to_owned());
    place.configure("1h", 0, &[&venue]);
    recorder.reload();
    assert!(has(&venue, 18), "{}", recorder.words());
    assert!(!recorder.log().contains("is not applied"), "{}", recorder.words());
    // Longer than it takes to ask for a quiet book.
    pass(LISTED);
    venue.sim.inject(of(FaultKind::List, &still)).unwrap();
    venue.sim.inject(of(FaultKind::List, &gone)).unwrap();
    let back = || recorder.log().matches("an instrument changed").count() >= 3;
    assert!(wait_for(Duration::from_secs(20), back), "{}", recorder.words());
    pass(LISTED);
    let log = venue.log.clone();
    let id = judged(&place, recorder, venue, "named symbols that go and come back");
    let root = place.dataset();
    assert_eq!(words(&states(&root, &id, &still)), ["TRADING", "BREAK", "TRADING"]);
    let of_gone = states(&root, &id, &gone);
    assert_eq!(words(&of_gone), ["TRADING", "DELISTED", "TRADING"]);
    let lines = oracle::read(BufReader::new(File::open(log).unwrap())).unwrap();
    let asked = lines.iter().filter(|l| l.k == "rest" && l.status == Some(400) && l.sym == gone).count();
    assert!(asked <= 3, "asked {asked} times for the book of what is gone");
    // It is recorded again from then on, by the streams that it always had.
    for table in [Table::Trades, Table::BookDelta] {
        let mut after = 0;
        tape::batches(&root, table, &id, |b| {
            let key = format!("{id}:{gone}");
            let (instrument, ts) = (b.text("instrument").unwrap(), b.i64("ts_recv").unwrap());
            after += (0..b.rows()).filter(|i| instrument.value(*i) == key && ts[*i] > of_gone[2].1).count();
        });
        assert!(after > 0, "no row of {} of {gone} after it came back", table.name());
    }
}

/// Rows of `instruments` that a restart adds are those of what changed meanwhile, also of what is not recorded any more.
#[test]
fn what_happened_while_nobody_looked_is_said_at_the_next_start() {
    let _turn = turn();
    let place = Place::new();
    let mut venue = Venue::start(place.dir.path(), "aster-futures", 5, 300, |_| {});
    venue.rule = Some("{ status = \"TRADING\" }".to_owned());
    place.configure("1h", 0, &[&venue]);
    let has = |venue: &Venue, n: u64| {
        wait_for(Duration::from_secs(40), || venue.sim.stats().subscriptions.load(Ordering::Relaxed) == n)
    };
    let recorder = place.record();
    assert!(has(&venue, 25), "nobody came: {}", recorder.words());
    pass(Duration::from_millis(1500));
    recorder.stop();
    let [still, gone, killed] = [1, 2, 3].map(|n: usize| venue.symbols[n].clone());
    venue.sim.inject(of(FaultKind::Halt, &still)).unwrap();
    venue.sim.inject(of(FaultKind::Delist, &gone)).unwrap();
    assert!(has(&venue, 0));
    let said = |recorder: &Recorder, n: usize| {
        let times = || recorder.log().matches("an instrument changed").count() >= n;
        wait_for(Duration::from_secs(20), times)
    };
    let recorder = place.record();
    assert!(has(&venue, 15) && said(&recorder, 2), "{}", recorder.words());
    // What is in no file yet when the recorder dies counts as well.
    recorder.kill();
    assert!(has(&venue, 0));
    venue.sim.inject(of(FaultKind::Delist, &killed)).unwrap();
    venue.sim.inject(of(FaultKind::Delist, &still)).unwrap();
    let recorder = place.record();
    assert!(has(&venue, 10) && said(&recorder, 4), "{}", recorder.words());
    pass(Duration::from_millis(500));
    recorder.stop();
    let (all, (id, _)) = (venue.symbols.clone(), venue.end());
    let root = place.dataset();
    refold(&root);
    let (code, report) = lobtape(&["verify", root.to_str().unwrap()]);
    assert_eq!(code, 0, "{report}");
    for symbol in &all {
        let due: &[&str] = match symbol {
            s if *s == still => &["TRADING", "SETTLING", "DELISTED"],
            s if [&gone, &killed].contains(&s) => &["TRADING", "DELISTED"],
            _ => &["TRADING"],
        };
        assert_eq!(words(&states(&root, &id, symbol)), due, "{symbol}");
    }
}

#[test]
fn a_venue_that_says_what_opens_and_closes_is_not_waited_for() {
    let _turn = turn();
    // (channel that says it, symbol that comes)
    for (id, channel, new) in [
        ("aster-prediction", "event", "BTC_UP_DOWN_5M_1778483580_YUSDT"),
        ("binance-usdm", "!contractInfo", "NEWUSDT"),
    ] {
        let place = Place::new();
        let mut venue = Venue::start(place.dir.path(), id, 2, 200, |c| {
            c.faults = vec![of(FaultKind::List, new).at(600_000)];
        });
        venue.rule = Some("{ status = \"TRADING\" }".to_owned());
        // Nobody would hear of it in time.
        venue.more = "list_every = \"1h\"\n".to_owned();
        venue.channels.push(channel.to_owned());
        place.configure("1h", 0, &[&venue]);
        let recorder = place.record();
        let connected = || recorder.log().contains("connected venue=");
        assert!(wait_for(Duration::from_secs(40), connected), "nobody came: {}", recorder.words());
        // The first list is a moment ago: the next one waits for that.
        pass(Duration::from_millis(1500));
        venue.sim.inject(of(FaultKind::List, new)).unwrap();
        let chosen = |n: usize| {
            let said = format!("symbols={n}");
            wait_for(Duration::from_secs(30), || {
                recorder.log().matches("symbols chosen by rule").count() > 0
                    && recorder
                        .log()
                        .lines()
                        .any(|l| l.contains("symbols chosen by rule") && l.contains(&said))
            })
        };
        assert!(chosen(3), "{id}: {}", recorder.words());
        pass(Duration::from_millis(1500));
        let gone = venue.symbols[1].clone();
        venue.sim.inject(of(FaultKind::Delist, &gone)).unwrap();
        let twice = || {
            let log = recorder.log();
            log.lines().filter(|l| l.contains("symbols chosen by rule") && l.contains("symbols=2")).count()
                == 2
        };
        assert!(wait_for(Duration::from_secs(30), twice), "{id}: {}", recorder.words());
        pass(Duration::from_millis(500));
        let id = judged(&place, recorder, venue, "a venue that says what opens and closes");
        let root = place.dataset();
        assert_eq!(words(&states(&root, &id, new)), ["TRADING"]);
        assert_eq!(words(&states(&root, &id, &gone)), ["TRADING", "DELISTED"]);
    }
}

/// A round of a prediction market is decided while its books are recorded: the event stream says so, the list follows, and what is
/// subscribed to of it ends as it should. The rounds beside it go on.
#[test]
fn a_round_that_settles_ends_without_a_gap_and_the_others_go_on() {
    let _turn = turn();
    let place = Place::new();
    let mut venue = Venue::start(place.dir.path(), "aster-prediction", 3, 300, |_| {});
    venue.rule = Some("{ quote = \"USDT\" }".to_owned());
    // Nobody would hear of it in time but by the event stream.
    venue.more = "list_every = \"1h\"\n".to_owned();
    venue.channels.push("event".to_owned());
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    let connected = || recorder.log().contains("connected venue=");
    assert!(wait_for(Duration::from_secs(40), connected), "nobody came: {}", recorder.words());
    pass(Duration::from_millis(2000));
    let settled = venue.symbols[1].clone();
    venue.sim.inject(of(FaultKind::Halt, &settled)).unwrap();
    let fewer = || {
        let log = recorder.log();
        log.lines().any(|l| l.contains("symbols chosen by rule") && l.contains("symbols=2"))
    };
    assert!(wait_for(Duration::from_secs(30), fewer), "it stays: {}", recorder.words());
    // Six streams a round; the connection that carries those of the decided one is replaced.
    let subscribed = || venue.sim.stats().subscriptions.load(Ordering::Relaxed);
    assert!(
        wait_for(Duration::from_secs(40), || subscribed() == 12),
        "{}: {}",
        subscribed(),
        recorder.words()
    );
    pass(Duration::from_millis(500));
    let others: Vec<String> = venue.symbols.iter().filter(|s| **s != settled).cloned().collect();
    let id = judged(&place, recorder, venue, "a round that settles");
    let root = place.dataset();
    let said = states(&root, &id, &settled);
    assert_eq!(words(&said), ["TRADING", "SETTLED"]);
    let since = said[1].1;
    let covers = tape::coverage(&root, &id);
    let of_it: Vec<_> = covers.iter().filter(|c| names(&c.stream, &settled) && c.end >= since).collect();
    assert!(!of_it.is_empty() && of_it.iter().all(|c| c.end_cause == "unsubscribed"), "{covers:?}");
    let gaps = tape::gaps(&root, &id);
    assert!(
        !gaps.iter().any(|g| names(&g.stream, &settled) && g.begin >= since),
        "no gap: nobody wants it: {gaps:?}"
    );
    for symbol in &others {
        let open =
            |c: &&tape::Cover| names(&c.stream, symbol) && c.stream.contains("@depth") && c.end > since;
        assert!(covers.iter().any(|c| open(&c)), "{symbol}: {covers:?}");
    }
    // The word that decided it, and who won, stand in `raw` as they came.
    let mut winner = 0;
    tape::batches(&root, Table::Raw, &id, |b| {
        let payload = b.binary("payload").unwrap();
        for i in 0..b.rows() {
            let p = payload.value(i);
            let has = |w: &[u8]| p.windows(w.len()).any(|x| x == w);
            winner += usize::from(has(b"\"market_twap\"") && has(b"\"w\":\"Y\"") && has(settled.as_bytes()));
        }
    });
    assert!(winner > 0);
}

#[test]
fn what_only_a_stream_of_the_whole_market_names_has_versions_too() {
    let _turn = turn();
    let place = Place::new();
    let mut venue = Venue::start(place.dir.path(), "binance-usdm", 4, 1000, |_| {});
    let all = venue.symbols.clone();
    // The second one is in another lane than the stream of the whole market: both record it, one says so.
    venue.symbols.truncate(2);
    venue.channels.push("!miniTicker@arr".to_owned());
    venue.more = "list_every = \"1s\"\n".to_owned();
    place.configure("1h", 0, &[&venue]);
    place.change("[capture]\n", "[capture]\ncores = [0, 1]\n");
    let recorder = place.record();
    let connected = || recorder.log().contains("connected venue=");
    assert!(wait_for(Duration::from_secs(40), connected), "nobody came: {}", recorder.words());
    pass(LISTED);
    venue.sim.inject(of(FaultKind::Delist, &all[3])).unwrap();
    pass(LISTED);
    let id = judged(&place, recorder, venue, "the whole market");
    let root = place.dataset();
    let manifest = lobtape::dataset::Dataset::open(&root).unwrap().manifest().unwrap();
    for symbol in &all {
        let has_rows = manifest.parts().any(|p| p.table == "tickers" && p.symbol == *symbol);
        let gone: &[&str] = if *symbol == all[3] { &["DELISTED"] } else { &[] };
        let due = [&["TRADING"], gone].concat();
        assert_eq!((has_rows, words(&states(&root, &id, symbol))), (true, due), "{symbol}");
    }
}

/// Continuous candles call a contract by its place in the calendar: one that is listed for delivery costs no other symbol, and is
/// recorded under the place that the list gives it.
#[test]
fn a_rule_beside_continuous_candles_takes_delivery_contracts_at_the_start_and_later() {
    let _turn = turn();
    let place = Place::new();
    let symbols = ["BTCUSD_PERP", "ETHUSD_PERP", "BTCUSD_270326", "ETHUSD_270326"].map(str::to_owned);
    let mut venue = Venue::start(place.dir.path(), "binance-coinm", 4, 300, |c| {
        c.symbols = lobtape::simulator::Symbols::List(symbols[..3].to_vec());
        c.faults = vec![of(FaultKind::List, &symbols[3]).at(600_000)];
    });
    venue.rule = Some("{ glob = \"*\" }".to_owned());
    venue.channels = ["depth@100ms", "continuousKline_1m"].map(str::to_owned).to_vec();
    venue.more.push_str("list_every = \"1s\"\n");
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    let has = |n: u64| {
        wait_for(Duration::from_secs(40), || venue.sim.stats().subscriptions.load(Ordering::Relaxed) == n)
    };
    assert!(has(6), "three books, two perpetuals, a quarter: {}", recorder.words());
    venue.sim.inject(of(FaultKind::List, &symbols[3])).unwrap();
    assert!(has(8), "the rule is stuck: {}", recorder.words());
    pass(LISTED);
    let words = recorder.words();
    let told = words.lines().filter(|l| l.contains("BTCUSD_270326") && l.contains("left out of it alone"));
    assert_eq!(told.count(), 1, "{words}");
    let id = judged(&place, recorder, venue, "a delivery contract that is listed");
    let covers = tape::coverage(&place.dataset(), &id);
    for stream in [
        "btcusd_270326@depth@100ms",
        "ethusd_270326@depth@100ms",
        "btcusd_perpetual@continuousKline_1m",
        "btcusd_current_quarter@continuousKline_1m",
        "ethusd_current_quarter@continuousKline_1m",
    ] {
        assert!(covers.iter().any(|c| c.stream == stream), "{stream}: {covers:?}");
    }
}

/// Between a venue's list and its configuration something does not fit, and then it does.
struct Misfit {
    list_every: &'static str,
    /// The venue is there from the configuration's first change on, not down from the start.
    is_added: bool,
    /// The same configuration is read again, because the next list is far away.
    is_reloaded: bool,
}

/// The recorder's status, and this venue's part of it.
fn told(addr: SocketAddr, id: &str) -> (Value, Value) {
    let all = rig::status(addr).unwrap_or_default();
    let venues = all["venues"].as_array().cloned().unwrap_or_default();
    let own = venues.into_iter().find(|v| v["venue"] == id).unwrap_or_default();
    (all, own)
}

/// The recorder runs and the venue's list lacks `new`: that is told until somebody mends it.
fn told_of_misfit(m: &Misfit, place: &Place, (other, venue): (&Venue, &Venue), addr: SocketAddr) -> Recorder {
    let (id, new) = (venue.id.as_str(), venue.symbols.last().unwrap());
    let first: &[&Venue] = if m.is_added { &[other] } else { &[other, venue] };
    place.configure("1h", 0, first);
    if !m.is_added {
        let down = FaultSpec { for_ms: 600_000, ..FaultSpec::new(FaultKind::Http503) };
        venue.sim.inject(down).unwrap();
    }
    let recorder = place.record();
    let mut seen = (Value::Null, Value::Null);
    if m.is_added {
        let connected = || recorder.log().contains("connected venue=");
        assert!(wait_for(Duration::from_secs(40), connected), "{}", recorder.words());
        place.configure("1h", 0, &[other, venue]);
        recorder.reload();
    } else {
        let waits = wait_for(Duration::from_secs(40), || {
            seen = told(addr, id);
            seen.1["waits_for_list"] == true && seen.1["list_unfit"] == ""
        });
        assert!(waits, "{seen:?}\n{}", recorder.words());
        venue.sim.quiesce().unwrap();
    }
    let unfit = wait_for(Duration::from_secs(40), || {
        seen = told(addr, id);
        let says = |v: &Value| v.as_str().is_some_and(|t| t.contains(new.as_str()));
        seen.1["waits_for_list"] == true
            && says(&seen.1["list_unfit"])
            && seen.0["ready"] == false
            && says(&seen.0["not_ready"])
    });
    assert!(unfit, "{seen:?}\n{}", recorder.words());
    assert_eq!(seen.1["connections"], 0);
    recorder
}

/// A list that lacks what is configured may be mended: by the venue, whose later lists are tried again, or by who reads the
/// configuration again. Until then the venue is told to be without records, as one whose list does not come.
#[test]
fn a_venue_whose_late_list_does_not_fit_is_recorded_when_it_does() {
    let _turn = turn();
    for m in [
        Misfit { list_every: "1s", is_added: false, is_reloaded: false },
        Misfit { list_every: "1h", is_added: false, is_reloaded: true },
        Misfit { list_every: "1s", is_added: true, is_reloaded: false },
    ] {
        let place = Place::new();
        let mut other = Venue::start(place.dir.path(), "aster-futures", 1, 100, |_| {});
        let addr = rig::status_of(&mut other);
        let new = rig::traded("binance-spot", lobtape::simulator::Symbols::Count(3)).pop().unwrap();
        let mut venue = Venue::start(place.dir.path(), "binance-spot", 2, 200, |c| {
            c.faults = vec![of(FaultKind::List, &new).at(600_000)];
        });
        venue.symbols.push(new.clone());
        venue.more.push_str(&format!("list_every = {:?}\n", m.list_every));
        let recorder = told_of_misfit(&m, &place, (&other, &venue), addr);
        let asked = || venue.sim.stats().requests.load(Ordering::Relaxed);
        let (before, tries) = (asked(), if m.is_reloaded { 1 } else { 3 });
        if m.is_reloaded {
            recorder.reload();
        }
        assert!(wait_for(Duration::from_secs(20), || asked() >= before + tries), "{}", recorder.words());
        venue.sim.inject(of(FaultKind::List, &new)).unwrap();
        let quoted = format!("\"{new}\"");
        let lists = || status::get(venue_addr(&venue), LIST).is_some_and(|t| t.contains(&quoted));
        let mended = now_ns();
        assert!(wait_for(Duration::from_secs(10), lists));
        if m.is_reloaded {
            recorder.reload();
        }
        let mut seen = (Value::Null, Value::Null);
        let is_recorded = wait_for(Duration::from_secs(40), || {
            seen = told(addr, &venue.id);
            seen.0["ready"] == true
                && seen.0["books_synced"] == 4
                && seen.1["waits_for_list"] == false
                && seen.1["list_unfit"] == ""
        });
        assert!(is_recorded, "{seen:?}\n{}", recorder.words());
        let said = recorder.log().matches("does not fit the venue's list").count();
        assert_eq!(said, 1, "once, not at every list: {}", recorder.log());
        recorder.stop();
        other.end();
        let streams = venue.symbols.len() * venue.channels.len();
        let (id, _) = venue.end();
        let root = place.dataset();
        let covers = tape::coverage(&root, &id);
        let carried: BTreeSet<&str> = covers.iter().map(|c| c.stream.as_str()).collect();
        assert!(carried.len() == streams && covers.iter().all(|c| c.begin >= mended), "{covers:?}");
        let gaps = tape::gaps(&root, &id);
        let lacked = |s: &&str| gaps.iter().any(|g| g.stream == *s && g.begin < mended && g.end >= mended);
        assert!(carried.iter().all(lacked), "the time before is missing: {gaps:?}");
        let (code, words) = lobtape(&["verify", root.to_str().unwrap()]);
        assert_eq!(code, 0, "{words}");
    }
}

/// What an earlier run recorded is followed although nothing of it is carried yet: that its symbol is gone begins no poll of it.
#[test]
fn a_recorded_symbol_that_a_late_list_lacks_is_waited_for() {
    let _turn = turn();
    let place = Place::new();
    let mut other = Venue::start(place.dir.path(), "aster-futures", 1, 100, |_| {});
    let addr = rig::status_of(&mut other);
    let mut venue = Venue::start(place.dir.path(), "binance-usdm", 3, 200, |_| {});
    venue.channels.push("openInterest".to_owned());
    venue.more.push_str("list_every = \"1s\"\n");
    place.configure("1h", 0, &[&other, &venue]);
    let is_ready = |books: u64| {
        wait_for(Duration::from_secs(40), || {
            let (all, own) = told(addr, &venue.id);
            all["ready"] == true && all["books_synced"] == books && own["waits_for_list"] == false
        })
    };
    let recorder = place.record();
    assert!(is_ready(4), "{}", recorder.words());
    recorder.stop();
    let gone = venue.symbols.last().unwrap();
    venue.sim.inject(of(FaultKind::Delist, gone)).unwrap();
    let m = Misfit { list_every: "1s", is_added: false, is_reloaded: false };
    let recorder = told_of_misfit(&m, &place, (&other, &venue), addr);
    let delisted = || recorder.log().contains("the venue does not list it any more");
    assert!(wait_for(Duration::from_secs(20), delisted), "{}", recorder.words());
    let asked = || venue.sim.stats().requests.load(Ordering::Relaxed);
    let before = asked();
    assert!(wait_for(Duration::from_secs(20), || asked() >= before + 3), "{}", recorder.words());
    venue.sim.inject(of(FaultKind::List, gone)).unwrap();
    assert!(is_ready(4), "{}", recorder.words());
    recorder.stop();
    other.end();
    venue.end();
    let (code, words) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}

const LIST: &str = "/api/v3/exchangeInfo";

fn venue_addr(venue: &Venue) -> SocketAddr {
    venue.sim.rest_base().rsplit('/').next().unwrap().parse().unwrap()
}

fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64
}
