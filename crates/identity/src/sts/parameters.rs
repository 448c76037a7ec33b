//! The AWS query protocol: parameters in a form body or in the query.

use countersign_crypto::SecretString;
use http::Method;
use http::request::Parts;

use super::answer::StsError;

/// The only version of the API.
const VERSION: &str = "2011-06-15";
/// Most parameters; a presigned URL has nine.
const MAX_PARAMETERS: usize = 32;

/// The parameters of a request, each at most once.
pub(super) struct Parameters(Vec<(String, SecretString)>);

impl Parameters {
    /// Those of a `POST` come in its body, those of a `GET` in the query.
    pub(super) fn read(parts: &Parts, body: &[u8]) -> Result<Self, StsError> {
        let text = match parts.method {
            Method::POST => {
                std::str::from_utf8(body).map_err(|_| StsError::malformed("The body is not UTF-8."))?
            }
            _ => parts.uri.query().unwrap_or_default(),
        };
        let mut parameters: Vec<(String, SecretString)> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
            if parameters.len() == MAX_PARAMETERS {
                return Err(StsError::malformed("There are too many parameters."));
            }
            if parameters.iter().any(|(present, _)| *present == name) {
                return Err(StsError::malformed("A parameter is given twice."));
            }
            parameters.push((name.into_owned(), value.into_owned().into()));
        }
        let parameters = Self(parameters);
        match parameters.get("Version") {
            Some(VERSION) => Ok(parameters),
            _ => Err(StsError::invalid_action(
                "The request must have Version 2011-06-15.",
            )),
        }
    }

    /// Refuses what the operation does not know. A session policy that were ignored would leave a session with
    /// rights that its caller meant to withhold.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), StsError> {
        let known = |name: &str| name == "Action" || name == "Version" || known.contains(&name);
        match self.0.iter().find(|(name, _)| !known(name)) {
            None => Ok(()),
            Some(_) => Err(StsError::malformed("A parameter is not offered by this server.")),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        use countersign_crypto::ExposeSecret as _;
        let found = self.0.iter().find(|(present, _)| present == name);
        found.map(|(_, value)| value.expose_secret())
    }

    /// One that has to be there and to keep a rule.
    pub(super) fn required(
        &self,
        name: &'static str,
        holds: impl Fn(&str) -> bool,
    ) -> Result<&str, StsError> {
        let value = self
            .get(name)
            .ok_or_else(|| StsError::validation(name, "must not be null"))?;
        if holds(value) {
            Ok(value)
        } else {
            Err(StsError::validation(name, "failed to satisfy constraint"))
        }
    }
}
