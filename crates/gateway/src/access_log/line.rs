//! A line: the fields of an Application Load Balancer's log entry in its order and quoting, or as JSON.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html#access-log-entry-format>
//!
//! Written by hand, since a line is written for every request. All texts are escaped in a way that also holds within
//! JSON but for the backslash.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use countersign_crypto::Timestamp;
use countersign_web::tls::TlsSession;
use http::HeaderValue;

use super::{Answered, Executed, Head, Record, redact};

/// A line is seldom longer.
const ABOUT: usize = 1_024;
/// A longer buffer is not kept.
const MOST_KEPT: usize = 16 * 1_024;

thread_local! {
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
    static SECOND: Cell<Second> = const { Cell::new(Second { seconds: -1, text: [0; 20] }) };
}

/// Gives an empty buffer, the same one for every line of a thread.
pub(super) fn with_buffer(write: impl FnOnce(&mut String)) {
    let mut line = LINE.take();
    line.clear();
    line.reserve(ABOUT);
    write(&mut line);
    if line.capacity() <= MOST_KEPT {
        LINE.set(line);
    }
}

const ACTIONS: [(Executed, &str); 5] = [
    (Executed::Authenticate, "authenticate"),
    (Executed::JwtValidation, "jwt-validation"),
    (Executed::Forward, "forward"),
    (Executed::Redirect, "redirect"),
    (Executed::FixedResponse, "fixed-response"),
];

/// The values of a line, in an ALB's order.
struct Fields<'a> {
    record: &'a Record,
    answered: &'a Answered,
    /// Request, target and response processing time; `None`: no target was reached, or not in time.
    times: Option<[Duration; 3]>,
}

impl<'a> Fields<'a> {
    fn of(record: &'a Record, answered: &'a Answered) -> Self {
        let times = record.notes.answer.get().map(|answer| {
            let rest = answered
                .took
                .saturating_sub(answer.dispatched + answer.processing);
            [answer.dispatched, answer.processing, rest]
        });
        Self {
            record,
            answered,
            times,
        }
    }

