//! ARNs: what is read is written back as it was, and its parts are what they must be.
#![no_main]

use countersign_api::Arn;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(arn) = text.parse::<Arn>() else { return };
    assert_eq!(arn.to_string(), text);
    assert!(!arn.service.is_empty() && !arn.resource.is_empty());
    assert!(arn.account.is_empty() || arn.account.len() == 12);
    assert!(text.is_ascii() && !text.contains(char::is_whitespace));
});
