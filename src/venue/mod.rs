//! Venues: one folder each, plain data and pure functions. Bytes in, events out.
//!
//! This room must not know sockets, clocks, files or threads. A venue is its folder and one line of [`all`].

pub mod ascendex;
pub mod aster;
pub mod binance;
pub mod family;
pub mod pumpkin;
#[doc(hidden)]
pub mod testing;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::OnceLock;

use crate::model::{
    ConnPlan, DecodeCtx, Dialect, Hosts, IdPolicy, InstrumentVersion, PlanError, Poll, Reject, RejectCause,
    RestKind, RestRefusal, RestRequest, StreamKind, StreamSpec, TradesRequest, Tuning, VenueIx, VenueSpec,
};
pub use crate::parse::{Paths, Scratch};

// One a line: who adds a venue adds a line.
#[rustfmt::skip]
static BUILT_IN: &[&dyn Venue] = &[
    &aster::FUTURES,
    &binance::SPOT,
    &binance::USDM,
    &binance::COINM,
    &aster::SPOT,
    &aster::PREDICTION,
    &ascendex::SPOT,
    &ascendex::FUTURES,
    &pumpkin::PERP,
];

/// The venues of this process, settled when somebody first asks.
static ALL: OnceLock<Vec<&'static dyn Venue>> = OnceLock::new();

/// Every venue that this build knows, in the order of [`VenueIx`].
pub fn all() -> &'static [&'static dyn Venue] {
    ALL.get_or_init(|| BUILT_IN.to_vec())
}

/// Adds venues of a program's own behind those of this build. False if the list was asked for before: then nothing is
/// added, because places in it do not change. A program that embeds the recorder calls it first of all.
pub fn add(more: &[&'static dyn Venue]) -> bool {
    ALL.set(BUILT_IN.iter().chain(more).copied().collect()).is_ok()
}

/// The first venue of this build: for those who want any.
pub fn first() -> &'static dyn Venue {
    BUILT_IN[0]
}

/// The venue of a slug and its place in [`all`].
pub fn by_id(id: &str) -> Option<(VenueIx, &'static dyn Venue)> {
    let place = all().iter().position(|v| v.spec().id == id)?;
    Some((VenueIx(u16::try_from(place).ok()?), all()[place]))
}

/// What a venue's folder gives to the rest of the house.
pub trait Venue: Send + Sync {
    /// Its names and numbers.
    fn spec(&self) -> &'static VenueSpec;

