//! From what was taped to what may be kept: secrets and personal data give way
//! to pseudonyms.
//!
//! A job is read twice. First everything is looked for that must not be kept:
//! what stands under a [known key](rules), and what looks like an address, a
//! number of a person, or a token, wherever it [stands](text). Then each of
//! them is replaced, wherever it occurs in the job, by the same
//! [pseudonym] of the same shape. So what was equal stays equal, and
//! a replay goes the way that the job went. Which value had which pseudonym is
//! known to nobody afterwards, and another job has others.

mod pseudonym;
mod rules;
mod text;

use serde_json::Map;
use serde_json::Number;
use serde_json::Value;
use serde_json::value::RawValue;
use serde_json::value::to_raw_value;

pub use rules::Rules;

use self::pseudonym::Pseudonyms;
use self::rules::Class;
use super::Body;
use super::Call;
use super::Facts;
use super::Journal;
use super::Response;
use super::Tape;
use super::Taped;
use super::Told;
use super::Took;
use crate::domain::Digest;
use crate::domain::Event;
use crate::domain::HttpResponse;
use crate::domain::Timestamp;
use crate::domain::TransportFailure;

impl Rules {
    /// The journal of a job that is over. None: more must be redacted than a
    /// journal is worth, or the job's facts are no JSON.
    pub fn redact(&self, tape: Tape, version: Digest, finished_at: Timestamp) -> Option<Journal> {
        let input: Value = serde_json::from_str(&tape.facts.input).ok()?;
        let settings: Value = serde_json::from_str(&tape.facts.settings).ok()?;
        let mut calls: Vec<Call> = tape.calls.into_iter().map(call).collect();
        let mut job = Job { id: tape.facts.id, input, settings, context: tape.facts.context };

        let mut found = Pseudonyms::default();
        let mut finder = Finder { rules: self, found: &mut found };
        finder.job(&job);
        calls.iter().for_each(|call| finder.call(call));
        let names = found.settle()?;
        let replacer = Replacer { names: &names };
        replacer.job(&mut job);
        calls.iter_mut().for_each(|call| replacer.call(call));

        let facts = Facts {
            id: job.id,
            operation: tape.facts.operation,
            input: raw(&job.input),
            settings: raw(&job.settings),
            context: job.context,
        };
        Some(Journal::new(tape.adapter, version, tape.csp, finished_at, facts, calls))
    }
}

struct Job {
    id: String,
    input: Value,
    settings: Value,
    context: Vec<(String, String)>,
}

/// Looks for what must not be kept.
struct Finder<'a> {
    rules: &'a Rules,
    found: &'a mut Pseudonyms,
}

impl Finder<'_> {
    fn job(&mut self, job: &Job) {
        self.text(&job.id);
        self.json(&job.input, None);
        self.json(&job.settings, None);
        self.pairs(&job.context);
    }

    fn call(&mut self, call: &Call) {
        match &call.told {
            Told::Begin | Told::Timer => {}
            Told::Response(response) => self.response(response),
            Told::Failure { message, last, .. } => {
                self.text(message);
                last.iter().for_each(|response| self.response(response));
            }
        }
        if let Took::Send { target, .. } = &call.took {
            self.text(target);
        }
    }

    fn response(&mut self, response: &Response) {
        self.pairs(&response.headers);
        match &response.body {
            Body::Text(text) => match serde_json::from_str(text) {
                Ok(json) => self.json(&json, None),
                Err(_) => self.text(text),
            },
            Body::Bytes(_) => {}
        }
    }

    fn pairs(&mut self, pairs: &[(String, String)]) {
        for (name, value) in pairs {
            match self.rules.class_of(name) {
                Some(class) => self.found.add(value, class),
                None => self.text(value),
            }
        }
    }

    /// `class` is that of the key above.
    fn json(&mut self, value: &Value, class: Option<Class>) {
        match (value, class) {
            (Value::Null | Value::Bool(_), _) => {}
            (Value::String(text), Some(class)) => {
                self.found.add(text, class);
                // A list of addresses is replaced as a whole, and each of them
                // where it stands alone.
                self.text(text);
            }
            (Value::String(text), None) => self.text(text),
            (Value::Number(number), Some(class)) => self.found.add(&number.to_string(), class),
            (Value::Number(number), None) => self.text(&number.to_string()),
            (Value::Array(values), _) => values.iter().for_each(|each| self.json(each, class)),
            (Value::Object(fields), _) => {
                for (key, value) in fields {
                    self.text(key);
                    self.json(value, self.rules.class_of(key).or(class));
                }
            }
        }
    }

    fn text(&mut self, text: &str) {
        text::find(text, self.rules, |found, class| self.found.add(found, class));
    }
}

/// Puts the pseudonyms in.
struct Replacer<'a> {
    names: &'a pseudonym::Settled,
}

