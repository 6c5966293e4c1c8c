-- What the program asks of the database by RPC, each in one transaction: reading, writing, landing, feedback, expiry.
--
-- The program runs them with the service key and nobody else may. They run with their caller's rights; but for
-- store_state, which reads what only the owner of the migrations may. A batch that is too large for one request is staged in parts
-- before the function that takes it is called, so that it still becomes visible whole or not at all.
-- Rows travel as "groups": [{"table": name, "columns": [names], "rows": [objects]}]; every row of a group has just these columns,
-- so that what was not given takes its default. The deadline of a call is the function's own: PostgREST takes it over.
create table scorehouse.staged (
    batch uuid not null,
    part integer not null,
    groups jsonb not null,
    staged_at timestamptz not null default now(),
    primary key (batch, part)
);
comment on table scorehouse.staged is 'Parts of a batch that one call could not carry; forgotten after a day.';
alter table scorehouse.staged enable row level security;
alter table scorehouse.staged force row level security;
revoke all on scorehouse.staged from public;
grant select, insert, update, delete on scorehouse.staged to service_role;

create function public.stage_rows(p_batch uuid, p_part integer, p_groups jsonb) returns json
language plpgsql security invoker
set search_path = ''
set statement_timeout = '120s'
as $$
begin
    if p_part = 0 then
        delete from scorehouse.staged s where s.staged_at < now() - interval '1 day';
    end if;
    insert into scorehouse.staged (batch, part, groups) values (p_batch, p_part, p_groups)
    on conflict (batch, part) do update set groups = excluded.groups, staged_at = now();
    return json_build_object('staged', p_part);
end;
$$;

create function public.unstage_rows(p_batch uuid) returns json
language plpgsql security invoker
set search_path = ''
as $$
declare
    v_gone integer;
begin
    delete from scorehouse.staged s where s.batch = p_batch;
    get diagnostics v_gone = row_count;
    return json_build_object('unstaged', v_gone);
end;
$$;

-- The groups of a call: those given, else those that were staged, in order.
create function scorehouse.groups(p_groups jsonb, p_batch uuid, p_parts integer)
returns table (rank bigint, target text, columns text[], group_rows jsonb)
language plpgsql stable security invoker
set search_path = ''
as $$
begin
    if p_batch is not null and p_parts is distinct from (select count(*)::integer from scorehouse.staged s where s.batch = p_batch) then
        raise exception 'the staged batch % is not whole', p_batch using errcode = 'object_not_in_prerequisite_state';
    end if;
    return query
    select
        row_number() over (order by t.part, g.ordinality),
        g.value ->> 'table',
        array(select jsonb_array_elements_text(g.value -> 'columns')),
        g.value -> 'rows'
    from (
        select 0 as part, p_groups as groups where p_batch is null
        union all
        select s.part, s.groups from scorehouse.staged s where s.batch = p_batch
    ) as t
    cross join lateral jsonb_array_elements(t.groups) with ordinality as g;
end;
$$;

-- Whether a table of `public` holds events: those carry the transaction that wrote them.
create function scorehouse.is_event(p_table text) returns boolean
language sql stable security invoker
set search_path = ''
as $$
    select exists (
        select 1 from pg_catalog.pg_attribute a
        where a.attrelid = to_regclass(format('public.%I', p_table)) and a.attname = 'txid' and not a.attisdropped
    )
$$;

-- The column that identifies a row: `id`, else the one of the primary key.
create function scorehouse.key_of(p_table text) returns text
language sql stable security invoker
set search_path = ''
as $$
    select a.attname
    from pg_catalog.pg_attribute a
    left join pg_catalog.pg_index i on i.indrelid = a.attrelid and i.indisprimary and a.attnum = any(i.indkey)
    where
        a.attrelid = to_regclass(format('public.%I', p_table))
        and not a.attisdropped
        and (a.attname = 'id' or i.indrelid is not null)
    order by a.attname <> 'id', a.attnum
    limit 1
$$;

-- The text of an insert of one group, its rows being $1. An event that is there stays: $2 are ids that are.
create function scorehouse.insertion(p_table text, p_key text, p_columns text[]) returns text
language sql stable security invoker
set search_path = ''
as $$
    select format(
        'insert into public.%1$I (%2$s) select %2$s from jsonb_populate_recordset(null::public.%1$I, $1) as r %3$s',
        p_table,
        (select string_agg(format('%I', c), ', ') from unnest(p_columns) as c),
        case
            when scorehouse.is_event(p_table) then 'where not (r.id = any($2)) on conflict do nothing'
            else format('on conflict (%I) do ', p_key) || coalesce(
                'update set ' || (
                    select string_agg(format('%1$I = excluded.%1$I', c), ', ')
                    from unnest(p_columns) as c where c not in (p_key, 'created_at')
                ),
                'nothing'
            )
        end
    )
