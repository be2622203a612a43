-- Has a registered repository be fetched unasked this often, counted from its last fetch. $1 repository, $2 seconds
-- between fetches. Locks: its row. Index: repository_pkey.
-- Zero rows: it has that schedule already, or was removed meanwhile.
update leasectl.repository r
   set fetch_every = n.fetch_every,
       fetch_due_at = coalesce(r.last_successful_fetch_at
                                 + leasectl.fetch_pause(r.id, n.fetch_every, r.fetches_unchanged, r.fetches_failed),
                               '-infinity')
  from (select $2::float8 * interval '1 second' as fetch_every) n
 where r.id = $1 and r.fetch_every is distinct from n.fetch_every
returning r.id, r.name, r.git_url, r.default_branch, r.head,
          extract(epoch from r.fetch_every)::float8 as fetch_every_s, r.created_at, r.last_successful_fetch_at
