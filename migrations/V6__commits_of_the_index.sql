-- A tree that was published for a commit is found by it: whoever is asked for the same commit again, on whatever
-- container, needs no clone to know what is in it. The table has a row for each ref; older workers go on.
create index index_ref_commit on leasectl.index_ref (commit_oid);
