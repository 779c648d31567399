//! [`AdmittedJob`]: a job that passed the door. Its rules are parsed once; nobody behind the door reads them again.

use serde_json::Value;

use super::{JobRequest, JobSpec, request::parse_rules};
use crate::{
    backend,
    fault::Warning,
    pipeline::Purpose,
    spec::{Objection, ObjectionCode, Parsed, QuantizeSpec},
};

/// A job that can be carried out as far as can be checked without its model.
#[derive(Clone, Debug)]
pub struct AdmittedJob {
    /// What was asked for.
    pub spec: JobSpec,
    /// The `quantize` section of `spec`, parsed.
    pub rules: QuantizeSpec,
    /// The canonical name of its backend.
    pub backend: &'static str,
    /// The rules as they are carried out: names canonical, defaults filled in.
    pub effective_config: Value,
    /// Everything aliased, ignored or changed.
    pub warnings: Vec<Warning>,
}

impl JobRequest {
    /// Lets the request in, unless there is an objection to it. `location` objects to the URI at a pointer.
    pub fn admit(
        self,
        purpose: Purpose,
        location: impl Fn(&str, &str) -> Option<Objection>,
    ) -> Result<AdmittedJob, Vec<Objection>> {
        let JobRequest { spec, rules, mut objections, mut warnings } = self;
        // What could not be read is objected to already, and nothing more can be said about it.
        let unread: Vec<String> = objections.iter().map(|objection| objection.pointer.clone()).collect();
        let readable = |pointer: &str| !unread.iter().any(|at| pointer == at || pointer.starts_with(&format!("{at}/")));
        let mut found = None;
        if readable(&rules.pointer) {
            let (backend, more, told) = backend::check(&rules, spec.calibration.is_some());
            found = backend.map(|backend| backend.capabilities());
            // One fault, one objection: `"calibration": []` is of the wrong type, and not missing as well.
            objections.extend(more.into_iter().filter(|objection| readable(&objection.pointer)));
            warnings.extend(told);
        }
        if purpose == Purpose::Look {
            // Data that is not there yet is no reason not to plan.
            objections.retain(|objection| objection.code != ObjectionCode::CalibrationMissing);
        }
        let uris = [
            ("/model/uri", Some(&spec.model.uri)),
            ("/calibration/uri", spec.calibration.as_ref().map(|c| &c.uri)),
            ("/evaluation/uri", spec.evaluation.as_ref().map(|e| &e.uri)),
        ];
        let uris = uris.into_iter().filter_map(|(pointer, uri)| Some((pointer, uri?)));
        objections.extend(uris.filter(|(pointer, _)| readable(pointer)).filter_map(|(at, uri)| location(at, uri)));
        let (Some(found), true) = (found, objections.is_empty()) else { return Err(objections) };
        let effective_config = backend::effective(&rules, found);
        Ok(AdmittedJob { spec, rules, backend: found.name, effective_config, warnings })
    }
}

impl AdmittedJob {
    /// A job that was let in before, from its request as it is kept. Objections are those of a version that no longer takes
    /// what an earlier one took.
    pub fn restore(spec: JobSpec) -> Result<Self, Vec<Objection>> {
        let Parsed { spec: rules, objections, warnings } = parse_rules(&spec.quantize);
        if !objections.is_empty() {
            return Err(objections);
        }
        let Some(found) = backend::find(&rules.backend).map(|backend| backend.capabilities()) else {
            return Err(backend::check(&rules, spec.calibration.is_some()).1);
        };
        // What else the backend has to say was told when the job came in, and is told again with its plan.
        let effective_config = backend::effective(&rules, found);
        Ok(AdmittedJob { spec, rules, backend: found.name, effective_config, warnings })
    }
}
