-- The index: what is known of the content of trees, shared by every repository of a trust domain.
-- Nothing here is read or written by older workers; the column that the table of repositories gets has
-- a default, so they go on registering as before.
--
--   index_ref ─▶ index_root ─▶ index_dir ─▶ index_dir …   one row for each distinct directory
--                        │           └────▶ index_blob ─▶ index_text, index_tags: the payloads
--                        └───▶ index_links ─▶ index_links …   to what the imports of the files lead
--
-- A directory is stored after everything below it, so a directory that is there is complete.

-- ── Trust domains ─────────────────────────────────────────────────────────────────────────────

-- Repositories of one trust domain share what is known of their content.
alter table leasectl.repository
  add column trust_domain text not null default 'default',
  add constraint repository_trust_domain_format check (trust_domain ~ '^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$');

-- Never deleted.
create table leasectl.index_domain (
  id    integer generated always as identity,
  name  text not null,
  constraint index_domain_pkey primary key (id),
  constraint index_domain_name_key unique (name)
);

-- ── Extractors and rulesets ───────────────────────────────────────────────────────────────────

-- Never deleted: a release that comes back finds its number again.
create table leasectl.index_extractor (
  id       smallint generated always as identity,
  name     text     not null,
  version  integer  not null,
  constraint index_extractor_pkey primary key (id),
  constraint index_extractor_name_key unique (name, version),
  constraint index_extractor_name_format check (name ~ '^[a-z][a-z0-9._-]{0,62}$'),
  constraint index_extractor_version_positive check (version > 0)
);

-- The versions that work together in one release of the indexer. What a directory holds depends on it.
create table leasectl.index_ruleset (
  id       integer     generated always as identity,
  -- Every name@version, sorted, with a space between: what makes two rulesets equal.
  key      text        not null,
  used_at  timestamptz not null default now(),
  constraint index_ruleset_pkey primary key (id),
  constraint index_ruleset_key_key unique (key)
);

create table leasectl.index_ruleset_extractor (
  ruleset_id    integer  not null references leasectl.index_ruleset (id) on delete cascade,
  name          text     not null,
  extractor_id  smallint not null references leasectl.index_extractor (id),
  constraint index_ruleset_extractor_pkey primary key (ruleset_id, name)
);
create index index_ruleset_extractor_extractor on leasectl.index_ruleset_extractor (extractor_id);

-- ── Blobs and payloads ────────────────────────────────────────────────────────────────────────

create table leasectl.index_blob (
  id            bigint      generated always as identity,
  domain_id     integer     not null references leasectl.index_domain (id),
  -- 20 bytes are SHA-1, 32 are SHA-256.
  oid           bytea       not null,
  bytes         bigint      not null,
  -- Since when the collector knows of no directory that names it.
  orphan_since  timestamptz,
  constraint index_blob_pkey primary key (id),
  constraint index_blob_oid_key unique (domain_id, oid),
  constraint index_blob_oid_length check (octet_length(oid) in (20, 32)),
  constraint index_blob_bytes_counted check (bytes >= 0)
);

-- What the extractor "trigram" says of a blob.
create table leasectl.index_text (
  blob_id       bigint   not null references leasectl.index_blob (id) on delete cascade,
  extractor_id  smallint not null references leasectl.index_extractor (id),
  lines         integer,
  -- Why there is no vector.
  skip          text,
  -- What the content says that matters once it is found under another path.
  hint          text,
  vector        bytea,
  constraint index_text_pkey primary key (blob_id, extractor_id),
  constraint index_text_has_a_vector_or_a_reason check ((vector is null) = (skip is not null)),
  constraint index_text_lines_counted check ((lines is null) = (skip is not null) and lines >= 0)
);
-- The extractor has compressed it.
alter table leasectl.index_text alter column vector set storage external;

