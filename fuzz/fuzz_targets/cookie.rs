//! Cookies of the gateway: a name that is there twice is never read, what is read stood in the header once under exactly
//! that name, and a ticket is noticed whenever it is read. The input is two `Cookie` headers and a state, a line each; the
//! whole is also read as a `Set-Cookie` of a target.
#![no_main]

use countersign_web::cookie;
use http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "the target uses a part of it")]
#[path = "../../crates/gateway/src/origin.rs"]
mod origin;

#[allow(dead_code, reason = "the target uses a part of it")]
#[path = "../../crates/gateway/src/cookie.rs"]
mod gateway_cookie;

use gateway_cookie::CookieNames;

fn read(headers: &HeaderMap, name: &str) {
    // As often as any reader could think it is there, with or without a value.
    let mut seen = 0;
    for line in headers.get_all(header::COOKIE) {
        let text = String::from_utf8_lossy(line.as_bytes());
        seen += text.split(';').filter(|pair| pair.split('=').next().unwrap_or_default().trim() == name).count();
    }
    match cookie::read_single(headers, name) {
        Ok(Some(_)) => assert_eq!(seen, 1, "{name} in {headers:?}"),
        Ok(None) => assert!(seen <= 1, "{name} in {headers:?}"),
        Err(_) => assert!(seen > 1, "{name} in {headers:?}"),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.split(|&byte| byte == b'\n');
    let mut headers = HeaderMap::new();
    for line in lines.by_ref().take(2) {
        let Ok(value) = HeaderValue::from_bytes(line) else { return };
        headers.append(header::COOKIE, value);
    }
    for name in ["a", "countersign-app", "__Host-countersign-app", "AWSELBAuthSessionCookie-0"] {
        read(&headers, name);
    }
    let origin = "https://app.example.com".parse().expect("an origin");
    for names in [
        CookieNames::new("app", &origin, "", None),
        CookieNames::new("wiki", &origin, "8400", Some("AWSELBAuthSessionCookie")),
    ] {
        let ticket = names.ticket(&headers);
        assert_eq!(names.has_ticket(&headers), !matches!(ticket, Ok(None)));
        let _ = names.has_transaction(&headers);
        if let Some(state) = lines.next().and_then(|line| std::str::from_utf8(line).ok())
            && state.bytes().all(|byte| byte.is_ascii_alphanumeric())
        {
            let _ = names.transaction(&headers, state);
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = cookie::read_set_cookie(text, 1_800_000_000);
    }
});
