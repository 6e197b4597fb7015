//! JSON read strictly: a key that stands twice in an object is an error, and every error has its place.
//!
//! `serde_json` keeps the last of two equal keys, so a flag defined twice would be changed without a word. Knows
//! nothing of flags.

use std::{cell::RefCell, fmt};

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::document_path::{Mistake, pointer_token};

/// Reads a whole document.
pub(super) fn read(bytes: &[u8]) -> Result<Value, Mistake> {
    let text = str::from_utf8(bytes).map_err(|error| {
        Mistake::whole_document(format!(
            "expected UTF-8, found another byte at offset {}",
            error.valid_up_to()
        ))
    })?;
    let way = RefCell::new(Vec::new());
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = Strict(Some(&way)).deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    read.map_err(|error| {
        let said = error.to_string();
        let detail = said.rsplit_once(" at line ").map_or(said.as_str(), |(detail, _)| detail);
        let at = (error.line() > 0).then(|| (error.line(), error.column()));
        // The way is left as it was where reading stopped.
        Mistake { location: way.borrow().concat(), at, detail: detail.to_owned() }
    })
}

/// Reads a small document, a request's; mistakes have no place but line and column, which costs less.
pub(super) fn read_small(bytes: &[u8]) -> Result<Value, String> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = Strict(None).deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    read.map_err(|error| error.to_string())
}

/// Reads a value whose place is kept in the list of tokens, where there is one.
#[derive(Clone, Copy)]
struct Strict<'w>(Option<&'w RefCell<Vec<String>>>);

impl Strict<'_> {
    fn enter(self, token: impl FnOnce() -> String) {
        if let Some(way) = self.0 {
            way.borrow_mut().push(token());
        }
    }

    fn leave(self) {
        if let Some(way) = self.0 {
            way.borrow_mut().pop();
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("expected a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        self.enter(|| "/0".to_owned());
        while let Some(value) = list.next_element_seed(self)? {
            values.push(value);
            self.leave();
            self.enter(|| format!("/{}", values.len()));
        }
        self.leave();
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(key) = object.next_key::<String>()? {
            self.enter(|| format!("/{}", pointer_token(&key)));
            if values.contains_key(&key) {
                return Err(A::Error::custom("this key stands twice in its object; expected it once"));
            }
            let value = object.next_value_seed(self)?;
            values.insert(key, value);
            self.leave();
        }
        Ok(Value::Object(values))
    }
}

/// What a value is, for the words "expected ..., found ...".
pub(super) fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) if text.chars().count() <= 60 => format!("{text:?}"),
        Value::String(_) => "a long string".to_owned(),
        Value::Array(list) => format!("an array of {}", list.len()),
        Value::Object(object) => format!("an object with {} keys", object.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_stands_twice_is_found_with_its_place() {
        let mistake = read(b"{\"flags\": {\"a\": {\"state\": 1,\n \"state\": 2}}}").unwrap_err();
        assert_eq!(mistake.location, "/flags/a/state");
        assert_eq!(mistake.at.unwrap().0, 2);
        assert!(mistake.detail.contains("twice"), "{}", mistake.detail);
    }

    #[test]
    fn what_is_no_json_is_found_with_its_place() {
        let mistake = read(b"{\"a\": [1, 2, {\"b~/\": nul}]}").unwrap_err();
        assert_eq!(mistake.location, "/a/2/b~0~1");
        assert_eq!(mistake.at.unwrap().0, 1);
        assert_eq!(read(b"{} {}").unwrap_err().detail, "trailing characters");
        assert!(read(b"\"\xff\"").unwrap_err().detail.contains("offset 1"));
        assert!(read("[".repeat(100_000).as_bytes()).unwrap_err().detail.contains("recursion"));
        assert!(read(b"1e999").is_err());
    }

    #[test]
    fn what_is_json_is_read_as_serde_json_reads_it() {
        let text = r#"{"a":[1,-2,3.5,1e3,"x",true,null,{"b":{}}],"c":""}"#;
        assert_eq!(read(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    }
}