-- What an extractor of symbols and imports says of a blob. Plain text, so that the views need no decoder;
-- a line for each: arrays would take 24 bytes for themselves and 4 more for each name.
create table leasectl.index_tags (
  blob_id       bigint   not null references leasectl.index_blob (id) on delete cascade,
  extractor_id  smallint not null references leasectl.index_extractor (id),
  symbol_count  integer  not null default 0,
  -- Why there are none.
  skip          text,
  -- kind, first line, blank, further lines (nothing for none), blank, name.
  symbols       text,
  -- kind, line, blank, target.
  imports       text,
  constraint index_tags_pkey primary key (blob_id, extractor_id),
  constraint index_tags_symbols_counted check (symbol_count >= 0 and (symbol_count > 0) = (symbols is not null)),
  constraint index_tags_skipped_are_empty check (skip is null or (symbols is null and imports is null))
);
do $$
begin
  alter table leasectl.index_tags alter column symbols set compression lz4, alter column imports set compression lz4;
exception when feature_not_supported then
  null; -- This server was built without it; pglz compresses as well, and takes longer.
end
$$;

-- ── Directories ───────────────────────────────────────────────────────────────────────────────

-- How a file is treated, as its path decides. A few dozen rows; never deleted.
create table leasectl.index_treatment (
  id        smallint generated always as identity,
  language  text,
  -- Whether its text is searched.
  text      boolean  not null,
  -- The extractor of its symbols and imports, by name: the ruleset knows the version.
  tags      text,
  -- Why it is left out of the text, or of the symbols.
  skip      text,
  constraint index_treatment_pkey primary key (id),
  constraint index_treatment_skip_explains check (text or (tags is null and skip is not null))
);
create unique index index_treatment_key on leasectl.index_treatment
  (coalesce(language, ''), text, coalesce(tags, ''), coalesce(skip, ''));

-- One directory of a tree as one ruleset sees it. Never changed. A row holds its entries, because a row
-- for each of them would take more than twice the space; the triggers below do what foreign keys would.
create table leasectl.index_dir (
  id               bigint      generated always as identity,
  domain_id        integer     not null references leasectl.index_domain (id),
  ruleset_id       integer     not null references leasectl.index_ruleset (id),
  -- The tree object.
  oid              bytea       not null,
  -- A digest of what the directories above decide about the files below; empty for nothing.
  context          bytea       not null,
  -- Files: names with a slash between, in the order of the arrays.
  file_names       text        not null,
  file_blobs       bigint[]    not null,
  file_treatments  smallint[]  not null,
  -- Directories, likewise.
  dir_names        text        not null,
  dir_ids          bigint[]    not null,
  -- Totals, with what is below: publishing a tree does not count it. Of paths there are bounded many,
  -- since a few directories that name each other often can stand for any number.
  paths_below      bigint      not null,
  files_below      bigint      not null,
  bytes_below      bigint      not null,
  symbols_below    bigint      not null,
  orphan_since     timestamptz,
  constraint index_dir_pkey primary key (id),
  constraint index_dir_key unique (ruleset_id, domain_id, oid, context),
  constraint index_dir_oid_length check (octet_length(oid) in (20, 32)),
  constraint index_dir_context_short check (octet_length(context) <= 32),
  constraint index_dir_files_fit check (
    cardinality(file_blobs) = cardinality(file_treatments) and
    cardinality(file_blobs) = cardinality(string_to_array(file_names, '/'))),
  constraint index_dir_dirs_fit check (cardinality(dir_ids) = cardinality(string_to_array(dir_names, '/'))),
  constraint index_dir_paths_bounded check (paths_below between 0 and 5000000)
);
-- Who names a blob, who a directory. Without a pending list: no writer pays for the others.
create index index_dir_blobs on leasectl.index_dir using gin (file_blobs) with (fastupdate = off);
create index index_dir_dirs on leasectl.index_dir using gin (dir_ids) with (fastupdate = off);

