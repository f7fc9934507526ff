//! Redaction: from a recording to a journal in which pseudonyms replace secrets
//! and personal data.
//!
//! A job is read twice. The first pass finds everything that must not be kept:
//! values under a [known key](rules), and addresses, numbers of persons and
//! tokens [anywhere in a text](text). The second pass replaces each of them,
//! wherever it occurs in the job, by the same [pseudonym] of the same shape.
//! Equal values stay equal, so that a replay takes the steps of the job. The
//! mapping is not stored, and every job has a mapping of its own.

mod pseudonym;
mod rules;
mod text;

use serde_json::Map;
use serde_json::Number;
use serde_json::Value;
use serde_json::value::RawValue;
use serde_json::value::to_raw_value;

pub use rules::RedactionRules;

use self::pseudonym::PseudonymBuilder;
use self::rules::Sensitivity;
use super::Input;
use super::Journal;
use super::JournalBody;
use super::JournalCall;
use super::JournalJob;
use super::JournalResponse;
use super::RecordedCall;
use super::Recording;
use super::StepKind;
use hoth_core::domain::Digest;
use hoth_core::domain::Event;
use hoth_core::domain::HttpResponse;
use hoth_core::domain::Timestamp;
use hoth_core::domain::TransportFailure;

impl RedactionRules {
    /// Returns the journal of a finished job, or `None` if it has too many
    /// values to redact or its input is not JSON.
    pub fn redact(
        &self,
        recording: Recording,
        version: Digest,
        finished_at: Timestamp,
    ) -> Option<Journal> {
        let rules = &self.with(&recording.keys);
        let input: Value = serde_json::from_str(&recording.job.input).ok()?;
        let settings: Value = serde_json::from_str(&recording.job.settings).ok()?;
        let mut calls: Vec<JournalCall> = recording.calls.into_iter().map(journal_call).collect();
        let mut texts = JobTexts { id: recording.job.id, input, settings };

        let mut found = PseudonymBuilder::default();
        let mut finder = Finder { rules, found: &mut found };
        // The whole job is searched before anything is replaced: a value that
        // only the last response reveals may occur in the first request.
        finder.texts(&texts);
        calls.iter().for_each(|call| finder.call(call));
        let pseudonyms = found.assign()?;
        let replacer = Replacer { pseudonyms: &pseudonyms };
        replacer.texts(&mut texts);
        calls.iter_mut().for_each(|call| replacer.call(call));

        let job = JournalJob {
            id: texts.id,
            operation: recording.job.operation,
            input: raw(&texts.input),
            settings: raw(&texts.settings),
        };
        Some(Journal::new(recording.adapter, version, recording.csp, finished_at, job, calls))
    }
}

/// The texts of a job outside of its calls.
struct JobTexts {
    id: String,
    input: Value,
    settings: Value,
}

/// The first pass: finds the values that must not be kept.
struct Finder<'a> {
    rules: &'a RedactionRules,
    found: &'a mut PseudonymBuilder,
}

impl Finder<'_> {
    fn texts(&mut self, texts: &JobTexts) {
        self.text(&texts.id);
        self.json(&texts.input, None);
        self.json(&texts.settings, None);
    }

    fn call(&mut self, call: &JournalCall) {
        self.pairs(&call.context);
        match &call.input {
            Input::Begin | Input::Timer => {}
            Input::Response(response) => self.response(response),
            Input::Failure { message, last, .. } => {
                self.text(message);
                last.iter().for_each(|response| self.response(response));
            }
        }
        if let StepKind::Send { target, .. } = &call.step {
            self.text(target);
        }
    }

    fn response(&mut self, response: &JournalResponse) {
        self.text(&response.url);
        self.pairs(&response.headers);
        match &response.body {
            JournalBody::Text(text) => match serde_json::from_str(text) {
                Ok(json) => self.json(&json, None),
                Err(_) => self.text(text),
            },
            JournalBody::Bytes(_) => {}
        }
    }

    fn pairs(&mut self, pairs: &[(String, String)]) {
        for (name, value) in pairs {
            match self.rules.sensitivity_of(name) {
                Some(class) => self.found.add(value, class),
                None => self.text(value),
            }
        }
    }

    /// Finds values in JSON. `inherited` is the sensitivity of the key above.
    fn json(&mut self, value: &Value, inherited: Option<Sensitivity>) {
        match (value, inherited) {
            (Value::Null | Value::Bool(_), _) => {}
            (Value::String(text), Some(class)) => {
                self.found.add(text, class);
                // A list of addresses is replaced as a whole here. Its addresses
                // are found too, for the places where one occurs alone.
                self.text(text);
            }
            (Value::String(text), None) => self.text(text),
            (Value::Number(number), Some(class)) => self.found.add(&number.to_string(), class),
            (Value::Number(number), None) => self.text(&number.to_string()),
            (Value::Array(values), _) => values.iter().for_each(|each| self.json(each, inherited)),
            (Value::Object(fields), _) => {
                for (key, value) in fields {
                    self.text(key);
                    self.json(value, self.rules.sensitivity_of(key).or(inherited));
                }
            }
        }
    }

    fn text(&mut self, text: &str) {
        text::find(text, self.rules, |found, class| self.found.add(found, class));
    }
}

