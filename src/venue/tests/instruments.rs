//! Instrument lists: the shapes of 2021 and of today, and lists that are none.

use super::venue;
use crate::model::instrument::SYMBOL_BYTES_MAX;
use crate::model::{Dec, InstrumentVersion, RejectCause};
use crate::venue::InstrumentList;

fn list(id: &str, body: &str) -> InstrumentList {
    venue(id).parse_instruments(body.as_bytes()).unwrap()
}

fn find<'l>(l: &'l InstrumentList, symbol: &str) -> &'l InstrumentVersion {
    l.instruments.iter().find(|i| i.symbol == symbol).unwrap()
}

fn dec(m: i64, e: u8) -> Dec {
    Dec::new(m, e)
}

#[test]
fn usdm_of_2021() {
    let l = list("binance-usdm", include_str!("../binance/fixtures/exchangeInfo-usdm-20210722.json"));
    assert_eq!((l.instruments.len(), l.faulty, l.weight_per_minute), (5, 0, 2400));
    let btc = find(&l, "BTCUSDT");
    assert_eq!((btc.price_exp, btc.size_exp), (2, 3));
    assert_eq!((btc.tick_size, btc.step_size, btc.min_notional), (dec(1, 2), dec(1, 3), dec(5, 0)));
    assert_eq!((btc.base.as_str(), btc.quote.as_str(), btc.settle.as_str()), ("BTC", "USDT", "USDT"));
    assert_eq!((btc.contract_type.as_str(), btc.status.as_str()), ("PERPETUAL", "TRADING"));
    assert_eq!((btc.contract_size, btc.is_inverse, btc.ts_expiry), (dec(1, 0), false, 0));
    assert_eq!((btc.venue.as_str(), btc.source.as_str(), btc.ts_valid_from), ("binance-usdm", "venue", 0));
    let raw: serde_json::Value = serde_json::from_str(&btc.raw_json).unwrap();
    assert_eq!(raw["symbol"], "BTCUSDT");
    let quarter = l.instruments.iter().find(|i| i.contract_type == "CURRENT_QUARTER").unwrap();
    assert_eq!(quarter.ts_expiry, 1_632_470_400_000_000_000);
    let pending = l.instruments.iter().find(|i| i.status == "PENDING_TRADING").unwrap();
    assert_eq!(pending.contract_type, "");
}

#[test]
fn spot_of_2021_and_of_today() {
    let l = list("binance-spot", include_str!("../binance/fixtures/exchangeInfo-spot-20211012.json"));
    assert_eq!((l.faulty, l.weight_per_minute), (0, 1200));
    let eth = find(&l, "ETHBTC");
    assert_eq!((eth.price_exp, eth.size_exp, eth.min_notional), (6, 4, dec(1, 4)));
    assert_eq!((eth.contract_type.as_str(), eth.settle.as_str(), eth.contract_size), ("SPOT", "", Dec::NONE));
    assert!(l.instruments.iter().any(|i| i.status == "BREAK"));
    let l = list("binance-spot", include_str!("../binance/fixtures/exchangeInfo-spot-2026.json"));
    assert_eq!((l.instruments.len(), l.faulty, l.weight_per_minute), (2, 0, 6000));
    assert_eq!(find(&l, "ETHBTC").min_notional, dec(1, 4));
    // A tick of zero is no rule: the printed precision stands in.
    let odd = find(&l, "币安人生USDT");
    assert_eq!((odd.price_exp, odd.size_exp, odd.tick_size), (8, 0, dec(0, 0)));
}

#[test]
fn coinm_sizes_are_contracts() {
    let l = list("binance-coinm", include_str!("../binance/fixtures/exchangeInfo-coinm-2026.json"));
    assert_eq!((l.instruments.len(), l.faulty, l.weight_per_minute), (2, 0, 0));
    let btc = find(&l, "BTCUSD_260925");
    assert_eq!((btc.price_exp, btc.size_exp, btc.contract_size), (1, 0, dec(100, 0)));
    assert_eq!((btc.is_inverse, btc.status.as_str(), btc.settle.as_str()), (true, "TRADING", "BTC"));
    assert_eq!(btc.ts_expiry, 1_790_323_200_000_000_000);
    assert_eq!(btc.min_notional, Dec::NONE);
    assert_eq!(find(&l, "ETHUSD_PERP").ts_expiry, 0);
}

