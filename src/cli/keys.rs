//! `ptqd keys`: API keys, straight from the database.

use std::{error::Error, process::ExitCode, time::Duration};

use clap::{Args, Subcommand};

use super::{block_on, print, say};
use crate::{
    access::{ApiKey, KeySecret, Scope, Scopes},
    config::StorageConfig,
    database,
    job::Tenant,
};

#[derive(Args, Debug)]
pub(super) struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,

    #[command(flatten)]
    storage: StorageConfig,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Make a key and print it, once.
    Create {
        /// A name for people.
        #[arg(long)]
        name: String,
        /// Whose jobs it opens.
        #[arg(long, default_value = "default")]
        tenant: Tenant,
        /// What it may do: jobs:read, jobs:write, admin, operator (the metrics of all tenants). Each includes those before it.
        #[arg(long, value_delimiter = ',', default_value = "jobs:write")]
        scopes: Vec<Scope>,
        /// Days until it ends; never without it.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3650))]
        expires_in_days: Option<u32>,
    },
    /// List keys, without their secrets.
    List {
        /// List only the keys of this tenant; those of all tenants without it.
        #[arg(long)]
        tenant: Option<Tenant>,
    },
    /// Revoke a key: requests with it are refused from then on.
    Revoke {
        /// Its id: the part between the underscores.
        id: String,
    },
}

pub(super) fn run(args: &KeysArgs) -> Result<ExitCode, Box<dyn Error>> {
    let (url, embedded) = args.storage.database();
    if embedded {
        std::fs::create_dir_all(&args.storage.data_dir)?;
    }
    block_on(async {
        let keys = database::open(&url, 2).await?.keys;
        match &args.command {
            KeysCommand::Create { name, tenant, scopes, expires_in_days } => {
                let mut random = [0; 38];
                getrandom::fill(&mut random).map_err(std::io::Error::from)?;
                let secret = KeySecret::new(random);
                let lasts = expires_in_days.map(|days| Duration::from_secs(u64::from(days) * 24 * 3600));
                let scopes: Scopes = scopes.iter().copied().collect();
                keys.create_key(&secret, tenant, name, &scopes, lasts).await?;
                say("ptqd: keep this key, it is not shown again");
                print(&secret.reveal());
            }
            KeysCommand::List { tenant } => {
                for key in keys.keys(tenant.as_ref()).await? {
                    print(&line(&key));
                }
            }
            KeysCommand::Revoke { id } => {
                let id = id.strip_prefix("ptqd_").unwrap_or(id);
                if !keys.revoke_key(id, None).await? {
                    return Err(format!("there is no key {id}").into());
                }
                say(&format!("ptqd: the key {id} is revoked"));
            }
        }
        Ok::<_, Box<dyn Error>>(ExitCode::SUCCESS)
    })?
}

fn line(key: &ApiKey) -> String {
    let state = match (key.revoked_at, key.expires_at, key.last_used_at) {
        (Some(_), ..) => "revoked".to_owned(),
        (None, Some(at), _) => format!("expires at {at}"),
        (None, None, Some(at)) => format!("last used at {at}"),
        (None, None, None) => "never used".to_owned(),
    };
    format!("ptqd_{}_…  {}  {}  {}  {state}", key.id, key.tenant, key.scopes, key.name)
}
