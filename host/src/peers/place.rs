//! The places of this host and its peers in their lists of jobs, as one cursor.
//!
//! Each host has a list of its own. A page has the next jobs of each of them, so
//! that going on skips none.

/// The mark between two places.
const BETWEEN: char = '~';

/// The mark of the end of a list.
const END: &str = "-";

/// A place in the list of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Start,
    /// After the row that this cursor of the host names.
    After(String),
    End,
}

/// A place for each host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    pub own: Place,
    /// In the order of the configuration.
    pub peers: Vec<Place>,
}

impl Place {
    /// Returns the place after a page.
    pub fn after(next: Option<&str>) -> Self {
        let is_cursor = |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        next.filter(is_cursor).map_or(Self::End, |next| Self::After(next.to_owned()))
    }

    fn parse(text: &str) -> Self {
        match text {
            "" => Self::Start,
            END => Self::End,
            // The host that it is for says if it is none.
            cursor => Self::After(cursor.to_owned()),
        }
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Start => "",
            Self::After(cursor) => cursor,
            Self::End => END,
        }
    }
}

impl Places {
    /// Reads a cursor for this host and as many peers.
    pub fn parse(cursor: &str, peers: usize) -> Self {
        let mut places = cursor.split(BETWEEN).map(Place::parse);
        let own = places.next().unwrap_or(Place::Start);
        // The configuration may have changed since.
        let rest = places.chain(std::iter::repeat(Place::Start));
        Self { own, peers: rest.take(peers).collect() }
    }

    /// Returns the cursor, or `None` if every list is at its end, or cannot be
    /// read.
    pub fn cursor(&self) -> Option<String> {
        let places = || std::iter::once(&self.own).chain(&self.peers);
        let goes_on = places().any(|place| matches!(place, Place::After(_)));
        let texts: Vec<&str> = places().map(Place::as_str).collect();
        goes_on.then(|| texts.join(&BETWEEN.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_has_a_place_for_each_host() {
        let after = |cursor: &str| Place::After(cursor.to_owned());
        for (text, peers, own, of_peers, back) in [
            ("", 0, Place::Start, vec![], None),
            ("7", 0, after("7"), vec![], Some("7")),
            ("", 1, Place::Start, vec![Place::Start], None),
            ("7~-", 1, after("7"), vec![Place::End], Some("7~-")),
            ("-~12", 1, Place::End, vec![after("12")], Some("-~12")),
            ("-~-", 1, Place::End, vec![Place::End], None),
            // The configuration had other peers.
            ("7", 2, after("7"), vec![Place::Start, Place::Start], Some("7~~")),
            ("7~8~9", 1, after("7"), vec![after("8")], Some("7~8")),
        ] {
            let places = Places::parse(text, peers);
            assert_eq!(places, Places { own, peers: of_peers }, "{text}");
            assert_eq!(places.cursor().as_deref(), back, "{text}");
        }
    }

    #[test]
    fn the_place_after_a_page_is_its_cursor_or_the_end() {
        assert_eq!(Place::after(Some("5")), Place::After("5".to_owned()));
        // A peer that sends what is no cursor is not asked for more.
        for end in [None, Some(""), Some("5~6")] {
            assert_eq!(Place::after(end), Place::End);
        }
    }
}
