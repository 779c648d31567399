//! `ptqd tenants`: what each tenant holds, and what it may hold.

use std::{collections::BTreeMap, error::Error, process::ExitCode};

use clap::Args;

use super::{block_on, print, table::bytes};
use crate::{
    config::{StorageConfig, TenantConfig},
    database,
    job::TenantUsage,
    storage::Artifacts,
};

#[derive(Args, Debug)]
pub(super) struct TenantsArgs {
    /// The most tasks of one tenant that run at a time, over all workers; no limit without it.
    #[arg(long, env = "PTQD_TENANT_LIMIT", value_name = "N")]
    tenant_limit: Option<u64>,

    #[command(flatten)]
    limits: TenantConfig,

    #[command(flatten)]
    storage: StorageConfig,
}

pub(super) fn run(args: &TenantsArgs) -> Result<ExitCode, Box<dyn Error>> {
    let (url, embedded) = args.storage.database();
    if embedded {
        std::fs::create_dir_all(&args.storage.data_dir)?;
    }
    block_on(async {
        let database = database::open(&url, 2).await?;
        let artifacts = Artifacts::open(&args.storage.artifacts())?;
        let keys = !database.keys.keys(None).await?.is_empty();
        let mut uploads = BTreeMap::new();
        for tenant in artifacts.uploading_tenants().await? {
            uploads.insert(tenant.to_string(), artifacts.upload_bytes(&tenant).await?);
        }
        let mut held = database.jobs.usage().await?;
        for tenant in uploads.keys() {
            if !held.iter().any(|usage| usage.tenant == *tenant) {
                let nothing =
                    TenantUsage { tenant: tenant.clone(), queued_jobs: 0, running_tasks: 0, artifact_bytes: 0 };
                held.push(nothing);
            }
        }
        let quotas = args.limits.quotas(keys);
        print(&line("tenant", ["queued", "running", "uploads", "artifacts"].map(str::to_owned)));
        for TenantUsage { tenant, queued_jobs, running_tasks, artifact_bytes } in held {
            let uploaded = uploads.get(&tenant).copied().unwrap_or(0);
            let columns = [
                of(queued_jobs, quotas.queued_jobs, |n| n.to_string()),
                of(running_tasks, args.tenant_limit, |n| n.to_string()),
                of(uploaded, quotas.upload_bytes, size),
                of(artifact_bytes, quotas.artifact_bytes, size),
            ];
            print(&line(&tenant, columns));
        }
        Ok::<_, Box<dyn Error>>(ExitCode::SUCCESS)
    })?
}

fn line(tenant: &str, columns: [String; 4]) -> String {
    let [queued, running, uploads, artifacts] = columns;
    format!("{tenant:<24} {queued:<16} {running:<16} {uploads:<24} {artifacts}")
}

/// What is held, and the limit if there is one.
fn of(held: u64, limit: Option<u64>, show: impl Fn(u64) -> String) -> String {
    match limit {
        Some(limit) => format!("{} of {}", show(held), show(limit)),
        None => show(held),
    }
}

fn size(count: u64) -> String {
    bytes(Some(count as f64))
}
