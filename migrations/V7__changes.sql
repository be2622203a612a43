-- The changes of a repository, such as pull requests: what the last fetch saw of them, what each one changes, and
-- how far the backfill is. Nothing here is read or written by older workers, which go on as before.
--
--   repository ─▶ change_inventory          one row: what the last fetch saw, written by fetches
--              ├▶ backfill                  one row: the mode and the pass, written by backfills
--              ├▶ change ─▶ change_snapshot ─▶ change_file, change_commit
--              │         └▶ change_failure  why a change could not be studied
--              └▶ history_commit ─▶ history_file    the commits of the default branch
--
-- Fetches and backfills of a repository write at the same time. They share rows of change only: whoever deletes
-- some, or writes what hangs below them, first locks them in the order of their ids.

-- ── What the last fetch saw ───────────────────────────────────────────────────────────────────

create table leasectl.change_inventory (
  repo_id       uuid        not null references leasectl.repository (id) on delete cascade,
  -- Counts the inventories that differed from the one before.
  generation    bigint      not null,
  -- The head of the default branch, with which changes are compared; null when there is none.
  default_head  bytea,
  recorded_at   timestamptz not null default now(),
  constraint change_inventory_pkey primary key (repo_id),
  constraint change_inventory_default_head_length check (octet_length(default_head) in (20, 32))
);

create table leasectl.change (
  id             bigint      generated always as identity,
  repo_id        uuid        not null references leasectl.repository (id) on delete cascade,
  -- Whose refs they are: refs/pull/, refs/merge-requests/, or refs/changes/.
  family         text        not null,
  number         bigint      not null,
  ref            text        not null,
  -- 20 bytes are SHA-1, 32 are SHA-256.
  head           bytea       not null,
  -- What the forge made by merging it into its target, where it says so in a ref.
  test_merge     bytea,
  -- When a fetch found another head than before; null when none has since the change was first seen.
  head_moved_at  timestamptz,
  constraint change_pkey primary key (id),
  constraint change_key unique (repo_id, family, number),
  constraint change_family_known check (family in ('gerrit', 'merge_request', 'pull')),
  constraint change_number_positive check (number >= 0),
  constraint change_head_length check (octet_length(head) in (20, 32)),
  constraint change_test_merge_length check (octet_length(test_merge) in (20, 32))
) with (fillfactor = 80);

-- ── What each change changes ──────────────────────────────────────────────────────────────────

create table leasectl.change_snapshot (
  change_id     bigint      not null references leasectl.change (id) on delete cascade,
  -- What was studied: this head, this test merge, beside this head of the default branch.
  head          bytea       not null,
  test_merge    bytea,
  default_head  bytea,
  -- backfill.epoch at that time.
  epoch         integer     not null,
  -- The commit of the target with which it was compared, and their best common ancestor; null for none.
  base          bytea,
  merge_base    bytea,
  open          boolean     not null,
  -- What the whole change does, without line numbers: equal patches have equal digests.
  digest        bytea,
  -- Of the whole change, also where a limit kept some of it out of the tables below.
  commit_count  bigint      not null,
  file_count    bigint      not null,
  additions     bigint      not null,
  deletions     bigint      not null,
  -- Which limits did, such as too_many_files.
  limits        text[]      not null default '{}',
  studied_at    timestamptz not null default now(),
  -- When it was last found to be as it was.
  checked_at    timestamptz not null default now(),
  constraint change_snapshot_pkey primary key (change_id),
  constraint change_snapshot_counted check (least(commit_count, file_count, additions, deletions) >= 0)
) with (fillfactor = 80);

-- A number for a path of a repository, by which files are found that other changes touch. Equal paths have equal
-- numbers; who looks compares the paths too.
create function leasectl.change_path_key(repo_id uuid, path text) returns bigint
language sql immutable parallel safe as $$
  select hashtextextended(path collate "C", uuid_hash_extended(repo_id, 0))
$$;

create table leasectl.change_file (
  change_id     bigint   not null references leasectl.change_snapshot (change_id) on delete cascade,
  ord           integer  not null,
  path          text     collate "C" not null,
  old_path      text     collate "C",
  status        text     not null,
  -- Lines; null for content that has none.
  additions     integer,
  deletions     integer,
  -- The new content; of a deleted file the old one.
  blob          bytea,
  -- Four numbers for each hunk: old start, old lines, new start, new lines. Null for none. In the row of the file,
  -- since a row for each hunk would take six times the space.
  hunks         integer[],
  path_key      bigint   not null,
  old_path_key  bigint,
  constraint change_file_pkey primary key (change_id, ord),
  constraint change_file_status_known check
    (status in ('added', 'modified', 'deleted', 'renamed', 'copied', 'type_changed')),
  constraint change_file_hunks_of_four check (cardinality(hunks) % 4 = 0)
);
-- Which other changes touch a path.
create index change_file_path on leasectl.change_file (path_key);
create index change_file_old_path on leasectl.change_file (old_path_key) where old_path_key is not null;

