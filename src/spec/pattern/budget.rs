//! [`RegexBudget`]: what the regular expressions of one request may take. A few bytes of one (`\w{33}`) become megabytes and
//! tens of milliseconds, so that their number and length alone bound nothing.

use regex_automata::{
    meta::{BuildError, Config, Regex},
    util::syntax,
};

use super::error::{ALL_REGEXES, ONE_REGEX, PatternError};

/// Bytes that regular expressions may still take once compiled.
#[derive(Debug)]
pub(in crate::spec) struct RegexBudget {
    left: usize,
}

impl Default for RegexBudget {
    fn default() -> Self {
        RegexBudget { left: ALL_REGEXES }
    }
}

impl RegexBudget {
    /// An expression that matches whole texts. One that is too large costs what compiling it was allowed to take.
    pub(super) fn compile(&mut self, expression: &str) -> Result<Regex, PatternError> {
        /// Groups in groups, and other nesting.
        const DEEPEST: u32 = 64;
        if self.left == 0 {
            return Err(PatternError::RegexTooLarge);
        }
        let most = self.left.min(ONE_REGEX);
        let built = Regex::builder()
            .configure(Config::new().nfa_size_limit(Some(most)))
            .syntax(syntax::Config::new().dot_matches_new_line(true).nest_limit(DEEPEST))
            .build(&format!("^(?:{expression})$"));
        let taken = built.as_ref().map_or(most, Regex::memory_usage);
        match built {
            Err(error) if error.size_limit().is_none() => Err(PatternError::Regex { reason: reason(&error) }),
            built => {
                self.left = self.left.saturating_sub(taken);
                built.map_err(|_| PatternError::RegexTooLarge)
            }
        }
    }
}

/// The last line of what the library says; those before it show the expression.
fn reason(error: &BuildError) -> String {
    let text = error.syntax_error().map_or_else(|| error.to_string(), ToString::to_string);
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn many_small_expressions_fit_and_many_large_ones_end_early() {
        let mut budget = RegexBudget::default();
        assert!((0..256).all(|i| budget.compile(&format!(r"model\.layers\.{i}\..*(q|k|v)_proj")).is_ok()));
        let mut budget = RegexBudget::default();
        let began = Instant::now();
        let fitted = (0..2000).filter(|_| budget.compile(r"\w{33}").is_ok()).count();
        assert!((1..100).contains(&fitted), "{fitted}");
        assert_eq!(budget.compile("a").unwrap_err(), PatternError::RegexTooLarge);
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }

    #[test]
    fn an_expression_that_is_wrong_costs_nothing_and_is_named() {
        let mut budget = RegexBudget::default();
        let Err(PatternError::Regex { reason }) = budget.compile("a(") else { panic!("it compiles") };
        assert_eq!(reason, "unclosed group");
        assert_eq!(budget.left, ALL_REGEXES);
    }
}
