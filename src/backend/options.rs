//! The options of backends: one declaration feeds the catalogue, the check, the default and the typed value.
//!
//! A backend declares each of its options as a [`Setting`], or as an [`Override`] where the default depends on something
//! else, and lists them in [`Capabilities::options`](super::Capabilities::options). What values look like is a [`Form`].

use std::fmt::Debug;

use serde_json::Value;

use crate::spec::QuantizeSpec;

/// What values an option has, as the catalogue says it.
#[derive(Clone, Debug, PartialEq)]
pub enum OptionKind {
    /// A JSON boolean.
    Switch,
    /// One of these texts.
    OneOf(Vec<&'static str>),
    /// One of these numbers.
    Number(&'static [u64]),
    /// A number from the first to the second, both included.
    Between(f64, f64),
    /// A whole number from the first to the second, both included.
    Whole(u64, u64),
}

impl OptionKind {
    /// The JSON type of the option's values, with its article, and whether this value has it.
    pub(super) fn json_type(&self, value: &Value) -> (&'static str, bool) {
        match self {
            OptionKind::Switch => ("a boolean", value.is_boolean()),
            OptionKind::OneOf(_) => ("a string", value.is_string()),
            OptionKind::Number(_) | OptionKind::Between(..) | OptionKind::Whole(..) => ("a number", value.is_number()),
        }
    }

    /// The values allowed, as text.
    pub(super) fn allowed(&self) -> Vec<String> {
        match self {
            OptionKind::Switch => ["true", "false"].map(str::to_owned).into(),
            OptionKind::OneOf(texts) => texts.iter().map(|&text| text.to_owned()).collect(),
            OptionKind::Between(least, most) => vec![format!("{least} to {most}")],
            OptionKind::Whole(least, most) => vec![format!("{least} to {most}")],
            OptionKind::Number(numbers) => numbers.iter().map(u64::to_string).collect(),
        }
    }
}

/// An option of a backend, a key of `backend_kwargs`, as the catalogue and the check see it.
pub trait BackendOption: Debug + Sync {
    /// Its key in `backend_kwargs`.
    fn name(&self) -> &'static str;

    /// What it does, in a phrase.
    fn summary(&self) -> &'static str;

    /// What values it has.
    fn kind(&self) -> OptionKind;

    /// What it is where it is not given, in words.
    fn default(&self) -> String;

    /// Whether a value is one of those that it has.
    fn allows(&self, value: &Value) -> bool;
}

/// What the values of an option look like in JSON, and what they mean.
pub(super) trait Form: Debug + Sync {
    /// What a value means.
    type Value: Copy + Debug + Sync;

    /// What values there are.
    fn kind(&self) -> OptionKind;

    /// What this value means; `None` if it is not one of them.
    fn parse(&self, value: &Value) -> Option<Self::Value>;

    /// How a value is written.
    fn text(&self, value: Self::Value) -> String;
}

/// An option with a default of its own.
#[derive(Debug)]
pub(super) struct Setting<F: Form> {
    pub(super) name: &'static str,
    pub(super) summary: &'static str,
    pub(super) form: F,
    pub(super) default: F::Value,
}

/// An option that, where it is not given, depends on what else there is: its default is told in words only.
#[derive(Debug)]
pub(super) struct Override<F> {
    pub(super) name: &'static str,
    pub(super) summary: &'static str,
    pub(super) form: F,
    pub(super) default: &'static str,
}

impl<F: Form> Setting<F> {
    /// The value in a section, or the default. A value that the check would have objected to counts as not given.
    pub(super) fn of(&self, spec: &QuantizeSpec) -> F::Value {
        given(&self.form, self.name, spec).unwrap_or(self.default)
    }

    /// Whether there is something in its place, even if it is not allowed.
    pub(super) fn is_given(&self, spec: &QuantizeSpec) -> bool {
        spec.backend_kwargs.get(self.name).is_some_and(|value| !value.is_null())
    }
}

impl<F: Form> Override<F> {
    /// The value in a section, if it is given.
    pub(super) fn of(&self, spec: &QuantizeSpec) -> Option<F::Value> {
        given(&self.form, self.name, spec)
    }
}

fn given<F: Form>(form: &F, name: &str, spec: &QuantizeSpec) -> Option<F::Value> {
    form.parse(spec.backend_kwargs.get(name)?)
}

impl<F: Form> BackendOption for Setting<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn summary(&self) -> &'static str {
        self.summary
    }

    fn kind(&self) -> OptionKind {
        self.form.kind()
    }

    fn default(&self) -> String {
        self.form.text(self.default)
    }

    fn allows(&self, value: &Value) -> bool {
        self.form.parse(value).is_some()
    }
}

impl<F: Form> BackendOption for Override<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn summary(&self) -> &'static str {
        self.summary
    }

    fn kind(&self) -> OptionKind {
        self.form.kind()
    }

    fn default(&self) -> String {
        self.default.to_owned()
    }

    fn allows(&self, value: &Value) -> bool {
        self.form.parse(value).is_some()
    }
}

/// The form of options that are on or off: a JSON boolean.
#[derive(Debug)]
pub(super) struct Switch;

impl Form for Switch {
    type Value = bool;

    fn kind(&self) -> OptionKind {
        OptionKind::Switch
    }

