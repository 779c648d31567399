//! Whether a backend can do what a `quantize` section asks, before any model is read.
//!
//! TAO Quant accepts some of these combinations and then ignores a part of them; here each is an objection.

use serde_json::{Value, json};

use super::{
    capabilities::Capabilities,
    registry::{BACKENDS, find},
    traits::Backend,
};
use crate::{
    calibration::{self, CALIBRATORS},
    fault::WarningCode,
    numeric::DType,
    spec::{Mode, Objection, ObjectionCode::*, QuantizeSpec, TensorRule, Warning, pointer_token},
};

/// Algorithms of TAO Quant's schema that choose the scales of int4 weights, where there is but one way here.
const INT4_ALGORITHMS: [&str; 4] = ["awq_clip", "awq_full", "awq_lite", "rtn_dq"];

/// The backend that a section asks for, with everything that is wrong for it and everything worth a warning.
/// `calibration` says whether the job brings calibration data.
pub fn check(spec: &QuantizeSpec, calibration: bool) -> (Option<&'static dyn Backend>, Vec<Objection>, Vec<Warning>) {
    let mut check = Check { spec, objections: Vec::new(), warnings: Vec::new() };
    let backend = check.backend();
    if let Some(backend) = backend {
        let capabilities = backend.capabilities();
        check.mode(capabilities);
        check.algorithm(capabilities);
        check.rules(capabilities);
        check.options(capabilities);
        check.calibration(capabilities, calibration, backend.calibrates_on_random(spec));
        check.objections.extend(backend.objections(spec));
    }
    (backend, check.objections, check.warnings)
}

/// The section as it will be carried out: names canonical, defaults filled in. For `effective_config`.
pub fn effective(spec: &QuantizeSpec, capabilities: &Capabilities) -> Value {
    let mut value = json!(spec);
    value["backend"] = json!(capabilities.name);
    value["mode"] = json!(capabilities.mode);
    if capabilities.calibrates() {
        let algorithm = spec.algorithm.as_deref().and_then(calibration::find);
        value["algorithm"] = json!(algorithm.map_or(CALIBRATORS[0].name, |row| row.name));
    }
    value
}

struct Check<'a> {
    spec: &'a QuantizeSpec,
    objections: Vec<Objection>,
    warnings: Vec<Warning>,
}

