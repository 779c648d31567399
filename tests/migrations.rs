//! The migrations: paired across the dialects, numbered without gaps, all embedded, and never changed once shipped.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path};

use sha2::{Digest, Sha256};

/// The SHA-256 of every migration shipped so far, in both dialects. A new migration is a new line; a changed line is a
/// mistake: databases out there have run the old text.
const SHIPPED: [(&str, &str, &str); 4] = [
    (
        "0001_jobs",
        "861dd22da692206f00908cc102e0514111480a393f376c6325b0e9c72358f846",
        "f54c2e55b9f51be515d84801a4eaaffb1106ca63d1a90eb828d466173cca9f77",
    ),
    (
        "0002_service",
        "ddeebe475bd625644cfd8c7e64c91197f6139eeef4f1fb2bc7b2ecfb276c8d83",
        "4650161b89b52e6a9aace6d7c1558fd82630caa034c63ce4a03fe7301191dd6d",
    ),
    (
        "0003_effective_config",
        "3304af1408a0fbf11ad50f6399a2561f93fb1c6d14c5be0cf5834ca7c05764f5",
        "bb8355661b0e2745086122289ef99597561ca2ec6ffb97850ef4dd3f4ee3c671",
    ),
    (
        "0004_fair_queue",
        "34c60766fa5d7db0c6ca7659a39c05d3162d479bc5091b80fb24d921eeb7f026",
        "ac0cf7127512931dbd0cd12d9cc52b0976af1236f5c63b58c185e348c247b862",
    ),
];

fn files(dialect: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(dialect);
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn digest(dialect: &str, name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(dialect).join(format!("{name}.sql"));
    Sha256::digest(fs::read(path).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn both_dialects_have_the_same_versions_and_all_are_embedded() {
    let expected: Vec<String> = SHIPPED.iter().map(|(name, ..)| format!("{name}.sql")).collect();
    assert_eq!(files("sqlite"), expected);
    assert_eq!(files("postgres"), expected);
    let table = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/database/migrations.rs")).unwrap();
    for (i, (name, ..)) in SHIPPED.iter().enumerate() {
        assert!(name.starts_with(&format!("{:04}_", i + 1)), "{name} is out of turn");
        assert!(table.contains(&format!("{} \"{name}\"", i + 1)), "{name} is not embedded");
    }
}

#[test]
fn shipped_migrations_are_unchanged() {
    for (name, sqlite, postgres) in SHIPPED {
        assert_eq!(digest("sqlite", name), sqlite, "migrations/sqlite/{name}.sql");
        assert_eq!(digest("postgres", name), postgres, "migrations/postgres/{name}.sql");
    }
}