-- To what the imports of a directory's files lead. That depends on the whole tree, so rows are named by
-- their own content: trees in which a directory's imports lead to the same paths share the row.
create table leasectl.index_links (
  id            bigint      generated always as identity,
  domain_id     integer     not null references leasectl.index_domain (id),
  digest        bytea       not null,
  -- One for each file of the directory, in its order: for each import a path, or nothing, with two slashes
  -- between. Null when no import of the file leads anywhere.
  files         text[]      not null,
  -- One for each directory of the directory, in its order.
  dir_links     bigint[]    not null,
  orphan_since  timestamptz,
  constraint index_links_pkey primary key (id),
  constraint index_links_digest_key unique (domain_id, digest),
  constraint index_links_digest_length check (octet_length(digest) = 32)
);
create index index_links_dirs on leasectl.index_links using gin (dir_links) with (fastupdate = off);

-- ── Roots and refs ────────────────────────────────────────────────────────────────────────────

-- A whole tree, ready to answer.
create table leasectl.index_root (
  dir_id        bigint      not null references leasectl.index_dir (id),
  links_id      bigint      references leasectl.index_links (id),
  -- Distinct ones.
  blobs         bigint      not null,
  orphan_since  timestamptz,
  constraint index_root_pkey primary key (dir_id)
);
create index index_root_links on leasectl.index_root (links_id);

create table leasectl.index_ref (
  repo_id     uuid        not null references leasectl.repository (id) on delete cascade,
  ref         text        not null,
  commit_oid  bytea       not null,
  root_id     bigint      not null references leasectl.index_root (dir_id),
  indexed_at  timestamptz not null,
  -- Of the lease that published it.
  token       bigint      not null,
  constraint index_ref_pkey primary key (repo_id, ref),
  constraint index_ref_commit_length check (octet_length(commit_oid) in (20, 32))
);
create index index_ref_root on leasectl.index_ref (root_id);

-- ── What keeps the rows whole ─────────────────────────────────────────────────────────────────

create function leasectl.index_refuse_change() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  raise exception '% is never changed', tg_table_name using errcode = 'restrict_violation';
end
$$;
create trigger index_text_is_immutable before update on leasectl.index_text
  for each row execute function leasectl.index_refuse_change();
create trigger index_tags_is_immutable before update on leasectl.index_tags
  for each row execute function leasectl.index_refuse_change();
create trigger index_dir_is_immutable
  before update of id, domain_id, ruleset_id, oid, context, file_names, file_blobs, file_treatments, dir_names,
                   dir_ids, paths_below, files_below, bytes_below, symbols_below on leasectl.index_dir
  for each row execute function leasectl.index_refuse_change();
create trigger index_links_is_immutable
  before update of id, domain_id, digest, files, dir_links on leasectl.index_links
  for each row execute function leasectl.index_refuse_change();

-- Directories may name only blobs and directories that are there, and stay until the transaction ends, with
-- every payload that the ruleset asks for. The locks are those of a foreign key, in the order of the ids.
create function leasectl.index_dir_is_whole() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp set enable_seqscan = off
set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan as $$
declare
  wanted bigint;
  held bigint;
  batch record;
