//! `RotateKey`: makes a new primary key of the account, online.

use serde::{Deserialize, Serialize};

use super::shapes::{Key, KeyPurpose};
use crate::validate::{Checker, Validate};

operation! {
    /// Makes a new primary key of the account, online. It takes some seconds: every replica holds the key before it
    /// seals. What the key before it sealed is then sealed anew in the background; `ListKeys` shows how much is left.
    RotateKey: "countersign" "/countersign/RotateKey" => 200
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// What the key is for.
    pub purpose: KeyPurpose,
}

/// The response body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// The new primary key.
    pub key: Key,
}

impl Validate for Input {
    fn validate(&self, _check: &mut Checker) {}
}
