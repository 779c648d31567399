//! [`PatternError`]: why a text is not a pattern, and the bounds that it may have passed.

/// The longest pattern, in bytes.
pub(super) const MOST_BYTES: usize = 512;
/// What one regular expression may take once compiled, in bytes.
pub(super) const ONE_REGEX: usize = 1 << 20;
/// What all of a request may take together, in bytes.
pub(super) const ALL_REGEXES: usize = 8 << 20;

/// Why a text is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The text is empty, and would match nothing.
    #[error("the pattern is empty")]
    Empty,
    /// The text is longer than a name that anybody writes.
    #[error("the pattern has {bytes} bytes; at most {most} are allowed", most = MOST_BYTES)]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// A range of a class ends before it begins, and would match nothing.
    #[error("the range `{first}-{last}` is empty: its ends are the wrong way round")]
    Range {
        /// Its first character.
        first: char,
        /// Its last one.
        last: char,
    },
    /// The regular expression does not compile.
    #[error("the regular expression cannot be used: {reason}")]
    Regex {
        /// What the regular expression library says.
        reason: String,
    },
    /// The regular expression is too large once compiled, alone or together with those before it in the request.
    #[error("the regular expression cannot be used: compiled, it takes more than is left of {} KiB for one and {} KiB \
             for all of a request", ONE_REGEX >> 10, ALL_REGEXES >> 10)]
    RegexTooLarge,
}
