//! What the fuzz targets do with their bytes. Every check holds an outcome, not only "no panic".
//!
//! Here: frames and lists of the venues, numbers, lines of recordings. Below: the other rooms.

pub mod books;
pub mod disk;
pub mod folds;
mod input;
pub mod text;
pub mod wire;

use std::sync::OnceLock;

use lobtape::import::{Line, parse_line};
use lobtape::model::{DecodeCtx, Event};
use lobtape::parse::{NumError, Scratch, parse_dec, parse_fixed};
use lobtape::venue::testing::MemoryCtx;
use lobtape::venue::{ChannelInfo, Venue, all, poll_request};

/// The streams of every venue of the registry: each channel, of the symbol that the seeds have and of one as its list writes it.
pub(crate) fn names(venue: usize) -> &'static [String] {
    static NAMES: OnceLock<Vec<Vec<String>>> = OnceLock::new();
    let of = |v: &&'static dyn Venue| {
        let channels = v.channels();
        let symbols = |c: &ChannelInfo| match c.symbol {
            Some(own) => vec![Some("btcusdt"), Some(own)],
            None => vec![None],
        };
        let all = channels.iter().flat_map(|c| symbols(c).into_iter().map(|s| v.stream(&c.example, s)));
        all.filter_map(|s| Some(s.ok()?.name)).collect()
    };
    &NAMES.get_or_init(|| all().iter().map(of).collect())[venue]
}

/// Subscribes to everything, so that most frames find a reader.
fn subscribe<F: FnMut(Event<'_>)>(venue: usize, ctx: &mut MemoryCtx<F>) {
    for name in names(venue) {
        ctx.subscribe(all()[venue], name);
    }
}

/// Frames and answers by REST of every venue, which the first byte chooses: reading them twice, with fresh and with used
/// buffers, says the same; and the exponents only ever grow.
pub fn decode(bytes: &[u8]) {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let at = usize::from(*choice) % all().len();
    let venue = all()[at];
    let one = names(at).first().and_then(|name| venue.parse_stream(name));
    let read = |scratch: &mut Scratch| {
        let mut events = Vec::new();
        let mut ctx = MemoryCtx::new(|e: Event<'_>| events.push(format!("{e:?}")));
        subscribe(at, &mut ctx);
        let frame = venue.decode(scratch, bytes, None, &mut ctx);
        let raw = venue.decode(scratch, bytes, one.as_ref(), &mut ctx);
        let before = ctx.instrument("BTCUSDT");
        let body = venue.decode_snapshot(scratch, "BTCUSDT", bytes, &mut ctx);
        let trades = venue.decode_trades(scratch, "BTCUSDT", bytes, &mut ctx);
        let polled: Vec<_> = venue
            .polls()
            .iter()
            .map(|p| {
                let name = format!("{}{}", p.channel, p.args[0]);
                let url = poll_request(p, &name, if p.per_symbol { "BTCUSDT" } else { "" }).path;
                venue.decode_polled(scratch, &url, bytes, &mut ctx)
            })
            .collect();
        let after = ctx.instrument("BTCUSDT");
        let grew =
            before.zip(after).is_none_or(|(a, b)| b.price_exp >= a.price_exp && b.size_exp >= a.size_exp);
        assert!(grew);
        ((frame, raw, body, trades, polled), events)
    };
    let mut scratch = Scratch::default();
    let first = read(&mut scratch);
    assert_eq!(first, read(&mut scratch));
    assert_eq!(first, read(&mut Scratch::default()));
}

/// The reader of known shapes and the general one: the same events, widenings and rejection, whatever the bytes. The
/// first byte chooses the venue, the stream and the decimals that are known beforehand; the rest is the frame.
pub fn paths(bytes: &[u8]) {
    let Some((choice, frame)) = bytes.split_first() else { return };
    let choice = usize::from(*choice);
    let at = choice % all().len();
    let venue = all()[at];
    let only = names(at).get(choice % 12).and_then(|name| venue.parse_stream(name));
    let read = |mut scratch: Scratch| {
        let mut events = Vec::new();
        let mut ctx = MemoryCtx::new(|e: Event<'_>| events.push(format!("{e:?}")));
        ctx.exponents = [(8, 8), (2, 3), (0, 0)][choice % 3];
        subscribe(at, &mut ctx);
        let combined = venue.decode(&mut scratch, frame, None, &mut ctx);
        let entered = ctx.entered;
        let raw = venue.decode(&mut scratch, frame, only.as_ref(), &mut ctx);
        let outcome = (combined, entered, raw, ctx.entered, ctx.widened);
        (outcome, events)
    };
    assert_eq!(read(Scratch::default()), read(Scratch::simd_json_only()));
}

/// Numbers: text → mantissa → text → mantissa.
pub fn decimal(bytes: &[u8]) {
    let Some((exp, text)) = bytes.split_first() else { return };
    let exp = exp % 19;
    match parse_fixed(text, exp) {
        Ok(m) => {
            let d = parse_dec(text).expect("what has a mantissa has a value");
            assert_eq!(d.rescale(exp), Some(m));
            assert_eq!(parse_dec(d.to_string().as_bytes()), Ok(d));
        }
        Err(NumError::Wider { decimals }) if decimals <= 18 => {
            assert!(decimals > exp);
            assert!(!matches!(parse_fixed(text, decimals), Err(NumError::Wider { .. })));
        }
        Err(_) => {}
    }
}

/// Lines of recordings: what is handed on is a part of the line, and a stamp is never before the epoch.
pub fn import_line(bytes: &[u8]) {
    let Ok((ts, line)) = parse_line(bytes) else { return };
    assert!(ts >= 0);
    let part = match line {
        Line::Frame(b) | Line::Word(b) | Line::Snapshot(b) | Line::Sent(b) | Line::Note(b) => b,
        Line::Rest { url, body } => {
            assert!(url == "/" || bytes.windows(url.len()).any(|w| w == url.as_bytes()));
            body
        }
        Line::Connect(url) => url.as_bytes(),
    };
    assert!(part.is_empty() || bytes.ends_with(part) || bytes.starts_with(part));
}

/// Instrument lists, clocks, URLs and names, at every venue.
pub fn instruments(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for venue in all() {
        if let Ok(list) = venue.parse_instruments(bytes) {
            for i in list.instruments {
                assert!(
                    i.price_exp <= 18 && i.size_exp <= 18 && !i.symbol.is_empty() && i.symbol.len() <= 64
                );
            }
        }
        let _ = venue.parse_time(bytes);
        let _ = venue.rest_kind(&text);
        if let Some(s) = venue.parse_stream(&text) {
            assert_eq!(s.name, text);
            let subject = if text.contains('@') { text.split('@').next() } else { text.rsplit(':').next() };
            let again = venue.stream(&s.channel, subject);
            assert_eq!(again.map(|a| a.kind), Ok(s.kind));
        }
    }
}
