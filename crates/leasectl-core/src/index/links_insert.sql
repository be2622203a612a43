-- Stores links that do not name each other. $1 trust domain; for each $2 digest, $3 the end of its slice of
-- $4 links of files, $5 the end of its slice of $6 links of directories.
-- Locks: the new rows, inside the fence, in the order of the digests; the trigger locks those that they name
-- FOR KEY SHARE, and raises foreign_key_violation if one is not there. Index: index_links_digest_key.
-- Zero rows: all are there.
insert into leasectl.index_links (domain_id, digest, files, dir_links)
select $1, n.digest,
       ($4::text[])[coalesce(lag(n.files_to) over (order by n.ord), 0) + 1 : n.files_to],
       ($6::bigint[])[coalesce(lag(n.dirs_to) over (order by n.ord), 0) + 1 : n.dirs_to]
  from unnest($2::bytea[], $3::integer[], $5::integer[]) with ordinality n(digest, files_to, dirs_to, ord)
 order by n.digest
on conflict do nothing
