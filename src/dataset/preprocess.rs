//! [`Preprocess`]: from the pixels of an image to the numbers that a network takes.
//!
//! The steps and their order are those of torchvision's usual transform: resize, crop the middle, scale to 0..1, subtract
//! the mean, divide by the standard deviation.

use serde::{Deserialize, Serialize};

/// From the pixels of an image to the numbers that a network takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Preprocess {
    /// The size before the crop: a number for the shorter side, or height and width.
    pub resize: Option<Size>,
    /// The size of the part in the middle that is used: a number for both sides, or height and width.
    pub crop: Option<Size>,
    /// What a pixel of 0 to 255 is multiplied with; 1/255 without it.
    pub scale: Option<f32>,
    /// What is subtracted from each channel after that; one number for all channels, or one for each. 0 without it.
    pub mean: Vec<f32>,
    /// What each channel is divided by after that, in the same form. 1 without it.
    pub std: Vec<f32>,
    /// The order of the axes.
    pub layout: Layout,
    /// The channels and their order.
    pub color: Color,
}

/// One side or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Size {
    /// The shorter side of `resize`, or both sides of `crop`, in pixels.
    One(u32),
    /// Height and width, in pixels.
    Both(u32, u32),
}

/// The order of the axes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Layout {
    /// Samples, channels, height, width: PyTorch's.
    #[default]
    #[serde(rename = "NCHW")]
    Nchw,
    /// Samples, height, width, channels: TensorFlow's.
    #[serde(rename = "NHWC")]
    Nhwc,
}

/// The channels and their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Color {
    /// Three channels: red, green, blue.
    #[default]
    Rgb,
    /// Blue, green, red: OpenCV's.
    Bgr,
    /// One channel: the luminance.
    Gray,
}

impl Preprocess {
    /// The largest side of a resized image.
    const LARGEST: u32 = 8192;

    /// The number of channels of the network's input: 1 for gray, else 3.
    pub fn channels(&self) -> usize {
        if self.color == Color::Gray { 1 } else { 3 }
    }

    /// What is wrong with the numbers: the field and a sentence each.
    pub fn mistakes(&self) -> Vec<(&'static str, String)> {
        let mut mistakes = Vec::new();
        for (field, size) in [("resize", self.resize), ("crop", self.crop)] {
            let fits = |side: u32| (1..=Self::LARGEST).contains(&side);
            let fine = match size {
                None => true,
                Some(Size::One(side)) => fits(side),
                Some(Size::Both(height, width)) => fits(height) && fits(width),
            };
            if !fine {
                mistakes.push((field, format!("sides must be between 1 and {}", Self::LARGEST)));
            }
        }
        for (field, values) in [("mean", &self.mean), ("std", &self.std)] {
            if values.len() > 1 && values.len() != self.channels() {
                let message = format!("has {} numbers for {} channels", values.len(), self.channels());
                mistakes.push((field, message));
            }
        }
        let finite = |values: &[f32]| values.iter().all(|x| x.is_finite());
        if !finite(&self.mean) {
            mistakes.push(("mean", "must be finite numbers".to_owned()));
        }
        if !finite(&self.std) || self.std.contains(&0.0) {
            mistakes.push(("std", "must be finite numbers other than 0".to_owned()));
        }
        if self.scale.is_some_and(|scale| !scale.is_finite() || scale == 0.0) {
            mistakes.push(("scale", "must be a finite number other than 0".to_owned()));
        }
        mistakes
    }

    /// Height and width after resizing an image of this height and width.
    pub(super) fn resized(&self, height: u32, width: u32) -> (u32, u32) {
        match self.resize {
            None => (height, width),
            Some(Size::Both(height, width)) => (height, width),
            Some(Size::One(side)) => {
                let (short, long) = (height.min(width).max(1), height.max(width));
                let other = u64::from(side) * u64::from(long) / u64::from(short);
                let other = u32::try_from(other).unwrap_or(u32::MAX).max(1);
                if height <= width { (side, other) } else { (other, side) }
            }
        }
    }

    /// Height and width of the crop, if there is one.
    pub(super) fn cropped(&self) -> Option<(u32, u32)> {
        self.crop.map(|size| match size {
            Size::One(side) => (side, side),
            Size::Both(height, width) => (height, width),
        })
    }

    /// Factor and summand of each channel, in the order of the channels: `(x · scale − mean) / std`.
    pub(super) fn affine(&self, channel: usize) -> (f32, f32) {
        let of = |values: &[f32], default: f32| {
            values.get(if values.len() == 1 { 0 } else { channel }).copied().unwrap_or(default)
        };
        let (mean, std) = (of(&self.mean, 0.0), of(&self.std, 1.0));
        (self.scale.unwrap_or(1.0 / 255.0) / std, -mean / std)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_users_write_it_and_mistakes_are_named() {
        let text =
            r#"{"resize": 256, "crop": [224, 200], "mean": [0.485, 0.456, 0.406], "std": [0.5], "color": "BGR"}"#;
        let read: Preprocess = serde_json::from_str(text).unwrap();
        assert_eq!(
            (read.resize, read.crop, read.color),
            (Some(Size::One(256)), Some(Size::Both(224, 200)), Color::Bgr)
        );
        assert_eq!((read.mistakes(), read.cropped()), (vec![], Some((224, 200))));
        assert_eq!((read.resized(480, 640), read.resized(640, 480)), ((256, 341), (341, 256)));
        let (factor, summand) = read.affine(2);
        assert!((factor - 2.0 / 255.0).abs() < 1e-7 && (summand + 0.812).abs() < 1e-6);
        let wrong = r#"{"resize": 0, "mean": [1, 2], "std": [0], "color": "GRAY"}"#;
        let wrong: Preprocess = serde_json::from_str(wrong).unwrap();
        assert_eq!(wrong.mistakes().into_iter().map(|(field, _)| field).collect::<Vec<_>>(), ["resize", "mean", "std"]);
        assert!(serde_json::from_str::<Preprocess>(r#"{"colour": "RGB"}"#).is_err());
    }
}
