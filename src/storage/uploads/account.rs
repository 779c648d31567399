//! What each tenant's uploads have together, counted as they arrive: neither one large upload nor many at a time go beyond
//! the quota.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crate::job::{Exceeded, Tenant, UploadError};

/// The accounts of tenants that upload at the moment. Clones are one.
#[derive(Clone, Debug, Default)]
pub(in crate::storage) struct Accounts(Arc<Mutex<BTreeMap<Tenant, Account>>>);

#[derive(Debug)]
struct Account {
    /// Uploads under way.
    arriving: usize,
    /// What was stored when the first of them began, and what has arrived since.
    bytes: u64,
}

/// An upload that is arriving. Dropped before it is kept, it gives back what it took.
#[derive(Debug)]
pub(super) struct Arriving {
    accounts: Accounts,
    tenant: Tenant,
    quota: u64,
    taken: AtomicU64,
    kept: AtomicBool,
}

impl Accounts {
    /// Begins an upload of a tenant that has so many bytes stored. While others are under way, their account says it better.
    pub(super) fn begin(&self, tenant: &Tenant, quota: u64, stored: u64) -> Arriving {
        let mut accounts = self.lock();
        let account = accounts.entry(tenant.clone()).or_insert(Account { arriving: 0, bytes: stored });
        account.arriving += 1;
        drop(accounts);
        let (taken, kept) = (AtomicU64::new(0), AtomicBool::new(false));
        Arriving { accounts: self.clone(), tenant: tenant.clone(), quota, taken, kept }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Tenant, Account>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Arriving {
    /// Takes room for bytes that have arrived, if the tenant has it.
    pub(super) fn take(&self, bytes: u64) -> Result<(), UploadError> {
        let mut accounts = self.accounts.lock();
        let Some(account) = accounts.get_mut(&self.tenant) else { return Ok(()) };
        let after = account.bytes.saturating_add(bytes);
        if after > self.quota {
            return Err(UploadError::Quota(Exceeded::UploadBytes { limit: self.quota }));
        }
        account.bytes = after;
        self.taken.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// The upload is stored.
    pub(super) fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        let mut accounts = self.accounts.lock();
        let Some(account) = accounts.get_mut(&self.tenant) else { return };
        account.arriving -= 1;
        if account.arriving == 0 {
            accounts.remove(&self.tenant);
        } else if !self.kept.load(Ordering::Relaxed) {
            account.bytes = account.bytes.saturating_sub(self.taken.load(Ordering::Relaxed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_side_by_side_have_one_quota_and_a_broken_one_gives_its_bytes_back() {
        let (accounts, tenant) = (Accounts::default(), Tenant::default());
        let first = accounts.begin(&tenant, 100, 40);
        let second = accounts.begin(&tenant, 100, 40);
        first.take(50).unwrap();
        assert!(matches!(second.take(11), Err(UploadError::Quota(Exceeded::UploadBytes { limit: 100 }))));
        second.take(10).unwrap();
        drop(first);
        second.take(50).unwrap();
        assert!(second.take(1).is_err());
        assert!(accounts.begin(&"other".parse().unwrap(), 100, 0).take(100).is_ok(), "another tenant's is its own");
        second.keep();
        let third = accounts.begin(&tenant, 100, 0);
        drop(second);
        assert!(third.take(1).is_err(), "what was kept still counts while others arrive");
        drop(third);
        assert!(accounts.lock().is_empty());
    }
}
