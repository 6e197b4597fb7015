//! HTTP as bytes on a connection that is kept: a client that costs next to nothing beside what it measures.

use std::{net::SocketAddr, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

use crate::served::Served;

/// One connection.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// Where a backend listens.
pub(crate) fn address(url: &str) -> SocketAddr {
    url.trim_start_matches("http://").parse().unwrap()
}

/// The bytes of a request.
pub(crate) fn request(method: &str, path: &str, token: Option<&str>, body: &str) -> Vec<u8> {
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{token}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

impl Connection {
    pub(crate) async fn to(address: SocketAddr) -> Self {
        // A backlog that is full is not what is measured.
        let mut stream = TcpStream::connect(address).await;
        while stream.is_err() {
            sleep(Duration::from_millis(20)).await;
            stream = TcpStream::connect(address).await;
        }
        let stream = stream.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::with_capacity(8 << 10) }
    }

    /// Sends a request and reads its answer: the status, and the body until the next one.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> (u16, &[u8]) {
        self.stream.write_all(request).await.unwrap();
        self.buffer.clear();
        loop {
            assert!(self.stream.read_buf(&mut self.buffer).await.unwrap() > 0, "the connection was closed");
            let Some(head) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let length = {
                let head = str::from_utf8(&self.buffer[..head]).unwrap();
                let mut lines = head.lines();
                let length = lines.find_map(|line| line.strip_prefix("content-length: "));
                length.map_or(0, |length| length.parse::<usize>().unwrap())
            };
            let whole = head + 4 + length;
            while self.buffer.len() < whole {
                assert!(
                    self.stream.read_buf(&mut self.buffer).await.unwrap() > 0,
                    "the connection was closed"
                );
            }
            let status = str::from_utf8(&self.buffer[9..12]).unwrap().parse().unwrap();
            return (status, &self.buffer[head + 4..whole]);
        }
    }

    /// A request by the backend's owner that has to be answered with 200.
    pub(crate) async fn order(&mut self, token: &str, method: &str, path: &str, body: &str) -> Value {
        let (status, answer) = self.exchange(&request(method, path, Some(token), body)).await;
        let answer = String::from_utf8_lossy(answer);
        assert_eq!(status, 200, "{method} {path}: {answer}");
        serde_json::from_str(&answer).unwrap()
    }

    /// Begins to listen to an event stream.
    pub(crate) async fn listen(&mut self, path: &str) {
        self.stream.write_all(&request("GET", path, None, "")).await.unwrap();
    }

    /// What comes next on an event stream; empty at its end.
    pub(crate) async fn chunk(&mut self) -> &[u8] {
        self.buffer.clear();
        self.stream.read_buf(&mut self.buffer).await.unwrap();
        &self.buffer
    }
}

/// Waits until `holds` of the backend's status.
pub(crate) async fn until(served: &Served, holds: impl Fn(&Value) -> bool) {
    let mut line = Connection::to(address(served.url())).await;
    let token = served.token();
    while !holds(&line.order(&token, "GET", "/api/v1/status", "").await) {
        sleep(Duration::from_millis(200)).await;
    }
}
