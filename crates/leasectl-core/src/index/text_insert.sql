-- Stores what the extractor of the text says. $1 extractor, $2 blobs, $3 lines, $4 reasons to skip, $5 hints,
-- $6 vectors. Locks: the new rows, inside the fence, in the order of the blobs. Index: index_text_pkey.
-- Zero rows: all are there; they stay as they are.
insert into leasectl.index_text (blob_id, extractor_id, lines, skip, hint, vector)
select t.blob_id, $1, t.lines, t.skip, t.hint, t.vector
  from unnest($2::bigint[], $3::integer[], $4::text[], $5::text[], $6::bytea[]) t(blob_id, lines, skip, hint, vector)
 order by t.blob_id
on conflict do nothing
