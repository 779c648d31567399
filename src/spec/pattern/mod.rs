//! [`Pattern`]: how users name layers.
//!
//! - plain: Python's `fnmatch` on the whole name or the class name: `*` (crosses `.` and `/`), `?`, `[seq]`, `[!seq]`;
//! - `type:` the same, on class names alone;
//! - `re:` a regular expression that must match the whole name or class name.
//!
//! A name is tried in its own spelling, dotted (`a.b.Conv`) and slashed (`/a/b/Conv`).
//!
//! Patterns come from strangers: their length, what regular expressions take once compiled, and the time that a match takes
//! are bounded.

mod budget;
mod error;
mod glob;

use regex_automata::meta::Regex;
use serde::{Serialize, Serializer};

pub(super) use self::budget::RegexBudget;
pub use self::error::PatternError;
use self::{error::MOST_BYTES, glob::Glob};

/// A pattern that is compiled, and keeps its source for messages and plans.
#[derive(Clone, Debug)]
pub struct Pattern {
    source: String,
    matcher: Matcher,
    classes_only: bool,
}

#[derive(Clone, Debug)]
enum Matcher {
    Glob(Glob),
    Regex(Regex),
}

impl Pattern {
    /// The pattern that matches this name and no other.
    pub fn literal(name: &str) -> String {
        let plain = |c: char| if "*?[".contains(c) { format!("[{c}]") } else { c.to_string() };
        name.chars().map(plain).collect()
    }

    /// Compiles a pattern: `re:` a regular expression, `type:` a class, else a name with wildcards.
    pub fn new(source: &str) -> Result<Self, PatternError> {
        Pattern::within(&mut RegexBudget::default(), source)
    }

    /// The same; what a regular expression takes is taken from the budget.
    pub(super) fn within(budget: &mut RegexBudget, source: &str) -> Result<Self, PatternError> {
        if source.len() > MOST_BYTES {
            return Err(PatternError::TooLong { bytes: source.len() });
        }
        let (text, classes_only) = match (source.strip_prefix("re:"), source.strip_prefix("type:")) {
            (Some(expression), _) => (expression, false),
            (_, Some(class)) => (class, true),
            _ => (source, false),
        };
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        let regex = source.starts_with("re:");
        let matcher = if regex { Matcher::Regex(budget.compile(text)?) } else { Matcher::Glob(Glob::new(text)?) };
        Ok(Pattern { source: source.to_owned(), matcher, classes_only })
    }

    /// The text it was made from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it is a bare `*`, which matches everything and names nothing.
    pub fn is_catch_all(&self) -> bool {
        self.source.bytes().all(|b| b == b'*')
    }

    /// Whether it matches one of the names, in any spelling, or one of the classes.
    pub fn matches<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
        classes: impl IntoIterator<Item = &'a str>,
    ) -> bool {
        let hit = |text: &str| match &self.matcher {
            Matcher::Glob(glob) => glob.matches(text),
            Matcher::Regex(regex) => regex.is_match(text),
        };
        classes.into_iter().any(hit)
            || (!self.classes_only
                && names.into_iter().any(|name| hit(name) || hit(&dotted(name)) || hit(&slashed(name))))
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.source)
    }
}

fn dotted(name: &str) -> String {
    name.trim_start_matches('/').replace('/', ".")
}

fn slashed(name: &str) -> String {
    format!("/{}", name.trim_start_matches('/').replace('.', "/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(pattern: &str, name: &str) -> bool {
        Pattern::new(pattern).unwrap().matches([name], ["Conv2d"])
    }

    #[test]
    fn globs_match_as_fnmatch_does() {
        for (pattern, name, expected) in [
            ("head", "model.head", false),
            ("*head*", "model.head", true),
            ("model.*.conv", "model.a.b.conv", true),
            ("l?yer", "layer", true),
            ("block[0-2].x", "block1.x", true),
            ("block[0-2].x", "block3.x", false),
            ("block[!0-2].x", "block3.x", true),
            ("a[]]b", "a]b", true),
            ("a[b", "a[b", true),
            ("a.b", "aXb", false),
            ("a{1}", "a{1}", true),
            ("HEAD", "head", false),
            ("[*]", "*", true),
        ] {
            assert_eq!(hit(pattern, name), expected, "{pattern} on {name}");
        }
    }

    #[test]
    fn both_spellings_of_a_path_match() {
        assert!(hit("a.b.Conv", "/a/b/Conv"));
        assert!(hit("/a/b/conv", "a.b.conv"));
        assert!(hit("/head/*", "head.fc"));
    }

    #[test]
    fn prefixes_choose_the_grammar() {
        assert!(hit("type:Conv*", "Conv1"));
        assert!(!Pattern::new("type:fc").unwrap().matches(["fc"], ["Linear"]));
        assert!(hit("re:layer[.]\\d+", "layer.12"));
        assert!(!hit("re:layer", "layer.12"), "a regular expression matches the whole name");
        assert!(hit("re:a.b", "a\nb"), "a dot matches every character");
        assert!(hit("Conv2d", "anything"), "a plain pattern also matches the class");
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        assert_eq!(Pattern::new("").unwrap_err(), PatternError::Empty);
        assert_eq!(Pattern::new("re:").unwrap_err(), PatternError::Empty);
        assert_eq!(Pattern::new("type:").unwrap_err(), PatternError::Empty);
        assert!(matches!(Pattern::new("re:("), Err(PatternError::Regex { .. })));
        assert!(matches!(Pattern::new(&format!("re:{}", "(".repeat(200))), Err(PatternError::Regex { .. })));
        assert_eq!(Pattern::new("re:((a{1000}){1000}){9}").unwrap_err(), PatternError::RegexTooLarge);
        assert_eq!(Pattern::new("[z-a]").unwrap_err(), PatternError::Range { first: 'z', last: 'a' });
        assert_eq!(Pattern::new(&"a".repeat(513)).unwrap_err(), PatternError::TooLong { bytes: 513 });
        assert!(Pattern::new(&"a".repeat(512)).is_ok());
    }
}
