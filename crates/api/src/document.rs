//! The OpenAPI document: what the routes say of themselves, and what holds for all of them.

use std::sync::Arc;

use axum::http::header;
use axum::response::IntoResponse;
use serde_json::json;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, ObjectBuilder, OpenApi, RefOr, Required, ResponseBuilder, SecurityRequirement, Type,
};

const SCHEME: &str = "token";

/// Completes what was collected from the routes.
pub fn complete(mut document: OpenApi) -> OpenApi {
    document.info = InfoBuilder::new()
        .title("redtrove")
        .version("v1.0")
        .description(Some("Redis Cluster as a service: OpenStack's database API, for Redis clusters."))
        .license(Some(utoipa::openapi::License::new("Apache-2.0")))
        .build();
    let components = document.components.get_or_insert_default();
    let key = ApiKey::Header(ApiKeyValue::with_description("X-Auth-Token", "A token for the project in the path."));
    components.add_security_scheme(SCHEME, SecurityScheme::ApiKey(key));
    for (path, item) in &mut document.paths.paths {
        for operation in operations(item) {
            if path.starts_with("/v1.0/") {
                operation.parameters.get_or_insert_default().insert(0, RefOr::T(project_parameter()));
                operation.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>(SCHEME, [])]);
            }
            for response in operation.responses.responses.values_mut() {
                if let RefOr::T(response) = response
                    && response.description.is_empty()
                {
                    response.description = "What was asked for.".to_owned();
                }
            }
            operation.responses.responses.insert("default".to_owned(), RefOr::T(fault_response()));
        }
    }
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.put, &mut item.delete, &mut item.patch].into_iter().flatten()
}

fn project_parameter() -> Parameter {
    ParameterBuilder::new()
        .name("project_id")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("The project that the token was issued for."))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
}

fn fault_response() -> utoipa::openapi::Response {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let fault = ObjectBuilder::new()
        .property("code", ObjectBuilder::new().schema_type(Type::Integer))
        .property("message", text())
        .required("code")
        .required("message");
    let body = ObjectBuilder::new().additional_properties(Some(fault));
    let example = json!({"itemNotFound": {"code": 404, "message": "Cluster 'x' cannot be found."}});
    let content = ContentBuilder::new().schema(Some(body.build())).example(Some(example)).build();
    ResponseBuilder::new().description("A fault, under its name.").content("application/json", content).build()
}

/// Serves the document, as text that was made once.
pub fn serve(text: Arc<str>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], text.to_string())
}
