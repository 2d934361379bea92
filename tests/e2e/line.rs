//! The line between venue and recorder: narrow, losing packets, long, of changing length. Everything comes late, nothing is lost, and
//! the lag is told as it was.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use lobtape::dataset::Table;
use serde_json::json;

use super::oracle_check::{Rules, Verdict, check};
use super::refold::refold;
use super::rig::{Place, Venue, lobtape, number, pass, proved, turn, wait_for};
use super::tape::{self, Tape};

/// What the line does to what the venue sends; may change while it is in use.
#[derive(Default)]
pub struct Ways {
    /// Bytes a second; 0 = as many as come.
    rate: AtomicI64,
    /// Of a thousand pieces so many are lost at first and come after a retransmission: all behind them waits.
    lost: AtomicI64,
    /// Each piece takes so long, ms.
    delay: AtomicI64,
    /// And up to so much more, ms, by dice; none overtakes another.
    jitter: AtomicI64,
    /// Connections that came.
    came: AtomicI64,
    /// What each piece took, ns, and its bytes.
    took: Mutex<Vec<(i64, usize)>>,
    open: Mutex<Vec<TcpStream>>,
}

impl Ways {
    /// How many connections came.
    pub fn came(&self) -> i64 {
        self.came.load(Ordering::Relaxed)
    }

    /// Cuts all connections; what the line holds is gone.
    pub fn hang_up(&self) {
        for s in self.open.lock().unwrap().drain(..) {
            // It may have ended by itself.
            let _ = s.shutdown(Shutdown::Both);
        }
    }
}

/// A lost packet is sent again after this, at the least.
const AGAIN: Duration = Duration::from_millis(200);

/// A line to `to` that begins at `from`; returns where that is.
pub fn line(from: SocketAddr, to: SocketAddr, ways: Arc<Ways>) -> SocketAddr {
    let listener = TcpListener::bind(from).unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            ways.came.fetch_add(1, Ordering::Relaxed);
            let Ok(server) = TcpStream::connect(to) else { continue };
            let (c, s) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            ways.open.lock().unwrap().extend([c.try_clone().unwrap(), s.try_clone().unwrap()]);
            std::thread::spawn(move || pump(c, s));
            let ways = Arc::clone(&ways);
            std::thread::spawn(move || delayed(server, client, &ways));
        }
    });
    at
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

/// What the venue sends, by these ways.
fn delayed(mut from: TcpStream, mut to: TcpStream, ways: &Ways) {
    let of = |a: &AtomicI64| a.load(Ordering::Relaxed).unsigned_abs();
    // Little fits into a narrow line, so that a venue that sends too much is pushed back; into a long one much.
    let (put, take) =
        mpsc::sync_channel::<(Instant, Instant, Vec<u8>)>(if of(&ways.delay) > 0 { 1 << 16 } else { 8 });
    std::thread::scope(|s| {
        s.spawn(move || {
            for (came, due, bytes) in take {
                // The line itself: time is what it takes.
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                if to.write_all(&bytes).is_err() {
                    return;
                }
                ways.took.lock().unwrap().push((came.elapsed().as_nanos() as i64, bytes.len()));
            }
            let _ = to.shutdown(Shutdown::Write);
        });
        let (mut dice, mut last) = (fastrand::Rng::with_seed(5), Instant::now());
        let mut piece = [0u8; 1400];
        while let Ok(n @ 1..) = from.read(&mut piece) {
            let came = Instant::now();
            let mut due = came + Duration::from_millis(of(&ways.delay) + dice.u64(0..=of(&ways.jitter)));
            if dice.u64(..1000) < of(&ways.lost) {
                due += AGAIN;
            }
            due = due.max(last);
            if let rate @ 1.. = of(&ways.rate) {
                due = due.max(last + Duration::from_nanos(n as u64 * 1_000_000_000 / rate));
            }
            last = due;
            if put.send((came, due, piece[..n].to_vec())).is_err() {
                break;
            }
        }
        drop(put);
    });
}

