-- Registers a repository. $1 name, $2 canonical URL, $3 default branch, $4 seconds between fetches.
-- Locks: the new row. Index: repository_name_key, repository_git_url_key.
-- Zero rows: the name or the URL is registered already.
insert into leasectl.repository (name, git_url, default_branch, fetch_every)
values ($1, $2, $3, $4::float8 * interval '1 second')
on conflict do nothing
returning id, name, git_url, default_branch, head,
          extract(epoch from fetch_every)::float8 as fetch_every_s, created_at, last_successful_fetch_at
