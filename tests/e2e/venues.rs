//! Every venue that there is, in one recorder.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lobtape::dataset::Table;
use lobtape::simulator::oracle::Line;

use super::oracle_check::{Rules, check};
use super::refold::refold;
use super::rig::{Place, Venue, all_channels, faults, lobtape, number, proved, tables, turn, wait_for};

/// The ways in which venues may speak where their pages leave it open, with what the recorder is told of them.
const WAYS: [(&str, &str, &str, Rules); 14] = {
    const PLAIN: Rules = Rules {
        killed: false,
        stopped_first: false,
        replaced: false,
        legs: false,
        sparse: false,
        line_cut: false,
    };
    const SPARSE: Rules = Rules { sparse: true, ..PLAIN };
    const STRICT: &str = "id_policy = \"strict\"\n";
    [
        ("aster-spot", "doc-literal", "", PLAIN),
        ("aster-prediction", "doc-literal", "", PLAIN),
        ("aster-prediction", "other-clock", "", PLAIN),
        ("ascendex-spot", "combined-ack", "", PLAIN),
        ("ascendex-futures", "combined-ack", "", PLAIN),
        ("pumpkin-perp", "touch", STRICT, PLAIN),
        ("pumpkin-perp", "snowflake", "id_policy = \"sparse\"\n", SPARSE),
        ("pumpkin-perp", "once", STRICT, PLAIN),
        ("pumpkin-perp", "never", STRICT, PLAIN),
        ("pumpkin-perp", "binary", STRICT, PLAIN),
        ("pumpkin-perp", "protobuf", STRICT, PLAIN),
        ("pumpkin-perp", "signed", STRICT, PLAIN),
        ("pumpkin-perp", "apart", STRICT, PLAIN),
        ("pumpkin-perp", "two-counters", STRICT, PLAIN),
    ]
};

/// Changes that come on a topic of their own are those of the book's, and recorded as such.
pub fn apart_as_one(log: &mut [Line]) {
    for l in log.iter_mut().filter(|l| l.k == "msg") {
        if let Some(symbol) = l.stream.strip_prefix("depth.update@") {
            l.stream = format!("depth@{symbol},10");
        }
    }
}

/// The secret by which requests are signed.
const SECRET: &str = "test_secret";

/// It stands in nothing that is kept or said.
fn no_secret(place: &Place, said: &str) {
    assert!(!said.contains(SECRET), "{said}");
    let ds = lobtape::dataset::Dataset::open(place.dataset()).unwrap();
    let holds = |b: &[u8]| b.windows(SECRET.len()).any(|w| w == SECRET.as_bytes());
    let (mut signed, mut records) = (0, 0);
    for mut lane in lobtape::dataset::raw::lanes(&ds, "0000-00-00", "9999-99-99").unwrap() {
        while let Some((rec, _)) = lane.next().unwrap() {
            assert!(!holds(rec.payload) && !holds(rec.url.as_bytes()), "{rec:?}");
            signed += usize::from(rec.kind == lobtape::model::Kind::Rest && rec.status == 200);
            records += 1;
        }
    }
    assert!(signed > 0 && records > 100, "{signed} of {records}");
}

