//! A CSP on paper: the answers of a list, one after the other.

use std::collections::BTreeMap;
use std::collections::VecDeque;

use anyhow::Context as _;
use anyhow::bail;
use serde::Deserialize;
use serde_json::value::RawValue;

use hoth_core::domain::Event;
use hoth_core::domain::HttpResponse;
use hoth_core::domain::TransportCode;
use hoth_core::domain::TransportFailure;

/// Failures before which nothing was sent.
const UNSENT: [TransportCode; 3] =
    [TransportCode::Connect, TransportCode::OriginRefused, TransportCode::RequestRefused];

/// What is still to be answered.
#[derive(Debug, Default)]
pub struct Answers(VecDeque<Entry>);

#[derive(Debug)]
enum Entry {
    Response(HttpResponse),
    Failure(TransportFailure),
    Timer,
}

/// An answer as it is written down: with a status, or with a failure.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    status: Option<u16>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// A text is sent as it is, anything else as the JSON that it is.
    #[serde(borrow)]
    body: Option<&'a RawValue>,
    failure: Option<String>,
    message: Option<String>,
    /// Whether the request may have reached the CSP; by default all but
    /// `connect` and the refusals may.
    sent: Option<bool>,
    /// The last answer to an earlier try.
    #[serde(borrow)]
    last: Option<&'a RawValue>,
}

/// Reads a list.
pub fn parse(text: &str) -> anyhow::Result<Answers> {
    let written: Vec<&RawValue> = serde_json::from_str(text).context("they are not a JSON list")?;
    let entries = written.into_iter().enumerate().map(|(nth, written)| {
        Entry::parse(written.get()).with_context(|| format!("answer {}", nth + 1))
    });
    Ok(Answers(entries.collect::<anyhow::Result<_>>()?))
}

impl Answers {
    /// What the next request is answered. Timers before it stand for waits that
    /// did not happen.
    pub fn answer(&mut self) -> Option<Event> {
        loop {
            match self.0.pop_front()? {
                Entry::Response(response) => return Some(Event::Response(response)),
                Entry::Failure(failure) => return Some(Event::TransportFailure(failure)),
                Entry::Timer => {}
            }
        }
    }

    /// Whether a wait comes to its end: as long as anything follows it.
    pub fn timer(&mut self) -> bool {
        if let Some(Entry::Timer) = self.0.front() {
            self.0.pop_front();
            return true;
        }
        !self.0.is_empty()
    }
}

impl Entry {
    fn parse(text: &str) -> anyhow::Result<Self> {
        if text == r#""timer""# {
            return Ok(Self::Timer);
        }
        let written: Written<'_> = serde_json::from_str(text)
            .context("an answer is an object with a `status` or a `failure`, or \"timer\"")?;
        match (written.status, &written.failure) {
            (Some(status), None) => Ok(Self::Response(written.response(status)?)),
            (None, Some(_)) => Ok(Self::Failure(written.failure()?)),
            (Some(_), Some(_)) => bail!("it has both a `status` and a `failure`"),
            (None, None) => bail!("it has neither a `status` nor a `failure`"),
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
        Ok(HttpResponse { status, headers, body: body.into() })
    }

    fn failure(self) -> anyhow::Result<TransportFailure> {
        let code: TransportCode = self.failure.unwrap_or_default().parse()?;
        let last = self.last.map(|last| match Entry::parse(last.get())? {
            Entry::Response(response) => Ok(response),
            Entry::Failure(_) | Entry::Timer => bail!("`last` has a `status`"),
        });
        Ok(TransportFailure {
            code,
            sent: self.sent.unwrap_or(!UNSENT.contains(&code)),
            message: self.message.unwrap_or_else(|| format!("HOTH got no answer: {code}")),
            last_response: last.transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_their_order() {
        let mut answers = parse(
            r#"[{"status":202,"headers":{"Location":"/1"},"body":{"b":1.10,"a":1}}, "timer",
                {"failure":"timeout","last":{"status":503,"body":"down"}}, {"status":204}]"#,
        )
        .unwrap();
        let Some(Event::Response(first)) = answers.answer() else { panic!("an answer") };
        assert_eq!((first.status, first.header("location")), (202, Some("/1")));
        assert_eq!(&first.body[..], br#"{"b":1.10,"a":1}"#);
        assert!(answers.timer());
        let Some(Event::TransportFailure(second)) = answers.answer() else { panic!("a failure") };
        assert_eq!((second.code.as_str(), second.sent), ("timeout", true));
        assert_eq!(&second.last_response.unwrap().body[..], b"down");
        assert!(answers.timer(), "one more answer follows");
        let Some(Event::Response(third)) = answers.answer() else { panic!("an answer") };
        assert!(third.body.is_empty());
        assert!(answers.answer().is_none() && !answers.timer());
    }

    #[test]
    fn an_answer_that_is_none_is_named() {
        let wrong = |text| format!("{:#}", parse(text).unwrap_err());
        assert!(wrong("{}").starts_with("they are not a JSON list"));
        let other = wrong(r#"[{"status":200},{"statuss":200}]"#);
        assert!(other.starts_with("answer 2: an answer is an object"), "{other}");
        assert!(wrong(r#"[{"body":{}}]"#).contains("neither a `status` nor a `failure`"));
        assert!(wrong(r#"[{"failure":"reset","status":1}]"#).contains("both"));
        assert!(wrong(r#"[{"failure":"bored"}]"#).contains("there is no failure `bored`"));
    }
}
