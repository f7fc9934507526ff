//! How messages are written for SQS.
//!
//! The body is the message. What else the trait knows of it stands in message
//! attributes, which count towards SQS's limit of 1 MiB; `MESSAGE_BYTES_MAX`
//! leaves room for them.

use std::borrow::Cow;
use std::collections::HashMap;

use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::Message;
use aws_sdk_sqs::types::MessageAttributeValue;
use aws_sdk_sqs::types::MessageSystemAttributeName;

use crate::NewMessage;
use crate::Received;
use hoth_core::domain::Digest;
use hoth_core::domain::Timestamp;

/// The job's id. As bytes: attributes may not be empty, nor have control
/// characters.
pub const KEY: &str = "key";
/// Set where the body is a JSON string that holds the message.
pub const ESCAPED: &str = "escaped";
/// Of a dead letter: why it died.
pub const REASON: &str = "reason";
/// Of a dead letter: the group that it was sent in.
pub const GROUP: &str = "group";
/// Of a dead letter: when it was first sent, in milliseconds.
pub const SENT: &str = "sent";
/// Of a dead letter: how often it was received.
pub const RECEIVES: &str = "receives";

/// The most of a key, or of a reason, that is kept with a message.
const ATTRIBUTE_BYTES_MAX: usize = 768;

/// A message's text as SQS takes it.
pub struct Body<'a> {
    pub text: Cow<'a, str>,
    pub escaped: bool,
}

/// Escapes a text that holds what SQS refuses: it takes
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
    // JSON escapes all others.
    let json = json.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff");
    Body { text: Cow::Owned(json), escaped: true }
}

/// The id under which SQS recognises a repetition of what was posted: with
/// other content it is another message.
pub fn dedup_of(message: &NewMessage) -> String {
    Digest::of_fields(&[&message.dedup.key, &message.dedup.content.to_string()]).short()
}

/// As much of a text as an attribute keeps.
pub fn cut(text: &str) -> &str {
    let mut end = text.len().min(ATTRIBUTE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// An attribute of bytes; an empty text has one space, since an attribute is
/// not empty.
pub fn binary(text: &str) -> MessageAttributeValue {
    let bytes = if text.is_empty() { " " } else { text };
    attribute("Binary", |value| value.binary_value(Blob::new(bytes)))
}

/// An attribute that is a number.
pub fn number(number: u64) -> MessageAttributeValue {
    attribute("Number", |value| value.string_value(number.to_string()))
}

/// An attribute that says yes.
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

/// The system attributes that are asked for with each message.
pub const SYSTEM: [MessageSystemAttributeName; 4] = [
    MessageSystemAttributeName::ApproximateReceiveCount,
    MessageSystemAttributeName::MessageGroupId,
    MessageSystemAttributeName::SentTimestamp,
    MessageSystemAttributeName::SequenceNumber,
];

/// A message as SQS delivers it, with what is missing filled in: another hand
/// may have sent it.
pub struct Read<'a>(pub &'a Message);

impl Read<'_> {
    /// A message of a queue, as the trait has it.
    pub fn received(&self) -> Received {
        Received {
            group: self.system(&MessageSystemAttributeName::MessageGroupId).to_owned(),
            key: self.bytes(KEY).unwrap_or_default(),
            body: self.body(),
            sent_at: self.sent_at(),
            receive_count: self.receive_count(),
        }
    }

    /// The message's text, unescaped.
    pub fn body(&self) -> String {
        let body = self.0.body().unwrap_or_default();
        let escaped = self.attributes().is_some_and(|all| all.contains_key(ESCAPED));
        let unescaped = escaped.then(|| serde_json::from_str(body).ok()).flatten();
        unescaped.unwrap_or_else(|| body.to_owned())
    }

    /// When SQS took it.
    pub fn sent_at(&self) -> Timestamp {
        let millis = self.system(&MessageSystemAttributeName::SentTimestamp).parse();
        Timestamp::from_millis(millis.unwrap_or(0))
    }

    /// How often it was received.
    pub fn receive_count(&self) -> u32 {
        self.system(&MessageSystemAttributeName::ApproximateReceiveCount).parse().unwrap_or(1)
    }

    /// A system attribute; empty where SQS does not give it.
    pub fn system(&self, name: &MessageSystemAttributeName) -> &str {
        self.0.attributes().and_then(|all| all.get(name)).map_or("", String::as_str)
    }

    /// An attribute of bytes, as text.
    pub fn bytes(&self, name: &str) -> Option<String> {
        let value = self.attributes()?.get(name)?.binary_value()?;
        Some(String::from_utf8_lossy(value.as_ref()).into_owned())
    }

    /// An attribute that is a number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.attributes()?.get(name)?.string_value()?.parse().ok()
    }

    fn attributes(&self) -> Option<&HashMap<String, MessageAttributeValue>> {
        self.0.message_attributes()
    }
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
    fn every_text_is_read_back_and_sqs_takes_it() {
        for text in
            ["plain", "a\tb\nc\rd", "\u{0}\u{1f}", "{\"a\":\"\u{ffff}\u{fffe}\"}", "\"\u{7f}é😀"]
        {
            assert_eq!(read_back(text), text);
            let taken = to_body(text).text.chars().all(|c| {
                matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
                    || c >= '\u{10000}'
            });
            assert!(taken, "{text:?}");
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
}
