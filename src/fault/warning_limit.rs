//! [`WarningLimit`]: how many warnings one job may have. A model of a stranger gives cause for as many as it has layers.

use super::{Warning, WarningCode};

/// Warnings of a job.
const MOST: usize = 500;
/// Bytes of their texts.
const MOST_BYTES: usize = 256 << 10;

/// Counts the warnings of one job.
#[derive(Debug, Default)]
pub struct WarningLimit {
    count: usize,
    bytes: usize,
    over: bool,
}

impl WarningLimit {
    /// The warning, as long as there is room; in place of the first that finds none, one that says so, and then nothing.
    pub fn admit(&mut self, warning: Warning) -> Option<Warning> {
        let bytes = warning.message.len() + warning.pointer.as_ref().map_or(0, String::len);
        if !self.over && self.count < MOST && self.bytes + bytes <= MOST_BYTES {
            self.count += 1;
            self.bytes += bytes;
            return Some(warning);
        }
        let first = !std::mem::replace(&mut self.over, true);
        let message = format!("only the first {} warnings are told", self.count);
        first.then(|| Warning::new(WarningCode::WarningsLeftOut, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_has_so_many_warnings_and_one_that_says_that_there_are_more() {
        let told = |count: usize, long: usize| {
            let mut limit = WarningLimit::default();
            let warnings = (0..count).map(|_| Warning::new(WarningCode::FieldIgnored, "w".repeat(long)));
            warnings.filter_map(|warning| limit.admit(warning)).collect::<Vec<_>>()
        };
        assert_eq!(told(500, 10).len(), 500);
        let many = told(9000, 10);
        assert_eq!((many.len(), &*many[500].code), (501, "warnings_left_out"));
        let long = told(900, 4000);
        assert_eq!((long.len(), &*long[65].message), (66, "only the first 65 warnings are told"));
    }
}
