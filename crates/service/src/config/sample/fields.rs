//! Which keys a type reads, learned from its own `Deserialize`.
//!
//! serde tells a deserializer the fields of a struct before it asks for their values. Each run of the probe walks
//! down one path and stops at the struct it finds there; no value is ever made.

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, Visitor};

/// The path of every field of `T` that is no struct itself, through options and newtypes; in no useful order.
pub(super) fn of<T: DeserializeOwned>() -> Vec<Vec<String>> {
    let mut leaves = Vec::new();
    let mut open: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(path) = open.pop() {
        let mut found = None;
        // Always an error: the probe ends the run when it has what it came for.
        let _ = T::deserialize(Probe { path: &path, found: &mut found });
        match found {
            Some(fields) => open.extend(fields.iter().map(|field| {
                let mut below = path.clone();
                below.push((*field).to_owned());
                below
            })),
            None => leaves.push(path),
        }
    }
    leaves.retain(|path| !path.is_empty());
    leaves
}

struct Probe<'p> {
    path: &'p [String],
    found: &'p mut Option<&'static [&'static str]>,
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("a value"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        if self.path.is_empty() {
            *self.found = Some(fields);
            return Err(de::Error::custom("seen"));
        }
        visitor.visit_map(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for Probe<'_> {
    type Error = de::value::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Self::Error> {
        let Some(first) = self.path.first() else { return Ok(None) };
        seed.deserialize(StrDeserializer::new(first)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Self::Error> {
        let path = self.path.get(1..).unwrap_or_default();
        seed.deserialize(Probe { path, found: self.found })
    }
}
