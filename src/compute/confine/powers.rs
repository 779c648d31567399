//! What root may do and others may not.

use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

/// Gives up all of it, but to read files whoever owns them: the server may be root in its container, and the files that it was
/// given another's. Which files those are, Landlock says.
pub(super) fn drop() -> Result<(), String> {
    let root = rustix::process::geteuid().is_root();
    let kept = if root { CapabilitySet::DAC_READ_SEARCH } else { CapabilitySet::empty() };
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).map_err(|error| error.to_string())
}