/// The second pass: replaces the values.
struct Replacer<'a> {
    pseudonyms: &'a pseudonym::Pseudonyms,
}

impl Replacer<'_> {
    fn texts(&self, texts: &mut JobTexts) {
        self.text(&mut texts.id);
        self.json(&mut texts.input);
        self.json(&mut texts.settings);
    }

    fn call(&self, call: &mut JournalCall) {
        self.pairs(&mut call.context);
        match &mut call.input {
            Input::Begin | Input::Timer => {}
            Input::Response(response) => self.response(response),
            Input::Failure { message, last, .. } => {
                self.text(message);
                last.iter_mut().for_each(|response| self.response(response));
            }
        }
        if let StepKind::Send { target, .. } = &mut call.step {
            self.text(target);
        }
    }

    fn response(&self, response: &mut JournalResponse) {
        self.text(&mut response.url);
        self.pairs(&mut response.headers);
        let JournalBody::Text(text) = &mut response.body else { return };
        match serde_json::from_str(text) {
            // Serialized again even if nothing is replaced: the first pass has
            // seen only the last value of a duplicate key.
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
                if let Some(name) = self.pseudonyms.whole(&number.to_string()) {
                    // A pseudonym of digits stays a number; any other is a string.
                    let number: Option<Number> = name.parse().ok();
                    *value = number.map_or_else(|| Value::String(name.to_owned()), Value::Number);
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|each| self.json(each)),
            Value::Object(fields) => {
                // Keys can be data, such as addresses in a map of members.
                let renamed = std::mem::take(fields).into_iter().map(|(mut key, mut value)| {
                    self.pseudonyms.replace_in_key(&mut key);
                    self.json(&mut value);
                    (key, value)
                });
                *fields = renamed.collect::<Map<_, _>>();
            }
        }
    }

    fn text(&self, text: &mut String) {
        self.pseudonyms.replace(text);
    }
}

fn journal_call(recorded_call: RecordedCall) -> JournalCall {
    let input = match recorded_call.event {
        None => Input::Begin,
        Some(Event::Timer) => Input::Timer,
        Some(Event::Response(answer)) => Input::Response(response(answer)),
        Some(Event::TransportFailure(TransportFailure { code, message, sent, last_response })) => {
            let last = last_response.map(response);
            Input::Failure { code: code.to_string(), message, sent, last }
        }
    };
    let RecordedCall { attempt, now, entropy, context, event: _, step } = recorded_call;
    JournalCall { attempt, now, entropy, context, input, step }
}

