//! The `tracestate` header: values of vendors, in the order of their use.

/// The most members of a list (W3C Trace Context, section 3.3.1.1).
const MEMBERS_MAX: usize = 32;

/// The longest list that is passed on: the least that the recommendation asks
/// for (section 3.3.1.5).
const STATE_BYTES_MAX: usize = 512;

/// The longest list that is read. Longer ones are ignored: 32 members of the
/// longest keys and values would have 16 KiB.
const READ_BYTES_MAX: usize = 32 * (KEY_BYTES_MAX + VALUE_BYTES_MAX + 2);

/// The length above which a member is dropped first if the list is too long
/// (section 3.3.1.5).
const LONG_MEMBER_BYTES: usize = 128;

/// The longest key and the longest value (sections 3.3.1.3.1 and 3.3.1.3.2).
const KEY_BYTES_MAX: usize = 256;
const VALUE_BYTES_MAX: usize = 256;

/// Returns a list in the form that is passed on: without empty members, and
/// with at most [`STATE_BYTES_MAX`] bytes. Whole members are dropped from a
/// longer list, first long ones, then those at its end. Returns an empty text
/// for an invalid list.
pub(super) fn read(text: &str) -> String {
    if text.len() > READ_BYTES_MAX {
        return String::new();
    }
    // Spaces and tabs around members are part of the list, not of the members.
    let members = text.split(',').map(|member| member.trim_matches([' ', '\t']));
    let mut kept: Vec<&str> = Vec::new();
    let mut keys: Vec<&str> = Vec::new();
    for member in members.filter(|member| !member.is_empty()) {
        let Some((key, value)) = member.split_once('=') else { return String::new() };
        let is_valid = is_key(key) && is_value(value) && !keys.contains(&key);
        if !is_valid || kept.len() == MEMBERS_MAX {
            return String::new();
        }
        keys.push(key);
        kept.push(member);
    }
    if joined_len(&kept) > STATE_BYTES_MAX {
        kept.retain(|member| member.len() <= LONG_MEMBER_BYTES);
    }
    while joined_len(&kept) > STATE_BYTES_MAX {
        kept.pop();
    }
    kept.join(",")
}

fn joined_len(members: &[&str]) -> usize {
    members.iter().map(|member| member.len() + 1).sum::<usize>().saturating_sub(1)
}

/// Returns true if `key` is a simple or a multi-tenant key. The grammar of level
/// 2, which covers that of level 1, is used: a letter or a digit, then letters,
/// digits, `_`, `-`, `*`, `/` and `@`, all in lower case.
fn is_key(key: &str) -> bool {
    let is_start = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_rest = |b: u8| is_start(b) || b"_-*/@".contains(&b);
    match key.as_bytes() {
        [start, rest @ ..] => {
            key.len() <= KEY_BYTES_MAX && is_start(*start) && rest.iter().all(|b| is_rest(*b))
        }
        [] => false,
    }
}

/// Returns true if `value` consists of printable ASCII without commas and equals
/// signs. A space at its end belongs to the list and is gone already.
fn is_value(value: &str) -> bool {
    let is_character = |b: u8| matches!(b, b' '..=b'~') && b != b',' && b != b'=';
    (1..=VALUE_BYTES_MAX).contains(&value.len()) && value.bytes().all(is_character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_list_is_passed_on_and_an_invalid_one_is_not() {
        let long_key = format!("{}=1", "k".repeat(KEY_BYTES_MAX));
        let too_long_key = format!("{}=1", "k".repeat(KEY_BYTES_MAX + 1));
        let long_value = format!("k={}", "v".repeat(VALUE_BYTES_MAX));
        let too_long_value = format!("k={}", "v".repeat(VALUE_BYTES_MAX + 1));
        let many: Vec<String> = (0..MEMBERS_MAX).map(|n| format!("k{n}=v")).collect();
        let many = many.join(",");
        for (text, expected) in [
            ("", ""),
            ("congo=t61rcWkgMzE", "congo=t61rcWkgMzE"),
            ("rojo=00f067aa0ba902b7,congo=t61", "rojo=00f067aa0ba902b7,congo=t61"),
            (" rojo=1 ,\t, congo=a b\t,", "rojo=1,congo=a b"),
            (
                "fw529a3039@dt=FfD/+!#$%&'()*.:;<>?@[]^_`{|}~",
                "fw529a3039@dt=FfD/+!#$%&'()*.:;<>?@[]^_`{|}~",
            ),
            ("0a=1", "0a=1"),
            (&long_key, &long_key),
            (&long_value, &long_value),
            (&many, &many),
            ("rojo", ""),
            ("rojo=", ""),
            ("=1", ""),
            ("Rojo=1", ""),
            ("-rojo=1", ""),
            ("ro jo=1", ""),
            ("rojo=1=2", ""),
            ("rojo=ü", ""),
            ("rojo=\u{7f}", ""),
            ("rojo=1\r\nhost: evil", ""),
            ("rojo=1,rojo=2", ""),
            ("rojo=1,bad", ""),
            (&too_long_key, ""),
            (&too_long_value, ""),
            (&format!("{many},more=v"), ""),
            (&"a=1,".repeat(READ_BYTES_MAX), ""),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn whole_members_are_dropped_from_a_list_that_is_too_long() {
        let long = format!("long={}", "v".repeat(LONG_MEMBER_BYTES));
        let short: Vec<String> = (0..6).map(|n| format!("k{n}={}", "v".repeat(90))).collect();
        // Five members of 93 bytes and their commas fit, six do not.
        let list = format!("{},{long}", short.join(","));
        assert_eq!(read(&list), short[..5].join(","));
        let list = format!("{long},{}", short[..5].join(","));
        assert_eq!(read(&list), short[..5].join(","));
        let list = format!("{long},{}", short[..4].join(","));
        assert_eq!(read(&list), list, "a long member stays where there is room");
    }
}
