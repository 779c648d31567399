//! System calls that no computation needs, by seccomp: each is refused with EPERM.

use std::collections::BTreeMap;

use libc::{
    CLONE_THREAD, ENOSYS, EPERM, MAP_ANONYMOUS, MAP_GROWSDOWN, MAP_SHARED, PR_SET_PDEATHSIG, SYS_accept, SYS_accept4,
    SYS_acct, SYS_add_key, SYS_adjtimex, SYS_bind, SYS_bpf, SYS_chroot, SYS_clock_adjtime, SYS_clock_settime,
    SYS_clone, SYS_clone3, SYS_connect, SYS_delete_module, SYS_execve, SYS_execveat, SYS_fanotify_init, SYS_fchmod,
    SYS_fchmodat, SYS_fchown, SYS_fchownat, SYS_finit_module, SYS_fremovexattr, SYS_fsconfig, SYS_fsetxattr,
    SYS_fsmount, SYS_fsopen, SYS_fspick, SYS_init_module, SYS_inotify_add_watch, SYS_inotify_init1, SYS_io_uring_enter,
    SYS_io_uring_register, SYS_io_uring_setup, SYS_ioprio_set, SYS_kcmp, SYS_kexec_file_load, SYS_kexec_load,
    SYS_keyctl, SYS_kill, SYS_listen, SYS_lremovexattr, SYS_lsetxattr, SYS_memfd_create, SYS_memfd_secret,
    SYS_migrate_pages, SYS_mknodat, SYS_mmap, SYS_mount, SYS_mount_setattr, SYS_move_mount, SYS_move_pages,
    SYS_mq_open, SYS_msgget, SYS_name_to_handle_at, SYS_open_by_handle_at, SYS_open_tree, SYS_perf_event_open,
    SYS_pidfd_getfd, SYS_pidfd_open, SYS_pidfd_send_signal, SYS_pivot_root, SYS_prctl, SYS_prlimit64,
    SYS_process_madvise, SYS_process_mrelease, SYS_process_vm_readv, SYS_process_vm_writev, SYS_ptrace, SYS_quotactl,
    SYS_reboot, SYS_recvmmsg, SYS_recvmsg, SYS_removexattr, SYS_request_key, SYS_rt_sigqueueinfo,
    SYS_rt_tgsigqueueinfo, SYS_sched_setaffinity, SYS_sched_setattr, SYS_sched_setparam, SYS_sched_setscheduler,
    SYS_semget, SYS_sendmmsg, SYS_sendmsg, SYS_setdomainname, SYS_sethostname, SYS_setns, SYS_setpgid, SYS_setpriority,
    SYS_setsid, SYS_settimeofday, SYS_setxattr, SYS_shmat, SYS_shmctl, SYS_shmget, SYS_socket, SYS_socketpair,
    SYS_swapoff, SYS_swapon, SYS_symlinkat, SYS_syslog, SYS_tkill, SYS_umount2, SYS_unshare, SYS_userfaultfd,
    SYS_utimensat, SYS_vhangup, c_int, c_long,
};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// Calls that reach other machines, other programs, other processes, other people's files, or the machine itself.
const REFUSED: &[c_long] = &[
    // The network and other programs.
    SYS_accept,
    SYS_accept4,
    SYS_bind,
    SYS_connect,
    SYS_execve,
    SYS_execveat,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_io_uring_setup,
    SYS_listen,
    SYS_recvmmsg,
    SYS_recvmsg,
    SYS_sendmmsg,
    SYS_sendmsg,
    SYS_socket,
    SYS_socketpair,
    // Other processes. `tgkill` is left: a process aborts by it, and Landlock keeps its signals inside.
    SYS_ioprio_set,
    SYS_kcmp,
    SYS_kill,
    SYS_migrate_pages,
    SYS_move_pages,
    SYS_pidfd_getfd,
    SYS_pidfd_open,
    SYS_pidfd_send_signal,
    SYS_process_madvise,
    SYS_process_mrelease,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_ptrace,
    SYS_rt_sigqueueinfo,
    SYS_rt_tgsigqueueinfo,
    SYS_sched_setaffinity,
    SYS_sched_setattr,
    SYS_sched_setparam,
    SYS_sched_setscheduler,
    SYS_setpgid,
    SYS_setpriority,
    SYS_setsid,
    SYS_tkill,
    // What is of files and no right of Landlock's: owners, modes, times, attributes, what happens to them.
    SYS_fchmod,
    SYS_fchmodat,
    SYS_fchown,
    SYS_fchownat,
    SYS_fremovexattr,
    SYS_fsetxattr,
    SYS_inotify_add_watch,
    SYS_inotify_init1,
    SYS_lremovexattr,
    SYS_lsetxattr,
    SYS_removexattr,
    SYS_setxattr,
    SYS_utimensat,
    // Files by another way than their names, and links to what is elsewhere.
    SYS_chroot,
    SYS_fanotify_init,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fsopen,
    SYS_fspick,
    SYS_mknodat,
    SYS_mount,
    SYS_mount_setattr,
    SYS_move_mount,
    SYS_name_to_handle_at,
    SYS_open_by_handle_at,
    SYS_open_tree,
    SYS_pivot_root,
    SYS_symlinkat,
    SYS_umount2,
    // Memory that no limit counts, and that outlives the process.
    SYS_memfd_create,
    SYS_memfd_secret,
    SYS_mq_open,
    SYS_msgget,
    SYS_semget,
    SYS_shmat,
    SYS_shmctl,
    SYS_shmget,
    // What is of the whole machine: its clock, its modules, its keys, its name spaces.
    SYS_acct,
    SYS_add_key,
    SYS_adjtimex,
    SYS_bpf,
    SYS_clock_adjtime,
    SYS_clock_settime,
    SYS_delete_module,
    SYS_finit_module,
    SYS_init_module,
    SYS_kexec_file_load,
    SYS_kexec_load,
    SYS_keyctl,
    SYS_perf_event_open,
    SYS_quotactl,
    SYS_reboot,
    SYS_request_key,
    SYS_setdomainname,
    SYS_sethostname,
    SYS_setns,
    SYS_settimeofday,
    SYS_swapoff,
    SYS_swapon,
    SYS_syslog,
    SYS_unshare,
    SYS_userfaultfd,
    SYS_vhangup,
    // quotactl_fd, fchmodat2, setxattrat, removexattrat, open_tree_attr and file_setattr, which the table of names does not
    // know yet.
    443,
    452,
    463,
    466,
    467,
    469,
];
/// The same under the names that only older processors have.
#[cfg(target_arch = "x86_64")]
const REFUSED_TOO: &[c_long] = &[
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_fork,
    libc::SYS_futimesat,
    libc::SYS_inotify_init,
    libc::SYS_lchown,
    libc::SYS_mknod,
    libc::SYS_modify_ldt,
    libc::SYS_symlink,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_vfork,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_TOO: &[c_long] = &[];

#[cfg(target_arch = "x86_64")]
const ARCH: Option<TargetArch> = Some(TargetArch::x86_64);
#[cfg(target_arch = "aarch64")]
const ARCH: Option<TargetArch> = Some(TargetArch::aarch64);
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ARCH: Option<TargetArch> = None;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Refuses them from now on.
pub(super) fn confine() -> Result<(), String> {
    let arch = ARCH.ok_or("no filter is known for this processor")?;
    let refused = refused().map_err(|error| error.to_string())?;
    // Its flags lie in memory, where no filter looks: without it, the C library starts threads by `clone`.
    let missing: Rules = [(SYS_clone3, Vec::new())].into();
    for (rules, error) in [(refused, EPERM), (missing, ENOSYS)] {
        let answer = SeccompAction::Errno(error.unsigned_abs());
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, answer, arch);
        let program: BpfProgram = filter.and_then(TryInto::try_into).map_err(|error| error.to_string())?;
        seccompiler::apply_filter_all_threads(&program).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Which calls are refused, and with which arguments; without any, always.
fn refused() -> Result<Rules, BackendError> {
    let mut rules: Rules = REFUSED.iter().chain(REFUSED_TOO).map(|&call| (call, Vec::new())).collect();
    let masked = |argument, mask: c_int, value: c_int| {
        let (mask, value) = (u64::from(mask.unsigned_abs()), u64::from(value.unsigned_abs()));
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(mask), value)
    };
    // A process of its own, where a thread is meant.
    rules.insert(SYS_clone, vec![SeccompRule::new(vec![masked(0, CLONE_THREAD, 0)?])?]);
    // Memory that is shared with nobody, and so counts for nobody; and what grows as a stack, which counts as none of the data.
    let shared = MAP_SHARED | MAP_ANONYMOUS;
    let uncounted = [(shared, shared), (MAP_GROWSDOWN, MAP_GROWSDOWN)];
    let uncounted = uncounted.map(|(mask, value)| SeccompRule::new(vec![masked(3, mask, value)?]));
    rules.insert(SYS_mmap, uncounted.into_iter().collect::<Result<_, _>>()?);
    // To outlive its parent.
    let orphan =
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, PR_SET_PDEATHSIG.unsigned_abs().into())?;
    rules.insert(SYS_prctl, vec![SeccompRule::new(vec![orphan])?]);
    // Limits of another process.
    let other = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, 0)?;
    rules.insert(SYS_prlimit64, vec![SeccompRule::new(vec![other])?]);
    Ok(rules)
}
