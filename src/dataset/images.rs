//! Image files as an array, decoded when they are asked for.

use std::{
    fs::File,
    io::{BufRead, BufReader, Seek},
    ops::Range,
    path::{Path, PathBuf},
};

use image::{DynamicImage, ImageReader, Limits, imageops::FilterType};
use rayon::prelude::*;

use super::{Color, DatasetError, Layout, Preprocess};
use crate::tensor::Shape;

/// The largest side of an image file.
const LARGEST_SIDE: u32 = 1 << 14;
/// The most memory that decoding one may take.
const MOST_BYTES: u64 = 512 << 20;

/// Image files that all become samples of one shape.
#[derive(Debug)]
pub(super) struct Images {
    paths: Vec<PathBuf>,
    preprocess: Preprocess,
    height: u32,
    width: u32,
}

impl Images {
    /// These images as samples of one shape: that of the crop; without one, that of the first image.
    pub(super) fn open(paths: Vec<PathBuf>, preprocess: Option<&Preprocess>) -> Result<Self, DatasetError> {
        let preprocess = preprocess.cloned().unwrap_or_default();
        let first = paths.first().ok_or(DatasetError::Empty)?;
        let (height, width) = match preprocess.cropped() {
            Some(size) => size,
            None => {
                let (width, height) = reader(first)?.into_dimensions().map_err(|e| refused(first, &e.to_string()))?;
                preprocess.resized(height, width)
            }
        };
        Ok(Images { paths, preprocess, height, width })
    }

    /// The shape of their array: samples first, then as the layout has it.
    pub(super) fn shape(&self) -> Result<Shape, DatasetError> {
        let (samples, channels) = (self.paths.len(), self.preprocess.channels());
        let (height, width) = (self.height as usize, self.width as usize);
        let dims = match self.preprocess.layout {
            Layout::Nchw => vec![samples, channels, height, width],
            Layout::Nhwc => vec![samples, height, width, channels],
        };
        Shape::new(dims).map_err(|source| DatasetError::Shape { array: "images".to_owned(), source })
    }

    pub(super) fn len(&self) -> usize {
        self.paths.len()
    }

    /// The values of some of them.
    pub(super) fn read(&self, samples: Range<usize>) -> Result<Vec<f32>, DatasetError> {
        let read: Vec<_> = self.paths[samples].par_iter().map(|path| self.one(path)).collect();
        let read = read.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(read.concat())
    }

    fn one(&self, path: &Path) -> Result<Vec<f32>, DatasetError> {
        let image = reader(path)?.decode().map_err(|e| refused(path, &e.to_string()))?;
        let (height, width) = self.preprocess.resized(image.height(), image.width());
        if height.max(width) > LARGEST_SIDE {
            return Err(refused(path, &format!("resized it would be {height}×{width}")));
        }
        let whole = self.preprocess.crop.is_none() && (self.height, self.width) != (height, width);
        if whole || self.height > height || self.width > width {
            let found = format!("it is {height}×{width} where {}×{} is needed", self.height, self.width);
            return Err(refused(path, &found));
        }
        // The middle as torchvision takes it.
        let offset = |all: u32, part: u32| (f64::from(all - part) / 2.0).round_ties_even() as u32;
        let (top, left) = (offset(height, self.height), offset(width, self.width));
        let image = match self.preprocess.color {
            Color::Gray => DynamicImage::ImageLuma8(image.into_luma8()),
            Color::Rgb | Color::Bgr => DynamicImage::ImageRgb8(image.into_rgb8()),
        };
        let same = (image.height(), image.width()) == (height, width);
        let resized = if same { image } else { image.resize_exact(width, height, FilterType::Triangle) };
        let pixels = resized.crop_imm(left, top, self.width, self.height).into_bytes();
        Ok(self.arrange(&pixels))
    }

    /// Pixels of interleaved channels as the network takes them.
    fn arrange(&self, pixels: &[u8]) -> Vec<f32> {
        let channels = self.preprocess.channels();
        let source =
            |channel: usize| if self.preprocess.color == Color::Bgr { channels - 1 - channel } else { channel };
        let affine: Vec<(f32, f32)> = (0..channels).map(|channel| self.preprocess.affine(channel)).collect();
        let value = |pixel: &[u8], channel: usize| {
            let (factor, summand) = affine[channel];
            f32::from(pixel[source(channel)]).mul_add(factor, summand)
        };
        let mut values = Vec::with_capacity(pixels.len());
        match self.preprocess.layout {
            Layout::Nchw => {
                for channel in 0..channels {
                    values.extend(pixels.chunks_exact(channels).map(|pixel| value(pixel, channel)));
                }
            }
            Layout::Nhwc => {
                for pixel in pixels.chunks_exact(channels) {
                    values.extend((0..channels).map(|channel| value(pixel, channel)));
                }
            }
        }
        values
    }
}

