-- Has a registered repository be fetched unasked this often, counted from its last successful fetch. $1 repository, $2 seconds
-- between fetches. Locks: its row. Index: repository_pkey.
-- One that failed since then keeps its pause.
-- Zero rows: it has that schedule already, or was removed meanwhile.
update leasectl.repository r
   set fetch_every = n.fetch_every,
       fetch_due_at = case when r.fetches_failed > 0 then least(r.fetch_due_at, now() + n.pause)
                           else coalesce(r.last_successful_fetch_at + n.pause, '-infinity') end
  from (select r.id, e.fetch_every,
               leasectl.fetch_pause(r.id, e.fetch_every, r.fetches_unchanged, r.fetches_failed) as pause
          from leasectl.repository r
         cross join (select $2::float8 * interval '1 second' as fetch_every) e
         where r.id = $1) n
 where r.id = n.id and r.fetch_every is distinct from n.fetch_every
returning r.id, r.name, r.git_url, r.default_branch, r.head,
          extract(epoch from r.fetch_every)::float8 as fetch_every_s, r.created_at, r.last_successful_fetch_at