/// Each of them is recorded as well as the usual one.
#[test]
#[ignore = "a long form only: scripts/prove venues, scripts/faults H10"]
fn venues_that_speak_otherwise_are_recorded_all_the_same() {
    let _turn = turn();
    let (seconds, rate) = (number("LOBTAPE_PROVE_SECONDS", 5), number("LOBTAPE_PROVE_RATE", 150));
    let only = std::env::var("LOBTAPE_PROVE_WAY").ok();
    let ways = WAYS.iter().filter(|w| only.as_deref().is_none_or(|o| o == w.1)).collect::<Vec<_>>();
    let known: usize =
        lobtape::venue::all().iter().map(|v| v.dialect().map_or(0, |d| d.variants.len())).sum();
    assert_eq!(known, WAYS.len(), "a way of speaking that is not tried here");
    // A few at a time, each with a recorder of its own: they have the same venue's name.
    for some in ways.chunks(4) {
        let running = some.iter().map(|w| {
            let (id, way, more, rules) = **w;
            let place = Place::new();
            let mut venue = Venue::start(place.dir.path(), id, 3, rate as u32, |c| {
                c.variant = Some(way.to_owned());
                c.duration_ms = Some(seconds * 1000);
                c.quiet_tail_ms = (seconds * 1000 / 3).min(5000);
                c.faults = faults((seconds * 500).max(1200));
            });
            venue.more = more.to_owned();
            if way == "apart" {
                venue.channels.push("depth.update".to_owned());
            }
            if way == "signed" {
                let key = place.dir.path().join("key.toml");
                let mut file = std::fs::OpenOptions::new();
                let mut file =
                    std::os::unix::fs::OpenOptionsExt::mode(file.create_new(true).write(true), 0o600)
                        .open(&key)
                        .unwrap();
                std::io::Write::write_all(
                    &mut file,
                    format!("key = \"test_key\"\nsecret = \"{SECRET}\"\n").as_bytes(),
                )
                .unwrap();
                venue.more.push_str(&format!("key_file = {:?}\n", key.to_str().unwrap()));
            }
            place.configure("1h", 0, &[&venue]);
            let recorder = place.record();
            (id, way, rules, place, venue, recorder)
        });
        for (id, way, rules, place, venue, recorder) in running.collect::<Vec<_>>() {
            let over = wait_for(Duration::from_secs(seconds + 60), || venue.sim.is_over());
            assert!(over, "{id} {way}: nobody came: {}", recorder.words());
            let (_, mut log) = venue.end();
            apart_as_one(&mut log);
            let said = recorder.stop().to_string() + &std::fs::read_to_string(place.log()).unwrap();
            let v = check(&place.dataset(), id, &log, rules);
            proved(&format!("{id} {way}"), &v.figures);
            if way == "signed" {
                no_secret(&place, &said);
            }
            v.demand(&format!("{id} {way}"));
            let rows: usize = v.figures.rows.values().sum();
            assert!(v.figures.disconnects > 0 && rows > 100, "{id} {way}: {:?}", v.figures);
            assert!(rules.sparse || seconds < 20 || v.figures.holes > 0, "{id} {way}: {:?}", v.figures);
            let (code, words) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
            assert_eq!(code, 0, "{id} {way}: {words}");
        }
    }
}

/// Every stream of every channel was asked for, has spoken, and stands in `raw` under its name as often as it was sent;
/// so many frames may be missing as a reset threw away.
fn counted_by_name(place: &Place, venue: &Asked, log: &[Line], in_flight: usize) {
    let Asked { id, symbols, channels } = venue;
    let v = lobtape::venue::by_id(id).unwrap().1;
    let mut due: BTreeMap<String, &str> = BTreeMap::new();
    for c in channels.iter().filter(|c| v.poll(c).is_none()) {
        let of = |s| (v.stream(c, s).unwrap().name, c.as_str());
        match v.is_market(c) {
            true => due.extend([of(None)]),
            false => due.extend(symbols.iter().map(|s| of(Some(s)))),
        }
    }
    let asked: BTreeSet<String> =
        log.iter().filter(|l| l.k == "sub").flat_map(|l| l.streams.iter().cloned()).collect();
    assert!(asked.iter().eq(due.keys()), "{id}: {asked:?} {due:?}");
    let mut sent: BTreeMap<&str, usize> = BTreeMap::new();
    for l in log.iter().filter(|l| l.k == "msg" && !l.dropped && !l.stream.is_empty()) {
        *sent.entry(&l.stream).or_default() += 1;
    }
    // In a short run a quiet symbol may have no trade, and no symbol a liquidation: some stream of each channel speaks.
    let spoke: BTreeSet<&str> = sent.keys().filter_map(|s| due.get(*s).copied()).collect();
    let silent: Vec<_> = due.values().filter(|c| !spoke.contains(*c) && !c.contains("forceOrder")).collect();
    assert!(silent.is_empty(), "{id}: nothing was ever sent on {silent:?}");
    let mut have: BTreeMap<String, usize> = BTreeMap::new();
    super::tape::batches(&place.dataset(), Table::Raw, id, |b| {
        let (stream, kind) = (b.text("stream").unwrap(), b.text("kind").unwrap());
        for i in (0..b.rows()).filter(|i| kind.value(*i) == "frame") {
            *have.entry(stream.value(i).to_owned()).or_default() += 1;
        }
    });
    // Answers about a stream stand under its name, too: there may be more.
    let lacking: Vec<(&str, usize)> = sent
        .iter()
        .map(|(s, n)| (*s, n.saturating_sub(have.get(*s).copied().unwrap_or(0))))
        .filter(|x| x.1 > 0)
        .collect();
    let missing: usize = lacking.iter().map(|x| x.1).sum();
    assert!(missing <= in_flight, "{id}: {missing} frames are not in raw, {in_flight} may be: {lacking:?}");
}

