//! Reads how images become samples.

use serde_json::Value;

use crate::{
    dataset::{Color, Layout, Preprocess, Size},
    spec::{Object, Objection, ObjectionCode, Reader},
};

const LAYOUTS: [(&str, Layout); 2] = [("NCHW", Layout::Nchw), ("NHWC", Layout::Nhwc)];
const COLORS: [(&str, Color); 3] = [("RGB", Color::Rgb), ("BGR", Color::Bgr), ("GRAY", Color::Gray)];

/// Reads the object; each number out of range is an objection as well.
pub fn read(reader: &mut Reader, object: &Object<'_>) -> Preprocess {
    reader.only_known(object, &["resize", "crop", "scale", "mean", "std", "layout", "color"]);
    for (field, expected) in
        [("mean", "a list of numbers"), ("std", "a list of numbers"), ("layout", "a string"), ("color", "a string")]
    {
        reader.not_null(object, field, expected);
    }
    let preprocess = Preprocess {
        resize: size(reader, object, "resize"),
        crop: size(reader, object, "crop"),
        scale: reader.number(object, "scale").map(|scale| scale as f32),
        mean: numbers(reader, object, "mean"),
        std: numbers(reader, object, "std"),
        layout: one_of(reader, object, "layout", &LAYOUTS).unwrap_or_default(),
        color: one_of(reader, object, "color", &COLORS).unwrap_or_default(),
    };
    for (field, message) in preprocess.mistakes() {
        reader.object_to(object.at(field), ObjectionCode::OutOfRange, message);
    }
    preprocess
}

/// One side, or height and width.
fn size(reader: &mut Reader, object: &Object<'_>, field: &str) -> Option<Size> {
    let value = object.get(field)?;
    let side = |value: &Value| value.as_u64().map(|side| u32::try_from(side).unwrap_or(u32::MAX));
    let size = match value {
        Value::Array(sides) => match sides.as_slice() {
            [height, width] => side(height).zip(side(width)).map(|(height, width)| Size::Both(height, width)),
            _ => None,
        },
        one => side(one).map(Size::One),
    };
    if size.is_none() {
        reader.object_to(object.at(field), ObjectionCode::WrongType, "expected a whole number, or height and width");
    }
    size
}

fn numbers(reader: &mut Reader, object: &Object<'_>, field: &str) -> Vec<f32> {
    let values = reader.list(object, field, "a list of numbers");
    let mut numbers = Vec::new();
    for (i, value) in values.iter().enumerate() {
        match value.as_f64() {
            Some(number) => numbers.push(number as f32),
            None => reader.wrong_type(format!("{}/{i}", object.at(field)), "a number", value),
        }
    }
    numbers
}

fn one_of<T: Copy>(reader: &mut Reader, object: &Object<'_>, field: &str, names: &[(&str, T)]) -> Option<T> {
    let text = reader.text(object, field)?;
    let found = names.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
    if found.is_none() {
        let allowed: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
        let message = format!("`{field}` cannot be `{text}`");
        let objection = Objection::new(object.at(field), ObjectionCode::OutOfRange, message);
        reader.objections.push(objection.allowed(allowed));
    }
    found
}
