//! System calls that no computation needs, by seccomp: each is refused with EPERM.

use std::collections::BTreeMap;

use libc::{
    EPERM, SYS_accept, SYS_accept4, SYS_acct, SYS_add_key, SYS_bind, SYS_bpf, SYS_chroot, SYS_clock_settime,
    SYS_connect, SYS_delete_module, SYS_execve, SYS_execveat, SYS_fanotify_init, SYS_finit_module, SYS_fsconfig,
    SYS_fsmount, SYS_fsopen, SYS_fspick, SYS_init_module, SYS_io_uring_enter, SYS_io_uring_register,
    SYS_io_uring_setup, SYS_kcmp, SYS_kexec_file_load, SYS_kexec_load, SYS_keyctl, SYS_kill, SYS_listen,
    SYS_migrate_pages, SYS_mknodat, SYS_mount, SYS_mount_setattr, SYS_move_mount, SYS_move_pages,
    SYS_name_to_handle_at, SYS_open_by_handle_at, SYS_open_tree, SYS_perf_event_open, SYS_pidfd_getfd, SYS_pidfd_open,
    SYS_pidfd_send_signal, SYS_pivot_root, SYS_process_madvise, SYS_process_mrelease, SYS_process_vm_readv,
    SYS_process_vm_writev, SYS_ptrace, SYS_quotactl, SYS_reboot, SYS_recvmmsg, SYS_recvmsg, SYS_request_key,
    SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, SYS_sendmmsg, SYS_sendmsg, SYS_setns, SYS_settimeofday, SYS_socket,
    SYS_socketpair, SYS_swapoff, SYS_swapon, SYS_symlinkat, SYS_syslog, SYS_tkill, SYS_umount2, SYS_unshare,
    SYS_userfaultfd, SYS_vhangup, c_long,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

/// Calls that reach other machines, other programs, other processes, or the machine itself.
const REFUSED: [c_long; 69] = [
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
    SYS_tkill,
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
    // The kernel.
    SYS_acct,
    SYS_add_key,
    SYS_bpf,
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
    SYS_setns,
    SYS_settimeofday,
    SYS_swapoff,
    SYS_swapon,
    SYS_syslog,
    SYS_unshare,
    SYS_userfaultfd,
    SYS_vhangup,
];
/// The same under the names that only older processors have.
#[cfg(target_arch = "x86_64")]
const REFUSED_TOO: [c_long; 5] =
    [libc::SYS_fork, libc::SYS_vfork, libc::SYS_mknod, libc::SYS_symlink, libc::SYS_modify_ldt];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_TOO: [c_long; 0] = [];

#[cfg(target_arch = "x86_64")]
const ARCH: Option<TargetArch> = Some(TargetArch::x86_64);
#[cfg(target_arch = "aarch64")]
const ARCH: Option<TargetArch> = Some(TargetArch::aarch64);
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ARCH: Option<TargetArch> = None;

/// Refuses them from now on.
pub(super) fn confine() -> Result<(), String> {
    let arch = ARCH.ok_or("no filter is known for this processor")?;
    // A call without conditions is always refused.
    let rules: BTreeMap<i64, Vec<_>> = REFUSED.into_iter().chain(REFUSED_TOO).map(|call| (call, Vec::new())).collect();
    let refuse = SeccompAction::Errno(EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch);
    let program: BpfProgram = filter.and_then(TryInto::try_into).map_err(|error| error.to_string())?;
    seccompiler::apply_filter(&program).map_err(|error| error.to_string())
}
