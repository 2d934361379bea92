//! What tables and columns mean, in words, for whoever opens a dataset without the network. The generated `README.md` is
//! made of it.

use super::schema::{Level, Table};

type Docs = (Table, &'static str, &'static [(&'static str, &'static str)]);

/// Columns of every table.
const HEAD_DOCS: &[(&str, &str)] = &[
    (
        "row",
        "order of truth: strictly increasing per instrument (or lane) and table within a UTC day, over all its files",
    ),
    ("instrument", "`<venue>:<symbol>`, also where a file was moved; \"\" where a row concerns none"),
    ("ts_recv", "our clock, user space: the read that completed the frame, before parsing"),
    ("ts_kernel", "kernel receive time of that read's last segment"),
    ("ts_event", "the venue's clock: matching or transaction time"),
    ("ts_send", "the venue's clock: when the message was made"),
    ("conn", "connection: the time it was opened, unique for ever"),
    (
        "rseq",
        "receive sequence on that connection, without gaps: `(conn, rseq)` names one frame of `raw`, whose `stream` says where the row is from; -1 for what was not received",
    ),
    ("flags", "bits, see Flags"),
];

const TOP_DOCS: &[(&str, &str)] = &[
    ("interval_ns", "length of the bucket, 0 = every change, -1 = the venue's own push"),
    ("seq_last", "last update id"),
    ("book_epoch", "as in `book_delta`; 0 for the venue's own pushes"),
    ("bid_px_00 … bid_px_19", "bid prices, best first; null where there is no level"),
    ("ask_px_00 … ask_px_19", "ask prices, best first"),
    ("bid_sz_00 … bid_sz_19", "sizes of the bids"),
    ("ask_sz_00 … ask_sz_19", "sizes of the asks"),
    ("bid_horizon", "price down to which bids are known completely; null = not known"),
    ("ask_horizon", "price up to which asks are known completely; null = not known"),
];

