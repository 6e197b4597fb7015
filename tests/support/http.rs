//! HTTP as bytes on a socket, so that a test may also say what no client would.
#![allow(dead_code, reason = "each test uses its part")]

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::Value;

use super::served::Served;

/// An answer.
#[derive(Debug)]
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl HttpResponse {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

pub(crate) fn connect(served: &Served) -> TcpStream {
    open(served.url()).unwrap()
}

fn open(url: &str) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(url.trim_start_matches("http://"))?;
    stream.set_read_timeout(Some(Duration::from_mins(1)))?;
    Ok(stream)
}

/// One POST without any second attempt; `None` where no whole answer came.
pub(crate) fn once(url: &str, token: &str, path: &str, id: &str, body: &str) -> Option<HttpResponse> {
    let length = body.len();
    let text = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Idempotency-Key: {id}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let mut stream = open(url).ok()?;
    stream.write_all(text.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let answer = parsed(&answer);
    // A body that was cut off is no answer.
    serde_json::from_str::<Value>(&answer.body).is_ok().then_some(answer)
}

fn parsed(text: &str) -> HttpResponse {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    HttpResponse { status, head: head.to_owned(), body: body.to_owned() }
}

/// Sends these bytes and reads until the other end closes.
pub(crate) fn raw(served: &Served, bytes: &[u8]) -> HttpResponse {
    let mut stream = connect(served);
    // It may have answered and closed before all was sent.
    let _ = stream.write_all(bytes);
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    parsed(&String::from_utf8_lossy(&text))
}

/// A request with its headers, each with its line end.
pub(crate) fn request(served: &Served, method: &str, path: &str, headers: &str, body: &str) -> HttpResponse {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    let length = body.len();
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{kind}Content-Length: {length}\r\n{headers}\r\n{body}"
    );
    raw(served, text.as_bytes())
}

/// A request by the backend's own owner.
pub(crate) fn owner(served: &Served, method: &str, path: &str, body: &str) -> HttpResponse {
    request(served, method, path, &format!("Authorization: Bearer {}\r\n", served.token()), body)
}
