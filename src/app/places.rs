//! [`PlanPlaces`]: how many plans are made at a time, and how many of one tenant.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::job::Tenant;

/// Places for plans. One tenant has no more than half of them, rounded up, so that others find one.
#[derive(Debug)]
pub(super) struct PlanPlaces {
    all: Arc<Semaphore>,
    each: usize,
    tenants: Mutex<BTreeMap<Tenant, Arc<Semaphore>>>,
}

impl PlanPlaces {
    /// So many places.
    pub(super) fn new(count: usize) -> Self {
        PlanPlaces { all: Arc::new(Semaphore::new(count)), each: count.div_ceil(2), tenants: Mutex::default() }
    }

    /// Waits for a place, which is free again when the permits are dropped.
    pub(super) async fn take(&self, tenant: &Tenant) -> Option<[OwnedSemaphorePermit; 2]> {
        let own = {
            let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
            // Of those who plan nothing, nothing is kept.
            tenants.retain(|_, places| Arc::strong_count(places) > 1);
            let places = tenants.entry(tenant.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.each)));
            Arc::clone(places)
        };
        // The tenant's own first: who waits for it must not hold one that others could use.
        let own = own.acquire_owned().await.ok()?;
        let all = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some([own, all])
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn one_tenant_leaves_half_of_the_places_to_others() {
        let places = PlanPlaces::new(4);
        let (mine, other) = (Tenant::default(), "other".parse().unwrap());
        let held = [places.take(&mine).await.unwrap(), places.take(&mine).await.unwrap()];
        assert!(places.take(&mine).now_or_never().is_none());
        let theirs = places.take(&other).now_or_never().unwrap().unwrap();
        drop(held);
        assert!(places.take(&mine).now_or_never().unwrap().is_some());
        drop(theirs);
        assert!(places.take(&mine).await.is_some());
        assert_eq!(places.tenants.lock().unwrap().len(), 1, "the other one is forgotten");
    }
}