const MARKET: &[Docs] = &[
    (
        Table::BookDelta,
        "The order book as it was sent: one row per level entry, in the order of application.",
        &[
            ("seq_first", "first update id of the message"),
            ("seq_last", "last update id of the message"),
            ("seq_prev", "update id that the message says it follows"),
            (
                "book_epoch",
                "life of the book: a new one, greater, at each snapshot and each loss; carried rows keep it, but for those of a book that comes back after a long gap",
            ),
            ("side", "1 bid, -1 ask, 0 none (an empty diff, an empty snapshot or a CLEAR)"),
            ("price", "price of the level; null with side 0"),
            ("size", "new size of the level, 0 removes it; null with side 0"),
        ],
    ),
    (
        Table::BookTop,
        "Our own book, best 20 levels a side: at most one row per bucket, when it changed; nothing while it is not proven.",
        TOP_DOCS,
    ),
    (Table::BookPartial, "The venue's own pushes of the best levels.", TOP_DOCS),
    (
        Table::Bbo,
        "The venue's own best bid and ask.",
        &[
            ("seq_last", "update id"),
            ("bid_px_00", "best bid"),
            ("ask_px_00", "best ask"),
            ("bid_sz_00", "its size"),
            ("ask_sz_00", "its size"),
        ],
    ),
    (
        Table::Trades,
        "Trades, single ones and the venue's aggregates.",
        &[
            ("trade_id", "the venue's id; of an aggregate, that of its first trade"),
            ("trade_id_last", "id of the last trade of an aggregate"),
            ("trade_id_text", "ids that are no numbers; the own id of an aggregate"),
            ("side", "side of the taker: 1 buy, -1 sell, 0 not known"),
            ("price", "price"),
            ("size", "size"),
            ("trade_type", "market, liquidation, adl, insurance, block, unknown"),
            ("is_aggregate", "whether the row stands for several trades of one order"),
        ],
    ),
    (
        Table::Mark,
        "Mark and index prices with the funding rate.",
        &[
            ("mark_px", "mark price"),
            ("index_px", "index price"),
            ("settle_px", "estimated settlement price"),
            ("funding_rate", "funding rate of the running period"),
            ("ts_next_funding", "when it is paid next"),
        ],
    ),
    (
        Table::Liquidations,
        "Forced orders. The venues send a sample: at most one per symbol and second.",
        &[
            ("side", "side of the forced order: 1 buy, -1 sell"),
            ("order_type", "the venue's word"),
            ("tif", "time in force, the venue's word"),
            ("price", "price of the order"),
            ("avg_price", "average price of its fills"),
            ("size", "size of the order"),
            ("last_filled", "size of the last fill"),
            ("filled", "size of all fills"),
            ("status", "the venue's word"),
        ],
    ),
    (
        Table::Tickers,
        "The venue's statistics of a rolling window, mostly 24 hours.",
        &[
            ("open", "first price"),
            ("high", "highest price"),
            ("low", "lowest price"),
            ("last", "last price"),
            ("last_size", "size of the last trade"),
            ("volume", "volume in the base asset or in contracts"),
            (
                "quote_volume",
                "volume in the quote asset; null for inverse contracts, whose turnover is stated in the base asset",
            ),
            ("trade_count", "trades"),
            ("ts_open", "begin of the window"),
            ("ts_close", "end of the window"),
        ],
    ),
    (
        Table::Klines,
        "Candles as pushed, also those that are not closed yet.",
        &[
            ("interval", "1m, 1h, …; `1d@+08:00` where days begin in another time zone"),
            ("ts_open", "begin of the candle"),
            ("ts_close", "end of the candle"),
            ("open", "first price"),
            ("high", "highest price"),
            ("low", "lowest price"),
            ("close", "last price so far"),
            ("volume", "volume in the base asset or in contracts"),
            (
                "quote_volume",
                "volume in the quote asset; null for inverse contracts, whose turnover is stated in the base asset",
            ),
            ("taker_volume", "of `volume`, what takers bought"),
            ("taker_quote_volume", "of `quote_volume`, what takers bought"),
            ("trade_count", "trades"),
            ("trade_id_first", "id of the first trade"),
            ("trade_id_last", "id of the last trade"),
            ("is_closed", "whether the candle is final"),
        ],
    ),
    (Table::OpenInterest, "Open interest.", &[("open_interest", "open positions, in the venue's unit")]),
    (
        Table::Funding,
        "Funding that was paid.",
        &[("funding_rate", "rate"), ("ts_funding", "when it was paid")],
    ),
    (
        Table::Instruments,
        "What the venue lists: one row per version of an instrument.",
        &[
            ("base", "base asset"),
            ("quote", "quote asset"),
            ("settle", "asset of profit and loss"),
            ("contract_type", "the venue's word"),
            ("is_inverse", "whether sizes are contracts of quote value, settled in the base asset"),
            ("status", "the venue's word"),
            ("price_exp", "decimals of prices: price x 10^price_exp is a whole number"),
            ("size_exp", "decimals of sizes"),
            ("tick_size", "least price step"),
            ("step_size", "least size step"),
            ("min_notional", "least value of an order"),
            ("contract_size", "value of one contract"),
            ("ts_expiry", "when it expires"),
            ("ts_valid_from", "since when this version is in force, by our clock"),
            (
                "ts_valid_to",
                "until when, where it was known when the row was written; 0 = not known: the instrument's next `ts_valid_from` ends it",
            ),
            ("source", "venue (its list), observed (a frame had more decimals than the list says)"),
            ("raw_json", "the venue's entry as it was sent"),
        ],
    ),
];