fn reader(path: &Path) -> Result<ImageReader<impl BufRead + Seek + use<>>, DatasetError> {
    let unreadable = |source| DatasetError::Read { path: path.to_owned(), source };
    let file = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut reader = ImageReader::new(file).with_guessed_format().map_err(unreadable)?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(LARGEST_SIDE);
    limits.max_image_height = Some(LARGEST_SIDE);
    limits.max_alloc = Some(MOST_BYTES);
    reader.limits(limits);
    Ok(reader)
}

fn refused(path: &Path, reason: &str) -> DatasetError {
    DatasetError::Image { path: path.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::{GrayImage, Rgb, RgbImage};

    use super::*;
    use crate::dataset::{CLASS, Dataset, UNNAMED, Values};

    /// Each pixel says where it is.
    fn picture(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, 200]))
    }

    fn floats(data: &Dataset, samples: Range<usize>) -> Vec<f32> {
        let Values::Float(values) = data.arrays()[UNNAMED].read("images", samples).unwrap() else {
            panic!("not floats")
        };
        values
    }

    fn preprocess(json: &str) -> Preprocess {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_middle_is_cropped_and_channels_lie_as_asked() {
        let folder = tempfile::tempdir().unwrap();
        picture(6, 4).save(folder.path().join("a.png")).unwrap();
        let nchw = preprocess(r#"{"crop": 2, "scale": 1, "mean": [1, 0, 0], "std": [1, 1, 2]}"#);
        let data = Dataset::open(folder.path(), Some(&nchw)).unwrap();
        assert_eq!(data.arrays()[UNNAMED].shape().dims(), [1, 3, 2, 2]);
        assert_eq!(floats(&data, 0..1), [1., 2., 1., 2., 1., 1., 2., 2., 100., 100., 100., 100.]);
        let nhwc = preprocess(r#"{"crop": [1, 2], "scale": 1, "layout": "NHWC", "color": "BGR"}"#);
        let data = Dataset::open(folder.path(), Some(&nhwc)).unwrap();
        assert_eq!(floats(&data, 0..1), [200., 2., 2., 200., 2., 3.]);
    }

    #[test]
    fn the_shorter_side_is_resized_and_every_format_and_kind_of_pixel_read() {
        let folder = tempfile::tempdir().unwrap();
        picture(40, 20).save(folder.path().join("a.jpeg")).unwrap();
        GrayImage::from_pixel(10, 20, image::Luma([51])).save(folder.path().join("b.png")).unwrap();
        let gray = preprocess(r#"{"resize": 10, "crop": 10, "color": "GRAY"}"#);
        let data = Dataset::open(folder.path(), Some(&gray)).unwrap();
        assert_eq!((data.samples(), data.arrays()[UNNAMED].shape().dims()), (2, &[2, 1, 10, 10][..]));
        assert!(floats(&data, 1..2).iter().all(|x| (x - 0.2).abs() < 1e-6));
        // Without a crop all images must end alike.
        let data = Dataset::open(folder.path(), Some(&preprocess(r#"{"resize": 10}"#))).unwrap();
        let error = data.arrays()[UNNAMED].read("images", 0..2).unwrap_err();
        assert!(error.to_string().contains("it is 20×10 where 10×20 is needed"), "{error}");
    }

    #[test]
    fn folders_of_images_are_classes() {
        let folder = tempfile::tempdir().unwrap();
        for (class, name) in [("dog", "a.png"), ("cat", "b.png"), ("cat", "c.png")] {
            fs::create_dir_all(folder.path().join(class)).unwrap();
            picture(2, 2).save(folder.path().join(class).join(name)).unwrap();
        }
        let data = Dataset::open(folder.path(), None).unwrap();
        assert_eq!(data.arrays()[CLASS].read(CLASS, 0..3).unwrap(), Values::Int(vec![0, 0, 1]));
        picture(2, 2).save(folder.path().join("loose.png")).unwrap();
        assert!(matches!(Dataset::open(folder.path(), None), Err(DatasetError::Mixed { .. })));
    }

    #[test]
    fn damaged_and_hostile_images_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        picture(8, 8).save(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        // A header that claims 2^31 pixels each way.
        let mut huge = whole.clone();
        huge[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
        for bytes in [&whole[..whole.len() / 2], b"not an image", b"", &huge] {
            fs::write(&path, bytes).unwrap();
            let crop = preprocess(r#"{"crop": 8}"#);
            let data = Dataset::open(folder.path(), Some(&crop)).unwrap();
            let error = data.arrays()[UNNAMED].read("images", 0..1).unwrap_err();
            assert!(matches!(error, DatasetError::Image { .. }), "{error}");
        }
    }
}
