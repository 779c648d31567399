//! What the end of a child without a result means, and whose fault it is.

use std::{io, os::unix::process::ExitStatusExt, process::ExitStatus};

use rustix::process::Signal;

use super::request::ComputeError;
use crate::{control::Phase, fault::FaultCode, job::Failure};

/// What is known of a child that ended without a result.
#[derive(Debug)]
pub(super) struct Ended<'a> {
    /// How.
    pub(super) status: io::Result<ExitStatus>,
    /// The last that it printed.
    pub(super) words: &'a str,
    /// Bytes that it was allowed, beyond what it had.
    pub(super) memory: Option<u64>,
    /// Bytes that it was allowed to run the model in.
    pub(super) engine_memory: Option<u64>,
    /// The phase that it was in.
    pub(super) phase: Option<Phase>,
}

impl Ended<'_> {
    /// What the job fails with.
    pub(super) fn failure(&self) -> ComputeError {
        let signal = self.status.as_ref().ok().and_then(ExitStatus::signal);
        let is = |wanted: &[Signal]| wanted.iter().any(|wanted| signal == Some(wanted.as_raw()));
        let killed = is(&[Signal::KILL]);
        let mut needs_bytes = None;
        let failure = if self.ran_out() || killed {
            // Where there is more than here it may be enough. Here it is the same again, unless others took what was free.
            needs_bytes = self.engine_memory.map(|bytes| bytes.saturating_add(1));
            let limit = self.memory.map(|bytes| format!(", which is {} MiB", bytes >> 20)).unwrap_or_default();
            let message = format!("the computation needed more memory than it may have{limit}");
            let failure = Failure::plain(FaultCode::MemoryInsufficient, message)
                .with_hint("use smaller batches or fewer samples, or run it where more memory is free");
            Failure { retryable: killed, ..failure }
        } else if is(&[Signal::XCPU]) {
            let message = "the computation took more processor time than it may";
            Failure::plain(FaultCode::TimedOut, message).with_hint("raise `timeout_seconds`, or use fewer samples")
        } else if is(&[Signal::XFSZ]) {
            let message = "the computation wrote a file that is larger than a result can be";
            Failure::plain(FaultCode::ArtifactTooLarge, message)
        } else if is(&[Signal::SEGV, Signal::ABORT, Signal::BUS, Signal::FPE, Signal::ILL]) {
            let message = format!(
                "the model ended the process that computed it ({}); other jobs were not affected",
                signal.map_or("", name)
            );
            Failure::plain(FaultCode::ModelCrashesEngine, message)
                .with_hint("run the model in onnxruntime: if it ends there too, export it again; if not, report it")
        } else {
            Failure::plain(FaultCode::InternalError, "the process of the computation ended without a result")
        };
        ComputeError { failure: failure.with_phase(self.phase), needs_bytes }
    }

    /// Whether an allocation failed. What it printed comes from a stranger's process: it decides about that one's job alone.
    fn ran_out(&self) -> bool {
        ["memory allocation of", "std::bad_alloc", "bad allocation", "Cannot allocate memory"]
            .iter()
            .any(|words| self.words.contains(words))
    }
}

fn name(signal: i32) -> &'static str {
    let names = [
        (Signal::SEGV, "segmentation fault"),
        (Signal::ABORT, "aborted"),
        (Signal::BUS, "bus error"),
        (Signal::FPE, "arithmetic error"),
        (Signal::ILL, "illegal instruction"),
    ];
    names.iter().find(|(known, _)| known.as_raw() == signal).map_or("", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(raw: i32, words: &str) -> String {
        let status = Ok(ExitStatus::from_raw(raw));
        Ended { status, words, memory: Some(1 << 30), engine_memory: None, phase: None }
            .failure()
            .failure
            .code
            .to_string()
    }

    #[test]
    fn the_signal_says_whose_fault_it_is() {
        for (signal, expect) in [
            (Signal::SEGV, "model_crashes_engine"),
            (Signal::ABORT, "model_crashes_engine"),
            (Signal::BUS, "model_crashes_engine"),
            (Signal::FPE, "model_crashes_engine"),
            (Signal::ILL, "model_crashes_engine"),
            (Signal::KILL, "memory_insufficient"),
            (Signal::XCPU, "timed_out"),
            (Signal::XFSZ, "artifact_too_large"),
            (Signal::TERM, "internal_error"),
        ] {
            assert_eq!(code(signal.as_raw(), ""), expect, "{signal:?}");
        }
        assert_eq!(code(Signal::ABORT.as_raw(), "memory allocation of 64 bytes failed"), "memory_insufficient");
        assert_eq!(code(Signal::ABORT.as_raw(), "what():  std::bad_alloc"), "memory_insufficient");
        assert_eq!(code(0, ""), "internal_error");
    }
}