#[test]
fn aster_futures() {
    let l = list("aster-futures", include_str!("../aster/fixtures/exchangeInfo-futures-2026.json"));
    assert_eq!((l.instruments.len(), l.faulty, l.weight_per_minute), (2, 0, 2400));
    let doge = find(&l, "DOGEUSDT");
    assert_eq!((doge.base.as_str(), doge.price_exp, doge.size_exp), ("BLZ", 4, 0));
    assert_eq!((doge.min_notional, doge.contract_size), (dec(1, 0), dec(1, 0)));
    assert_eq!(
        (find(&l, "龙虾USDT").price_exp, find(&l, "龙虾USDT").status.as_str()),
        (7, "PENDING_TRADING")
    );
}

#[test]
fn aster_spot() {
    let l = list("aster-spot", include_str!("../aster/fixtures/exchangeInfo-spot-2026.json"));
    assert_eq!((l.instruments.len(), l.faulty, l.weight_per_minute), (2, 0, 6000));
    let bnb = find(&l, "BNBUSDT");
    assert_eq!((bnb.base.as_str(), bnb.quote.as_str(), bnb.contract_type.as_str()), ("BNB", "USDT", "SPOT"));
    assert_eq!(
        (bnb.price_exp, bnb.size_exp, bnb.min_notional, bnb.contract_size),
        (2, 3, dec(5, 0), Dec::NONE)
    );
    assert_eq!(find(&l, "TESTUSDT").price_exp, 7);
}

/// What the list says of events stands in the versions of their tokens.
#[test]
fn aster_prediction() {
    let l = list("aster-prediction", include_str!("../aster/fixtures/exchangeInfo-prediction-2026.json"));
    assert_eq!((l.instruments.len(), l.faulty), (5, 0));
    let facts = |s: &str| {
        let i = find(&l, s);
        (i.contract_type.as_str(), i.status.as_str(), i.ts_expiry)
    };
    let expiry = 1_778_483_580_000_000_000;
    assert_eq!(facts("BTC_UP_DOWN_5M_1778483280_YUSDT"), ("UP_DOWN", "TRADING", expiry));
    assert_eq!(facts("BTC_UP_DOWN_5M_1778483280_NUSDT"), ("UP_DOWN", "TRADING", expiry));
    assert_eq!(facts("BTC_UP_DOWN_5M_1778482980_YUSDT").1, "SETTLED");
    assert_eq!(facts("WHO_WINS_A_YUSDT"), ("MARKETONLY_MULTIPREDICT", "PREMARKET", 0));
    // A token of no event is an instrument all the same.
    assert_eq!(facts("ALONE_YUSDT"), ("PREDICTION", "TRADING", 0));
    let json = |s: &str| serde_json::from_str::<serde_json::Value>(&find(&l, s).raw_json).unwrap();
    let y = json("BTC_UP_DOWN_5M_1778483280_YUSDT");
    assert_eq!(y["symbolInfo"]["symbol"], "BTC_UP_DOWN_5M_1778483280_YUSDT");
    assert_eq!(
        (y["event"]["eventName"].as_str(), &y["event"]["rounds"]),
        (Some("BTC_UP_DOWN_5M"), &serde_json::Value::Null)
    );
    assert_eq!(y["market"]["windowStartTime"], 1_778_483_280_000_i64);
    assert_eq!(json("ALONE_YUSDT")["symbol"], "ALONE_YUSDT");
    // The part is missing in one of the venue's samples, and may be anything.
    for events in [
        "",
        r#","predictionEvents":null"#,
        r#","predictionEvents":[5,{"rounds":7,"liveRound":{"symbols":"x"}}]"#,
    ] {
        let body = format!(r#"{{"symbols":[{{"symbol":"A"}}]{events}}}"#);
        assert_eq!(list("aster-prediction", &body).instruments.len(), 1, "{events}");
    }
}

/// The lists whole, where the recordings are.
#[test]
fn whole_lists_have_no_faulty_element() {
    use std::io::Read;
    let meta = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("data/recordings/meta");
    for (file, id, count) in [
        ("binance-usdm_exchangeInfo_20210722.json.gz", "binance-usdm", 122),
        ("binance-spot_exchangeInfo_20211012.json.gz", "binance-spot", 1695),
    ] {
        let mut body = Vec::new();
        flate2::read::MultiGzDecoder::new(std::fs::File::open(meta.join(file)).unwrap())
            .read_to_end(&mut body)
            .unwrap();
        let l = venue(id).parse_instruments(&body).unwrap();
        assert_eq!((l.instruments.len(), l.faulty), (count, 0));
        let half = venue(id).parse_instruments(&body[..body.len() / 2]).unwrap_err();
        assert_eq!(half.cause, RejectCause::Malformed);
    }
}

#[test]
fn faulty_elements_are_left_out_and_counted() {
    let body = r#"{"rateLimits":[{"rateLimitType":"REQUEST_WEIGHT","interval":"SECOND","intervalNum":10,"limit":400},5,{}],
        "symbols":[{"symbol":"A","filters":[]},5,{},{"symbol":""},{"symbol":"a/b"},{"symbol":7},
        {"symbol":"B","filters":[{"filterType":"PRICE_FILTER","tickSize":"1e-5"}]},
        {"symbol":"C","filters":[{"filterType":"PRICE_FILTER","tickSize":"-1"}]},
        {"symbol":"D","filters":[{"filterType":"LOT_SIZE","stepSize":"0.0000000000000000001"}]},
        {"symbol":"E","pricePrecision":200},
        {"symbol":"F","contractSize":0},
        {"symbol":"G","filters":[{"filterType":"PRICE_FILTER","tickSize":0.5},{"filterType":7},8]}]}"#;
    let l = list("binance-usdm", body);
    assert_eq!(l.instruments.iter().map(|i| i.symbol.as_str()).collect::<Vec<_>>(), ["A", "G"]);
    assert_eq!((l.faulty, l.weight_per_minute), (10, 2400));
    assert_eq!(find(&l, "G").price_exp, 1);
}