impl Replacer<'_> {
    fn job(&self, job: &mut Job) {
        self.text(&mut job.id);
        self.json(&mut job.input);
        self.json(&mut job.settings);
        self.pairs(&mut job.context);
    }

    fn call(&self, call: &mut Call) {
        match &mut call.told {
            Told::Begin | Told::Timer => {}
            Told::Response(response) => self.response(response),
            Told::Failure { message, last, .. } => {
                self.text(message);
                last.iter_mut().for_each(|response| self.response(response));
            }
        }
        if let Took::Send { target, .. } = &mut call.took {
            self.text(target);
        }
    }

    fn response(&self, response: &mut Response) {
        self.pairs(&mut response.headers);
        let Body::Text(text) = &mut response.body else { return };
        match serde_json::from_str(text) {
            // Written anew even where nothing was found: a key that is there
            // twice is found once only.
            Ok(mut json) => {
                self.json(&mut json);
                *text = json.to_string();
            }
            Err(_) => self.text(text),
        }
    }

    fn pairs(&self, pairs: &mut [(String, String)]) {
        pairs.iter_mut().for_each(|(_, value)| self.text(value));
    }

    fn json(&self, value: &mut Value) {
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::String(text) => self.text(text),
            Value::Number(number) => {
                if let Some(name) = self.names.whole(&number.to_string()) {
                    // Digits became digits; a form that did not is a string.
                    let number: Option<Number> = name.parse().ok();
                    *value = number.map_or_else(|| Value::String(name.to_owned()), Value::Number);
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|each| self.json(each)),
            Value::Object(fields) => {
                let renamed = std::mem::take(fields).into_iter().map(|(mut key, mut value)| {
                    self.names.replace_in_key(&mut key);
                    self.json(&mut value);
                    (key, value)
                });
                *fields = renamed.collect::<Map<_, _>>();
            }
        }
    }

    fn text(&self, text: &mut String) {
        self.names.replace(text);
    }
}

fn call(taped: Taped) -> Call {
    let told = match taped.event {
        None => Told::Begin,
        Some(Event::Timer) => Told::Timer,
        Some(Event::Response(answer)) => Told::Response(response(answer)),
        Some(Event::TransportFailure(TransportFailure { code, message, sent, last_response })) => {
            let last = last_response.map(response);
            Told::Failure { code: code.to_owned(), message, sent, last }
        }
    };
    let Taped { attempt, now, entropy, event: _, took } = taped;
    Call { attempt, now, entropy, told, took }
}

fn response(answer: HttpResponse) -> Response {
    let body = match String::from_utf8(answer.body.into()) {
        Ok(text) => Body::Text(text),
        Err(bytes) => Body::Bytes(bytes.as_bytes().len()),
    };
    Response { status: answer.status, headers: answer.headers, body }
}

fn raw(value: &Value) -> Box<RawValue> {
    to_raw_value(value).expect("a JSON value has string keys and writing to memory succeeds")
}

#[cfg(test)]
mod tests {
    use expect_test::Expect;
    use expect_test::expect;

    use super::*;
    use crate::replay::RedactConfig;
    use crate::replay::tape::tests::answer;
    use crate::replay::tape::tests::send;
    use crate::replay::tape::tests::tape;
    use crate::replay::tape::tests::taped;

    fn journal(input: &str, body: &str, target: &str) -> Journal {
        let mut tape = tape(input);
        tape.note(taped(None, send("POST", target)));
        tape.note(taped(Some(answer(200, body)), Took::Done { code: 200 }));
        let rules = Rules::new(&RedactConfig::default());
        rules.redact(tape, Digest::of(b"v"), Timestamp::from_millis(5)).unwrap()
    }

    /// The input, the way that was taken, and the answer, as they are kept.
    #[track_caller]
    fn check(input: &str, target: &str, body: &str, expected: Expect) {
        let journal = journal(input, body, target);
        let Told::Response(Response { body: Body::Text(body), .. }) = &journal.calls[1].told else {
            panic!("the answer is text");
        };
        expected.assert_eq(&format!(
            "{}\n{}\n{body}",
            journal.facts.input.get(),
            journal.calls[0].took
        ));
    }

