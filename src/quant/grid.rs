//! [`Grid`]: which elements of a matrix share a scale, and [`Rect`]: a part of the matrix.
//!
//! Every granularity of a weight in row-major order is a grid of equal cells on a matrix, the cells at the edges cut off.

use std::ops::Range;

use super::Granularity;
use crate::tensor::Shape;

/// Elements of a part that one thread works on. Fixed, so that sums over parts are the same on every machine.
pub const PART_ELEMENTS: usize = 1 << 18;

/// A matrix of `rows × columns` cut into cells of one scale each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Rows of the matrix.
    pub rows: usize,
    /// Columns of the matrix.
    pub columns: usize,
    /// Rows of a cell, at least 1.
    pub cell_rows: usize,
    /// Columns of a cell, at least 1.
    pub cell_columns: usize,
}

/// Some rows and some columns of a matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rect {
    /// The rows, counted from 0.
    pub rows: Range<usize>,
    /// The columns, counted from 0.
    pub columns: Range<usize>,
}

impl Rect {
    /// The number of elements.
    pub fn elements(&self) -> usize {
        self.rows.len() * self.columns.len()
    }
}

impl Grid {
    /// The grid of a tensor of rank 1 or more; `None` where the granularity does not apply to the shape.
    ///
    /// The first axis makes the rows and all others the columns, except that a tensor with channels along a later axis is
    /// cut there.
    pub fn new(shape: &Shape, granularity: Granularity) -> Option<Grid> {
        let dims = shape.dims();
        let first = *dims.first()?;
        let others: usize = dims[1..].iter().product();
        let matrix = |cell_rows: usize, cell_columns: usize| Grid {
            rows: first,
            columns: others,
            cell_rows: cell_rows.max(1),
            cell_columns: cell_columns.max(1),
        };
        match (granularity, dims.len()) {
            (Granularity::PerTensor, _) => Some(matrix(first, others)),
            (Granularity::PerChannel { axis: 0 }, _) => Some(matrix(1, others)),
            (Granularity::PerChannel { axis }, rank) if axis < rank => {
                let rows: usize = dims[..axis].iter().product();
                let inner: usize = dims[axis + 1..].iter().product();
                Some(Grid { rows, columns: dims[axis] * inner, cell_rows: rows.max(1), cell_columns: inner.max(1) })
            }
            (Granularity::PerGroup { axis: 1, size }, 2) if size > 0 => Some(matrix(1, size)),
            (Granularity::PerGroup { axis: 0, size }, 2) if size > 0 => Some(matrix(size, 1)),
            (Granularity::PerBlock { rows, columns }, 2) if rows > 0 && columns > 0 => Some(matrix(rows, columns)),
            _ => None,
        }
    }

    /// Whether the cells at the edges are as large as the others.
    pub fn is_even(&self) -> bool {
        self.rows.is_multiple_of(self.cell_rows) && self.columns.is_multiple_of(self.cell_columns)
    }

    /// Rows and columns of cells.
    pub fn cells(&self) -> (usize, usize) {
        (self.rows.div_ceil(self.cell_rows), self.columns.div_ceil(self.cell_columns))
    }

    /// The cells that a part touches, as rows and columns of cells.
    pub fn cells_of(&self, rect: &Rect) -> Rect {
        let touched = |range: &Range<usize>, size: usize| range.start / size..range.end.div_ceil(size);
        Rect { rows: touched(&rect.rows, self.cell_rows), columns: touched(&rect.columns, self.cell_columns) }
    }

    /// The cells whose first element lies in a part, as rows and columns of cells. Of parts that cover the matrix once, each
    /// cell begins in one.
    pub fn cells_begun_in(&self, rect: &Rect) -> Rect {
        let begun = |range: &Range<usize>, size: usize| range.start.div_ceil(size)..range.end.div_ceil(size);
        Rect { rows: begun(&rect.rows, self.cell_rows), columns: begun(&rect.columns, self.cell_columns) }
    }

    /// Where some cells lie among all of them in row-major order: a range for each row of cells.
    pub fn runs(&self, cells: &Rect) -> impl Iterator<Item = Range<usize>> + use<> {
        let (_, across) = self.cells();
        let columns = cells.columns.clone();
        cells.rows.clone().map(move |row| row * across + columns.start..row * across + columns.end)
    }

    /// All rows and columns of the matrix.
    pub fn whole(&self) -> Rect {
        Rect { rows: 0..self.rows, columns: 0..self.columns }
    }

