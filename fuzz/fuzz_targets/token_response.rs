//! Answers of token endpoints, in every vendor's dialect: no body makes the reader panic, and what it takes for a
//! success has a token.
#![no_main]

use countersign_oauth::token::read_for_fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, u8, &[u8])| {
    let (status, vendor, body) = input;
    let Ok(status) = http::StatusCode::from_u16(status) else {
        return;
    };
    if let Ok(has_token) = read_for_fuzzing(status, usize::from(vendor), body) {
        assert!(status.is_success() && has_token);
    }
});
