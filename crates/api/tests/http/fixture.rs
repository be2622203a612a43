//! A service over a database of its own, and answers that are checked for what all must have.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use leasectl_api::{Access, Service, WebhookSecrets, router};
use leasectl_core::database::{Database, DatabaseUrl, PoolOptions};
use leasectl_core::ids::Owner;
use leasectl_core::kind::{Kinds, Lane};
use leasectl_core::lease::{ClaimRequest, Lease, LeaseSettings, Settlement, claim, settle};
use leasectl_core::migrations;
use leasectl_embedded::scratch;
use leasectl_remote::Locality;
use leasectl_service::install_metrics;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Words that no answer may hold: they would come from a cause.
const LEAKS: [&str; 9] = [
    "leasectl.",
    "select ",
    "insert ",
    "relation ",
    "src/",
    "panicked",
    "postgres",
    "/tmp",
    "tokio",
];

/// A service over a database of its own.
pub(crate) struct Api {
    pub(crate) router: Router,
    pub(crate) database: Database,
    pub(crate) stopping: CancellationToken,
}

impl Api {
    /// Without tokens, on the server that all tests of this process share.
    pub(crate) async fn start() -> Self {
        Self::with_access(Access::from_list("")).await
    }

    pub(crate) async fn with_access(access: Access) -> Self {
        let create = || scratch::shared().unwrap().create_database().unwrap();
        let url = tokio::task::spawn_blocking(create).await.unwrap();
        Self::over(&url, access).await
    }

    /// With secrets for webhooks.
    pub(crate) async fn with_webhooks(secrets: WebhookSecrets) -> Self {
        let create = || scratch::shared().unwrap().create_database().unwrap();
        let url = tokio::task::spawn_blocking(create).await.unwrap();
        // Webhooks need no token where all else does.
        let access = Access::from_list("a-token-0123456789");
        Self::built(&url, access, secrets).await
    }

    /// Over the database of this URL.
    pub(crate) async fn over(url: &str, access: Access) -> Self {
        Self::built(url, access, WebhookSecrets::default()).await
    }

    async fn built(url: &str, access: Access, secrets: WebhookSecrets) -> Self {
        let url = DatabaseUrl::parse(url).unwrap();
        let options = PoolOptions {
            max_size: 8,
            application_name: "api test".to_owned(),
        };
        let database = Database::connect(&url, options).await.unwrap();
        migrations::apply(&database, &Kinds::standard())
            .await
            .unwrap();
        let stopping = CancellationToken::new();
        let metrics = install_metrics(&Kinds::standard()).unwrap();
        let service = Service::new(
            database.clone(),
            Locality::PublicOnly,
            secrets,
            metrics,
            stopping.clone(),
        );
        Self {
            router: router(service, access),
            database,
            stopping,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], Body::empty()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_text(path, body.to_string()).await
    }

    pub(crate) async fn post_text(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.send(
            Method::POST,
            path,
            &[("content-type", "application/json")],
            body.into(),
        )
        .await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 64 << 20).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
        .checked()
    }

    /// Registers a repository of that name and returns its id.
    pub(crate) async fn repository(&self, name: &str) -> String {
        let body = json!({"git_url": format!("https://git.example.com/{name}.git"), "name": name});
        let answer = self.post("/v1/repos", &body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// Enqueues a fetch and returns the job's id.
    pub(crate) async fn job(&self, repo: &str) -> String {
        let answer = self
            .post("/v1/jobs", &json!({"repo": repo, "kind": "fetch"}))
            .await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()["job_id"].as_str().unwrap().to_owned()
    }

    /// Claims a fetch as a worker would.
    pub(crate) async fn claim(&self) -> Lease {
        self.claim_as(&Owner::of_this_process()).await
    }

    /// Claims a fetch as this worker would.
    pub(crate) async fn claim_as(&self, owner: &Owner) -> Lease {
        let client = self.database.client().await.unwrap();
        let request = ClaimRequest {
            slots: &[(Lane::Fetch, 1)],
            kinds: &["fetch"],
        };
        let settings = LeaseSettings::default();
        let leases = claim(&client, owner, &settings, &request).await.unwrap();
        leases.into_iter().next().unwrap()
    }

    /// Ends leases as a worker would.
    pub(crate) async fn settle(&self, settlement: Settlement) {
        let client = self.database.client().await.unwrap();
        settle(&client, &[settlement]).await.unwrap();
    }

    /// How many rows there are of everything that a request could make.
    pub(crate) async fn rows(&self) -> [i64; 3] {
        let client = self.database.client().await.unwrap();
        let row = client
            .query_one(
                "select (select count(*) from leasectl.job), \
                        (select count(*) from leasectl.job_history), \
                        (select count(*) from leasectl.repository)",
                &[],
            )
            .await
            .unwrap();
        [row.get(0), row.get(1), row.get(2)]
    }
}

/// An answer that was checked for what all must have.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap().to_owned()
    }

    fn checked(self) -> Self {
        let id = self
            .headers
            .get("x-request-id")
            .expect("every answer has an id");
        assert_eq!(self.headers["x-content-type-options"], "nosniff");
        if self.status.is_success() {
            return self;
        }
        assert_eq!(
            self.headers["content-type"], "application/problem+json",
            "{self:?}"
        );
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        assert_eq!(problem["request_id"], id.to_str().unwrap());
        for field in ["type", "title", "detail", "code"] {
            assert!(
                problem[field].as_str().is_some_and(|text| !text.is_empty()),
                "{problem}"
            );
        }
        let text = problem.to_string().to_lowercase();
        for leak in LEAKS {
            assert!(!text.contains(leak), "{leak:?} leaks in {text}");
        }
        self
    }
}
