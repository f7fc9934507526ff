//! Ids as the tables store them.

use rusqlite::ToSql;
use rusqlite::types::ToSqlOutput;
use rusqlite::types::ValueRef;

/// The name of a group, or a deduplication key, as a table stores it.
///
/// HOTH's own ids are digests in 32 hexadecimal digits. Their 16 bytes take
/// half of the room, in the tables and in every index on them. Any other text
/// is stored as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StoredId {
    Text(Box<str>),
    Digest([u8; 16]),
}

impl StoredId {
    pub fn new(text: &str) -> Self {
        digest_bytes(text).map_or_else(|| Self::Text(text.into()), Self::Digest)
    }

    /// Reads a column. Returns `None` for a value that no host has written.
    pub fn read(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Text(bytes) => Some(Self::Text(str::from_utf8(bytes).ok()?.into())),
            ValueRef::Blob(bytes) => Some(Self::Digest(bytes.try_into().ok()?)),
            ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => None,
        }
    }
}

impl ToSql for StoredId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Digest(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// Reads 32 hexadecimal digits. Returns `None` for any other text, capital
/// letters included, so that every text has one stored form.
fn digest_bytes(text: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    let is_lower_case = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    is_lower_case.then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_digits_of_a_digest_are_stored_as_bytes() {
        let digits = "00112233445566778899aabbccddeeff";
        let StoredId::Digest(bytes) = StoredId::new(digits) else { panic!("it is a digest") };
        assert_eq!((bytes[0], bytes[1], bytes[15]), (0, 0x11, 0xff));
        assert_eq!(hex::encode(bytes), digits);
        for other in ["g", &digits[1..], &digits.to_uppercase(), &format!("{digits}0"), "é"] {
            assert_eq!(StoredId::new(other), StoredId::Text(other.into()));
        }
    }

    #[test]
    fn a_stored_id_is_read_as_it_was_written() {
        let sql = rusqlite::Connection::open_in_memory().expect("memory is free");
        for text in ["g", "00112233445566778899aabbccddeeff"] {
            let written = StoredId::new(text);
            let read =
                sql.query_row("SELECT ?1", [&written], |row| Ok(StoredId::read(row.get_ref(0)?)));
            assert_eq!(read.expect("it runs"), Some(written));
        }
    }
}
