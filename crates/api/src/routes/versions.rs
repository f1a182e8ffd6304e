//! `GET /`: which versions there are, for whoever asks, token or not.

use axum::Json;
use axum::extract::State;
use axum::http::{Extensions, HeaderMap};

use crate::app::App;
use crate::links;
use crate::wire::{Link, VersionInfo, VersionsInfo};

/// The versions of this API.
#[utoipa::path(get, path = "/", tag = "versions", operation_id = "list_versions_of_the_api", responses((status = 200, body = VersionsInfo)), security(()))]
pub(crate) async fn list(State(app): State<App>, headers: HeaderMap, extensions: Extensions) -> Json<VersionsInfo> {
    let href = format!("{}/v1.0/", links::base(&app, &headers, &extensions));
    let links = vec![Link { href, rel: "self" }];
    // The date is Trove's; clients compare it.
    let version = VersionInfo { id: "v1.0", status: "CURRENT", updated: "2012-08-01T00:00:00Z", links };
    Json(VersionsInfo { versions: vec![version] })
}
