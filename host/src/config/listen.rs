//! `api.listen` in `windlass.toml`: one place as text, or a list of places.

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use windlass_core::Listen;

/// The places that the API listens on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RawListen(pub Listen);

struct Places;

impl<'de> Visitor<'de> for Places {
    type Value = RawListen;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address, a Unix socket, or a list of both")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RawListen, E> {
        Listen::of_places([text]).map(RawListen).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<RawListen, A::Error> {
        let mut places = Vec::new();
        while let Some(place) = list.next_element::<String>()? {
            places.push(place);
        }
        Listen::of_places(places.iter().map(String::as_str)).map(RawListen).map_err(A::Error::custom)
    }
}

impl<'de> Deserialize<'de> for RawListen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Places)
    }
}

impl Serialize for RawListen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.places().as_slice() {
            [place] => serializer.serialize_str(place),
            places => serializer.collect_seq(places),
        }
    }
}
