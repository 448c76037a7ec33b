//! The parts of HTTP/1.1 that a lenient reader and a strict one understand differently.
//!
//! Request smuggling lives on such differences. The HTTP implementation below this one is safe by itself,
//! since every message is written anew on the way to a target; yet it accepts what RFC 9112 lets a server
//! accept (a bare LF as line end, `Content-Length` beside `Transfer-Encoding`, a repeated
//! `Content-Length`). A load balancer in its strictest desync mitigation mode refuses those, and so do we:
//! a client that sends them is broken or hostile.
//!
//! The scanner follows the framing of requests on one connection and changes nothing that is in order.

/// Longest line of a chunk size with its extensions.
const MAX_CHUNK_LINE: usize = 256;

/// What is wrong with the byte at this position of what was scanned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Malformed {
    /// Index of the byte by which the fault is known.
    pub at: usize,
    /// For logs.
    pub fault: &'static str,
}

/// Follows the requests of one HTTP/1.1 connection, byte by byte as they come.
#[derive(Debug)]
pub struct RequestScanner {
    state: State,
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
    head: Head,
    max_line: usize,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Before or in the request line.
    RequestLine,
    Header,
    /// So many bytes of a body.
    Body(u64),
    ChunkSize,
    ChunkData(u64),
    /// The empty line behind a chunk.
    ChunkEnd,
    Trailer,
    /// Something was malformed; nothing behind it means anything.
    Over,
}

/// What the head of one request has said so far.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    length: Option<u64>,
    chunked: bool,
    /// How many `Host` headers.
    host: u32,
}

impl RequestScanner {
    /// A scanner for a new connection; `max_line` bounds the request line and each header line, in bytes.
    #[must_use]
    pub fn new(max_line: usize) -> Self {
        Self {
            state: State::RequestLine,
            partial: Vec::new(),
            head: Head::default(),
            max_line,
        }
    }

    /// Whether something was malformed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Follows the next bytes of the connection.
    ///
    /// # Errors
    /// The first byte by which the stream is malformed. All later bytes pass unread: whoever asks closes the
    /// connection.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let mut at = 0;
        while at < bytes.len() {
            match self.state {
                State::Over => return Ok(()),
                State::Body(left) => {
                    at += self.skip(left, bytes.len() - at, State::Body, State::RequestLine);
                }
                State::ChunkData(left) => {
                    at += self.skip(left, bytes.len() - at, State::ChunkData, State::ChunkEnd);
                }
                _ => at = self.line(bytes, at)?,
            }
        }
        Ok(())
    }

    /// Passes over body bytes; answers how many.
    fn skip(&mut self, left: u64, there: usize, more: fn(u64) -> State, then: State) -> usize {
        let there = there as u64;
        if left > there {
            self.state = more(left - there);
            return usize::try_from(there).unwrap_or(usize::MAX);
        }
        self.state = then;
        usize::try_from(left).unwrap_or(usize::MAX)
    }

    /// Takes the line that begins at `start`, or its beginning; answers where the next one begins.
    fn line(&mut self, bytes: &[u8], start: usize) -> Result<usize, Malformed> {
        let limit = match self.state {
            State::ChunkSize | State::ChunkEnd => MAX_CHUNK_LINE,
            _ => self.max_line,
        };
        let rest = &bytes[start..];
        let end = memchr::memchr(b'\n', rest);
        let length = end.unwrap_or(rest.len());
        if self.partial.len() + length > limit {
            return self.refuse(start, "a line is too long");
        }
        let Some(end) = end else {
            self.partial.extend_from_slice(rest);
            return Ok(bytes.len());
        };
        let judged = if self.partial.is_empty() {
            self.judge(&rest[..end])
        } else {
            let mut line = std::mem::take(&mut self.partial);
            line.extend_from_slice(&rest[..end]);
            self.judge(&line)
        };
        match judged {
            Ok(()) => Ok(start + end + 1),
            Err(fault) => self.refuse(start + end, fault),
        }
    }

    fn refuse(&mut self, at: usize, fault: &'static str) -> Result<usize, Malformed> {
        self.state = State::Over;
        self.partial = Vec::new();
        Err(Malformed { at, fault })
    }

    /// A whole line up to its LF.
    fn judge(&mut self, line: &[u8]) -> Result<(), &'static str> {
        // RFC 9112 section 2.2 allows a bare LF to a recipient; a target could disagree about it.
        let line = line.strip_suffix(b"\r").ok_or("a line ends without CR")?;
        match self.state {
            // "a server … SHOULD ignore at least one empty line" before it (RFC 9112 section 2.2).
            State::RequestLine if line.is_empty() => {}
            State::RequestLine => {
                self.head = Head::default();
                self.state = State::Header;
            }
            State::Header if line.is_empty() => self.state = self.head.body()?,
            State::Header => self.head.header(line)?,
            State::ChunkSize => {
                self.state = match chunk_size(line)? {
                    0 => State::Trailer,
                    size => State::ChunkData(size),
                }
            }
            State::ChunkEnd if line.is_empty() => self.state = State::ChunkSize,
            State::ChunkEnd => return Err("a chunk is longer than its size"),
            State::Trailer if line.is_empty() => self.state = State::RequestLine,
            State::Trailer => {
                field_name(line)?;
            }
            State::Body(_) | State::ChunkData(_) | State::Over => {}
        }
        Ok(())
    }
}

