//! The status page: one static document whose script reads the same routes as any other client.
//!
//! The page itself is open and holds no data; the reader's token goes from a field of the page to
//! the API and stays in the browser's tab.

use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::IntoResponse;
use uuid::Uuid;

const PAGE: &str = include_str!("../page.html");

/// The status page.
#[utoipa::path(
    operation_id = "page",
    get, path = "/", tag = "service", security(()),
    responses((status = 200, description = "The page", content_type = "text/html", body = String))
)]
pub(crate) async fn page() -> impl IntoResponse {
    // Only this answer's own script and style run: the nonce is random and used once.
    let nonce = Uuid::new_v4().simple().to_string();
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (CONTENT_SECURITY_POLICY, policy),
    ];
    (headers, PAGE.replace("{nonce}", &nonce))
}
