//! The reading of values as types of serde.
//!
//! The errors name types and fields and quote no value: values are business
//! data. To format a value would also bring the printing of floating-point
//! numbers into every component.

#[cfg(test)]
mod tests;

use std::fmt;

use serde::Deserializer;
use serde::de::DeserializeOwned;
use serde::de::DeserializeSeed;
use serde::de::EnumAccess;
use serde::de::Error as _;
use serde::de::Expected;
use serde::de::IntoDeserializer;
use serde::de::Unexpected;
use serde::de::VariantAccess;
use serde::de::Visitor;
use serde::de::value::MapDeserializer;
use serde::de::value::SeqDeserializer;
use serde::de::value::StrDeserializer;
use serde::forward_to_deserialize_any;

use super::Json;
use super::Object;
use super::WrongShape;
use super::write;

/// The name of the newtype as which a [`Json`] asks for its own text, which
/// keeps the digits of numbers.
pub const AS_TEXT: &str = "$hoth_adapter::Json";

/// Deserializes a value.
pub fn read<'a, T: DeserializeOwned>(json: impl Into<View<'a>>) -> Result<T, WrongShape> {
    T::deserialize(json.into())
}

/// A borrowed value.
#[derive(Clone, Copy)]
pub enum View<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    Text(&'a str),
    List(&'a [Json]),
    Object(&'a Object),
}

impl<'a> From<&'a Json> for View<'a> {
    fn from(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => Self::Number(number.as_str()),
            Json::Text(text) => Self::Text(text),
            Json::List(items) => Self::List(items),
            Json::Object(object) => Self::Object(object),
        }
    }
}

impl<'a> From<&'a Object> for View<'a> {
    fn from(object: &'a Object) -> Self {
        Self::Object(object)
    }
}

impl<'de> View<'de> {
    fn mismatch(self, expected: &dyn Expected) -> WrongShape {
        let kind = match self {
            Self::Null => Unexpected::Other("null"),
            Self::Bool(value) => Unexpected::Bool(value),
            Self::Number(_) => Unexpected::Other("number"),
            Self::Text(text) => Unexpected::Str(text),
            Self::List(_) => Unexpected::Seq,
            Self::Object(_) => Unexpected::Map,
        };
        WrongShape::invalid_type(kind, expected)
    }

    fn text(self) -> String {
        let mut text = String::new();
        match self {
            Self::Null => text.push_str("null"),
            Self::Bool(value) => write::value(&Json::Bool(value), &mut text),
            Self::Number(number) => text.push_str(number),
            Self::Text(string) => write::string(string, &mut text),
            Self::List(items) => write::list(items, &mut text),
            Self::Object(object) => write::object(object, &mut text),
        }
        text
    }

    fn integer<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, WrongShape> {
        match self {
            Self::Number(number) => integer(number, visitor),
            Self::Null | Self::Bool(_) | Self::Text(_) | Self::List(_) | Self::Object(_) => {
                Err(self.mismatch(&visitor))
            }
        }
    }

    fn float<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, WrongShape> {
        match self {
            Self::Number(number) => visitor.visit_f64(number.parse().map_err(WrongShape::custom)?),
            Self::Null | Self::Bool(_) | Self::Text(_) | Self::List(_) | Self::Object(_) => {
                Err(self.mismatch(&visitor))
            }
        }
    }
}

fn integer<'de, V: Visitor<'de>>(number: &str, visitor: V) -> Result<V::Value, WrongShape> {
    if let Ok(number) = number.parse() {
        return visitor.visit_u64(number);
    }
    match number.parse() {
        Ok(number) => visitor.visit_i64(number),
        Err(_) => Err(WrongShape::invalid_value(Unexpected::Other("number"), &visitor)),
    }
}

macro_rules! integers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, WrongShape> {
            self.integer(visitor)
        })*
    };
}

/// Methods that accept values of one kind.
macro_rules! of_one_kind {
    ($($method:ident $pattern:pat => $visit:expr;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, WrongShape> {
            if let $pattern = self { $visit(visitor) } else { Err(self.mismatch(&visitor)) }
        })*
    };
}

