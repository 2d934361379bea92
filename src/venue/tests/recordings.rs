//! Every frame of the recordings, read twice: by the venue and by the independent reader.

use std::cell::RefCell;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use flate2::read::MultiGzDecoder;

use super::{EXP, independent, line};
use crate::model::{Bbo, Depth, Event, RestKind, StreamId};
use crate::parse::Scratch;
use crate::venue::testing::MemoryCtx;
use crate::venue::{Venue, by_id};

/// The recordings of the checkout, or those that the variable points to.
pub fn files() -> Vec<(PathBuf, &'static dyn Venue)> {
    let dir = std::env::var_os("LOBTAPE_RECORDINGS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/recordings"), PathBuf::from);
    let Ok(entries) = std::fs::read_dir(&dir) else { return Vec::new() };
    let mut found: Vec<_> = entries
        .filter_map(|e| {
            let path = e.ok()?.path();
            let name = path.file_name()?.to_str()?;
            let venue = by_id(name.strip_suffix(".gz")?.split('_').next()?)?.1;
            Some((path, venue))
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// The lines of a recording without their stamps.
pub fn lines(path: &PathBuf) -> impl Iterator<Item = String> {
    let file = std::fs::File::open(path).unwrap();
    BufReader::new(MultiGzDecoder::new(file))
        .lines()
        .map(|l| l.unwrap().split_once(' ').unwrap().1.to_owned())
}

#[test]
fn every_recorded_frame_is_read_as_an_independent_reader_does() {
    let files = files();
    assert!(!files.is_empty(), "no recordings in data/recordings, and LOBTAPE_RECORDINGS does not help");
    for (path, venue) in files {
        let frames = compare(&path, venue);
        assert!(frames > 150, "{}: {frames} frames", path.display());
    }
}

fn compare(path: &PathBuf, venue: &'static dyn Venue) -> usize {
    let mut scratch = Scratch::default();
    let events = RefCell::new(Vec::new());
    let mut ctx = MemoryCtx::new(|e: Event<'_>| events.borrow_mut().push(line(&e)));
    ctx.exponents = (EXP, EXP);
    let mut frames = 0;
    for text in lines(path) {
        if text.starts_with('#') || text.starts_with('>') {
            continue;
        }
        frames += 1;
        let (url, body) = match text.starts_with('/').then(|| text.split_once(' ')).flatten() {
            Some((url, body)) => (Some(url), body),
            None => (None, text.as_str()),
        };
        let v: serde_json::Value = serde_json::from_str(body).unwrap();
        if v["m"].is_string() {
            for name in independent::ascendex_streams(&v) {
                assert!(ctx.subscribe(venue, &name), "{name}");
            }
            venue.decode(&mut scratch, body.as_bytes(), None, &mut ctx).unwrap();
            assert_eq!(events.take(), independent::ascendex(&v), "{}: frame {frames}", path.display());
            continue;
        }
        let want = if let Some(name) = v["stream"].as_str() {
            assert!(ctx.subscribe(venue, name), "{name}");
            venue.decode(&mut scratch, body.as_bytes(), None, &mut ctx).unwrap();
            independent::event(name.split_once('@').unwrap().1, &v["data"])
        } else {
            let symbol = match url.map(|u| venue.rest_kind(u)) {
                Some(RestKind::Depth { symbol }) => symbol,
                None => "BTCUSDT".to_owned(),
                Some(other) => panic!("{other:?}"),
            };
            let symbol = v["symbol"].as_str().map_or(symbol, str::to_owned);
            venue.decode_snapshot(&mut scratch, &symbol, body.as_bytes(), &mut ctx).unwrap();
            independent::book("snapshot", &v)
        };
        assert_eq!(events.take(), [want], "{}: frame {frames}", path.display());
    }
    assert_eq!(ctx.widened, 0);
    frames
}

/// Exponents that start too small grow to what the frames need and no further, and give the same numbers.
#[test]
fn exponents_grow_to_what_frames_need() {
    for (path, venue) in files() {
        let mut stream = StreamId::NONE;
        let mut ctx = MemoryCtx::new(|e: Event<'_>| {
            if let Event::Bbo(Bbo { stream: s, .. }) | Event::Depth(Depth { stream: s, .. }) = e {
                stream = s;
            }
        });
        let mut scratch = Scratch::default();
        for text in lines(&path).filter(|t| t.starts_with("{\"stream\"") || t.starts_with("{\"m\"")) {
            let v: serde_json::Value = serde_json::from_str(&text).unwrap();
            let names = match v["stream"].as_str() {
                Some(name) => vec![name.to_owned()],
                None => independent::ascendex_streams(&v),
            };
            for name in names {
                assert!(ctx.subscribe(venue, &name), "{name}");
            }
            venue.decode(&mut scratch, text.as_bytes(), None, &mut ctx).unwrap();
        }
        // Each instrument widens a few times at its start, never again and again.
        assert!((1..40).contains(&ctx.widened), "{}: widened {} times", path.display(), ctx.widened);
        assert_ne!(stream, StreamId::NONE);
    }
}
