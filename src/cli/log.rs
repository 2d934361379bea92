//! Logging to stderr through a bounded queue: whoever logs never waits for a terminal or a full pipe.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait for stderr; more are dropped and counted.
const QUEUE_LINES: usize = 4096;
/// How long the end of the process waits for stderr to take the rest.
const FLUSH_WAIT: Duration = Duration::from_secs(1);

/// How much to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Level {
    /// Nothing.
    Off,
    /// What needs somebody now.
    Error,
    /// What will need somebody.
    Warn,
    /// Changes of state.
    Info,
    /// For those who look for a fault.
    Debug,
    /// Everything.
    Trace,
}

impl From<Level> for LevelFilter {
    fn from(l: Level) -> LevelFilter {
        match l {
            Level::Off => LevelFilter::OFF,
            Level::Error => LevelFilter::ERROR,
            Level::Warn => LevelFilter::WARN,
            Level::Info => LevelFilter::INFO,
            Level::Debug => LevelFilter::DEBUG,
            Level::Trace => LevelFilter::TRACE,
        }
    }
}

enum Message {
    Line(Vec<u8>),
    Flush(Sender<()>),
}

/// The writing end: a line per event, handed to the thread that owns stderr.
#[derive(Clone)]
struct Queue {
    tx: Sender<Message>,
    dropped: Arc<AtomicU64>,
}

impl Queue {
    fn start(sink: impl Write + Send + 'static) -> io::Result<Queue> {
        let (tx, rx) = bounded(QUEUE_LINES);
        let dropped = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&dropped);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || drain(&rx, &seen, sink))?;
        Ok(Queue { tx, dropped })
    }

    fn flush(&self) {
        let (done, wait) = bounded(1);
        if self.tx.send_timeout(Message::Flush(done), FLUSH_WAIT).is_ok() {
            let _ = wait.recv_timeout(FLUSH_WAIT);
        }
    }
}

fn drain(rx: &Receiver<Message>, dropped: &AtomicU64, mut sink: impl Write) {
    let mut told = 0;
    for m in rx {
        match m {
            Message::Line(l) => {
                let _ = sink.write_all(&l);
                let now = dropped.load(Ordering::Relaxed);
                if now != told {
                    let _ = writeln!(sink, "log: {} lines dropped, stderr was too slow", now - told);
                    told = now;
                }
            }
            Message::Flush(done) => {
                let _ = sink.flush();
                let _ = done.try_send(());
            }
        }
    }
}

/// Collects one event's text and sends it as one message when dropped.
struct Line {
    queue: Queue,
    text: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, b: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(b);
        Ok(b.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let text = std::mem::take(&mut self.text);
        if let Err(TrySendError::Full(_)) = self.queue.tx.try_send(Message::Line(text)) {
            self.queue.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { queue: self.clone(), text: Vec::with_capacity(160) }
    }
}

/// Waits at the end for what is still queued, but not for ever.
pub struct Guard(Option<Queue>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(q) = &self.0 {
            q.flush();
        }
    }
}

/// Sends events of `level` and above to stderr; keep the guard until the end. Without a thread to write them
/// events are not logged. A second call changes nothing.
pub fn start(level: Level) -> Guard {
    if level == Level::Off {
        return Guard(None);
    }
    let Ok(queue) = Queue::start(io::stderr()) else { return Guard(None) };
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::from(level))
        .with_ansi(false)
        .with_target(false)
        .with_writer(queue.clone())
        .finish();
    match tracing::subscriber::set_global_default(subscriber) {
        Ok(()) => Guard(Some(queue)),
        Err(_) => Guard(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// A sink that writes only while its lock can be had.
    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, b: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(b);
            Ok(b.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_stderr_blocks_nobody_and_the_loss_is_told() {
        let sink = Shared::default();
        let stuck = sink.0.lock().unwrap();
        let q = Queue::start(sink.clone()).unwrap();
        for _ in 0..QUEUE_LINES + 100 {
            q.make_writer().write_all(b"line\n").unwrap();
        }
        let dropped = q.dropped.load(Ordering::Relaxed);
        assert!(dropped >= 99, "the queue is bounded, dropped {dropped}");
        drop(stuck);
        q.flush();
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains(&format!("log: {dropped} lines dropped")), "{}", &text[..200]);
    }
}
