//! The schema of how images become samples, as clients write it; [`read_preprocess`](crate::job::read_preprocess) reads it.
#![expect(dead_code, reason = "a schema is not read")]

use serde::Deserialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ArrayBuilder, ObjectBuilder, OneOfBuilder, RefOr, Schema, Type},
};

/// How images become samples: resized, cropped to the middle, scaled, normalized. The steps are those of torchvision.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"resize": 256, "crop": 224, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}))]
pub(super) struct PreprocessInput {
    /// The size before the crop: a number for the shorter side, or height and width.
    resize: Option<SizeInput>,
    /// The size of the part in the middle that is used: a number for both sides, or height and width.
    crop: Option<SizeInput>,
    /// What a pixel of 0 to 255 is multiplied with; 1/255 without it.
    scale: Option<f32>,
    /// What is subtracted from each channel after that: one number for all channels, or one for each. 0 without it.
    #[serde(default)]
    #[schema(max_items = 3)]
    mean: Vec<f32>,
    /// What each channel is divided by after that, in the same form. 1 without it.
    #[serde(default)]
    #[schema(max_items = 3)]
    std: Vec<f32>,
    /// The order of the axes: samples, channels, height and width by default.
    #[serde(default)]
    layout: LayoutInput,
    /// The channels and their order.
    #[serde(default)]
    color: ColorInput,
}

/// One side, or height and width.
#[derive(Deserialize)]
#[serde(untagged)]
enum SizeInput {
    /// The shorter side of `resize`, or both sides of `crop`, in pixels.
    One(u32),
    /// Height and width, in pixels.
    Both([u32; 2]),
}

// By hand: the derived schema does not say how long the array is.
impl PartialSchema for SizeInput {
    fn schema() -> RefOr<Schema> {
        let side = || ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).maximum(Some(u32::MAX));
        let both = ArrayBuilder::new().items(side()).min_items(Some(2)).max_items(Some(2));
        let either = OneOfBuilder::new().item(side()).item(both);
        either.description(Some("One side, or height and width.")).into()
    }
}

impl ToSchema for SizeInput {}

/// The order of the axes.
#[derive(Default, Deserialize, ToSchema)]
enum LayoutInput {
    #[default]
    #[serde(rename = "NCHW")]
    Nchw,
    #[serde(rename = "NHWC")]
    Nhwc,
}

/// The channels and their order.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
enum ColorInput {
    #[default]
    Rgb,
    Bgr,
    Gray,
}