$$;

-- Insert one group; the number of rows that are new or were overwritten.
create function scorehouse.insert_group(p_table text, p_key text, p_columns text[], p_rows jsonb) returns integer
language plpgsql security invoker
set search_path = ''
as $$
declare
    v_ids uuid[];
    v_there uuid[] := '{}';
    v_count integer;
begin
    if scorehouse.is_event(p_table) then
        v_ids := array(select (r ->> 'id')::uuid from jsonb_array_elements(p_rows) as r);
        -- A partitioned table has no key across its months: who writes the same ids waits, then sees them.
        perform pg_advisory_xact_lock(hashtext(p_table), b.bucket)
        from (select distinct hashtext(i::text) & 63 as bucket from unnest(v_ids) as i order by 1) as b;
        execute format('select coalesce(array_agg(t.id), ''{}'') from public.%I t where t.id = any($1)', p_table)
            into v_there using v_ids;
    end if;
    execute scorehouse.insertion(p_table, p_key, p_columns) using p_rows, v_there;
    get diagnostics v_count = row_count;
    return v_count;
end;
$$;

-- Upsert the rows of all groups; how many are new or were overwritten. A row that is refused is named in the error's detail,
-- {"table": name, "key": value}.
create function scorehouse.write_groups(p_groups jsonb, p_batch uuid, p_parts integer) returns bigint
language plpgsql security invoker
set search_path = ''
as $$
declare
    v_group record;
    v_row jsonb;
    v_count bigint := 0;
    v_key text;
    v_state text;
    v_why text;
begin
    for v_group in select * from scorehouse.groups(p_groups, p_batch, p_parts) order by rank loop
        v_key := scorehouse.key_of(v_group.target);
        begin
            v_count := v_count + scorehouse.insert_group(v_group.target, v_key, v_group.columns, v_group.group_rows);
        exception when integrity_constraint_violation or data_exception or program_limit_exceeded then
            get stacked diagnostics v_state = returned_sqlstate, v_why = message_text;
            for v_row in select value from jsonb_array_elements(v_group.group_rows) loop
                begin
                    v_count := v_count + scorehouse.insert_group(
                        v_group.target, v_key, v_group.columns, jsonb_build_array(v_row)
                    );
                exception when integrity_constraint_violation or data_exception or program_limit_exceeded then
                    get stacked diagnostics v_state = returned_sqlstate, v_why = message_text;
                    raise exception '%', v_why
                        using
                        errcode = v_state,
                        detail = jsonb_build_object('table', v_group.target, 'key', v_row -> v_key)::text;
                end;
            end loop;
        end;
    end loop;
    return v_count;
end;
$$;

-- Upsert rows, all or none; how many are new or were overwritten.
create function public.write_rows(p_groups jsonb, p_batch uuid default null, p_parts integer default null) returns json
language sql security invoker
set search_path = ''
set statement_timeout = '120s'
as $$ select json_build_object('written', scorehouse.write_groups(p_groups, p_batch, p_parts)) $$;


-- The text of a condition: column -> null (is null) or a list of values, any of which will do.
create function scorehouse.condition(p_table text, p_filters jsonb) returns text
language sql stable security invoker
set search_path = ''
as $$
    select coalesce(string_agg(
        case
            when f.value = 'null'::jsonb then format('t.%I is null', f.key)
            else format('t.%I = any(%L::text[]::%s[])', f.key, array(
                select v from jsonb_array_elements_text(f.value) as v
                where
                    a.atttypid <> 'uuid'::regtype
                    or v ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'  -- what is no id is nobody's
            ), format_type(a.atttypid, a.atttypmod))
        end, ' and '
    ), 'true')
    from jsonb_each(p_filters) as f
    inner join pg_catalog.pg_attribute as a
        on a.attrelid = to_regclass(format('public.%I', p_table)) and a.attname = f.key and not a.attisdropped
$$;

-- Delete rows by key; how many were there. What hangs on them goes or stays as the tables say.
create function public.delete_rows(p_table text, p_ids jsonb) returns json
language plpgsql security invoker
set search_path = ''
set statement_timeout = '120s'
as $$
declare
    v_count bigint;
begin
    if scorehouse.is_event(p_table) then
        raise exception '% holds events', p_table using errcode = 'wrong_object_type';
    end if;
    execute format(
        'delete from public.%I t where %s',
        p_table, scorehouse.condition(p_table, jsonb_build_object(scorehouse.key_of(p_table), p_ids))
    );
    get diagnostics v_count = row_count;
    return json_build_object('deleted', v_count);
