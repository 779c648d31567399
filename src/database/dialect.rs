//! [`Dialect`]: where Postgres and SQLite speak differently.
//!
//! A statement is written once, as [`sql!`] takes it: words in braces stand for what differs, and for lists of columns.

use super::rows::{DeliveryRow, EventRow, JobRow, KeyRow, TaskRow, WebhookRow};

/// A kind of database.
#[derive(Clone, Copy, Debug)]
pub(super) enum Dialect {
    Postgres,
    Sqlite,
}

/// A word, and what stands for it in Postgres and in SQLite. There one transaction writes at a time, so nothing is locked.
const WORDS: [(&str, &str, &str); 5] = [
    // The database's clock, in milliseconds since 1970: those of its clients may differ.
    ("{now}", "(extract(epoch from clock_timestamp()) * 1000)::bigint", "cast(unixepoch('subsec') * 1000 as integer)"),
    ("{for update}", "for update", ""),
    ("{for update skip locked}", "for update skip locked", ""),
    ("{for update of t skip locked}", "for update of t skip locked", ""),
    // Until the transaction ends, another one that names the same text waits.
    ("{lock text $1}", "select pg_advisory_xact_lock(hashtextextended($1, 0))", "select $1"),
];

/// A word, and the columns that make a row.
const COLUMNS: [(&str, &str); 6] = [
    ("{job columns}", JobRow::COLUMNS),
    ("{task columns}", TaskRow::COLUMNS),
    ("{event columns}", EventRow::COLUMNS),
    ("{key columns}", KeyRow::COLUMNS),
    ("{webhook columns}", WebhookRow::COLUMNS),
    ("{delivery columns}", DeliveryRow::COLUMNS),
];

impl Dialect {
    /// A statement in this dialect. For ever: there are as many as [`sql!`] stands in the sources.
    pub(super) fn render(self, statement: &str) -> &'static str {
        let words = WORDS.into_iter().map(|(word, postgres, sqlite)| match self {
            Dialect::Postgres => (word, postgres),
            Dialect::Sqlite => (word, sqlite),
        });
        let text = words.chain(COLUMNS).fold(statement.to_owned(), |text, (word, own)| text.replace(word, own));
        text.leak()
    }
}

/// A statement in the dialect of the module that `statements` is a child of. It is put together once.
macro_rules! sql {
    ($statement:expr) => {{
        static SQL: std::sync::LazyLock<&'static str> =
            std::sync::LazyLock::new(|| super::super::DIALECT.render($statement));
        *SQL
    }};
}
pub(super) use sql;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_rendered_in_either_dialect() {
        let statement = "select {task columns} from tasks where lease_until < {now} {for update}";
        let columns = "select n, kind, status, lease_token from tasks where lease_until < ";
        let (postgres, sqlite) = (Dialect::Postgres.render(statement), Dialect::Sqlite.render(statement));
        assert_eq!(postgres, format!("{columns}{} for update", WORDS[0].1));
        assert_eq!(sqlite, format!("{columns}{} ", WORDS[0].2));
    }
}
