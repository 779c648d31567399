//! [`Pattern`]: how users name layers.
//!
//! - plain: Python's `fnmatch` on the whole name or the class name: `*` (crosses `.` and `/`), `?`, `[seq]`, `[!seq]`;
//! - `type:` the same, on class names alone;
//! - `re:` a regular expression that must match the whole name or class name.
//!
//! A name is tried in its own spelling, dotted (`a.b.Conv`) and slashed (`/a/b/Conv`).

use regex::{Regex, RegexBuilder};
use serde::{Serialize, Serializer};

/// A pattern that is compiled, and keeps its source for messages and plans.
#[derive(Clone, Debug)]
pub struct Pattern {
    source: String,
    matcher: Regex,
    classes_only: bool,
}

/// Why a text is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The text is empty, and would match nothing.
    #[error("the pattern is empty")]
    Empty,
    /// The regular expression does not compile, or is too large.
    #[error("the regular expression cannot be used: {reason}")]
    Regex {
        /// What the regular expression library says.
        reason: String,
    },
}

impl Pattern {
    /// The pattern that matches this name and no other.
    pub fn literal(name: &str) -> String {
        let plain = |c: char| if "*?[".contains(c) { format!("[{c}]") } else { c.to_string() };
        name.chars().map(plain).collect()
    }

    /// Compiles a pattern: `re:` a regular expression, `type:` a class, else a name with wildcards.
    pub fn new(source: &str) -> Result<Self, PatternError> {
        const MOST_BYTES_COMPILED: usize = 1 << 20;
        let (expression, classes_only) = match (source.strip_prefix("re:"), source.strip_prefix("type:")) {
            (Some(expression), _) => (expression.to_owned(), false),
            (_, Some(class)) => (translate(class), true),
            _ => (translate(source), false),
        };
        if expression.is_empty() || source == "type:" {
            return Err(PatternError::Empty);
        }
        let matcher = RegexBuilder::new(&format!("^(?:{expression})$"))
            .size_limit(MOST_BYTES_COMPILED)
            .dot_matches_new_line(true)
            .build()
            .map_err(|e| PatternError::Regex { reason: e.to_string().lines().last().unwrap_or_default().to_owned() })?;
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
        let hit = |text: &str| self.matcher.is_match(text);
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

/// `fnmatch`'s glob as a regular expression. A `[` that is never closed stands for itself, as in Python.
fn translate(glob: &str) -> String {
    let glob: Vec<char> = glob.chars().collect();
    let mut expression = String::new();
    let mut at = 0;
    while at < glob.len() {
        let c = glob[at];
        at += 1;
        match c {
            '*' => expression.push_str(".*"),
            '?' => expression.push('.'),
            '[' => match class_end(&glob, at) {
                Some(end) => {
                    expression.push_str(&class(&glob[at..end]));
                    at = end + 1;
                }
                None => expression.push_str("\\["),
            },
            _ => expression.push_str(&regex::escape(&c.to_string())),
        }
    }
    expression
}

/// Where the class that begins at `at` (after its bracket) ends; a `]` in the first place belongs to it.
fn class_end(glob: &[char], at: usize) -> Option<usize> {
    let first = at + usize::from(glob.get(at) == Some(&'!'));
    (first + 1..glob.len()).find(|&i| glob[i] == ']')
}

fn class(members: &[char]) -> String {
    let (negated, members) = match members {
        ['!', rest @ ..] => ("^", rest),
        _ => ("", members),
    };
    // Only a range's minus keeps its meaning; everything else stands for itself.
    let escaped: String = members
        .iter()
        .enumerate()
        .map(|(i, &c)| match c {
            '-' if i > 0 && i + 1 < members.len() => "-".to_owned(),
            c if c.is_alphanumeric() => c.to_string(),
            c => format!("\\x{{{:x}}}", c as u32),
        })
        .collect();
    format!("[{negated}{escaped}]")
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
        assert!(hit("Conv2d", "anything"), "a plain pattern also matches the class");
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        assert_eq!(Pattern::new("").unwrap_err(), PatternError::Empty);
        assert_eq!(Pattern::new("re:").unwrap_err(), PatternError::Empty);
        assert_eq!(Pattern::new("type:").unwrap_err(), PatternError::Empty);
        assert!(matches!(Pattern::new("re:("), Err(PatternError::Regex { .. })));
        assert!(matches!(Pattern::new("re:((a{1000}){1000}){9}"), Err(PatternError::Regex { .. })));
        assert!(matches!(Pattern::new("[z-a]"), Err(PatternError::Regex { .. })));
    }
}
