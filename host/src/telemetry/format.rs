//! The forms of log lines.
//!
//! JSON is flat: the fields of an event and of the spans around it are keys of
//! one object. The [text](TextFields) quotes values with spaces, so that a line
//! can be split into its fields.

use std::error::Error;
use std::fmt;

use serde_json::Map;
use serde_json::Value;
use tracing::Event;
use tracing::Subscriber;
use tracing::field::Field;
use tracing::field::Visit;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::FormatEvent;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::FormattedFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime as _;
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::registry::LookupSpan;

use hoth_core::domain::printable;

/// The keys that every line has, and that no field replaces.
const OWN_KEYS: [&str; 3] = ["timestamp", "level", "target"];

/// The field with the text of an event.
const MESSAGE: &str = "message";

/// Formats an event as one JSON object on one line.
pub struct JsonLine;

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = JsonFields::default();
        event.record(&mut fields);
        // From the innermost span outwards, and behind the event's own fields:
        // the first one of each name stays.
        for span in context.event_scope().into_iter().flatten() {
            let extensions = span.extensions();
            let text = extensions.get::<FormattedFields<N>>().map(|fields| fields.fields.as_str());
            let recorded: Map<String, Value> =
                text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
            recorded.into_iter().for_each(|(name, value)| fields.add(&name, value));
        }
        let metadata = event.metadata();
        writer.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut writer)?;
        write!(writer, "\",\"level\":\"{}\"", metadata.level())?;
        for (name, value) in fields.ordered() {
            write!(writer, ",{}:{value}", Value::from(name.as_str()))?;
        }
        writeln!(writer, ",\"target\":{}}}", Value::from(metadata.target()))
    }
}

/// The fields of a JSON line, in the order of their arrival.
#[derive(Debug, Default)]
struct JsonFields(Vec<(String, Value)>);

impl JsonFields {
    /// Adds a field, unless there is one of this name.
    fn add(&mut self, name: &str, value: Value) {
        let is_taken = |(taken, _): &(String, Value)| taken == name;
        if !OWN_KEYS.contains(&name) && !self.0.iter().any(is_taken) {
            self.0.push((name.to_owned(), value));
        }
    }

    /// Returns the fields with the message first.
    fn ordered(&self) -> impl Iterator<Item = &(String, Value)> {
        let of =
            |message: bool| self.0.iter().filter(move |(name, _)| (name == MESSAGE) == message);
        of(true).chain(of(false))
    }
}

impl Visit for JsonFields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(name_of(field), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(name_of(field), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(name_of(field), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(name_of(field), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(name_of(field), value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.add(name_of(field), chain(value).into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(name_of(field), format!("{value:?}").into());
    }
}

/// Formats fields as `name=value`, and quotes values that have spaces or an
/// equals sign.
pub struct TextFields;

impl<'writer> FormatFields<'writer> for TextFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut text = TextVisitor { writer, is_first: true, result: Ok(()) };
        fields.record(&mut text);
        text.result
    }
}

struct TextVisitor<'writer> {
    writer: Writer<'writer>,
    is_first: bool,
    result: fmt::Result,
}

impl TextVisitor<'_> {
    fn write(&mut self, field: &Field, text: &str) {
        if self.result.is_err() {
            return;
        }
        let space = if std::mem::take(&mut self.is_first) { "" } else { " " };
        // Text of CSPs and clients must not change the terminal.
        let name = name_of(field);
        self.result = match (name, self.writer.has_ansi_escapes()) {
            (MESSAGE, _) => write!(self.writer, "{space}{}", printable(text)),
            (_, true) => {
                write!(self.writer, "{space}\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m{}", quoted(text))
            }
            (_, false) => write!(self.writer, "{space}{name}={}", quoted(text)),
        };
    }
}

impl Visit for TextVisitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            MESSAGE => self.write(field, value),
            _ => self.write(field, &format!("{value:?}")),
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.write(field, &chain(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.write(field, &format!("{value:?}"));
    }
}

/// Returns a text that has no space outside of quotation marks.
fn quoted(text: &str) -> String {
    let is_plain = !text.is_empty() && !text.contains([' ', '=', '"']);
    let is_quoted = text.len() > 1 && text.starts_with('"') && text.ends_with('"');
    match is_plain || is_quoted {
        true => printable(text).into_owned(),
        false => format!("{text:?}"),
    }
}

/// Returns the name of a field as it was written: a keyword has a prefix.
fn name_of(field: &Field) -> &'static str {
    let name = field.name();
    name.strip_prefix("r#").unwrap_or(name)
}

/// Returns an error with its causes: `calling the queue: disk full`. A cause
/// that the text before it has already is not repeated.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

/// Returns the line with the last message of a process, or with the error that
/// keeps it from starting.
pub fn last_line(json: bool, message: &str) -> String {
    if !json {
        return format!("hoth: {message}\n");
    }
    let mut timestamp = String::new();
    // Without a timestamp if the clock shows a time that has none.
    let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    let (timestamp, message) = (Value::from(timestamp), Value::from(message));
    format!(
        "{{\"timestamp\":{timestamp},\"level\":\"ERROR\",\"message\":{message},\
         \"event\":\"exit\",\"target\":\"hoth\"}}\n"
    )
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;
    use std::sync::Mutex;

    use tracing::info;
    use tracing::info_span;
    use tracing_subscriber::fmt::format;

    use super::*;

    #[derive(Debug, Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("the file cannot be read")]
    struct Outer(#[source] io::Error);

    fn log_something() {
        let error = Outer(io::Error::other("disk = broken"));
        let error: &dyn Error = &error;
        let _outer = info_span!("host", queue = "outer", target = "x").entered();
        let _span = info_span!("job", job.id = "j 1", csp = %"CSP_A", queue = "q").entered();
        info!(event = "end", csp = "CSP_B", code = 200_u16, ok = true, error, "It \"ends\"\n");
    }

    #[test]
    fn a_json_line_is_flat() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .fmt_fields(format::JsonFields::new())
            .event_format(JsonLine)
            .finish();
        tracing::subscriber::with_default(subscriber, log_something);
        let text = lines.text();
        let rest = text.split_once(",\"level\"").unwrap().1;
        assert_eq!(
            rest,
            ":\"INFO\",\"message\":\"It \\\"ends\\\"\\n\",\"event\":\"end\",\"csp\":\"CSP_B\",\
             \"code\":200,\"ok\":true,\"error\":\"the file cannot be read: disk = broken\",\
             \"job.id\":\"j 1\",\"queue\":\"q\",\
             \"target\":\"hoth::telemetry::format::tests\"}\n"
        );
        assert!(serde_json::from_str::<Value>(&text).is_ok(), "{text}");
    }

    #[test]
    fn values_with_spaces_are_quoted_in_text() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .fmt_fields(TextFields)
            .finish();
        tracing::subscriber::with_default(subscriber, log_something);
        let text = lines.text();
        let (_, rest) = text.split_once("job{").unwrap();
        assert_eq!(
            rest,
            "job.id=\"j 1\" csp=CSP_A queue=\"q\"}: hoth::telemetry::format::tests: \
             It \"ends\"\\n event=\"end\" csp=\"CSP_B\" code=200 ok=true \
             error=\"the file cannot be read: disk = broken\"\n"
        );
    }

    #[test]
    fn the_last_line_has_the_form_of_the_others() {
        assert_eq!(last_line(false, "it ends"), "hoth: it ends\n");
        let json: Value = serde_json::from_str(&last_line(true, "it \"ends\"")).unwrap();
        assert_eq!((&json["message"], &json["event"]), (&"it \"ends\"".into(), &"exit".into()));
    }
}