create table leasectl.change_commit (
  change_id     bigint      not null references leasectl.change_snapshot (change_id) on delete cascade,
  ord           integer     not null,
  oid           bytea       not null,
  parents       bytea[]     not null,
  author_name   text        not null,
  author_email  text        not null,
  authored_at   timestamptz not null,
  committed_at  timestamptz not null,
  summary       text        not null,
  constraint change_commit_pkey primary key (change_id, ord)
);

-- A change that could not be studied. It counts only while the change has this head.
create table leasectl.change_failure (
  change_id  bigint      not null references leasectl.change (id) on delete cascade,
  repo_id    uuid        not null,
  head       bytea       not null,
  -- Since somebody asked, where somebody did.
  tries      smallint    not null,
  -- When it is tried again; null: it is parked, until somebody asks.
  retry_at   timestamptz,
  error      jsonb       not null,
  failed_at  timestamptz not null default now(),
  constraint change_failure_pkey primary key (change_id),
  constraint change_failure_tried check (tries >= 0)
);
create index change_failure_retry on leasectl.change_failure (repo_id, retry_at) where retry_at is not null;

-- ── The backfill ──────────────────────────────────────────────────────────────────────────────

create table leasectl.backfill (
  repo_id            uuid        not null references leasectl.repository (id) on delete cascade,
  -- What the latest word says; null as long as nobody said one.
  mode               text,
  said_at            timestamptz,
  -- The priority of the jobs that follow from fetches and passes.
  priority           smallint    not null default 0,
  -- Counts how often the default branch was rewritten. What was studied in an earlier epoch may be open again.
  epoch              integer     not null default 0,
  -- The head of the default branch in this epoch, as of the last pass.
  default_head       bytea,
  -- All commits up to this one are in history_commit; null: not known.
  history_head       bytea,
  -- The pass: of this inventory, in this mode, and how far it has come.
  pass_generation    bigint,
  pass_mode          text,
  pass_is_open       boolean     not null default false,
  cursor_family      text,
  cursor_number      bigint,
  cursor_updated_at  timestamptz,
  started_at         timestamptz,
  finished_at        timestamptz,
  constraint backfill_pkey primary key (repo_id),
  constraint backfill_mode_known check (mode in ('off', 'open_only', 'open_and_recent', 'full_history')),
  constraint backfill_mode_was_said check ((mode is null) = (said_at is null)),
  constraint backfill_priority_in_range check (priority between -100 and 100),
  constraint backfill_cursor_is_whole check ((cursor_family is null) = (cursor_number is null))
) with (fillfactor = 50);

-- ── The history of the default branch ─────────────────────────────────────────────────────────

create table leasectl.history_commit (
  id            bigint      generated always as identity,
  repo_id       uuid        not null references leasectl.repository (id) on delete cascade,
  oid           bytea       not null,
  -- backfill.epoch when it was last seen: a commit of an earlier epoch may be gone.
  epoch         integer     not null,
  parents       bytea[]     not null,
  author_name   text        not null,
  author_email  text        not null,
  authored_at   timestamptz not null,
  committed_at  timestamptz not null,
  summary       text        not null,
  limits        text[]      not null default '{}',
  constraint history_commit_pkey primary key (id),
  constraint history_commit_key unique (repo_id, oid),
  constraint history_commit_oid_length check (octet_length(oid) in (20, 32))
);

create table leasectl.history_file (
  commit_id  bigint   not null references leasectl.history_commit (id) on delete cascade,
  ord        integer  not null,
  path       text     collate "C" not null,
  old_path   text     collate "C",
  status     text     not null,
  additions  integer,
  deletions  integer,
  constraint history_file_pkey primary key (commit_id, ord),
  constraint history_file_status_known check
    (status in ('added', 'modified', 'deleted', 'renamed', 'copied', 'type_changed'))
);

-- ── Where each change stands ──────────────────────────────────────────────────────────────────