begin
  select min(a.domain_id) as domain_id, min(a.ruleset_id) as ruleset_id,
         count(distinct (a.domain_id, a.ruleset_id)) as kinds
    into batch from added a;
  if batch.kinds > 1 then
    raise exception 'directories of several trust domains or rulesets at once' using errcode = 'restrict_violation';
  end if;

  -- The ids alone choose the rows: a domain or a ruleset beside them would be an offer to read all of it.
  select count(distinct k.id) into wanted from added a cross join lateral unnest(a.dir_ids) k(id);
  select count(*) filter (where l.domain_id = batch.domain_id and l.ruleset_id = batch.ruleset_id) into held
    from (select d.domain_id, d.ruleset_id
            from leasectl.index_dir d
           where d.id = any (array(select distinct k.id from added a cross join lateral unnest(a.dir_ids) k(id)))
           order by d.id for key share) l;
  if held <> wanted then
    raise exception '% of % directories are gone', wanted - held, wanted using errcode = 'foreign_key_violation';
  end if;

  select count(distinct k.id) into wanted from added a cross join lateral unnest(a.file_blobs) k(id);
  select count(*) filter (where l.domain_id = batch.domain_id) into held
    from (select b.domain_id
            from leasectl.index_blob b
           where b.id = any (array(select distinct k.id from added a cross join lateral unnest(a.file_blobs) k(id)))
           order by b.id for key share) l;
  if held <> wanted then
    raise exception '% of % blobs are gone', wanted - held, wanted using errcode = 'foreign_key_violation';
  end if;

  select count(*) into wanted
    from added a
   cross join lateral unnest(a.file_blobs, a.file_treatments) f(blob_id, treatment_id)
    left join leasectl.index_treatment t on t.id = f.treatment_id
   where t.id is null
      or (t.text and not exists (
            select from leasectl.index_ruleset_extractor e
              join leasectl.index_text x on x.blob_id = f.blob_id and x.extractor_id = e.extractor_id
             where e.ruleset_id = a.ruleset_id and e.name = 'trigram'
               and (x.skip is not null or t.tags is null or exists (
                     select from leasectl.index_ruleset_extractor te
                       join leasectl.index_tags g on g.blob_id = f.blob_id and g.extractor_id = te.extractor_id
                      where te.ruleset_id = a.ruleset_id and te.name = t.tags))));
  if wanted > 0 then
    raise exception '% files lack a payload', wanted using errcode = 'foreign_key_violation';
  end if;
  return null;
end
$$;
create trigger index_dir_is_whole after insert on leasectl.index_dir
  referencing new table as added for each statement execute function leasectl.index_dir_is_whole();

create function leasectl.index_links_are_whole() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp set enable_seqscan = off
set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan as $$
declare
  wanted bigint;
  held bigint;
begin
  select count(distinct k.id) into wanted
    from added a cross join lateral unnest(a.dir_links) k(id) where k.id is not null;
  perform from leasectl.index_links l
    where l.id = any (array(select distinct k.id from added a cross join lateral unnest(a.dir_links) k(id)))
    order by l.id for key share;
  get diagnostics held = row_count;
  if held <> wanted then
    raise exception '% of % links are gone', wanted - held, wanted using errcode = 'foreign_key_violation';
  end if;
  return null;
end
$$;
create trigger index_links_are_whole after insert on leasectl.index_links
  referencing new table as added for each statement execute function leasectl.index_links_are_whole();

-- What is named stays. Whoever names a row locks it, so the deletion has waited for them, and this looks
-- with a snapshot of after that.
create function leasectl.index_refuse_hole() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp set enable_seqscan = off
set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan as $$
declare
  named boolean;
begin
  if tg_table_name = 'index_blob' then
    select exists (select from gone g join leasectl.index_dir d on d.file_blobs @> array[g.id]) into named;
  elsif tg_table_name = 'index_dir' then
    select exists (select from gone g join leasectl.index_dir d on d.dir_ids @> array[g.id]) into named;
  else
    select exists (select from gone g join leasectl.index_links l on l.dir_links @> array[g.id]) into named;
  end if;
  if named then
    raise exception 'rows of % are still named', tg_table_name using errcode = 'foreign_key_violation';
  end if;
  return null;
end
$$;
create trigger index_blob_is_not_named after delete on leasectl.index_blob
  referencing old table as gone for each statement execute function leasectl.index_refuse_hole();
create trigger index_dir_is_not_named after delete on leasectl.index_dir
  referencing old table as gone for each statement execute function leasectl.index_refuse_hole();
create trigger index_links_are_not_named after delete on leasectl.index_links
  referencing old table as gone for each statement execute function leasectl.index_refuse_hole();

-- ── Reading ───────────────────────────────────────────────────────────────────────────────────
-- Set-returning functions, so that a filter on the repository and the ref is applied before any tree is
-- walked. Their settings keep a session whose tables were empty from reading all of them.

-- The directories of a tree, with the links of its files.
create function leasectl.index_walk(root bigint, links bigint)
returns table (prefix text, ruleset_id integer, file_names text, file_blobs bigint[], file_treatments smallint[],
               file_links text[], dir_names text)
