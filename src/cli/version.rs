//! `ptqd --version`: which program, which commit, and the engine that it finds.

use clap::{Args, Command, FromArgMatches};

use crate::{
    config::ComputeConfig,
    engine::{self, Session},
    fault::chain,
    quant::kernels::Isa,
};

/// The version, and the commit that was built: `ptqd -V`.
pub(super) const SHORT: &str = concat!(env!("CARGO_PKG_VERSION"), " (commit ", env!("PTQD_COMMIT"), ")");

/// The same with the versions of what computes. Loads the engine's library.
pub(super) fn long() -> String {
    // The engine's settings as the environment has them; flags belong to commands.
    let matches = ComputeConfig::augment_args(Command::new("ptqd")).try_get_matches_from(["ptqd"]);
    let config = matches.and_then(|matches| ComputeConfig::from_arg_matches(&matches));
    let config = config.map_err(|error| error.to_string());
    let engine = match config.and_then(|config| config.engine().map_err(|error| error.to_string())) {
        Ok(engine) => match engine::available(&engine) {
            Ok(()) => {
                // Its own word has the commit; the version is in the file's name.
                let file = engine.library.canonicalize().unwrap_or(engine.library);
                format!("{} ({})", file.display(), Session::engine_version())
            }
            Err(error) => format!("none ({})", chain(&error)),
        },
        Err(error) => format!("none ({error})"),
    };
    format!("{SHORT}\nONNX Runtime: {engine}\ninstruction set: {}", Isa::best().name())
}
