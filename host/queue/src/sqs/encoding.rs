//! The encoding of messages and times for SQS.
//!
//! The body is the message's text. The other fields that SQS has no place for
//! are message attributes, which count towards SQS's limit of 1 MiB;
//! `MESSAGE_BYTES_MAX` leaves room for them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::Message;
use aws_sdk_sqs::types::MessageAttributeValue;
use aws_sdk_sqs::types::MessageSystemAttributeName;

use crate::message::NewMessage;
use crate::message::Received;
use hoth_core::domain::Digest;
use hoth_core::domain::Timestamp;

/// The job's id, as bytes: a text attribute may not hold control characters.
pub const KEY: &str = "key";
/// Present if the body is a JSON string that holds the message's text.
pub const ESCAPED: &str = "escaped";
/// The reason of a dead letter.
pub const REASON: &str = "reason";
/// The group in which a dead letter was first sent.
pub const GROUP: &str = "group";
/// The time at which a dead letter was first sent, in milliseconds.
pub const SENT: &str = "sent";
/// The number of times a dead letter was received.
pub const RECEIVES: &str = "receives";

/// The longest key or reason that is stored with a message, in bytes. Longer
/// ones are cut, so that all attributes fit beside the largest body.
const ATTRIBUTE_BYTES_MAX: usize = 768;

/// A message's text in a form that SQS accepts.
pub struct Body<'a> {
    pub text: Cow<'a, str>,
    /// The text is a JSON string: [`ESCAPED`] must be set.
    pub escaped: bool,
}

/// Escapes a text with characters that SQS refuses. It accepts
/// `#x9 | #xA | #xD | #x20-#xD7FF | #xE000-#xFFFD | #x10000-#x10FFFF` (AWS
/// documentation, "SendMessage").
pub fn to_body(text: &str) -> Body<'_> {
    let refused = |c: char| {
        c < ' ' && !matches!(c, '\t' | '\n' | '\r') || matches!(c, '\u{fffe}' | '\u{ffff}')
    };
    if !text.contains(refused) {
        return Body { text: Cow::Borrowed(text), escaped: false };
    }
    let json = serde_json::Value::from(text).to_string();
    // `serde_json` escapes control characters, but not these two.
    let json = json.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff");
    Body { text: Cow::Owned(json), escaped: true }
}

/// Returns the id by which SQS recognises a repetition of a posted message. The
/// content is in it, so the same key with other content is another message.
pub fn dedup_id_of(message: &NewMessage) -> String {
    Digest::of_fields(&[message.dedup.key.as_str(), &message.dedup.content.to_string()]).short()
}

