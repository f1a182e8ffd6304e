//! The OpenAPI document: what the routes say of themselves, and what holds for all of them.

mod examples;
mod faults;

use std::sync::Arc;

use axum::http::header;
use axum::response::IntoResponse;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::openapi::{InfoBuilder, ObjectBuilder, OpenApi, RefOr, Required, SecurityRequirement, Type};

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
    faults::describe(components);
    for (path, item) in &mut document.paths.paths {
        for operation in operations(item) {
            if path.starts_with("/v1.0/") {
                operation.parameters.get_or_insert_default().insert(0, RefOr::T(project_parameter()));
                operation.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>(SCHEME, [])]);
                faults::complete(operation);
            }
            describe_answers(operation);
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
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[A-Za-z0-9_-]{1,64}$"))))
        .example(Some("demo".into()))
        .build()
}

/// What the answers to one operation have in common, and an example of the good one.
fn describe_answers(operation: &mut Operation) {
    let example = operation.operation_id.as_deref().and_then(examples::of);
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        if response.description.is_empty() {
            "What was asked for.".clone_into(&mut response.description);
        }
        let id = HeaderBuilder::new().description(Some("The id of the request, for the operator.")).build();
        response.headers.insert("x-openstack-request-id".to_owned(), RefOr::T(id));
        if status.starts_with('2')
            && let Some(RefOr::T(content)) = response.content.get_mut("application/json")
        {
            content.example.clone_from(&example);
        }
    }
}

/// Serves the document, as text that was made once.
pub fn serve(text: Arc<str>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], text.to_string())
}
