-- Stores directories that do not name each other. $1 ruleset, $2 trust domain; for each $3 tree object, $4 context,
-- $5 names of files, $6 and $7 the slice of $8 blobs and $9 treatments, $10 names of directories, $11 and $12 the
-- slice of $13 directories.
-- Locks: the new rows, inside the fence, in the order of the key; who stores the same waits for the commit. The
-- trigger locks what they name FOR KEY SHARE, in the order of the numbers, where only the collector is in the
-- way, and raises foreign_key_violation if something is not there. Index: index_dir_key, the primary keys.
-- Zero rows: all are there; they stay as they are.
insert into leasectl.index_dir
      (ruleset_id, domain_id, oid, context, file_names, file_blobs, file_treatments, dir_names, dir_ids,
       paths_below, files_below, bytes_below, symbols_below)
select $1, $2, d.oid, d.context, d.file_names, s.blobs, s.treatments, d.dir_names, s.dirs,
       cardinality(s.blobs) + below.paths, cardinality(s.blobs) + below.files,
       own.bytes + below.bytes, own.symbols + below.symbols
  from unnest($3::bytea[], $4::bytea[], $5::text[], $6::integer[], $7::integer[],
              $10::text[], $11::integer[], $12::integer[])
       d(oid, context, file_names, files_from, files_to, dir_names, dirs_from, dirs_to)
 cross join lateral (select ($8::bigint[])[d.files_from:d.files_to] as blobs,
                            ($9::smallint[])[d.files_from:d.files_to] as treatments,
                            ($13::bigint[])[d.dirs_from:d.dirs_to] as dirs) s
 cross join lateral (
   select coalesce(sum(b.bytes), 0)::bigint as bytes, coalesce(sum(g.symbol_count), 0)::bigint as symbols
     from unnest(s.blobs, s.treatments) f(blob_id, treatment_id)
    cross join lateral (select i.bytes from leasectl.index_blob i where i.id = f.blob_id limit 1) b
     left join lateral (select t.tags from leasectl.index_treatment t where t.id = f.treatment_id limit 1) t on true
     left join lateral (select e.extractor_id from leasectl.index_ruleset_extractor e
                         where e.ruleset_id = $1 and e.name = t.tags limit 1) e on true
     left join lateral (select i.symbol_count from leasectl.index_tags i
                         where i.blob_id = f.blob_id and i.extractor_id = e.extractor_id limit 1) g on true) own
 cross join lateral (
   select coalesce(sum(c.paths_below + 1), 0)::bigint as paths, coalesce(sum(c.files_below), 0)::bigint as files,
          coalesce(sum(c.bytes_below), 0)::bigint as bytes, coalesce(sum(c.symbols_below), 0)::bigint as symbols
     from unnest(s.dirs) k(id)
    cross join lateral (select i.paths_below, i.files_below, i.bytes_below, i.symbols_below
                          from leasectl.index_dir i where i.id = k.id limit 1) c) below
 order by d.oid, d.context
on conflict (ruleset_id, domain_id, oid, context) do nothing
