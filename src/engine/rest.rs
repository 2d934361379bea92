//! REST on worker threads: requests block, and control must not.

use std::net::SocketAddr;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::model::ConnId;
use crate::wire::rest::{RestClient, RestError, RestResponse};

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A snapshot for a book of this symbol.
    Snapshot {
        /// The symbol.
        symbol: String,
    },
    /// The instrument list.
    Instruments,
    /// The volumes by which a rule ranks markets.
    Volumes,
    /// The venue's clock.
    Time,
    /// What the venue has against this address.
    Ban,
    /// What is asked for again and again.
    Poll {
        /// The lane that the rows belong to.
        lane: crate::model::LaneId,
        /// Its name in the configuration.
        name: String,
        /// The symbol, "" for the whole market.
        symbol: String,
    },
    /// Trades that a gap has lost.
    Trades {
        /// The lane of the stream.
        lane: crate::model::LaneId,
        /// The gap.
        gap: Box<crate::fold::Wanted>,
    },
}

/// Work for a worker.
pub enum Job {
    /// Ask a venue.
    Get {
        /// Its number in control's list.
        venue: usize,
        /// Why.
        purpose: Purpose,
        /// The client.
        client: Box<RestClient>,
        /// Path and query.
        path: String,
        /// Further headers, signatures among them.
        headers: Vec<(&'static str, String)>,
    },
    /// Resolve a host before a connection is opened.
    Resolve {
        /// The venue's number in control's list.
        venue: usize,
        /// The connection to be.
        conn: ConnId,
        /// Host.
        host: String,
        /// Port.
        port: u16,
    },
}

/// What came of it.
pub enum Done {
    /// An answer, or none.
    Got {
        /// The venue's number.
        venue: usize,
        /// Why it was asked.
        purpose: Purpose,
        /// Path and query.
        path: String,
        /// When it was begun, monotonic ns.
        mono_sent: i64,
        /// The answer.
        result: Result<RestResponse, RestError>,
    },
    /// Addresses, or none.
    Resolved {
        /// The venue's number.
        venue: usize,
        /// The connection to be.
        conn: ConnId,
        /// The addresses.
        result: std::io::Result<Vec<SocketAddr>>,
    },
}

/// The worker threads. They end when the pool is dropped.
pub struct Pool {
    jobs: Sender<Job>,
    done: Receiver<Done>,
    workers: Vec<JoinHandle<()>>,
}

/// Longest body that enters a lane, bytes: as long as the longest message of a socket, so that the least ring takes both.
/// Lists of instruments may be longer; they go to lane 000 through the journal.
pub const LANE_BODY_MAX: usize = 8 << 20;

/// What enters the lane as a snapshot: status and body, or status 0 and why there is none.
pub fn lane_body(result: Result<RestResponse, RestError>) -> (i32, Vec<u8>) {
    match result {
        Ok(r) if r.body.len() > LANE_BODY_MAX => {
            let (n, most) = (r.body.len(), LANE_BODY_MAX);
            (
                0,
                format!("a snapshot of {n} bytes is over the limit of {most}; asked again later")
                    .into_bytes(),
            )
        }
        Ok(r) => (i32::from(r.status), r.body),
        Err(e) => (0, e.to_string().into_bytes()),
    }
}

/// Jobs that may wait for a worker.
pub const JOBS_MAX: usize = 256;

impl Pool {
    /// Starts this many workers.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(workers: usize) -> std::io::Result<Pool> {
        let (jobs, todo) = bounded::<Job>(JOBS_MAX);
        let (tell, done) = bounded::<Done>(JOBS_MAX);
        let spawn = |n: usize| {
            let (todo, tell) = (todo.clone(), tell.clone());
            std::thread::Builder::new().name(format!("rest-{n}")).spawn(move || work(&todo, &tell))
        };
        let workers = (0..workers.max(1)).map(spawn).collect::<Result<Vec<_>, _>>()?;
        Ok(Pool { jobs, done, workers })
    }

    /// A pool without threads: whoever has the other ends does the work.
    #[cfg(test)]
    pub(super) fn by_hand() -> (Pool, Receiver<Job>, Sender<Done>) {
        let (jobs, todo) = bounded::<Job>(JOBS_MAX);
        let (tell, done) = bounded::<Done>(JOBS_MAX);
        (Pool { jobs, done, workers: Vec::new() }, todo, tell)
    }

    /// Hands over a job; gives it back when too many wait.
    pub fn ask(&self, job: Job) -> Result<(), Box<Job>> {
        self.jobs.try_send(job).map_err(|e| Box::new(e.into_inner()))
    }

    /// Where results arrive.
    pub fn done(&self) -> &Receiver<Done> {
        &self.done
    }

    /// Lets the workers end; those in the middle of a request end when it does.
    pub fn stop(self) {
        drop(self.jobs);
        drop(self.done);
        // Not joined: a request may take its whole time limit, and nobody waits for its answer any more.
        drop(self.workers);
    }
}

fn work(todo: &Receiver<Job>, tell: &Sender<Done>) {
    for job in todo {
        let done = match job {
            Job::Get { venue, purpose, client, path, headers } => {
                let mono_sent = crate::wire::clock::mono_ns();
                let result = client.get_with(&path, &headers);
                Done::Got { venue, purpose, path, mono_sent, result }
            }
            Job::Resolve { venue, conn, host, port } => {
                Done::Resolved { venue, conn, result: crate::wire::resolve::resolve(&host, port) }
            }
        };
        if tell.send(done).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::raw::{self, RawOptions};
    use crate::wire::Limits;

    fn answer(len: usize) -> (i32, Vec<u8>) {
        lane_body(Ok(RestResponse {
            status: 200,
            body: vec![b' '; len],
            used_weight: None,
            retry_after_s: None,
            location: None,
            limits: Vec::new(),
            ts_sent: 1,
            mono_sent: 1,
            ts_recv: 1,
            mono_recv: 1,
        }))
    }

    #[test]
    fn whatever_may_enter_a_lane_fits_the_least_ring() {
        let dir = tempfile::tempdir().unwrap();
        let o = RawOptions { dataset: 1, lane: 1, capacity: 32 << 20, last_lane_seq: -1 };
        let (p, _) = raw::create(&dir.path().join("ring"), &o).unwrap();
        let longest = LANE_BODY_MAX.max(Limits::default().message_bytes) + usize::from(u16::MAX) + 64;
        assert!(p.max_record() >= longest, "{} {longest}", p.max_record());
        assert_eq!(answer(LANE_BODY_MAX).0, 200);
        let (status, why) = answer(LANE_BODY_MAX + 1);
        assert_eq!(status, 0);
        assert!(String::from_utf8(why).unwrap().contains("8388609 bytes"));
    }
}
