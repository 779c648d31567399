//! The tables' versions, embedded. Both dialects have the same versions with the same meaning; a shipped file is never
//! changed.

use std::borrow::Cow;

use sqlx::{
    SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
};

/// Version, name, and the statements of both dialects.
macro_rules! migrations {
    ($($version:literal $name:literal),* $(,)?) => {
        pub(super) fn sqlite() -> Migrator {
            migrator(vec![$((
                $version, $name, include_str!(concat!("../../migrations/sqlite/", $name, ".sql"))
            )),*])
        }

        pub(super) fn postgres() -> Migrator {
            migrator(vec![$((
                $version, $name, include_str!(concat!("../../migrations/postgres/", $name, ".sql"))
            )),*])
        }
    };
}

migrations! {
    1 "0001_jobs",
    2 "0002_service",
    3 "0003_effective_config",
    4 "0004_fair_queue",
}

fn migrator(files: Vec<(i64, &'static str, &'static str)>) -> Migrator {
    let migration = |(version, name, sql): (i64, &'static str, &'static str)| {
        Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator { migrations: files.into_iter().map(migration).collect(), ..Migrator::DEFAULT }
}