end;
$$;

-- One page of a table or view: {"rows": [...], "total": all that match, if p_total}; of p_columns, or of all.
-- With p_key the page begins behind p_after in the order of that column; else it is p_order ([[column, is descending], ...]; nulls
-- last, text by its bytes) that counts, and p_offset.
create function public.select_rows(
    p_table text,
    p_filters jsonb,
    p_limit integer,
    p_key text default null,
    p_after text default null,
    p_order jsonb default '[]',
    p_offset bigint default 0,
    p_total boolean default false,
    p_columns text[] default null
) returns json
language plpgsql stable security invoker
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '120s'
as $$
declare
    v_condition text := scorehouse.condition(p_table, p_filters);
    v_order text := case when p_key is not null then format('t.%I', p_key) end;
    v_rows json;
    v_total bigint;
begin
    if p_total then
        execute format('select count(*) from public.%I t where %s', p_table, v_condition) into v_total;
    end if;
    if p_after is not null then
        v_condition := v_condition || format(
            ' and t.%I > %L::%s',
            p_key,
            p_after,
            (
                select format_type(a.atttypid, a.atttypmod) from pg_catalog.pg_attribute a
                where a.attrelid = to_regclass(format('public.%I', p_table)) and a.attname = p_key
            )
        );
    end if;
    if v_order is null then
        select string_agg(
            format(
                't.%I %s %s nulls last',
                o.value ->> 0,
                case when a.atttypid = any('{text,varchar}'::regtype[]) then 'collate "C"' else '' end,
                case when (o.value ->> 1)::boolean then 'desc' else 'asc' end
            ), ', ' order by o.ordinality
        )
        into v_order
        from jsonb_array_elements(p_order) with ordinality as o
        inner join pg_catalog.pg_attribute as a
            on a.attrelid = to_regclass(format('public.%I', p_table)) and a.attname = o.value ->> 0;
    end if;
    execute format(
        'select coalesce(json_agg(p), ''[]'') from (select %s from public.%I t where %s order by %s limit %s offset %s) p',
        coalesce((select string_agg(format('t.%I', c), ', ') from unnest(p_columns) as c), 't.*'),
        p_table, v_condition, coalesce(v_order, '1'), p_limit, p_offset
    ) into v_rows;
    return json_build_object('rows', v_rows, 'total', v_total);
end;
$$;

-- Events of transactions that are over and before which none is under way, in the order (txid, commit_seq), behind a point
-- in it: a row that becomes visible later always lies behind every row that was given out. {"rows": [...]}
create function public.read_events(p_table text, p_txid text, p_seq bigint, p_limit integer) returns json
language plpgsql stable security invoker
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '120s'
as $$
declare
    v_rows json;
begin
    execute format(
        'select coalesce(json_agg(p), ''[]'') from ('
        'select t.* from public.%I t '
        'where (t.txid, t.commit_seq) > ($1, $2) and t.txid < pg_snapshot_xmin(pg_current_snapshot()) '
        'order by t.txid, t.commit_seq limit $3) p',
        p_table
    ) into v_rows using p_txid::xid8, p_seq, p_limit;
    return json_build_object('rows', v_rows);
end;
$$;

-- How many events there are in an interval of that order, and a sum over their ids, by the UTC day of created_at:
-- {"days": [[day, rows, sum], ...]}. With p_until null, up to now: rows that extraction has to leave for later included.
create function public.tally_events(
    p_table text, p_txid text, p_seq bigint, p_until_txid text default null, p_until_seq bigint default null
) returns json
language plpgsql stable security invoker
set search_path = ''
set statement_timeout = '120s'
as $$
declare
    v_days json;
begin
    execute format(
        'select coalesce(json_agg(json_build_array(d.day, d.n, d.ids::text) order by d.day), ''[]'') from ('
        'select to_char(t.created_at at time zone ''UTC'', ''YYYY-MM-DD'') as day, count(*) as n, '
        'sum((''x'' || left(md5(t.id::text), 15))::bit(60)::bigint) as ids from public.%I t '
        'where (t.txid, t.commit_seq) > ($1, $2) and ($3 is null or (t.txid, t.commit_seq) <= ($3, $4)) group by 1) d',
        p_table
    ) into v_days using p_txid::xid8, p_seq, p_until_txid::xid8, p_until_seq;
    return json_build_object('days', v_days);
end;
$$;

