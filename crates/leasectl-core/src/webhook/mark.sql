-- Marks repositories dirty for which a webhook asks for a fetch. $1 repositories, $2 seconds between two fetches
-- that webhooks start. Locks: their rows, which lock.sql has taken. Index: repository_pkey.
-- One row for each: when its fetch may start, null for at once. It is never later than those seconds from now, and
-- later deliveries do not move it.
update leasectl.repository r
   set last_webhook_at = now(),
       last_requested_fetch_at = now(),
       dirty_since = coalesce(r.dirty_since, now()),
       fetch_spaced_until = greatest(now(), least(coalesce(r.fetch_spaced_until, now()), now() + $2::float8 * interval '1 second'))
                          + $2::float8 * interval '1 second'
 where r.id = any ($1::uuid[])
returning r.id, nullif(r.fetch_spaced_until - $2::float8 * interval '1 second', now()) as not_before