language sql stable rows 300
set search_path = pg_catalog, pg_temp set enable_seqscan = off
set enable_hashjoin = off set enable_mergejoin = off as $$
  with recursive walk as (
    select ''::text as prefix, d.ruleset_id, d.file_names, d.file_blobs, d.file_treatments, d.dir_names, d.dir_ids,
           l.files as file_links, l.dir_links
      from leasectl.index_dir d left join leasectl.index_links l on l.id = links
     where d.id = root
    union all
    select w.prefix || k.name || '/', d.ruleset_id, d.file_names, d.file_blobs, d.file_treatments, d.dir_names,
           d.dir_ids, l.files, l.dir_links
      from walk w
     cross join lateral unnest(string_to_array(w.dir_names, '/'), w.dir_ids, w.dir_links) k(name, id, links_id)
      join leasectl.index_dir d on d.id = k.id
      left join leasectl.index_links l on l.id = k.links_id
  )
  select w.prefix, w.ruleset_id, w.file_names, w.file_blobs, w.file_treatments, w.file_links, w.dir_names from walk w
$$;

-- The files of a tree.
create function leasectl.index_tree_files(root bigint)
returns table (path text, blob_id bigint, oid bytea, language text, skip text, bytes bigint, lines integer)
language sql stable rows 2000
set search_path = pg_catalog, pg_temp set enable_seqscan = off
set enable_hashjoin = off set enable_mergejoin = off as $$
  select w.prefix || f.name, b.id, b.oid, t.language, coalesce(x.skip, t.skip), b.bytes, x.lines
    from leasectl.index_walk(root, null) w
   cross join lateral unnest(string_to_array(w.file_names, '/'), w.file_blobs, w.file_treatments)
         f(name, blob_id, treatment_id)
    join leasectl.index_blob b on b.id = f.blob_id
    join leasectl.index_treatment t on t.id = f.treatment_id
    left join leasectl.index_ruleset_extractor e on t.text and e.ruleset_id = w.ruleset_id and e.name = 'trigram'
    left join leasectl.index_text x on x.blob_id = f.blob_id and x.extractor_id = e.extractor_id
$$;

-- The names of kinds, of which the payloads hold a letter.
create function leasectl.index_symbol_kind(letter text) returns text
language sql immutable parallel safe as $$
  select case letter
           when 'f' then 'function' when 'm' then 'method' when 'c' then 'class' when 's' then 'struct'
           when 'e' then 'enum' when 't' then 'trait' when 'i' then 'interface' when 'n' then 'module'
           when 'k' then 'constant' when 'v' then 'variable' when 'y' then 'type' when 'd' then 'macro' end
$$;

-- The symbols of a tree; those of one name when it is given.
create function leasectl.index_tree_symbols(root bigint, wanted text)
returns table (path text, name text, kind text, line_start integer, line_end integer)
language sql stable rows 20000
set search_path = pg_catalog, pg_temp set enable_seqscan = off
set enable_hashjoin = off set enable_mergejoin = off as $$
  select w.prefix || f.name, substr(s.line, length(h.head) + length(h.further) + 3),
         leasectl.index_symbol_kind(left(h.head, 1)), substr(h.head, 2)::integer,
         substr(h.head, 2)::integer + coalesce(nullif(h.further, ''), '0')::integer
    from leasectl.index_walk(root, null) w
   cross join lateral unnest(string_to_array(w.file_names, '/'), w.file_blobs, w.file_treatments)
         f(name, blob_id, treatment_id)
    join leasectl.index_treatment t on t.id = f.treatment_id
    join leasectl.index_ruleset_extractor e on e.ruleset_id = w.ruleset_id and e.name = t.tags
    join leasectl.index_tags g on g.blob_id = f.blob_id and g.extractor_id = e.extractor_id
   cross join lateral string_to_table(g.symbols, E'\n') s(line)
   cross join lateral (select split_part(s.line, ' ', 1) as head, split_part(s.line, ' ', 2) as further) h
   where wanted is null
      or (strpos(g.symbols, wanted) > 0 and substr(s.line, length(h.head) + length(h.further) + 3) = wanted)
