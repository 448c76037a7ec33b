//! Request heads: how the bytes were cut on the way changes nothing, and what passes the scanner has one reading. The
//! second reader is the parser beneath our HTTP implementation.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "the target uses a part of it")]
#[path = "../../crates/web/src/request_scanner.rs"]
mod request_scanner;

use request_scanner::RequestScanner;

const MAX_LINE: usize = 1_024;

fuzz_target!(|bytes: &[u8]| {
    let whole = RequestScanner::new(MAX_LINE).scan(bytes);
    let mut scanner = RequestScanner::new(MAX_LINE);
    let cut = bytes.chunks(3).try_for_each(|part| scanner.scan(part).map_err(|malformed| malformed.fault));
    assert_eq!(whole.map_err(|malformed| malformed.fault), cut);

    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let Ok(httparse::Status::Complete(length)) = request.parse(bytes) else { return };
    let mut head = RequestScanner::new(MAX_LINE);
    if head.scan(&bytes[..length]).is_err() {
        return;
    }
    let count = |name: &str| {
        let named = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        named.count()
    };
    assert!(count("content-length") + count("transfer-encoding") <= 1, "one length");
    assert!(count("host") <= 1, "one host");
    for (at, _) in bytes[..length].iter().enumerate().filter(|&(_, &byte)| byte == b'\n') {
        assert!(at > 0 && bytes[at - 1] == b'\r', "no bare LF");
    }
});
