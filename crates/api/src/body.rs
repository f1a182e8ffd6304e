//! Reading a request's body: JSON of a bounded size, or a fault that names the field.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use futures_util::StreamExt;
use redtrove_core::{Fault, FaultKind};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::app::App;
use crate::fault::Refusal;
use crate::wire::Object;

/// How much of a body that is too long is read and dropped before the answer. Closing on a client that still sends
/// would cost it the answer.
const PATIENCE: usize = 64 * 1024 * 1024;
/// A message repeats what was sent; this many characters of it.
const LONGEST_MESSAGE: usize = 400;

/// A body: one JSON object, read as `T`.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for JsonBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &App) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        Ok(Self(interpret(json(app, &parts.headers, body).await?)?))
    }
}

/// Reads a body as JSON.
pub async fn json(app: &App, headers: &HeaderMap, body: Body) -> Result<Value, Fault> {
    let most = usize::try_from(app.config().api.max_body_bytes.get()).unwrap_or(usize::MAX);
    // Read first, judge then: also a body that nobody looks at has to be off the wire.
    let bytes = read(body, most).await?;
    check_type(headers)?;
    parse(&bytes)
}

async fn read(body: Body, most: usize) -> Result<Vec<u8>, Fault> {
    let (mut bytes, mut total) = (Vec::new(), 0usize);
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Fault::bad_request("The request body could not be read to its end."))?;
        total = total.saturating_add(chunk.len());
        if total <= most {
            bytes.extend_from_slice(&chunk);
        } else if total > PATIENCE {
            break;
        }
    }
    if total > most {
        return Err(Fault::new(FaultKind::OverLimit, format!("The request body is longer than {most} bytes.")));
    }
    if bytes.is_empty() {
        return Err(Fault::bad_request("A request body is required."));
    }
    Ok(bytes)
}

/// Trove reads JSON only; a body of unknown type would be ignored there and is refused here.
fn check_type(headers: &HeaderMap) -> Result<(), Fault> {
    let Some(given) = headers.get(header::CONTENT_TYPE) else {
        return Err(Fault::bad_request("The header Content-Type is required: application/json."));
    };
    let essence = given.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    let message = "The request body must be of type application/json.";
    Err(Fault::new(FaultKind::BadMediaType, message))
}

/// As JSON, with its limit on nesting (128).
fn parse(bytes: &[u8]) -> Result<Value, Fault> {
    serde_json::from_slice(bytes)
        .map_err(|error| Fault::bad_request(shorten(format!("The request body is not valid JSON: {error}"))))
}

/// Then as `T`, which knows the path to what is wrong.
pub fn interpret<T: DeserializeOwned>(value: Value) -> Result<T, Fault> {
    let Object(body) = serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        Fault::bad_request(shorten(violation(&path, &error.inner().to_string())))
    })?;
    Ok(body)
}

/// "Validation error: cluster.instances[2].volume.size: …", also for a key that is missing.
fn violation(path: &str, problem: &str) -> String {
    let missing = problem.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
    match (path, missing) {
        (".", Some(key)) => format!("Validation error: {key}: is required"),
        (path, Some(key)) => format!("Validation error: {path}.{key}: is required"),
        (".", None) => format!("Validation error: {problem}"),
        (path, None) => format!("Validation error: {path}: {problem}"),
    }
}

