//! Types of fields that tables of several resources have.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Permissions, written as in `chmod`: `"0644"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Mode(pub u32);

impl From<Mode> for String {
    fn from(mode: Mode) -> String {
        format!("{:04o}", mode.0)
    }
}

impl Default for Mode {
    fn default() -> Self {
        Mode(0o644)
    }
}

impl TryFrom<String> for Mode {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.len() == 3 || text.len() == 4;
        match u32::from_str_radix(&text, 8) {
            Ok(mode) if digits => Ok(Mode(mode)),
            _ => Err(format!("`{text}` is not a file mode: write three or four octal digits, such as \"0644\"")),
        }
    }
}

/// Whether something should be there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// It should.
    #[default]
    Present,
    /// It should not.
    Absent,
}
