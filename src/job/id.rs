//! [`JobId`]: the name of a job, which sorts by time.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The name of a job: `qj_` and a UUIDv7 without dashes, so that names sort by time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(String);

/// A text that no job is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a job id")]
pub struct ParseJobIdError;

impl JobId {
    /// The id with these 128 bits, those of a UUIDv7.
    pub fn from_uuid(bits: u128) -> Self {
        JobId(format!("qj_{bits:032x}"))
    }

    /// The id as requests and URLs have it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for JobId {
    type Err = ParseJobIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("qj_").ok_or(ParseJobIdError)?;
        let hex = digits.len() == 32 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        hex.then(|| JobId(text.to_owned())).ok_or(ParseJobIdError)
    }
}

impl TryFrom<String> for JobId {
    type Error = ParseJobIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> String {
        id.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_ids_parse() {
        let id = JobId::from_uuid(0x0193_5e2a_9b00_7000_8000_0000_0000_0001);
        assert_eq!(id.as_str().parse(), Ok(id.clone()));
        for wrong in ["", "qj_", "qj_0", "qx_01935e2a9b0070008000000000000001", "qj_01935E2A9B0070008000000000000001"] {
            assert_eq!(wrong.parse::<JobId>(), Err(ParseJobIdError), "{wrong}");
        }
        assert!("../../etc/passwd".parse::<JobId>().is_err());
    }
}