/// Cuts a text to [`ATTRIBUTE_BYTES_MAX`], between characters.
pub fn cut(text: &str) -> &str {
    let mut end = text.len().min(ATTRIBUTE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Makes an attribute of bytes. SQS refuses empty ones, so an empty text
/// becomes one space.
pub fn binary(text: &str) -> MessageAttributeValue {
    let bytes = if text.is_empty() { " " } else { text };
    attribute("Binary", |value| value.binary_value(Blob::new(bytes)))
}

/// Makes an attribute that is a number.
pub fn number(number: u64) -> MessageAttributeValue {
    attribute("Number", |value| value.string_value(number.to_string()))
}

/// Makes the value of [`ESCAPED`].
pub fn flag() -> MessageAttributeValue {
    attribute("String", |value| value.string_value("json"))
}

fn attribute(
    data_type: &str,
    fill: impl FnOnce(
        aws_sdk_sqs::types::builders::MessageAttributeValueBuilder,
    ) -> aws_sdk_sqs::types::builders::MessageAttributeValueBuilder,
) -> MessageAttributeValue {
    let filled = fill(MessageAttributeValue::builder().data_type(data_type));
    filled.build().expect("the type is set")
}

/// The system attributes to request with each message.
pub const SYSTEM: [MessageSystemAttributeName; 4] = [
    MessageSystemAttributeName::ApproximateReceiveCount,
    MessageSystemAttributeName::MessageGroupId,
    MessageSystemAttributeName::SentTimestamp,
    MessageSystemAttributeName::SequenceNumber,
];

/// A reader of the fields of a message from SQS. Missing fields get defaults,
/// because another program may have sent the message.
pub struct Read<'a>(pub &'a Message);

impl Read<'_> {
    /// Returns the message as the contract has it.
    pub fn received(&self) -> Received {
        Received {
            group: self.system(&MessageSystemAttributeName::MessageGroupId).to_owned(),
            key: self.bytes(KEY).unwrap_or_default(),
            body: self.body(),
            sent_at: self.sent_at(),
            receive_count: self.receive_count(),
        }
    }

    /// Returns the message's text, unescaped.
    pub fn body(&self) -> String {
        let body = self.0.body().unwrap_or_default();
        let escaped = self.attributes().is_some_and(|all| all.contains_key(ESCAPED));
        let unescaped = escaped.then(|| serde_json::from_str(body).ok()).flatten();
        unescaped.unwrap_or_else(|| body.to_owned())
    }

    /// Returns the time at which SQS accepted the message.
    pub fn sent_at(&self) -> Timestamp {
        let millis = self.system(&MessageSystemAttributeName::SentTimestamp).parse();
        Timestamp::from_millis(millis.unwrap_or(0))
    }

    /// Returns the number of times the message was received.
    pub fn receive_count(&self) -> u32 {
        self.system(&MessageSystemAttributeName::ApproximateReceiveCount).parse().unwrap_or(1)
    }

    /// Returns a system attribute, or an empty text if it is missing.
    pub fn system(&self, name: &MessageSystemAttributeName) -> &str {
        self.0.attributes().and_then(|all| all.get(name)).map_or("", String::as_str)
    }

    /// Returns an attribute of bytes as text, or `None` if it is missing.
    pub fn bytes(&self, name: &str) -> Option<String> {
        let value = self.attributes()?.get(name)?.binary_value()?;
        Some(String::from_utf8_lossy(value.as_ref()).into_owned())
    }

    /// Returns an attribute that is a number, or `None` if it is missing.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.attributes()?.get(name)?.string_value()?.parse().ok()
    }

    /// Returns the message attributes, or `None` if there are none.
    fn attributes(&self) -> Option<&HashMap<String, MessageAttributeValue>> {
        self.0.message_attributes()
    }
}

/// Rounds a time up to seconds, SQS's unit: a lease or a wait may be too long,
/// but not too short.
pub fn whole_seconds(duration: Duration) -> i32 {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_back(text: &str) -> String {
        let body = to_body(text);
        let mut message = Message::builder().body(body.text.into_owned());
        if body.escaped {
            message = message.message_attributes(ESCAPED, flag());
        }
        Read(&message.build()).body()
    }

    #[test]
    fn every_text_is_encoded_for_sqs_and_decoded_again() {
        for text in
            ["plain", "a\tb\nc\rd", "\u{0}\u{1f}", "{\"a\":\"\u{ffff}\u{fffe}\"}", "\"\u{7f}é😀"]
        {
            assert_eq!(read_back(text), text);
            let accepted = to_body(text).text.chars().all(|c| {
                matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
                    || c >= '\u{10000}'
            });
            assert!(accepted, "{text:?}");
        }
    }

    #[test]
    fn attributes_are_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        let long = "é".repeat(ATTRIBUTE_BYTES_MAX);
        assert_eq!(cut(&long), "é".repeat(ATTRIBUTE_BYTES_MAX / 2));
        let odd = format!("x{long}");
        assert_eq!(cut(&odd).len(), ATTRIBUTE_BYTES_MAX - 1);
    }

    #[test]
    fn seconds_are_rounded_up() {
        for (millis, seconds) in [(0, 0), (1, 1), (1_000, 1), (1_001, 2), (43_200_000, 43_200)] {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds);
        }
    }
}
