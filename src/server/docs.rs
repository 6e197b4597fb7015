//! The description of the API as a page to read: made once from `/openapi.json`, without a script, so that it reads in a
//! terminal's browser too.

use std::fmt::Write as _;

use serde_json::Value;

/// The page.
pub(super) fn page(description: &Value) -> String {
    let mut page = String::from(concat!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>knightwatch: the control API</title><style>",
        "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}",
        "code,pre{font-family:ui-monospace,monospace;background:#8881;padding:.1em .3em}",
        "h2{margin-top:2.5rem}section{border-top:1px solid #8886;padding:.5rem 0}</style>",
        "<h1>knightwatch: the control API</h1><p>For programs: <a href=\"/openapi.json\">/openapi.json</a>.</p>"
    ));
    // Writing to a string cannot fail.
    let _ = write!(page, "<p>{}</p>", escaped(&description["info"]["description"]));
    let schemes = &description["components"]["securitySchemes"];
    let _ = write!(
        page,
        "<h2>Who may what</h2><p><code>Authorization: Bearer TOKEN</code>. {}</p>",
        escaped(&schemes["bearer"]["description"])
    );
    let members = |value: &Value| value.as_object().into_iter().flatten().map(owned).collect::<Vec<_>>();
    for (path, methods) in members(&description["paths"]) {
        for (method, operation) in members(&methods) {
            operation_in(&mut page, &path, &method, &operation);
        }
    }
    page.push_str("<h2>Shapes</h2>");
    for (name, schema) in members(&description["components"]["schemas"]) {
        let _ = write!(
            page,
            "<section id=\"{name}\"><h3>{name}</h3><p>{}</p><ul>",
            escaped(&schema["description"])
        );
        for (field, of) in members(&schema["properties"]) {
            let required =
                schema["required"].as_array().is_some_and(|all| all.iter().any(|one| *one == field));
            let may = if required { "" } else { " (may be left out)" };
            let _ = write!(
                page,
                "<li><code>{field}</code> {}{may}: {}</li>",
                kind(&of),
                escaped(&of["description"])
            );
        }
        page.push_str("</ul></section>");
    }
    page
}

fn owned((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}

fn operation_in(page: &mut String, path: &str, method: &str, operation: &Value) {
    let title = format!("{} {path}", method.to_uppercase());
    let _ = write!(
        page,
        "<section><h3><code>{title}</code></h3><p><b>{}</b></p>",
        escaped(&operation["summary"])
    );
    if !operation["description"].is_null() {
        let _ = write!(page, "<p>{}</p>", escaped(&operation["description"]));
    }
    page.push_str("<ul>");
    let bare = if operation["security"][1].is_object() { ", or loopback" } else { "" };
    for scope in operation["security"][0]["bearer"].as_array().into_iter().flatten() {
        let _ = write!(page, "<li>needs the scope <code>{}</code>{bare}</li>", escaped(scope));
    }
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let (name, place) = (escaped(&parameter["name"]), escaped(&parameter["in"]));
        let _ =
            write!(page, "<li><code>{name}</code> ({place}): {}</li>", escaped(&parameter["description"]));
    }
    for (_, media) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
        let _ = write!(page, "<li>takes {}</li>", kind(&media["schema"]));
    }
    for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
        let _ = write!(page, "<li>{status}: {}", escaped(&answer["description"]));
        for (_, media) in answer["content"].as_object().into_iter().flatten() {
            let _ = write!(page, ", {}", kind(&media["schema"]));
        }
        page.push_str("</li>");
    }
    page.push_str("</ul></section>");
}

/// What a schema is, in a word or as a link.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return format!("<a href=\"#{name}\">{name}</a>");
    }
    match &schema["type"] {
        Value::String(word) if word == "array" => format!("list of {}", kind(&schema["items"])),
        Value::String(word) => word.clone(),
        Value::Array(words) => words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        _ => "anything".to_owned(),
    }
}

fn escaped(text: &Value) -> String {
    let text = text.as_str().unwrap_or_default();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
