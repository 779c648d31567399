//! The engine and the threads.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{Args, ValueEnum};

use super::openvino::{self, OpenVinoMissing};
use crate::{
    control::{Canceller, MemoryBudget},
    engine::EngineConfig,
};

/// The engine and the threads.
#[derive(Args, Clone, Debug)]
pub struct ComputeConfig {
    /// The ONNX Runtime shared library, version 1.31 or later. Only static PTQ needs it.
    #[arg(long, env = "ORT_DYLIB_PATH", value_name = "FILE")]
    pub onnxruntime: Option<PathBuf>,

    /// The OpenVINO C library of version 2025.1 or later (libopenvino_c.so), or the folder that it is in, such as `openvino/libs`
    /// of the package from PyPI. Results for the placement `openvino` are timed there, and not in ONNX Runtime.
    #[arg(long, env = "PTQD_OPENVINO", value_name = "LIBRARY")]
    pub openvino: Option<PathBuf>,

    /// Threads of one job; all cores without it.
    #[arg(long, env = "PTQD_THREADS", value_name = "N")]
    pub threads: Option<usize>,

    /// Mebibytes that the buffers of one job may take, beside the files it maps.
    #[arg(long, env = "PTQD_MEMORY_MIB", value_name = "N", default_value_t = MemoryBudget::DEFAULT >> 20)]
    pub memory_mib: u64,

    /// Mebibytes that a job may take to run a model; nine tenths of what is free without it.
    #[arg(long, env = "PTQD_ENGINE_MEMORY_MIB", value_name = "N")]
    pub engine_memory_mib: Option<u64>,

    /// How far models and data of strangers run apart: `auto`, in a process for each job that gives up what the kernel lets it
    /// give up; `strict`, the same, and nothing runs where the kernel lacks a part of it; `off`, in the server's process.
    #[arg(long, env = "PTQD_ISOLATION", value_name = "HOW", default_value = "auto")]
    pub isolation: Isolation,

    /// The program of these processes: this one, unless a test says otherwise.
    #[arg(skip)]
    pub program: Option<PathBuf>,
}

/// How far models and data of strangers run apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Isolation {
    /// In a process of its own, which gives up what the kernel lets it give up.
    Auto,
    /// The same, and not at all where the kernel does not let it give up everything.
    Strict,
    /// In the server's process.
    Off,
}

impl Isolation {
    /// The name that users type.
    pub fn name(self) -> &'static str {
        match self {
            Isolation::Auto => "auto",
            Isolation::Strict => "strict",
            Isolation::Off => "off",
        }
    }
}

impl ComputeConfig {
    /// Threads of one job.
    pub fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.threads.filter(|&n| n > 0).unwrap_or_else(cores)
    }

    /// What the buffers of one job may take.
    pub fn memory(&self) -> Arc<MemoryBudget> {
        Arc::new(MemoryBudget::new(self.memory_bytes()))
    }

    /// The same in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.memory_mib.saturating_mul(1 << 20)
    }

    /// The program of the processes that compute. On Linux by a name that leads to it even after a newer one has taken its place.
    pub fn program(&self) -> PathBuf {
        let this = if cfg!(target_os = "linux") { Some("/proc/self/exe".into()) } else { std::env::current_exe().ok() };
        self.program.clone().or(this).unwrap_or_else(|| "ptqd".into())
    }

    /// The engine's library: the one named, or one beside the program, or the system's.
    pub fn library(&self) -> PathBuf {
        const LIBRARY: &str = "libonnxruntime.so";
        let beside = std::env::current_exe()
            .ok()
            .and_then(|exe| Some(exe.parent()?.join(LIBRARY)))
            .filter(|path| Path::exists(path));
        self.onnxruntime.clone().or(beside).unwrap_or_else(|| LIBRARY.into())
    }

    /// The engine's settings. An OpenVINO that is named is there.
    pub fn engine(&self) -> Result<EngineConfig, OpenVinoMissing> {
        let given = self.engine_memory_mib.map(|mib| mib.saturating_mul(1 << 20));
        Ok(EngineConfig {
            library: self.library(),
            openvino: self.openvino.as_deref().map(openvino::library).transpose()?,
            threads: self.threads(),
            memory: given.or_else(free_memory),
            canceller: Canceller::default(),
        })
    }
}

/// Nine tenths of the memory that is free, in bytes, by the system's and the container's word; `None` where neither says.
fn free_memory() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let system = read("/proc/meminfo").and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
    });
    let number = |path: &str| read(path)?.trim().parse::<u64>().ok();
    let container = number("/sys/fs/cgroup/memory.max")
        .zip(number("/sys/fs/cgroup/memory.current"))
        .map(|(most, used)| most.saturating_sub(used));
    [system, container].into_iter().flatten().min().map(|free| free / 10 * 9)
}
