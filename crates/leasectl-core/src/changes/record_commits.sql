-- Writes the commits of changes. For each commit $1 change, $2 place, $3 id, $4 author's name, $5 author's address,
-- $6 and $7 when it was authored and committed, $8 summary, $9 and $10 the slice of $11 parents.
-- Locks: the new rows, inside the fence and under those of their changes. Index: change_snapshot_pkey.
insert into leasectl.change_commit
      (change_id, ord, oid, parents, author_name, author_email, authored_at, committed_at, summary)
select n.change_id, n.ord, n.oid, ($11::bytea[])[n.parents_from:n.parents_to], n.author_name, n.author_email,
       n.authored_at, n.committed_at, n.summary
  from unnest($1::bigint[], $2::integer[], $3::bytea[], $4::text[], $5::text[], $6::timestamptz[],
              $7::timestamptz[], $8::text[], $9::integer[], $10::integer[])
       n(change_id, ord, oid, author_name, author_email, authored_at, committed_at, summary, parents_from, parents_to)
