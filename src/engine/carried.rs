//! What a venue has said of the streams of one connection. Its lane writes that, control reads it: another connection's frames
//! and confirmations, before it, after it or of the other leg, say nothing of this one.

use std::sync::atomic::{AtomicBool, Ordering};

use rustc_hash::FxHashMap;

use crate::model::StreamSpec;

/// The streams of a connection, and which of them are served.
#[derive(Debug)]
pub struct Carried {
    streams: Vec<StreamSpec>,
    by_name: FxHashMap<String, usize>,
    served: Vec<AtomicBool>,
}

impl Carried {
    /// None of them is served yet.
    pub fn new(streams: Vec<StreamSpec>) -> Carried {
        let by_name = streams.iter().enumerate().map(|(i, s)| (s.name.clone(), i)).collect();
        let served = streams.iter().map(|_| AtomicBool::new(false)).collect();
        Carried { streams, by_name, served }
    }

    /// All of them.
    pub fn streams(&self) -> &[StreamSpec] {
        &self.streams
    }

    /// Whether it carries a stream of this name; if it does, whether the venue has confirmed it or brought something of it.
    pub fn is_served(&self, name: &str) -> Option<bool> {
        self.by_name.get(name).map(|i| self.served[*i].load(Ordering::Relaxed))
    }

    /// A stream is served from now on, or is so no longer; returns whether that is new. Only its lane says so.
    pub fn set(&self, name: &str, served: bool) -> bool {
        self.by_name.get(name).is_some_and(|i| self.served[*i].swap(served, Ordering::Relaxed) != served)
    }

    /// Those that are not served.
    pub fn lacking(&self) -> impl Iterator<Item = &StreamSpec> {
        self.streams.iter().zip(&self.served).filter(|(_, is)| !is.load(Ordering::Relaxed)).map(|(s, _)| s)
    }
}
