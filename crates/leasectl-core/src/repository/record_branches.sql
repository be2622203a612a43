-- Writes the branch heads that a fetch found. $1 repository, $2 names, $3 their heads.
-- Locks: the branches' rows, inside the fence, in the order of their names.
insert into leasectl.branch as b (repo_id, name, head, state, seen_at)
select $1, f.name, f.head, 'synced', now()
  from unnest($2::text[], $3::text[]) as f (name, head)
 order by f.name
on conflict (repo_id, name) do update
   set head = excluded.head, state = excluded.state, seen_at = excluded.seen_at