/// What may be missing may be null; what may not, may not.
#[test]
fn a_null_is_a_key_that_is_missing() {
    for id in
        ["binance-usdm", "binance-coinm", "binance-spot", "aster-futures", "aster-spot", "aster-prediction"]
    {
        let body = r#"{"rateLimits":null,"symbols":[
            {"symbol":"A","baseAsset":null,"quoteAsset":null,"marginAsset":null,"contractType":null,"status":null,
             "contractStatus":null,"deliveryDate":null,"contractSize":null,"pricePrecision":null,
             "quantityPrecision":null,"baseAssetPrecision":null,"quoteAssetPrecision":null,"quotePrecision":null,
             "filters":null,"permissionSets":null},
            {"symbol":"A"},
            {"symbol":"B","filters":[null,{"filterType":null},{"filterType":"PRICE_FILTER","tickSize":null},
             {"filterType":"LOT_SIZE","stepSize":"0.01"},{"filterType":"MIN_NOTIONAL","notional":null,"minNotional":"5"}]},
            {"symbol":null,"baseAsset":"C"},null]}"#;
        let l = list(id, body);
        assert_eq!(
            l.instruments.iter().map(|i| i.symbol.as_str()).collect::<Vec<_>>(),
            ["A", "A", "B"],
            "{id}"
        );
        assert_eq!((l.faulty, l.weight_per_minute), (2, 0), "{id}");
        let said = |i: &InstrumentVersion| InstrumentVersion { raw_json: String::new(), ..i.clone() };
        assert_eq!(said(&l.instruments[0]), said(&l.instruments[1]), "{id}");
        let b = find(&l, "B");
        assert_eq!(
            (b.tick_size, b.step_size, b.min_notional, b.size_exp),
            (Dec::NONE, dec(1, 2), dec(5, 0), 2)
        );
        let nothing = venue(id).parse_instruments(br#"{"symbols":null}"#).unwrap_err();
        assert_eq!(nothing.cause, RejectCause::Shape, "{id}");
    }
    let body = r#"{"code":0,"data":[{"symbol":"BTC/USDT","priceFilter":null,"lotSizeFilter":null,"status":null},
        {"symbol":null}]}"#;
    for id in ["ascendex-spot", "ascendex-futures"] {
        let l = list(id, body);
        assert_eq!((l.instruments.len(), l.faulty), (1, 1), "{id}");
    }
}

