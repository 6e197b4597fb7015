//! The `OpenAPI` operations and schemas of the orders, written from the rows of the table of orders.

use serde_json::{Map, Value, json};

use super::MAX_ID;
use crate::server::{description, guarded::SCHEME};
use knightwatch_core::control::{
    Confirmation, ORDERS, OrderSpec, OrderTarget, Parameter, Presence, ReasonGiven, ValueKind,
};

/// Adds every order to the description of the API.
pub(in crate::server) fn describe(api: &mut Value) {
    let schemas = &mut api["components"]["schemas"];
    schemas["Wanted"] = wanted();
    for spec in ORDERS {
        schemas[spec.body.0] = body(spec);
    }
    for spec in ORDERS {
        let method = spec.method.as_str().to_ascii_lowercase();
        api["paths"][spec.path][method] = operation(spec);
    }
}

fn header(name: &str, description: &str, schema: &Value) -> Value {
    json!({"name": name, "in": "header", "required": false, "description": description, "schema": schema})
}

fn operation(spec: &OrderSpec) -> Value {
    let path = |name: &str, description: &str, schema: Value| json!({"name": name, "in": "path", "required": true, "description": description, "schema": schema});
    let id = json!({"type": "string", "pattern": description::ID, "maxLength": MAX_ID});
    let id = header("Idempotency-Key", "The same key acts once, also across restarts", &id);
    let version = json!({"type": "string", "pattern": description::VERSION});
    let parameters = match spec.target {
        OrderTarget::Flag => {
            let about = if spec.stops {
                "The flag's ETag; left aside here: what makes things safer is not refused for it"
            } else {
                "The flag's ETag; another one refuses"
            };
            let key = path("key", "The flag", json!({"type": "string"}));
            vec![key, id, header("If-Match", about, &version)]
        }
        OrderTarget::Alarm => {
            vec![path("id", "The alarm", json!({"type": "integer", "minimum": 0})), id]
        }
        OrderTarget::Backend | OrderTarget::Briefing => vec![id],
    };
    let (done, problem) = if spec.confirmation == Confirmation::Arm {
        ("In force, and in the journal unless it says otherwise", "A problem")
    } else {
        ("In force and in the journal", "A problem: nothing has changed")
    };
    let schema = |name: &str| json!({"schema": {"$ref": format!("#/components/schemas/{name}")}});
    let mut operation = json!({
        "tags": [spec.tag], "summary": spec.sentence, "operationId": spec.name,
        "parameters": parameters,
        "requestBody": {
            "content": {"application/json": schema(spec.body.0)},
            "required": !spec.body_is_optional(),
        },
        "responses": {
            "200": {"description": done, "content": {"application/json": schema("Ack")}},
            "default": {"description": problem, "content": {"application/problem+json": schema("Problem")}},
        },
        "security": [{SCHEME: [spec.scope.as_str()]}],
    });
    if !spec.details.is_empty() {
        operation["description"] = spec.details.into();
    }
    operation
}

/// The schema of an order's request body.
fn body(spec: &OrderSpec) -> Value {
    let mut fields = Map::new();
    let mut required = Vec::new();
    for parameter in spec.parameters {
        fields.insert(parameter.name.to_owned(), field(parameter));
        if parameter.presence == Presence::Required {
            required.push(parameter.name);
        }
    }
    let reason = match spec.reason {
        ReasonGiven::Optional if spec.body_is_optional() => {
            json!({"type": "string", "default": "", "description": "Goes into the journal. At most 500 characters are kept."})
        }
        ReasonGiven::Optional => json!({"type": "string", "description": "Goes into the journal."}),
        ReasonGiven::Required(description) => {
            required.push("reason");
            json!({"type": "string", "description": description})
        }
    };
    fields.insert("reason".to_owned(), reason);
    let mut schema = json!({
        "type": "object", "description": spec.body.1, "properties": fields, "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    schema
}

/// The schema of one field.
fn field(parameter: &Parameter) -> Value {
    let nullable = parameter.presence == Presence::Nullable;
    let of_type = |name: &str| if nullable { json!([name, "null"]) } else { name.into() };
    let mut schema = match parameter.kind {
        ValueKind::Key => {
            json!({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._/-]*$", "maxLength": 100})
        }
        ValueKind::Service | ValueKind::Text | ValueKind::Environment => json!({"type": of_type("string")}),
        ValueKind::Word(words) => json!({"type": "string", "pattern": format!("^({})$", words.join("|"))}),
        ValueKind::Percent => json!({"type": "number", "format": "double", "minimum": 0, "maximum": 100}),
        ValueKind::Ladder => {
            json!({"type": of_type("array"), "items": {"type": "number", "format": "double"}})
        }
        ValueKind::Deployment { .. } => {
            return json!({"oneOf": [
                {"$ref": "#/components/schemas/Wanted", "description": parameter.description},
                {"type": "null"},
            ]});
        }
        ValueKind::Span { .. } if !nullable => json!({}),
        ValueKind::Span { .. } => json!({"oneOf": [
            {"type": "integer", "minimum": 0, "maximum": i64::MAX},
            {"type": "string", "pattern": "^[0-9]{1,9} *(ms|s|min|h)$"},
            {"type": "null"},
        ]}),
        ValueKind::KillSwitch { .. } => json!({"type": "boolean"}),
    };
    schema["description"] = parameter.description.into();
    schema
}

/// The schema of a deployment that a flag waits for.
fn wanted() -> Value {
    json!({
        "type": "object", "description": "A deployment that a flag waits for.", "additionalProperties": false,
        "required": ["service"],
        "properties": {
            "service": {"type": "string", "description": "The service, as the pipeline names it."},
            "artifact": {
                "type": ["string", "null"],
                "description": "Its artifact, as the pipeline names it; whichever where it is left out.",
            },
        },
    })
}
