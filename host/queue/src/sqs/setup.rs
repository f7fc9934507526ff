//! Finding the queues on SQS, and making the missing ones.

use std::collections::HashMap;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::ProvideErrorMetadata as _;
use aws_sdk_sqs::types::QueueAttributeName;
use serde::Deserialize;
use serde_json::Value;
use serde_json::json;
use tracing::warn;

use super::error::OpenError;
use super::release::Releases;
use super::shared::QueuePair;
use crate::name::QueueName;
use crate::sqs_config::SqsConfig;
use hoth_core::domain::MESSAGE_BYTES_MAX;

/// The time for which SQS keeps messages: its longest, 14 days.
const RETENTION_SECONDS: &str = "1209600";

/// The size of the largest message of a new queue: SQS's largest, 1 MiB.
const MESSAGE_BYTES: &str = "1048576";

/// The smallest such size that HOTH works with: the largest of queues made
/// before August 2025, and of some compatible servers.
const MESSAGE_BYTES_LEAST: usize = 262_144;

/// The part of a message that its attributes may take.
const ATTRIBUTE_BYTES: usize = 2_048;

/// Finds a queue and the one for its dead letters, or makes them.
///
/// # Errors
///
/// [`OpenError`] if SQS refuses a call, or if a queue lacks an attribute that
/// HOTH relies on.
pub async fn find_or_make(
    client: &Client,
    config: &SqsConfig,
    name: QueueName,
) -> Result<QueuePair, OpenError> {
    // The dead-letter queue first: the redrive policy needs its ARN.
    let dead = Wanted { name: config.dead_letters_of(&name), dead_letters: None };
    let dead = dead.find_or_make(client).await?;
    let redrive = name
        .deliveries_max()
        .map(|most| Redrive { dead_letter_target_arn: dead.arn, max_receive_count: most.into() });
    let wanted = Wanted { name: config.messages_of(&name), dead_letters: redrive };
    let found = wanted.find_or_make(client).await?;
    // A message must fit the dead letters, too.
    let message_bytes = found.message_bytes.min(dead.message_bytes);
    Ok(QueuePair {
        name,
        url: found.url,
        dead_url: dead.url,
        text_bytes_max: message_bytes.saturating_sub(ATTRIBUTE_BYTES).min(MESSAGE_BYTES_MAX),
        releases: Releases::default(),
        scanning: tokio::sync::Mutex::default(),
    })
}

/// A queue as HOTH needs it.
struct Wanted {
    name: String,
    dead_letters: Option<Redrive>,
}

/// The redrive policy: SQS moves a message that was received too often to the
/// dead letters.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Redrive {
    dead_letter_target_arn: String,
    /// A number; some servers write it as a string.
    max_receive_count: Value,
}

/// A queue that exists.
struct Found {
    url: String,
    arn: String,
    /// The size of the largest message, with its attributes.
    message_bytes: usize,
}

