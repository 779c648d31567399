//! What every error of the core can say of itself besides its message: whose fault it is, a stable code, and what to do.
//!
//! A leaf: any module may name it, and it names none. The shell turns a fault into an exit code or a problem document.
//! Codes are enums that `codes!` makes of a table, so that `ptqd errors` can list every code there is.

mod catalogue;
mod code;
mod explanation;
mod few;
mod json_words;
mod table;
mod warning;
mod warning_limit;

pub use catalogue::{Entry, entries, entries_with};
pub use code::{FaultCode, FaultKind};
pub use explanation::{Explanation, Fault, chain};
pub use few::few;
pub use json_words::json_words;
pub(crate) use table::codes;
pub use table::{Code, StableCode};
pub use warning::{Warning, WarningCode};
pub use warning_limit::WarningLimit;
