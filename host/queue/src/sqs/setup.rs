//! Finding the queues, and making those that are missing.

use std::collections::HashMap;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::ProvideErrorMetadata as _;
use aws_sdk_sqs::types::QueueAttributeName;
use serde::Deserialize;
use serde_json::Value;
use serde_json::json;

use super::OpenError;
use super::Place;
use super::release::Release;
use crate::QueueName;
use crate::SqsConfig;

/// SQS's longest: 14 days.
const RETENTION_SECONDS: &str = "1209600";

/// SQS's largest: 1 MiB. Queues made before August 2025 allow a quarter of it
/// unless they are told to.
const MESSAGE_BYTES: &str = "1048576";

/// Finds or makes a queue and the one for its dead letters.
pub async fn place(
    client: &Client,
    config: &SqsConfig,
    name: QueueName,
) -> Result<Place, OpenError> {
    let dead = Wanted { name: config.dead_letters_of(&name), dead_letters: None };
    let dead = dead.find_or_make(client).await?;
    let redrive = name
        .deliveries_max()
        .map(|most| Redrive { dead_letter_target_arn: dead.arn, max_receive_count: most.into() });
    let wanted = Wanted { name: config.messages_of(&name), dead_letters: redrive };
    let url = wanted.find_or_make(client).await?.url;
    Ok(Place {
        name,
        url,
        dead_url: dead.url,
        release: Release::default(),
        looking: tokio::sync::Mutex::default(),
    })
}

/// A queue as HOTH needs it.
struct Wanted {
    name: String,
    dead_letters: Option<Redrive>,
}

/// Where SQS moves what was received too often.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Redrive {
    dead_letter_target_arn: String,
    /// A number, which some write as a string.
    max_receive_count: Value,
}

/// A queue that is there.
struct Found {
    url: String,
    arn: String,
}

impl Wanted {
    async fn find_or_make(self, client: &Client) -> Result<Found, OpenError> {
        let url = match client.get_queue_url().queue_name(&self.name).send().await {
            Ok(found) => found.queue_url.unwrap_or_default(),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_queue_does_not_exist()) => {
                self.make(client).await?
            }
            Err(error) => return Err(self.failed("find", String::new(), error)),
        };
        let wanted = client.get_queue_attributes().queue_url(&url);
        let got = wanted.attribute_names(QueueAttributeName::All).send().await;
        let got = got.map_err(|error| self.failed("look at", String::new(), error))?;
        let attributes = got.attributes.unwrap_or_default();
        self.check(&url, &attributes)?;
        let arn = attributes.get(&QueueAttributeName::QueueArn).cloned().unwrap_or_default();
        Ok(Found { url, arn })
    }

    async fn make(&self, client: &Client) -> Result<String, OpenError> {
        let attributes = self.attributes();
        let call = client.create_queue().queue_name(&self.name);
        let made = call.set_attributes(Some(attributes)).send().await;
        let made = made.map_err(|error| {
            let hint = match error.code() {
                Some("QueueDeletedRecently" | "AWS.SimpleQueueService.QueueDeletedRecently") => {
                    "\nhint: its name is free again 60 s after it was deleted".to_owned()
                }
                _ => format!(
                    "\nhint: whoever may can make it: aws sqs create-queue --queue-name {} \
                     --attributes '{}'",
                    self.name,
                    json(&self.attributes())
                ),
            };
            self.failed("make", hint, error)
        })?;
        Ok(made.queue_url.unwrap_or_default())
    }

    /// Everything that a new queue is told, and an old one is held to.
    fn attributes(&self) -> HashMap<QueueAttributeName, String> {
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

    /// Holds a queue to what HOTH relies on; the rest, such as its key and its
    /// throughput, is the operator's.
    fn check(
        &self,
        url: &str,
        found: &HashMap<QueueAttributeName, String>,
    ) -> Result<(), OpenError> {
        let mut mend = HashMap::new();
        let mut differences = Vec::new();
        for (name, needed) in self.attributes() {
            let has = found.get(&name).map_or("", String::as_str);
            let same = if name == QueueAttributeName::RedrivePolicy {
                redrive(has) == redrive(&needed)
            } else {
                has == needed
            };
            if !same {
                let has = if has.is_empty() { "not set" } else { has };
                differences.push(format!("{name} is {has} and must be {needed}"));
                mend.insert(name, needed);
            }
        }
        if self.dead_letters.is_none()
            && let Some(has) = found.get(&QueueAttributeName::RedrivePolicy)
            && !has.is_empty()
        {
            differences.push(format!("RedrivePolicy is {has} and must not be set"));
            mend.insert(QueueAttributeName::RedrivePolicy, String::new());
        }
        if differences.is_empty() {
            return Ok(());
        }
        differences.sort();
        let hint = format!(
            "\nhint: aws sqs set-queue-attributes --queue-url {url} --attributes '{}'",
            json(&mend)
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

/// A redrive policy, however it is spelled.
fn redrive(text: &str) -> Option<(String, String)> {
    let read: Redrive = serde_json::from_str(text).ok()?;
    let count = read.max_receive_count.to_string();
    Some((read.dead_letter_target_arn, count.trim_matches('"').to_owned()))
}

/// Attributes as the command line takes them, always in the same order.
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
    fn a_queue_that_differs_is_refused_with_what_differs_and_what_to_do() {
        assert_eq!(check(&wanted(), &[]), "good");
        assert_eq!(
            check(
                &wanted(),
                &[
                    (QueueAttributeName::MaximumMessageSize, "262144"),
                    (QueueAttributeName::MessageRetentionPeriod, "345600"),
                ]
            ),
            "the SQS queue `hoth-q.fifo` is not as HOTH needs it: MaximumMessageSize is 262144 and \
             must be 1048576; MessageRetentionPeriod is 345600 and must be 1209600\n\
             hint: aws sqs set-queue-attributes --queue-url https://sqs/q --attributes \
             '{\"MaximumMessageSize\":\"1048576\",\"MessageRetentionPeriod\":\"1209600\"}'"
        );
    }

    #[test]
    fn what_is_the_operators_may_differ() {
        let own = [
            (QueueAttributeName::KmsMasterKeyId, "alias/hoth"),
            (QueueAttributeName::FifoThroughputLimit, "perMessageGroupId"),
            (QueueAttributeName::DeduplicationScope, "messageGroup"),
            (QueueAttributeName::VisibilityTimeout, "7"),
        ];
        assert_eq!(check(&wanted(), &own), "good");
    }

    #[test]
    fn a_redrive_policy_counts_by_what_it_says() {
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