    /// Cuts the matrix into parts of at most `most` elements that hold whole cells; `None` where a cell, or a row of
    /// cells one column wide, is larger than that.
    pub fn whole_cells(&self, most: usize) -> Option<Vec<Rect>> {
        let strip = self.cell_rows.min(self.rows.max(1)).checked_mul(self.columns)?;
        if strip <= most {
            let rows = (most / strip.max(1)).max(1).saturating_mul(self.cell_rows);
            return Some(self.cut(rows, self.columns));
        }
        let cell = self.cell_rows.min(self.rows).checked_mul(self.cell_columns)?;
        let narrow = self.cell_columns == 1;
        (!narrow && cell <= most).then(|| self.cut(self.cell_rows, most / cell * self.cell_columns))
    }

    /// Cuts the matrix into contiguous parts of at most `most` elements, whatever the cells.
    pub fn pieces(&self, most: usize) -> Vec<Rect> {
        if self.columns <= most {
            return self.cut(most / self.columns.max(1), self.columns);
        }
        // Whole words of packed codes stay together.
        const WORD: usize = 8;
        self.cut(1, (most / WORD).max(1) * WORD)
    }

    fn cut(&self, rows: usize, columns: usize) -> Vec<Rect> {
        let steps = |total: usize, step: usize| {
            let step = step.max(1);
            (0..total).step_by(step).map(move |start| start..total.min(start.saturating_add(step)))
        };
        steps(self.rows, rows)
            .flat_map(|rows| steps(self.columns, columns).map(move |columns| Rect { rows: rows.clone(), columns }))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(dims: &[usize], granularity: Granularity) -> Grid {
        Grid::new(&Shape::new(dims.to_vec()).unwrap(), granularity).unwrap()
    }

    #[test]
    fn granularities_as_grids() {
        let cells = |dims: &[usize], granularity| grid(dims, granularity).cells();
        assert_eq!(cells(&[6, 10], Granularity::PerTensor), (1, 1));
        assert_eq!(cells(&[6, 10, 3], Granularity::PerChannel { axis: 0 }), (6, 1));
        assert_eq!(cells(&[6, 10], Granularity::PerChannel { axis: 1 }), (1, 10));
        assert_eq!(cells(&[6, 10], Granularity::PerGroup { axis: 1, size: 5 }), (6, 2));
        assert_eq!(cells(&[6, 10], Granularity::PerGroup { axis: 0, size: 4 }), (2, 10));
        assert_eq!(cells(&[6, 10], Granularity::PerBlock { rows: 4, columns: 4 }), (2, 3));
        assert_eq!(cells(&[0, 10], Granularity::PerTensor), (0, 1));
        let rank3 = Shape::new(vec![2, 3, 4]).unwrap();
        assert_eq!(Grid::new(&rank3, Granularity::PerGroup { axis: 1, size: 2 }), None);
        assert_eq!(Grid::new(&Shape::new(vec![]).unwrap(), Granularity::PerTensor), None);
        assert!(!grid(&[6, 10], Granularity::PerBlock { rows: 4, columns: 5 }).is_even());
    }

    #[test]
    fn parts_cover_every_element_once_and_keep_cells_whole() {
        for granularity in [
            Granularity::PerTensor,
            Granularity::PerChannel { axis: 0 },
            Granularity::PerChannel { axis: 1 },
            Granularity::PerGroup { axis: 1, size: 16 },
            Granularity::PerGroup { axis: 0, size: 8 },
            Granularity::PerBlock { rows: 4, columns: 32 },
        ] {
            let grid = grid(&[37, 200], granularity);
            for most in [1, 7, 64, 150, 250, 1000, 1 << 20] {
                let whole = grid.whole_cells(most);
                for (parts, keeps) in whole.map(|parts| (parts, true)).into_iter().chain([(grid.pieces(most), false)]) {
                    let mut seen = vec![0; 37 * 200];
                    let mut begun = vec![0; grid.cells().0 * grid.cells().1];
                    for part in &parts {
                        assert!(part.elements() <= most.max(8), "{granularity:?} {most} {part:?}");
                        grid.runs(&grid.cells_begun_in(part)).flatten().for_each(|cell| begun[cell] += 1);
                        part.rows.clone().for_each(|r| part.columns.clone().for_each(|c| seen[r * 200 + c] += 1));
                        if keeps {
                            assert!(
                                part.rows.start % grid.cell_rows == 0 && part.columns.start % grid.cell_columns == 0
                            );
                            assert!(part.rows.end % grid.cell_rows == 0 || part.rows.end == 37);
                            assert!(part.columns.end % grid.cell_columns == 0 || part.columns.end == 200);
                        }
                    }
                    assert!(seen.iter().all(|&n| n == 1));
                    assert!(begun.iter().all(|&n| n == 1), "{granularity:?} {most}");
                }
            }
        }
    }
}
