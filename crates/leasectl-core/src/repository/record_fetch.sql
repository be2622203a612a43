-- Notes a successful fetch. $1 repository, $2 default branch, $3 its head, $4 whether it was looked at.
-- One row: whether there is a head, and it or the branch that it belongs to is another one than was noted
-- before. Locks: the repository's row, inside the fence. Index: repository_pkey.
-- Zero rows: it was removed meanwhile.
with before as materialized (
  select r.id, r.default_branch, r.head from leasectl.repository r where r.id = $1 for no key update
)
update leasectl.repository r
   set default_branch = coalesce($2, before.default_branch), head = case when $4 then $3 else before.head end,
       last_successful_fetch_at = now()
  from before
 where r.id = before.id
returning r.head is not null
          and (r.head, r.default_branch) is distinct from (before.head, before.default_branch) as moved
