//! Values that Trove's schema takes in more than one form.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use utoipa::openapi::{ObjectBuilder, OneOfBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// A JSON object and nothing else. Derived readers of structs also take arrays, in the order of the fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Visit<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(Visit(PhantomData))
    }
}

/// Which flavor: its id as a string or an integer, or a URL that ends with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlavorRef(pub String);

impl<'de> Deserialize<'de> for FlavorRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;

        impl Visitor<'_> for Visit {
            type Value = FlavorRef;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the id or URL of a flavor, 1 to 255 characters with a letter or digit, or an integer")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<FlavorRef, E> {
                let fits = text.chars().count() <= 255 && text.chars().any(|c| c.is_ascii_alphanumeric());
                let id = last_segment(text);
                if fits && !id.is_empty() {
                    Ok(FlavorRef(id.to_owned()))
                } else {
                    Err(E::invalid_value(de::Unexpected::Str(text), &self))
                }
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<FlavorRef, E> {
                Ok(FlavorRef(number.to_string()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<FlavorRef, E> {
                Ok(FlavorRef(number.to_string()))
            }
        }

        deserializer.deserialize_any(Visit)
    }
}

impl PartialSchema for FlavorRef {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(255));
        OneOfBuilder::new()
            .item(text)
            .item(ObjectBuilder::new().schema_type(Type::Integer))
            .description(Some("The id of a flavor, as string or integer, or a URL that ends with it."))
            .examples(["2"])
            .into()
    }
}

impl ToSchema for FlavorRef {}

/// The last segment of a URL's path; Trove's `get_id_from_href`.
fn last_segment(text: &str) -> &str {
    let path = text.split(['?', '#']).next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default()
}

/// The size of a volume, GB: an integer from 1, or the same as a string of at most 40 digits (the `openstack` command
/// sends one). What a `u64` cannot hold becomes its maximum, which is over every limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VolumeSize(pub u64);

impl<'de> Deserialize<'de> for VolumeSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;

        impl Visitor<'_> for Visit {
            type Value = VolumeSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer of at least 1, or a string of 1 to 40 digits that are not all zero")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<VolumeSize, E> {
                let digits = (1..=40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
                if digits && text.bytes().any(|b| b != b'0') {
                    Ok(VolumeSize(text.parse().unwrap_or(u64::MAX)))
                } else {
                    Err(E::invalid_value(de::Unexpected::Str(text), &self))
                }
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<VolumeSize, E> {
                if number == 0 {
                    Err(E::invalid_value(de::Unexpected::Unsigned(0), &self))
                } else {
                    Ok(VolumeSize(number))
                }
            }
        }

        deserializer.deserialize_any(Visit)
    }
}

impl PartialSchema for VolumeSize {
    fn schema() -> RefOr<Schema> {
        OneOfBuilder::new()
            .item(ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)))
            .item(ObjectBuilder::new().schema_type(Type::String).pattern(Some("^(?=.*[1-9])[0-9]{1,40}$")))
            .description(Some("GB: an integer from 1, or the same as a string of digits."))
            .examples([2])
            .into()
    }
}

impl ToSchema for VolumeSize {}

/// A limit: an integer, or the same as a string. Every negative one is -1, no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaLimit(pub i64);

impl<'de> Deserialize<'de> for QuotaLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;

        impl Visitor<'_> for Visit {
            type Value = QuotaLimit;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer of at most 2147483647, negative for no limit, or the same as a string")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<QuotaLimit, E> {
                let number = text.parse().ok().filter(|_| !text.starts_with('+'));
                number.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self)).and_then(|n| self.visit_i64(n))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<QuotaLimit, E> {
                // Trove's column; more is a slip of the finger.
                if number > i64::from(i32::MAX) {
                    return Err(E::invalid_value(de::Unexpected::Signed(number), &self));
                }
                Ok(QuotaLimit(number.max(-1)))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<QuotaLimit, E> {
                self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
            }
        }

        deserializer.deserialize_any(Visit)
    }
}

impl PartialSchema for QuotaLimit {
    fn schema() -> RefOr<Schema> {
        OneOfBuilder::new()
            .item(ObjectBuilder::new().schema_type(Type::Integer).maximum(Some(i32::MAX)))
            .item(ObjectBuilder::new().schema_type(Type::String).pattern(Some("^(-[0-9]{1,18}|[0-9]{1,9})$")))
            .description(Some("An integer, or the same as a string; negative for no limit."))
            .examples([20])
            .into()
    }
}

impl ToSchema for QuotaLimit {}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    #[test]
    fn a_flavor_comes_in_three_forms() {
        for (given, id) in [
            (json!("2"), "2"),
            (json!(7), "7"),
            (json!(-1), "-1"),
            (json!("http://h:8779/v1.0/p/flavors/big-one?x=1/2"), "big-one"),
        ] {
            assert_eq!(from_value::<FlavorRef>(given).unwrap().0, id);
        }
        for given in
            [json!(""), json!("--"), json!("http://h/flavors/"), json!(1.5), json!(true), Value::Null, json!([])]
        {
            assert!(from_value::<FlavorRef>(given.clone()).is_err(), "{given}");
        }
    }

    #[test]
    fn a_size_is_a_number_or_its_digits() {
        for (given, size) in
            [(json!(1), 1), (json!("007"), 7), (json!("9".repeat(40)), u64::MAX), (json!(u64::MAX), u64::MAX)]
        {
            assert_eq!(from_value::<VolumeSize>(given).unwrap().0, size);
        }
        let digits = "9".repeat(41);
        for given in [
            json!(0),
            json!(-1),
            json!(1.0),
            json!("0"),
            json!("00"),
            json!(""),
            json!("1 "),
            json!("+1"),
            json!(digits),
        ] {
            assert!(from_value::<VolumeSize>(given.clone()).is_err(), "{given}");
        }
    }

    #[test]
    fn a_limit_is_an_integer_or_its_digits() {
        for (given, limit) in [
            (json!(0), 0),
            (json!("7"), 7),
            (json!(-1), -1),
            (json!("-5"), -1),
            (json!(i64::MIN), -1),
            (json!(i32::MAX), 2_147_483_647),
        ] {
            assert_eq!(from_value::<QuotaLimit>(given).unwrap().0, limit);
        }
        for given in [
            json!(1.5),
            json!(""),
            json!("+1"),
            json!("x"),
            json!(true),
            json!([]),
            json!(1_u64 << 31),
            json!(u64::MAX),
        ] {
            assert!(from_value::<QuotaLimit>(given.clone()).is_err(), "{given}");
        }
    }

    #[test]
    fn an_array_is_no_object() {
        #[derive(Debug, serde::Deserialize)]
        struct One {
            name: String,
        }
        assert!(from_value::<One>(json!(["x"])).is_ok(), "the reason why there is an Object");
        assert!(from_value::<Object<One>>(json!(["x"])).is_err());
        assert_eq!(from_value::<Object<One>>(json!({"name": "x", "more": [1]})).unwrap().0.name, "x");
    }
}