impl Check<'_> {
    fn backend(&mut self) -> Option<&'static dyn Backend> {
        let name = &self.spec.backend;
        if name.is_empty() {
            return None; // parsing objected already
        }
        let pointer = self.spec.at("backend");
        let found = find(name);
        match found {
            None => {
                let names = || BACKENDS.iter().map(|b| b.capabilities().name);
                let objection = Objection::new(pointer, UnknownBackend, format!("there is no backend `{name}`"));
                self.objections.push(objection.near(name, names()).allowed(names()));
            }
            Some(backend) if backend.capabilities().name != name => {
                let note = format!("`{name}` was read as `{}`", backend.capabilities().name);
                self.warnings.push(Warning::at(pointer, WarningCode::FieldAliased, note));
            }
            Some(_) => {}
        }
        found
    }

    fn mode(&mut self, capabilities: &Capabilities) {
        let pointer = self.spec.at("mode");
        match self.spec.mode {
            None if capabilities.mode != Mode::WeightOnlyPtq => {
                let note =
                    format!("no mode was given; `{}` has only `{}`", capabilities.name, capabilities.mode.name());
                self.warnings.push(Warning::at(pointer, WarningCode::ModeDefaulted, note));
            }
            Some(mode) if mode != capabilities.mode => {
                let message = format!("backend `{}` has no mode `{}`", capabilities.name, mode.name());
                let other = BACKENDS.iter().find(|b| b.capabilities().mode == mode).map(|b| b.capabilities().name);
                let mine = capabilities.mode.name();
                let hint = other.map_or(format!("use mode `{mine}`"), |other| {
                    format!("use mode `{mine}`, or backend `{other}` for `{}`", mode.name())
                });
                self.objections.push(
                    Objection::new(pointer, UnsupportedMode, message).hint(hint).allowed([capabilities.mode.name()]),
                );
            }
            _ => {}
        }
    }

    fn algorithm(&mut self, capabilities: &Capabilities) {
        let spec = self.spec;
        let of_rules = spec.layers.iter().filter_map(|rule| Some((rule.at("algorithm"), rule.algorithm.as_deref()?)));
        let section = spec.algorithm.as_deref().map(|name| (spec.at("algorithm"), name));
        section.into_iter().chain(of_rules).for_each(|(pointer, name)| self.one_algorithm(capabilities, pointer, name));
    }

    fn one_algorithm(&mut self, capabilities: &Capabilities, pointer: String, name: &str) {
        let known = calibration::find(name);
        let objection = if INT4_ALGORITHMS.contains(&name) {
            let message =
                format!("there is no `{name}`: int4 weights are rounded to nearest, with a scale for each block");
            let asked = "remove the field and give the weights the dtype `int4`";
            let hint = match name {
                "rtn_dq" => format!("{asked}, which does what `rtn_dq` does"),
                _ => format!("{asked}; scales that look at activations, as AWQ's do, are not implemented"),
            };
            Objection::new(pointer, UnsupportedAlgorithm, message).hint(hint)
        } else if !capabilities.calibrates() {
            // `minmax` is the default that TAO's own tools write into every spec; it asks for nothing.
            if known.is_some_and(|row| row.name == CALIBRATORS[0].name) {
                let note = format!("backend `{}` has no calibration", capabilities.name);
                self.warnings.push(Warning::at(pointer, WarningCode::FieldIgnored, note));
                return;
            }
            let message = format!("backend `{}` has no calibration, so no algorithm", capabilities.name);
            Objection::new(pointer, UnsupportedAlgorithm, message).hint("remove the field")
        } else if known.is_none() {
            Objection::new(pointer, UnknownAlgorithm, format!("there is no algorithm `{name}`"))
        } else {
            return;
        };
        self.objections.push(objection.allowed(capabilities.algorithms()));
    }

    fn rules(&mut self, capabilities: &Capabilities) {
        let spec = self.spec;
        for rule in &spec.layers {
            if let Some(weights) = rule.weights {
                let pointer = rule.at("weights");
                self.dtype(capabilities, &pointer, weights, capabilities.weight_dtypes);
                match weights.quant_axis {
                    None => {}
                    Some(0) => self.warnings.push(Warning::at(
                        format!("{pointer}/quant_axis"),
                        WarningCode::FieldIgnored,
                        "weights are quantized per output channel without being asked",
                    )),
                    Some(_) => self.quant_axis(&pointer, "weights are quantized per output channel"),
                }
            }
            let Some(activations) = rule.activations else { continue };
            let pointer = rule.at("activations");
            let quantized = activations.dtype.dtype().is_some();
            if !capabilities.calibrates() {
                // TAO has no presets to ignore a part of.
                if quantized && !(rule.expanded && activations.dynamic) {
                    self.warnings.push(uncalibrated(capabilities, &pointer, activations.dynamic));
                }
                if !activations.dynamic {
                    continue;
                }
            }
            let dtypes = if activations.dynamic { capabilities.dynamic_dtypes } else { capabilities.activation_dtypes };
            self.dtype(capabilities, &pointer, activations, dtypes);
            if activations.quant_axis.is_some() {
                let axis = if capabilities.calibrates() { "per tensor" } else { "per token" };
                self.quant_axis(&pointer, &format!("activations are quantized {axis}"));
            }
            if quantized && rule.weights.is_some_and(|w| w.dtype.dtype().is_none()) {
                let message = "activations are quantized only where the weights are";
                self.objections.push(
                    Objection::new(pointer, ActivationsWithoutWeights, message)
                        .hint("give the weights a dtype, or make the activations `native`"),
                );
            }
        }
    }

    fn dtype(&mut self, capabilities: &Capabilities, pointer: &str, half: TensorRule, supported: &[DType]) {
        if half.dtype.dtype().is_some_and(|dtype| !supported.contains(&dtype)) {
            let message = format!("backend `{}` does not make {}", capabilities.name, half.dtype.name());
            let allowed = supported.iter().map(|d| d.spec().name).chain(["native"]);
            self.objections
                .push(Objection::new(format!("{pointer}/dtype"), UnsupportedDtype, message).allowed(allowed));
        }
    }

    fn quant_axis(&mut self, pointer: &str, message: &str) {
        let objection = Objection::new(format!("{pointer}/quant_axis"), UnsupportedQuantAxis, message);
        self.objections.push(objection.hint("remove the field"));
    }

    fn calibration(&mut self, capabilities: &Capabilities, given: bool, random: bool) {
        let calibrated = |tensor: TensorRule| tensor.dtype.dtype().is_some() && !tensor.dynamic;
        let wanted = self.spec.layers.iter().any(|rule| rule.activations.is_some_and(calibrated));
        if given && !capabilities.calibrates() {
            let message = format!("backend `{}` does not calibrate", capabilities.name);
            self.objections.push(
                Objection::new("/calibration", CalibrationNotApplicable, message)
                    .hint("remove `calibration`, or use backend `modelopt` with mode `static_ptq`"),
            );
        } else if given && random {
            let message = "there is calibration data, and random numbers are asked for in its place";
            let pointer = self.spec.at("backend_kwargs/calibration");
            self.objections.push(Objection::new(pointer, OptionConflict, message).hint("remove one of the two"));
        } else if !given && wanted && random {
            let note = "ranges come from random numbers: good for trying a pipeline, not for a model that is used";
            self.warnings.push(Warning::at(
                self.spec.at("backend_kwargs/calibration"),
                WarningCode::CalibrationRandom,
                note,
            ));
        } else if !given && wanted && capabilities.calibrates() {
            let message = "ranges of activations come from calibration data, and there is none";
            self.objections.push(Objection::new("/calibration", CalibrationMissing, message).hint(
                "give `calibration.uri`: a .npz with an array for each input, samples on axis 0; or set \
                 backend_kwargs.calibration to `random` to try without",
            ));
        }
    }

    fn options(&mut self, capabilities: &Capabilities) {
        let names = || capabilities.options.iter().map(|option| option.name());
        for (key, value) in &self.spec.backend_kwargs {
            let pointer = self.spec.at(&format!("backend_kwargs/{}", pointer_token(key)));
            let Some(option) = capabilities.options.iter().find(|option| option.name() == key) else {
                let message = format!("backend `{}` has no option `{key}`", capabilities.name);
                let objection = Objection::new(pointer, UnknownBackendOption, message);
                self.objections.push(objection.near(key, names()).allowed(names()));
                continue;
            };
            if !value.is_null() && !option.allows(value) {
                let kind = option.kind();
                let objection = match kind.json_type(value) {
                    (_, true) => Objection::new(pointer, OutOfRange, format!("`{key}` cannot be {value}")),
                    (expected, false) => Objection::wrong_type(pointer, expected, value),
                };
                self.objections.push(objection.allowed(kind.allowed()));
            }
        }
    }
}

