//! Interval logs that HdrHistogram's own tools read: `_hlog/<date>/<lane>.hlog`.
//!
//! One line per stream, hop and minute, tagged `<stream>:<hop>`. Interval logs cannot hold negative values: of
//! `venue_receive` the magnitudes of negative ones stand under the tag `…:venue_receive_negative`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::Duration;

use flate2::{Compress, Compression, FlushCompress, Status};
use hdrhistogram::{Counter, Histogram};

use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, IntervalLogWriterError, Tag};
use hdrhistogram::serialization::{Serializer, V2Serializer};

use super::sparse::{Closed, Encoder};
use crate::model::LaneId;
use crate::model::time::{NS_PER_MIN, date_text, day_of};

const HEADER: &str = "#[Histogram log format version 1.3]\n\
    #[Values are nanoseconds; tags are <stream>:<hop>; timestamps are seconds since the Unix epoch]\n\
    \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n";

/// Appends minutes to one lane's log, a file per UTC day.
#[derive(Debug)]
pub struct HlogWriter {
    dir: PathBuf,
    lane: LaneId,
}

impl HlogWriter {
    /// Writes below `dataset/_hlog/`; nothing is created before the first minute.
    pub fn new(dataset: impl Into<PathBuf>, lane: LaneId) -> HlogWriter {
        HlogWriter { dir: dataset.into().join("_hlog"), lane }
    }

    /// The file of the day of `ts`.
    pub fn path(&self, ts: i64) -> PathBuf {
        self.dir.join(date_text(day_of(ts))).join(format!("{:03}.hlog", self.lane))
    }

    /// Appends one minute.
    pub(super) fn write(
        &self,
        start_ns: i64,
        closed: &[Closed<'_>],
        encoder: &mut Encoder,
    ) -> io::Result<()> {
        if closed.is_empty() {
            return Ok(());
        }
        let mut out = BufWriter::new(self.open(start_ns)?);
        let mut serializer = Deflate::new();
        let mut log = IntervalLogWriterBuilder::new().begin_log_with(&mut out, &mut serializer)?;
        let start = Duration::from_nanos(u64::try_from(start_ns).unwrap_or(0));
        let length = Duration::from_nanos(NS_PER_MIN.unsigned_abs());
        for c in closed {
            let stream: String =
                c.stream.chars().map(|x| if " ,\r\n".contains(x) { '_' } else { x }).collect();
            for (buckets, suffix) in [(&c.positive, ""), (&c.negative, "_negative")] {
                if buckets.is_empty() {
                    continue;
                }
                let text = format!("{stream}:{}{suffix}", c.hop);
                log.write_histogram(encoder.histogram(buckets), start, length, Tag::new(&text)).map_err(
                    |e| match e {
                        IntervalLogWriterError::IoError(e) => e,
                        IntervalLogWriterError::SerializeError(e) => e,
                    },
                )?;
            }
        }
        out.flush()
    }

    /// The day's file at its end, with a header if it is new. A line torn by a crash is cut.
    fn open(&self, start_ns: i64) -> io::Result<File> {
        let path = self.path(start_ns);
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let mut f = OpenOptions::new().create(true).read(true).append(true).open(&path)?;
        cut_torn_line(&mut f)?;
        if f.seek(SeekFrom::End(0))? == 0 {
            f.write_all(HEADER.as_bytes())?;
        }
        Ok(f)
    }
}

/// The library's `V2DeflateSerializer` with one compressor for all: a new one clears 300 kB for each histogram, and at 500
/// symbols a minute has thousands.
struct Deflate {
    v2: V2Serializer,
    plain: Vec<u8>,
    zip: Compress,
    packed: Vec<u8>,
}

/// Marks a compressed histogram.
const COOKIE: u32 = 0x1c84_9314;

impl Deflate {
    fn new() -> Deflate {
        Deflate {
            v2: V2Serializer::new(),
            plain: Vec::new(),
            zip: Compress::new(Compression::fast(), true),
            packed: Vec::new(),
        }
    }
}

impl Serializer for Deflate {
    type SerializeError = io::Error;