/// A venue behind a line, and a recorder of it.
fn behind(place: &Place, venue: &Venue, ways: &Arc<Ways>) {
    let base = venue.sim.ws_base();
    let from = "127.0.0.1:0".parse().unwrap();
    let at = line(from, base.trim_start_matches("ws://").parse().unwrap(), Arc::clone(ways));
    place.configure("1h", 0, &[venue]);
    place.change(&base, &format!("ws://{at}"));
}

/// How late the frames were that were recorded, ns, in order: against the time that the venue wrote into them, and as the
/// recorder's own histograms say (p99 of the stream that has the greatest).
fn lags(place: &Place, id: &str, log: &[lobtape::simulator::oracle::Line]) -> (Vec<i64>, i64) {
    let tape = Tape::load(&place.dataset());
    let mut at: std::collections::BTreeMap<(u64, String), Vec<i64>> = Default::default();
    for l in log.iter().filter(|l| l.k == "msg" && !l.dropped) {
        let made = l.e.map(|ms| ms * 1_000_000);
        at.entry((l.len.unwrap_or(0), l.crc.clone().unwrap_or_default())).or_default().extend(made);
    }
    let mut lags = Vec::new();
    for f in tape.conns.values().filter(|c| c.venue == id).flat_map(|c| &c.frames) {
        if let Some([sent]) = at.get(&(f.len, format!("{:08x}", f.crc))).map(Vec::as_slice) {
            lags.push(f.ts_recv - sent);
        }
    }
    lags.sort_unstable();
    let mut p99 = 0;
    tape::batches(&place.dataset(), Table::Latency, id, |b| {
        let (hop, high) = (b.text("hop").unwrap(), b.i64("p99").unwrap());
        for i in (0..b.rows()).filter(|i| hop.value(*i) == "venue_receive") {
            p99 = p99.max(high[i]);
        }
    });
    (lags, p99)
}

fn judged(what: &str, place: &Place, id: &str, log: &[lobtape::simulator::oracle::Line]) -> Verdict {
    let v = check(&place.dataset(), id, log, Rules::default());
    v.demand(what);
    assert_eq!(v.figures.holes, 0, "{what}");
    refold(&place.dataset());
    let (code, words) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
    v
}

#[test]
fn a_narrow_line_that_loses_packets_is_lag_and_no_loss() {
    let _turn = turn();
    let (seconds, rate) = (number("LOBTAPE_PROVE_SECONDS", 9), number("LOBTAPE_PROVE_RATE", 300));
    let mut figures = Vec::new();
    for (lost, bytes) in [(10, 0), (50, 0), (300, 0), (0, 8_000)] {
        let place = Place::new();
        let venue = Venue::start(place.dir.path(), "aster-futures", 4, rate as u32, |c| {
            c.duration_ms = Some(seconds * 1000);
            c.quiet_tail_ms = seconds * 1000 / 3;
        });
        let ways = Arc::new(Ways::default());
        ways.lost.store(lost, Ordering::Relaxed);
        behind(&place, &venue, &ways);
        let recorder = place.record();
        let open = || venue.sim.stats().open.load(Ordering::Relaxed) > 0;
        assert!(wait_for(Duration::from_secs(60), open), "nobody came: {}", recorder.words());
        pass(Duration::from_millis(1500));
        // So narrow from now on, and wide again before the venue ends.
        ways.rate.store(bytes, Ordering::Relaxed);
        pass(Duration::from_millis(seconds * 1000 / 3));
        ways.rate.store(0, Ordering::Relaxed);
        let over = wait_for(Duration::from_secs(seconds + 60), || venue.sim.is_over());
        assert!(over, "the venue does not end: {}", recorder.words());
        let (id, log) = venue.end();
        pass(Duration::from_millis(1000));
        recorder.stop();
        let what = if bytes > 0 { "64 kbit/s".to_owned() } else { format!("{} % lost", lost as f64 / 10.0) };
        let v = judged(&what, &place, &id, &log);
        let (lags, told) = lags(&place, &id, &log);
        let p99 = lags[lags.len() * 99 / 100];
        assert!(told * 10 >= p99 * 8, "{what}: {p99} ns late, {told} told");
        figures.push(json!({"line": what, "frames": v.figures.frames_recorded, "lag_p99_ms": p99 / 1_000_000, "told_p99_ms": told / 1_000_000}));
    }
    proved("line", &json!({"lines": figures.len(), "frames_missing": 0, "each": figures}));
}

