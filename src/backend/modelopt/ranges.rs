//! From what calibration saw to the scale of each Q/DQ pair, or the reason why there is none.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::{opened::Opened, placement::QdqSite};
use crate::{
    calibration::{Calibrator, Keep, Record, RecordError, Statistics},
    numeric::{DType, FloatFormat},
    quant::{MinMax, QParams, qparams, scale_for},
    report::{ActivationReport, AsymmetricRange},
    spec::Reason,
};

/// How a tensor is watched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    /// What the algorithms need of it.
    pub(super) keep: Keep,
    pub(super) format: FloatFormat,
}

/// The scale and zero point of a Q/DQ pair.
#[derive(Clone, Debug)]
pub(super) struct ActivationScale {
    pub(super) params: QParams,
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
        for site in self.sites.iter().filter(|site| site.scale_of().is_none()) {
            let keep = match self.algorithm(site).histogram {
                false => Keep::Range,
                true if site.scheme().rule.is_asymmetric() => Keep::Signs,
                true => Keep::Magnitudes,
            };
            let watch = watched.entry(site.tensor.clone()).or_insert(Watch { keep, format: site.format });
            watch.keep = watch.keep.max(keep);
        }
        watched
    }

    /// Refuses a record without histograms where every range needs one, so that nothing would be quantized.
    pub(super) fn check_histograms(&self, record: &Record) -> Result<(), RecordError> {
        let none = |name: &String| record.tensors.get(name).is_none_or(|seen| seen.histogram.is_none());
        let watched = self.watched();
        let all_missing = watched.iter().all(|(name, watch)| watch.keep != Keep::Range && none(name));
        match self.sites.first() {
            Some(site) if all_missing => Err(RecordError::NoHistograms { algorithm: self.algorithm(site).name }),
            _ => Ok(()),
        }
    }

    /// The scale of each site, in their order.
    pub(super) fn scales(&self, record: &Record) -> Vec<Result<ActivationScale, Reason>> {
        let mut scales: Vec<_> =
            self.sites.par_iter().map(|site| self.scale(site, record.tensors.get(&site.tensor))).collect();
        for group in &self.joined {
            self.share_range(group, record, &mut scales);
        }
        self.pass_on(&mut scales);
        scales
    }

    /// Gives tensors that have another's codes its scale.
    fn pass_on(&self, scales: &mut [Result<ActivationScale, Reason>]) {
        let own: BTreeMap<&str, usize> =
            self.sites.iter().enumerate().map(|(at, site)| (site.tensor.as_str(), at)).collect();
        for (at, site) in self.sites.iter().enumerate() {
            let Some(source) = site.scale_of() else { continue };
            let found = own.get(source).and_then(|&source| scales.get(source)).cloned();
            scales[at] = found.unwrap_or(Err(Reason::NoCalibration)).map(|mut scale| {
                scale.report.range_of = Some(source.to_owned());
                scale.report.tensor.clone_from(&site.tensor);
                scale
            });
        }
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
            let (Ok(ActivationScale { params, report }), Some((amax, tensor))) = (chosen, largest.get(&site.dtype))
            else {
                continue;
            };
            if report.amax_chosen < *amax {
                params.scale = scale_for(*amax as f32, &site.scheme(), site.format);
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
        let target = self.options.target(site.dtype);
        let scheme = site.scheme();
        let range = match scheme.rule.is_asymmetric() {
            true => algorithm.range(statistics, &target),
            false => (algorithm.choose)(statistics, &target).map(MinMax::symmetric),
        };
        let range = range.ok_or(Reason::NoHistogram)?;
        let params = qparams(range, &scheme, site.format);
        let asymmetric = scheme.rule.is_asymmetric().then(|| AsymmetricRange {
            codes: "uint8",
            zero_point: params.unsigned_zero_point(),
            min_chosen: f64::from(range.min),
            max_chosen: f64::from(range.max),
        });
        let report = ActivationReport {
            tensor: site.tensor.clone(),
            dtype: site.dtype,
            algorithm: algorithm.name.to_owned(),
            amax_observed: f64::from(observed),
            amax_chosen: f64::from(range.amax()),
            asymmetric,
            scale_rule: scheme.rule.name(site.dtype),
            clipped_fraction: statistics.fraction_outside(range),
            range_of: None,
            sqnr_db: None,
            beyond_fraction: None,
        };
        Ok(ActivationScale { params, report })
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
