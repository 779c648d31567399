//! Which file uses which, told from the `use` declarations and the paths in the sources, and the circles among them.

use std::collections::{BTreeMap, BTreeSet};

/// A module's path from the root of the crate, e.g. `["dataset", "npy"]`.
type ModulePath = Vec<String>;

/// What is known of a file.
#[derive(Default)]
struct File {
    path: String,
    /// The names of the items that it defines.
    items: BTreeSet<String>,
    /// Paths that it takes names from, by `use` or on the spot.
    named: Vec<Vec<String>>,
    /// Names that it hands on with `pub use`, by the path that each stands for; `*` for all of a module.
    reexports: Vec<(String, Vec<String>)>,
}

/// The files of a crate by their modules.
pub struct Crate {
    files: BTreeMap<ModulePath, File>,
}

impl Crate {
    /// From pairs of a path below `src` and its code, which is without comments and tests.
    pub fn read<'a>(sources: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut files = BTreeMap::new();
        for (path, code) in sources {
            let mut file = File { path: path.to_owned(), ..File::default() };
            let rest = read_uses(code, &mut file);
            file.named.extend(read_paths(&rest));
            file.items = read_items(&rest);
            files.insert(module_path(path), file);
        }
        Crate { files }
    }

    /// The files that each file takes names from, not counting itself.
    pub fn edges(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let edge = |(module, file): (&ModulePath, &'_ File)| {
            let found = file.named.iter().filter_map(|path| self.resolve(module, path, 0));
            found.filter(|other| *other != file.path).map(str::to_owned).collect::<BTreeSet<_>>()
        };
        let mut edges = BTreeMap::new();
        for (module, file) in &self.files {
            let names = edge((module, file));
            let others = self.files.values().map(|f| f.path.as_str()).filter(|path| names.contains(*path)).collect();
            edges.insert(file.path.as_str(), others);
        }
        edges
    }

    /// Groups of files each of which leads to all others of its group.
    pub fn circles(&self) -> Vec<Vec<&str>> {
        let edges = self.edges();
        let reach: BTreeMap<&str, BTreeSet<&str>> = edges.keys().map(|file| (*file, reachable(&edges, file))).collect();
        let mut circles = BTreeSet::new();
        for (file, reached) in &reach {
            let circle: Vec<&str> = reached.iter().copied().filter(|other| reach[other].contains(file)).collect();
            if circle.len() > 1 {
                circles.insert(circle);
            }
        }
        circles.into_iter().collect()
    }

    /// The file that defines what a path names, if it is of this crate.
    fn resolve(&self, from: &[String], path: &[String], depth: usize) -> Option<&str> {
        const DEEPEST: usize = 16;
        let (mut module, rest) = self.start(from, path)?;
        for (at, name) in rest.iter().enumerate() {
            let mut child = module.clone();
            child.push(name.clone());
            if self.files.contains_key(&child) {
                module = child;
                continue;
            }
            let file = self.files.get(&module)?;
            let onward = &rest[at + 1..];
            for (reexported, target) in file.reexports.iter().filter(|_| depth < DEEPEST) {
                let mut target = target.clone();
                match reexported.as_str() {
                    "*" => target.push(name.clone()),
                    other if other != name => continue,
                    _ => {}
                }
                target.extend_from_slice(onward);
                if let Some(found) = self.resolve(&module, &target, depth + 1)
                    && (reexported != "*" || self.defines(found, name))
                {
                    return Some(found);
                }
            }
            return Some(&file.path);
        }
        self.files.get(&module).map(|file| file.path.as_str())
    }

    fn defines(&self, path: &str, name: &str) -> bool {
        self.files.values().any(|file| file.path == path && file.items.contains(name))
    }

    /// The module that a path begins in, and what is left of the path. `None` for another crate's.
    fn start<'p>(&self, from: &[String], path: &'p [String]) -> Option<(ModulePath, &'p [String])> {
        let mut module = from.to_vec();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => return Some((Vec::new(), &path[1..])),
            "self" => rest = &path[1..],
            "super" => {
                while rest.first().is_some_and(|name| name == "super") {
                    module.pop()?;
                    rest = &rest[1..];
                }
            }
            first => {
                let mut child = module.clone();
                child.push(first.to_owned());
                self.files.get(&child)?;
            }
        }
        Some((module, rest))
    }
}

fn reachable<'a>(edges: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &'a str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(file) = open.pop() {
        for &next in &edges[file] {
            if reached.insert(next) {
                open.push(next);
            }
        }
    }
    reached
}

fn module_path(path: &str) -> ModulePath {
    let mut parts: ModulePath = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        parts.pop();
    }
    parts
}

/// Reads every `use` declaration; what is left of the code.
fn read_uses(code: &str, file: &mut File) -> String {
    let mut rest = String::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let (visibility, declaration) = without_visibility(line.trim_start());
        let Some(tree) = declaration.strip_prefix("use ") else {
            rest.push_str(line);
            rest.push('\n');
            continue;
        };
        let mut tree = tree.to_owned();
        while !tree.contains(';') {
            let Some(line) = lines.next() else { break };
            tree.push_str(line);
        }
        let mut leaves = Vec::new();
        flatten(tree.split(';').next().unwrap_or_default(), &[], &mut leaves);
        for (name, path) in leaves {
            if visibility {
                file.reexports.push((name, path));
            } else {
                file.named.push(path);
            }
        }
    }
    rest
}

/// Whether a line begins with `pub` or `pub(…)`, and what follows.
fn without_visibility(line: &str) -> (bool, &str) {
    let Some(rest) = line.strip_prefix("pub") else { return (false, line) };
    match rest.strip_prefix('(').and_then(|rest| rest.split_once(") ")) {
        Some((_, rest)) => (true, rest),
        None => rest.strip_prefix(' ').map_or((false, line), |rest| (true, rest)),
    }
}