/// The value below which `share` of a hundred of the weight lies.
fn quantile(mut all: Vec<(i64, i64)>, share: i64) -> i64 {
    all.sort_unstable();
    let (sum, mut below) = (all.iter().map(|x| x.1).sum::<i64>(), 0);
    let at = all.iter().find(|x| {
        below += x.1;
        below * 100 >= sum * share
    });
    at.map_or(0, |x| x.0)
}

/// What the recorder's histograms say of the way from the venue, ns: the median over its streams of their p50 and p99, by frames.
fn told(place: &Place, id: &str) -> (i64, i64) {
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    tape::batches(&place.dataset(), Table::Latency, id, |b| {
        let hop = b.text("hop").unwrap();
        let [n, half, high] = ["count", "p50", "p99"].map(|c| b.i64(c).unwrap());
        for i in (0..b.rows()).filter(|i| hop.value(*i) == "venue_receive") {
            p50.push((half[i], n[i]));
            p99.push((high[i], n[i]));
        }
    });
    (quantile(p50, 50), quantile(p99, 50))
}

#[test]
fn a_long_line_of_changing_length_is_told_as_long_as_it_was() {
    let _turn = turn();
    let (seconds, rate) = (number("LOBTAPE_PROVE_SECONDS", 9), number("LOBTAPE_PROVE_RATE", 300));
    let (mut figures, mut worst) = (Vec::new(), 0);
    for (delay, jitter) in [(100, 0), (250, 0), (100, 200)] {
        let place = Place::new();
        let venue = Venue::start(place.dir.path(), "aster-futures", 4, rate as u32, |c| {
            c.duration_ms = Some(seconds * 1000);
            c.quiet_tail_ms = 1000;
        });
        let ways = Arc::new(Ways::default());
        ways.delay.store(delay, Ordering::Relaxed);
        ways.jitter.store(jitter, Ordering::Relaxed);
        behind(&place, &venue, &ways);
        let recorder = place.record();
        let over = wait_for(Duration::from_secs(seconds + 60), || venue.sim.is_over());
        assert!(over, "the venue does not end: {}", recorder.words());
        let (id, log) = venue.end();
        pass(Duration::from_millis(1000));
        recorder.stop();
        let what = format!("{delay} to {} ms", delay + jitter);
        let v = judged(&what, &place, &id, &log);
        let took =
            ways.took.lock().unwrap().iter().map(|(ns, bytes)| (*ns, *bytes as i64)).collect::<Vec<_>>();
        let (truth, truth99) = (quantile(took.clone(), 50), quantile(took, 99));
        let (p50, p99) = told(&place, &id);
        let off = |told: i64, truth: i64| (told - truth) * 1000 / truth;
        let (off50, off99) = (off(p50, truth), off(p99, truth99));
        worst = off50.abs().max(worst);
        figures.push(json!({"line": what, "frames": v.figures.frames_recorded, "true_p50_ms": truth / 1_000_000, "told_p50_ms": p50 / 1_000_000,
            "true_p99_ms": truth99 / 1_000_000, "told_p99_ms": p99 / 1_000_000, "off_p50_permille": off50, "off_p99_permille": off99}));
        // Each side is a measurement of its own: the line's, and that of the recorder, whose frames are not of one length.
        assert!(off50.abs() <= 100 && p99 >= p50, "{what}: {figures:?}");
    }
    proved("delay", &json!({"lines": figures.len(), "off_p50_permille_max": worst, "each": figures}));
}
