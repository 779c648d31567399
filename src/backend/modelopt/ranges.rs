//! From what calibration saw to the scale of each Q/DQ pair, or the reason why there is none.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::{Opened, options::Options, placement::Edge};
use crate::{
    calibration::{Calibrator, Record, Statistics},
    numeric::{DType, FloatFormat},
    quant::scale_for,
    report::ActivationReport,
    spec::Reason,
};

/// How a tensor is watched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    /// Whether an algorithm needs a histogram of it.
    pub(super) histogram: bool,
    /// Its element format.
    pub(super) format: FloatFormat,
}

/// The scale of a Q/DQ pair.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    /// The scale.
    pub(super) scale: f32,
    /// What is said about it.
    pub(super) report: ActivationReport,
}

impl Opened {
    /// The algorithm that chooses the range of an edge.
    pub(super) fn algorithm(&self, edge: &Edge) -> &'static Calibrator {
        self.options.algorithm(&self.resolved.plan.layers[edge.layer])
    }

    /// The tensors to watch.
    pub(super) fn watched(&self) -> BTreeMap<String, Watch> {
        let mut watched = BTreeMap::new();
        for edge in &self.edges {
            let fresh = Watch { histogram: false, format: edge.format };
            let watch = watched.entry(edge.tensor.clone()).or_insert(fresh);
            watch.histogram |= self.algorithm(edge).histogram;
        }
        watched
    }

    /// The scale of each edge, in their order.
    pub(super) fn scales(&self, record: &Record) -> Vec<Result<Chosen, Reason>> {
        let mut scales: Vec<_> =
            self.edges.par_iter().map(|edge| self.scale(edge, record.tensors.get(&edge.tensor))).collect();
        for group in &self.joined {
            self.share_range(group, record, &mut scales);
        }
        scales
    }

    /// Gives all tensors of a group the largest of their ranges, for each dtype.
    fn share_range(&self, group: &BTreeSet<String>, record: &Record, scales: &mut [Result<Chosen, Reason>]) {
        let mut largest: BTreeMap<DType, (f64, String)> = BTreeMap::new();
        let members = |edge: &Edge| group.contains(&edge.tensor);
        for (edge, chosen) in self.edges.iter().zip(&*scales).filter(|(edge, _)| members(edge)) {
            let Ok(Chosen { report, .. }) = chosen else { continue };
            let so_far = largest.entry(edge.dtype).or_insert((0.0, String::new()));
            if report.amax_chosen > so_far.0 {
                *so_far = (report.amax_chosen, edge.tensor.clone());
            }
        }
        for (edge, chosen) in self.edges.iter().zip(scales).filter(|(edge, _)| members(edge)) {
            let (Ok(Chosen { scale, report }), Some((amax, tensor))) = (chosen, largest.get(&edge.dtype)) else {
                continue;
            };
            if report.amax_chosen < *amax {
                *scale = scale_for(*amax as f32, &Options::activation_scheme(edge.dtype), edge.format);
                report.amax_chosen = *amax;
                report.clipped_fraction =
                    record.tensors.get(&edge.tensor).and_then(|s| s.fraction_beyond(*amax as f32));
                report.range_of = Some(tensor.clone());
            }
        }
    }

    fn scale(&self, edge: &Edge, statistics: Option<&Statistics>) -> Result<Chosen, Reason> {
        let statistics = statistics.filter(|s| s.count > 0).ok_or(Reason::NoCalibration)?;
        if statistics.not_finite > 0 {
            return Err(Reason::NotFinite);
        }
        let observed = statistics.amax().ok_or(Reason::NoCalibration)?;
        if observed == 0.0 {
            return Err(Reason::AmaxZero);
        }
        let algorithm = self.algorithm(edge);
        let amax = (algorithm.choose)(statistics, &self.options.target(edge.dtype)).ok_or(Reason::NoHistogram)?;
        let scheme = Options::activation_scheme(edge.dtype);
        let report = ActivationReport {
            tensor: edge.tensor.clone(),
            dtype: edge.dtype,
            algorithm: algorithm.name.to_owned(),
            amax_observed: f64::from(observed),
            amax_chosen: f64::from(amax),
            scale_rule: scheme.rule.name(edge.dtype),
            clipped_fraction: statistics.fraction_beyond(amax),
            range_of: None,
            sqnr_db: None,
            beyond_fraction: None,
        };
        Ok(Chosen { scale: scale_for(amax, &scheme, edge.format), report })
    }
}

/// Why a layer stays native, for people.
pub(super) fn explain(reason: Reason, tensor: &str) -> String {
    match reason {
        Reason::NotFinite => format!("its input `{tensor}` was NaN or infinite for some calibration data"),
        Reason::AmaxZero => format!("its input `{tensor}` was 0 for all calibration data"),
        Reason::NoHistogram => {
            format!("calibration kept no histogram of its input `{tensor}`, which the algorithm needs")
        }
        _ => format!("calibration saw no value of its input `{tensor}`"),
    }
}
