//! The description of the API as it is served: what the macros cannot say of it is said here, once for all operations.

use serde_json::Value;
use utoipa::openapi::OpenApi;

/// An idempotency key: printable ASCII, not quotes alone.
const ID: &str = "^[!-~]*[!#-~][!-~]*$";

/// The `ETag` of one flag, or any.
const VERSION: &str = "^(\\*|\"[0-9]{1,18}\")$";

/// Bodies that may be left out: the default is taken then.
const OPTIONAL: [&str; 2] = ["#/components/schemas/Why", "#/components/schemas/Question"];

/// The description that is served at `/openapi.json`.
pub(super) fn description(api: &OpenApi) -> Value {
    let mut description = serde_json::to_value(api).unwrap_or_default();
    numbers(&mut description);
    let paths = description["paths"].as_object_mut().into_iter().flatten();
    for (_, operation) in paths.flat_map(|(_, path)| path.as_object_mut().into_iter().flatten()) {
        for parameter in operation["parameters"].as_array_mut().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap_or_default().to_owned();
            let schema = &mut parameter["schema"];
            never_null(schema);
            match name.as_str() {
                "Idempotency-Key" => {
                    schema["pattern"] = ID.into();
                    schema["maxLength"] = super::orders::MAX_ID.into();
                }
                "If-Match" => schema["pattern"] = VERSION.into(),
                _ => {}
            }
        }
        let Some(body) = operation.get_mut("requestBody") else { continue };
        let schema = body["content"]["application/json"]["schema"]["$ref"].as_str();
        if schema.is_some_and(|schema| OPTIONAL.contains(&schema)) {
            body["required"] = false.into();
        }
    }
    description
}

/// What stands in a header, a path or a query is text: it can be left out, and cannot be null.
fn never_null(schema: &mut Value) {
    if let Some(kinds) = schema["type"].as_array() {
        let mut kinds = kinds.iter().filter(|kind| *kind != "null").cloned();
        if let (Some(kind), None) = (kinds.next(), kinds.next()) {
            schema["type"] = kind;
        }
    }
}

/// Numbers from 0 up have 64 bits here, and the format that is written for them has a bit less.
fn numbers(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.get("format").is_some_and(|format| format == "int64") && map.contains_key("minimum") {
                map.remove("format");
            }
            map.values_mut().for_each(numbers);
        }
        Value::Array(list) => list.iter_mut().for_each(numbers),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
