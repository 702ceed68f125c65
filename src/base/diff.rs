//! What a change looks like to a person, as data: the report draws it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Digest;

/// One difference between what is and what should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Diff {
    /// The text of a file. `None` is "no such file".
    Text {
        /// The file's path on the host.
        path: String,
        /// What it holds.
        before: Option<String>,
        /// What it will hold.
        after: Option<String>,
    },
    /// Content that may not be shown, or is too large or not text: only digests. `None` is "no such file".
    Opaque {
        /// What it is: a path, a password.
        what: String,
        /// Digest of what is there.
        before: Option<Digest>,
        /// Digest of what will be there.
        after: Option<Digest>,
    },
    /// One value.
    Value {
        /// What it is the value of.
        what: String,
        /// The present value; `None` when there is none.
        before: Option<String>,
        /// The value to be; `None` when it goes.
        after: Option<String>,
    },
    /// Members that go and come.
    Set {
        /// What it is the set of.
        what: String,
        /// Members that go.
        minus: Vec<String>,
        /// Members that come.
        plus: Vec<String>,
    },
}

impl Diff {
    /// A [`Diff::Value`] of two texts.
    pub fn value(what: impl Into<String>, before: impl Into<String>, after: impl Into<String>) -> Self {
        Diff::Value { what: what.into(), before: Some(before.into()), after: Some(after.into()) }
    }
}
