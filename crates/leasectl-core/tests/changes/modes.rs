//! Which changes each mode keeps current, and whose word counts.

use leasectl_core::changes::{self, Begun, Budget, Due, Mode, Outcome};
use leasectl_core::job::{EnqueueRequest, PublicState};
use leasectl_core::kind::{BACKFILL, Lane};

use crate::fixture::{done, urgent};
use crate::world::{MAIN, World, entries, file, odd_ones_merged, oid, open_change, snapshot};

/// A change that was squashed: closed, and compared with the head of the default branch.
fn squashed(_: &Due) -> Outcome {
    Outcome::Snapshot(Box::new(snapshot(false, vec![file("a", &[])])))
}

fn unchanged(due: &Due) -> Outcome {
    let known = due.known.expect("it was studied before");
    assert_eq!(known.head, due.head);
    Outcome::Unchanged {
        base: Some(oid(MAIN + 1)),
    }
}

impl World {
    async fn say(&self, mode: Mode) {
        let said = changes::set_mode(&self.fixture.database, self.repo, mode, urgent(7)).await;
        assert!(said.unwrap());
    }

    async fn mode(&self) -> Option<Mode> {
        let setting = changes::setting(&self.fixture.database, self.repo).await;
        setting.unwrap().map(|setting| setting.mode)
    }
}

#[tokio::test]
async fn when_the_default_branch_moves_the_open_ones_are_looked_at_again() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(6)).await;
    world.run(Mode::OpenOnly, odd_ones_merged).await;
    let closed = "select string_agg(s.ctid::text || s.xmin, ',' order by c.number) from leasectl.change c \
                    join leasectl.change_snapshot s on s.change_id = c.id where not s.open";
    let before = world.texts(closed).await;
    world.fetch(MAIN + 1, &entries(6)).await;
    let stale = "stale_base_moved";
    let expected = ["current", stale, "current", stale, "current", stale];
    assert_eq!(world.freshness().await, expected);
    for mode in [Mode::OpenOnly, Mode::FullHistory] {
        let studied = world.run(mode, unchanged).await;
        let expected: &[i64] = if mode == Mode::OpenOnly {
            &[2, 4, 6]
        } else {
            &[]
        };
        assert_eq!(studied, expected);
    }
    assert_eq!(world.freshness().await, ["current"; 6]);
    assert_eq!(world.texts(closed).await, before);
    let base = world
        .texts("select base from leasectl.changes where number = 2")
        .await;
    assert_eq!(base, [oid(MAIN + 1).to_string()]);
}

#[tokio::test]
async fn closed_ones_that_the_branch_outran_are_kept_current_as_the_mode_says() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(4)).await;
    let mut moved = entries(4);
    moved[0].head = oid(71);
    moved[1].head = oid(72);
    world.fetch(MAIN, &moved).await;
    world.run(Mode::OpenOnly, squashed).await;
    let age = "update leasectl.change set head_moved_at = now() - interval '7 days 1 minute' where number = 1";
    world.fixture.execute(age, &[]).await;
    let age = "update leasectl.change set head_moved_at = now() - interval '6 days 23 hours' where number = 2";
    world.fixture.execute(age, &[]).await;

    world.fetch(MAIN + 1, &moved).await;
    assert_eq!(world.freshness().await, ["stale_base_moved"; 4]);
    assert!(world.run(Mode::OpenOnly, unchanged).await.is_empty());
    assert_eq!(world.run(Mode::OpenAndRecent, unchanged).await, [2]);
    assert_eq!(world.run(Mode::FullHistory, unchanged).await, [1, 3, 4]);
    assert_eq!(world.freshness().await, ["current"; 4]);
}

#[tokio::test]
async fn a_head_that_moved_is_studied_in_every_mode() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(2)).await;
    world.run(Mode::OpenOnly, odd_ones_merged).await;
    let mut next = entries(2);
    next[0].head = oid(77);
    world.fetch(MAIN, &next).await;
    assert_eq!(world.freshness().await, ["stale_head_changed", "current"]);
    assert_eq!(world.run(Mode::OpenOnly, odd_ones_merged).await, [1]);
}

#[tokio::test]
async fn a_test_merge_that_moved_is_another_base() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(2)).await;
    world.run(Mode::OpenOnly, odd_ones_merged).await;
    let mut next = entries(2);
    next[0].test_merge = Some(oid(77));
    world.fetch(MAIN, &next).await;
    assert_eq!(world.freshness().await, ["stale_base_moved", "current"]);
    assert_eq!(world.run(Mode::OpenOnly, odd_ones_merged).await, [1]);
    assert_eq!(world.freshness().await, ["current", "current"]);
}

