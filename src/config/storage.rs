//! Where things are kept.

use std::path::PathBuf;

use clap::Args;

/// Where things are kept.
#[derive(Args, Clone, Debug)]
pub struct StorageConfig {
    /// The folder of the embedded database, the artifacts and the scratch space.
    #[arg(long, env = "PTQD_DATA_DIR", value_name = "DIR", default_value = "ptqd-data")]
    pub data_dir: PathBuf,

    /// The database: postgres://… or sqlite://…; without it a SQLite file in the data folder.
    #[arg(long, env = "PTQD_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,

    /// The most connections to a Postgres database.
    #[arg(long, env = "PTQD_DATABASE_CONNECTIONS", value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..))]
    pub database_connections: u32,

    /// Where artifacts are kept: a folder, or s3://bucket/prefix with the credentials, region and endpoint of the AWS_
    /// variables; `artifacts` in the data folder without it. Servers and workers on one database need the same one.
    #[arg(long, env = "PTQD_ARTIFACTS", value_name = "URI")]
    pub artifacts: Option<String>,

    /// A folder that file:// inputs may lie in; may be given more than once. Needed to accept file:// inputs at all when
    /// listening beyond this machine.
    #[arg(long = "file-root", env = "PTQD_FILE_ROOTS", value_name = "DIR", value_delimiter = ':')]
    pub file_roots: Vec<PathBuf>,
}

impl StorageConfig {
    /// Everything in one folder.
    pub fn embedded(data_dir: PathBuf) -> Self {
        StorageConfig {
            data_dir,
            database_url: None,
            database_connections: 10,
            artifacts: None,
            file_roots: Vec::new(),
        }
    }

    /// Where artifacts are: a path or a URI.
    pub fn artifacts(&self) -> String {
        self.artifacts.clone().unwrap_or_else(|| self.data_dir.join("artifacts").to_string_lossy().into_owned())
    }

    /// The database's URL, and whether it is the embedded one, which this process has to itself.
    pub fn database(&self) -> (String, bool) {
        match &self.database_url {
            Some(url) => (url.clone(), false),
            None => (format!("sqlite://{}", self.data_dir.join("ptqd.sqlite").display()), true),
        }
    }
}
