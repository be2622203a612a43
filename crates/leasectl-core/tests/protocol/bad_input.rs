//! Input that slipped through a caller's own checks still changes nothing.

use leasectl_core::job::{self, JobFilter};
use leasectl_core::repository;
use leasectl_core::repository::RepoRef;
use uuid::Uuid;

use crate::fixture::Fixture;

#[tokio::test]
async fn unknown_ids_are_not_found() {
    let fixture = Fixture::new().await;
    let nobody = Uuid::from_u128(1);
    assert!(
        job::find(&fixture.database, nobody.into())
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(
        job::cancel(&fixture.database, nobody.into()).await.unwrap(),
        job::CancelOutcome::NotFound
    );
    assert_eq!(
        job::retry(&fixture.database, nobody.into()).await.unwrap(),
        job::RetryOutcome::NotFound
    );
    let wanted = RepoRef::Id(nobody.into());
    assert!(
        repository::find(&fixture.database, &wanted)
            .await
            .unwrap()
            .is_none()
    );
    let filter = JobFilter {
        repo_id: Some(nobody.into()),
        ..JobFilter::default()
    };
    assert!(
        job::list(&fixture.database, &filter, 10, None)
            .await
            .unwrap()
            .items
            .is_empty()
    );
}

#[tokio::test]
async fn an_empty_batch_is_accepted_as_nothing() {
    let fixture = Fixture::new().await;
    assert!(
        job::enqueue(&fixture.database, &[])
            .await
            .unwrap()
            .is_empty()
    );
}