#[tokio::test]
async fn a_change_that_was_studied_without_its_test_merge_stays_due_and_is_looked_at_again() {
    let world = World::new().await;
    let mut tested = entries(2);
    tested[0].test_merge = Some(oid(77));
    world.fetch(MAIN, &tested).await;
    let lease = world.backfill("me", Mode::OpenOnly).await;
    let pass = world.pass(&lease, Mode::OpenOnly).await;
    let mut due = world.due(&pass).await;
    assert_eq!(due[0].test_merge.take(), Some(oid(77)));
    world.record(&lease, &pass, due, open_change).await;
    assert_eq!(world.freshness().await, ["stale_base_moved", "current"]);
    let follows = world.finish(&lease, &pass).await.expect("a job follows");
    let job = world.fixture.job(follows.job_id).await;
    assert!(job.not_before > Some(job.created_at), "{job:?}");
    world.fixture.settle(lease.complete(done())).await;
    assert_eq!(world.run(Mode::OpenOnly, unchanged).await, [1]);
    assert_eq!(world.freshness().await, ["current", "current"]);
    // The next one is gone as well. What was found with the last is kept, and looked at again.
    tested[0].test_merge = Some(oid(78));
    world.fetch(MAIN, &tested).await;
    let lease = world.backfill("me", Mode::OpenOnly).await;
    let pass = world.pass(&lease, Mode::OpenOnly).await;
    let mut due = world.due(&pass).await;
    due[0].test_merge = due[0].known.expect("it was studied").test_merge;
    assert_eq!(due[0].test_merge, Some(oid(77)));
    world.record(&lease, &pass, due, unchanged).await;
    assert_eq!(world.freshness().await, ["stale_base_moved", "current"]);
    assert!(world.finish(&lease, &pass).await.is_some());
    world.fixture.settle(lease.complete(done())).await;
    assert_eq!(world.run(Mode::OpenOnly, unchanged).await, [1]);
    // Now that nothing is left, nothing follows.
    let lease = world.backfill("me", Mode::OpenOnly).await;
    let pass = world.pass(&lease, Mode::OpenOnly).await;
    assert!(world.finish(&lease, &pass).await.is_none());
}

#[tokio::test]
async fn after_a_rewrite_of_the_default_branch_every_change_may_be_open_again() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(4)).await;
    world.run(Mode::OpenOnly, odd_ones_merged).await;
    world.fetch(MAIN + 1, &entries(4)).await;
    let lease = world.backfill("me", Mode::OpenOnly).await;
    let fence = lease.fence();
    let mut client = world.fixture.client().await;
    let fenced = fence.begin(&mut client).await.unwrap();
    let begun = changes::begin_pass(&fenced, world.repo, Mode::OpenOnly).await;
    let Begun::Pass(pass) = begun.unwrap() else {
        panic!("no pass began")
    };
    assert_eq!(pass.previous_default_head, Some(oid(MAIN)));
    assert_eq!(pass.default_head, Some(oid(MAIN + 1)));
    let pass = changes::confirm_default(&fenced, pass, true).await.unwrap();
    assert_eq!(pass.epoch, 1);
    fenced.commit().await.unwrap();
    drop(client);
    let due = world.due(&pass).await;
    assert_eq!(due.len(), 4);
    world.record(&lease, &pass, due, open_change).await;
    assert_eq!(world.freshness().await, ["current"; 4]);
    world.fixture.settle(lease.complete(done())).await;
    assert!(world.run(Mode::OpenOnly, open_change).await.is_empty());
}

#[tokio::test]
async fn a_fetch_is_followed_by_a_backfill_in_the_mode_that_was_said() {
    let world = World::new().await;
    let (_, nothing) = world.fetch(MAIN, &entries(1)).await;
    assert!(nothing.is_empty(), "nobody said a mode");
    assert_eq!(world.mode().await, None);
    world.say(Mode::Off).await;
    assert!(world.fetch(MAIN, &entries(2)).await.1.is_empty());
    world.say(Mode::OpenAndRecent).await;
    assert!(world.fetch(MAIN, &entries(2)).await.1.is_empty());
    let (_, follows) = world.fetch(MAIN, &entries(3)).await;
    let job = world.fixture.job(follows[0].job_id).await;
    assert_eq!(job.args, serde_json::json!({"mode": "open_and_recent"}));
    assert_eq!((job.priority, job.state), (7, PublicState::Queued));
    // The next one is the same job as long as nobody has claimed it.
    let (_, again) = world.fetch(MAIN, &entries(4)).await;
    assert_eq!(again[0].job_id, follows[0].job_id);
    assert!(again[0].deduplicated);
}