    /// Each field as `quoted, name, value`.
    fn each(&self, mut field: impl FnMut(bool, &str, Value<'_>)) {
        let (record, notes, answered) = (self.record, &self.record.notes, self.answered);
        let answer = notes.answer.get();
        let target = answer.map(|answer| &*answer.target);
        field(false, "type", Value::Text(record.head.kind));
        field(false, "time", Value::Time(answered.at));
        field(false, "elb", Value::Text(&record.log.gateway));
        field(false, "client:port", Value::Text(&record.connected.peer_text));
        field(false, "target:port", Value::of(target));
        let times = [
            "request_processing_time",
            "target_processing_time",
            "response_processing_time",
        ];
        for (at, name) in times.into_iter().enumerate() {
            field(false, name, Value::Seconds(self.times.map(|times| times[at])));
        }
        field(false, "elb_status_code", Value::Number(answered.status.into()));
        field(
            false,
            "target_status_code",
            answer.map_or(Value::None, |answer| Value::Number(answer.status.into())),
        );
        let received = notes.received.load(Ordering::Relaxed);
        let received = received.saturating_add(u64::try_from(record.head.bytes).unwrap_or(0));
        field(false, "received_bytes", Value::Number(received));
        field(false, "sent_bytes", Value::Number(record.sent));
        field(true, "request", Value::RequestLine(&record.head));
        field(true, "user_agent", Value::UserAgent(&record.head));
        let tls = record.tls();
        field(false, "ssl_cipher", Value::of(tls.map(TlsSession::cipher_suite)));
        field(false, "ssl_protocol", Value::of(tls.map(TlsSession::version)));
        field(
            false,
            "target_group_arn",
            Value::of(notes.group.get().map(|group| &**group)),
        );
        let trace_id = notes.trace_id.get().map(HeaderValue::as_bytes);
        field(true, "trace_id", trace_id.map_or(Value::None, Value::Quoted));
        let name = tls.and_then(TlsSession::server_name).map(str::as_bytes);
        field(true, "domain_name", name.map_or(Value::None, Value::Quoted));
        field(true, "chosen_cert_arn", Value::None);
        let priority = notes.priority.load(Ordering::Relaxed);
        field(false, "matched_rule_priority", Value::Signed(priority));
        field(false, "request_creation_time", Value::Time(notes.created));
        field(
            true,
            "actions_executed",
            Value::Actions(notes.executed.load(Ordering::Relaxed)),
        );
        field(true, "redirect_url", Value::of(answered.redirect_url.as_deref()));
        field(
            true,
            "error_reason",
            Value::of(answered.reason.map(crate::reason::Reason::as_str)),
        );
        field(true, "target:port_list", Value::of(target));
        field(
            true,
            "target_status_code_list",
            answer.map_or(Value::None, |answer| Value::Number(answer.status.into())),
        );
        // Requests that are ambiguous get no further than 400.
        field(true, "classification", Value::None);
        field(true, "classification_reason", Value::None);
        field(false, "conn_trace_id", Value::None);
    }
}

enum Value<'a> {
    None,
    Text(&'a str),
    Number(u64),
    Signed(i32),
    /// Bytes that a client chose.
    Quoted(&'a [u8]),
    RequestLine(&'a Head),
    UserAgent(&'a Head),
    Time(Timestamp),
    /// `None` is -1: the request did not get so far.
    Seconds(Option<Duration>),
    Actions(u8),
}

impl<'a> Value<'a> {
    fn of(text: Option<&'a str>) -> Self {
        text.map_or(Self::None, Self::Text)
    }

    fn write(&self, line: &mut String) {
        match self {
            Self::UserAgent(head) if head.has_user_agent() => head.push_user_agent(line),
            Self::None | Self::Actions(0) | Self::UserAgent(_) => line.push('-'),
            Self::Text(text) => line.push_str(if text.is_empty() { "-" } else { text }),
            Self::Number(number) => push_number(line, *number),
            Self::Signed(number) => {
                let _ = write!(line, "{number}");
            }
            Self::Quoted(bytes) => redact::push_quoted(line, bytes),
            Self::RequestLine(head) => head.push_request_line(line),
            Self::Time(time) => push_time(line, *time),
            Self::Seconds(None) => line.push_str("-1"),
            Self::Seconds(Some(time)) => {
                push_number(line, time.as_secs());
                line.push('.');
                push_digits(line, time.subsec_millis().into(), 3);
            }
            Self::Actions(executed) => {
                let mut first = true;
                for (action, name) in ACTIONS {
                    if executed & action as u8 != 0 {
                        if !first {
                            line.push(',');
                        }
                        first = false;
                        line.push_str(name);
                    }
                }
            }
        }
    }
}

/// The line of an ALB's access log.
pub(super) fn alb(record: &Record, answered: &Answered, line: &mut String) {
    Fields::of(record, answered).each(|quoted, _, value| {
        if !line.is_empty() {
            line.push(' ');
        }
        if quoted {
            line.push('"');
        }
        value.write(line);
        if quoted {
            line.push('"');
        }
    });
    line.push('\n');
}

/// The same as an object: numbers as such, and what there is not left out.
pub(super) fn json(record: &Record, answered: &Answered, line: &mut String) {
    line.push('{');
    Fields::of(record, answered).each(|_, name, value| {
        let text = match value {
            Value::UserAgent(head) if !head.has_user_agent() => return,
            Value::None | Value::Text("") | Value::Actions(0) | Value::Seconds(None) => return,
            Value::Number(_) | Value::Signed(_) | Value::Seconds(_) => false,
            _ => true,
        };
        member(line, name, text, &value);
    });
    let duration = record.notes.began.elapsed();
    member(line, "duration", false, &Value::Seconds(Some(duration)));
    let id = record.request_id.as_str();
    member(line, "request_id", true, &Value::Text(id));
    line.push_str("}\n");
}

fn member(line: &mut String, name: &str, text: bool, value: &Value<'_>) {
    if !line.ends_with('{') {
        line.push(',');
    }
    line.push('"');
    line.push_str(name);
    line.push_str("\":");
    if text {
        line.push('"');
        let from = line.len();
        value.write(line);
        if line[from..].contains('\\') {
            // `\x0A` of the other format would be no JSON.
            let escaped = line.split_off(from).replace('\\', "\\\\");
            line.push_str(&escaped);
        }
        line.push('"');
    } else {
        value.write(line);
    }
}

fn push_number(line: &mut String, number: u64) {
    let digits = number.checked_ilog10().unwrap_or(0) + 1;
    push_digits(line, number, digits as usize);
}

/// The last `digits` digits of a number, at most 20.
fn push_digits(line: &mut String, mut number: u64, digits: usize) {
    let mut text = [b'0'; 20];
    let text = &mut text[..digits.min(20)];
    for place in text.iter_mut().rev() {
        *place = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
    }
    line.push_str(std::str::from_utf8(text).unwrap_or_default());
}

/// A second as text: `2026-01-31T23:59:59.`. Two times stand in each line, and a thread writes many lines a second.
#[derive(Clone, Copy)]
struct Second {
    seconds: i64,
    text: [u8; 20],
}

impl Second {
    fn of(seconds: i64) -> Self {
        let known = SECOND.get();
        if known.seconds == seconds {
            return known;
        }
        let mut text = String::with_capacity(20);
        let (year, month, day) = civil(seconds / 86_400);
        let part = |value: i64| u64::try_from(value).unwrap_or(0);
        let of_day = seconds % 86_400;
        push_digits(&mut text, part(year), 4);
        for (separator, value) in [
            ('-', month),
            ('-', day),
            ('T', of_day / 3_600),
            (':', of_day / 60 % 60),
            (':', of_day % 60),
        ] {
            text.push(separator);
            push_digits(&mut text, part(value), 2);
        }
        text.push('.');
        let text = text.as_bytes().try_into().unwrap_or([b'-'; 20]);
        let second = Self { seconds, text };
        SECOND.set(second);
        second
    }
}

/// `2026-01-31T23:59:59.123456Z`.
fn push_time(line: &mut String, time: Timestamp) {
    let micros = time.as_micros().max(0);
    let second = Second::of(micros / 1_000_000);
    line.push_str(std::str::from_utf8(&second.text).unwrap_or_default());
    push_digits(line, u64::try_from(micros % 1_000_000).unwrap_or(0), 6);
    line.push('Z');
}

/// Year, month and day of a day after 1970-01-01: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
/// `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_rfc_3339_writes_them() {
        for micros in [
            0,
            951_782_400_000_000,
            1_709_164_800_123_456,
            1_800_000_000_000_001,
            4_102_444_799_999_999,
        ] {
            let mut line = String::new();
            let time = Timestamp::from_micros(micros);
            push_time(&mut line, time);
            let jiff = time.to_rfc3339();
            let (seconds, fraction) = jiff
                .trim_end_matches('Z')
                .split_once('.')
                .unwrap_or((jiff.trim_end_matches('Z'), ""));
            assert_eq!(line, format!("{seconds}.{fraction:0<6}Z"));
        }
    }

    #[test]
    fn numbers_have_no_leading_zeros() {
        let mut line = String::new();
        for number in [0, 7, 10, 123_456, u64::MAX] {
            push_number(&mut line, number);
            line.push(' ');
        }
        assert_eq!(line, "0 7 10 123456 18446744073709551615 ");
    }
}