impl Wanted {
    async fn find_or_make(self, client: &Client) -> Result<Found, OpenError> {
        // Made only if it is missing, so that a host without the permission to
        // make queues can use those of an administrator.
        let url = match client.get_queue_url().queue_name(&self.name).send().await {
            Ok(found) => found.queue_url.unwrap_or_default(),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_queue_does_not_exist()) => {
                self.make(client).await?
            }
            Err(error) => return Err(self.failed("find", String::new(), error)),
        };
        let wanted = client.get_queue_attributes().queue_url(&url);
        let got = wanted.attribute_names(QueueAttributeName::All).send().await;
        let got =
            got.map_err(|error| self.failed("read the attributes of", String::new(), error))?;
        let attributes = got.attributes.unwrap_or_default();
        self.check(&url, &attributes)?;
        let arn = attributes.get(&QueueAttributeName::QueueArn).cloned().unwrap_or_default();
        let message_bytes = message_bytes(&attributes);
        let most: usize = MESSAGE_BYTES.parse().unwrap_or(MESSAGE_BYTES_LEAST);
        if message_bytes < most {
            warn!(
                queue = %self.name,
                "The queue takes messages of up to {message_bytes} bytes; larger requests are \
                 refused, and larger outcomes become failures. To allow {MESSAGE_BYTES} bytes: \
                 aws sqs set-queue-attributes --queue-url {url} --attributes \
                 MaximumMessageSize={MESSAGE_BYTES}"
            );
        }
        Ok(Found { url, arn, message_bytes })
    }

    async fn make(&self, client: &Client) -> Result<String, OpenError> {
        let create = async |attributes| {
            // If another host has just made the queue, with the same
            // attributes, SQS returns its URL (AWS documentation,
            // "CreateQueue").
            let call = client.create_queue().queue_name(&self.name);
            call.set_attributes(Some(attributes)).send().await
        };
        let made = match create(self.attributes()).await {
            // Some compatible servers know the earlier limit only.
            Err(error)
                if error.code().is_some_and(|code| code.contains("InvalidAttributeValue")) =>
            {
                let mut attributes = self.attributes();
                let least = MESSAGE_BYTES_LEAST.to_string();
                attributes.insert(QueueAttributeName::MaximumMessageSize, least);
                create(attributes).await
            }
            made => made,
        };
        let made = made.map_err(|error| {
            let hint = match error.code() {
                Some("QueueDeletedRecently" | "AWS.SimpleQueueService.QueueDeletedRecently") => {
                    "\nhint: the name is free again 60 s after the queue was deleted".to_owned()
                }
                _ => format!(
                    "\nhint: an administrator can make it: aws sqs create-queue --queue-name {} \
                     --attributes '{}'",
                    self.name,
                    json(&self.attributes())
                ),
            };
            self.failed("make", hint, error)
        })?;
        Ok(made.queue_url.unwrap_or_default())
    }

    /// Returns the attributes that a new queue gets, and that an existing one
    /// must have.
    fn attributes(&self) -> HashMap<QueueAttributeName, String> {
        // The visibility timeout and content-based deduplication are not among
        // them: every receive and every send gives its own.
        let mut attributes = HashMap::from([
            (QueueAttributeName::FifoQueue, "true".to_owned()),
            (QueueAttributeName::MessageRetentionPeriod, RETENTION_SECONDS.to_owned()),
            (QueueAttributeName::MaximumMessageSize, MESSAGE_BYTES.to_owned()),
            (QueueAttributeName::DelaySeconds, "0".to_owned()),
        ]);
        if let Some(redrive) = &self.dead_letters {
            attributes.insert(QueueAttributeName::RedrivePolicy, redrive.to_string());
        }
        attributes
    }

    /// Compares a queue's attributes with those that HOTH relies on. The rest,
    /// such as encryption and throughput, is the operator's choice.
    fn check(
        &self,
        url: &str,
        found: &HashMap<QueueAttributeName, String>,
    ) -> Result<(), OpenError> {
        let mut fixes = HashMap::new();
        let mut differences = Vec::new();
        for (name, needed) in self.attributes() {
            let has = found.get(&name).map_or("", String::as_str);
            let same = if name == QueueAttributeName::RedrivePolicy {
                redrive(has) == redrive(&needed)
            } else if name == QueueAttributeName::MaximumMessageSize {
                message_bytes(found) >= MESSAGE_BYTES_LEAST
            } else {
                has == needed
            };
            if !same {
                let has = if has.is_empty() { "not set" } else { has };
                differences.push(format!("{name} is {has} and must be {needed}"));
                fixes.insert(name, needed);
            }
        }
        // Such a policy would move messages away without a report, such as
        // outcomes that ServiceNow has not collected yet.
        if self.dead_letters.is_none()
            && let Some(has) = found.get(&QueueAttributeName::RedrivePolicy)
            && !has.is_empty()
        {
            differences.push(format!("RedrivePolicy is {has} and must not be set"));
            fixes.insert(QueueAttributeName::RedrivePolicy, String::new());
        }
        if differences.is_empty() {
            return Ok(());
        }
        // A map has no order; the operator's message needs one.
        differences.sort();
        let hint = format!(
            "\nhint: aws sqs set-queue-attributes --queue-url {url} --attributes '{}'",
            json(&fixes)
        );
        Err(OpenError::Differs { queue: self.name.clone(), differences, hint })
    }

    fn failed(
        &self,
        act: &'static str,
        hint: String,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> OpenError {
        OpenError::Call { act, queue: self.name.clone(), hint, source: source.into() }
    }
}