    /// How it speaks, for the simulator. `None`: it cannot be simulated yet.
    fn dialect(&self) -> Option<&'static Dialect> {
        None
    }

    /// What can be subscribed to, in the order in which the venue's page has it.
    fn channels(&self) -> Vec<ChannelInfo>;

    /// Its fixtures, as in `fixtures/<id>.txt` of its folder: frames that were seen or documented. A probe of the live
    /// venue tells from them which keys and events are new. "" if there are none.
    fn samples(&self) -> &'static str {
        ""
    }

    /// What its support rests on.
    fn evidence(&self) -> Evidence {
        Evidence::Documents
    }

    /// The stream of a channel (`depth@100ms`) and a symbol; all-market channels (`!bookTicker`) take no symbol.
    ///
    /// # Errors
    /// An unknown channel, whatever the symbol; a symbol that cannot be one.
    fn stream(&self, channel: &str, symbol: Option<&str>) -> Result<StreamSpec, PlanError>;

    /// Whether a channel is the whole venue's, so that its stream takes no symbol.
    fn is_market(&self, channel: &str) -> bool {
        channel.starts_with('!')
    }

    /// The pair that an instrument is of, where the venue has streams of pairs: those take the pair's name as a symbol.
    fn pair_of<'s>(&self, symbol: &'s str) -> Option<&'s str> {
        let _ = symbol;
        None
    }

    /// Whether a symbol is the name of a pair, and of no instrument.
    fn is_pair(&self, symbol: &str) -> bool {
        let _ = symbol;
        false
    }

    /// The pair of a name that means whichever contract has a place in the calendar (`BTCUSD_CURRENT_QUARTER`), where streams take
    /// such names. It is no instrument of the list.
    fn pair_of_place<'s>(&self, name: &'s str) -> Option<&'s str> {
        let _ = name;
        None
    }

    /// That name of an instrument, if the list says that it has such a place now.
    fn place_of(&self, instrument: &InstrumentVersion) -> Option<String> {
        let _ = instrument;
        None
    }

    /// The reverse: what a full stream name is. `None` if it does not parse. The symbol is given as the
    /// instrument list writes it.
    fn parse_stream(&self, name: &str) -> Option<StreamSpec>;

    /// Spreads streams over connections.
    ///
    /// # Errors
    /// Two chains of one book.
    fn plan(&self, streams: &[StreamSpec], hosts: &Hosts) -> Result<Vec<ConnPlan>, PlanError>;

    /// The channel to use where the venue, asked live, does not serve `channel`: on Aster `depth@0ms` falls back to
    /// `depth@100ms`. `None`: there is no second choice, or none is needed. [`Venue::stream`] and [`Venue::plan`]
    /// take the channel as it is, so that it can be asked for; whoever asks, decides.
    fn fallback(&self, channel: &str) -> Option<&'static str> {
        let _ = channel;
        None
    }

    /// Seconds between two messages of a channel that speaks at a fixed pace whatever happens. `None`: it speaks when
    /// there is something to say, and its silence alone says nothing.
    fn pace_s(&self, channel: &str) -> Option<u32> {
        let _ = channel;
        None
    }

    /// What the silence of a channel says. What a venue's page does not tell is [`Voice::Eventful`]: that accuses nobody
    /// without evidence.
    fn voice(&self, channel: &str) -> Voice {
        self.pace_s(channel).map_or(Voice::Eventful, Voice::Paced)
    }

    /// Reads one frame. `only` is the connection's single stream where frames do not name theirs (raw mode).
    ///
    /// # Errors
    /// [`Reject`]: nothing (or, in an array, nothing of the faulty element) was said to `ctx`; the caller keeps the frame.
    fn decode(
        &self,
        scratch: &mut Scratch,
        frame: &[u8],
        only: Option<&StreamSpec>,
        ctx: &mut dyn DecodeCtx,
    ) -> Result<(), Reject>;

    /// What a REST URL (path and query) is for.
    fn rest_kind(&self, url: &str) -> RestKind;

    /// Reads the body of a snapshot of `symbol` and says one [`crate::model::Event::Snapshot`].
    ///
    /// # Errors
    /// [`Reject`] for error bodies, cut bodies and wrong shapes.
    fn decode_snapshot(
        &self,
        scratch: &mut Scratch,
        symbol: &str,
        body: &[u8],
        ctx: &mut dyn DecodeCtx,
    ) -> Result<(), Reject>;

    /// The request for a snapshot.
    fn snapshot_request(&self, symbol: &str) -> RestRequest;

    /// The message that asks for a snapshot on the connection of this stream of diffs; for venues whose snapshots come
    /// in-band ([`crate::model::SnapshotSource::InBand`]).
    fn snapshot_message(&self, stream: &StreamSpec) -> Option<String> {
        let _ = stream;
        None
    }

    /// The streams that one acknowledgement names, refused or not, where it may name several: for whoever reads recordings, in which
    /// the frame stands under one of them alone. Empty: the frame is none, or names none.
    fn confirmed(&self, frame: &[u8]) -> Vec<String> {
        let _ = frame;
        Vec::new()
    }

    /// Messages that end and begin one stream on an open connection, for when its snapshots fail time and again. Empty:
    /// the venue has none.
    fn resubscribe_messages(&self, stream: &StreamSpec, tuning: &Tuning) -> Vec<String> {
        let _ = (stream, tuning);
        Vec::new()
    }

    /// The message that subscribes to these topics, where answers name none ([`VenueSpec::topics_per_message`]).
    fn subscribe_message(&self, topics: &[&str], tuning: &Tuning) -> Option<String> {
        let _ = (topics, tuning);
        None
    }

    /// Whether a refusal of a subscription passes by itself: then the message is sent again later.
    fn is_passing(&self, code: i64) -> bool {
        let _ = code;
        false
    }

    /// Whether a refusal of a subscription says that the connection bears no more: then another one takes the topic.
    fn is_full(&self, code: i64) -> bool {
        let _ = code;
        false
    }

    /// Whether a refusal of a subscription is about its symbol alone: then it says nothing of the channel.
    fn is_of_symbol(&self, code: i64) -> bool {
        let _ = code;
        false
    }

    /// Prefixes of its WebSocket paths that part its streams; the configuration may say others ([`Tuning::routes`]). Empty: it
    /// has none.
    fn routes(&self) -> &'static [&'static str] {
        &[]
    }

    /// What the configuration may say of the venue's ids, where nobody knows; empty: they are known.
    fn id_policies(&self) -> &'static [(&'static str, IdPolicy)] {
        &[]
    }

    /// What the configuration may say of the answer to a ping that comes as a message: words, and the text that each means; empty:
    /// it is known.
    fn ping_replies(&self) -> &'static [(&'static str, Option<&'static str>)] {
        &[]
    }

    /// What the configuration may say of signatures of REST requests: words, and whether each means that there are some; empty: a
    /// key is used where there is one.
    fn rest_auths(&self) -> &'static [(&'static str, bool)] {
        &[]
    }

    /// Whether streams of named symbols are opened although no instrument list came: where REST may refuse what streams do not.
    fn opens_unlisted(&self) -> bool {
        false
    }

    /// What can be asked for by REST again and again.
    fn polls(&self) -> &'static [Poll] {
        &[]
    }

    /// The poll of a name in the configuration; `None`: the channel is a stream, or nothing at all.
    fn poll(&self, channel: &str) -> Option<&'static Poll> {
        self.polls().iter().find(|p| p.arg_of(channel).is_some())
    }

    /// Reads the answer to a poll and says its rows.
    ///
    /// # Errors
    /// [`Reject`]: nothing of the faulty row was said, or the body is none.
    fn decode_polled(
        &self,
        scratch: &mut Scratch,
        url: &str,
        body: &[u8],
        ctx: &mut dyn DecodeCtx,
    ) -> Result<(), Reject> {
        let _ = (scratch, url, body, ctx);
        Ok(())
    }

    /// The instruments of an answer to a poll, where it has whole versions of some. `None`: it is about something else.
    fn polled_instruments(&self, path: &str, body: &[u8]) -> Option<Result<InstrumentList, Reject>> {
        let _ = (path, body);
        None
    }

    /// The request for trades of a kind that a stream has missed, from an id on, oldest first; where the venue knows no ids
    /// for it, for its latest ones. `None`: it has no such answer.
    fn trades_request(&self, kind: StreamKind, symbol: &str, from: i64) -> Option<TradesRequest> {
        let _ = (kind, symbol, from);
        None
    }

    /// Whether that wants the user's key.
    fn trades_need_key(&self, kind: StreamKind) -> bool {
        let _ = kind;
        false
    }

    /// The request for the latest trades of such a kind, which wants no key. `None`: there is none, or none is needed.
    fn latest_trades_request(&self, kind: StreamKind, symbol: &str) -> Option<TradesRequest> {
        let _ = (kind, symbol);
        None
    }

    /// Reads trades by REST and says each of them, whether it is known or not.
    ///
    /// # Errors
    /// [`Reject`]: nothing of the faulty trade was said, or the body is none.
    fn decode_trades(
        &self,
        scratch: &mut Scratch,
        symbol: &str,
        body: &[u8],
        ctx: &mut dyn DecodeCtx,
    ) -> Result<(), Reject> {
        let _ = (scratch, symbol, body, ctx);
        Ok(())
    }

    /// The request for the venue's own account of this address, for when it lets no connection in. `None`: it has none.
    fn ban_request(&self) -> Option<RestRequest> {
        None
    }

    /// Reads that account. `None`: the address is not banned.
    ///
    /// # Errors
    /// [`Reject`] if the body is none.
    fn parse_ban(&self, body: &[u8]) -> Result<Option<Ban>, Reject> {
        let _ = body;
        Err(Reject::new(RejectCause::Shape, "the venue has no account of addresses"))
    }

    /// What a body says of its request where the status line does not; `None`: nothing beyond the status.
    fn refusal(&self, status: u16, body: &[u8]) -> Option<RestRefusal> {
        let _ = (status, body);
        None
    }

    /// Headers that sign a request for `path` (with its query).
    fn sign(&self, path: &str, key: &Credentials) -> Vec<(&'static str, String)> {
        let _ = (path, key);
        Vec::new()
    }

    /// The request for the instrument list.
    fn instruments_request(&self) -> RestRequest;

    /// How often the list is asked for, seconds: as often as what it names comes and goes.
    fn instruments_every_s(&self) -> u32 {
        600
    }

    /// The request for the volumes by which markets are ranked. `None`: the venue has no such answer.
    fn volumes_request(&self) -> Option<RestRequest> {
        None
    }

    /// Symbols with their volume of the last 24 hours, whole units of whatever the venue ranks by (quote currency where
    /// it says). They choose what is recorded and are no data.
    ///
    /// # Errors
    /// [`Reject`] if the body of [`Venue::volumes_request`] is not one.
    fn parse_volumes(&self, body: &[u8]) -> Result<Vec<(String, u64)>, Reject> {
        let _ = body;
        Err(Reject::new(RejectCause::Shape, "the venue has no list of volumes"))
    }

    /// The request for the venue's clock. `now_ms` is ours (ms since the Unix epoch), for venues that want to be told.
    fn time_request(&self, now_ms: i64) -> RestRequest;

    /// The same under another path of the venue's documents, for where the first one is not served. `None`: there is one path.
    fn time_request_else(&self) -> Option<RestRequest> {
        None
    }

    /// Reads the instrument list.
    ///
    /// # Errors
    /// [`Reject`] if the body is not one; single faulty instruments are left out and counted in the result.
    fn parse_instruments(&self, body: &[u8]) -> Result<InstrumentList, Reject>;

    /// The venue's time in ns out of the body of [`Venue::time_request`].
    ///
    /// # Errors
    /// [`Reject`] if the body is not one.
    fn parse_time(&self, body: &[u8]) -> Result<i64, Reject>;
}

