//! The OpenAPI document: what no single route says.

use std::collections::BTreeMap;

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Response,
    ResponseBuilder,
};
use utoipa::{IntoResponses, PartialSchema};

use crate::problem::ProblemDocument;

/// The document before the routes are added.
pub(crate) fn base() -> OpenApi {
    let info = InfoBuilder::new()
        .title("leasectl")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Durable background jobs over Git repositories under owner-scoped leases. A 202 means \
             that the job is committed. Every error is a problem document (RFC 9457).",
        ))
        .build();
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    OpenApiBuilder::new()
        .info(info)
        .components(Some(
            ComponentsBuilder::new()
                .schema("Problem", ProblemDocument::schema())
                .security_scheme("token", bearer)
                .build(),
        ))
        .security(Some([SecurityRequirement::new("token", [] as [&str; 0])]))
        .build()
}

/// The answers that every route may give beside its own.
pub(crate) struct Problems;

impl IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let document = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name("Problem")))
            .build();
        let response = ResponseBuilder::new()
            .description("Any error: `code` says which, `detail` what to do")
            .content("application/problem+json", document)
            .build();
        BTreeMap::from([("default".to_owned(), RefOr::T(response))])
    }
}
