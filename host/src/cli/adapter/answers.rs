//! A scripted CSP: the responses of a list, in order.

use std::collections::BTreeMap;
use std::collections::VecDeque;

use anyhow::Context as _;
use anyhow::bail;
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use hoth_core::domain::Event;
use hoth_core::domain::HttpResponse;
use hoth_core::domain::TransportCode;
use hoth_core::domain::TransportFailure;

/// Failures of requests that were not sent.
const UNSENT: [TransportCode; 3] =
    [TransportCode::Connect, TransportCode::OriginRefused, TransportCode::RequestRefused];

/// The remaining responses.
#[derive(Debug, Default)]
pub struct Answers {
    left: VecDeque<Entry>,
    /// The length of the whole list.
    total: usize,
}

/// An entry of the list.
#[derive(Debug)]
enum Entry {
    Response(HttpResponse),
    Failure(TransportFailure),
    Timer,
}

/// A response or a failure, as it is written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    status: Option<u16>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The body: a string is text, any other value is JSON.
    #[serde(borrow)]
    body: Option<&'a RawValue>,
    failure: Option<String>,
    message: Option<String>,
    /// Defaults to `true`, except for `connect` and the refusals.
    sent: Option<bool>,
    /// The last response to an earlier attempt.
    #[serde(borrow)]
    last: Option<&'a RawValue>,
}

/// Parses a list of responses.
pub fn parse(text: &str) -> anyhow::Result<Answers> {
    let written: Vec<&RawValue> = serde_json::from_str(text).context("expected a JSON list")?;
    let entries = written.into_iter().enumerate().map(|(nth, written)| {
        Entry::parse(written.get()).with_context(|| format!("answer {}", nth + 1))
    });
    let left = entries.collect::<anyhow::Result<VecDeque<_>>>()?;
    Ok(Answers { total: left.len(), left })
}

impl Answers {
    /// Returns the list with these events.
    pub fn of(events: Vec<Event>) -> Self {
        let entry = |event| match event {
            Event::Response(response) => Entry::Response(response),
            Event::TransportFailure(failure) => Entry::Failure(failure),
            Event::Timer => Entry::Timer,
        };
        let left: VecDeque<_> = events.into_iter().map(entry).collect();
        Self { total: left.len(), left }
    }

    /// Returns the event for the next request, to `url`, or `None` if the list
    /// is used up. Skips timers before that event, which belong to waits that
    /// did not happen.
    pub fn answer(&mut self, url: Option<&Url>) -> Option<Event> {
        // That of a recorded response stays.
        let from = |response: HttpResponse| match response.url.is_empty() {
            true => HttpResponse { url: url.map(Url::to_string).unwrap_or_default(), ..response },
            false => response,
        };
        loop {
            match self.left.pop_front()? {
                Entry::Response(response) => return Some(Event::Response(from(response))),
                Entry::Failure(failure) => {
                    let last_response = failure.last_response.map(from);
                    let failure = TransportFailure { last_response, ..failure };
                    return Some(Event::TransportFailure(failure));
                }
                Entry::Timer => {}
            }
        }
    }

    /// Ends a wait. Returns `false` if nothing follows the wait.
    pub fn timer(&mut self) -> bool {
        // Timers are optional in a list: a wait without a timer ends, too.
        if let Some(Entry::Timer) = self.left.front() {
            self.left.pop_front();
            return true;
        }
        !self.left.is_empty()
    }

    /// Returns the numbers of the first and the last entry that is left, or
    /// `None` if only timers are left.
    pub fn unused(&self) -> Option<(usize, usize)> {
        let is_left = self.left.iter().any(|entry| !matches!(entry, Entry::Timer));
        is_left.then(|| (self.total - self.left.len() + 1, self.total))
    }
}

impl Entry {
    fn parse(text: &str) -> anyhow::Result<Self> {
        if text == r#""timer""# {
            return Ok(Self::Timer);
        }
        let written: Written<'_> = serde_json::from_str(text)
            .context("expected an object with `status` or `failure`, or \"timer\"")?;
        match (written.status, &written.failure) {
            (Some(status), None) => Ok(Self::Response(written.response(status)?)),
            (None, Some(_)) => Ok(Self::Failure(written.failure()?)),
            (Some(_), Some(_)) => bail!("has both `status` and `failure`"),
            (None, None) => bail!("has neither `status` nor `failure`"),
        }
    }
}

impl Written<'_> {
    fn response(self, status: u16) -> anyhow::Result<HttpResponse> {
        let headers = self.headers.into_iter();
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        let body = match self.body.map(RawValue::get) {
            None => String::new(),
            Some(text) if text.starts_with('"') => serde_json::from_str(text)?,
            Some(json) => json.to_owned(),
        };
        Ok(HttpResponse { status, url: String::new(), tries: 1, headers, body: body.into() })
    }

    fn failure(self) -> anyhow::Result<TransportFailure> {
        let code: TransportCode = self.failure.unwrap_or_default().parse()?;
        let last = self.last.map(|last| match Entry::parse(last.get())? {
            Entry::Response(response) => Ok(response),
            Entry::Failure(_) | Entry::Timer => bail!("`last` must have a `status`"),
        });
        Ok(TransportFailure {
            code,
            sent: self.sent.unwrap_or(!UNSENT.contains(&code)),
            message: self.message.unwrap_or_else(|| format!("no response: {code}")),
            last_response: last.transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_given_in_order() {
        let mut answers = parse(
            r#"[{"status":202,"headers":{"Location":"/1"},"body":{"b":1.10,"a":1}}, "timer",
                {"failure":"timeout","last":{"status":503,"body":"down"}}, {"status":204}]"#,
        )
        .unwrap();
        let Some(Event::Response(first)) = answers.answer(None) else { panic!("an answer") };
        assert_eq!((first.status, first.header("location")), (202, Some("/1")));
        assert_eq!(&first.body[..], br#"{"b":1.10,"a":1}"#);
        assert!(answers.timer());
        let Some(Event::TransportFailure(second)) = answers.answer(None) else {
            panic!("a failure")
        };
        assert_eq!((second.code.as_str(), second.sent), ("timeout", true));
        assert_eq!(&second.last_response.unwrap().body[..], b"down");
        assert_eq!(answers.unused(), Some((4, 4)));
        assert!(answers.timer(), "another answer follows");
        let Some(Event::Response(third)) = answers.answer(None) else { panic!("an answer") };
        assert!(third.body.is_empty());
        assert!(answers.answer(None).is_none() && !answers.timer());
        assert_eq!(answers.unused(), None);
    }

    #[test]
    fn an_invalid_answer_is_named() {
        let wrong = |text| format!("{:#}", parse(text).unwrap_err());
        assert!(wrong("{}").starts_with("expected a JSON list"));
        let other = wrong(r#"[{"status":200},{"statuss":200}]"#);
        assert!(other.starts_with("answer 2: expected an object"), "{other}");
        assert!(wrong(r#"[{"body":{}}]"#).contains("neither `status` nor `failure`"));
        assert!(wrong(r#"[{"failure":"reset","status":1}]"#).contains("both"));
        assert!(wrong(r#"[{"failure":"bored"}]"#).contains("`bored` is not a transport failure"));
    }
}