/// What becomes of activations under a backend that does not calibrate.
fn uncalibrated(capabilities: &Capabilities, pointer: &str, dynamic: bool) -> Warning {
    let backend = format!("backend `{}` quantizes weights only", capabilities.name);
    if dynamic && !capabilities.dynamic_dtypes.is_empty() {
        let note = format!(
            "{backend}: the result tells the runtime to round activations as it runs; TAO Quant's own backend of that name \
             ignores this field"
        );
        return Warning::at(pointer, WarningCode::ActivationsDeclared, note);
    }
    let dtypes: Vec<&str> = capabilities.dynamic_dtypes.iter().map(|dtype| dtype.spec().name).collect();
    let note = if dtypes.is_empty() {
        backend
    } else {
        format!("{backend}; with `dynamic: true` and {} the runtime rounds activations as it runs", dtypes.join(" or "))
    };
    Warning::at(pointer, WarningCode::ActivationsIgnored, note)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::parse;

    fn objections(section: &Value) -> Vec<Objection> {
        let parsed = parse(section, "/quantize");
        assert_eq!(parsed.objections, []);
        check(&parsed.spec, true).1
    }

    #[test]
    fn an_algorithm_for_int4_is_answered_with_the_int4_that_there_is() {
        let rule = json!({"module_name": "*", "weights": {"dtype": "int4"}});
        for name in INT4_ALGORITHMS {
            let found = objections(&json!({"backend": "modelopt", "algorithm": name, "layers": [rule]}));
            let [objection] = &found[..] else { panic!("{found:?}") };
            assert_eq!((&*objection.pointer, objection.code), ("/quantize/algorithm", UnsupportedAlgorithm));
            assert!(objection.message.contains("rounded to nearest"), "{}", objection.message);
            assert!(objection.hint.contains("`int4`"), "{:?}", objection.hint);
        }
        let plain = json!({"backend": "modelopt", "layers": [rule]});
        assert_eq!(objections(&plain), [], "what the hint says is taken");
    }

    #[test]
    fn dynamic_activations_are_declared_where_nothing_is_calibrated_and_static_ones_ignored() {
        let found = |activations: Value| {
            let rule = json!({"module_name": "*", "weights": {"dtype": "int8"}, "activations": activations});
            let parsed = parse(&json!({"backend": "torchao", "mode": "weight_only_ptq", "layers": [rule]}), "");
            let (_, objections, warnings) = check(&parsed.spec, false);
            let codes = warnings.iter().map(|w| w.code.to_string()).collect::<Vec<_>>().join(" ");
            (objections.into_iter().map(|o| (o.pointer, o.code)).collect::<Vec<_>>(), codes)
        };
        let at = |field: &str, code| vec![(format!("/layers/0/activations{field}"), code)];
        for (activations, objections, warnings) in [
            (json!({"dtype": "int8", "dynamic": true}), vec![], "activations_declared"),
            (json!({"dtype": "int8"}), vec![], "activations_ignored"),
            (json!({"dtype": "fp8_e5m2"}), vec![], "activations_ignored"),
            (json!({"dtype": "native", "dynamic": true}), vec![], ""),
            (json!({"dtype": "fp8_e5m2", "dynamic": true}), at("/dtype", UnsupportedDtype), "activations_declared"),
            (json!({"dtype": "fp8_e4m3fn", "dynamic": true}), at("", UnsupportedActivations), "activations_declared"),
            (
                json!({"dtype": "int8", "dynamic": true, "quant_axis": 1}),
                at("/quant_axis", UnsupportedQuantAxis),
                "activations_declared",
            ),
        ] {
            assert_eq!(found(activations.clone()), (objections, warnings.to_owned()), "{activations}");
        }
    }

    #[test]
    fn every_backend_is_found_by_the_names_that_tao_registers() {
        for (name, backend) in [
            ("modelopt.onnx", "modelopt"),
            ("modelopt.pytorch", "modelopt"),
            ("modelopt", "modelopt"),
            ("torchao", "torchao"),
        ] {
            assert_eq!(find(name).map(|found| found.capabilities().name), Some(backend), "{name}");
        }
    }
}
