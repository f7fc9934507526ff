//! The reading of types, compared with `serde_json`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Json;

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Choice {
    Plain,
    Wrapped(u8),
    Pair(u8, String),
    Named { at: i64 },
}

#[derive(Debug, PartialEq, Deserialize)]
struct Wrapper(String);

#[derive(Debug, PartialEq, Deserialize)]
struct Record {
    #[serde(alias = "other")]
    one: u32,
    two: Option<Wrapper>,
    #[serde(default)]
    three: Vec<Json>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Either {
    Number(f64),
    Text(String),
}

/// Checks that a text is read as `serde_json` reads it, or refused as
/// `serde_json` does.
#[track_caller]
fn check<T: DeserializeOwned + std::fmt::Debug + PartialEq>(texts: &[&str]) {
    for text in texts {
        let ours = Json::parse(text).unwrap().read::<T>();
        let theirs = serde_json::from_str::<T>(text);
        match (&ours, &theirs) {
            (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs, "{text}"),
            (Err(_), Err(_)) => {}
            (Ok(_), Err(_)) | (Err(_), Ok(_)) => panic!("{text}: {ours:?} and {theirs:?}"),
        }
    }
}

#[test]
fn types_are_read_as_serde_json_reads_them() {
    check::<()>(&["null", "1", "{}"]);
    check::<bool>(&["true", "false", "0", "\"true\""]);
    check::<u8>(&["0", "255", "256", "-1", "1.0", "1e1", "\"1\"", "null"]);
    check::<i64>(&["-9223372036854775808", "9223372036854775808"]);
    check::<u64>(&["18446744073709551615", "18446744073709551616"]);
    check::<f64>(&["1", "-1.5", "1e300", "\"1\""]);
    check::<char>(&["\"a\"", "\"ab\"", "1"]);
    check::<String>(&["\"ä\\n\"", "1", "null"]);
    check::<Option<u8>>(&["null", "1", "\"\""]);
    check::<(u8, String)>(&["[1,\"a\"]", "[1]", "[1,\"a\",2]", "{}"]);
    check::<Vec<u8>>(&["[]", "[1,2]", "[null]", "{}"]);
    check::<BTreeMap<String, u8>>(&["{}", r#"{"a":1}"#, r#"{"a":null}"#, "[]"]);
    check::<BTreeMap<u8, bool>>(&[r#"{"1":true}"#, r#"{"a":true}"#, r#"{"256":true}"#]);
    check::<BTreeMap<Word, bool>>(&[r#"{"plain":true}"#, r#"{"other":true}"#]);
    check::<Choice>(&["\"plain\"", r#"{"plain":null}"#, "\"wrapped\"", "\"other\"", "1"]);
    check::<Choice>(&[r#"{"wrapped":7}"#, r#"{"pair":[1,"a"]}"#, r#"{"named":{"at":-1}}"#]);
    check::<Choice>(&[r#"{"wrapped":7,"plain":null}"#, "{}", r#"{"named":{}}"#]);
    check::<Record>(&[r#"{"one":1}"#, r#"{"other":1,"two":null,"four":[{}]}"#, "{}"]);
    check::<Record>(&[r#"{"one":1,"two":"x","three":[1.10,{"a":null}]}"#, r#"{"one":"1"}"#]);
    check::<Either>(&["1.5", "2", "-3", "\"x\"", "null"]);
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    Plain,
}

#[test]
fn an_error_names_types_and_fields_and_quotes_no_value() {
    let wrong = |text: &str| {
        let error = Json::parse(text).unwrap().read::<Record>().unwrap_err();
        (error.to_string(), error.may_quote())
    };
    for (text, message) in [
        (r#"{"two":"secret"}"#, "missing field one"),
        (r#"{"one":"secret"}"#, "invalid type: string, expected u32"),
        (r#"{"one":-12345}"#, "invalid value: integer, expected u32"),
        (r#"{"one":1.12345}"#, "invalid value: number, expected u32"),
        (r#"{"one":1,"two":[]}"#, "invalid type: list, expected a string"),
        ("\"secret\"", "invalid type: string, expected struct Record"),
    ] {
        assert_eq!(wrong(text), (message.to_owned(), false));
    }
    let error = Json::parse("\"secret\"").unwrap().read::<Choice>().unwrap_err();
    assert_eq!(error.to_string(), "unknown variant, expected one of plain, wrapped, pair, named");
}
