//! Pumpkin's speech where its page leaves it open: topics of changes, and refusals of topics.

use serde_json::Value;

use super::tests::{Client, get, manual};
use super::*;

/// All messages up to now: a ping is answered behind everything queued before it.
fn all(c: &mut Client) -> Vec<Value> {
    c.send("ping");
    let mut out = Vec::new();
    loop {
        let text = c.text();
        if text == "pong" {
            return out;
        }
        out.push(serde_json::from_str(&text).unwrap());
    }
}

fn events<'v>(got: &'v [Value], event: &str) -> Vec<&'v Value> {
    got.iter().filter(|v| v["e"] == event).collect()
}

/// What a client hears that asks for these topics of a venue that speaks in this way.
fn heard(variant: Option<&str>, topics: &str) -> Vec<Value> {
    let config = SimConfig { variant: variant.map(str::to_owned), ..manual("pumpkin-perp") };
    let sim = Simulator::start(config).unwrap();
    let mut c = Client::open(sim.addr(), "/");
    c.send(&format!("{{\"events\":[{topics}],\"method\":\"sub\"}}"));
    let _ = all(&mut c);
    sim.advance(5_000).unwrap();
    all(&mut c)
}

#[test]
fn changes_come_with_the_whole_views_or_on_a_topic_of_their_own() {
    let (whole, changes) = (r#""depth@btc_usdt,10""#, r#""depth.update@btc_usdt""#);
    let both = heard(None, whole);
    assert!(!events(&both, "depth").is_empty() && !events(&both, "depth.update").is_empty());
    assert!(heard(None, changes).is_empty(), "acknowledged and silent");
    let apart = Some("apart");
    let got = heard(apart, whole);
    assert!(events(&got, "depth").len() >= 4 && events(&got, "depth.update").is_empty());
    assert!(events(&got, "depth").iter().all(|v| v["b"].as_array().unwrap().len() <= 10));
    let got = heard(apart, changes);
    assert!(events(&got, "depth").is_empty() && events(&got, "depth.update").len() > 10);
    let ids: Vec<(i64, i64)> =
        got.iter().map(|v| (v["U"].as_i64().unwrap(), v["u"].as_i64().unwrap())).collect();
    assert!(ids.windows(2).all(|w| w[1].0 == w[0].1 + 1), "{ids:?}");
    let got = heard(apart, &format!("{whole},{changes}"));
    assert!(!events(&got, "depth").is_empty() && !events(&got, "depth.update").is_empty());
}

#[test]
fn topics_are_refused_with_each_code_of_the_page() {
    let sim = Simulator::start(manual("pumpkin-perp")).unwrap();
    let mut c = Client::open(sim.addr(), "/");
    for code in [40001, 40002, 40003, 40004, 40005, 40006, 50001, 50002] {
        let fault = FaultSpec::parse(&format!("refuse-subscribe:code={code}")).unwrap();
        sim.inject(fault).unwrap();
        c.send(r#"{"events":["trade@btc_usdt"],"method":"sub"}"#);
        let got = all(&mut c);
        assert_eq!(got.iter().map(|v| v["code"].as_i64()).collect::<Vec<_>>(), [Some(code)], "{got:?}");
    }
    c.send(r#"{"events":["trade@btc_usdt"],"method":"sub"}"#);
    assert_eq!(all(&mut c)[0]["code"], 0, "as long as no fault says otherwise");
}

/// A topic that is not written as one, and one that is and does not exist.
#[test]
fn a_topic_in_a_bad_format_is_not_one_that_does_not_exist() {
    let sim = Simulator::start(manual("pumpkin-perp")).unwrap();
    let mut c = Client::open(sim.addr(), "/");
    for (topic, code) in [
        ("bad", 40001),
        ("", 40001),
        ("@btc_usdt", 40001),
        ("trade@", 40001),
        ("trade@btc_usdt,10", 40001),
        ("depth@btc_usdt", 40001),
        ("depth@btc_usdt,0", 40001),
        ("depth@btc_usdt,ten", 40001),
        ("kline@btc_usdt", 40001),
        ("kline@btc_usdt,7m", 40002),
        ("kline@btc_usdt,3m", 40002),
        ("ticker@btc_usdt", 40002),
        ("trade@btc_usdt", 0),
    ] {
        c.send(&format!("{{\"events\":[\"{topic}\"],\"method\":\"sub\"}}"));
        let got = all(&mut c);
        assert_eq!(
            got.iter().map(|v| v["code"].as_i64()).collect::<Vec<_>>(),
            [Some(code)],
            "{topic}: {got:?}"
        );
    }
}

#[test]
fn candles_come_in_every_interval_of_the_page() {
    let intervals = ["1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w", "1M", "3M", "6M"];
    let topics = intervals.map(|i| format!("\"kline@btc_usdt,{i}\"")).join(",");
    let got = heard(None, &topics);
    for i in intervals {
        let opened: Vec<i64> = events(&got, "kline")
            .iter()
            .filter(|v| v["k"]["i"] == i)
            .map(|v| v["k"]["t"].as_i64().unwrap())
            .collect();
        assert!(!opened.is_empty(), "{i}: {got:?}");
        // The venue's clock stands at 2026-09-21: quarters begin in July, halves too.
        if i == "3M" || i == "6M" {
            assert!(opened.iter().all(|t| *t == 1_782_864_000_000), "{i}: {opened:?}");
        }
    }
    let sim = Simulator::start(manual("pumpkin-perp")).unwrap();
    for i in intervals {
        let path = format!("/v2/public/q/kline?interval={i}&symbol=btc_usdt");
        let v: Value = serde_json::from_str(&get(sim.addr(), &path).2).unwrap();
        assert_eq!(v["data"].as_array().map(Vec::len), Some(1), "{i}: {v}");
    }
}
