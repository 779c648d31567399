//! `ptqd errors`: every stable code that the program can answer with, and what to do about each.

use std::{error::Error, process::ExitCode};

use clap::Args;
use serde::Serialize;

use super::print;
use crate::{
    api,
    fault::{Entry, FaultCode, FaultKind, WarningCode, entries},
    spec::{ObjectionCode, Reason},
};

/// Print every code of an error, an objection, a reason and a warning, with what to do about it.
#[derive(Debug, Args)]
pub(super) struct ErrorsArgs {
    /// As JSON; otherwise as Markdown, the page `docs/errors.md`.
    #[arg(long)]
    json: bool,
}

/// The codes of one kind.
#[derive(Debug, Serialize)]
struct Section {
    /// The name in JSON.
    name: &'static str,
    #[serde(skip)]
    title: &'static str,
    #[serde(skip)]
    about: &'static str,
    /// The codes of one table, sorted by name.
    codes: Vec<Entry>,
}

fn sections() -> [Section; 5] {
    [
        Section {
            name: "failures",
            title: "Why a job fails",
            about: "In `error.code` of a job, in square brackets on the command line, and as the code of a problem where a \
                    request is refused for the same reason.",
            codes: FaultCode::entries(),
        },
        Section {
            name: "problems",
            title: "Answers that are problems",
            about: "In `code` of an `application/problem+json`.",
            codes: api::problem_codes(),
        },
        Section {
            name: "objections",
            title: "Objections to a request",
            about: "In `errors[].code` of a problem whose code is `invalid_job`, each with a JSON pointer.",
            codes: entries::<ObjectionCode>(),
        },
        Section {
            name: "reasons",
            title: "Why a layer stays native",
            about: "In `reason` of a layer of the plan and of the report.",
            codes: entries::<Reason>(),
        },
        Section {
            name: "warnings",
            title: "Warnings",
            about: "Things that were accepted and that you should know of; each comes with its sentence. A reason of the \
                    table above may be a warning's code too, if a layer stays native for it in the run.",
            codes: entries::<WarningCode>(),
        },
    ]
}

pub(super) fn run(args: &ErrorsArgs) -> Result<ExitCode, Box<dyn Error>> {
    let sections = sections();
    print(&if args.json { serde_json::to_string_pretty(&sections)? } else { markdown(&sections) });
    Ok(ExitCode::SUCCESS)
}

fn markdown(sections: &[Section]) -> String {
    let mut lines = vec![
        "# Errors, objections, reasons and warnings".to_owned(),
        String::new(),
        "Printed by `ptqd errors`; a test fails when this page is stale. Codes are stable: programs may rely on them, and"
            .to_owned(),
        "sentences may change.".to_owned(),
    ];
    for section in sections {
        lines.extend([String::new(), format!("## {}", section.title), String::new(), section.about.to_owned()]);
        lines.extend([String::new(), header(&section.codes)]);
        lines.extend(section.codes.iter().map(row));
    }
    lines.join("\n")
}

fn header(codes: &[Entry]) -> String {
    let mut columns = vec!["code"];
    if let Some(first) = codes.first() {
        columns.extend(first.status.map(|_| "status"));
        columns.push("what it means");
        columns.extend(first.kind.map(|_| "whose fault"));
        columns.extend(first.retryable.map(|_| "again?"));
    }
    columns.push("what to do");
    format!("| {} |\n|{}", columns.join(" | "), "---|".repeat(columns.len()))
}

fn row(entry: &Entry) -> String {
    let mut cells = vec![format!("`{}`", entry.code)];
    cells.extend(entry.status.map(|status| status.to_string()));
    cells.push(entry.meaning.to_owned());
    cells.extend(entry.kind.map(|kind| whose(kind).to_owned()));
    cells.extend(entry.retryable.map(|retryable| if retryable { "may help" } else { "no" }.to_owned()));
    cells.push(entry.remedy.to_owned());
    format!("| {} |", cells.join(" | "))
}

fn whose(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Invalid => "the request's",
        FaultKind::Unsupported => "nobody's: this version cannot do it",
        FaultKind::Environment => "the surroundings'",
        FaultKind::Exhausted => "the machine's: it is too small",
        FaultKind::Internal => "ours",
        FaultKind::Cancelled => "nobody's: it was asked for",
    }
}
