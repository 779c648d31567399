//! How much each tenant may hold.

use clap::Args;

use crate::job::Quotas;

/// How much each tenant may hold.
#[derive(Args, Clone, Debug, Default)]
pub struct TenantConfig {
    /// The most jobs of one tenant that wait at a time; a further one is answered 429. 0 for no limit; without it 1000 where
    /// keys are needed, and no limit elsewhere.
    #[arg(long, env = "PTQD_TENANT_QUEUE_LIMIT", value_name = "N")]
    pub tenant_queue_limit: Option<u64>,

    /// The most mebibytes of one tenant's uploads together. 0 for no limit; without it 65536 where keys are needed, and no
    /// limit elsewhere.
    #[arg(long, env = "PTQD_TENANT_UPLOAD_MIB", value_name = "N")]
    pub tenant_upload_mib: Option<u64>,

    /// The most mebibytes of artifacts that are kept for one tenant; with more, its new jobs are refused. 0 for no limit;
    /// without it 262144 where keys are needed, and no limit elsewhere.
    #[arg(long, env = "PTQD_TENANT_ARTIFACT_MIB", value_name = "N")]
    pub tenant_artifact_mib: Option<u64>,
}

impl TenantConfig {
    /// The quotas of each tenant. `keys` says whether requests need one: then tenants may be strangers to each other.
    pub fn quotas(&self, keys: bool) -> Quotas {
        let limit = |given: Option<u64>, default: u64| match given {
            Some(0) => None,
            Some(given) => Some(given),
            None => keys.then_some(default),
        };
        let bytes = |mib: u64| mib.saturating_mul(1 << 20);
        Quotas {
            queued_jobs: limit(self.tenant_queue_limit, 1000),
            upload_bytes: limit(self.tenant_upload_mib, 65_536).map(bytes),
            artifact_bytes: limit(self.tenant_artifact_mib, 262_144).map(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_have_limits_by_default_and_zero_takes_them_away() {
        let config =
            TenantConfig { tenant_queue_limit: Some(0), tenant_upload_mib: Some(2), tenant_artifact_mib: None };
        let upload_bytes = Some(2 << 20);
        let keys = Quotas { queued_jobs: None, upload_bytes, artifact_bytes: Some(256 << 30) };
        assert_eq!(config.quotas(true), keys);
        assert_eq!(config.quotas(false), Quotas { artifact_bytes: None, ..keys });
        assert_eq!(TenantConfig::default().quotas(false), Quotas::default());
        assert_eq!(TenantConfig::default().quotas(true).queued_jobs, Some(1000));
    }
}