$$;

-- The imports of a tree, and to what they lead.
create function leasectl.index_tree_imports(root bigint, links bigint)
returns table (path text, kind text, target text, resolved_path text, line integer, place bigint)
language sql stable rows 20000
set search_path = pg_catalog, pg_temp set enable_seqscan = off
set enable_hashjoin = off set enable_mergejoin = off as $$
  select w.prefix || f.name, left(i.line, 1), substr(i.line, length(h.head) + 2), nullif(i.resolved, ''),
         substr(h.head, 2)::integer, i.place
    from leasectl.index_walk(root, links) w
   cross join lateral unnest(string_to_array(w.file_names, '/'), w.file_blobs, w.file_treatments, w.file_links)
         f(name, blob_id, treatment_id, links)
    join leasectl.index_treatment t on t.id = f.treatment_id
    join leasectl.index_ruleset_extractor e on e.ruleset_id = w.ruleset_id and e.name = t.tags
    join leasectl.index_tags g on g.blob_id = f.blob_id and g.extractor_id = e.extractor_id
   cross join lateral unnest(string_to_array(g.imports, E'\n'), string_to_array(f.links, '//')) with ordinality
         i(line, resolved, place)
   cross join lateral (select split_part(i.line, ' ', 1) as head) h
   where i.line is not null
$$;

create view leasectl.index_files as
select r.repo_id, r.ref, f.path, encode(f.oid, 'hex') as blob, f.language, f.bytes, f.lines
  from leasectl.index_ref r cross join lateral leasectl.index_tree_files(r.root_id) f;

create view leasectl.index_symbols as
select r.repo_id, r.ref, s.path, s.name, s.kind, s.line_start, s.line_end
  from leasectl.index_ref r cross join lateral leasectl.index_tree_symbols(r.root_id, null) s;

create view leasectl.index_imports as
select r.repo_id, r.ref, i.path, i.target, i.resolved_path, i.line
  from leasectl.index_ref r
  join leasectl.index_root o on o.dir_id = r.root_id
 cross join lateral leasectl.index_tree_imports(o.dir_id, o.links_id) i;

-- ── Collecting ────────────────────────────────────────────────────────────────────────────────
-- Each call is one short transaction about one batch, and one at a time works; next is null at the end, or
-- when another is at work. What nothing names is marked; what has been marked for the grace is locked, looked
-- at again with a snapshot of after the lock, and deleted. What only deleted rows named has waited as long as
-- they have. Rows that a writer holds are left for the next round, so the collector waits for nobody, and
-- others wait for one batch of it at most.

create function leasectl.index_may_collect() returns boolean
language sql volatile as $$
  select pg_try_advisory_xact_lock(hashtextextended('leasectl.index_collect', 0))
$$;

create function leasectl.index_collect_roots(
  after bigint, batch integer, grace interval, out next bigint, out seen integer, out deleted integer)
language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = off set lock_timeout = '2s'
set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan as $$
declare
  ids bigint[];
  old bigint[];
  dirs bigint[];
  links bigint[];
begin
  seen := 0;
  deleted := 0;
  if not leasectl.index_may_collect() then
    return;
  end if;
  ids := array(select r.dir_id from leasectl.index_root r
                where r.dir_id > coalesce(after, 0) order by r.dir_id limit batch);
  seen := cardinality(ids);
  next := ids[seen];

  update leasectl.index_root r
     set orphan_since = case when r.orphan_since is null then now() end
   where r.dir_id = any (ids)
     and exists (select from leasectl.index_ref f where f.root_id = r.dir_id) = (r.orphan_since is not null);
  old := array(select r.dir_id from leasectl.index_root r
                where r.dir_id = any (ids) and r.orphan_since <= clock_timestamp() - grace
                order by r.dir_id for update skip locked);
  with gone as (
    delete from leasectl.index_root r
     where r.dir_id = any (old) and not exists (select from leasectl.index_ref f where f.root_id = r.dir_id)
    returning r.dir_id, r.links_id)
  select array_agg(g.dir_id), array_agg(g.links_id) into dirs, links from gone g;
  deleted := coalesce(cardinality(dirs), 0);

  update leasectl.index_dir d set orphan_since = now() - grace
   where d.id = any (dirs) and not exists (select from leasectl.index_dir p where p.dir_ids @> array[d.id]);
  update leasectl.index_links l set orphan_since = now() - grace
   where l.id = any (links)
     and not exists (select from leasectl.index_root r where r.links_id = l.id)
     and not exists (select from leasectl.index_links p where p.dir_links @> array[l.id]);
