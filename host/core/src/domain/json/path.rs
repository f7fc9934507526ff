//! The path of a value in a request: `payload.administrators[0].dodId`.

/// The longest path in bytes; the rest is cut off. Clients choose keys, and a
/// response with a hundred paths must not be a hundred times as long as the
/// request.
const BYTES_MAX: usize = 256;

/// The path of a value, as a link to the path of its parent.
///
/// A path is written out only for a wrong field: a body can hold some ten
/// thousand values below one key of half its length.
#[derive(Debug, Clone, Copy)]
pub enum Path<'a> {
    /// The request itself.
    Root,
    Key(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl Path<'_> {
    /// Returns the path as an error names it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) {
        // The recursion is as deep as the nesting, which the reader bounds.
        match self {
            Self::Root => {}
            Self::Key(parent, key) => {
                parent.write(text);
                if !text.is_empty() {
                    push(text, ".");
                }
                push(text, key);
            }
            Self::Item(parent, at) => {
                parent.write(text);
                push(text, &format!("[{at}]"));
            }
        }
    }
}

/// Appends as much of `part` as there is room for.
fn push(text: &mut String, part: &str) {
    let room = BYTES_MAX.saturating_sub(text.len());
    text.push_str(&part[..part.floor_char_boundary(room)]);
}