/// What a venue was asked for.
struct Asked {
    id: String,
    symbols: Vec<String>,
    channels: Vec<String>,
}

/// Each kind of message of each venue, holes, repeats and cuts: what was sent is in its table once and as it was sent, what
/// is missing is explained.
#[test]
fn all_venues_at_once_are_recorded_once_and_explained() {
    let _turn = turn();
    let (seconds, rate) = (number("LOBTAPE_PROVE_SECONDS", 12), number("LOBTAPE_PROVE_RATE", 2400));
    let only = std::env::var("LOBTAPE_PROVE_VENUE").ok();
    let wanted = |id: &&str| only.as_deref().is_none_or(|o| o == *id);
    let ids: Vec<&str> = lobtape::venue::all().iter().map(|v| v.spec().id).filter(wanted).collect();
    let place = Place::new();
    let each = rate as u32 / ids.len() as u32;
    let venues: Vec<Venue> = ids
        .iter()
        .map(|id| {
            let mut venue = Venue::start(place.dir.path(), id, 4, each, |c| {
                c.duration_ms = Some(seconds * 1000);
                c.quiet_tail_ms = (seconds * 1000 / 3).min(5000);
                c.faults = faults((seconds * 150).max(1200));
            });
            venue.channels = all_channels(id);
            venue
        })
        .collect();
    place.configure("1h", 0, &venues.iter().collect::<Vec<_>>());
    let recorder = place.record();
    for v in &venues {
        let over = wait_for(Duration::from_secs(seconds + 60), || v.sim.is_over());
        assert!(over, "{}: nobody came: {}", v.id, recorder.words());
    }
    let asked =
        |v: &Venue| Asked { id: v.id.clone(), symbols: v.symbols.clone(), channels: v.channels.clone() };
    let logs: Vec<_> = venues.into_iter().map(|v| (asked(&v), v.end().1)).collect();
    recorder.stop();
    for (asked, log) in logs {
        let (id, channels) = (asked.id.clone(), &asked.channels);
        let v = check(&place.dataset(), &id, &log, Rules::default());
        proved(&format!("venues {id}"), &v.figures);
        counted_by_name(&place, &asked, &log, v.figures.frames_in_flight);
        v.demand(&id);
        assert!(v.figures.holes > 0 && v.figures.disconnects > 0, "{id}: no fault struck: {:?}", v.figures);
        // Whatever a channel is, its silence accuses none that is served.
        let mut accused = super::tape::gaps(&place.dataset(), &id);
        accused.retain(|g| g.cause == "silent_stream");
        assert!(accused.is_empty(), "{id}: {accused:?}");
        for table in tables(&id, channels) {
            let mut rows = 0;
            super::tape::batches(&place.dataset(), table, &id, |b| rows += b.rows());
            assert!(rows > 0, "{id}: no row of {}", table.name());
        }
    }
    refold(&place.dataset());
    let (code, words) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}

/// A contract that is delivered has no funding, and its list says when it ends.
#[test]
fn contracts_that_are_delivered_are_recorded_beside_those_that_never_are() {
    let _turn = turn();
    let place = Place::new();
    let symbols = ["BTCUSD_PERP", "BTCUSD_270326"].map(str::to_owned).to_vec();
    let mut venue = Venue::start(place.dir.path(), "binance-coinm", 2, 200, |c| {
        c.symbols = lobtape::simulator::Symbols::List(symbols.clone());
        c.duration_ms = Some(6000);
        c.quiet_tail_ms = 1000;
    });
    venue.symbols = symbols;
    venue.channels.push("premiumIndex".to_owned());
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    assert!(wait_for(Duration::from_secs(60), || venue.sim.is_over()), "{}", recorder.words());
    let (id, log) = venue.end();
    recorder.stop();
    check(&place.dataset(), &id, &log, Rules::default()).demand("delivered contracts");
    let mut kinds = BTreeMap::new();
    super::tape::batches(&place.dataset(), Table::Instruments, &id, |b| {
        let (symbol, kind) = (b.text("instrument").unwrap(), b.text("contract_type").unwrap());
        kinds.extend((0..b.rows()).map(|i| (symbol.value(i).to_owned(), kind.value(i).to_owned())));
    });
    let of = |s: &str| kinds.get(&format!("{id}:{s}")).map(String::as_str);
    assert_eq!(
        (of("BTCUSD_PERP"), of("BTCUSD_270326")),
        (Some("PERPETUAL"), Some("CURRENT_QUARTER")),
        "{kinds:?}"
    );
    let (code, words) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}
