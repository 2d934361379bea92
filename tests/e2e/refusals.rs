//! Venues that refuse: what is refused says so, and costs nothing else.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lobtape::dataset::Table;
use lobtape::model::StreamKind;
use lobtape::simulator::{FaultKind, FaultSpec, Symbols};

use super::oracle_check::{Rules, check};
use super::rig::{Place, Venue, lobtape, pass, turn, wait_for};
use super::tape;

/// The venue bears five topics a connection and says so to the sixth: further connections take the others.
#[test]
fn topics_that_a_full_connection_refuses_go_to_another_one() {
    let _turn = turn();
    let place = Place::new();
    let venue = Venue::start(place.dir.path(), "pumpkin-perp", 4, 400, |c| c.streams_max = Some(5));
    let topics = 4 * 3;
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    let subscribed = || venue.sim.stats().subscriptions.load(Ordering::Relaxed);
    let all = wait_for(Duration::from_secs(60), || subscribed() == topics);
    assert!(all, "{} of {topics}: {}", subscribed(), recorder.words());
    pass(Duration::from_secs(2));
    recorder.stop();
    venue.end();
    let root = place.dataset();
    let covered: BTreeSet<String> =
        tape::coverage(&root, "pumpkin-perp").into_iter().map(|c| c.stream).collect();
    assert_eq!(covered.len() as u64, topics, "{covered:?}");
    let refused: Vec<_> =
        tape::gaps(&root, "pumpkin-perp").into_iter().filter(|g| g.cause == "subscribe_refused").collect();
    assert!(
        !refused.is_empty() && refused.iter().all(|g| g.end > 0 && !g.recovered_by.is_empty()),
        "{refused:?}"
    );
    let (code, words) = lobtape(&["verify", root.to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}

/// Whole views and changes come on topics of their own, and a connection is full before a symbol has both: they move together,
/// because what they say of a book is one chain.
#[test]
fn whole_views_and_changes_that_are_topics_apart_move_together() {
    let _turn = turn();
    let place = Place::new();
    let mut venue = Venue::start(place.dir.path(), "pumpkin-perp", 3, 300, |c| {
        (c.variant, c.streams_max) = (Some("apart".to_owned()), Some(5));
    });
    venue.channels = ["depth,10", "depth.update", "trade"].map(str::to_owned).to_vec();
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    let subscribed = || venue.sim.stats().subscriptions.load(Ordering::Relaxed);
    let all = wait_for(Duration::from_secs(60), || subscribed() == 9);
    assert!(all, "{} of 9: {}", subscribed(), recorder.words());
    pass(Duration::from_secs(4));
    recorder.stop();
    let symbols = venue.symbols.clone();
    let (id, log) = venue.end();
    let root = place.dataset();
    let refused = tape::gaps(&root, &id).into_iter().filter(|g| g.cause == "subscribe_refused");
    assert!(refused.count() > 0, "no connection was full");
    let mut have: std::collections::BTreeMap<String, BTreeSet<i64>> = Default::default();
    tape::batches(&root, Table::BookDelta, &id, |b| {
        let (of, flags) = (b.text("instrument").unwrap(), b.i32("flags").unwrap());
        // Changes as they came, not what opens a file.
        for i in (0..b.rows()).filter(|i| flags[*i] & (32 | 256) == 0) {
            have.entry(of.value(i).to_owned()).or_default().insert(b.i64("seq_last").unwrap()[i]);
        }
    });
    for symbol in &symbols {
        let ids = &have[&format!("{id}:{symbol}")];
        let (first, last) = (*ids.first().unwrap(), *ids.last().unwrap());
        let topic = format!("depth.update@{symbol}");
        let told = log.iter().filter(|l| l.k == "msg" && l.stream == topic).filter_map(|l| l.last);
        let told: BTreeSet<i64> = told.filter(|u| (first..=last).contains(u)).collect();
        assert!(
            ids.len() > 10 && told.is_subset(ids),
            "{symbol}: {:?}",
            told.difference(ids).collect::<Vec<_>>()
        );
    }
    let (code, words) = lobtape(&["verify", root.to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}

/// Whole views come at a subscription alone, and the ids of REST are of another counter: only a subscription that begins anew
/// brings a book back that has lost a change.
#[test]
fn a_book_that_nothing_else_can_seed_is_subscribed_to_anew() {
    let _turn = turn();
    let place = Place::new();
    let mut venue = Venue::start(place.dir.path(), "pumpkin-perp", 1, 100, |c| {
        (c.variant, c.duration_ms) = (Some("two-counters".to_owned()), Some(15_000));
        c.faults = vec![FaultSpec { frames: 3, ..FaultSpec::new(FaultKind::Drop).at(3000) }];
    });
    (venue.channels, venue.more) = (vec!["depth,10".to_owned()], "id_policy = \"strict\"\n".to_owned());
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    assert!(wait_for(Duration::from_secs(60), || venue.sim.is_over()), "{}", recorder.words());
    recorder.stop();
    venue.end();
    let gaps = tape::gaps(&place.dataset(), "pumpkin-perp");
    assert!(gaps.iter().any(|g| g.cause == "venue_seq_gap"), "{gaps:?}");
    let waits = gaps.iter().find(|g| g.cause == "resync_wait").unwrap_or_else(|| panic!("{gaps:?}"));
    assert!(waits.end > 0 && waits.end - waits.begin < 10_000_000_000, "{gaps:?}");
    let (code, words) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}

/// A firewall turns a polled request away: that says nothing of the open socket, on which snapshots are asked for all the same.
#[test]
fn what_rest_refuses_keeps_no_message_from_its_socket() {
    let _turn = turn();
    let place = Place::new();
    let mut venue = Venue::start(place.dir.path(), "ascendex-futures", 2, 100, |c| {
        c.duration_ms = Some(16_000);
        let faults = ["403@2000:for_ms=4000", "drop@8000:stream=depth:BTC-PERP,frames=1"];
        c.faults = faults.iter().map(|f| FaultSpec::parse(f).unwrap()).collect();
    });
    venue.channels = ["depth", "trades"].map(str::to_owned).to_vec();
    venue.more = "polls = { \"!ticker\" = \"2s\" }\n".to_owned();
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    assert!(wait_for(Duration::from_secs(60), || venue.sim.is_over()), "{}", recorder.words());
    recorder.stop();
    let (id, log) = venue.end();
    assert!(log.iter().any(|l| l.k == "rest" && l.status == Some(403)), "nothing was refused");
    let gaps = tape::gaps(&place.dataset(), &id);
    let of_book = |g: &&tape::Gap| g.stream == "depth:BTC-PERP";
    let lost = gaps.iter().filter(of_book).find(|g| g.cause == "venue_seq_gap");
    let lost = lost.unwrap_or_else(|| panic!("{gaps:?}"));
    // The venue's end is a gap as well.
    let causes = ["venue_seq_gap", "resync_wait", "rate_limited"];
    let unproven = gaps.iter().filter(of_book).filter(|g| causes.contains(&g.cause.as_str()));
    for g in unproven.filter(|g| g.begin >= lost.begin) {
        assert!(g.cause != "rate_limited" && g.end > 0 && g.end - g.begin < 3_000_000_000, "{gaps:?}");
    }
    let (code, words) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}

/// A venue that has a fault of its own refuses a subscription: it is sent again, for the connection may live for weeks.
#[test]
fn what_was_refused_is_subscribed_to_again() {
    let _turn = turn();
    let place = Place::new();
    let mut venue = Venue::start(place.dir.path(), "ascendex-spot", 1, 100, |c| {
        c.faults = vec![FaultSpec { code: Some(510_001), ..FaultSpec::new(FaultKind::RefuseSubscribe) }];
    });
    // The first one is refused. No book: its silence has its connection replaced.
    venue.channels = ["bbo", "trades"].map(str::to_owned).to_vec();
    let streams = venue.channels.len() as u64;
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    let subscribed = || venue.sim.stats().subscriptions.load(Ordering::Relaxed);
    assert!(wait_for(Duration::from_secs(30), || subscribed() == streams - 1), "{}", recorder.words());
    assert!(wait_for(Duration::from_secs(60), || subscribed() == streams), "{}", recorder.words());
    pass(Duration::from_secs(3));
    let log = recorder.log();
    recorder.stop();
    let (id, oracle) = venue.end();
    let again = |l: &str| l.contains("is subscribed to again");
    assert!(log.lines().any(again), "{log}");
    assert_eq!(oracle.iter().filter(|l| l.k == "open").count(), 1, "the connection is the same: {log}");
    let gaps = tape::gaps(&place.dataset(), &id);
    let refused: Vec<_> = gaps.iter().filter(|g| g.cause == "subscribe_refused").collect();
    assert!(!refused.is_empty() && refused.iter().all(|g| g.end > 0), "{gaps:?}");
    let (code, words) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}

/// A code says little: what the venue says beside it is in the log, whether its answer names the topic or not.
#[test]
fn what_a_venue_says_of_a_refusal_is_in_the_log() {
    let _turn = turn();
    let place = Place::new();
    // What is refused together is tried apart: of two refusals the second one is about a single topic.
    let refused =
        |code| FaultSpec { code: Some(code), frames: 2, ..FaultSpec::new(FaultKind::RefuseSubscribe) };
    let start =
        |id: &str, code| Venue::start(place.dir.path(), id, 1, 200, |c| c.faults = vec![refused(code)]);
    let venues = [start("ascendex-spot", 100_009), start("pumpkin-perp", 40_004)];
    place.configure("1h", 0, &venues.each_ref());
    let recorder = place.record();
    let said = |id: &str, said: &str| {
        let is = |l: &str| {
            l.contains("the venue refused a message of ours")
                && l.contains(&format!("venue=\"{id}\""))
                && l.contains(said)
        };
        wait_for(Duration::from_secs(30), || recorder.log().lines().any(is))
    };
    assert!(said("ascendex-spot", "said=\"AUTHORIZATION_NEEDED\""), "{}", recorder.words());
    assert!(said("pumpkin-perp", "said=\""), "{}", recorder.words());
    recorder.stop();
    venues.into_iter().for_each(|v| drop(v.end()));
}

/// The venue bans the address and says so to whoever asks by REST: no connection is tried before its time is over, of neither product,
/// and people are told until when and why.
#[test]
fn a_ban_is_asked_for_and_obeyed() {
    let _turn = turn();
    let place = Place::new();
    let ban_ms: u64 = 12_000;
    let mut venue = Venue::start(place.dir.path(), "ascendex-futures", 2, 300, |c| {
        c.faults = vec![
            FaultSpec { for_ms: ban_ms, ..FaultSpec::new(FaultKind::Ban).at(3000) },
            FaultSpec::new(FaultKind::Cut).at(3050),
        ];
    });
    let addr = super::rig::status_of(&mut venue);
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    let banned = || super::rig::status(addr).and_then(|s| s["venues"][0]["banned_until"].as_i64());
    assert!(wait_for(Duration::from_secs(20), || banned() > Some(0)), "{}", recorder.words());
    assert!(wait_for(Duration::from_secs(30), || banned() == Some(0)), "{}", recorder.words());
    pass(Duration::from_secs(3));
    let log = recorder.log();
    let told = log
        .lines()
        .find(|l| l.contains("the venue has banned this address"))
        .unwrap_or_else(|| panic!("{log}"));
    assert!(told.contains("said=\"too many messages\"") && told.contains("until=\"20"), "{told}");
    recorder.stop();
    let (id, oracle) = venue.end();
    let at = |k: &str| oracle.iter().filter(|l| l.k == k).map(|l| l.at).collect::<Vec<i64>>();
    let begun = oracle.iter().find(|l| l.k == "fault" && l.kind == "ban").map(|l| l.at).unwrap();
    let knocks: Vec<i64> = at("turned-away");
    let last = knocks.last().map(|t| (t - begun) / 1_000_000);
    assert!(last.is_some_and(|ms| ms < 6000), "knocked during the ban: {last:?} of {}", knocks.len());
    let again = at("open").into_iter().filter(|t| *t > begun).min().map(|t| (t - begun) / 1_000_000);
    assert!(again.is_some_and(|ms| (12_000..16_000).contains(&ms)), "{again:?}");
    let asked = oracle.iter().filter(|l| l.k == "rest" && l.path.contains("risk-limit-info")).count();
    assert!((1..=2).contains(&asked), "asked {asked} times");
    let root = place.dataset();
    let gaps = tape::gaps(&root, &id);
    assert!(!gaps.is_empty() && gaps.iter().all(|g| g.end > 0), "{gaps:?}");
    let (code, words) = lobtape(&["verify", root.to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}

/// What is done to a venue: everything that pages and proxies do, one after the other.
fn hostilities(id: &str, dies: &str) -> Vec<FaultSpec> {
    let refusal = |kind, at| FaultSpec { for_ms: 300, retry_after_s: Some(1), ..FaultSpec::new(kind).at(at) };
    let mut all = vec![
        refusal(FaultKind::Http503, 0),
        refusal(FaultKind::Http429, 900),
        refusal(FaultKind::Http418, 1800),
        refusal(FaultKind::Http439, 2700),
        // The next connection's first subscription is refused, that of the one after it is not.
        FaultSpec::new(FaultKind::RefuseSubscribe).at(1000),
        FaultSpec::new(FaultKind::Cut).at(1500),
        FaultSpec::new(FaultKind::Cut).at(4000),
        FaultSpec { symbol: Some(dies.to_owned()), ..FaultSpec::new(FaultKind::Delist).at(3000) },
        // A firewall is left alone for a minute and more: last of all, when the books are there again.
        FaultSpec { for_ms: 3000, ..FaultSpec::new(FaultKind::Http403).at(10_000) },
    ];
    if id != "pumpkin-perp" {
        // There a key without rights ends all requests for ten minutes.
        all.push(refusal(FaultKind::Denied, 3500));
    }
    for (kind, every) in [
        (FaultKind::Garbage, 150),
        (FaultKind::UnknownEvent, 200),
        (FaultKind::ErrorReply, 500),
        (FaultKind::TruncatedJson, 900),
        (FaultKind::Gzip, 310),
        (FaultKind::Zlib, 330),
        (FaultKind::Binary, 350),
        (FaultKind::Raw, 700),
    ] {
        // A protobuf message, cut in the middle of a number, as a binary frame.
        let hex = if kind == FaultKind::Raw { "820508e6dab5a2".to_owned() } else { String::new() };
        let one = |at| FaultSpec { hex: hex.clone(), ..FaultSpec::new(kind).at(at) };
        all.extend((300..5000).step_by(every).map(one));
    }
    all
}

fn has_polls(id: &str) -> bool {
    lobtape::venue::by_id(id).is_some_and(|(_, v)| !v.polls().is_empty())
}

/// All venues at once, each of them as hostile as its page allows and beyond: what can be recorded is, what is refused is a
/// row of `rejects` or of `gaps`, a symbol that dies takes nothing with it, and in the end every other book is proven.
#[test]
fn refusals_and_rubbish_cost_a_while_and_nothing_else() {
    let _turn = turn();
    let place = Place::new();
    let mut venues: Vec<Venue> = lobtape::venue::all()
        .iter()
        .map(|v| {
            let id = v.spec().id;
            let dies = super::rig::traded(id, Symbols::Count(3)).pop().unwrap();
            let mut venue = Venue::start(place.dir.path(), id, 3, 200, |c| c.faults = hostilities(id, &dies));
            // Of small budgets only the whole market's statistics are worth their weight.
            let (pace, of_one) = match id {
                "pumpkin-perp" => ("1m", false),
                _ if id.starts_with("ascendex") => ("3s", false),
                _ => ("1s", true),
            };
            let fits = |p: &&lobtape::model::Poll| p.kind == StreamKind::Ticker && p.per_symbol == of_one;
            // A venue of which nothing is polled has none.
            if let Some(poll) = v.polls().iter().find(fits) {
                venue.more.push_str(&format!("polls = {{ \"{}\" = \"{pace}\" }}\n", poll.channel));
            }
            venue
        })
        .collect();
    let addr = super::rig::status_of(venues.last_mut().unwrap());
    place.configure("1h", 0, &venues.iter().collect::<Vec<_>>());
    let recorder = place.record();
    for v in &venues {
        let open = || v.sim.stats().open.load(Ordering::Relaxed) > 0;
        assert!(wait_for(Duration::from_secs(60), open), "{}: nobody came: {}", v.id, recorder.words());
    }
    // All that is done to them has been done by then, and who was refused by a firewall may ask again a minute later.
    pass(Duration::from_secs(13));
    let back = || {
        let all = super::rig::status(addr).unwrap_or_default();
        let is = |v: &Venue, symbol: &String| {
            let books = all["books"].as_array().map_or(&[][..], Vec::as_slice);
            books
                .iter()
                .any(|b| b["venue"] == v.id.as_str() && b["symbol"] == *symbol && b["state"] == "synced")
        };
        venues.iter().all(|v| v.symbols[..2].iter().all(|s| is(v, s)))
    };
    assert!(wait_for(Duration::from_secs(180), back), "not all books are proven again: {}", recorder.words());
    venues.iter().for_each(|v| v.sim.quiesce().unwrap());
    pass(Duration::from_secs(1));
    recorder.stop();
    let root = place.dataset();
    let said = std::fs::read_to_string(place.log()).unwrap();
    for v in venues {
        let (id, symbols) = (v.id.clone(), v.symbols.clone());
        v.end();
        hostile_venue_is_recorded(&root, &id, &symbols);
        let told = |l: &str| l.contains("a poll was not answered") && l.contains(&id);
        // Who asks seldom may have asked between two refusals.
        assert!(
            id == "pumpkin-perp" || id.starts_with("ascendex") || !has_polls(&id) || said.lines().any(told),
            "{id}: no poll was refused: {said}"
        );
    }
    let (code, words) = lobtape(&["verify", root.to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}

fn hostile_venue_is_recorded(root: &std::path::Path, id: &str, symbols: &[String]) {
    let v = lobtape::venue::by_id(id).unwrap().1;
    let rows = |table| {
        let mut rows = 0;
        tape::batches(root, table, id, |b| rows += b.rows());
        rows
    };
    assert!(rows(Table::Rejects) > 0, "{id}: nothing was rejected");
    // Who asks once a minute may have been refused the only time.
    assert!(id == "pumpkin-perp" || !has_polls(id) || rows(Table::Tickers) > 0, "{id}: no statistics");
    // Whatever is told last of a living symbol's book is that it is covered.
    let (covers, gaps) = (tape::coverage(root, id), tape::gaps(root, id));
    for symbol in &symbols[..2] {
        let depth = v
            .spec()
            .channels_default
            .iter()
            .find(|c| v.stream(c, Some(symbol)).is_ok_and(|s| s.kind == StreamKind::DepthDiff));
        let stream = v.stream(depth.unwrap(), Some(symbol)).unwrap().name;
        let covered = covers.iter().filter(|c| c.stream == stream).map(|c| c.end).max();
        let lacked: Vec<_> =
            gaps.iter().filter(|g| g.stream == stream).map(|g| (g.begin, g.end, &g.cause)).collect();
        let last = lacked.iter().map(|g| if g.1 == 0 { i64::MAX } else { g.1 }).max();
        assert!(covered > last, "{id}: {stream}: {covered:?} {lacked:?}");
    }
    if v.spec().acknowledges {
        assert!(gaps.iter().any(|g| g.cause == "subscribe_refused"), "{id}: no subscription was refused");
    }
}

/// Nobody answers at one venue, another one takes no connection: what was wanted of both lacks from the start on, and the
/// third one is recorded.
#[test]
fn a_venue_that_never_starts_has_its_gap_and_costs_no_other() {
    let _turn = turn();
    let place = Place::new();
    let well = Venue::start(place.dir.path(), "aster-futures", 1, 200, |_| {});
    let half = Venue::start(place.dir.path(), "ascendex-spot", 1, 200, |_| {});
    place.configure("1h", 0, &[&well]);
    let nobody = "http://127.0.0.1:1";
    let ws = "ws = \"ws://127.0.0.1:1\"";
    place.add(&format!(
        "[[venue]]\nid = \"binance-spot\"\nsymbols = [\"BTCUSDT\"]\n\
         channels = [\"depth@100ms\", \"trade\", \"!miniTicker@arr\"]\nrest = \"{nobody}\"\n{ws}\n\
         [[venue]]\nid = \"ascendex-spot\"\nsymbols = [{:?}]\nchannels = [\"depth\", \"trades\"]\n\
         rest = \"{}\"\n{ws}\n",
        half.symbols[0],
        half.sim.rest_base(),
    ));
    let recorder = place.record();
    let open = || well.sim.stats().open.load(Ordering::Relaxed) > 0;
    assert!(wait_for(Duration::from_secs(60), open), "nobody came: {}", recorder.words());
    pass(Duration::from_secs(3));
    recorder.stop();
    well.end();
    half.end();
    let root = place.dataset();
    for (id, streams) in [
        ("binance-spot", vec!["!miniTicker@arr", "btcusdt@depth@100ms", "btcusdt@trade"]),
        ("ascendex-spot", vec!["depth:BTC/USDT", "trades:BTC/USDT"]),
    ] {
        let mut lacked: Vec<_> =
            tape::gaps(&root, id).into_iter().map(|g| (g.stream, g.cause, g.end > g.begin)).collect();
        lacked.sort();
        let due: Vec<_> =
            streams.iter().map(|s| ((*s).to_owned(), "initial_sync".to_owned(), true)).collect();
        assert_eq!(lacked, due, "{id}");
        assert_eq!(tape::coverage(&root, id), [], "{id}");
    }
    assert!(!tape::coverage(&root, "aster-futures").is_empty());
    let (code, words) = lobtape(&["verify", root.to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}

/// A book that its own diffs leave crossed is borne for a moment, and begun anew where that goes on: its ids prove nothing then.
#[test]
fn a_book_that_stays_crossed_is_begun_anew() {
    let _turn = turn();
    let place = Place::new();
    let venue = Venue::start(place.dir.path(), "aster-futures", 2, 300, |c| {
        c.duration_ms = Some(9000);
        c.quiet_tail_ms = 3000;
        let cross = |symbol: &str, frames| FaultSpec {
            symbol: Some(symbol.to_owned()),
            frames,
            ..FaultSpec::new(FaultKind::CrossBook).at(4000)
        };
        c.faults = vec![cross("BTCUSDT", 8), cross("ETHUSDT", 1)];
    });
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    assert!(wait_for(Duration::from_secs(60), || venue.sim.is_over()), "{}", recorder.words());
    let (id, log) = venue.end();
    recorder.stop();
    assert_eq!(log.iter().filter(|l| l.k == "cross").count(), 9);
    let mut gaps = tape::gaps(&place.dataset(), &id);
    gaps.retain(|g| {
        g.stream.contains("@depth") && !["initial_sync", "venue_disconnect"].contains(&g.cause.as_str())
    });
    let of = |s: &str| gaps.iter().filter(|g| g.stream.starts_with(s)).count();
    assert!(of("btcusdt") > 0 && of("ethusdt") == 0, "{gaps:?}");
    check(&place.dataset(), &id, &log, Rules::default()).demand("crossed");
    let (code, words) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}

/// The key is wrong, so REST refuses everything, the list too: streams need no key, and named symbols need no list to be chosen.
#[test]
fn a_wrong_key_costs_what_is_asked_by_rest_and_no_stream_of_named_symbols() {
    use std::os::unix::fs::PermissionsExt;
    let _turn = turn();
    let place = Place::new();
    let mut venue = Venue::start(place.dir.path(), "pumpkin-perp", 3, 300, |c| {
        c.variant = Some("signed".to_owned());
    });
    let key = place.dir.path().join("key.toml");
    std::fs::write(&key, "key = \"test_key\"\nsecret = \"another\"\n").unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    venue.channels = ["depth,10", "trade"].map(str::to_owned).to_vec();
    venue.more.push_str(&format!("key_file = {:?}\n", key.to_str().unwrap()));
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    let subscribed = || venue.sim.stats().subscriptions.load(Ordering::Relaxed);
    let all = wait_for(Duration::from_secs(20), || subscribed() == 6);
    assert!(all, "{} of 6: {}", subscribed(), recorder.words());
    pass(Duration::from_secs(2));
    let words = recorder.words();
    assert!(words.contains("no instrument list") && words.contains("signature"), "{words}");
    recorder.stop();
    venue.end();
    let root = place.dataset();
    for table in [Table::Trades, Table::BookDelta] {
        let mut symbols = BTreeSet::new();
        tape::batches(&root, table, "pumpkin-perp", |b| {
            let symbol = b.text("instrument").unwrap();
            symbols.extend((0..b.rows()).map(|i| symbol.value(i).to_owned()));
        });
        assert_eq!(symbols.len(), 3, "{}: {symbols:?}", table.name());
    }
    let (code, words) = lobtape(&["verify", root.to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}

/// A channel whose frames are all of another shape than its page says is covered and empty: the log says so, once and not for
/// each of them, and not for one odd frame of another channel.
#[test]
fn a_channel_whose_frames_cannot_be_read_is_said_so_once() {
    let _turn = turn();
    let place = Place::new();
    let mut venue = Venue::start(place.dir.path(), "pumpkin-perp", 2, 100, |_| {});
    venue.channels = ["depth,10", "trade"].map(str::to_owned).to_vec();
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    let open = || venue.sim.stats().subscriptions.load(Ordering::Relaxed) == 4;
    assert!(wait_for(Duration::from_secs(60), open), "{}", recorder.words());
    let odd = |e: &str| {
        let symbol = &venue.symbols[0];
        let text = format!(r#"{{"e":"{e}","s":"{symbol}","p":"dear","a":"1","m":"BID","t":1}}"#);
        // As a whole text frame.
        let hex =
            [0x81, text.len() as u8].into_iter().chain(text.bytes()).map(|b| format!("{b:02x}")).collect();
        venue.sim.inject(FaultSpec { hex, ..FaultSpec::new(FaultKind::Raw) }).unwrap();
    };
    odd("depth");
    (0..12).for_each(|_| odd("trade"));
    let told = |what: &str| {
        let words = recorder.words();
        words.lines().filter(|l| l.contains("frames cannot be read") && l.contains(what)).count()
    };
    assert!(wait_for(Duration::from_secs(20), || told("channel=\"trade\"") == 1), "{}", recorder.words());
    pass(Duration::from_millis(2500));
    assert_eq!((told("channel=\"trade\""), told("")), (1, 1), "{}", recorder.words());
    let rejects = recorder.stop()["rejects"].as_u64();
    assert_eq!(rejects, Some(13));
    venue.end();
}