    fn parse(&self, value: &Value) -> Option<bool> {
        value.as_bool()
    }

    fn text(&self, value: bool) -> String {
        value.to_string()
    }
}

/// One of these names, each with what it means. Of two names for one meaning, the first is how it is written.
#[derive(Debug)]
pub(super) struct OneOf<T: 'static>(pub(super) &'static [(&'static str, T)]);

impl<T: Copy + Debug + PartialEq + Sync> Form for OneOf<T> {
    type Value = T;

    fn kind(&self) -> OptionKind {
        OptionKind::OneOf(self.0.iter().map(|(name, _)| *name).collect())
    }

    fn parse(&self, value: &Value) -> Option<T> {
        let text = value.as_str()?;
        self.0.iter().find(|(name, _)| *name == text).map(|(_, meaning)| *meaning)
    }

    fn text(&self, value: T) -> String {
        self.0.iter().find(|(_, meaning)| *meaning == value).map(|(name, _)| (*name).to_owned()).unwrap_or_default()
    }
}

/// One of these numbers.
#[derive(Debug)]
pub(super) struct Number(pub(super) &'static [u64]);

impl Form for Number {
    type Value = usize;

    fn kind(&self) -> OptionKind {
        OptionKind::Number(self.0)
    }

    fn parse(&self, value: &Value) -> Option<usize> {
        let number = value.as_u64().filter(|number| self.0.contains(number))?;
        usize::try_from(number).ok()
    }

    fn text(&self, value: usize) -> String {
        value.to_string()
    }
}

/// A number from the first to the second, both included.
#[derive(Debug)]
pub(super) struct Between(pub(super) f64, pub(super) f64);

impl Form for Between {
    type Value = f64;

    fn kind(&self) -> OptionKind {
        OptionKind::Between(self.0, self.1)
    }

    fn parse(&self, value: &Value) -> Option<f64> {
        value.as_f64().filter(|x| (self.0..=self.1).contains(x))
    }

    fn text(&self, value: f64) -> String {
        value.to_string()
    }
}

/// A whole number from the first to the second, both included.
#[derive(Debug)]
pub(super) struct Whole(pub(super) u64, pub(super) u64);

impl Form for Whole {
    type Value = usize;

    fn kind(&self) -> OptionKind {
        OptionKind::Whole(self.0, self.1)
    }

    fn parse(&self, value: &Value) -> Option<usize> {
        let number = value.as_u64().filter(|x| (self.0..=self.1).contains(x))?;
        usize::try_from(number).ok()
    }

    fn text(&self, value: usize) -> String {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::backend::BACKENDS;

    const SIZE: Setting<Number> = Setting { name: "size", summary: "a size", form: Number(&[32, 64]), default: 64 };
    const SHARE: Override<Between> =
        Override { name: "share", summary: "a share", form: Between(0.5, 1.0), default: "1, or less" };

    fn spec(options: Value) -> QuantizeSpec {
        crate::spec::parse(&json!({"backend": "torchao", "backend_kwargs": options}), "").spec
    }

    #[test]
    fn a_value_that_is_given_counts_and_one_that_is_not_allowed_does_not() {
        assert_eq!(SIZE.of(&spec(json!({"size": 32}))), 32);
        for options in [json!({}), json!({"size": null}), json!({"size": 33}), json!({"size": "32"})] {
            assert_eq!(SIZE.of(&spec(options)), 64);
        }
        assert_eq!(SHARE.of(&spec(json!({"share": 1}))), Some(1.0));
        assert_eq!(SHARE.of(&spec(json!({"share": 0.4}))), None);
    }

    #[test]
    fn each_form_takes_what_its_kind_says() {
        let names = OneOf(&[("a", 1), ("b", 1), ("c", 2)]);
        assert_eq!(names.kind(), OptionKind::OneOf(vec!["a", "b", "c"]));
        assert_eq!([names.parse(&json!("b")), names.parse(&json!("d")), names.parse(&json!(1))], [Some(1), None, None]);
        assert_eq!(names.text(1), "a");
        assert_eq!([Switch.parse(&json!(false)), Switch.parse(&json!("false"))], [Some(false), None]);
        assert_eq!([Whole(0, 9).parse(&json!(9)), Whole(0, 9).parse(&json!(10))], [Some(9), None]);
        assert_eq!(Whole(0, 9).parse(&json!(-1)), None);
        assert_eq!(Whole(0, 9).kind().allowed(), ["0 to 9"]);
    }

    #[test]
    fn every_option_of_every_backend_is_described_once_and_takes_its_own_default() {
        for backend in BACKENDS {
            let options = backend.capabilities().options;
            let names: Vec<&str> = options.iter().map(|option| option.name()).collect();
            assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
            for option in options {
                let (default, kind) = (option.default(), option.kind());
                let value = serde_json::from_str(&default).unwrap_or(json!(default));
                // A default in words depends on something else.
                assert!(option.allows(&value) || default.contains(' '), "{}: {default}", option.name());
                assert!(!option.summary().is_empty() && !kind.allowed().is_empty(), "{}", option.name());
                if let OptionKind::OneOf(texts) = kind {
                    assert!(texts.iter().all(|text| option.allows(&json!(text))), "{}", option.name());
                }
            }
        }
    }
}
