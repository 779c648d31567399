//! [`Glob`]: Python's `fnmatch`, matched without a regular expression: nothing is compiled that is larger than the text, and
//! a match takes at most pattern times name steps whatever stars there are.

use super::error::PatternError;

/// A name with wildcards.
#[derive(Clone, Debug)]
pub(super) struct Glob(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    /// `*`: any characters, or none.
    Any,
    /// `?`: one character.
    One,
    Char(char),
    /// `[a-z]`, `[!a-z]`: a character of the ranges, or of none of them.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Glob {
    /// Reads a glob. A `[` that is never closed stands for itself, as in Python.
    pub(super) fn new(text: &str) -> Result<Self, PatternError> {
        let mut parts = Vec::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            parts.push(match c {
                // Stars in a row are one.
                '*' if matches!(parts.last(), Some(Part::Any)) => continue,
                '*' => Part::Any,
                '?' => Part::One,
                '[' => match class(rest.as_str()) {
                    Some((part, after)) => {
                        rest = after.chars();
                        part?
                    }
                    None => Part::Char('['),
                },
                c => Part::Char(c),
            });
        }
        Ok(Glob(parts))
    }

    /// Whether it matches the whole text.
    pub(super) fn matches(&self, text: &str) -> bool {
        let (mut parts, mut rest) = (self.0.as_slice(), text.chars());
        // Behind the last star that was met: the parts, and the text that they are tried on next if they do not fit here.
        // An earlier star need not be tried again: what it could take, the later one can.
        let mut star = None;
        loop {
            let mut next = rest.clone();
            match (parts.split_first(), next.next()) {
                (Some((Part::Any, after)), _) => {
                    parts = after;
                    star = Some((after, rest.clone()));
                    continue;
                }
                (None, None) => return true,
                (Some((part, after)), Some(c)) if part.takes(c) => {
                    (parts, rest) = (after, next);
                    continue;
                }
                _ => {}
            }
            // The star takes one character more.
            let Some((after, from)) = &mut star else { return false };
            if from.next().is_none() {
                return false;
            }
            (parts, rest) = (after, from.clone());
        }
    }
}

impl Part {
    fn takes(&self, c: char) -> bool {
        match self {
            Part::Any | Part::One => true,
            Part::Char(own) => *own == c,
            Part::Class { negated, ranges } => {
                ranges.iter().any(|&(first, last)| (first..=last).contains(&c)) != *negated
            }
        }
    }
}

/// The class whose bracket was just read, and the text behind it; none where it is never closed. A `]` in the first place
/// belongs to it.
fn class(text: &str) -> Option<(Result<Part, PatternError>, &str)> {
    let inner = text.strip_prefix('!').unwrap_or(text);
    let first = inner.chars().next()?.len_utf8();
    let length = first + inner.get(first..)?.find(']')?;
    let (members, after) = inner.split_at_checked(length)?;
    let negated = inner.len() < text.len();
    let part = ranges(members).map(|ranges| Part::Class { negated, ranges });
    Some((part, after.strip_prefix(']')?))
}

/// `a-z` is a range; a minus at an end, or behind a range, stands for itself.
fn ranges(members: &str) -> Result<Vec<(char, char)>, PatternError> {
    let mut ranges = Vec::new();
    let mut rest = members.chars();
    while let Some(first) = rest.next() {
        let mut ahead = rest.clone();
        match (ahead.next(), ahead.next()) {
            (Some('-'), Some(last)) if first > last => return Err(PatternError::Range { first, last }),
            (Some('-'), Some(last)) => {
                ranges.push((first, last));
                rest = ahead;
            }
            _ => ranges.push((first, first)),
        }
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    /// The slow twin: every way that a star could go.
    fn slowly(parts: &[Part], text: &[char]) -> bool {
        match (parts, text) {
            ([], text) => text.is_empty(),
            ([Part::Any, after @ ..], text) => (0..=text.len()).any(|n| slowly(after, &text[n..])),
            ([part, after @ ..], [c, rest @ ..]) => part.takes(*c) && slowly(after, rest),
            _ => false,
        }
    }

    /// All texts of up to `longest` of these characters.
    fn texts(of: &[char], longest: usize) -> Vec<String> {
        let mut all = vec![String::new()];
        let mut from = 0;
        for _ in 0..longest {
            let to = all.len();
            for i in from..to {
                all.extend(of.iter().map(|c| format!("{}{c}", all[i])).collect::<Vec<_>>());
            }
            from = to;
        }
        all
    }

    #[test]
    fn it_finds_what_trying_every_way_finds() {
        let names = texts(&['a', 'b', '.'], 5);
        for pattern in texts(&['a', 'b', '*', '?'], 5) {
            let glob = Glob::new(&pattern).unwrap();
            for name in &names {
                let chars: Vec<char> = name.chars().collect();
                assert_eq!(glob.matches(name), slowly(&glob.0, &chars), "{pattern} on {name}");
            }
        }
    }

    #[test]
    fn classes_are_read_as_python_reads_them() {
        for (pattern, hits, misses) in [
            ("[a-c-e]", "abc-e", "d"),
            ("[-a]", "-a", "b"),
            ("[a-]", "-a", "b"),
            ("[--0]", "-./0", "1"),
            ("[]-a]", "]^_`a", "b-"),
            ("[!]a]", "b[", "]a"),
            ("[^a]", "^a", "b"),
            ("[!!]", "a", "!"),
            ("[é-ü]", "éíü", "az"),
            ("[\\]", "\\", "]"),
        ] {
            let glob = Glob::new(pattern).unwrap();
            assert!(hits.chars().all(|c| glob.matches(&c.to_string())), "{pattern} takes all of {hits}");
            assert!(!misses.chars().any(|c| glob.matches(&c.to_string())), "{pattern} takes none of {misses}");
        }
        assert!(Glob::new("a[]b").unwrap().matches("a[]b") && Glob::new("[!]").unwrap().matches("[!]"));
    }

    #[test]
    fn stars_do_not_multiply() {
        let glob = Glob::new(&"*a".repeat(256)).unwrap();
        let began = Instant::now();
        assert!(!glob.matches(&format!("{}b", "a".repeat(100_000))));
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}