fn response(answer: HttpResponse) -> JournalResponse {
    let HttpResponse { status, url, tries, headers, body } = answer;
    let body = match String::from_utf8(body.into()) {
        Ok(text) => JournalBody::Text(text),
        Err(bytes) => JournalBody::Bytes(bytes.as_bytes().len()),
    };
    JournalResponse { status, url, tries, headers, body }
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
    use crate::replay::recording::tests::answer;
    use crate::replay::recording::tests::recorded_call;
    use crate::replay::recording::tests::recording;
    use crate::replay::recording::tests::send;
    use hoth_core::domain::Manifest;

    fn journal(input: &str, body: &str, target: &str) -> Journal {
        let mut recording = recording(input);
        recording.add(recorded_call(None, send("POST", target)));
        recording.add(recorded_call(Some(answer(200, body)), StepKind::Done { code: 200 }));
        let rules = RedactionRules::new(&RedactConfig::default());
        rules.redact(recording, Digest::of(b"v"), Timestamp::from_millis(5)).unwrap()
    }

    /// Compares the stored input, the kind of the first step, and the stored
    /// response.
    #[track_caller]
    fn check(input: &str, target: &str, body: &str, expected: Expect) {
        let journal = journal(input, body, target);
        let Input::Response(JournalResponse { body: JournalBody::Text(body), .. }) =
            &journal.calls[1].input
        else {
            panic!("the answer is text");
        };
        expected.assert_eq(&format!(
            "{}\n{}\n{body}",
            journal.job.input.get(),
            journal.calls[0].step
        ));
    }

    #[test]
    fn equal_values_stay_equal_wherever_they_occur() {
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
    fn names_are_replaced_as_whole_words_only() {
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
    fn secrets_and_tokens_are_replaced_by_numbered_placeholders() {
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
    fn a_body_that_is_not_json_is_redacted_as_text() {
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
    fn values_that_are_not_sensitive_stay_unchanged() {
        let input = r#"{"jobId":"81b31a89-e3e5-46ee-acfe-75436bd14577","payload":{"taskOrders":[{"clins":[{"clinNumber":"0001","popStartDate":"2021-07-01"}],"taskOrderNumber":"1234567890123"}]},"portfolioId":"p-1"}"#;
        let body = r#"{"costs":[1.5,100],"environmentId":"e-1","status":"IN_PROGRESS"}"#;
        let journal = journal(input, body, "/portfolios/p-1");
        assert_eq!(journal.job.input.get(), input);
        let Input::Response(response) = &journal.calls[1].input else { panic!("an answer") };
        assert_eq!(response.body, JournalBody::Text(body.to_owned()));
    }

    #[test]
    fn the_configuration_adds_keys_and_exempts_keys() {
        let config = RedactConfig {
            personal: vec!["badge_number".to_owned()],
            secret: vec!["door".to_owned()],
            keep: vec!["NAME".to_owned()],
        };
        let mut recording =
            recording(r#"{"badgeNumber": "B-12", "Door": "sesame", "name": "Blue"}"#);
        recording.add(recorded_call(None, StepKind::Done { code: 200 }));
        let journal = RedactionRules::new(&config)
            .redact(recording, Digest::of(b"v"), Timestamp::from_millis(5))
            .unwrap();
        expect![[r#"{"Door":"secret-1","badgeNumber":"A-01","name":"Blue"}"#]]
            .assert_eq(journal.job.input.get());
    }

    #[test]
    fn the_manifest_adds_keys_that_the_configuration_can_exempt() {
        let manifest = Manifest {
            personal_keys: ["badge_number", "floor", "password"].map(str::to_owned).into(),
            secret_keys: vec!["redeemUrl".to_owned()],
            ..Manifest::default()
        };
        let mut recording = recording(
            r#"{"badgeNumber": "B-12", "floor": "F-3", "redeemUrl": "https://x/abc",
                "password": "P-45"}"#,
        );
        recording.add_keys(&manifest);
        recording.add(recorded_call(None, StepKind::Done { code: 200 }));
        let config = RedactConfig { keep: vec!["floor".to_owned()], ..RedactConfig::default() };
        let journal = RedactionRules::new(&config)
            .redact(recording, Digest::of(b"v"), Timestamp::from_millis(5))
            .unwrap();
        expect![[
            r#"{"badgeNumber":"A-00","floor":"F-3","password":"secret-2","redeemUrl":"secret-3"}"#
        ]]
        .assert_eq(journal.job.input.get());
    }

    #[test]
    fn a_body_that_is_not_text_is_not_kept() {
        let mut recording = recording("{}");
        let answer = HttpResponse {
            status: 200,
            url: "https://csp-a.example.com/users?mail=jane%40x.org".to_owned(),
            tries: 1,
            headers: vec![("set-cookie".to_owned(), "session=abcdef".to_owned())],
            body: bytes::Bytes::from_static(b"\xffjane@x.org"),
        };
        recording.add(recorded_call(Some(Event::Response(answer)), StepKind::Broken));
        let rules = RedactionRules::new(&RedactConfig::default());
        let journal = rules.redact(recording, Digest::of(b"v"), Timestamp::from_millis(5)).unwrap();
        let Input::Response(response) = &journal.calls[0].input else { panic!("an answer") };
        assert_eq!(response.body, JournalBody::Bytes(11));
        assert_eq!(response.headers, [("set-cookie".to_owned(), "secret-3".to_owned())]);
        assert!(!response.url.contains("jane"), "{}", response.url);
    }

    #[test]
    fn a_job_with_too_many_sensitive_values_leaves_no_journal() {
        let many: Vec<_> = (0..2_000).map(|n| format!("{{\"email\":\"p{n}@x.org\"}}")).collect();
        let mut recording = recording(&format!("{{\"all\":[{}]}}", many.join(",")));
        recording.add(recorded_call(None, StepKind::Done { code: 200 }));
        let rules = RedactionRules::new(&RedactConfig::default());
        assert!(rules.redact(recording, Digest::of(b"v"), Timestamp::from_millis(5)).is_none());
    }
}