    #[test]
    fn what_was_equal_stays_equal_wherever_it_stands() {
        check(
            r#"{"payload": {"administrators": [
                {"email": "Jane.Doe@army.mil", "dodId": "1122334455"},
                {"email": "joe@navy.mil", "dodId": 6677889900}]}}"#,
            "/users/jane.doe%40army.mil/6677889900",
            r#"{"users": [{"dod_id": "6677889900", "e_mail": "jane.doe@army.mil", "id": "u-1"}],
                "message": "user 1122334455 <Jane.Doe@army.mil> is known"}"#,
            expect![[r#"
                {"payload":{"administrators":[{"dodId":"1000000000","email":"Aaaa.Aaa@aaab.mil"},{"dodId":1000000002,"email":"aaa@aaad.mil"}]}}
                POST /users/Aaaa.Aaa%40aaab.mil/1000000002
                {"message":"user 1000000000 <Aaaa.Aaa@aaab.mil> is known","users":[{"dod_id":"1000000002","e_mail":"Aaaa.Aaa@aaab.mil","id":"u-1"}]}"#]],
        );
    }

    #[test]
    fn names_are_replaced_as_words_and_not_within_others() {
        check(
            r#"{"userId": "u-1", "payload": {"name": "Blue Team", "lastName": "Ann"}}"#,
            "/portfolios/Blue%20Team/annex",
            r#"{"details": "Blue Team of Ann: annual, ann", "name": "Blue Team", "state": "u-1"}"#,
            expect![[r#"
                {"payload":{"lastName":"Aaa","name":"Aaaa Aaab"},"userId":"a-2"}
                POST /portfolios/Aaaa%20Aaab/annex
                {"details":"Aaaa Aaab of Aaa: annual, Aaa","name":"Aaaa Aaab","state":"a-2"}"#]],
        );
    }

    #[test]
    fn secrets_and_tokens_leave_a_word_behind() {
        check(
            r#"{"payload": {"adminPassword": "hunter22", "nested": {"api-key": ["k1", "k2"]}}}"#,
            "/a",
            r#"{"message": "Bearer abc.def.ghi is no good, nor is hunter22",
                "jwt": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJtZSJ9.c2ln"}"#,
            expect![[r#"
                {"payload":{"adminPassword":"secret-1","nested":{"api-key":["secret-2","secret-3"]}}}
                POST /a
                {"jwt":"secret-4","message":"Bearer secret-5 is no good, nor is secret-1"}"#]],
        );
    }

    #[test]
    fn what_is_no_json_is_read_as_text() {
        check(
            r#"{"payload": {}}"#,
            "/a?x=1",
            r#"{"dodId": "1234", "email": jane@x.org, "cut of"#,
            expect![[r#"
                {"payload":{}}
                POST /a?x=1
                {"dodId": "1001", "email": aaaa@a.org, "cut of"#]],
        );
        check(
            "{}",
            "/a",
            "<user><dod_id>77</dod_id><phone>555 0100</phone></user> password=abc&id=5",
            expect![[r#"
                {}
                POST /a
                <user><dod_id>10</dod_id><phone>100 0001</phone></user> password=secret-3&id=5"#]],
        );
    }

    #[test]
    fn what_is_nobodys_stays_as_it_is() {
        let input = r#"{"jobId":"81b31a89-e3e5-46ee-acfe-75436bd14577","payload":{"taskOrders":[{"clins":[{"clinNumber":"0001","popStartDate":"2021-07-01"}],"taskOrderNumber":"1234567890123"}]},"portfolioId":"p-1"}"#;
        let body = r#"{"costs":[1.5,100],"environmentId":"e-1","status":"IN_PROGRESS"}"#;
        let journal = journal(input, body, "/portfolios/p-1");
        assert_eq!(journal.facts.input.get(), input);
        let Told::Response(response) = &journal.calls[1].told else { panic!("an answer") };
        assert_eq!(response.body, Body::Text(body.to_owned()));
    }

    #[test]
    fn operators_name_further_keys_and_keys_that_may_be_kept() {
        let config = RedactConfig {
            personal: vec!["badge_number".to_owned()],
            secret: vec!["door".to_owned()],
            keep: vec!["NAME".to_owned()],
        };
        let mut tape = tape(r#"{"badgeNumber": "B-12", "Door": "sesame", "name": "Blue"}"#);
        tape.note(taped(None, Took::Done { code: 200 }));
        let journal =
            Rules::new(&config).redact(tape, Digest::of(b"v"), Timestamp::from_millis(5)).unwrap();
        expect![[r#"{"Door":"secret-1","badgeNumber":"A-01","name":"Blue"}"#]]
            .assert_eq(journal.facts.input.get());
    }

    #[test]
    fn bytes_that_are_no_text_are_not_kept() {
        let mut tape = tape("{}");
        let answer = HttpResponse {
            status: 200,
            headers: vec![("set-cookie".to_owned(), "session=abcdef".to_owned())],
            body: bytes::Bytes::from_static(b"\xffjane@x.org"),
        };
        tape.note(taped(Some(Event::Response(answer)), Took::Broke));
        let rules = Rules::new(&RedactConfig::default());
        let journal = rules.redact(tape, Digest::of(b"v"), Timestamp::from_millis(5)).unwrap();
        let Told::Response(response) = &journal.calls[0].told else { panic!("an answer") };
        assert_eq!(response.body, Body::Bytes(11));
        assert_eq!(response.headers, [("set-cookie".to_owned(), "secret-1".to_owned())]);
    }

    #[test]
    fn a_job_with_too_much_to_redact_leaves_no_journal() {
        let many: Vec<_> = (0..2_000).map(|n| format!("{{\"email\":\"p{n}@x.org\"}}")).collect();
        let mut tape = tape(&format!("{{\"all\":[{}]}}", many.join(",")));
        tape.note(taped(None, Took::Done { code: 200 }));
        let rules = Rules::new(&RedactConfig::default());
        assert!(rules.redact(tape, Digest::of(b"v"), Timestamp::from_millis(5)).is_none());
    }
}
