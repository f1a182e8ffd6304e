//! What travels beside a call: the generation that fences off late writers, and the id of the REST request.

use std::fmt;
use std::str::FromStr;

use redtrove_core::RequestId;
use tonic::Status;
use tonic::metadata::{MetadataMap, MetadataValue};

use crate::InvalidField;

/// The name of the generation's entry, in requests and in the answer that refuses one.
pub const GENERATION: &str = "redtrove-generation";
/// The name of the request id's entry, OpenStack's own.
pub const REQUEST_ID: &str = "x-openstack-request-id";

/// The number of a writer's turn: 1 to 2^63 - 1, growing with every new holder of a cluster's lease. A node
/// refuses every number below the highest it has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(i64);

impl Generation {
    /// The generation with this number; absent if it is below 1.
    pub fn new(number: i64) -> Option<Self> {
        (number >= 1).then_some(Self(number))
    }

    /// Its number, 1 or more.
    pub fn number(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Generation {
    type Err = InvalidField;

    /// Takes decimal digits only.
    fn from_str(text: &str) -> Result<Self, InvalidField> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = if digits { text.parse().ok().and_then(Self::new) } else { None };
        number.ok_or_else(|| InvalidField::new(GENERATION, "is not a decimal number from 1 to 9223372036854775807"))
    }
}

/// The one entry called `name`; none is `None`, two or one that is not text is an error.
fn entry<'a>(metadata: &'a MetadataMap, name: &'static str) -> Result<Option<&'a str>, InvalidField> {
    let mut values = metadata.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(InvalidField::new(name, "is given more than once"));
    }
    first.map(|value| value.to_str().map_err(|_| InvalidField::new(name, "is not text"))).transpose()
}

/// The generation of a changing call; an error if there is none.
pub fn generation(metadata: &MetadataMap) -> Result<Generation, InvalidField> {
    entry(metadata, GENERATION)?
        .ok_or_else(|| InvalidField::new(GENERATION, "is missing, and a method that changes a node needs it"))?
        .parse()
}

/// The id of the REST request behind a call, if it has one.
pub fn request_id(metadata: &MetadataMap) -> Result<Option<RequestId>, InvalidField> {
    entry(metadata, REQUEST_ID)?.map(|text| text.parse().map_err(|e| InvalidField::new(REQUEST_ID, e))).transpose()
}

/// Writes a caller's metadata.
pub fn write(metadata: &mut MetadataMap, generation: Option<Generation>, request: Option<&RequestId>) {
    if let Some(generation) = generation {
        metadata.insert(GENERATION, MetadataValue::from(generation.number()));
    }
    // A request id is plain ASCII by its type, so this never fails.
    if let Some(Ok(value)) = request.map(|id| MetadataValue::try_from(id.as_str())) {
        metadata.insert(REQUEST_ID, value);
    }
}

/// The answer to a call whose generation is below the node's own `highest`, which is in its metadata.
pub fn refuse_generation(given: Generation, highest: Generation) -> Status {
    let mut status =
        Status::failed_precondition(format!("generation {given} is over: this node has seen generation {highest}"));
    write(status.metadata_mut(), Some(highest), None);
    status
}

/// The node's own generation, if `status` is its refusal of a lower one.
pub fn refused_generation(status: &Status) -> Option<Generation> {
    entry(status.metadata(), GENERATION).ok()??.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = "req-416b0b16-ba55-4302-bbd3-ff566032e1c1";

    #[test]
    fn what_is_written_reads_back() {
        let (number, id) = (Generation::new(7).unwrap(), REQUEST.parse().unwrap());
        let mut map = MetadataMap::new();
        write(&mut map, Some(number), Some(&id));
        assert_eq!(generation(&map), Ok(number));
        assert_eq!(request_id(&map), Ok(Some(id)));
        assert_eq!(refused_generation(&refuse_generation(number, Generation::new(9).unwrap())), Generation::new(9));
        assert_eq!(refused_generation(&Status::failed_precondition("something else")), None);
    }

    #[test]
    fn what_is_no_generation_is_refused() {
        for text in ["", "0", "-1", "+1", "1.0", " 1", "x", "9223372036854775808"] {
            let mut map = MetadataMap::new();
            map.insert(GENERATION, text.parse().unwrap());
            assert_eq!(generation(&map).unwrap_err().field, GENERATION, "{text:?}");
        }
        let mut twice = MetadataMap::new();
        twice.append(GENERATION, "1".parse().unwrap());
        twice.append(GENERATION, "2".parse().unwrap());
        assert!(generation(&twice).is_err());
        assert!(generation(&MetadataMap::new()).unwrap_err().reason.contains("missing"));
    }

    #[test]
    fn a_request_id_is_optional_but_never_free_text() {
        assert_eq!(request_id(&MetadataMap::new()), Ok(None));
        let mut map = MetadataMap::new();
        map.insert(REQUEST_ID, "req-\\n forged".parse().unwrap());
        assert_eq!(request_id(&map).unwrap_err().field, REQUEST_ID);
    }
}