fn shorten(mut message: String) -> String {
    if let Some((end, _)) = message.char_indices().nth(LONGEST_MESSAGE) {
        message.truncate(end);
        message.push('…');
    }
    message
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::wire::CreateAsk;

    fn read_as_cluster(body: &[u8]) -> Result<CreateAsk, Fault> {
        parse(body).and_then(interpret)
    }

    fn refused(body: &str) -> String {
        let fault = read_as_cluster(body.as_bytes()).unwrap_err();
        assert_eq!(fault.kind, FaultKind::BadRequest);
        fault.message
    }

    fn good() -> Value {
        json!({"cluster": {
            "name": "c", "datastore": {"type": "redis", "version": "7.0"},
            "instances": [{"flavorRef": "1", "volume": {"size": 1}}, {"flavorRef": 1, "volume": {"size": "1"}}],
        }})
    }

    #[test]
    fn every_key_that_clients_send_is_taken() {
        let mut body = good();
        body["cluster"]["locality"] = json!("affinity");
        body["cluster"]["configuration"] = Value::Null;
        body["cluster"]["extended_properties"] = json!({"num_mongos": 1});
        body["cluster"]["instances"][0] = json!({
            "flavorRef": "http://h/flavors/1", "volume": {"size": "1", "type": null}, "name": "ignored",
            "nics": [{"net-id": "416b0b16-ba55-4302-bbd3-ff566032e1c1"}], "availability_zone": "nova",
            "modules": [{"id": "416b0b16-ba55-4302-bbd3-ff566032e1c1"}], "region_name": "r", "region": "r",
            "type": ["x"], "related_to": null,
        });
        assert!(read_as_cluster(body.to_string().as_bytes()).is_ok());
    }

    #[test]
    fn a_wrong_value_is_named_by_its_path() {
        for (pointer, value, path) in [
            ("/cluster", json!([]), "cluster: "),
            ("/cluster", Value::Null, "cluster: "),
            ("/cluster/name", Value::Null, "cluster.name: "),
            ("/cluster/name", json!(7), "cluster.name: "),
            ("/cluster/name", json!("  "), "cluster.name: must contain a letter"),
            ("/cluster/name", json!("x".repeat(256)), "cluster.name: must have at most 255"),
            ("/cluster/name", json!("a\u{0}"), "cluster.name: must not contain control"),
            ("/cluster/datastore", json!(["redis", "7.0"]), "cluster.datastore: "),
            ("/cluster/datastore/type", json!(""), "cluster.datastore.type: "),
            ("/cluster/datastore/version", Value::Null, "cluster.datastore.version: "),
            ("/cluster/instances", json!({}), "cluster.instances: "),
            ("/cluster/instances/1", json!(["1"]), "cluster.instances[1]: "),
            ("/cluster/instances/1/flavorRef", Value::Null, "cluster.instances[1].flavorRef: "),
            ("/cluster/instances/1/flavorRef", json!(true), "cluster.instances[1].flavorRef: "),
            ("/cluster/instances/1/volume", Value::Null, "cluster.instances[1].volume: "),
            ("/cluster/instances/1/volume", json!([1]), "cluster.instances[1].volume: "),
            ("/cluster/instances/1/volume", json!({}), "cluster.instances[1].volume.size: is required"),
            ("/cluster/instances/1/volume/size", json!(0), "cluster.instances[1].volume.size: "),
            ("/cluster/instances/1/volume/size", json!(1e300), "cluster.instances[1].volume.size: "),
        ] {
            let mut body = good();
            *body.pointer_mut(pointer).unwrap() = value.clone();
            let message = refused(&body.to_string());
            assert!(message.starts_with(&format!("Validation error: {path}")), "{pointer} {value}: {message}");
        }
    }

    #[test]
    fn wrong_optional_keys_are_named_too() {
        let uuid = "416b0b16-ba55-4302-bbd3-ff566032e1c1";
        for (key, value, path) in [
            ("nics", json!([{"net-id": uuid}, {"net-id": uuid}]), "nics: "),
            ("nics", json!([{"port-id": uuid}]), "nics[0].port-id: "),
            ("nics", json!([{"net-id": "x"}]), "nics[0].net-id: "),
            ("nics", json!([{"ip_address": "::1"}]), "nics[0].ip_address: "),
            ("nics", json!({}), "nics: "),
            ("availability_zone", json!(1), "availability_zone: "),
            ("region_name", json!(""), "region_name: "),
            ("modules", json!([{}]), "modules[0].id: is required"),
        ] {
            let mut body = good();
            body["cluster"]["instances"][1][key] = value.clone();
            let message = refused(&body.to_string());
            assert!(
                message.starts_with(&format!("Validation error: cluster.instances[1].{path}")),
                "{value}: {message}"
            );
        }
        for key in ["locality", "extended_properties"] {
            let mut body = good();
            body["cluster"][key] = json!(1);
            assert!(refused(&body.to_string()).starts_with(&format!("Validation error: cluster.{key}: ")));
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (body, path) in [
            ("{}", "cluster"),
            (r#"{"cluster": {}}"#, "cluster.name"),
            (r#"{"cluster": {"name": "c"}}"#, "cluster.datastore"),
            (r#"{"cluster": {"name": "c", "datastore": {}}}"#, "cluster.datastore.type"),
            (r#"{"cluster": {"name": "c", "datastore": {"type": "redis"}}}"#, "cluster.instances"),
        ] {
            assert_eq!(refused(body), format!("Validation error: {path}: is required"), "{body}");
        }
    }

    #[test]
    fn what_is_no_json_object_is_refused_however_deep_it_goes() {
        let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(5_000), close.repeat(5_000));
        for body in ["", "{", "nonsense", "[]", "\"x\"", "1", "null", "{\"cluster\": 1e999}", "\u{feff}{}"] {
            refused(body);
        }
        assert!(refused(&deep("[", "]")).contains("recursion limit"));
        assert!(refused(&deep("{\"cluster\":", "}")).contains("recursion limit"));
        assert!(read_as_cluster(b"{\"cluster\": \"\xff\"}").is_err());
        assert!(refused(&json!({"cluster": "x".repeat(100_000)}).to_string()).len() < 2_000);
    }
}