const OWN: &[Docs] = &[
    (
        Table::Raw,
        "Every record: frames as received, REST bodies, what we sent, and what changed the recorder's state. All other tables can be made again from it (`lobtape rebuild`).",
        &[
            ("lane", "reader thread; 0 is the control thread"),
            ("lane_seq", "number of the record in its lane, without gaps"),
            ("ts_mono", "monotonic clock at the read"),
            (
                "kind",
                "frame, rest, sent, timer, subscription, config, instrument, connection, gap, clock, latency, checkpoint, run, stop",
            ),
            ("stream", "the venue's stream name"),
            ("url", "address of a connection or of a request"),
            ("status", "HTTP status of a REST body, 0 = there was no answer"),
            (
                "payload",
                "the bytes as they came; text in DuckDB: `decode(payload)`, in Polars: `.cast(pl.String)`",
            ),
        ],
    ),
    (
        Table::Coverage,
        "What is proven: stretches of a stream in which nothing is missing.",
        &[
            ("stream", "the venue's stream name"),
            ("leg", "0, or 1 for the second connection of the same streams"),
            ("ts_begin", "begin, by our clock"),
            ("ts_end", "end; 0 = still open"),
            ("proof", "ids (the venue's ids follow each other), heartbeat (the connection was alive)"),
            ("id_first", "first id"),
            ("id_last", "last id"),
            ("rseq_begin", "first frame, of `conn`; -1 = nothing came, or another connection brought it"),
            ("rseq_end", "last frame, of `conn`, which is the connection that brought it"),
            (
                "end_cause",
                "why it ends: a cause of `gaps`, boundary (it goes on in the next file), unsubscribed",
            ),
        ],
    ),
    (
        Table::Gaps,
        "What is not proven, and why. A stretch over a file's boundary stands in both files; one over days without any record \
         stands in the files of its last day alone.",
        &[
            ("stream", "the venue's stream name"),
            ("cause", "see Causes of gaps"),
            ("seq_before", "last id before the gap; missing are those above it"),
            ("seq_after", "last missing id"),
            ("ts_begin", "begin, by our clock"),
            ("ts_end", "end; 0 = still open"),
            ("rseq_before", "last frame before"),
            ("rseq_after", "first frame after"),
            ("epoch_before", "`book_epoch` before, 0 = none"),
            ("epoch_after", "`book_epoch` after, 0 = none"),
            ("detector", "what found it: ids, close, watchdog, subscription, recovery, audit"),
            (
                "recovered_by",
                "what ended it: ids, snapshot, reconnect, frame, acknowledgement; listing: the symbol is gone; backfill, \
                 backfill_partly: trades by REST",
            ),
            ("detail", "for people"),
        ],
    ),
    (
        Table::Connections,
        "What happened to each connection.",
        &[
            ("stream", "\"\" for the whole connection"),
            ("leg", "0, or 1 for the second connection of the same streams"),
            ("url", "address"),
            ("event", "open, subscribed, ping, pong, retire, close, failed, …"),
            ("close_code", "WebSocket close code"),
            ("detail", "for people"),
        ],
    ),
    (
        Table::Races,
        "Two connections of the same streams (`legs = 2`): which one brought an event first. `conn` and `rseq` name the frame of the second one.",
        &[
            ("stream", "the venue's stream name"),
            ("seq_last", "id of the event, -1 where it has none"),
            ("conn_first", "connection that was first"),
            ("conn_second", "connection that was second"),
            ("lead_ns", "by how much"),
        ],
    ),
    (
        Table::Audits,
        "Proven books held against snapshots that were fetched for it (`audit_every`); `conn` and `rseq` name the snapshot, `ts_recv` is when the verdict was given. A book that differs is cleared there, its gap is `protocol_violation` found by `audit`; it may have been false since its last row that says equal.",
        &[
            ("seq", "update id of the snapshot"),
            (
                "levels_compared",
                "levels of either that both know, at the event that reaches the snapshot's id",
            ),
            ("levels_wrong", "of these, different ones"),
            ("worst_rank", "best rank of a level that differs, 0 = best price; -1 if none does"),
            (
                "verdict",
                "equal; equal_but_straddle: levels differ that the event behind the snapshot's id names, which are not compared; differs; not_comparable: older than the audit, ids of another count, or the book was lost meanwhile",
            ),
        ],
    ),
    (
        Table::Clock,
        "The recorder's clock, once a minute.",
        &[
            ("offset_ns", "offset from true time, as the kernel's clock discipline sees it"),
            ("max_error_ns", "its greatest error"),
            ("source", "kernel, kernel_unsynchronized, none"),
            ("step_ns", "by how much the clock was stepped since the row before"),
        ],
    ),
    (
        Table::Latency,
        "How long each hop took, per stream and minute.",
        &[
            ("stream", "the venue's stream name, \"\" for the whole lane"),
            (
                "hop",
                "venue_receive (two clocks, may be negative), kernel_read, read_ring, ring_parsed, parsed_applied, applied_journaled",
            ),
            ("count", "values"),
            ("min", "smallest, ns"),
            ("p50", "median, ns"),
            ("p90", "90th percentile, ns"),
            ("p99", "99th percentile, ns"),
            ("p999", "99.9th percentile, ns"),
            ("max", "greatest, ns"),
            ("histogram", "HdrHistogram V2, base64; negative values follow behind a comma, as magnitudes"),
        ],
    ),
    (
        Table::Rejects,
        "Frames that could not be read. They stand in `raw` as well.",
        &[
            ("cause", "malformed, limit, shape, number, unknown_stream, unknown_symbol, status"),
            ("detail", "what and where"),
            ("payload", "the frame"),
        ],
    ),
    (
        Table::Runs,
        "When the recorder ran, which version, with which configuration.",
        &[
            ("run_id", "names the run"),
            ("writer", "capture, import"),
            ("build", "version of the program"),
            ("host", "host name"),
            ("config_sha256", "SHA-256 of the configuration"),
            ("rules_version", "version of the rules that turn records into rows"),
            ("ts_start", "start"),
            ("ts_stop", "stop; 0 in the row of the start"),
            ("exit", "running, clean, failed: …"),
        ],
    ),
];

