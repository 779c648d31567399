//! [`Fault`]: an error that can be explained to a user.

use std::{borrow::Cow, error::Error};

use super::{FaultCode, FaultKind};

/// What an error says of itself, or which error inside it says it.
#[derive(Debug)]
pub enum Explanation<'a> {
    /// The error has a code of its own.
    Own {
        /// The code, which also tells whose fault it is.
        code: FaultCode,
        /// What to do about this very error, if there is something.
        hint: Option<Cow<'static, str>>,
    },
    /// The error is another one, carried on.
    Inner(&'a dyn Fault),
}

impl FaultCode {
    /// An explanation without a hint.
    pub fn plain<'a>(self) -> Explanation<'a> {
        Explanation::Own { code: self, hint: None }
    }

    /// An explanation with what to do.
    pub fn hint<'a>(self, hint: impl Into<Cow<'static, str>>) -> Explanation<'a> {
        Explanation::Own { code: self, hint: Some(hint.into()) }
    }

    /// An explanation with what to do, if that is known.
    pub fn maybe<'a>(self, hint: Option<String>) -> Explanation<'a> {
        Explanation::Own { code: self, hint: hint.map(Cow::Owned) }
    }
}

/// An error that can be explained to a user. An implementation gives [`Fault::explain`]; the rest follows from it.
pub trait Fault: Error {
    /// The code and the hint of each variant, or the error that the variant carries on.
    fn explain(&self) -> Explanation<'_>;

    /// The error that this one only carries on.
    fn inner(&self) -> Option<&dyn Fault> {
        match self.explain() {
            Explanation::Own { .. } => None,
            Explanation::Inner(inner) => Some(inner),
        }
    }

    /// A stable name, for programs.
    fn code(&self) -> FaultCode {
        match self.explain() {
            Explanation::Own { code, .. } => code,
            Explanation::Inner(inner) => inner.code(),
        }
    }

    /// Whose fault it is.
    fn kind(&self) -> FaultKind {
        self.code().kind()
    }

    /// What to do about it, if there is something.
    fn hint(&self) -> Option<String> {
        match self.explain() {
            Explanation::Own { hint, .. } => hint.map(Cow::into_owned),
            Explanation::Inner(inner) => inner.hint(),
        }
    }
}

/// The message of an error followed by those of its causes.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.ends_with(&message) {
            text = format!("{text}: {message}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Low {
        #[error("the disk is full")]
        Full,
        #[error("the file is odd")]
        Odd,
    }

    impl Fault for Low {
        fn explain(&self) -> Explanation<'_> {
            match self {
                Low::Full => FaultCode::DiskFull.hint("free some"),
                Low::Odd => FaultCode::ModelCorrupt.plain(),
            }
        }
    }

    #[derive(Debug, thiserror::Error)]
    enum High {
        #[error(transparent)]
        Low(#[from] Low),
        #[error("the model cannot be written")]
        Write(#[source] Low),
    }

    impl Fault for High {
        fn explain(&self) -> Explanation<'_> {
            match self {
                High::Low(low) => Explanation::Inner(low),
                High::Write(_) => FaultCode::ArtifactUnwritable.plain(),
            }
        }
    }

    #[test]
    fn an_error_that_carries_another_on_says_what_that_one_says() {
        let error = High::from(Low::Full);
        assert_eq!((error.code(), error.kind()), (FaultCode::DiskFull, FaultKind::Exhausted));
        assert_eq!(error.hint().as_deref(), Some("free some"));
        assert_eq!(error.inner().map(Fault::code), Some(FaultCode::DiskFull));
        assert_eq!(High::from(Low::Odd).hint(), None);
    }

    #[test]
    fn an_error_with_a_code_of_its_own_does_not_ask_its_cause() {
        let error = High::Write(Low::Full);
        assert_eq!((error.code(), error.hint()), (FaultCode::ArtifactUnwritable, None));
        assert!(error.inner().is_none());
        assert_eq!(chain(&error), "the model cannot be written: the disk is full");
    }
}
