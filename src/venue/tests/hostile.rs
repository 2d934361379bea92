//! Bad input: whatever a venue sends is refused with a cause or read, never a panic, never half an event.

use super::{refused, said, venue};
use crate::model::RejectCause;

#[test]
fn frames_that_are_no_frames_have_their_cause() {
    let v = venue("binance-usdm");
    for (frame, cause) in [
        (&b""[..], RejectCause::Malformed),
        (b"\xff\xfe", RejectCause::Malformed),
        (b"5", RejectCause::UnknownStream),
        (b"[]", RejectCause::UnknownStream),
        (b"{}", RejectCause::UnknownStream),
        (br#"{"stream":"btcusdt@depth","data":{"#, RejectCause::Malformed),
        (br#"{"stream":5,"data":{}}"#, RejectCause::Shape),
        (br#"{"stream":"nobody@depth","data":{}}"#, RejectCause::UnknownStream),
        (br#"{"stream":"btcusdt@depth","data":{}}"#, RejectCause::Shape),
        (br#"{"stream":"btcusdt@depth","data":5}"#, RejectCause::Shape),
    ] {
        assert_eq!(refused(v, &["btcusdt@depth"], frame), cause, "{:?}", String::from_utf8_lossy(frame));
    }
    assert_eq!(said(v, &["btcusdt@depth"], br#"{"stream":"btcusdt@depth","data":[]}"#, None), Ok(Vec::new()));
}
