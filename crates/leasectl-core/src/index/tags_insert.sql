-- Stores symbols and imports. $1 blobs, $2 extractors, $3 numbers of symbols, $4 reasons to skip, $5 symbols,
-- $6 imports. Locks: the new rows, inside the fence, in the order of blobs and extractors.
-- Index: index_tags_pkey. Zero rows: all are there; they stay as they are.
insert into leasectl.index_tags (blob_id, extractor_id, symbol_count, skip, symbols, imports)
select t.blob_id, t.extractor_id, t.symbol_count, t.skip, t.symbols, t.imports
  from unnest($1::bigint[], $2::smallint[], $3::integer[], $4::text[], $5::text[], $6::text[])
       t(blob_id, extractor_id, symbol_count, skip, symbols, imports)
 order by t.blob_id, t.extractor_id
on conflict do nothing