-- Delete at most p_limit events that were created before a moment and read up to a point; how many went, or would go.
create function public.expire_events(
    p_table text, p_before timestamptz, p_txid text, p_seq bigint, p_limit bigint, p_dry_run boolean
) returns json
language plpgsql security invoker
set search_path = ''
set statement_timeout = '120s'
as $$
declare
    v_due text := format(
        'from public.%I t where t.created_at < $1 and (t.txid, t.commit_seq) <= ($2, $3)', p_table
    );
    v_count bigint;
begin
    if p_dry_run then
        execute 'select count(*) ' || v_due into v_count using p_before, p_txid::xid8, p_seq;
        return json_build_object('expired', v_count);
    end if;
    execute format(
        'delete from public.%1$I e where e.id in (select t.id %2$s limit $4) and e.created_at < $1', p_table, v_due
    ) using p_before, p_txid::xid8, p_seq, p_limit;
    get diagnostics v_count = row_count;
    return json_build_object('expired', v_count);
end;
$$;

-- The identity of this database. A copy, a restored backup or a promoted standby is another one, and says so by itself: its
-- cluster, timeline or number differ from those in the newest epoch. Rows that were restored into a younger cluster carry numbers
-- of transactions which there are yet to come; they count as written now.
create function scorehouse.epoch() returns text
language plpgsql security definer
set search_path = ''
as $$
declare
    v_here text := (
        select '@' || s.system_identifier || '/' || c.timeline_id || '/' || d.oid
        from pg_control_system() as s, pg_control_checkpoint() as c, pg_catalog.pg_database as d
        where d.datname = current_database()
    );
    v_epoch text;
    v_table text;
begin
    select e.epoch into v_epoch from public.store_epoch e order by e.created_at desc, e.epoch limit 1;
    if right(v_epoch, length(v_here)) = v_here then
        return v_epoch;
    end if;
    perform pg_advisory_xact_lock(hashtext('scorehouse.epoch'));
    select e.epoch into v_epoch from public.store_epoch e order by e.created_at desc, e.epoch limit 1;
    if right(v_epoch, length(v_here)) = v_here then
        return v_epoch;
    end if;
    for v_table in
        select a.attrelid::regclass::text from pg_catalog.pg_attribute a
        inner join pg_catalog.pg_class as c on c.oid = a.attrelid
        where
            c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
            and a.attname = 'txid' and not a.attisdropped
    loop
        execute format(
            'update %s set txid = pg_current_xact_id() where txid >= pg_snapshot_xmax(pg_current_snapshot())', v_table
        );
    end loop;
    insert into public.store_epoch (epoch, created_at) values (gen_random_uuid() || v_here, clock_timestamp())
    returning epoch into v_epoch;
    return v_epoch;
end;
$$;

create function public.current_epoch() returns json
language sql security invoker
set search_path = ''
as $$ select json_build_object('epoch', scorehouse.epoch()) $$;

-- What a program compares itself with: {"epoch", "migrations": names of those recorded or null, "columns": {table: [names]}}.
create function public.store_state() returns json
language plpgsql security definer
set search_path = ''
as $$
declare
    v_migrations json;
begin
    if to_regclass('supabase_migrations.schema_migrations') is not null then
        execute 'select coalesce(json_agg(m.version order by m.version), ''[]'') from supabase_migrations.schema_migrations m'
            into v_migrations;
    end if;
    return json_build_object(
        'epoch', scorehouse.epoch(),
        'migrations', v_migrations,
        'columns', (
            select json_object_agg(t.relname, t.names) from (
                select c.relname, json_agg(a.attname order by a.attnum) as names
                from pg_catalog.pg_class c
                inner join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v') and not c.relispartition
                group by c.relname
            ) t
        )
    );
end;
$$;

-- Functions are everyone's until that is taken back.
revoke execute on function
public.stage_rows, public.unstage_rows, scorehouse.groups, scorehouse.is_event, scorehouse.key_of, scorehouse.insertion,
scorehouse.insert_group, scorehouse.write_groups, public.write_rows, scorehouse.condition, public.delete_rows,
public.select_rows, public.read_events, public.tally_events, public.expire_events, scorehouse.epoch,
public.current_epoch, public.store_state
from public, anon, authenticated;
grant execute on function
public.stage_rows, public.unstage_rows, scorehouse.groups, scorehouse.is_event, scorehouse.key_of, scorehouse.insertion,
scorehouse.insert_group, scorehouse.write_groups, public.write_rows, scorehouse.condition, public.delete_rows,
public.select_rows, public.read_events, public.tally_events, public.expire_events, scorehouse.epoch,
public.current_epoch, public.store_state
to service_role;
