//! An `OpenAPI` 3.0 or 3.1 document, read as it is: operations are found by their id and references followed within the
//! document. References to other documents are not: nothing is fetched.

use std::path::Path;

use http::Method;
use serde_json::Value;
use url::Url;

/// Bytes of a document. The largest that we know (GitHub's) has 12 MB.
const MOST_BYTES: u64 = 32 << 20;
/// References followed in a row.
const MOST_REFERENCES: usize = 16;
/// Methods that a path item may have, and we can make tools of.
const METHODS: [(&str, Method); 6] = [
    ("get", Method::GET),
    ("put", Method::PUT),
    ("post", Method::POST),
    ("delete", Method::DELETE),
    ("head", Method::HEAD),
    ("patch", Method::PATCH),
];

/// A document.
#[derive(Debug)]
pub(super) struct Document {
    root: Value,
}

/// An operation and where it stands.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) method: Method,
    /// `/users/{id}`.
    pub(super) path: String,
    /// The path item, whose parameters the operation shares.
    pub(super) item: &'a Value,
    pub(super) operation: &'a Value,
}

impl Document {
    /// Reads the file. YAML is refused with a hint: the two say the same.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let named = |what: String| format!("{}: {what}", path.display());
        let size = std::fs::metadata(path)
            .map_err(|error| named(error.to_string()))?
            .len();
        if size > MOST_BYTES {
            return Err(named(format!("larger than {MOST_BYTES} bytes")));
        }
        let text = std::fs::read(path).map_err(|error| named(error.to_string()))?;
        let root = serde_json::from_slice(&text).map_err(|error| {
            named(format!(
                "no JSON ({error}); a document in YAML is converted by, for instance, `yq -o=json`"
            ))
        })?;
        Self::new(root).map_err(named)
    }

    pub(super) fn new(root: Value) -> Result<Self, String> {
        match root.get("openapi").and_then(Value::as_str) {
            Some(version) if version.starts_with("3.") => Ok(Self { root }),
            Some(version) => Err(format!("`openapi` is {version}; known are 3.0 and 3.1")),
            None => Err("it has no `openapi`, so it is no OpenAPI 3 document".to_owned()),
        }
    }

    /// The first server, when it is an absolute URL without variables.
    pub(super) fn server(&self) -> Option<Url> {
        let url = self.root.pointer("/servers/0/url")?.as_str()?;
        if url.contains('{') {
            return None;
        }
        Url::parse(url).ok().filter(Url::has_host)
    }

    /// The operation with that `operationId`.
    pub(super) fn operation(&self, id: &str) -> Result<Found<'_>, String> {
        let paths = self.root.get("paths").and_then(Value::as_object);
        let mut found = None;
        for (path, item) in paths.into_iter().flatten() {
            let item = self.resolve(item)?;
            for (name, method) in METHODS {
                let Some(operation) = item.get(name) else {
                    continue;
                };
                if operation.get("operationId").and_then(Value::as_str) != Some(id) {
                    continue;
                }
                if found.is_some() {
                    return Err("the document has two of that operationId".to_owned());
                }
                found = Some(Found {
                    method,
                    path: path.clone(),
                    item,
                    operation,
                });
            }
        }
        found.ok_or_else(|| "the document has no such operationId".to_owned())
    }

    /// What `value` is, or what its `$ref` within the document leads to.
    pub(super) fn resolve<'a>(&'a self, value: &'a Value) -> Result<&'a Value, String> {
        let mut value = value;
        for _ in 0..MOST_REFERENCES {
            let Some(reference) = value.get("$ref").and_then(Value::as_str) else {
                return Ok(value);
            };
            value = self.at(reference)?;
        }
        Err("references lead in a circle".to_owned())
    }

    /// What a reference names.
    pub(super) fn at(&self, reference: &str) -> Result<&Value, String> {
        let pointer = reference
            .strip_prefix('#')
            .ok_or_else(|| format!("`$ref` {reference} leads out of the document"))?;
        self.root
            .pointer(pointer)
            .ok_or_else(|| format!("`$ref` {reference} leads nowhere"))
    }

    /// The scopes of the operation's first security requirement, the document's where it has none of its own; `None` when
    /// neither says.
    pub(super) fn scopes_of(&self, found: &Found<'_>) -> Option<Vec<String>> {
        let requirements = found
            .operation
            .get("security")
            .or_else(|| self.root.get("security"))?
            .as_array()?;
        let schemes = requirements.first()?.as_object()?;
        let oauth = schemes.iter().find(|(name, _)| {
            let scheme = self
                .root
                .pointer(&format!("/components/securitySchemes/{}", escaped(name)));
            let kind = scheme
                .and_then(|scheme| scheme.get("type"))
                .and_then(Value::as_str);
            matches!(kind, Some("oauth2" | "openIdConnect"))
        });
        let scopes = oauth?.1.as_array()?;
        scopes
            .iter()
            .map(|scope| scope.as_str().map(str::to_owned))
            .collect()
    }

    /// What the document says of a scope.
    pub(super) fn scope_words(&self, scope: &str) -> Option<String> {
        let schemes = self.root.pointer("/components/securitySchemes")?.as_object()?;
        let flows = schemes
            .values()
            .filter_map(|scheme| scheme.get("flows")?.as_object());
        let words = flows
            .flat_map(|flows| flows.values())
            .find_map(|flow| flow.get("scopes")?.get(scope)?.as_str())?;
        let words = words.trim();
        (!words.is_empty()).then(|| words.chars().take(200).collect())
    }
}

/// A name within a JSON pointer (RFC 6901 section 3).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