end
$$;

-- From the newest to the oldest: a directory is older than those that name it, so one round takes a whole tree.
create function leasectl.index_collect_dirs(
  before bigint, batch integer, grace interval, out next bigint, out seen integer, out deleted integer)
language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = off set lock_timeout = '2s'
set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan as $$
declare
  ids bigint[];
  old bigint[];
  dirs bigint[];
  blobs bigint[];
begin
  seen := 0;
  deleted := 0;
  if not leasectl.index_may_collect() then
    return;
  end if;
  ids := array(select d.id from leasectl.index_dir d
                where d.id < coalesce(before, 9223372036854775807) order by d.id desc limit batch);
  seen := cardinality(ids);
  next := ids[seen];

  update leasectl.index_dir d
     set orphan_since = case when d.orphan_since is null then now() end
   where d.id = any (ids)
     and (exists (select from leasectl.index_root r where r.dir_id = d.id)
          or exists (select from leasectl.index_dir p where p.dir_ids @> array[d.id])) = (d.orphan_since is not null);
  -- Parents first: a whole chain may go in one batch.
  loop
    old := array(select d.id from leasectl.index_dir d
                  where d.id = any (ids) and d.orphan_since <= clock_timestamp() - grace
                  order by d.id for update skip locked);
    with gone as (
      delete from leasectl.index_dir d
       where d.id = any (old)
         and not exists (select from leasectl.index_root r where r.dir_id = d.id)
         and not exists (select from leasectl.index_dir p where p.dir_ids @> array[d.id])
      returning d.dir_ids, d.file_blobs
    ), named as (
      select 1 as sort, k.id from gone g cross join lateral unnest(g.dir_ids) k(id)
      union select 2, k.id from gone g cross join lateral unnest(g.file_blobs) k(id)
      union select 3, count(*) from gone
    )
    select array_agg(n.id) filter (where n.sort = 1), array_agg(n.id) filter (where n.sort = 2),
           deleted + coalesce(sum(n.id) filter (where n.sort = 3), 0)
      into dirs, blobs, deleted from named n;
    exit when dirs is null and blobs is null;
    update leasectl.index_dir d set orphan_since = now() - grace
     where d.id = any (dirs)
       and not exists (select from leasectl.index_root r where r.dir_id = d.id)
       and not exists (select from leasectl.index_dir p where p.dir_ids @> array[d.id]);
    update leasectl.index_blob b set orphan_since = now() - grace
     where b.id = any (blobs) and not exists (select from leasectl.index_dir d where d.file_blobs @> array[b.id]);
  end loop;
end
$$;

-- From the newest to the oldest, as directories.
create function leasectl.index_collect_links(
  before bigint, batch integer, grace interval, out next bigint, out seen integer, out deleted integer)
language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = off set lock_timeout = '2s'
set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan as $$
declare
  ids bigint[];
  old bigint[];
  below bigint[];
  some_gone integer;