const FLAGS: &[(i32, &str, &str)] = &[
    (128, "LAST", "last row of its venue message"),
    (64, "TOB", "top-of-book message"),
    (32, "SNAPSHOT", "row of a snapshot"),
    (
        8,
        "BAD_TS_RECV",
        "the receive stamp is not to be trusted: reading had stopped, the recorder stood still (`ts_kernel` says when it was there), or the clock was set back",
    ),
    (4, "MAYBE_BAD_BOOK", "the book may be wrong"),
    (
        256,
        "CARRIED",
        "carried over so that the file opens with the whole book; leave out when counting updates",
    ),
    (512, "CROSSED", "the book was crossed after this message"),
    (1024, "BACKFILLED", "fetched later by REST"),
    (2048, "SECOND_LEG", "came over the second connection"),
    (
        4096,
        "BEYOND_HORIZON",
        "deeper than the snapshot reached: levels there are known only as far as they changed",
    ),
    (8192, "OFF_BOOK", "a trade that did not come from the book"),
    (16384, "INEXACT", "the double does not give back the venue's digits"),
    (32768, "UNVERIFIED_SEQ", "the venue's ids cannot prove that nothing is missing before this row"),
    (
        65536,
        "REPLAYED",
        "a diff received before what made it usable (a snapshot, or what the other leg brought); its own receive time is in `raw`",
    ),
    (131_072, "CLEAR", "the book stopped being proven: it is empty from here"),
    (262_144, "DERIVED_TS", "`ts_event` is no time that the venue stated: an id of the message holds it"),
];

const CAUSES: &[(&str, &str)] = &[
    ("venue_disconnect", "the connection was lost"),
    ("venue_seq_gap", "the venue's ids jump: frames are missing"),
    ("venue_maintenance", "the venue said that it is closed"),
    ("initial_sync", "from the start, or from subscribing, to the first proof"),
    ("resync_wait", "the book waits for a new snapshot"),
    ("rate_limited", "the request budget is used up"),
    ("subscribe_refused", "the venue refused the subscription"),
    ("silent_stream", "a stream stopped while its connection lived"),
    ("stale_timeout", "nothing came for longer than the venue may be silent"),
    ("tls_failure", "no trusted connection"),
    ("protocol_violation", "the venue broke its protocol"),
    ("limit_exceeded", "a message was larger than what is taken"),
    ("local_stall", "the recorder stood still or was too slow"),
    ("shed_disk", "the disk was full"),
    ("storage_error", "the disk failed"),
    ("storage_corruption", "stored bytes changed"),
    ("process_crash", "the recorder died; up to its next start"),
    ("power_loss", "the machine died; up to the next start"),
    (
        "clock_step",
        "the wall clock was set forward: these seconds were no time, nothing came and nothing is missing in them",
    ),
    ("operator", "the recorder was stopped, up to its next start, or told to stop this stream"),
];

fn docs(t: Table) -> Option<&'static Docs> {
    MARKET.iter().chain(OWN).find(|d| d.0 == t)
}

/// The columns of a doc's name: one, or `a_00 … a_19`.
fn names(doc: &str) -> Vec<String> {
    match doc.split_once(" … ") {
        None => vec![doc.to_owned()],
        Some((first, _)) => (0..20).map(|i| format!("{}{i:02}", &first[..first.len() - 2])).collect(),
    }
}