impl<'de> Deserializer<'de> for View<'de> {
    type Error = WrongShape;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, WrongShape> {
        match self {
            Self::Null => visitor.visit_unit(),
            Self::Bool(value) => visitor.visit_bool(value),
            Self::Number(number) if number.contains(['.', 'e', 'E']) => self.float(visitor),
            Self::Number(_) => self.integer(visitor),
            Self::Text(text) => visitor.visit_borrowed_str(text),
            Self::List(items) => list(items, visitor),
            Self::Object(object) => fields(object, visitor),
        }
    }

    integers! {
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
    }

    of_one_kind! {
        deserialize_bool Self::Bool(value) => |visitor: V| visitor.visit_bool(value);
        deserialize_char Self::Text(text) => |visitor: V| visitor.visit_borrowed_str(text);
        deserialize_str Self::Text(text) => |visitor: V| visitor.visit_borrowed_str(text);
        deserialize_string Self::Text(text) => |visitor: V| visitor.visit_borrowed_str(text);
        deserialize_identifier Self::Text(text) => |visitor: V| visitor.visit_borrowed_str(text);
        deserialize_unit Self::Null => |visitor: V| visitor.visit_unit();
        deserialize_seq Self::List(items) => |visitor: V| list(items, visitor);
        deserialize_map Self::Object(object) => |visitor: V| fields(object, visitor);
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, WrongShape> {
        self.float(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, WrongShape> {
        self.float(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, WrongShape> {
        match self {
            Self::Null => visitor.visit_none(),
            Self::Bool(_) | Self::Number(_) | Self::Text(_) | Self::List(_) | Self::Object(_) => {
                visitor.visit_some(self)
            }
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, WrongShape> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, WrongShape> {
        if name == AS_TEXT {
            return visitor.visit_str(&self.text());
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, WrongShape> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, WrongShape> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, WrongShape> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, WrongShape> {
        let mut entries = match self {
            Self::Text(name) => return visitor.visit_enum(Variant { name, content: Self::Null }),
            Self::Object(object) => object.iter(),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::List(_) => {
                return Err(self.mismatch(&"a variant"));
            }
        };
        match (entries.next(), entries.next()) {
            (Some((name, content)), None) => {
                visitor.visit_enum(Variant { name, content: content.into() })
            }
            (None, _) | (_, Some(_)) => Err(self.mismatch(&"an object with one variant")),
        }
    }

    /// Skips the value.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, WrongShape> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { bytes byte_buf }
}

impl<'de> IntoDeserializer<'de, WrongShape> for View<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

fn list<'de, V: Visitor<'de>>(items: &'de [Json], visitor: V) -> Result<V::Value, WrongShape> {
    let mut items = SeqDeserializer::new(items.iter().map(View::from));
    let value = visitor.visit_seq(&mut items)?;
    items.end()?;
    Ok(value)
}

fn fields<'de, V: Visitor<'de>>(object: &'de Object, visitor: V) -> Result<V::Value, WrongShape> {
    let mut entries =
        MapDeserializer::new(object.iter().map(|(key, json)| (Key(key), View::from(json))));
    let value = visitor.visit_map(&mut entries)?;
    entries.end()?;
    Ok(value)
}

/// A key, which a map may read as a number.
struct Key<'a>(&'a str);

impl Key<'_> {
    fn integer<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, WrongShape> {
        integer(self.0, visitor)
    }
}

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = WrongShape;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, WrongShape> {
        visitor.visit_borrowed_str(self.0)
    }

    integers! {
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, WrongShape> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, WrongShape> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, WrongShape> {
        visitor.visit_enum(Variant { name: self.0, content: View::Null })
    }

    forward_to_deserialize_any! {
        bool f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map
        struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, WrongShape> for Key<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// A variant of an enum, and its content: null for a variant without one.
struct Variant<'a> {
    name: &'a str,
    content: View<'a>,
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = WrongShape;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self), WrongShape> {
        Ok((seed.deserialize(StrDeserializer::new(self.name))?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = WrongShape;

    fn unit_variant(self) -> Result<(), WrongShape> {
        match self.content {
            View::Null => Ok(()),
            View::Bool(_) | View::Number(_) | View::Text(_) | View::List(_) | View::Object(_) => {
                Err(self.content.mismatch(&"a variant without content"))
            }
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<S::Value, WrongShape> {
        seed.deserialize(self.content)
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, WrongShape> {
        self.content.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, WrongShape> {
        self.content.deserialize_map(visitor)
    }
}

/// The errors of serde's, without values.
impl serde::de::Error for WrongShape {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { what: message.to_string(), may_quote: true }
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::without_values(format!("invalid type: {}, expected {expected}", kind(&unexpected)))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::without_values(format!("invalid value: {}, expected {expected}", kind(&unexpected)))
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::without_values(format!("invalid length {length}, expected {expected}"))
    }

    fn unknown_variant(_variant: &str, expected: &'static [&'static str]) -> Self {
        Self::without_values(format!("unknown variant, expected one of {}", expected.join(", ")))
    }

    fn unknown_field(_field: &str, expected: &'static [&'static str]) -> Self {
        Self::without_values(format!("unknown field, expected one of {}", expected.join(", ")))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::without_values(format!("missing field {field}"))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::without_values(format!("duplicate field {field}"))
    }
}

fn kind<'a>(unexpected: &Unexpected<'a>) -> &'a str {
    match unexpected {
        Unexpected::Bool(_) => "Boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "integer",
        Unexpected::Float(_) => "number",
        Unexpected::Char(_) | Unexpected::Str(_) => "string",
        Unexpected::Bytes(_) => "bytes",
        Unexpected::Unit => "null",
        Unexpected::Option => "optional value",
        Unexpected::NewtypeStruct => "value",
        Unexpected::Seq => "list",
        Unexpected::Map => "object",
        Unexpected::Enum
        | Unexpected::UnitVariant
        | Unexpected::NewtypeVariant
        | Unexpected::TupleVariant
        | Unexpected::StructVariant => "variant",
        Unexpected::Other(kind) => kind,
    }
}
