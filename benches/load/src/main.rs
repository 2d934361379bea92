//! The least that records a venue's depth: one task, one connection, each frame parsed as a `serde_json::Value`, the chain of
//! ids checked per symbol, the snapshot fetched, everything written as gzip text. What a careful afternoon gives; no books, no
//! Parquet, no proof.
//!
//! ```text
//! minimal-reader BASE SYMBOLS CHANNELS OUT FRAMES     127.0.0.1:9443 btcusdt depth@0ms,trade out.gz 100000
//! ```
//! Ends after so many frames, or when the connection ends; the last line on standard output is JSON: `frames`, `gaps`,
//! `seconds` between frame 400 and the last.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::StreamExt;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

type Failure = Box<dyn std::error::Error>;

struct Reader {
    out: GzEncoder<BufWriter<File>>,
    last: HashMap<String, i64>,
    frames: u64,
    gaps: u64,
    /// Time of frame 400, before which the load has not begun, and of the last.
    times: (u128, u128),
}

impl Reader {
    /// Writes a frame behind its time; whether a symbol needs its snapshot.
    fn take(&mut self, text: &str) -> Result<Option<String>, Failure> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
        self.frames += 1;
        self.times = if self.frames <= 400 { (now, now) } else { (self.times.0, now) };
        let frame: Value = serde_json::from_str(text)?;
        writeln!(self.out, "{now} {text}")?;
        let data = &frame["data"];
        if data["e"] != "depthUpdate" {
            return Ok(None);
        }
        let symbol = data["s"].as_str().ok_or("a depth frame without a symbol")?;
        let (u, pu) = (data["u"].as_i64().unwrap_or(-1), data["pu"].as_i64().unwrap_or(-1));
        match self.last.get_mut(symbol) {
            Some(last) => {
                let broken = *last != pu;
                *last = u;
                self.gaps += u64::from(broken);
                Ok(broken.then(|| symbol.to_owned()))
            }
            None => {
                self.last.insert(symbol.to_owned(), u);
                Ok(Some(symbol.to_owned()))
            }
        }
    }
}

async fn snapshot(base: &str, symbol: &str) -> Result<String, Failure> {
    let mut s = tokio::net::TcpStream::connect(base).await?;
    let head = format!(
        "GET /fapi/v1/depth?symbol={symbol}&limit=1000 HTTP/1.1\r\nHost: {base}\r\nConnection: close\r\n\r\n"
    );
    s.write_all(head.as_bytes()).await?;
    let mut answer = String::new();
    s.read_to_string(&mut answer).await?;
    let body = answer.split_once("\r\n\r\n").ok_or("no body")?.1;
    Ok(body.to_owned())
}

async fn run(args: &[String]) -> Result<(), Failure> {
    let [base, symbols, channels, out, frames] = args else {
        return Err("minimal-reader BASE SYMBOLS CHANNELS OUT FRAMES".into());
    };
    let streams: Vec<String> =
        symbols.split(',').flat_map(|s| channels.split(',').map(move |c| format!("{s}@{c}"))).collect();
    let url = format!("ws://{base}/stream?streams={}", streams.join("/"));
    let (mut ws, _) = tokio_tungstenite::connect_async(url).await?;
    let out = GzEncoder::new(BufWriter::new(File::create(out)?), Compression::default());
    let mut reader = Reader { out, last: HashMap::new(), frames: 0, gaps: 0, times: (0, 0) };
    let frames: u64 = frames.parse()?;
    while reader.frames < frames {
        match ws.next().await {
            Some(Ok(Message::Text(text))) => {
                if let Some(symbol) = reader.take(&text)? {
                    let body = snapshot(base, &symbol).await?;
                    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
                    writeln!(reader.out, "{now} {body}")?;
                }
            }
            Some(Ok(_)) => {}
            Some(Err(e)) => {
                eprintln!("{e}");
                break;
            }
            None => break,
        }
    }
    reader.out.finish()?.flush()?;
    let seconds = (reader.times.1 - reader.times.0) as f64 / 1e9;
    println!("{{\"frames\":{},\"gaps\":{},\"seconds\":{seconds}}}", reader.frames, reader.gaps);
    Ok(())
}

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(&args))
}
