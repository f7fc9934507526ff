//! Texts of adapters, cut to a length.

use std::borrow::Cow;

/// Returns the beginning of a text, at most `bytes` long, with a mark at the
/// cut.
pub(super) fn cut(text: &str, bytes: usize) -> Cow<'_, str> {
    const MARK: &str = "…";
    if text.len() <= bytes {
        return text.into();
    }
    let kept = text.floor_char_boundary(bytes.saturating_sub(MARK.len()));
    format!("{}{MARK}", &text[..kept]).into()
}

/// Cuts as [`cut`] does, without a copy if the text is short enough.
pub(super) fn cut_owned(text: String, bytes: usize) -> String {
    if text.len() <= bytes { text } else { cut(&text, bytes).into_owned() }
}
