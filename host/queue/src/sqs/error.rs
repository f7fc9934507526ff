//! The errors of SQS, mapped to those of the contract.

use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_sdk_sqs::error::SdkError;
use aws_sdk_sqs::types::BatchResultErrorEntry;

use crate::error::InvalidArgument;
use crate::error::QueueError;

/// The reason why the queues cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "no region is known\nhint: set `region` under `[queue]`, or AWS_REGION in the environment"
    )]
    NoRegion,
    #[error("`proxy` under `[queue]` is not the URL of a proxy")]
    Proxy,
    #[error("cannot {act} the SQS queue `{queue}`{hint}")]
    Call {
        /// A verb, such as `find`.
        act: &'static str,
        queue: String,
        /// A line of its own, or empty.
        hint: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the SQS queue `{queue}` is not as HOTH needs it: {}{hint}", differences.join("; "))]
    Differs { queue: String, differences: Vec<String>, hint: String },
}

/// Maps the error of a call.
pub fn of_call<E>(error: SdkError<E>) -> QueueError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match of_code(error.code().unwrap_or_default(), error.message().unwrap_or_default()) {
        Some(known) => known,
        None => QueueError::Unreachable(error.into()),
    }
}

/// Maps the error of one entry of a batch.
pub fn of_entry(entry: &BatchResultErrorEntry) -> QueueError {
    let (code, message) = (entry.code(), entry.message().unwrap_or_default());
    of_code(code, message)
        .unwrap_or_else(|| QueueError::Unreachable(format!("{code}: {message}").into()))
}

/// Maps the errors that a caller acts on. Returns `None` for all others: the
/// same call may work later.
///
/// SQS has one code for all wrong parameters, so the message decides. The
/// messages are those of the statements V3 and V9 of the conformance suite.
fn of_code(code: &str, message: &str) -> Option<QueueError> {
    let code = code.rsplit(['.', '#']).next().unwrap_or_default();
    // In batches, some servers send the name of the error's type instead.
    let code = code.strip_suffix("Exception").unwrap_or(code);
    let is = |name: &str| code == name;
    if is("MessageNotInflight")
        || is("InvalidParameterValue")
            && ["has expired", "does not exist or is not available"]
                .iter()
                .any(|words| message.contains(words))
    {
        return Some(QueueError::LeaseEnded);
    }
    if is("ReceiptHandleIsInvalid") {
        return Some(InvalidArgument::Receipt.into());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ended_leases_and_invalid_receipts_are_recognised() {
        let told = |code: &str, message: &str| match of_code(code, message) {
            Some(QueueError::LeaseEnded) => "ended",
            Some(_) => "refused",
            None => "unreachable",
        };
        for (code, message, expected) in [
            (
                "InvalidParameterValue",
                "Value h for parameter ReceiptHandle is invalid. Reason: The receipt handle has \
                 expired.",
                "ended",
            ),
            (
                "InvalidParameterValue",
                "Value h for parameter ReceiptHandle is invalid. Reason: Message does not exist \
                 or is not available for visibility timeout change.",
                "ended",
            ),
            ("InvalidParameterValueException", "Reason: The receipt handle has expired.", "ended"),
            ("AWS.SimpleQueueService.MessageNotInflight", "", "ended"),
            ("InvalidParameterValue", "Value 11 for parameter x is invalid.", "unreachable"),
            ("ReceiptHandleIsInvalid", "The input receipt handle is invalid.", "refused"),
            ("com.amazonaws.sqs#ReceiptHandleIsInvalid", "", "refused"),
            ("RequestThrottled", "", "unreachable"),
            ("AWS.SimpleQueueService.NonExistentQueue", "does not exist", "unreachable"),
        ] {
            assert_eq!(told(code, message), expected, "{code}: {message}");
        }
    }
}