-- Every change with what is known of it. All that decides what is stale is here, once.
-- A closed change that was compared with a commit of the past stays what it was, however far the default branch
-- goes; one that was compared with the branch's head, and every open one, is to be looked at again.
create view leasectl.change_state as
select c.id as change_id, c.repo_id, c.family, c.number, c.ref, c.head, c.test_merge, c.head_moved_at,
       s.head as studied_head, s.test_merge as studied_test_merge, s.default_head as studied_default_head,
       s.base, s.merge_base, s.open, s.commit_count, s.file_count, s.additions, s.deletions, s.limits,
       s.studied_at, s.checked_at, d.studied_freshness, d.is_openness_known,
       case when f.head = c.head and d.studied_freshness is distinct from 'current' then 'failed'
            else d.studied_freshness end as freshness,
       case when f.head = c.head then f.tries else 0::smallint end as tries,
       coalesce(f.head = c.head and f.retry_at is null, false) as is_parked,
       case when f.head = c.head then f.retry_at end as retry_at,
       case when f.head = c.head then f.error end as error
  from leasectl.change c
  left join leasectl.change_inventory i on i.repo_id = c.repo_id
  left join leasectl.backfill b on b.repo_id = c.repo_id
  left join leasectl.change_snapshot s on s.change_id = c.id
  left join leasectl.change_failure f on f.change_id = c.id
 cross join lateral (
   select s.epoch = coalesce(b.epoch, 0) and s.test_merge is not distinct from c.test_merge as is_openness_known) k
 cross join lateral (
   select k.is_openness_known,
          case when s.change_id is null then null
               when s.head <> c.head then 'stale_head_changed'
               when not k.is_openness_known then 'stale_base_moved'
               when s.default_head is distinct from i.default_head
                and (s.open or s.base is not distinct from s.default_head) then 'stale_base_moved'
               else 'current' end as studied_freshness) d;

-- ── Public views ──────────────────────────────────────────────────────────────────────────────

-- The changes of a repository. What was not studied yet is null, freshness too. The facts are those of
-- studied_head, which is not head while freshness is stale_head_changed.
create view leasectl.changes as
select c.repo_id, c.family, c.number, c.ref, encode(c.head, 'hex') as head,
       encode(c.studied_head, 'hex') as studied_head, encode(c.base, 'hex') as base,
       encode(c.merge_base, 'hex') as merge_base, c.open, c.freshness, c.commit_count as commits,
       c.file_count as files_changed, c.additions, c.deletions, c.limits, c.head_moved_at, c.studied_at,
       c.checked_at, c.tries, c.is_parked as parked, c.retry_at, c.error as last_error
  from leasectl.change_state c;

create view leasectl.change_files as
select c.repo_id, c.family, c.number, f.ord, f.path, f.old_path, f.status, f.additions, f.deletions,
       encode(f.blob, 'hex') as blob
  from leasectl.change c
  join leasectl.change_file f on f.change_id = c.id;

create view leasectl.change_hunks as
select c.repo_id, c.family, c.number, f.ord as file_ord, f.path, h.ord, h.old_start, h.old_lines, h.new_start,
       h.new_lines
  from leasectl.change c
  join leasectl.change_file f on f.change_id = c.id
 cross join lateral (
   select ((n.place - 1) / 4)::integer as ord,
          max(n.value) filter (where n.place % 4 = 1) as old_start,
          max(n.value) filter (where n.place % 4 = 2) as old_lines,
          max(n.value) filter (where n.place % 4 = 3) as new_start,
          max(n.value) filter (where n.place % 4 = 0) as new_lines
     from unnest(f.hunks) with ordinality n(value, place)
    group by (n.place - 1) / 4) h
 where f.hunks is not null;

create view leasectl.change_commits as
select c.repo_id, c.family, c.number, m.ord, encode(m.oid, 'hex') as commit,
       array(select encode(p.oid, 'hex') from unnest(m.parents) with ordinality p(oid, place) order by p.place)
         as parents,
       m.author_name, m.author_email, m.authored_at, m.committed_at, m.summary
  from leasectl.change c
  join leasectl.change_commit m on m.change_id = c.id;

-- The commits of the default branch, in mode full_history. After the branch was rewritten, those that are gone
-- stay until a pass has walked it anew.
create view leasectl.commits as
select m.repo_id, encode(m.oid, 'hex') as commit,
       array(select encode(p.oid, 'hex') from unnest(m.parents) with ordinality p(oid, place) order by p.place)
         as parents,
       m.author_name, m.author_email, m.authored_at, m.committed_at, m.summary, m.limits
  from leasectl.history_commit m;

create view leasectl.commit_files as
select m.repo_id, encode(m.oid, 'hex') as commit, f.ord, f.path, f.old_path, f.status, f.additions, f.deletions
  from leasectl.history_commit m
  join leasectl.history_file f on f.commit_id = m.id;
