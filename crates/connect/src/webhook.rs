//! What webhooks are told: a journal entry as a `CloudEvent`, or as a message for a chat, and the signature on it.
//!
//! There is no standard for flag changes; the type is our own, `dev.knightwatch.` and the entry's kind. The signature is
//! HMAC-SHA256 over the time, a dot and the body, so that a body that was caught cannot be sent again later. Knows nothing of when
//! or how often it is sent.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::Sha256;

use knightwatch_core::{control::Entry, telemetry::Millis};

/// How an entry is put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HookFormat {
    /// `CloudEvents` 1.0, structured.
    #[default]
    CloudEvents,
    /// `{"text": "..."}`, as Slack and its relatives take it.
    Slack,
}

impl HookFormat {
    /// The content type of [`Self::body`].
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::CloudEvents => "application/cloudevents+json",
            Self::Slack => "application/json",
        }
    }

    /// `entry` of `environment` as a body. `mark` says which history the entry is of: numbers begin again where a backup is
    /// restored, and an event's id must not.
    #[must_use]
    pub fn body(self, environment: &str, mark: &str, entry: &Entry) -> String {
        let body = match self {
            Self::CloudEvents => {
                let mut event = json!({
                    "specversion": "1.0",
                    "id": format!("{environment}/{}-{mark}", entry.seq.0),
                    "source": format!("/knightwatch/{}", in_path(environment)),
                    "type": format!("dev.knightwatch.{}", entry.event.kind()),
                    "time": rfc3339(entry.at),
                    "datacontenttype": "application/json",
                    "data": entry,
                });
                if let Some(flag) = &entry.flag {
                    event["subject"] = json!(flag);
                }
                event
            }
            Self::Slack => json!({
                "text": format!("[{}] {} ({})", plain(environment), plain(&entry.sentence), plain(&entry.actor.to_string())),
            }),
        };
        body.to_string()
    }
}

/// What chats would read as markup or mentions.
fn plain(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A name as a part of a URI reference.
fn in_path(name: &str) -> String {
    name.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

fn rfc3339(at: Millis) -> String {
    at.timestamp().unwrap_or_default().to_string()
}

/// The value of the header `knightwatch-signature`: `t=SECONDS,v1=HEX`, the HMAC-SHA256 of `SECONDS.BODY`.
#[must_use]
pub fn signature(secret: &[u8], seconds: u64, body: &str) -> Option<String> {
    // HMAC takes keys of any length; `None` would be a fault of the crate.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    mac.update(format!("{seconds}.{body}").as_bytes());
    let digest = mac.finalize().into_bytes();
    Some(format!("t={seconds},v1={}", const_hex::encode(digest)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use knightwatch_core::control::{Actor, Event, Seq};

    fn entry() -> Entry {
        Entry {
            seq: Seq(7),
            at: Millis(1_772_442_000_250),
            actor: Actor::Person("ana <@U1>".to_owned()),
            flag: Some("new-checkout".parse().unwrap()),
            event: Event::Rearmed,
            sentence: "a < b".to_owned(),
        }
    }

    #[test]
    fn an_entry_is_a_cloud_event_with_an_id_of_its_own() {
        let body: serde_json::Value =
            serde_json::from_str(&HookFormat::CloudEvents.body("prod eu", "c0ffee", &entry())).unwrap();
        assert_eq!(body["id"], "prod eu/7-c0ffee");
        assert_eq!(body["source"], "/knightwatch/prod%20eu");
        assert_eq!(body["type"], "dev.knightwatch.re-arm");
        assert_eq!(body["time"], "2026-03-02T09:00:00.25Z");
        assert_eq!((&body["subject"], &body["data"]["seq"]), (&json!("new-checkout"), &json!(7)));
    }

    #[test]
    fn a_chat_is_told_text_that_mentions_nobody() {
        assert_eq!(
            HookFormat::Slack.body("prod", "c0ffee", &entry()),
            r#"{"text":"[prod] a &lt; b (ana &lt;@U1&gt;)"}"#
        );
    }

    #[test]
    fn the_signature_is_that_of_openssl() {
        // printf '1772442000.{"a":1}' | openssl dgst -sha256 -hmac secret
        let expected = "t=1772442000,v1=8f80f9670d98717774d3e3034f8cbfc9e2eb0e240c45cee1d09d044ed1170a30";
        assert_eq!(signature(b"secret", 1_772_442_000, r#"{"a":1}"#).unwrap(), expected);
    }
}
