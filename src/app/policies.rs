//! The API's policies on addresses: those that staging and sending go by, so that what is accepted is also done.

use crate::{
    api::{InputPolicy, WebhookPolicy},
    job::Tenant,
    outbound::Guard,
    spec::Objection,
    storage::Sources,
};

impl InputPolicy for Sources {
    fn objection(&self, tenant: &Tenant, pointer: &str, uri: &str) -> Option<Objection> {
        Sources::objection(self, tenant, pointer, uri)
    }
}

impl WebhookPolicy for Guard {
    fn check(&self, url: &str) -> Result<(), String> {
        Guard::check(*self, url)
    }
}