fn columns(text: &mut String, t: Table, list: &[(&str, &str)]) {
    text.push_str("| column | type | meaning |\n|---|---|---|\n");
    for (name, meaning) in list {
        let first = names(name).into_iter().next().unwrap_or_default();
        let ty = t.spec().columns.iter().find(|c| c.name == first).map_or("", |c| c.ty.word());
        text.push_str(&format!("| `{name}` | {ty} | {meaning} |\n"));
    }
}

/// Tables, columns, flags and causes as Markdown.
pub(super) fn markdown() -> String {
    let mut text = String::from("## Columns of every table\n\n");
    columns(&mut text, Table::Raw, HEAD_DOCS);
    text.push_str("\n## Flags\n\n| bit | name | meaning |\n|---|---|---|\n");
    for (bit, name, meaning) in FLAGS {
        text.push_str(&format!("| {bit} | `{name}` | {meaning} |\n"));
    }
    text.push_str("\n## Causes of gaps\n\n| cause | meaning |\n|---|---|\n");
    for (cause, meaning) in CAUSES {
        text.push_str(&format!("| `{cause}` | {meaning} |\n"));
    }
    text.push_str("\n## Tables\n\nEach has the columns of every table first, then its own.\n");
    for (t, what, list) in Table::ALL.into_iter().filter_map(docs) {
        let level = match t.spec().level {
            Level::Symbol => "by venue, symbol and date",
            Level::Venue => "by venue and date",
            Level::None => "by date",
        };
        text.push_str(&format!("\n### `{}`\n\n{what} Folders {level}.\n\n", t.name()));
        columns(&mut text, *t, list);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::schema::HEAD;
    use super::*;
    use crate::model::{GapCause, flags};

    #[test]
    fn every_column_of_every_table_has_a_meaning_in_the_order_of_the_file() {
        let head: Vec<&str> = HEAD_DOCS.iter().map(|d| d.0).collect();
        assert_eq!(head, HEAD.map(|c| c.name));
        for t in Table::ALL {
            let (_, what, list) = docs(t).unwrap_or_else(|| panic!("{}", t.name()));
            let mut told: Vec<String> = list.iter().flat_map(|d| names(d.0)).collect();
            let mut there: Vec<&str> = t.spec().columns[HEAD.len()..].iter().map(|c| c.name).collect();
            assert!(!what.is_empty() && list.iter().all(|d| !d.1.is_empty()), "{}", t.name());
            if t.spec().column("ask_sz_19").is_some() {
                // Level by level in the file, kind by kind here.
                told.sort_unstable();
                there.sort_unstable();
            }
            assert_eq!(told, there, "{}", t.name());
        }
    }

    #[test]
    fn every_flag_and_cause_has_a_meaning() {
        let causes: Vec<&str> = CAUSES.iter().map(|c| c.0).collect();
        assert_eq!(causes, GapCause::ALL.map(GapCause::as_str));
        let bit = |name: &str| FLAGS.iter().find(|f| f.1 == name).map(|f| f.0);
        for (name, value) in [
            ("LAST", flags::LAST),
            ("TOB", flags::TOB),
            ("SNAPSHOT", flags::SNAPSHOT),
            ("BAD_TS_RECV", flags::BAD_TS_RECV),
            ("MAYBE_BAD_BOOK", flags::MAYBE_BAD_BOOK),
            ("CARRIED", flags::CARRIED),
            ("CROSSED", flags::CROSSED),
            ("BACKFILLED", flags::BACKFILLED),
            ("SECOND_LEG", flags::SECOND_LEG),
            ("BEYOND_HORIZON", flags::BEYOND_HORIZON),
            ("OFF_BOOK", flags::OFF_BOOK),
            ("INEXACT", flags::INEXACT),
            ("UNVERIFIED_SEQ", flags::UNVERIFIED_SEQ),
            ("REPLAYED", flags::REPLAYED),
            ("CLEAR", flags::CLEAR),
            ("DERIVED_TS", flags::DERIVED_TS),
        ] {
            assert_eq!(bit(name), Some(value), "{name}");
        }
        assert_eq!(FLAGS.len(), 16);
    }
}