begin
  seen := 0;
  deleted := 0;
  if not leasectl.index_may_collect() then
    return;
  end if;
  ids := array(select l.id from leasectl.index_links l
                where l.id < coalesce(before, 9223372036854775807) order by l.id desc limit batch);
  seen := cardinality(ids);
  next := ids[seen];

  update leasectl.index_links l
     set orphan_since = case when l.orphan_since is null then now() end
   where l.id = any (ids)
     and (exists (select from leasectl.index_root r where r.links_id = l.id)
          or exists (select from leasectl.index_links p where p.dir_links @> array[l.id]))
         = (l.orphan_since is not null);
  loop
    old := array(select l.id from leasectl.index_links l
                  where l.id = any (ids) and l.orphan_since <= clock_timestamp() - grace
                  order by l.id for update skip locked);
    with gone as (
      delete from leasectl.index_links l
       where l.id = any (old)
         and not exists (select from leasectl.index_root r where r.links_id = l.id)
         and not exists (select from leasectl.index_links p where p.dir_links @> array[l.id])
      returning l.dir_links
    )
    select (select count(*) from gone),
           array(select distinct k.id from gone g cross join lateral unnest(g.dir_links) k(id) where k.id is not null)
      into some_gone, below;
    deleted := deleted + some_gone;
    exit when some_gone = 0;
    update leasectl.index_links l set orphan_since = now() - grace
     where l.id = any (below)
       and not exists (select from leasectl.index_root r where r.links_id = l.id)
       and not exists (select from leasectl.index_links p where p.dir_links @> array[l.id]);
  end loop;
end
$$;

-- Blobs with their payloads, and of the others the payloads of versions that no ruleset has any more.
create function leasectl.index_collect_blobs(
  after bigint, batch integer, grace interval,
  out next bigint, out seen integer, out deleted integer, out payloads bigint)
language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = off set lock_timeout = '2s'
set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan as $$
declare
  ids bigint[];
  old bigint[];
  retired smallint[];
  some_gone bigint;
begin
  seen := 0;
  deleted := 0;
  payloads := 0;
  if not leasectl.index_may_collect() then
    return;
  end if;
  ids := array(select b.id from leasectl.index_blob b where b.id > coalesce(after, 0) order by b.id limit batch);
  seen := cardinality(ids);
  next := ids[seen];

  update leasectl.index_blob b
     set orphan_since = case when b.orphan_since is null then now() end
   where b.id = any (ids)
     and exists (select from leasectl.index_dir d where d.file_blobs @> array[b.id]) = (b.orphan_since is not null);
  old := array(select b.id from leasectl.index_blob b
                where b.id = any (ids) and b.orphan_since <= clock_timestamp() - grace
                order by b.id for update skip locked);
  delete from leasectl.index_blob b
   where b.id = any (old) and not exists (select from leasectl.index_dir d where d.file_blobs @> array[b.id]);
  get diagnostics deleted = row_count;

  -- A ruleset that comes to use one of them waits for this batch, and then finds what is left.
  retired := array(select e.id from leasectl.index_extractor e
                    where not exists (select from leasectl.index_ruleset_extractor r where r.extractor_id = e.id)
                    order by e.id for update skip locked);
  retired := array(select r.id from unnest(retired) r(id)
                    where not exists (select from leasectl.index_ruleset_extractor u where u.extractor_id = r.id));
  if cardinality(retired) > 0 then
    delete from leasectl.index_text x where x.blob_id = any (ids) and x.extractor_id = any (retired);
    get diagnostics some_gone = row_count;
    payloads := some_gone;
    delete from leasectl.index_tags g where g.blob_id = any (ids) and g.extractor_id = any (retired);
    get diagnostics some_gone = row_count;
    payloads := payloads + some_gone;
  end if;
end
$$;

-- Rulesets that no directory has, and no run asked for since the grace began.
create function leasectl.index_collect_rulesets(grace interval, out deleted integer)
language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = off set lock_timeout = '2s' as $$
declare
  old integer[];
begin
  deleted := 0;
  if not leasectl.index_may_collect() then
    return;
  end if;
  old := array(select r.id from leasectl.index_ruleset r
                where r.used_at <= clock_timestamp() - grace order by r.id for update skip locked);
  delete from leasectl.index_ruleset r
   where r.id = any (old) and not exists (select from leasectl.index_dir d where d.ruleset_id = r.id);
  get diagnostics deleted = row_count;
end
$$;