#[tokio::test]
async fn the_later_word_wins() {
    let world = World::new().await;
    world.fetch(MAIN, &entries(2)).await;
    // A job that was accepted before somebody switched it off.
    let lease = world.backfill("me", Mode::FullHistory).await;
    world.say(Mode::Off).await;
    assert_eq!(world.begin(&lease, Mode::FullHistory).await, Begun::Off);
    world.fixture.settle(lease.complete(done())).await;
    assert_eq!(world.mode().await, Some(Mode::Off));

    let lease = world.backfill("me", Mode::OpenOnly).await;
    let pass = world.pass(&lease, Mode::OpenOnly).await;
    assert_eq!(pass.mode, Mode::OpenOnly);
    assert_eq!(world.mode().await, Some(Mode::OpenOnly));
    // Somebody says another word while it runs: what goes on, goes on in that mode, or not at all.
    for (mode, goes_on) in [(Mode::FullHistory, true), (Mode::Off, false)] {
        world.say(mode).await;
        let fence = lease.fence();
        let mut client = world.fixture.client().await;
        let fenced = fence.begin(&mut client).await.unwrap();
        let next = changes::pause_pass(&fenced, &pass, Budget::default()).await;
        let next = next.unwrap();
        fenced.commit().await.unwrap();
        drop(client);
        assert_eq!(next.is_some(), goes_on);
        if let Some(next) = next {
            let job = world.fixture.job(next.job_id).await;
            assert_eq!(job.args, mode.args(Budget::default()).as_json().clone());
        }
    }
    world.fixture.settle(lease.complete(done())).await;
    // The job that repeated the earlier word does not bring it back.
    let client = world.fixture.client().await;
    leasectl_core::lease::sweep(&client).await.unwrap();
    let lease = world.claim("me", Lane::Backfill, BACKFILL.name).await;
    assert_eq!(world.begin(&lease, Mode::FullHistory).await, Begun::Off);
}

#[tokio::test]
async fn a_job_that_repeats_the_mode_does_not_undo_the_word_of_a_queued_one() {
    for (said, follows) in [(Mode::Off, false), (Mode::FullHistory, true)] {
        let world = World::new().await;
        world.fetch(MAIN, &entries(2)).await;
        let lease = world.backfill("me", Mode::OpenOnly).await;
        let pass = world.pass(&lease, Mode::OpenOnly).await;
        // Somebody says another mode with a job, which waits until the running one is done.
        let word = EnqueueRequest::new(world.repo, &BACKFILL, said.args(Budget::default()));
        let word = world.fixture.enqueue_as(word).await.job_id;
        let (_, of_fetch) = world.fetch(MAIN, &entries(3)).await;
        let of_pass = world.finish(&lease, &pass).await;
        world.fixture.settle(lease.complete(done())).await;
        let repeated: Vec<_> = of_fetch.into_iter().chain(of_pass).collect();
        assert_eq!(!repeated.is_empty(), follows, "{said}");
        assert!(repeated.iter().all(|job| job.job_id == word), "{said}");
        let lease = world.claim("me", Lane::Backfill, BACKFILL.name).await;
        world.begin(&lease, said).await;
        assert_eq!(world.mode().await, Some(said));
    }
}

#[tokio::test]
async fn nobody_can_say_a_mode_for_a_repository_that_is_not_there() {
    let world = World::new().await;
    let nobody = uuid::Uuid::from_u128(7).into();
    let said = changes::set_mode(&world.fixture.database, nobody, Mode::OpenOnly, urgent(0)).await;
    assert!(!said.unwrap());
}

#[tokio::test]
async fn an_unknown_mode_is_refused_by_the_database_too() {
    let world = World::new().await;
    let client = world.fixture.client().await;
    let enqueue = "select leasectl.enqueue($1, 'backfill', $2::text::jsonb)";
    let repo = world.repo.to_string();
    for bad in [
        "{}",
        r#"{"mode": "all"}"#,
        r#"{"mode": "off", "max_changes": 0}"#,
    ] {
        assert!(
            client.execute(enqueue, &[&repo, &bad]).await.is_err(),
            "{bad}"
        );
    }
    let good = r#"{"mode": "full_history", "max_runtime_s": 60}"#;
    client.execute(enqueue, &[&repo, &good]).await.unwrap();
    let bad = serde_json::json!({"mode": "all"});
    assert!(
        world
            .fixture
            .kinds
            .canonical_args("backfill", &bad)
            .is_err()
    );
    let request = EnqueueRequest::new(
        world.repo,
        &BACKFILL,
        Mode::OpenOnly.args(Budget::default()),
    );
    world.fixture.enqueue_as(request).await;
}
