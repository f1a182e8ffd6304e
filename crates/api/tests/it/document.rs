//! The OpenAPI document that is checked in is the one that is served.

use std::path::Path;

use axum::http::Method;

use crate::support::Service;

#[tokio::test]
async fn the_document_in_docs_is_the_one_that_is_served() {
    let served = Service::start().await.call(Method::GET, "/openapi.json", "", None).await;
    assert_eq!(served.header("content-type"), "application/json");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    if std::env::var_os("REDTROVE_WRITE_OPENAPI").is_some() {
        std::fs::write(&path, format!("{}\n", served.text)).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    assert!(
        kept == format!("{}\n", served.text),
        "docs/openapi.json is not what the code says: run this test with REDTROVE_WRITE_OPENAPI=1 and look at the difference"
    );
}
