-- The commits of a change, in the order in which they were studied. $1 change. Locks: none. Index: change_commit_pkey.
-- Zero rows: it has none, or was not studied.
select m.oid, m.parents, m.author_name, m.author_email, m.authored_at, m.committed_at, m.summary
  from leasectl.change_commit m
 where m.change_id = $1
 order by m.ord
