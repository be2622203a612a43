-- Webhooks and schedules: what forges delivered, and when a repository is to be fetched unasked.
-- Every column may be null or has its default, and older workers neither set nor read them: a fetch of
-- theirs leaves a repository dirty, and due as it was, until the next one.

-- The deliveries of the last days, so that a forge may send one again without effect. A delivery for no
-- registered repository is not kept: sent again once there is one, it counts.
create table leasectl.webhook_delivery (
  forge        text        not null,
  delivery_id  text        not null,
  received_at  timestamptz not null default now(),
  -- A repository that it was for. No reference: its check would lock the repository's row for each delivery.
  repo_id      uuid        not null,
  constraint webhook_delivery_pkey primary key (forge, delivery_id),
  constraint webhook_delivery_forge_known check (forge in ('github', 'gitlab', 'gitea'))
);

-- The oldest are forgotten first.
create index webhook_delivery_received_at on leasectl.webhook_delivery (received_at);

alter table leasectl.repository
  -- Since when a fetch has been wanted that nobody has made; null when there is none such.
  add column dirty_since              timestamptz,
  -- To the second: a storm of deliveries writes it once a second.
  add column last_webhook_at          timestamptz,
  -- When a webhook or the schedule last asked for a fetch.
  add column last_requested_fetch_at  timestamptz,
  -- Before this moment no webhook starts another fetch.
  add column fetch_spaced_until       timestamptz,
  -- When a repository that has fetch_every is to be fetched unasked.
  add column fetch_due_at             timestamptz not null default '-infinity',
  -- Fetches in a row that found nothing new.
  add column fetches_unchanged        integer     not null default 0,
  -- Fetches in a row that ended in an error.
  add column fetches_failed           integer     not null default 0,
  add constraint repository_fetches_counted check (fetches_unchanged >= 0 and fetches_failed >= 0);

-- Whatever was due before is due as before.
update leasectl.repository r
   set fetch_due_at = r.last_successful_fetch_at + r.fetch_every
 where r.fetch_every is not null and r.last_successful_fetch_at is not null;

-- The schedule reads this from its head.
create index repository_fetch_due on leasectl.repository (fetch_due_at) where fetch_every is not null;

-- Host and path of a remote, by which a forge's word for a repository is matched with the registered one:
-- neither scheme, user nor port tells repositories of one forge apart, nor does an ending `.git` or the case.
create function leasectl.forge_path(git_url text) returns text
language sql immutable strict parallel safe
set search_path = pg_catalog, pg_temp as $$
  select regexp_replace(lower(git_url), '^[a-z]+://(?:[^/@]*@)?([^/:]+)(?::[0-9]+)?/(.*?)(?:\.git)?/?$', '\1/\2')
$$;

-- A delivery finds its repository by this.
create index repository_forge_path on leasectl.repository (leasectl.forge_path(git_url));

-- How long after a fetch a repository is due again. One whose last fetches found nothing new is fetched
-- less often, every third such fetch half as often, down to an eighth; one that cannot be fetched waits twice as
-- long after each failure. Neither makes it wait for longer than a day, unless fetch_every is longer itself.
-- Up to a tenth is taken off, the same for a repository each time, so that those that were registered
-- together are not fetched together.
create function leasectl.fetch_pause(repo_id uuid, fetch_every interval, unchanged integer, failed integer)
returns interval language sql immutable strict parallel safe
set search_path = pg_catalog, pg_temp as $$
  select greatest(fetch_every,
                  least(interval '1 day',
                        fetch_every * case when failed > 0 then 2 ^ least(failed, 20)
                                           else 2 ^ least(unchanged / 3, 3) end))
       * (1 - 0.1 * (hashtextextended(repo_id::text, 0) & 1023) / 1023.0)::float8
$$;
