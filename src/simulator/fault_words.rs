//! What each fault is, for people: one sentence and one flag to copy.

use super::faults::FaultKind::{self, *};

/// Kind, meaning, example of a flag. Held against [`FaultKind::ALL`] and the reader of flags by a test.
const WORDS: [(FaultKind, &str, &str); FaultKind::ALL.len()] = [
    (
        Drop,
        "frames of a stream are not sent (without stream: of one whose ids show it)",
        "drop@8000:stream=btcusdt@depth@100ms,frames=3",
    ),
    (Duplicate, "a frame is sent twice", "duplicate=0.001"),
    (Reorder, "a frame is sent after its successor", "reorder=0.001"),
    (
        Stall,
        "nothing is sent for a time, then all of it: a connection, or a stream",
        "stall@8000:for_ms=3000",
    ),
    (
        Cut,
        "a connection ends: how is rst, fin, close (with code), mid-frame or half-open",
        "cut@15000:how=close,code=1008",
    ),
    (Gap, "all frames of a symbol, or of all, are lost for a time", "gap@9000:symbol=BTCUSDT,for_ms=2000"),
    (StaleSnapshot, "snapshots show the book as it was at the start", "stale-snapshot:frames=2"),
    (LateSnapshot, "snapshots come late", "late-snapshot:for_ms=5000,frames=4"),
    (
        HoleSnapshot,
        "snapshots carry an id in the hole after the last diff (futures)",
        "hole-snapshot@5000:frames=1",
    ),
    (Http429, "REST: too many requests", "429@3000:for_ms=5000,retry_after_s=2"),
    (Http418, "REST: banned", "418@3000:for_ms=5000,retry_after_s=5"),
    (Http503, "REST: not available", "503@3000:for_ms=5000"),
    (Redirect, "REST: 302 to another host", "redirect@3000:for_ms=5000"),
    (TruncatedJson, "bodies of REST are cut in half", "truncated-json@3000:frames=2"),
    (
        Garbage,
        "a frame that is no JSON, or cut, or not UTF-8",
        "garbage@8000:stream=\"depth@btc_usdt,10\",frames=2",
    ),
    (UnknownEvent, "a well-formed event that nobody knows", "unknown-event@8000"),
    (
        ServerShutdown,
        "the venue announces its end and closes the connections that were open then",
        "server-shutdown@20000:for_ms=5000",
    ),
    (Refuse, "new connections are reset", "refuse@15000:for_ms=4000"),
    (ResetIds, "a frame with ids near zero, between good ones", "reset-ids@8000"),
    (HugeId, "a frame with ids beyond 64 bits, between good ones", "huge-id@8000"),
    (Raw, "bytes on the socket, between frames", "raw@8000:hex=82026162"),
    (
        RefuseSnapshot,
        "requests for a snapshot by message are answered with an error",
        "refuse-snapshot:frames=2",
    ),
    (
        OmitLevel,
        "a diff does not tell one of the levels that changed; its ids are whole",
        "omit-level@8000:symbol=BTCUSDT,frames=1",
    ),
    (NonAscii, "a symbol 龙虾USDT is traded from the start", "non-ascii"),
    (Delist, "a symbol is traded no more (with for_ms: comes back)", "delist@8000:symbol=ETHUSDT"),
    (
        Halt,
        "trading in a symbol stops, and the list says so by status",
        "halt@5000:symbol=ETHUSDT,status=BREAK,for_ms=20000",
    ),
    (List, "a symbol is traded from then on", "list@8000:symbol=NEWUSDT"),
    (Http403, "REST: the page of a firewall", "403@3000:for_ms=5000"),
    (Http439, "REST: the weight is used up", "439@3000:for_ms=5000"),
    (Denied, "REST: the key has no right to that", "denied@3000:for_ms=5000"),
    (ErrorReply, "a refusal that names no stream, between good frames", "error-reply@8000"),
    (Gzip, "a frame comes once more in gzip, as a binary one", "gzip@8000"),
    (Zlib, "a frame comes once more in zlib, as a binary one", "zlib@8000"),
    (Binary, "a frame comes once more as it is, but as a binary one", "binary@8000"),
    (
        RefuseSubscribe,
        "messages that subscribe are refused (code: of the venue's table)",
        "refuse-subscribe:frames=1,code=100009",
    ),
    (
        Mute,
        "a stream, a symbol or a connection is acknowledged and brings nothing, for a time or for ever",
        "mute:stream=btcusdt@trade",
    ),
    (
        CrossBook,
        "diffs in a row leave the book crossed, and the next one takes that back; their ids are whole",
        "cross-book@8000:symbol=BTCUSDT,frames=3",
    ),
    (Ban, "new connections are turned away with 429; REST is served", "ban@8000:for_ms=20000"),
];

/// Every kind with what it does and a flag to copy, two lines each.
pub fn help() -> String {
    WORDS
        .iter()
        .map(|(k, says, flag)| format!("  {:<16} {says}\n{:19}--fault {flag}\n", k.as_str(), ""))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::faults::FaultSpec;
    use super::*;

    #[test]
    fn every_fault_has_its_sentence_and_a_flag_that_is_one() {
        let kinds: Vec<FaultKind> = WORDS.iter().map(|w| w.0).collect();
        assert_eq!(kinds, FaultKind::ALL);
        for (kind, says, flag) in WORDS {
            assert_eq!(FaultSpec::parse(flag).unwrap().kind, kind, "{flag}");
            assert!(!says.is_empty() && help().contains(flag), "{flag}");
        }
    }
}
