//! How a command that runs until it is told to is told to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::Fault;
use crate::model::time::NS_PER_S;
use crate::wire::clock;

/// What comes sooner after the first signal is one with it. `timeout` of coreutils sends each twice, to its child and to its
/// group, and a shell's Ctrl-C reaches a program and whoever started it, who may pass it on.
const ONE_WITH_IT_NS: i64 = NS_PER_S / 2;

/// What a signal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// End well.
    End,
    /// Nothing that was not said.
    Echo,
    /// End at once.
    Now,
}

fn meaning(first: Option<i64>, now: i64) -> Meaning {
    match first {
        None => Meaning::End,
        Some(at) if now.saturating_sub(at) < ONE_WITH_IT_NS => Meaning::Echo,
        Some(_) => Meaning::Now,
    }
}

/// Set by the first SIGTERM or Ctrl-C from now on. One that comes half a second later or more ends the process at once,
/// with code 1.
///
/// # Errors
/// The system takes no handler or no thread.
pub fn asked() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(Fault::io)?;
    let flag = Arc::clone(&stop);
    let listen = move || {
        let mut first = None;
        for _ in signals.forever() {
            let now = clock::mono_ns();
            match meaning(first, now) {
                Meaning::End => {
                    first = Some(now);
                    flag.store(true, Ordering::Release);
                }
                Meaning::Echo => {}
                // Whoever asks again does not want to wait for what is not sealed yet.
                Meaning::Now => signal_hook::low_level::exit(1),
            }
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(listen).map_err(Fault::io)?;
    Ok(stop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_echo_of_a_signal_is_no_second_one() {
        let at = 7 * NS_PER_S;
        assert_eq!(meaning(None, at), Meaning::End);
        assert_eq!(meaning(Some(at), at + NS_PER_S / 1000), Meaning::Echo);
        assert_eq!(meaning(Some(at), at + NS_PER_S), Meaning::Now);
    }
}
