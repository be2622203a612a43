-- Repositories by name. $1 only names after this one (null: from the first), $2 at most so many.
-- Locks: none. Index: repository_name_key. Zero rows: no more.
select id, name, git_url, default_branch, head,
       extract(epoch from fetch_every)::float8 as fetch_every_s, created_at, last_successful_fetch_at
  from leasectl.repository
 where $1::text is null or name > $1
 order by name
 limit $2
