//! From what calibration saw to the scale of each Q/DQ pair, or the reason why there is none.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::{opened::Opened, options::Options, placement::QdqSite};
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
    pub(super) format: FloatFormat,
}

/// The scale of a Q/DQ pair.
#[derive(Clone, Debug)]
pub(super) struct ActivationScale {
    pub(super) scale: f32,
    /// What is said about it.
    pub(super) report: ActivationReport,
}

impl Opened {
    /// The algorithm that chooses the range of a site.
    pub(super) fn algorithm(&self, site: &QdqSite) -> &'static Calibrator {
        self.options.algorithm(&self.resolved.plan.layers[site.layer])
    }

    /// The tensors to watch.
    pub(super) fn watched(&self) -> BTreeMap<String, Watch> {
        let mut watched = BTreeMap::new();
        for site in &self.sites {
            let fresh = Watch { histogram: false, format: site.format };
            let watch = watched.entry(site.tensor.clone()).or_insert(fresh);
            watch.histogram |= self.algorithm(site).histogram;
        }
        watched
    }

    /// The scale of each site, in their order.
    pub(super) fn scales(&self, record: &Record) -> Vec<Result<ActivationScale, Reason>> {
        let mut scales: Vec<_> =
            self.sites.par_iter().map(|site| self.scale(site, record.tensors.get(&site.tensor))).collect();
        for group in &self.joined {
            self.share_range(group, record, &mut scales);
        }
        scales
    }

    /// Gives all tensors of a group the largest of their ranges, for each dtype.
    fn share_range(&self, group: &BTreeSet<String>, record: &Record, scales: &mut [Result<ActivationScale, Reason>]) {
        let mut largest: BTreeMap<DType, (f64, String)> = BTreeMap::new();
        let members = |site: &QdqSite| group.contains(&site.tensor);
        for (site, chosen) in self.sites.iter().zip(&*scales).filter(|(site, _)| members(site)) {
            let Ok(ActivationScale { report, .. }) = chosen else { continue };
            let so_far = largest.entry(site.dtype).or_insert((0.0, String::new()));
            if report.amax_chosen > so_far.0 {
                *so_far = (report.amax_chosen, site.tensor.clone());
            }
        }
        for (site, chosen) in self.sites.iter().zip(scales).filter(|(site, _)| members(site)) {
            let (Ok(ActivationScale { scale, report }), Some((amax, tensor))) = (chosen, largest.get(&site.dtype))
            else {
                continue;
            };
            if report.amax_chosen < *amax {
                *scale = scale_for(*amax as f32, &Options::activation_scheme(site.dtype), site.format);
                report.amax_chosen = *amax;
                report.clipped_fraction =
                    record.tensors.get(&site.tensor).and_then(|s| s.fraction_beyond(*amax as f32));
                report.range_of = Some(tensor.clone());
            }
        }
    }

    fn scale(&self, site: &QdqSite, statistics: Option<&Statistics>) -> Result<ActivationScale, Reason> {
        let statistics = statistics.filter(|s| s.range.count > 0).ok_or(Reason::NoCalibration)?;
        if statistics.range.not_finite > 0 {
            return Err(Reason::NotFinite);
        }
        let observed = statistics.amax().ok_or(Reason::NoCalibration)?;
        if observed == 0.0 {
            return Err(Reason::AmaxZero);
        }
        let algorithm = self.algorithm(site);
        let amax = (algorithm.choose)(statistics, &self.options.target(site.dtype)).ok_or(Reason::NoHistogram)?;
        let scheme = Options::activation_scheme(site.dtype);
        let report = ActivationReport {
            tensor: site.tensor.clone(),
            dtype: site.dtype,
            algorithm: algorithm.name.to_owned(),
            amax_observed: f64::from(observed),
            amax_chosen: f64::from(amax),
            scale_rule: scheme.rule.name(site.dtype),
            clipped_fraction: statistics.fraction_beyond(amax),
            range_of: None,
            sqnr_db: None,
            beyond_fraction: None,
        };
        Ok(ActivationScale { scale: scale_for(amax, &scheme, site.format), report })
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