/// Prediction markets ask in whole sentences.
#[test]
fn symbols_are_as_long_as_the_plain_name_of_a_directory() {
    for v in crate::venue::all() {
        for (len, is_taken) in [(76, true), (SYMBOL_BYTES_MAX, true), (SYMBOL_BYTES_MAX + 1, false)] {
            let symbol = "A".repeat(len);
            let id = v.spec().id;
            let channel = v.spec().channels_default[0];
            let stream = v.stream(channel, Some(&symbol));
            assert_eq!(stream.is_ok(), is_taken, "{id}: {len}");
            match stream {
                Ok(s) => {
                    assert_eq!(v.parse_stream(&s.name).and_then(|s| s.symbol), Some(symbol.clone()), "{id}")
                }
                Err(e) => assert!(e.to_string().contains(&SYMBOL_BYTES_MAX.to_string()), "{id}: {e}"),
            }
            let lists = match id {
                "pumpkin-perp" | "ascendex-spot" | "ascendex-futures" => {
                    format!(r#"{{"code":0,"data":[{{"symbol":"{symbol}"}}]}}"#)
                }
                _ if super::names_streams_in_url(*v) => format!(r#"{{"symbols":[{{"symbol":"{symbol}"}}]}}"#),
                _ => continue,
            };
            let l = list(id, &lists);
            assert_eq!(
                (l.instruments.len(), l.faulty),
                if is_taken { (1, 0) } else { (0, 1) },
                "{id}: {len}"
            );
        }
    }
}

#[test]
fn bodies_that_are_no_lists_have_their_cause() {
    for v in super::by_url() {
        for (body, cause) in [
            (&b""[..], RejectCause::Malformed),
            (b"{\"symbols\":[", RejectCause::Malformed),
            (b"\xff", RejectCause::Malformed),
            (b"{}", RejectCause::Shape),
            (b"{\"symbols\":5}", RejectCause::Shape),
            (br#"{"code":-1003,"msg":"Too many requests"}"#, RejectCause::Status),
        ] {
            assert_eq!(v.parse_instruments(body).map_err(|r| r.cause).err(), Some(cause));
        }
        let many = format!("{{\"symbols\":[{}]}}", vec!["1"; 20_001].join(","));
        assert_eq!(v.parse_instruments(many.as_bytes()).map_err(|r| r.cause).err(), Some(RejectCause::Limit));
    }
}

#[test]
fn markets_are_ranked_by_what_is_traded_in_a_day() {
    let of = |id: &str, body: &str| venue(id).parse_volumes(body.as_bytes()).unwrap();
    let day = |s: &str, n: u64| (s.to_owned(), n);
    // Futures print `baseVol`, spot `volume`, both in the base asset.
    let body = r#"{"code":0,"data":[{"symbol":"BTC-PERP","open":"1","close":"61000.5","high":"1","low":"1","baseVol":"10.5"},
        {"symbol":"DOGE-PERP","close":"0.2","baseVol":"3000000"},{"symbol":"NEW-PERP"}]}"#;
    assert_eq!(
        of("ascendex-futures", body),
        [day("BTC-PERP", 640_505), day("DOGE-PERP", 600_000), day("NEW-PERP", 0)]
    );
    let body = r#"{"code":0,"data":[{"symbol":"BTC/USDT","close":"100","volume":"2.25"}]}"#;
    assert_eq!(of("ascendex-spot", body), [day("BTC/USDT", 225)]);
    let body = r#"{"code":0,"data":[{"t":1,"s":"btc_usdt","c":"1","h":"1","l":"1","o":"1","a":"5","v":"123456.78","r":"0"},
        {"s":"eth_usdt","v":99.5},{"s":"x_usdt","v":null}]}"#;
    assert_eq!(of("pumpkin-perp", body), [day("btc_usdt", 123_456), day("eth_usdt", 99), day("x_usdt", 0)]);
    // Contracts of 100 and of 10 USD: 2,089 of the first are more than 5,751 of the second, base coins say nothing.
    let body = r#"[{"symbol":"DOGEUSD_PERP","pair":"DOGEUSD","lastPrice":"0.20000","volume":"5751","baseVolume":"287550.0"},
        {"symbol":"BTCUSD_PERP","pair":"BTCUSD","lastPrice":"61800.0","volume":"2089","baseVolume":"3.38025889"},
        {"symbol":"NEWUSD_PERP"},{"symbol":"XUSD_PERP","baseVolume":"5"}]"#;
    assert_eq!(
        of("binance-coinm", body),
        [
            day("DOGEUSD_PERP", 57_510),
            day("BTCUSD_PERP", 208_899),
            day("NEWUSD_PERP", 0),
            day("XUSD_PERP", 0)
        ]
    );
    let body = r#"[{"symbol":"BTCUSDT","lastPrice":"2","volume":"3","quoteVolume":"6.99"}]"#;
    for id in ["binance-spot", "binance-usdm", "aster-spot", "aster-futures", "aster-prediction"] {
        assert_eq!(of(id, body), [day("BTCUSDT", 6)], "{id}");
    }
    for id in ["ascendex-spot", "ascendex-futures", "pumpkin-perp"] {
        for bad in ["", "{}", "[]", r#"{"code":7}"#, r#"{"code":0,"data":{}}"#] {
            assert!(venue(id).parse_volumes(bad.as_bytes()).is_err(), "{id}: {bad}");
        }
    }
    for v in super::built_in() {
        assert!(v.volumes_request().is_some(), "{}", v.spec().id);
    }
}
