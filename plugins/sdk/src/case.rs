//! Conversion of keys between snake_case and camelCase.
//!
//! Only names are converted: keys of ASCII letters, digits and underscores. A
//! key with any other character (`$metadata`, `x-id`, `2022-01 EUR`, an e-mail
//! address) and a constant (`TOP_SECRET`) are data, and stay unchanged.
//! Underscores at either end stay too.

/// A conversion of a key. `None` stands for the key itself: most keys of a
/// request are in the right case already, and need no copy.
pub(crate) type Conversion = fn(&str) -> Option<String>;

/// Converts to snake_case: `dodId` → `dod_id`, `HTTPStatus` → `http_status`,
/// `il4Dod` → `il4_dod`.
///
/// A word begins at a capital after a small letter or a digit, and at the last
/// of several capitals if a small letter follows.
pub fn to_snake(key: &str) -> String {
    snake(key).unwrap_or_else(|| key.to_owned())
}

/// Converts to camelCase: `dod_id` → `dodId`, `far51_id` → `far51Id`.
///
/// Inner underscores are dropped, and a letter after them becomes a capital.
pub fn to_camel(key: &str) -> String {
    camel(key).unwrap_or_else(|| key.to_owned())
}

/// Converts as [`to_snake`] does.
pub(crate) fn snake(key: &str) -> Option<String> {
    let kinds = Kinds::of(key);
    if !kinds.capital || !kinds.is_name() {
        return None;
    }
    let bytes = key.as_bytes();
    let mut snake = String::with_capacity(key.len() + 4);
    for (at, byte) in bytes.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        let after = bytes.get(at + 1);
        let begins_word = byte.is_ascii_uppercase()
            && before.is_some_and(|before| {
                before.is_ascii_lowercase()
                    || before.is_ascii_digit()
                    || before.is_ascii_uppercase() && after.is_some_and(u8::is_ascii_lowercase)
            });
        if begins_word {
            snake.push('_');
        }
        snake.push(char::from(byte.to_ascii_lowercase()));
    }
    Some(snake)
}

/// Converts as [`to_camel`] does.
pub(crate) fn camel(key: &str) -> Option<String> {
    let kinds = Kinds::of(key);
    if !kinds.underscore || !kinds.is_name() {
        return None;
    }
    let bytes = key.as_bytes();
    let is_inner = |byte: &u8| *byte != b'_';
    let start = bytes.iter().position(is_inner).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(is_inner).map_or(start, |last| last + 1);
    let mut camel = String::with_capacity(key.len());
    let mut begins_word = false;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'_' if (start..end).contains(&at) => begins_word = true,
            byte if begins_word => {
                camel.push(char::from(byte.to_ascii_uppercase()));
                begins_word = false;
            }
            byte => camel.push(char::from(*byte)),
        }
    }
    Some(camel)
}

/// The kinds of characters in a key.
#[derive(Default)]
struct Kinds {
    small: bool,
    capital: bool,
    underscore: bool,
    other: bool,
}

impl Kinds {
    fn of(key: &str) -> Self {
        let mut kinds = Self::default();
        for byte in key.bytes() {
            match byte {
                b'a'..=b'z' => kinds.small = true,
                b'A'..=b'Z' => kinds.capital = true,
                b'_' => kinds.underscore = true,
                b'0'..=b'9' => {}
                _ => kinds.other = true,
            }
        }
        kinds
    }

    /// Returns true for a name, which can be converted.
    fn is_name(&self) -> bool {
        let is_constant = self.underscore && !self.small;
        !self.other && !is_constant
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// snake_case and camelCase of the same names, both ways.
    const PAIRS: &[(&str, &str)] = &[
        ("dodId", "dod_id"),
        ("clin0001", "clin0001"),
        ("il4Dod", "il4_dod"),
        ("far51Id", "far51_id"),
        ("popStartDate", "pop_start_date"),
        ("isMigration", "is_migration"),
        ("name", "name"),
        ("x", "x"),
        ("aB", "a_b"),
        ("_dodId", "_dod_id"),
        ("__typename", "__typename"),
        ("dodId_", "dod_id_"),
        ("a1B2C3", "a1_b2_c3"),
    ];

    /// Keys that both conversions leave unchanged.
    const STAY: &[&str] = &[
        "",
        "_",
        "__",
        "1",
        "2022",
        "2022-01",
        "$metadata",
        "$metaData",
        "x-fooBar",
        "x-foo_bar",
        "a.bC",
        "a b_c",
        "Jo.Doe@mail.mil",
        "größeId",
        "größe_id",
        "ÜberId",
        "日本_id",
        "TOP_SECRET",
        "CLIN_0001",
        "_ID",
        "a/b_c",
        "a\0B",
        "😀_id",
    ];

    #[test]
    fn names_are_converted_both_ways() {
        for (camel, snake) in PAIRS {
            assert_eq!(to_snake(camel), *snake);
            assert_eq!(to_camel(snake), *camel);
        }
    }

    #[test]
    fn names_in_the_target_case_stay() {
        for (camel, snake) in PAIRS {
            assert_eq!(to_snake(snake), *snake);
            assert_eq!(to_camel(camel), *camel);
        }
    }

    #[test]
    fn capitals_in_a_row_are_one_word() {
        for (name, snake) in [
            ("userID", "user_id"),
            ("HTTPStatus", "http_status"),
            ("ID", "id"),
            ("DodId", "dod_id"),
            ("someURLPath", "some_url_path"),
            ("IL4Dod", "il4_dod"),
            ("ABc", "a_bc"),
            ("dod_Id", "dod_id"),
            ("Dod_Id", "dod_id"),
        ] {
            assert_eq!(to_snake(name), snake);
        }
    }

    #[test]
    fn mixed_case_loses_only_its_underscores() {
        for (name, camel) in [
            ("far51_ID", "far51ID"),
            ("Dod_Id", "DodId"),
            ("DodId", "DodId"),
            ("userID", "userID"),
            ("clin_0001", "clin0001"),
            ("a__b", "aB"),
            ("__a__b__", "__aB__"),
            ("1_a", "1A"),
        ] {
            assert_eq!(to_camel(name), camel);
        }
    }

    #[test]
    fn keys_that_are_not_names_stay() {
        for key in STAY {
            assert_eq!(to_snake(key), *key);
            assert_eq!(to_camel(key), *key);
        }
    }

    proptest::proptest! {
        #[test]
        fn a_second_conversion_changes_nothing(key in "[a-zA-Z0-9_$é-]{0,12}") {
            let (snake, camel) = (to_snake(&key), to_camel(&key));
            proptest::prop_assert_eq!(to_snake(&snake), snake);
            proptest::prop_assert_eq!(to_camel(&camel), camel);
        }

        #[test]
        fn snake_case_comes_back(key in "[a-z][a-z0-9]{0,3}(_[a-z]{2}[a-z0-9]{0,3}){0,3}") {
            proptest::prop_assert_eq!(to_snake(&to_camel(&key)), key);
        }
    }
}
