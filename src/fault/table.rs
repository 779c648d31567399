//! [`codes!`]: an enum of stable codes, made of a table of rows, and [`Code`], a code of any such enum.

use std::{borrow::Cow, fmt, ops::Deref};

use serde::{Deserialize, Serialize};

/// An enum whose variants are stable codes, each with what it means and what to do about it.
pub trait StableCode: Copy + 'static {
    /// Every code, in the order of the table.
    const ALL: &'static [Self];

    /// The name in snake case, for programs. It never changes its meaning.
    fn name(self) -> &'static str;

    /// The code of a name, if there is one.
    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }

    /// What it means, as a sentence or more.
    fn meaning(self) -> &'static str;

    /// What to do about it, as a sentence or more.
    fn remedy(self) -> &'static str;
}

/// Declares an enum of stable codes. A row is: what the code means (its doc comment), the variant, and in parentheses its
/// name, what to do about it, and where the enum has a type after its name, a value of that type.
///
/// ```text
/// codes! {
///     /// What is wrong with a tea.
///     pub enum TeaCode: Severity {
///         /// It has been standing for too long.
///         Bitter("bitter", "Take the leaves out after three minutes.", Severity::Mild);
///     }
/// }
/// ```
macro_rules! codes {
    (
        $(#[doc = $about:literal])+
        $vis:vis enum $enum:ident: $facts:ty {
            $($(#[doc = $meaning:literal])+ $variant:ident($name:literal, $remedy:literal, $fact:expr);)+
        }
    ) => {
        $crate::fault::codes! {
            $(#[doc = $about])+
            $vis enum $enum { $($(#[doc = $meaning])+ $variant($name, $remedy);)+ }
        }

        impl $enum {
            /// The rest of the code's row.
            $vis const fn facts(self) -> $facts {
                match self {
                    $($enum::$variant => $fact,)+
                }
            }
        }
    };
    (
        $(#[doc = $about:literal])+
        $vis:vis enum $enum:ident {
            $($(#[doc = $meaning:literal])+ $variant:ident($name:literal, $remedy:literal);)+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        $vis enum $enum {
            $($(#[doc = $meaning])+ #[serde(rename = $name)] $variant,)+
        }

        impl $enum {
            /// The name in snake case.
            $vis const fn name(self) -> &'static str {
                match self {
                    $($enum::$variant => $name,)+
                }
            }
        }

        impl $crate::fault::StableCode for $enum {
            const ALL: &'static [Self] = &[$($enum::$variant),+];

            fn name(self) -> &'static str {
                $enum::name(self)
            }

            fn meaning(self) -> &'static str {
                match self {
                    $($enum::$variant => concat!($($meaning),+).trim_ascii_start(),)+
                }
            }

            fn remedy(self) -> &'static str {
                match self {
                    $($enum::$variant => $remedy,)+
                }
            }
        }

        impl std::fmt::Display for $enum {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}
pub(crate) use codes;

/// A code of any of the tables. One that was stored by another version may be in none of this version's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Code(Cow<'static, str>);

impl<C: StableCode> From<C> for Code {
    fn from(code: C) -> Self {
        Code(Cow::Borrowed(code.name()))
    }
}

impl Deref for Code {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq<&str> for Code {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        fault::{FaultCode, WarningCode},
        spec::{ObjectionCode, Reason},
    };

    codes! {
        /// What is wrong with a tea.
        enum TeaCode: u8 {
            /// It has been standing
            /// for too long.
            TooBitter("too_bitter", "Take the leaves out after three minutes.", 3);
            /// It is cold.
            Cold("cold", "Drink faster.", 1);
        }
    }

    #[test]
    fn a_row_becomes_a_variant_with_all_that_stands_in_it() {
        assert_eq!(TeaCode::ALL, [TeaCode::TooBitter, TeaCode::Cold]);
        assert_eq!(TeaCode::TooBitter.meaning(), "It has been standing for too long.");
        assert_eq!(TeaCode::Cold.remedy(), "Drink faster.");
        assert_eq!((TeaCode::named("cold"), TeaCode::named("sweet")), (Some(TeaCode::Cold), None));
        assert_eq!((TeaCode::TooBitter.facts(), TeaCode::Cold.to_string()), (3, "cold".to_owned()));
        assert_eq!(serde_json::to_value(TeaCode::TooBitter).unwrap(), "too_bitter");
        assert_eq!(serde_json::from_str::<TeaCode>("\"cold\"").unwrap(), TeaCode::Cold);
    }

    #[test]
    fn a_code_that_another_version_stored_is_kept_as_it_is() {
        let code: Code = serde_json::from_str("\"no_longer_there\"").unwrap();
        assert_eq!((&*code, serde_json::to_value(&code).unwrap()), ("no_longer_there", "no_longer_there".into()));
        assert_eq!(serde_json::from_str::<Code>("\"cold\"").unwrap(), Code::from(TeaCode::Cold));
    }

    fn check<C: StableCode + fmt::Debug>() {
        let names: BTreeSet<&str> = C::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), C::ALL.len(), "two codes have one name");
        for &code in C::ALL {
            let snake = code.name().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            assert!(snake, "{code:?} is not named in snake case");
            let squeezed = code.name().replace('_', "");
            assert_eq!(squeezed, format!("{code:?}").to_lowercase(), "the variant and the name differ");
            for text in [code.meaning(), code.remedy()] {
                assert!(text.ends_with(['.', '?']), "{code:?}: `{text}` is no sentence");
                assert!(!text.contains("  ") && !text.contains('|'), "{code:?}: `{text}` does not fit a table");
            }
        }
    }

    #[test]
    fn every_row_of_every_table_is_whole_and_its_name_is_its_own() {
        check::<FaultCode>();
        check::<WarningCode>();
        check::<ObjectionCode>();
        check::<Reason>();
    }
}
