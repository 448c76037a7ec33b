//! Cookies of the gateway: a name that is there twice is never read, what is read stood in the header under exactly that
//! name, and what a cookie is built from cannot add attributes to it. The input is two `Cookie` headers and a value, a
//! line each.
#![no_main]

use countersign_web::cookie::{self, CookieOptions, SameSite};
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
    // As often as any reader could think it is there.
    let mut seen = 0;
    for line in headers.get_all(header::COOKIE) {
        let pairs = line.as_bytes().split(|&byte| byte == b';');
        seen += pairs
            .filter(|pair| {
                let named = pair.split(|&byte| byte == b'=').next().unwrap_or_default();
                named.trim_ascii() == name.as_bytes() && pair.contains(&b'=')
            })
            .count();
    }
    match cookie::read_single(headers, name) {
        Ok(Some(_)) => assert_eq!(seen, 1, "{name} in {headers:?}"),
        Ok(None) => {}
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
    let value = String::from_utf8_lossy(bytes);
    let options = CookieOptions { secure: true, same_site: SameSite::Lax, max_age: None };
    let built = cookie::build("countersign-app", &value, options);
    let built = built.as_bytes();
    let count = built.iter().filter(|&&byte| byte == b';').count();
    let plain = cookie::build("countersign-app", "x", options);
    assert_eq!(count, plain.as_bytes().iter().filter(|&&byte| byte == b';').count(), "{}", String::from_utf8_lossy(built));
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = cookie::read_set_cookie(text, 1_800_000_000);
    }
});
