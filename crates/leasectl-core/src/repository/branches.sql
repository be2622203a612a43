-- A repository's branches. $1 repository. Locks: none. Index: branch_pkey. Zero rows: none is known.
select name, head, parent, registered, state, seen_at, ahead, behind, needs_restack
  from leasectl.branch_projection
 where repo_id = $1
 order by name