/// What a poll asks: `name` is its name in the configuration, `symbol` is empty where it is about the whole market.
pub fn poll_request(poll: &Poll, name: &str, symbol: &str) -> RestRequest {
    let path = poll.path.replace("{}", poll.arg_of(name).unwrap_or(""));
    let (before, after) = path.split_once("{symbol}").unwrap_or((&path, ""));
    let mut path = before.to_owned();
    crate::parse::url::encode_into(&mut path, symbol, "");
    path.push_str(after);
    RestRequest { path, weight: poll.weight }
}

/// Adds the names of polls to a list of channels.
fn list_polls(polls: &[Poll], known: &mut String) {
    for (n, p) in polls.iter().enumerate() {
        known.push_str(if n == 0 { "; by REST: " } else { ", " });
        known.push_str(&p.grammar());
    }
}

/// A key of the user's and its secret. The secret is in no debug text, and nothing but [`Venue::sign`] reads it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Goes over the wire.
    pub key: String,
    /// Never does.
    pub secret: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("key", &self.key).finish_non_exhaustive()
    }
}

/// An address that gets no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Until when, ns since the Unix epoch; 0 = the venue does not say.
    pub until: i64,
    /// Why, in the venue's words; "" = it does not say.
    pub reason: String,
}

/// What it says of a stream that it is subscribed to and brings nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// It speaks every so many seconds whatever happens: silence is proof.
    Paced(u32),
    /// It speaks within seconds on any venue that lives, because the whole market does or a clock makes it: without a
    /// first frame it is not served.
    Lively,
    /// It speaks when something happens, which may be never: only a stream that tells of the same events accuses it.
    Eventful,
    /// It speaks rarely, of what no other stream tells; nor does it accuse another one.
    Rare,
}

/// A family of channels, for those who ask what there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelInfo {
    /// Its grammar: `kline_<1m…1M>`, `depth[@500ms][@100ms]`; angle brackets hold a choice, square ones what may follow.
    pub grammar: String,
    /// A name of it that can be subscribed to.
    pub example: String,
    /// What a symbol of it may look like; `None`: it is about a whole market and takes no symbol.
    pub symbol: Option<&'static str>,
    /// What it carries.
    pub kind: StreamKind,
}

/// What the support of a venue rests on, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// The venue's documents and a simulator made after them.
    Documents,
    /// Recordings of the venue itself, with books that an independent reference made of them.
    Recordings,
}

/// An instrument list as read.
#[derive(Clone, Debug, Default)]
pub struct InstrumentList {
    /// Instruments in the list's order.
    pub instruments: Vec<InstrumentVersion>,
    /// Elements that could not be read.
    pub faulty: usize,
    /// Request weight per minute that the list states, 0 if it does not.
    pub weight_per_minute: u32,
}
