//! redtrove-api: the database API of OpenStack for Redis clusters.
//!
//! A request passes [`layers`] (id, log, time limit, token), finds its route in [`routes`], is read by [`body`] and
//! [`path`], and ends in the database through `redtrove_engine::submit`; a wake-up goes to the bus behind the answer.
//! The API knows the database and the bus, never a guest.

pub mod app;
pub mod auth;
pub mod body;
pub mod caller;
pub mod config;
pub mod document;
pub mod fault;
pub mod layers;
pub mod links;
pub mod metrics;
pub mod once;
pub mod paging;
pub mod path;
pub mod policy;
pub mod routes;
pub mod serve;
pub mod start;
pub mod view;
pub mod wire;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use utoipa::openapi::OpenApi;

use crate::app::App;

/// The OpenAPI document.
pub fn openapi() -> OpenApi {
    document::complete(routes::table().into_openapi())
}

/// The whole service.
pub fn router(app: App) -> Router {
    let (routes, collected) = routes::table().split_for_parts();
    let text: Arc<str> = document::complete(collected).to_pretty_json().unwrap_or_default().into();
    let routes = routes
        .route("/openapi.json", get(move || async move { document::serve(text) }))
        .fallback(layers::unknown_path)
        .method_not_allowed_fallback(layers::wrong_method);
    layers::around(routes, app)
}
