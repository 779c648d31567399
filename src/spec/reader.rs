//! [`Reader`]: a JSON document field by field. What is wrong is collected, each with its place, instead of ending the
//! reading; a field that could not be read counts as absent from there on.

use std::{fmt::Display, ops::RangeInclusive};

use serde_json::{Map, Value};

use super::{
    Objection,
    ObjectionCode::{self, Missing, OutOfRange, UnknownField},
    Warning, pointer_token,
};
use crate::fault::WarningCode;

/// What was found so far.
#[derive(Debug, Default)]
pub struct Reader {
    /// Everything that is wrong.
    pub objections: Vec<Objection>,
    /// Everything that was aliased, ignored or changed.
    pub warnings: Vec<Warning>,
}

/// A JSON object and its place in the document.
#[derive(Clone, Debug)]
pub struct Object<'v> {
    fields: &'v Map<String, Value>,
    /// JSON pointer to it.
    pub pointer: String,
}

impl<'v> Object<'v> {
    /// The value of a field; null counts as absent.
    pub fn get(&self, field: &str) -> Option<&'v Value> {
        self.fields.get(field).filter(|value| !value.is_null())
    }

    /// Every field with its value.
    pub fn fields(&self) -> impl Iterator<Item = (&'v String, &'v Value)> {
        self.fields.iter()
    }

    /// The pointer of one of its fields.
    pub fn at(&self, field: &str) -> String {
        format!("{}/{}", self.pointer, pointer_token(field))
    }
}

impl Reader {
    /// Objects to a value.
    pub fn object_to(&mut self, pointer: impl Into<String>, code: ObjectionCode, message: impl Into<String>) {
        self.objections.push(Objection::new(pointer, code, message));
    }

    /// Says that a field has no effect.
    pub fn ignored(&mut self, pointer: impl Into<String>, why: &str) {
        self.warnings.push(Warning::at(pointer, WarningCode::FieldIgnored, why));
    }

    /// Objects to the type of a value. `expected` has its article: "a string".
    pub fn wrong_type(&mut self, pointer: impl Into<String>, expected: &str, found: &Value) {
        self.objections.push(Objection::wrong_type(pointer, expected, found));
    }

