//! `config.json`, read key by key with errors that name the key.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::{Error, Result};
use crate::ops::activation::Activation;

/// Largest configuration that is read.
const MAX_BYTES: u64 = 4 << 20;
/// No dimension may exceed this; keeps products of two far from overflow.
const MAX_DIMENSION: u64 = 1 << 24;

/// A parsed `config.json` with its path for messages.
#[derive(Clone, Debug)]
pub struct Config {
    /// The object.
    pub json: Value,
    path: PathBuf,
}

impl Config {
    /// Reads `config.json` in a model folder.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let metadata = std::fs::metadata(&path).map_err(|e| Error::io("read", &path, e))?;
        if metadata.len() > MAX_BYTES {
            return Err(Error::Config { path, reason: format!("it is larger than {MAX_BYTES} bytes") });
        }
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io("read", &path, e))?;
        let json =
            serde_json::from_str(&text).map_err(|e| Error::Config { path: path.clone(), reason: e.to_string() })?;
        Ok(Self { json, path })
    }

    /// A configuration made in memory.
    pub fn new(json: Value) -> Self {
        Self { json, path: PathBuf::from("config.json") }
    }

    fn error(&self, reason: String) -> Error {
        Error::Config { path: self.path.clone(), reason }
    }

    /// The value of a key unless it is absent or null.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.json.get(key).filter(|v| !v.is_null())
    }

    /// A required string.
    pub fn text(&self, key: &str) -> Result<String> {
        let value = self.get(key).ok_or_else(|| self.error(format!("the key `{key}` is missing")))?;
        let text = value.as_str().ok_or_else(|| self.error(format!("`{key}` should be a string, not {value}")))?;
        Ok(text.to_owned())
    }

    /// A positive whole number, if the key is there.
    pub fn optional_size(&self, key: &str) -> Result<Option<usize>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.as_u64() {
            Some(n) if (1..=MAX_DIMENSION).contains(&n) => Ok(Some(n as usize)),
            _ => Err(self.error(format!("`{key}` should be a whole number from 1 to {MAX_DIMENSION}, not {value}"))),
        }
    }

    /// The same, where a key that is absent means `default` but null means none.
    pub fn size_unless_null(&self, key: &str, default: usize) -> Result<Option<usize>> {
        if self.json.get(key).is_none() { Ok(Some(default)) } else { self.optional_size(key) }
    }

    /// A required positive whole number under either of two keys.
    pub fn size_of_either(&self, new: &str, old: &str) -> Result<usize> {
        self.optional_size(new)?.map_or_else(|| self.size(old), Ok)
    }

    /// A required positive whole number.
    pub fn size(&self, key: &str) -> Result<usize> {
        self.optional_size(key)?.ok_or_else(|| self.error(format!("the key `{key}` is missing")))
    }

    /// A positive number, or `default`.
    pub fn number_or(&self, key: &str, default: f32) -> Result<f32> {
        let Some(value) = self.get(key) else { return Ok(default) };
        match value.as_f64() {
            Some(x) if x.is_finite() && x >= 0.0 => Ok(x as f32),
            _ => Err(self.error(format!("`{key}` should be a number, not {value}"))),
        }
    }

    /// A whole number, 0 allowed, or `default`.
    pub fn count_or(&self, key: &str, default: usize) -> Result<usize> {
        if self.get(key).and_then(Value::as_u64) == Some(0) {
            Ok(0)
        } else {
            Ok(self.optional_size(key)?.unwrap_or(default))
        }
    }

    /// A number above 0, if the key is there.
    pub fn optional_positive(&self, key: &str) -> Result<Option<f32>> {
        if self.get(key).is_none() {
            return Ok(None);
        }
        match self.number_or(key, 0.0)? {
            x if x > 0.0 => Ok(Some(x)),
            x => Err(self.error(format!("`{key}` should be above 0, not {x}"))),
        }
    }

    /// A required number above 0.
    pub fn positive(&self, key: &str) -> Result<f32> {
        self.optional_positive(key)?.ok_or_else(|| self.error(format!("the key `{key}` is missing")))
    }

    /// A list with one value a layer, if the key is there.
    pub fn per_layer<T>(&self, key: &str, layers: usize, read: impl Fn(&Value) -> Option<T>) -> Result<Option<Vec<T>>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let list: Option<Vec<T>> = value.as_array().and_then(|list| list.iter().map(read).collect());
        let wrong = || self.error(format!("`{key}` should be a list with one value for each of the {layers} layers"));
        list.filter(|list| list.len() == layers).map(Some).ok_or_else(wrong)
    }

    /// The object under a key, read like a configuration of its own, if the key is there and the object has entries.
    pub fn inside(&self, key: &str) -> Result<Option<Self>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Object(object)) if object.is_empty() => Ok(None),
            Some(json @ Value::Object(_)) => Ok(Some(Self { json: json.clone(), path: self.path.clone() })),
            Some(other) => Err(self.error(format!("`{key}` should be an object, not {other}"))),
        }
    }

    /// The activation that a key names; one that is not computed is refused in the family's name.
    pub fn activation(&self, family: &'static str, key: &str, default: &str) -> Result<Activation> {
        let name = self.text_or(key, default)?;
        Activation::named(&name).ok_or_else(|| Error::Unsupported { family, feature: format!("{key} = {name}") })
    }

    /// A flag, or `default`.
    pub fn flag_or(&self, key: &str, default: bool) -> Result<bool> {
        let Some(value) = self.get(key) else { return Ok(default) };
        value.as_bool().ok_or_else(|| self.error(format!("`{key}` should be true or false, not {value}")))
    }

    /// A string, or `default`.
    pub fn text_or(&self, key: &str, default: &str) -> Result<String> {
        if self.get(key).is_none() { Ok(default.to_owned()) } else { self.text(key) }
    }

    /// Fails unless `whole` is a multiple of `part`.
    pub fn require_multiple(&self, whole: (&str, usize), part: (&str, usize)) -> Result<usize> {
        if whole.1.is_multiple_of(part.1) {
            Ok(whole.1 / part.1)
        } else {
            Err(self.error(format!("`{}` ({}) is not a multiple of `{}` ({})", whole.0, whole.1, part.0, part.1)))
        }
    }

    /// An error about the configuration as a whole.
    pub fn invalid(&self, reason: impl Into<String>) -> Error {
        self.error(reason.into())
    }
}
