//! Reads JSON strictly: bounded nesting, and no key twice in one object.

use std::cell::RefCell;
use std::fmt;

use serde::de::DeserializeSeed;
use serde::de::Deserializer;
use serde::de::Error as _;
use serde::de::MapAccess;
use serde::de::SeqAccess;
use serde::de::Visitor;
use serde_json::Map;
use serde_json::Value;

use super::NESTING_MAX;
use super::Refusal;
use super::errors;
use super::errors::Errors;

/// Reads a whole body.
///
/// # Errors
///
/// [`Refusal::NotJson`], [`Refusal::TooDeep`], or [`Refusal::Invalid`] with
/// every key that is given twice.
pub fn read(body: &[u8]) -> Result<Value, Refusal> {
    let finds = RefCell::new(Finds::default());
    let mut reader = serde_json::Deserializer::from_slice(body);
    let seed = Strict { depth: 0, place: &Place::Top, finds: &finds };
    let value = seed.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    let finds = finds.into_inner();
    if finds.too_deep {
        return Err(Refusal::TooDeep);
    }
    match value {
        Err(_) | Ok(Value::Null) => Err(Refusal::NotJson),
        Ok(value) => finds.twice.into_result().map(|()| value),
    }
}

#[derive(Default)]
struct Finds {
    too_deep: bool,
    twice: Errors,
}

/// Where a value stands. Its path is written only where something is wrong: a
/// body can hold some ten thousand values below one key of half its length.
enum Place<'a> {
    Top,
    Key(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

impl Place<'_> {
    fn path(&self) -> String {
        let mut path = String::new();
        self.write(&mut path);
        path
    }

    fn write(&self, path: &mut String) {
        match self {
            Self::Top => {}
            Self::Key(parent, key) => {
                parent.write(path);
                if !path.is_empty() {
                    path.push('.');
                }
                errors::push(path, key);
            }
            Self::Item(parent, at) => {
                parent.write(path);
                errors::push(path, &format!("[{at}]"));
            }
        }
    }
}

/// Reads one value at `place`, `depth` containers deep.
struct Strict<'a> {
    depth: usize,
    place: &'a Place<'a>,
    finds: &'a RefCell<Finds>,
}

impl Strict<'_> {
    fn enter<E: serde::de::Error>(&self) -> Result<(), E> {
        if self.depth < NESTING_MAX {
            return Ok(());
        }
        self.finds.borrow_mut().too_deep = true;
        Err(E::custom("too deep"))
    }

    fn inside<'b>(&'b self, place: &'b Place<'b>) -> Strict<'b> {
        Strict { depth: self.depth + 1, place, finds: self.finds }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        self.enter()?;
        let mut list = Vec::new();
        loop {
            let place = Place::Item(self.place, list.len());
            let Some(item) = items.next_element_seed(self.inside(&place))? else { break };
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        self.enter()?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let place = Place::Key(self.place, &key);
            let value = entries.next_value_seed(self.inside(&place))?;
            if map.contains_key(&key) {
                self.finds.borrow_mut().twice.add(&place.path(), "is given twice");
            }
            map.insert(key, value);
        }
        if map.len() > KEYS_MAX {
            return Err(A::Error::custom("too many keys"));
        }
        Ok(Value::Object(map))
    }
}

/// Keys of one object; a body of the largest size can hold about this many.
const KEYS_MAX: usize = 65_536;
