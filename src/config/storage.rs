//! Where things are kept.

use std::path::PathBuf;

use clap::Args;

use super::StagingConfig;

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

    /// Where artifacts and uploads are kept: a folder, or s3://bucket/prefix, gs://bucket/prefix or az://container/prefix
    /// with the credentials of the AWS_, GOOGLE_ or AZURE_ variables or of the machine's role; `artifacts` in the data folder
    /// without it. Servers and workers on one database need the same one.
    #[arg(long, env = "PTQD_ARTIFACTS", value_name = "URI")]
    pub artifacts: Option<String>,

    /// A folder that file:// inputs may lie in; may be given more than once. Without one no file is read, but by a server
    /// on the loopback address with its own embedded database, which asks for no key: that one reads any. Of
    /// a folder that holds what the service keeps, that is left out. Servers and workers on one database need the same
    /// folders.
    #[arg(long = "file-root", env = "PTQD_FILE_ROOTS", value_name = "DIR", value_delimiter = ':')]
    pub file_roots: Vec<PathBuf>,

    /// A place that inputs may come from, and everything below it, such as s3://bucket/prefix/ or hf://owner/; with `TENANT=`
    /// before it for one tenant alone; may be given more than once. With one, whatever is not named is closed, and web
    /// servers that are named may be anywhere. Without any, web servers and the hub are open, and buckets are unless the
    /// server listens beyond this machine.
    #[arg(long = "allow-source", env = "PTQD_ALLOW_SOURCES", value_name = "URI", value_delimiter = ',')]
    pub allow_sources: Vec<String>,

    /// Let inputs come from private, loopback and link-local addresses, and by plain http.
    #[arg(long, env = "PTQD_SOURCES_PRIVATE")]
    pub sources_private: bool,

    /// The model hub of hf:// URIs. A token for it is taken from the variable HF_TOKEN.
    #[arg(long, env = "HF_ENDPOINT", value_name = "URL", default_value = "https://huggingface.co")]
    pub hub_endpoint: String,

    /// The most mebibytes of one input.
    #[arg(long, env = "PTQD_MAX_INPUT_MIB", value_name = "N", default_value_t = 1 << 20)]
    pub max_input_mib: u64,

    /// The most mebibytes of inputs that are kept for the next job that wants the same ones; 0 keeps none.
    #[arg(long, env = "PTQD_INPUT_CACHE_MIB", value_name = "N", default_value_t = 4096)]
    pub input_cache_mib: u64,

    /// Send clients to the store for their downloads, with URLs that it accepts for so many seconds. Without it, and from a
    /// folder, the service gives them the bytes.
    #[arg(long, env = "PTQD_PRESIGN_SECONDS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=604_800))]
    pub presign_seconds: Option<u32>,

    /// How long bringing inputs may take.
    #[command(flatten)]
    pub staging: StagingConfig,
}

/// The token for the model hub. From the environment alone: it is no setting that may stand in a file.
pub fn hub_token() -> Option<String> {
    std::env::var("HF_TOKEN").ok().filter(|token| !token.is_empty())
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
            allow_sources: Vec::new(),
            sources_private: false,
            hub_endpoint: "https://huggingface.co".to_owned(),
            max_input_mib: 1 << 20,
            input_cache_mib: 4096,
            presign_seconds: None,
            staging: StagingConfig::default(),
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
