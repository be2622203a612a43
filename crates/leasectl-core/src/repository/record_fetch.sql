-- Notes a successful fetch. $1 repository, $2 default branch, $3 its head.
-- Locks: the repository's row, inside the fence. Zero rows: it was removed meanwhile.
update leasectl.repository r
   set default_branch = coalesce($2, r.default_branch), head = $3, last_successful_fetch_at = now()
 where r.id = $1
