//! The faults in the document: what each looks like, and which operation may answer which.

use redtrove_core::FaultKind;
use serde_json::json;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::{Components, ContentBuilder, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder, Type};

/// Every fault that a documented route answers: when, and a message.
const FAULTS: [(FaultKind, &str, &str); 10] = [
    (
        FaultKind::BadRequest,
        "The request can never be right: mend it.",
        "Validation error: cluster.instances[2].volume.size: is required",
    ),
    (
        FaultKind::Unauthorized,
        "No token, or one that is not valid, or an operator's route without the role admin.",
        "A token is required (X-Auth-Token).",
    ),
    (
        FaultKind::Forbidden,
        "A token of another project, or the policy.",
        "User with tenant id demo cannot access this resource.",
    ),
    (
        FaultKind::NotFound,
        "No such thing, or not one of this project's.",
        "Cluster 'edaac9ca-b5e1-4028-adb7-fa7653e11224' cannot be found.",
    ),
    (FaultKind::OverLimit, "A quota or a size is exceeded.", "Quota exceeded for resources: ['instances', 'volumes']."),
    (
        FaultKind::BadMediaType,
        "The body is not JSON by its type.",
        "The request body must be of type application/json.",
    ),
    (
        FaultKind::Unprocessable,
        "Not now: the cluster is busy. Or an Idempotency-Key that came before, with another body.",
        "This action cannot be performed on the cluster while the current cluster task is 'BUILDING'.",
    ),
    (
        FaultKind::Internal,
        "A mistake of the server's, which the operator finds in the log under the id.",
        "The server made a mistake. Its operator finds it in the log under \
         req-416b0b16-ba55-4302-bbd3-ff566032e1c1.",
    ),
    (FaultKind::NotImplemented, "This installation does not do that.", "Clusters not supported for redis-7.0."),
    (
        FaultKind::Unavailable,
        "Something that the server needs is away: try again after Retry-After.",
        "The database does not answer.",
    ),
];

/// Adds each fault's body to the components.
pub(super) fn describe(components: &mut Components) {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let detail = ObjectBuilder::new()
        .description(Some("What went wrong."))
        .property("code", ObjectBuilder::new().schema_type(Type::Integer).description(Some("The status.")))
        .property("message", text().description(Some("One sentence.")))
        .required("code")
        .required("message");
    components.schemas.insert("Fault".to_owned(), RefOr::T(detail.into()));
    for (kind, when, message) in FAULTS {
        components.responses.insert(kind.name().to_owned(), RefOr::T(response(kind, when, message)));
    }
}

fn response(kind: FaultKind, when: &str, message: &str) -> Response {
    let name = kind.name();
    let body = ObjectBuilder::new().property(name, Ref::from_schema_name("Fault")).required(name);
    let example = json!({name: {"code": kind.code(), "message": message}});
    let content = ContentBuilder::new().schema(Some(body.build())).example(Some(example)).build();
    let header = |text: &str| HeaderBuilder::new().description(Some(text)).build();
    let mut response = ResponseBuilder::new()
        .description(when)
        .content("application/json", content)
        .header("x-openstack-request-id", header("The id of the request, for the operator."));
    match kind {
        FaultKind::Unauthorized => {
            response = response.header("www-authenticate", header("Where tokens are to be had."));
        }
        FaultKind::Unavailable => {
            response = response.header("retry-after", header("When to try again, seconds."));
        }
        _ => {}
    }
    response.build()
}

/// Adds the faults that an operation may answer by what it takes, and the bodies of those that it names itself.
pub(super) fn complete(operation: &mut Operation) {
    let has = |place: ParameterIn| {
        let parameters = operation.parameters.iter().flatten();
        let of =
            parameters.filter_map(|parameter| if let RefOr::T(parameter) = parameter { Some(parameter) } else { None });
        of.filter(|parameter| parameter.parameter_in == place && parameter.name != "project_id").count() > 0
    };
    let mut kinds = vec![FaultKind::Unauthorized, FaultKind::Forbidden, FaultKind::Internal, FaultKind::Unavailable];
    if has(ParameterIn::Query) {
        kinds.push(FaultKind::BadRequest);
    }
    if has(ParameterIn::Path) {
        kinds.push(FaultKind::NotFound);
    }
    if operation.request_body.is_some() {
        kinds.extend([FaultKind::BadRequest, FaultKind::OverLimit, FaultKind::BadMediaType]);
    }
    if has(ParameterIn::Header) {
        kinds.push(FaultKind::Unprocessable);
    }
    for kind in kinds {
        let reference = RefOr::Ref(Ref::from_response_name(kind.name()));
        operation.responses.responses.entry(kind.code().to_string()).or_insert(reference);
    }
    for (kind, _, message) in FAULTS {
        if let Some(RefOr::T(own)) = operation.responses.responses.get_mut(&kind.code().to_string())
            && own.content.is_empty()
        {
            *own = response(kind, &own.description, message);
        }
    }
}