impl Head {
    fn header(&mut self, line: &[u8]) -> Result<(), &'static str> {
        let (name, value) = field_name(line)?;
        // Few names have these lengths, and the comparison is on the path of every header.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.host += 1,
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                if self.length.is_some() || self.chunked {
                    return Err("a second length of the body");
                }
                self.length = Some(decimal(value).ok_or("Content-Length is no number")?);
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if self.length.is_some() || self.chunked {
                    return Err("a second length of the body");
                }
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err("a transfer coding other than chunked");
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    /// What follows the head.
    fn body(self) -> Result<State, &'static str> {
        if self.host > 1 {
            return Err("Host twice");
        }
        Ok(match (self.chunked, self.length) {
            (true, Some(_)) => return Err("a second length of the body"),
            (true, None) => State::ChunkSize,
            (false, Some(length @ 1..)) => State::Body(length),
            (false, _) => State::RequestLine,
        })
    }
}

/// Name and trimmed value of a field line.
fn field_name(line: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        // RFC 9112 section 5.2: "A server that receives an obs-fold … MUST either reject".
        return Err("a folded header line");
    }
    let colon = memchr::memchr(b':', line).ok_or("a header line without colon")?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() || matches!(name.last(), Some(b' ' | b'\t')) {
        // RFC 9112 section 5.1: no whitespace between name and colon.
        return Err("white space before the colon of a header");
    }
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let from = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
    let to = value
        .iter()
        .rposition(|byte| !blank(byte))
        .map_or(from, |last| last + 1);
    Ok((name, &value[from..to]))
}

fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The size in a chunk's first line (RFC 9112 section 7.1); an extension is passed over.
fn chunk_size(line: &[u8]) -> Result<u64, &'static str> {
    let digits = line.split(|&byte| byte == b';').next().unwrap_or_default();
    // Whitespace before an extension is "bad whitespace", which nobody has to accept.
    let digits = std::str::from_utf8(digits).map_err(|_| "a chunk size is no number")?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("a chunk size is no number");
    }
    u64::from_str_radix(digits, 16).map_err(|_| "a chunk size is no number")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 64;

    fn scan(text: &str) -> Result<(), &'static str> {
        let whole = RequestScanner::new(MAX)
            .scan(text.as_bytes())
            .map_err(|m| m.fault);
        // How the bytes were cut on the way must not matter.
        let mut scanner = RequestScanner::new(MAX);
        let bytewise = text
            .as_bytes()
            .chunks(1)
            .try_for_each(|byte| scanner.scan(byte))
            .map_err(|m| m.fault);
        assert_eq!(whole, bytewise, "{text:?}");
        whole
    }

    #[test]
    fn requests_in_order_pass() {
        for good in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\na\nb\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:0\r\n\r\n",
            "POST / HTTP/1.1\r\nhost:a\r\nTransfer-Encoding: Chunked\r\n\r\n3;a=b\r\na\nb\r\n0\r\nX: y\r\n\r\n\
             GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ] {
            assert_eq!(scan(good), Ok(()), "{good:?}");
        }
    }

    #[test]
    fn g12_what_two_readers_could_understand_differently() {
        let twice = "a second length of the body";
        for (rest, fault) in [
            ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", twice),
            ("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", twice),
            ("Content-Length: 1\r\ncontent-length: 1\r\n\r\n", twice),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
                twice,
            ),
            (
                "Transfer-Encoding: xchunked\r\n\r\n",
                "a transfer coding other than chunked",
            ),
            (
                "Transfer-Encoding: gzip, chunked\r\n\r\n",
                "a transfer coding other than chunked",
            ),
            (
                "Transfer-Encoding:\r\n\r\n",
                "a transfer coding other than chunked",
            ),
            (
                "Transfer-Encoding : chunked\r\n\r\n",
                "white space before the colon of a header",
            ),
            ("Content-Length: +1\r\n\r\n", "Content-Length is no number"),
            ("Content-Length: 1, 1\r\n\r\n", "Content-Length is no number"),
            ("Content-Length: 0x1\r\n\r\n", "Content-Length is no number"),
            (
                "Content-Length: 99999999999999999999\r\n\r\n",
                "Content-Length is no number",
            ),
            ("X: a\r\n b\r\n\r\n", "a folded header line"),
            ("X: a\n\r\n", "a line ends without CR"),
            ("Host: b\r\n\r\n", "Host twice"),
            ("X\r\n\r\n", "a header line without colon"),
            (": x\r\n\r\n", "white space before the colon of a header"),
            (
                "Transfer-Encoding: chunked\r\n\r\n1\na\r\n",
                "a line ends without CR",
            ),
            (
                "Transfer-Encoding: chunked\r\n\r\n 1\r\na\r\n",
                "a chunk size is no number",
            ),
            (
                "Transfer-Encoding: chunked\r\n\r\n1 ;x\r\na\r\n",
                "a chunk size is no number",
            ),
            (
                "Transfer-Encoding: chunked\r\n\r\n-1\r\na\r\n",
                "a chunk size is no number",
            ),
            (
                "Transfer-Encoding: chunked\r\n\r\n11112222333344445\r\n",
                "a chunk size is no number",
            ),
            (
                "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
                "a chunk is longer than its size",
            ),
            (
                "Transfer-Encoding: chunked\r\n\r\n0\r\n x\r\n\r\n",
                "a folded header line",
            ),
        ] {
            assert_eq!(
                scan(&format!("POST / HTTP/1.1\r\nHost: a\r\n{rest}")),
                Err(fault),
                "{rest:?}"
            );
        }
        assert_eq!(
            scan("GET / HTTP/1.1\nHost: a\r\n\r\n"),
            Err("a line ends without CR")
        );
    }

    #[test]
    fn lines_have_a_limit() {
        let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(MAX));
        assert_eq!(
            RequestScanner::new(MAX)
                .scan(long.as_bytes())
                .map_err(|m| m.fault),
            Err("a line is too long")
        );
    }

    #[test]
    fn the_faulty_byte_is_named_and_all_behind_it_passes() {
        let mut scanner = RequestScanner::new(MAX);
        let malformed = scanner.scan(b"GET / HTTP/1.1\r\nX: a\nY").expect_err("a bare LF");
        assert_eq!(malformed.at, 20);
        assert_eq!(scanner.scan(b"\n\n\n"), Ok(()));
        assert!(scanner.is_over());
    }
}
