//! The border between the modules, and the size of the rooms. See the map in `docs/architecture.md`.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    missing_debug_implementations,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by panicking, and is no library"
)]

#[path = "architecture/circles.rs"]
mod circles;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Which modules each module may name, besides itself. Leaves that all may name: `control`, `digest`, `fault`,
/// `files`, and in the shell `panics`.
const MAY_NAME: [(&str, &[&str]); 30] = [
    // core
    ("fault", &[]),
    ("control", &[]),
    ("digest", &[]),
    ("files", &[]),
    ("numeric", &[]),
    ("tensor", &["numeric"]),
    ("quant", &["numeric", "tensor"]),
    ("calibration", &["numeric", "tensor", "quant"]),
    ("spec", &["numeric", "quant"]),
    ("model", &["numeric", "tensor", "quant"]),
    ("dataset", &["numeric", "tensor"]),
    ("engine", &["calibration", "dataset", "model", "numeric", "tensor"]),
    ("report", &["numeric", "quant", "spec"]),
    ("backend", &["calibration", "dataset", "engine", "model", "numeric", "quant", "report", "spec", "tensor"]),
    ("pipeline", &["backend", "dataset", "model", "quant", "report", "spec"]),
    ("job", &["backend", "dataset", "engine", "pipeline", "report", "spec"]),
    ("access", &["job"]),
    ("webhook", &["job"]),
    // shell
    ("panics", &[]),
    ("config", &["engine", "job"]),
    ("compute", &["config", "engine", "job", "model", "pipeline", "report", "storage"]),
    ("database", &["access", "config", "job", "webhook"]),
    ("storage", &["config", "job", "model", "outbound", "report", "spec"]),
    ("telemetry", &["config"]),
    ("traces", &[]),
    ("outbound", &["access", "job", "telemetry", "webhook"]),
    (
        "worker",
        &["backend", "compute", "config", "engine", "job", "pipeline", "report", "spec", "storage", "telemetry"],
    ),
    ("api", &["access", "backend", "dataset", "job", "numeric", "pipeline", "report", "spec", "webhook"]),
    (
        "app",
        &[
            "api",
            "backend",
            "compute",
            "config",
            "engine",
            "job",
            "outbound",
            "spec",
            "storage",
            "database",
            "telemetry",
            "traces",
            "worker",
        ],
    ),
    (
        "cli",
        &[
            "access",
            "api",
            "app",
            "backend",
            "compute",
            "config",
            "dataset",
            "engine",
            "job",
            "outbound",
            "pipeline",
            "quant",
            "report",
            "spec",
            "storage",
            "database",
            "telemetry",
            "traces",
        ],
    ),
];
const LEAVES: [&str; 5] = ["control", "digest", "fault", "files", "panics"];
const SHELL: [&str; 12] = [
    "panics",
    "compute",
    "config",
    "database",
    "storage",
    "outbound",
    "telemetry",
    "traces",
    "worker",
    "api",
    "app",
    "cli",
];

/// A text that may stand only in files whose path begins with one of these.
const ONLY_IN: [(&str, &[&str]); 12] = [
    ("axum::", &["api/", "app/"]),
    ("tokio::", &["api/", "app/", "cli/", "compute/", "outbound/", "panics.rs", "storage/", "database/", "worker/"]),
    ("sqlx::", &["database/"]),
    ("object_store::", &["storage/"]),
    ("utoipa", &["api/"]),
    ("StatusCode", &["api/"]),
    ("std::env", &["config/"]),
    ("unsafe {", &["quant/kernels/", "tensor/mapped.rs"]),
    (" ort::", &["engine/"]),
    ("openvino_sys::", &["engine/"]),
    ("clap::", &["cli/", "config/"]),
    ("cfg(feature", &["lib.rs"]),
];

struct Source {
    /// The path of the file, relative to `src`.
    path: String,
    /// Without its tests and comments.
    code: String,
    /// Lines without its tests.
    lines: usize,
}

fn sources() -> Vec<Source> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() {
                walk(&entry, files);
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                files.push(entry);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    let read = |file: PathBuf| {
        let text = fs::read_to_string(&file).expect("a source file");
        let text = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
        let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let path = file.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned();
        Source { path, code: code.join("\n"), lines: text.lines().count() }
    };
    files.into_iter().map(read).collect()
}

fn module_of(path: &str) -> &str {
    path.split('/').next().unwrap_or(path).trim_end_matches(".rs")
}

