//! The world's clocks: true time, which only moves on, and what the machine makes of it.

use std::cell::Cell;

use crate::wire::clock::simulated;

pub const MS: i64 = 1_000_000;
pub const S: i64 = 1_000 * MS;

thread_local! {
    /// True time since the world began; wall clock and monotonic clock when it began. All in ns.
    static NOW: Cell<[i64; 3]> = const { Cell::new([0; 3]) };
}

fn set(now: [i64; 3]) {
    NOW.set(now);
    simulated::set(Some((now[1] + now[0], now[2] + now[0])));
}

/// The world begins at this wall time.
pub fn begin(wall: i64) {
    set([0, wall, 1_000 * S]);
}

/// The thread has the real clocks again.
pub fn end() {
    simulated::set(None);
}

/// True time since the beginning, ns.
pub fn now() -> i64 {
    NOW.get()[0]
}

pub fn pass(ns: i64) {
    let [now, wall, mono] = NOW.get();
    set([now + ns, wall, mono]);
}

/// The wall clock is set.
pub fn step_wall(ns: i64) {
    let [now, wall, mono] = NOW.get();
    set([now, wall + ns, mono]);
}

/// The machine is started again: its monotonic clock begins anew.
pub fn reboot() {
    let [now, wall, _] = NOW.get();
    set([now, wall, S - now]);
}
