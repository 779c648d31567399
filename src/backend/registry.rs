//! The table of backends.

use super::{modelopt, torchao, traits::Backend};

/// Every backend, sorted by name.
pub static BACKENDS: [&dyn Backend; 2] = [&modelopt::ModelOpt, &torchao::TorchAo];

/// The backend of this name or alias.
pub fn find(name: &str) -> Option<&'static dyn Backend> {
    BACKENDS.into_iter().find(|backend| {
        let capabilities = backend.capabilities();
        capabilities.name == name || capabilities.aliases.contains(&name)
    })
}
