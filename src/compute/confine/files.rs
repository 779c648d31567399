//! Files and the network, by Landlock: what no rule names is refused.

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, RestrictionStatus,
    Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

use super::super::limits::Confinement;

/// The newest interface that this knows; an older kernel gives what it has.
const NEWEST: ABI = ABI::V6;
/// What a program needs that is of no job: its libraries, and what the machine says of itself.
const SYSTEM: [&str; 12] = [
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
];

/// Gives up every file but those of the job, and the network.
pub(super) fn confine(limits: &Confinement) -> Result<(), String> {
    let status = restrict(limits).map_err(|error| error.to_string())?;
    match status.ruleset {
        RulesetStatus::FullyEnforced => Ok(()),
        RulesetStatus::PartiallyEnforced => {
            Err("the kernel's Landlock is older than 6.12's and does a part".to_owned())
        }
        RulesetStatus::NotEnforced => Err("the kernel has no Landlock".to_owned()),
    }
}

fn restrict(limits: &Confinement) -> Result<RestrictionStatus, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    // No links, devices or sockets: what is published from there are files.
    let write = read
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer;
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    let system = SYSTEM.iter().map(|path| (Path::new(*path), read | AccessFs::Execute));
    let devices = ["/dev/null", "/dev/urandom"].map(|path| (Path::new(path), read | AccessFs::WriteFile));
    let jobs = limits.read.iter().map(|path| (path.as_path(), read));
    let listed = limits.list.iter().map(|path| (path.as_path(), AccessFs::ReadDir.into()));
    let results = limits.write.iter().map(|path| (path.as_path(), write));
    // Records of calibrations are files, which are counted and removed with age; what lies in folders would not be.
    let records =
        limits.records.iter().map(|path| (path.as_path(), write & !(AccessFs::MakeDir | AccessFs::RemoveDir)));
    for (path, access) in system.chain(devices).chain(jobs).chain(listed).chain(results).chain(records) {
        ruleset = allow(ruleset, path, access)?;
    }
    ruleset.restrict_self()
}

/// What is not there needs no rule.
fn allow(ruleset: RulesetCreated, path: &Path, access: BitFlags<AccessFs>) -> Result<RulesetCreated, RulesetError> {
    let Ok(opened) = PathFd::new(path) else { return Ok(ruleset) };
    // The rights of folders mean nothing for a file.
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(NEWEST) };
    ruleset.add_rule(PathBeneath::new(opened, access))
}