/// The top-level modules that a source names by `crate::`, in a path or in a braced list.
fn named(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let Some(list) = rest.strip_prefix('{') else {
            found.insert(identifier(rest));
            continue;
        };
        let mut depth = 0;
        let mut item = String::new();
        for c in list.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    found.insert(identifier(std::mem::take(&mut item).trim()));
                }
                _ => {}
            }
            if depth == 0 && c != ',' {
                item.push(c);
            }
        }
        found.insert(identifier(item.trim()));
    }
    found.remove("");
    found
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn modules_name_only_what_they_may() {
    let table: BTreeMap<&str, &[&str]> = MAY_NAME.into_iter().collect();
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for source in sources() {
        let module = module_of(&source.path);
        if ["lib", "main"].contains(&module) {
            continue;
        }
        seen.insert(module.to_owned());
        let allowed = table.get(module).unwrap_or_else(|| panic!("module `{module}` is not in the table"));
        for name in named(&source.code) {
            let fine = name == module || LEAVES.contains(&&*name) || allowed.contains(&&*name);
            if !fine && table.contains_key(&*name) {
                wrong.push(format!("{} names `{name}`", source.path));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(seen, table.keys().map(|m| (*m).to_owned()).collect(), "the table lists modules that are not there");
}

#[test]
fn the_core_does_not_name_the_shell() {
    for (module, allowed) in MAY_NAME.iter().filter(|(module, _)| !SHELL.contains(module)) {
        assert!(!allowed.iter().any(|name| SHELL.contains(name)), "core module `{module}` may name the shell");
    }
}

#[test]
fn libraries_and_dangers_stay_in_their_rooms() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (text, rooms) in ONLY_IN {
            if source.code.contains(text) && !rooms.iter().any(|room| source.path.starts_with(room)) {
                wrong.push(format!("{} has `{text}`", source.path));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn files_keep_to_the_size_budget() {
    const MEDIAN: usize = 120;
    const LARGEST: usize = 400;
    let mut lines: Vec<(usize, String)> = sources().into_iter().map(|source| (source.lines, source.path)).collect();
    lines.sort();
    let (median, _) = lines[lines.len() / 2];
    assert!(median <= MEDIAN, "the median file has {median} lines");
    let large: Vec<_> = lines.iter().filter(|(lines, _)| *lines > LARGEST).collect();
    assert!(large.is_empty(), "too large: {large:?}");
}

#[test]
fn the_reader_of_names_reads_them() {
    let code = "use crate::{\n    a::{b, c},\n    d,\n    e::f,\n};\nlet x = crate::g::h();";
    assert_eq!(named(code), ["a", "d", "e", "g"].map(str::to_owned).into());
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let sources = sources();
    let read = circles::Crate::read(sources.iter().map(|source| (source.path.as_str(), source.code.as_str())));
    let edges = read.edges();
    let tied = |circle: &Vec<&str>| {
        let inside = |from: &&str| edges[from].iter().filter(|to| circle.contains(to)).copied().collect::<Vec<_>>();
        circle.iter().map(|from| format!("{from} -> {}", inside(from).join(", "))).collect::<Vec<_>>()
    };
    let circles: Vec<_> = read.circles().iter().map(tied).collect();
    assert!(circles.is_empty(), "files use each other: {circles:#?}");
}

/// Names that readers had to translate, and that have given way to the field's own.
const OLD_NAMES: [&str; 26] = [
    "Belt",
    "Brake",
    "Change",
    "Chosen",
    "Desk",
    "Edge",
    "Extent",
    "GraphIndex",
    "Kept",
    "Made",
    "Missed",
    "News",
    "Places",
    "Remains",
    "ShardBelt",
    "ShardDesk",
    "Stores",
    "Unmade",
    "Wiring",
    "Workshop",
    "able",
    "documents",
    "hear",
    "oddities",
    "run_on_belt",
    "tell_oddities",
];
/// Files of old names.
const OLD_FILES: [&str; 10] = [
    "desk.rs",
    "documents.rs",
    "ends.rs",
    "half.rs",
    "make.rs",
    "next.rs",
    "parts.rs",
    "resume.rs",
    "steps.rs",
    "wiring.rs",
];

#[test]
fn nothing_has_its_old_name() {
    let mut wrong = Vec::new();
    for source in sources() {
        let (name, path) = (source.path.rsplit('/').next().unwrap_or_default(), &source.path);
        if OLD_FILES.contains(&name) {
            wrong.push(format!("{path} has an old name"));
        }
        let code = without_strings(&source.code);
        let words: BTreeSet<&str> = code.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        wrong.extend(OLD_NAMES.iter().filter(|word| words.contains(*word)).map(|word| format!("{path} has `{word}`")));
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// The code with nothing in its quotation marks.
fn without_strings(code: &str) -> String {
    code.split('"').step_by(2).collect::<Vec<_>>().join("\"\"")
}
