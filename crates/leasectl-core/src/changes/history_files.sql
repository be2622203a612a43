-- Writes the files of commits. For each file $1 commit, $2 place, $3 path, $4 old path, $5 status, $6 additions,
-- $7 deletions. Locks: the new rows, inside the fence. Index: history_commit_pkey.
insert into leasectl.history_file (commit_id, ord, path, old_path, status, additions, deletions)
select n.commit_id, n.ord, n.path, n.old_path, n.status, n.additions, n.deletions
  from unnest($1::bigint[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::integer[], $7::integer[])
       n(commit_id, ord, path, old_path, status, additions, deletions)