/// The leaves of a tree such as `a::{b, c::{self, D as E}}`: the name that each goes by, and its path.
fn flatten(tree: &str, before: &[String], leaves: &mut Vec<(String, Vec<String>)>) {
    let tree = tree.trim();
    if let Some((head, inside)) = tree.split_once('{') {
        let mut path = before.to_vec();
        path.extend(head.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned));
        let inside = inside.trim_end().strip_suffix('}').unwrap_or(inside);
        let mut depth = 0;
        let mut start = 0;
        for (at, c) in inside.char_indices().chain([(inside.len(), ',')]) {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    flatten(&inside[start..at], &path, leaves);
                    start = (at + 1).min(inside.len());
                }
                _ => {}
            }
        }
        return;
    }
    if tree.is_empty() {
        return;
    }
    let (path, renamed) = tree.split_once(" as ").map_or((tree, None), |(path, name)| (path, Some(name.trim())));
    let mut full = before.to_vec();
    full.extend(path.split("::").map(|part| part.trim().to_owned()));
    if full.last().is_some_and(|last| last == "self") && full.len() > 1 {
        full.pop();
    }
    let Some(last) = full.last().cloned() else { return };
    if last == "*" {
        full.pop();
    }
    leaves.push((renamed.map_or(last, str::to_owned), full));
}

/// The names that stand behind `struct`, `fn` and their like.
fn read_items(code: &str) -> BTreeSet<String> {
    const KEYWORDS: [&str; 8] = ["struct", "enum", "trait", "fn", "const", "static", "type", "macro_rules!"];
    let words: Vec<&str> = code.split_whitespace().collect();
    let pairs = words.windows(2).filter(|pair| KEYWORDS.contains(&pair[0]));
    pairs.map(|pair| pair[1].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()).collect()
}

/// Paths that begin with `crate`, `super` or `self` outside of `use` declarations.
fn read_paths(code: &str) -> Vec<Vec<String>> {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for root in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            let in_name = before.is_some_and(|c| part_of_name(c) || c == ':' || c == '$');
            if in_name || ["pub(", "pub(in "].iter().any(|visibility| code[..at].ends_with(visibility)) {
                continue;
            }
            let end = code[at..].find(|c: char| !part_of_name(c) && c != ':').map_or(code.len(), |end| at + end);
            let path = code[at..end].trim_end_matches(':').split("::").map(str::to_owned).collect();
            found.push(path);
        }
    }
    found
}

mod tests {
    use super::*;

    fn edges(sources: &[(&str, &str)]) -> Vec<(String, String)> {
        let read = Crate::read(sources.iter().copied());
        let edges = read.edges();
        let pairs = edges.iter().flat_map(|(from, to)| to.iter().map(move |to| (from.to_string(), to.to_string())));
        pairs.collect()
    }

    fn pair(from: &str, to: &str) -> (String, String) {
        (from.to_owned(), to.to_owned())
    }

    #[test]
    fn a_name_that_a_parent_hands_on_is_of_the_file_that_defines_it() {
        let sources = [
            ("lib.rs", "pub mod a;\npub mod b;"),
            ("a/mod.rs", "mod x;\npub use x::{Thing, other as Other};\npub struct Own;"),
            ("a/x.rs", "pub struct Thing;"),
            ("b.rs", "use crate::{\n    a::{self as kept, Thing},\n};\npub(in crate::c) fn f(t: crate::a::Own) {}"),
            ("c.rs", ""),
        ];
        assert_eq!(edges(&sources), [pair("b.rs", "a/mod.rs"), pair("b.rs", "a/x.rs")]);
    }

    #[test]
    fn super_self_children_and_globs_are_followed() {
        let sources = [
            ("a/mod.rs", "mod x;\nmod y;\npub use y::*;\nuse self::x::Thing;"),
            ("a/x.rs", "use super::y::{Y, deep::Z};\nuse std::fmt;"),
            ("a/y/mod.rs", "mod deep;\nuse deep::Z;\npub struct Y;"),
            ("a/y/deep.rs", "pub struct Z;"),
            ("b.rs", "use crate::a::Y;"),
        ];
        let expected = [
            pair("a/mod.rs", "a/x.rs"),
            pair("a/x.rs", "a/y/deep.rs"),
            pair("a/x.rs", "a/y/mod.rs"),
            pair("a/y/mod.rs", "a/y/deep.rs"),
            pair("b.rs", "a/y/mod.rs"),
        ];
        assert_eq!(edges(&sources), expected);
    }

    #[test]
    fn a_parent_that_only_declares_and_hands_on_is_in_no_circle() {
        let sources =
            [("a/mod.rs", "mod x;\npub use x::X;\npub struct Own;"), ("a/x.rs", "use super::Own;\npub struct X;")];
        assert!(Crate::read(sources).circles().is_empty());
        let sources =
            [("a/mod.rs", "mod x;\nuse x::X;\npub struct Own(X);"), ("a/x.rs", "use super::Own;\npub struct X;")];
        assert_eq!(Crate::read(sources).circles(), [["a/mod.rs", "a/x.rs"]]);
    }

    #[test]
    fn a_circle_of_three_is_one_circle() {
        let sources = [
            ("a.rs", "use crate::b::B;"),
            ("b.rs", "fn f() { crate::c::g() }"),
            ("c.rs", "use crate::{a::A, d::D};"),
            ("d.rs", "pub struct D;"),
        ];
        assert_eq!(Crate::read(sources).circles(), [["a.rs", "b.rs", "c.rs"]]);
    }
}
