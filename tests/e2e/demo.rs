//! The demo tells what the dataset holds.

use serde_json::Value;

use super::rig::{lobtape, turn};

#[test]
fn its_summary_has_the_books_that_the_dataset_gives_and_its_gaps() {
    let _turn = turn();
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("tape");
    let dir = out.to_str().unwrap();
    let (code, words) =
        lobtape(&["demo", "--out", dir, "--seconds", "6", "--rate", "400", "--json", "--log", "off"]);
    assert_eq!(code, 0, "{words}");
    let said: Value = serde_json::from_str(words.trim()).unwrap();
    let books = said["books"].as_array().unwrap();
    assert_eq!(books.len(), 4, "{said}");
    for b in books {
        let (symbol, at) = (b["symbol"].as_str().unwrap(), b["at"].to_string());
        let args = [
            "book",
            dir,
            "--venue",
            "aster-futures",
            "--symbol",
            symbol,
            "--at",
            &at,
            "--json",
            "--log",
            "off",
        ];
        let (code, words) = lobtape(&args);
        assert_eq!(code, 0, "{words}");
        let book: Value = serde_json::from_str(&words).unwrap();
        assert_eq!(b["state"], "proven", "{b}");
        for key in ["seq_last", "bid_levels", "ask_levels"] {
            assert_eq!(b[key], book[key], "{symbol}: {key}");
        }
        assert_eq!((&b["bid"], &b["ask"]), (&book["bids"][0], &book["asks"][0]), "{symbol}");
    }
    assert!(
        said["gaps"].as_array().unwrap().iter().any(|g| g.as_str().unwrap().contains("venue_disconnect")),
        "{said}"
    );
}