impl std::fmt::Display for Redrive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let policy = json!({
            "deadLetterTargetArn": self.dead_letter_target_arn,
            "maxReceiveCount": self.max_receive_count,
        });
        write!(f, "{policy}")
    }
}

/// Reads the size of the largest message. A server that does not tell is taken
/// to have the smallest one.
fn message_bytes(attributes: &HashMap<QueueAttributeName, String>) -> usize {
    let told = attributes.get(&QueueAttributeName::MaximumMessageSize);
    told.and_then(|size| size.parse().ok()).unwrap_or(MESSAGE_BYTES_LEAST)
}

/// Parses a redrive policy, so that two spellings of one policy are equal.
fn redrive(text: &str) -> Option<(String, String)> {
    let read: Redrive = serde_json::from_str(text).ok()?;
    let count = read.max_receive_count.to_string();
    Some((read.dead_letter_target_arn, count.trim_matches('"').to_owned()))
}

/// Writes attributes as the AWS CLI takes them, in a fixed order.
fn json(attributes: &HashMap<QueueAttributeName, String>) -> String {
    let map: serde_json::Map<String, Value> = attributes
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), Value::from(value.as_str())))
        .collect();
    Value::Object(map).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:sqs:us-east-1:000000000000:hoth-dead-q.fifo";

    fn wanted() -> Wanted {
        let redrive =
            Redrive { dead_letter_target_arn: ARN.to_owned(), max_receive_count: json!(1_000) };
        Wanted { name: "hoth-q.fifo".to_owned(), dead_letters: Some(redrive) }
    }

    fn check(wanted: &Wanted, change: &[(QueueAttributeName, &str)]) -> String {
        let mut found = wanted.attributes();
        for (name, value) in change {
            found.insert(name.clone(), (*value).to_owned());
        }
        match wanted.check("https://sqs/q", &found) {
            Ok(()) => "good".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_queue_that_differs_is_refused_with_the_differences_and_a_hint() {
        assert_eq!(check(&wanted(), &[]), "good");
        assert_eq!(
            check(
                &wanted(),
                &[
                    (QueueAttributeName::MaximumMessageSize, "65536"),
                    (QueueAttributeName::MessageRetentionPeriod, "345600"),
                ]
            ),
            "the SQS queue `hoth-q.fifo` is not as HOTH needs it: MaximumMessageSize is 65536 and \
             must be 1048576; MessageRetentionPeriod is 345600 and must be 1209600\n\
             hint: aws sqs set-queue-attributes --queue-url https://sqs/q --attributes \
             '{\"MaximumMessageSize\":\"1048576\",\"MessageRetentionPeriod\":\"1209600\"}'"
        );
    }

    #[test]
    fn attributes_of_the_operator_may_differ() {
        let own = [
            (QueueAttributeName::KmsMasterKeyId, "alias/hoth"),
            (QueueAttributeName::FifoThroughputLimit, "perMessageGroupId"),
            (QueueAttributeName::DeduplicationScope, "messageGroup"),
            (QueueAttributeName::VisibilityTimeout, "7"),
            (QueueAttributeName::MaximumMessageSize, "262144"),
        ];
        assert_eq!(check(&wanted(), &own), "good");
    }

    #[test]
    fn redrive_policies_are_compared_by_meaning() {
        let policy = |text: &str| check(&wanted(), &[(QueueAttributeName::RedrivePolicy, text)]);
        let spelled = format!(r#"{{"maxReceiveCount": "1000", "deadLetterTargetArn":"{ARN}"}}"#);
        assert_eq!(policy(&spelled), "good");
        for wrong in ["", "{}", &spelled.replace("1000", "20"), &spelled.replace("dead", "other")] {
            assert!(policy(wrong).contains("RedrivePolicy is"), "{wrong}");
        }
        let outcomes = Wanted { dead_letters: None, ..wanted() };
        let refused = check(&outcomes, &[(QueueAttributeName::RedrivePolicy, &spelled)]);
        assert!(refused.contains("must not be set"), "{refused}");
    }
}