    /// A value as an object.
    pub fn object<'v>(&mut self, value: &'v Value, pointer: impl Into<String>) -> Option<Object<'v>> {
        let pointer = pointer.into();
        match value {
            Value::Object(fields) => Some(Object { fields, pointer }),
            other => {
                self.wrong_type(pointer, "an object", other);
                None
            }
        }
    }

    /// Objects to every field that is none of those known.
    pub fn only_known(&mut self, object: &Object<'_>, known: &[&str]) {
        for (field, _) in object.fields().filter(|(field, _)| !known.contains(&field.as_str())) {
            let message = format!("there is no field `{field}`");
            let objection = Objection::new(object.at(field), UnknownField, message).allowed(known);
            self.objections.push(objection.near(field, known.iter().copied()));
        }
    }

    /// A field that must be there. `what` names it with its article: "a model"; `example` is a value of it, in JSON.
    pub fn required<'v>(&mut self, object: &Object<'v>, field: &str, what: &str, example: &str) -> Option<&'v Value> {
        let value = object.get(field);
        if value.is_none() {
            self.missing(object.at(field), what, example);
        }
        value
    }

    /// Objects to a value that is not there.
    pub fn missing(&mut self, pointer: impl Into<String>, what: &str, example: &str) {
        let objection = Objection::new(pointer, Missing, format!("{what} is required"));
        self.objections.push(objection.hint(format!("give it, for example {example}")));
    }

    /// Objects to null in a field that may be left out and yet has no null. `expected` has its article: "a string".
    pub fn not_null(&mut self, object: &Object<'_>, field: &str, expected: &str) {
        if object.fields.get(field).is_some_and(Value::is_null) {
            self.wrong_type(object.at(field), expected, &Value::Null);
        }
    }

    /// A field that is an object.
    pub fn child<'v>(&mut self, object: &Object<'v>, field: &str) -> Option<Object<'v>> {
        self.object(object.get(field)?, object.at(field))
    }

    /// A field that is a string.
    pub fn text<'v>(&mut self, object: &Object<'v>, field: &str) -> Option<&'v str> {
        self.field(object, field, "a string", Value::as_str)
    }

    /// A field that is true or false.
    pub fn switch(&mut self, object: &Object<'_>, field: &str) -> Option<bool> {
        self.field(object, field, "a boolean", Value::as_bool)
    }

    /// A field that is a number.
    pub fn number(&mut self, object: &Object<'_>, field: &str) -> Option<f64> {
        self.field(object, field, "a number", Value::as_f64)
    }

    /// A field that is a list; empty where it is absent. `expected` says of what: "a list of names".
    pub fn list<'v>(&mut self, object: &Object<'v>, field: &str, expected: &str) -> &'v [Value] {
        self.field(object, field, expected, |value| value.as_array().map(Vec::as_slice)).unwrap_or_default()
    }

    /// A field that is a whole number of a range, both ends included.
    pub fn integer<T: TryFrom<i64>>(
        &mut self,
        object: &Object<'_>,
        field: &str,
        range: RangeInclusive<i64>,
    ) -> Option<T> {
        let number = object.get(field).filter(|value| value.is_number());
        let beyond = number.is_some_and(|value| !value.is_i64() && value.as_f64().is_none_or(|x| x.fract() == 0.0));
        let value = if beyond { None } else { self.field(object, field, "an integer", Value::as_i64) };
        let fits = value.filter(|value| range.contains(value)).and_then(|value| T::try_from(value).ok());
        if (beyond || value.is_some()) && fits.is_none() {
            self.out_of_range(object.at(field), *range.start(), *range.end());
        }
        fits
    }

    /// Objects to a number that is less than `least` or more than `most`.
    pub fn out_of_range<N: Display>(&mut self, pointer: impl Into<String>, least: N, most: N) {
        let objection = Objection::new(pointer, OutOfRange, format!("must be between {least} and {most}"));
        self.objections.push(objection.hint(format!("give a value from {least} to {most}")));
    }

    /// Objects to a length that is less than `least` or more than `most`. `unit` is what is counted: "characters".
    pub fn length(&mut self, pointer: impl Into<String>, found: usize, range: RangeInclusive<usize>, unit: &str) {
        if range.contains(&found) {
            return;
        }
        let must = match (range.start(), range.end()) {
            (0, most) => format!("at most {most} {unit}"),
            (least, most) => format!("{least} to {most} {unit}"),
        };
        let objection = Objection::new(pointer, OutOfRange, format!("must have {must}, and has {found}"));
        self.objections.push(objection.hint(format!("give it {must}")));
    }

    fn field<'v, T>(
        &mut self,
        object: &Object<'v>,
        field: &str,
        expected: &str,
        read: impl FnOnce(&'v Value) -> Option<T>,
    ) -> Option<T> {
        let value = object.get(field)?;
        let found = read(value);
        if found.is_none() {
            self.wrong_type(object.at(field), expected, value);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::ObjectionCode::WrongType, *};

    #[test]
    fn lengths_are_told_with_what_is_counted() {
        let mut reader = Reader::default();
        reader.length("/name", 0, 1..=200, "characters");
        reader.length("/labels", 65, 0..=64, "labels");
        reader.length("/labels", 64, 0..=64, "labels");
        let messages: Vec<_> = reader.objections.iter().map(|objection| objection.message.as_str()).collect();
        assert_eq!(messages, ["must have 1 to 200 characters, and has 0", "must have at most 64 labels, and has 65"]);
    }

    #[test]
    fn every_fault_has_its_place_and_reading_goes_on() {
        let document = json!({"a": 1.5, "b": -1, "c": "x", "d": 1e30, "e": null, "f/g": true, "h": 7, "i": [1]});
        let mut reader = Reader::default();
        let object = reader.object(&document, "/top").unwrap();
        reader.only_known(&object, &["a", "b", "c", "d", "e", "h", "i"]);
        assert_eq!(reader.integer::<u32>(&object, "a", 0..=9), None);
        assert_eq!(reader.integer::<u32>(&object, "b", 0..=9), None);
        assert_eq!(reader.integer::<u32>(&object, "c", 0..=9), None);
        assert_eq!(reader.integer::<u32>(&object, "d", 0..=9), None);
        assert_eq!(reader.integer::<u32>(&object, "e", 0..=9), None, "null counts as absent");
        assert_eq!(reader.integer::<u32>(&object, "h", 0..=9), Some(7));
        assert!(reader.text(&object, "i").is_none() && reader.child(&object, "h").is_none());
        assert!(reader.required(&object, "e", "an e", "1").is_none());
        let found: Vec<_> = reader.objections.iter().map(|o| (&*o.pointer, o.code)).collect();
        let expect = [
            ("/top/f~1g", UnknownField),
            ("/top/a", WrongType),
            ("/top/b", OutOfRange),
            ("/top/c", WrongType),
            ("/top/d", OutOfRange),
            ("/top/i", WrongType),
            ("/top/h", WrongType),
            ("/top/e", Missing),
        ];
        assert_eq!(found, expect);
        assert!(reader.objections.iter().all(|objection| !objection.hint.is_empty()));
    }
}
