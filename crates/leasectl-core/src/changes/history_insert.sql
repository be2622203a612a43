-- Writes commits of the default branch. $1 repository, $2 epoch; for each $3 id, $4 author's name, $5 author's
-- address, $6 and $7 when it was authored and committed, $8 summary, $9 and $10 the slice of $11 parents, $12 the
-- limits that were met, with a blank between.
-- Locks: the rows, inside the fence, in the order of their ids. Index: history_commit_key.
-- A row for each: one that is not new was recorded before, with its files, and is there in this epoch too.
insert into leasectl.history_commit
      (repo_id, oid, epoch, parents, author_name, author_email, authored_at, committed_at, summary, limits)
select $1, n.oid, $2, ($11::bytea[])[n.parents_from:n.parents_to], n.author_name, n.author_email, n.authored_at,
       n.committed_at, n.summary, string_to_array(n.limits, ' ')
  from unnest($3::bytea[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[], $8::text[], $9::integer[],
              $10::integer[], $12::text[])
       n(oid, author_name, author_email, authored_at, committed_at, summary, parents_from, parents_to, limits)
 order by n.oid
on conflict (repo_id, oid) do update set epoch = excluded.epoch
returning id, oid, xmax = 0 as is_new
