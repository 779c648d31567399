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

    /// A folder that file:// inputs may lie in; may be given more than once. Needed to accept file:// inputs at all when
    /// listening beyond this machine.
    #[arg(long = "file-root", env = "PTQD_FILE_ROOTS", value_name = "DIR", value_delimiter = ':')]
    pub file_roots: Vec<PathBuf>,
}

impl StorageConfig {
    /// The database's URL, and whether it is the embedded one, which this process has to itself.
    pub fn database(&self) -> (String, bool) {
        match &self.database_url {
            Some(url) => (url.clone(), false),
            None => (format!("sqlite://{}", self.data_dir.join("ptqd.sqlite").display()), true),
        }
    }
}
