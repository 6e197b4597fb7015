//! Cumulative series: what the last point of each said, so that the next one says what was added.

use std::{collections::HashMap, sync::Arc};

use opentelemetry_proto::tonic::common::v1::KeyValue;
use prost::Message;
use sha2::{Digest, Sha256};

use super::value::Amount;

/// Series remembered. One is about 600 bytes.
const MAX: usize = 50_000;

/// A series that has said nothing for so long, in nanoseconds, may be forgotten: 10 min.
const FORGOTTEN: u64 = 600 * 1_000_000_000;

/// A counter that began so long before its first point, in nanoseconds, began while nobody looked: 1 min.
const JUST_BEGUN: u64 = 60 * 1_000_000_000;

#[derive(Debug)]
struct Last {
    start: u64,
    time: u64,
    amount: Amount,
}

/// What a point of a cumulative series says.
#[derive(Debug, PartialEq)]
pub(super) enum Seen {
    /// So much was added within so many nanoseconds.
    Added(Amount, u64),
    /// Nothing yet: the next one will.
    Begun,
    /// Nothing: it, or a later one, was seen before.
    Before,
}

/// The last point of each series.
#[derive(Debug, Default)]
pub(super) struct SeriesMemory {
    last: HashMap<Arc<str>, Last>,
}

impl SeriesMemory {
    /// What the point of `series` that counts since `start` adds at `time`, both in nanoseconds.
    pub(super) fn since_last(&mut self, series: &Arc<str>, start: u64, time: u64, amount: Amount) -> Seen {
        let whole = |amount: &Amount| {
            let span = time.saturating_sub(start);
            let seen = Seen::Added(amount.clone(), span);
            if start > 0 && span <= JUST_BEGUN { seen } else { Seen::Begun }
        };
        let seen = match self.last.get(series) {
            None => whole(&amount),
            Some(last) if time <= last.time => return Seen::Before,
            Some(last) => {
                let started_fresh = start > last.start && start >= last.time;
                match amount.since(&last.amount).filter(|_| !started_fresh) {
                    Some(added) => Seen::Added(added, time - last.time),
                    // It says nothing of a new beginning, but there was one after the last point.
                    None if !started_fresh => Seen::Added(amount.clone(), time - last.time),
                    None => whole(&amount),
                }
            }
        };
        if self.last.len() >= MAX && !self.last.contains_key(series) {
            self.last.retain(|_, last| time.saturating_sub(last.time) < FORGOTTEN);
        }
        // Where all are in use a new one cannot be followed.
        if self.last.len() < MAX || self.last.contains_key(series) {
            self.last.insert(Arc::clone(series), Last { start, time, amount });
        }
        seen
    }
}

/// What makes two points ones of the same series: resource, scope, metric and attributes, in whatever order.
pub(super) fn identity(
    resource: &[KeyValue],
    scope: &str,
    metric: &str,
    attributes: &[KeyValue],
) -> Arc<str> {
    let mut hash = Sha256::new();
    for list in [resource, attributes] {
        let mut encoded: Vec<Vec<u8>> = list.iter().map(Message::encode_to_vec).collect();
        encoded.sort_unstable();
        for bytes in encoded {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(&bytes);
        }
        hash.update(u64::MAX.to_le_bytes());
    }
    for text in [scope, metric] {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    format!("otlp {}", const_hex::encode(&hash.finalize()[..16])).into()
}
