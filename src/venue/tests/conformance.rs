//! What every venue of the registry must keep, known or yet to come.

use super::{by_url, fixtures, subject, venue};
use crate::model::instrument::SYMBOL_BYTES_MAX;
use crate::model::{ConnPlan, Hosts, PlanError, RestKind, StreamKind, StreamSpec};
use crate::parse::Scratch;
use crate::venue::testing::MemoryCtx;
use crate::venue::{Venue, all, by_id};

const ODD_SYMBOLS: [&str; 7] =
    ["BTCUSDT", "龙虾USDT", "B-MONEYUSDT", "1000", "..", "A B%20?&#+\"\\", "'; DROP TABLE"];

#[test]
fn slugs_are_unique_and_found() {
    for (n, v) in all().iter().enumerate() {
        let id = v.spec().id;
        let (ix, found) = by_id(id).unwrap();
        assert_eq!(usize::from(ix.0), n);
        assert_eq!(found.spec().id, id);
        assert!(id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{id}");
    }
    assert!(by_id("nobody").is_none());
}

#[test]
fn numbers_of_a_venue_make_sense() {
    for v in all() {
        let s = v.spec();
        assert!(s.rest.starts_with("https://") && !s.rest.ends_with('/'), "{}", s.id);
        assert!(s.ws.starts_with("wss://") && !s.ws.ends_with('/'), "{}", s.id);
        assert!(s.rotate_after_s < s.conn_age_max_s && s.probe_after_s < s.dead_after_s, "{}", s.id);
        assert!(
            s.streams_per_conn_max > 0 && s.url_bytes_max > 500 && s.client_messages_per_s > 0,
            "{}",
            s.id
        );
        assert!(v.snapshot_request("BTCUSDT").weight <= s.weight_per_minute / 20, "{}", s.id);
        assert!(
            !s.channels_default.is_empty() && s.weight_header == s.weight_header.to_lowercase(),
            "{}",
            s.id
        );
    }
    assert_eq!(venue("binance-usdm").spec().weight_group, venue("binance-coinm").spec().weight_group);
    assert_ne!(venue("binance-usdm").spec().weight_group, venue("binance-spot").spec().weight_group);
}

#[test]
fn channels_are_told_and_their_examples_can_be_subscribed_to() {
    for v in all() {
        let (id, channels) = (v.spec().id, v.channels());
        assert!(!channels.is_empty(), "{id}");
        for c in &channels {
            let s = v.stream(&c.example, c.symbol);
            let s = s.unwrap_or_else(|e| panic!("{id}: {c:?}: {e}"));
            assert_eq!(s.kind, c.kind, "{id}: {c:?}");
            assert!(c.grammar.len() >= 2 && c.symbol.is_some() == (s.name != s.channel), "{id}: {c:?}");
        }
        for channel in v.spec().channels_default {
            let kind = v.stream(channel, Some("BTCUSDT")).unwrap().kind;
            assert!(channels.iter().any(|c| c.kind == kind), "{id}: {channel}");
        }
    }
}

#[test]
fn default_channels_come_back_from_their_names() {
    for v in all() {
        for channel in v.spec().channels_default {
            for symbol in ODD_SYMBOLS {
                let s = v.stream(channel, Some(symbol)).unwrap();
                assert_eq!(s.channel, *channel);
                assert_eq!(v.parse_stream(&s.name).as_ref(), Some(&s), "{}", v.spec().id);
                let plan = v.plan(std::slice::from_ref(&s), &Hosts::default()).unwrap();
                assert_eq!(plan.len(), 1);
                assert_eq!(plan[0].streams, [s]);
            }
        }
    }
}

/// Streams of all fixtures: every channel that was ever seen or documented.
fn fixture_streams(v: &dyn Venue) -> Vec<StreamSpec> {
    fixtures::of(v)
        .iter()
        .filter(|f| !f.stream.is_empty())
        .map(|f| v.parse_stream(&f.stream).unwrap_or_else(|| panic!("{}: {}", v.spec().id, f.stream)))
        .collect()
}

#[test]
fn every_stream_of_the_fixtures_comes_back_from_its_parts() {
    for v in all() {
        for s in fixture_streams(*v) {
            let again = v.stream(&s.channel, Some(&subject(*v, &s.name))).unwrap();
            assert_eq!(again, s, "{}", v.spec().id);
        }
        let kinds: Vec<StreamKind> = fixture_streams(*v).iter().map(|s| s.kind).collect();
        for channel in v.spec().channels_default {
            let kind = v.stream(channel, Some("X_PERP")).unwrap().kind;
            assert!(kinds.contains(&kind), "{}: no fixture of {channel}", v.spec().id);
        }
    }
}

#[test]
fn a_planned_url_carries_its_streams_and_keeps_the_limits() {
    for v in by_url() {
        let streams: Vec<StreamSpec> = (0..700)
            .flat_map(|n| {
                v.spec()
                    .channels_default
                    .iter()
                    .map(move |c| v.stream(c, Some(&format!("龙{n}USDT"))).unwrap())
            })
            .collect();
        let hosts = Hosts { ws: Some("ws://127.0.0.1:9000/".to_owned()), ..Hosts::default() };
        let plans = v.plan(&streams, &hosts).unwrap();
        let mut names: Vec<String> = Vec::new();
        for ConnPlan { url, streams, subscribe } in &plans {
            assert!(url.len() <= v.spec().url_bytes_max && url.is_ascii(), "{url}");
            assert!(streams.len() <= v.spec().streams_per_conn_max && !streams.is_empty());
            assert!(subscribe.is_empty());
            assert!(url.starts_with("ws://127.0.0.1:9000/") && !url.contains("9000//"), "{url}");
            let (_, query) = url.split_once("/stream?streams=").unwrap();
            let in_url: Vec<String> =
                query.split('/').map(|n| crate::parse::url::decode(n).unwrap()).collect();
            assert_eq!(in_url, streams.iter().map(|s| s.name.clone()).collect::<Vec<_>>());
            names.extend(in_url);
        }
        names.sort();
        let mut wanted: Vec<String> = streams.iter().map(|s| s.name.clone()).collect();
        wanted.sort();
        assert_eq!(names, wanted, "{}", v.spec().id);
        // The same stream asked for twice is one stream; no streams are no connections.
        let twice = [streams[0].clone(), streams[0].clone()];
        assert_eq!(v.plan(&twice, &Hosts::default()).unwrap()[0].streams.len(), 1);
        assert_eq!(v.plan(&[], &Hosts::default()), Ok(Vec::new()));
    }
}

/// Where messages subscribe, each stream is on one connection and named by its messages, and texts stay texts.
#[test]
fn planned_messages_name_their_streams_and_keep_the_limits() {
    for v in all().iter().filter(|v| !super::names_streams_in_url(**v)) {
        let symbols: Vec<String> = (0..130).map(|n| format!("\"{n}\\龙/USDT")).collect();
        let mut streams: Vec<StreamSpec> = Vec::new();
        for channel in v.spec().channels_default {
            streams.extend(symbols.iter().map(|s| v.stream(channel, Some(s)).unwrap()));
        }
        let hosts = Hosts { ws: Some("ws://127.0.0.1:9000/".to_owned()), ..Hosts::default() };
        let plans = v.plan(&streams, &hosts).unwrap();
        let mut planned: Vec<&StreamSpec> = plans.iter().flat_map(|p| &p.streams).collect();
        let mut wanted: Vec<&StreamSpec> = streams.iter().collect();
        planned.sort_by(|a, b| a.name.cmp(&b.name));
        wanted.sort_by(|a, b| a.name.cmp(&b.name));
        wanted.dedup();
        assert_eq!(planned, wanted, "{}", v.spec().id);
        for p in &plans {
            assert!(p.streams.len() <= v.spec().streams_per_conn_max && !p.subscribe.is_empty());
            assert!(p.url.starts_with("ws://127.0.0.1:9000/") && !p.url.contains("9000//"), "{}", p.url);
            let said: Vec<String> =
                p.subscribe.iter().map(|m| texts(&serde_json::from_str(m).unwrap())).collect();
            for s in &p.streams {
                let subject = subject(*v, &s.name);
                assert!(said.iter().any(|m| m.contains(&subject)), "{}: {}", v.spec().id, s.name);
            }
        }
        assert_eq!(v.plan(&[], &Hosts::default()), Ok(Vec::new()));
    }
}

/// All texts of a message.
fn texts(v: &serde_json::Value) -> String {
    match v {
        serde_json::Value::String(s) => s.clone(),
        serde_json::Value::Array(a) => a.iter().map(texts).collect::<Vec<_>>().join(" "),
        serde_json::Value::Object(o) => o.values().map(texts).collect::<Vec<_>>().join(" "),
        _ => String::new(),
    }
}

#[test]
fn usdm_streams_go_to_their_routes() {
    let v = venue("binance-usdm");
    let of = |c: &str| v.stream(c, Some("BTCUSDT")).unwrap();
    let public = ["depth@0ms", "depth5", "bookTicker", "!bookTicker", "trade", "rpiDepth@500ms"].map(of);
    let market =
        ["aggTrade", "markPrice@1s", "!ticker@arr", "kline_1M", "forceOrder", "tradingSession"].map(of);
    let all: Vec<StreamSpec> = public.iter().zip(&market).flat_map(|(a, b)| [a.clone(), b.clone()]).collect();
    let plans = v.plan(&all, &Hosts::default()).unwrap();
    assert_eq!(plans.len(), 2);
    assert!(plans[0].url.starts_with("wss://fstream.binance.com/public/stream?streams=btcusdt@depth@0ms/"));
    assert!(plans[1].url.starts_with("wss://fstream.binance.com/market/stream?streams=btcusdt@aggTrade/"));
    assert_eq!(plans[0].streams, public);
    assert_eq!(plans[1].streams, market);
    let aster = venue("aster-futures");
    let s = aster.stream("depth@100ms", Some("龙虾USDT")).unwrap();
    assert_eq!(
        aster.plan(&[s], &Hosts::default()).unwrap()[0].url,
        "wss://fstream.asterdex.com/stream?streams=%E9%BE%99%E8%99%BEusdt@depth@100ms"
    );
}

#[test]
fn two_chains_of_one_book_are_refused() {
    for v in by_url() {
        let of = |c: &str, s: &str| v.stream(c, Some(s)).unwrap();
        let plan = |streams: &[StreamSpec]| v.plan(streams, &Hosts::default());
        let refused = plan(&[of("depth@100ms", "BTCUSDT"), of("depth", "BTCUSDT")]);
        assert!(matches!(refused, Err(PlanError::TwoChains { .. })), "{}: {refused:?}", v.spec().id);
        let refused = plan(&[of("depth5", "BTCUSDT"), of("depth20@100ms", "BTCUSDT")]);
        assert!(matches!(refused, Err(PlanError::TwoChains { .. })), "{}: {refused:?}", v.spec().id);
        let fine = [of("depth@100ms", "BTCUSDT"), of("depth5", "BTCUSDT"), of("depth", "ETHUSDT")];
        assert!(plan(&fine).is_ok(), "{}", v.spec().id);
    }
}

#[test]
fn channels_and_symbols_that_cannot_be_are_refused() {
    for v in by_url() {
        let id = v.spec().id;
        for channel in
            ["", "depth@7ms", "depth@100ms@100ms", "depth6", "kline_", "kline_1x", "aggtrade", "user"]
        {
            match v.stream(channel, Some("BTCUSDT")) {
                Err(e @ PlanError::UnknownChannel { .. }) => {
                    let text = e.to_string();
                    assert!(
                        text.contains(id) && text.contains("depth") && text.contains("aggTrade"),
                        "{text}"
                    );
                }
                got => panic!("{id}: {channel:?} gave {got:?}"),
            }
        }
        let long = "X".repeat(SYMBOL_BYTES_MAX + 1);
        for symbol in ["", "../x", "a/b", "a@b", "a\nb", "a\0b", &long] {
            let got = v.stream("aggTrade", Some(symbol));
            assert!(matches!(got, Err(PlanError::BadSymbol { .. })), "{id}: {symbol:?} gave {got:?}");
        }
        assert!(matches!(v.stream("aggTrade", None), Err(PlanError::BadSymbol { .. })), "{id}");
        assert!(v.stream("aggTrade", Some(&"X".repeat(SYMBOL_BYTES_MAX))).is_ok(), "{id}");
        for name in [
            "",
            "@",
            "btcusdt",
            "@aggTrade",
            "btcusdt@",
            "btcusdt@aggtrade",
            "btcusdt@!miniTicker@arr",
            "!x@arr",
        ] {
            assert_eq!(v.parse_stream(name), None, "{id}: {name}");
        }
        assert_eq!(v.stream("!miniTicker@arr", None).unwrap().symbol, None, "{id}");
    }
}

#[test]
fn pairs_and_contracts_of_coinm() {
    let v = venue("binance-coinm");
    let name = |c: &str, s: &str| v.stream(c, Some(s)).map(|s| (s.name, s.symbol));
    assert_eq!(name("indexPrice", "BTCUSD_PERP"), Ok(("btcusd@indexPrice".to_owned(), None)));
    assert_eq!(name("markPrice", "BTCUSD"), Ok(("btcusd@markPrice".to_owned(), None)));
    let perp = Some("BTCUSD_PERP".to_owned());
    assert_eq!(name("markPrice", "BTCUSD_PERP"), Ok(("btcusd_perp@markPrice".to_owned(), perp)));
    let continuous = "btcusd_perpetual@continuousKline_1m".to_owned();
    assert_eq!(name("continuousKline_1m", "BTCUSD_PERP"), Ok((continuous.clone(), None)));
    assert_eq!(name("continuousKline_1m", "BTCUSD"), Ok((continuous, None)));
    assert!(name("continuousKline_1m", "BTCUSD_260925").is_err());
    assert_eq!(v.parse_stream("btcusd_perp@indexPrice"), None);
}

#[test]
fn a_symbol_stays_as_the_venue_writes_it() {
    for v in all() {
        for channel in v.spec().channels_default.iter().filter(|c| !v.is_market(c)) {
            let s = v.stream(channel, Some("1e5aUSDT_PERP")).unwrap();
            assert_eq!(s.symbol.as_deref(), Some("1e5aUSDT_PERP"), "{}", s.name);
        }
        let r = v.snapshot_request("1e5aUSDT_PERP");
        assert_eq!(v.rest_kind(&r.path), RestKind::Depth { symbol: "1e5aUSDT_PERP".to_owned() });
    }
    assert_eq!(
        venue("binance-spot").stream("trade", Some("1e5aUSDT_PERP")).unwrap().name,
        "1e5ausdt_perp@trade"
    );
}

#[test]
fn zero_ms_falls_back_on_aster_only() {
    assert_eq!(venue("aster-futures").fallback("depth@0ms"), Some("depth@100ms"));
    assert_eq!(venue("aster-futures").fallback("depth@100ms"), None);
    assert_eq!(venue("binance-usdm").fallback("depth@0ms"), None);
    for v in all() {
        for channel in v.spec().channels_default {
            assert_eq!(v.fallback(channel), None, "{}", v.spec().id);
        }
    }
}

#[test]
fn a_request_explains_itself() {
    for v in all() {
        assert_eq!(v.rest_kind(&v.instruments_request().path), RestKind::Instruments);
        assert_eq!(v.rest_kind(&v.time_request(1_790_000_000_000).path), RestKind::Time);
        for symbol in ODD_SYMBOLS {
            let r = v.snapshot_request(symbol);
            assert!(r.path.is_ascii(), "{}", r.path);
            for url in [r.path.clone(), format!("{}{}", v.spec().rest, r.path)] {
                let RestKind::Depth { symbol: read } = v.rest_kind(&url) else { panic!("{url}") };
                assert_eq!(read, symbol, "{url}");
            }
        }
    }
    for v in by_url() {
        for symbol in ODD_SYMBOLS {
            let r = v.snapshot_request(symbol);
            assert!(r.path.ends_with("&limit=1000"), "{}", r.path);
        }
        for url in [
            "",
            "/",
            "/depth",
            "/x/v1/depth?symbol=A",
            "/api/vx/depth?symbol=A",
            "https://h",
            "/fapi/v1/depth?limit=5",
        ] {
            assert_eq!(v.rest_kind(url), RestKind::Other, "{url}");
        }
    }
    let usdm = venue("binance-usdm");
    assert_eq!(
        usdm.rest_kind("/fapi/v1/depth?limit=5&symbol=BTCUSDT"),
        RestKind::Depth { symbol: "BTCUSDT".into() }
    );
    assert_eq!(usdm.rest_kind("/api/v3/depth?symbol=BTCUSDT"), RestKind::Other);
    assert_eq!(usdm.snapshot_request("BTCUSDT").path, "/fapi/v1/depth?symbol=BTCUSDT&limit=1000");
    assert_eq!(usdm.snapshot_request("BTCUSDT").weight, 20);
    assert_eq!(venue("binance-spot").snapshot_request("BTCUSDT").weight, 50);
    assert_eq!(
        venue("aster-futures").snapshot_request("BTCUSDT").path,
        "/fapi/v3/depth?symbol=BTCUSDT&limit=1000"
    );
}

#[test]
fn the_venues_clock_is_read() {
    for v in all() {
        for body in [&b""[..], b"{}", b"[]", b"5", b"{\"serverTime\":1", b"{\"code\":0,\"data\":{", b"\xff"] {
            assert!(v.parse_time(body).is_err(), "{}", String::from_utf8_lossy(body));
        }
    }
    for v in by_url() {
        assert_eq!(v.parse_time(br#"{"serverTime":1499827319559}"#), Ok(1_499_827_319_559_000_000));
        for body in [
            &b""[..],
            b"{}",
            b"[]",
            b"{\"serverTime\":\"1\"}",
            b"{\"serverTime\":0}",
            b"{\"serverTime\":1",
            b"\xff",
        ] {
            assert!(v.parse_time(body).is_err(), "{}", String::from_utf8_lossy(body));
        }
    }
}

/// After the buffers have grown, reading goes on in the same memory: what a frame says does not depend on what was
/// read before it.
#[test]
fn scratch_carries_nothing_from_frame_to_frame() {
    for v in all() {
        let fixtures = fixtures::of(*v);
        let mut scratch = Scratch::default();
        for f in fixtures.iter().chain(fixtures.iter().rev()) {
            let mut lines = 0;
            let mut ctx = MemoryCtx::new(|_| lines += 1);
            f.streams().iter().for_each(|s| assert!(ctx.subscribe(*v, s)));
            assert_eq!(v.decode(&mut scratch, f.combined().as_bytes(), None, &mut ctx), Ok(()));
            assert_eq!(lines, f.events.len());
            let mut ctx = MemoryCtx::new(|_| panic!("a broken frame said something"));
            assert!(v.decode(&mut scratch, b"{\"stream\":", None, &mut ctx).is_err());
        }
    }
}

/// The folder of a venue is the one with its fixtures; what its README must hold is in `docs/adding-a-venue.md`.
#[test]
fn every_venue_has_a_readme_with_evidence_questions_and_what_to_look_at_live() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/venue");
    for v in all() {
        let id = v.spec().id;
        let fixtures = format!("fixtures/{id}.txt");
        let mut folders = std::fs::read_dir(&root).unwrap().map(|e| e.unwrap().path());
        let folder = folders.find(|f| f.join(&fixtures).is_file()).unwrap_or_else(|| panic!("no {fixtures}"));
        let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
        let probe = format!("lobtape probe --venue {id}");
        let chapters = ["| evidence |", "doc", "Open questions", "first live day", "ixtures"];
        for word in [id, &probe].into_iter().chain(chapters) {
            // One of the tables has a column for each product instead.
            assert!(
                readme.contains(word) || word == "| evidence |" && readme.contains("recorded |"),
                "{id}: {word:?}"
            );
        }
        for c in v.channels() {
            let end = c.example.find(|c: char| "@_:,".contains(c) || c.is_ascii_digit());
            let word = &c.example[..end.unwrap_or(c.example.len())];
            assert!(readme.contains(&format!("`{word}")), "{id}: its README does not speak of {word}");
        }
    }
}
