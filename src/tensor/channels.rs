//! [`Channels`]: a tensor seen as channels along one axis.

use super::Shape;

/// A shape cut along `axis` into `outer × channels × inner` elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channels {
    /// Product of the dimensions before the axis.
    pub outer: usize,
    /// The dimension of the axis.
    pub channels: usize,
    /// Product of the dimensions after the axis.
    pub inner: usize,
}

impl Channels {
    /// `None` if the shape has no such axis.
    pub fn along(shape: &Shape, axis: usize) -> Option<Self> {
        let dims = shape.dims();
        let channels = *dims.get(axis)?;
        Some(Channels { outer: dims[..axis].iter().product(), channels, inner: dims[axis + 1..].iter().product() })
    }

    /// Elements of one channel, in all its runs.
    pub fn len(&self) -> usize {
        self.outer * self.inner
    }

    /// Whether there is no element at all.
    pub fn is_empty(&self) -> bool {
        self.len() * self.channels == 0
    }

    /// Moves the channel axis to the front: `out[c][o][i] = from[o][c][i]`. Both slices have all elements.
    pub fn to_front<T: Copy>(&self, from: &[T], out: &mut Vec<T>) {
        assert_eq!(from.len(), self.outer * self.channels * self.inner, "the slice is not of this shape");
        out.clear();
        out.reserve(from.len());
        for channel in 0..self.channels {
            for outer in 0..self.outer {
                let start = (outer * self.channels + channel) * self.inner;
                out.extend_from_slice(&from[start..start + self.inner]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_to_the_front_and_back_is_the_identity() {
        let shape = Shape::new(vec![2, 3, 4]).unwrap();
        let data: Vec<u32> = (0..24).collect();
        let (mut front, mut back) = (Vec::new(), Vec::new());
        for axis in 0..3 {
            let channels = Channels::along(&shape, axis).unwrap();
            channels.to_front(&data, &mut front);
            assert_eq!(front[channels.len()], data[channels.inner], "second channel of axis {axis}");
            let moved = Channels { outer: channels.channels, channels: channels.outer, inner: channels.inner };
            moved.to_front(&front, &mut back);
            assert_eq!(back, data);
        }
        assert_eq!(Channels::along(&shape, 3), None);
    }
}
