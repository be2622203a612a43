-- Marks repositories dirty of which a webhook tells. $1 repositories, $2 those of them for which it asks for a fetch,
-- $3 seconds between two fetches that webhooks start. Locks: their rows, which lock.sql has taken. Index: repository_pkey.
-- One row for each: when its fetch may start, null for at once. It is never later than those seconds from now, and
-- later deliveries do not move it.
update leasectl.repository r
   set last_webhook_at = now(),
       last_requested_fetch_at = case when n.is_asked_for then now() else r.last_requested_fetch_at end,
       dirty_since = coalesce(r.dirty_since, now()),
       fetch_spaced_until = case when n.is_asked_for then n.starts_at + n.spacing else r.fetch_spaced_until end
  from (select r.id, r.id = any ($2::uuid[]) as is_asked_for, s.spacing,
               greatest(now(), least(coalesce(r.fetch_spaced_until, now()), now() + s.spacing)) as starts_at
          from leasectl.repository r
         cross join (select $3::float8 * interval '1 second' as spacing) s
         where r.id = any ($1::uuid[])) n
 where r.id = n.id
returning r.id, nullif(n.starts_at, now()) as not_before
