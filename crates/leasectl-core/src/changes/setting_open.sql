-- Makes sure that a repository has a place for its backfill. $1 repository.
-- Locks: the new row; the repository as a key. Index: backfill_pkey, repository_pkey.
-- Zero rows: it has one, or there is no such repository.
insert into leasectl.backfill (repo_id)
select r.id
  from leasectl.repository r
 where r.id = $1
   and not exists (select from leasectl.backfill b where b.repo_id = $1)
on conflict do nothing
