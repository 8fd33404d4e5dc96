//! A run's settings: checked against the names in the synthesizer's JSON Schema, with its defaults filled in.

use prost_types::{value::Kind, ListValue, Struct, Value as Proto};
use serde_json::{Map, Value};
use tonic::Status;

use crate::errors::bad_field;

/// Settings by name, with the schema's defaults.
pub type Settings = Map<String, Value>;

pub(crate) fn complete(schema: &str, given: Option<&Struct>) -> Result<Settings, Status> {
    let schema: Value = serde_json::from_str(schema).unwrap_or_default();
    let empty = Map::new();
    let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let mut settings: Settings = known
        .iter()
        .filter_map(|(name, rules)| Some((name.clone(), rules.get("default")?.clone())))
        .collect();
    for (name, value) in given.map(|given| given.fields.iter()).into_iter().flatten() {
        if !known.contains_key(name) {
            return Err(bad_field(&format!("settings.{name}"), "there is no such setting"));
        }
        settings.insert(name.clone(), to_json(value));
    }
    Ok(settings)
}

pub(crate) fn to_struct(settings: &Settings) -> Struct {
    Struct { fields: settings.iter().map(|(name, value)| (name.clone(), to_proto(value))).collect() }
}

fn to_json(value: &Proto) -> Value {
    match &value.kind {
        Some(Kind::BoolValue(found)) => Value::from(*found),
        Some(Kind::NumberValue(found)) => Value::from(*found),
        Some(Kind::StringValue(found)) => Value::from(found.as_str()),
        Some(Kind::ListValue(found)) => found.values.iter().map(to_json).collect(),
        Some(Kind::StructValue(found)) => {
            Value::Object(found.fields.iter().map(|(name, value)| (name.clone(), to_json(value))).collect())
        }
        _ => Value::Null,
    }
}

fn to_proto(value: &Value) -> Proto {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(found) => Kind::BoolValue(*found),
        Value::Number(found) => Kind::NumberValue(found.as_f64().unwrap_or_default()),
        Value::String(found) => Kind::StringValue(found.clone()),
        Value::Array(found) => Kind::ListValue(ListValue { values: found.iter().map(to_proto).collect() }),
        Value::Object(found) => Kind::StructValue(to_struct(found)),
    };
    Proto { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r#"{"properties": {"patience": {"type": "integer", "default": 12}, "name": {"type": "string"}}}"#;

    #[test]
    fn what_is_not_given_has_the_schemas_default() {
        let settings = complete(SCHEMA, None).unwrap();
        assert_eq!(settings, serde_json::from_str(r#"{"patience": 12}"#).unwrap());
    }

    #[test]
    fn settings_survive_the_wire() {
        let given: Settings = serde_json::from_str(r#"{"patience": 3.5, "name": "a"}"#).unwrap();
        assert_eq!(complete(SCHEMA, Some(&to_struct(&given))).unwrap(), given);
    }

    #[test]
    fn an_unknown_setting_is_refused_by_its_path() {
        let given: Settings = serde_json::from_str(r#"{"patients": 3}"#).unwrap();
        let status = complete(SCHEMA, Some(&to_struct(&given))).unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        assert!(status.message().starts_with("settings.patients: "));
    }
}
