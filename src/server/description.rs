//! The description of the API as it is served: what the macros cannot say of it is said here, once for all operations.

use serde_json::Value;
use utoipa::openapi::OpenApi;

/// An idempotency key: printable ASCII, not quotes alone.
pub(super) const ID: &str = "^[!-~]*[!#-~][!-~]*$";

/// The `ETag` of one flag, or any.
pub(super) const VERSION: &str = "^(\\*|\"[0-9]{1,18}\")$";

/// Bodies that may be left out: the default is taken then.
const OPTIONAL: [&str; 2] = ["#/components/schemas/Why", "#/components/schemas/Question"];

/// The description that is served at `/openapi.json`.
pub(super) fn description(api: &OpenApi) -> Value {
    let mut described = serde_json::to_value(api).unwrap_or_default();
    super::orders::describe(&mut described);
    amended(described)
}

fn amended(mut description: Value) -> Value {
    numbers(&mut description);
    let paths = description["paths"].as_object_mut().into_iter().flatten();
    for (_, operation) in paths.flat_map(|(_, path)| path.as_object_mut().into_iter().flatten()) {
        // Not by index, which would put a null where there is nothing.
        let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
        for parameter in parameters.into_iter().flatten() {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_macros_cannot_say_is_said_and_nothing_else_is_touched() {
        let parameter = |name: &str, kind: Value| json!({"name": name, "in": "header", "required": false, "schema": {"type": kind}});
        let body = |schema: &str| {
            let schema = json!({"$ref": format!("#/components/schemas/{schema}")});
            json!({"required": true, "content": {"application/json": {"schema": schema}}})
        };
        let before = json!({
            "paths": {
                "/bare": {"get": {"responses": {}}},
                "/order": {"post": {
                    "parameters": [parameter("Idempotency-Key", json!(["string", "null"]))],
                    "requestBody": body("Why"), "responses": {},
                }},
                "/set": {"post": {"requestBody": body("Override"), "responses": {}}},
            },
            "components": {"schemas": {"N": {"type": "integer", "format": "int64", "minimum": 0}}},
        });
        let described = amended(before.clone());
        assert_eq!(described["paths"]["/bare"], before["paths"]["/bare"]);
        assert_eq!(described["paths"]["/set"], before["paths"]["/set"]);
        let order = &described["paths"]["/order"]["post"];
        let schema = json!({"type": "string", "pattern": ID, "maxLength": 200});
        assert_eq!(order["parameters"][0]["schema"], schema);
        assert_eq!(order["requestBody"]["required"], false);
        assert_eq!(described["components"]["schemas"]["N"], json!({"type": "integer", "minimum": 0}));
    }
}