    fn serialize<T: Counter, W: Write>(&mut self, h: &Histogram<T>, writer: &mut W) -> io::Result<usize> {
        self.plain.clear();
        self.v2.serialize(h, &mut self.plain).map_err(|e| io::Error::other(e.to_string()))?;
        self.packed.clear();
        self.packed.reserve(self.plain.len() + 64);
        self.zip.reset();
        loop {
            let done = self.zip.total_in() as usize;
            let status =
                self.zip.compress_vec(&self.plain[done..], &mut self.packed, FlushCompress::Finish)?;
            if status == Status::StreamEnd {
                break;
            }
            self.packed.reserve(self.plain.len() + 64);
        }
        let len = u32::try_from(self.packed.len()).map_err(io::Error::other)?;
        writer.write_all(&COOKIE.to_be_bytes())?;
        writer.write_all(&len.to_be_bytes())?;
        writer.write_all(&self.packed)?;
        Ok(self.packed.len() + 8)
    }
}

/// Cuts what stands behind the last line break, which readers would stumble over.
fn cut_torn_line(f: &mut File) -> io::Result<()> {
    let mut end = f.seek(SeekFrom::End(0))?;
    let mut block = [0u8; 4096];
    while end > 0 {
        let from = end.saturating_sub(block.len() as u64);
        let part = &mut block[..(end - from) as usize];
        f.seek(SeekFrom::Start(from))?;
        f.read_exact(part)?;
        if let Some(i) = part.iter().rposition(|b| *b == b'\n') {
            end = from + i as u64 + 1;
            break;
        }
        end = from;
    }
    if end < f.metadata()?.len() { f.set_len(end) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Hop, latency};
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    fn intervals(text: &[u8]) -> Vec<(String, f64, u64, u64)> {
        let mut out = Vec::new();
        for e in IntervalLogIterator::new(text) {
            if let LogEntry::Interval(i) = e.unwrap() {
                use base64::Engine as _;
                let bytes = base64::engine::general_purpose::STANDARD.decode(i.encoded_histogram()).unwrap();
                let h = Deserializer::new().deserialize::<u64, _>(&mut bytes.as_slice()).unwrap();
                let tag = i.tag().unwrap().as_str().to_owned();
                out.push((tag, i.start_timestamp().as_secs_f64(), h.len(), h.max()));
            }
        }
        out
    }

    #[test]
    fn minutes_can_be_read_back_also_after_a_crash_in_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let mut w = HlogWriter::new(dir.path(), 1);
        let (mut r, mut c) = latency();
        let s = r.stream("v", "btcusdt@depth, odd name");
        let start = 1_723_161_240_000_000_000;
        for minute in 0..2 {
            for ns in [100, 200, 50_000] {
                r.record(s, Hop::KernelRead, ns);
            }
            r.record(s, Hop::VenueReceive, -1000);
            r.flush();
            c.close_minute(start + minute * NS_PER_MIN, Some(&mut w)).unwrap();
            if minute == 0 {
                let mut f = OpenOptions::new().append(true).open(w.path(start)).unwrap();
                f.write_all(&[b'x'; 10_000]).unwrap();
            }
        }
        let path = dir.path().join("_hlog/2024-08-08/001.hlog");
        let text = fs::read(&path).unwrap();
        let got = intervals(&text);
        let tags: Vec<&str> = got.iter().map(|g| g.0.as_str()).collect();
        let one = ["btcusdt@depth__odd_name:venue_receive_negative", "btcusdt@depth__odd_name:kernel_read"];
        assert_eq!(tags, [one, one].concat());
        assert_eq!((got[1].1, got[1].2), (1_723_161_240.0, 3));
        assert!(got[1].3.abs_diff(50_000) < 400, "{}", got[1].3);
        assert_eq!(String::from_utf8(text).unwrap().matches("StartTimestamp").count(), 1);
    }
}
