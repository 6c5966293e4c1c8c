-- Landing what was measured, and recording an opinion: each in one transaction. Helpers first.

-- Land results of one group; [[ordinal, fate, why], ...] of those that are not simply new. A result whose run was deleted is dropped;
-- one that is there is "already" or, with other content, an "alarm"; one without a run is refused. What it points to and is gone
-- becomes null.
create function scorehouse.land_group(p_columns text[], p_rows jsonb) returns jsonb
language plpgsql security invoker
set search_path = ''
as $$
declare
    v_runs uuid[] := array(select distinct (r ->> 'run_id')::uuid from jsonb_array_elements(p_rows) as r);
    v_gone uuid[] := array(select t.run_id from public.tombstones t where t.run_id = any(v_runs));
    v_known uuid[] := array(select r.id from public.runs r where r.id = any(v_runs));
    v_new uuid[];
    v_fates jsonb;
begin
    execute format(
        'with new as (insert into public.benchmark_results (%s) select %s '
        'from jsonb_populate_recordset(null::public.benchmark_results, $1) as r '
        'where r.run_id = any($2) and not (r.run_id = any($3)) on conflict do nothing returning id) '
        'select coalesce(array_agg(new.id), ''{}'') from new',
        (select string_agg(format('%I', c), ', ') from unnest(p_columns) as c),
        (
            select string_agg(
                case c
                    when 'provider_id' then '(select p.id from public.providers p where p.id = r.provider_id)'
                    when 'model_id' then '(select m.id from public.models m where m.id = r.model_id)'
                    else format('r.%I', c)
                end, ', '
            )
            from unnest(p_columns) as c
        )
    ) into v_new using p_rows, v_known, v_gone;
    if cardinality(v_new) = jsonb_array_length(p_rows) then
        return '[]';
    end if;
    with given as (
        select
            v.ordinality as n,
            r.id,
            r.run_id,
            to_jsonb(r) as said,
            row_number() over (partition by r.id order by v.ordinality) as turn
        from jsonb_array_elements(p_rows) with ordinality as v
        cross join lateral jsonb_populate_record(null::public.benchmark_results, v.value) as r
    )
    select coalesce(jsonb_agg(jsonb_build_array(
        g.n,
        case
            when g.run_id = any(v_gone) then 'dropped'
            when not (g.run_id = any(v_known)) then 'refused'
            when scorehouse.picked(g.said, p_columns) = scorehouse.picked(to_jsonb(b), p_columns) then 'already'
            else 'alarm'
        end,
        case when not (g.run_id = any(v_known)) then format('there is no run %s', g.run_id) end
    ) order by g.n), '[]')
    into v_fates
    from given as g
    left join public.benchmark_results as b on b.id = g.id
    where g.turn > 1 or not (g.id = any(v_new));
    return v_fates;
end;
$$;

-- The columns by which two results are the same.
create function scorehouse.picked(p_row jsonb, p_columns text[]) returns jsonb
language sql immutable security invoker
set search_path = ''
as $$
    select jsonb_object_agg(c, p_row -> c) from unnest(p_columns) as c where c not in ('provider_id', 'model_id')
$$;

-- Land one run: inserted once, later only its end is filled. A run that was deleted stays deleted; a slot of a schedule that
-- another run fills is not this one's, but what it measured is kept.
create function scorehouse.land_run(p_run jsonb) returns void
language plpgsql security invoker
set search_path = ''
as $$
declare
    v_columns text := (select string_agg(format('%I', k), ', ') from jsonb_object_keys(p_run) as k);
begin
    if exists (select 1 from public.tombstones t where t.run_id = (p_run ->> 'id')::uuid) then
        return;
    end if;
    if exists (select 1 from public.runs r where r.slot = p_run ->> 'slot' and r.id <> (p_run ->> 'id')::uuid) then
        p_run := p_run || '{"slot": null}';
    end if;
    execute format(
        'insert into public.runs as old (%1$s) select %1$s from jsonb_populate_record(null::public.runs, $1) '
        'on conflict (id) do update set finished_at = excluded.finished_at '
        'where old.finished_at is null and excluded.finished_at is not null',
        v_columns
    ) using p_run;
end;
$$;

-- Land runs and their results: {"epoch", "rows": how many results were given, "fates": [[index, fate, why], ...] of those that did
-- not simply land}. A result that cannot be stored is refused alone; a run that cannot be stored refuses the call.
create function public.land_results(
    p_runs jsonb, p_groups jsonb, p_batch uuid default null, p_parts integer default null
) returns jsonb
language plpgsql security invoker
set search_path = ''
set statement_timeout = '120s'
as $$
declare
    v_run jsonb;
    v_group record;
    v_row record;
    v_base bigint := 0;
    v_fates jsonb := '[]';
    v_found jsonb;
    v_turn integer;
    v_why text;
    v_state text;
begin
    for v_run in select value from jsonb_array_elements(p_runs) loop
        begin
            perform scorehouse.land_run(v_run);
        exception when integrity_constraint_violation or data_exception or program_limit_exceeded then
            get stacked diagnostics v_state = returned_sqlstate, v_why = message_text;
            raise exception '%', v_why
                using errcode = v_state, detail = jsonb_build_object('table', 'runs', 'key', v_run -> 'id')::text;
        end;
    end loop;
    for v_group in select * from scorehouse.groups(p_groups, p_batch, p_parts) order by rank loop
        begin
            v_found := scorehouse.land_group(v_group.columns, v_group.group_rows);
            v_fates := v_fates || scorehouse.shifted(v_found, v_base);
        exception when integrity_constraint_violation or data_exception or program_limit_exceeded then
            -- One of them is poison: each by itself.
            for v_row in select value, ordinality as n from jsonb_array_elements(v_group.group_rows) with ordinality loop
                for v_turn in 1..2 loop
                    begin
                        v_found := scorehouse.land_group(v_group.columns, jsonb_build_array(v_row.value));
                        exit;
                    exception
                        when foreign_key_violation then
                            -- What it points to went away in this moment: looked at again, it is gone.
                            get stacked diagnostics v_why = message_text;
                            v_found := jsonb_build_array(jsonb_build_array(1, 'refused', v_why));
                        when integrity_constraint_violation or data_exception or program_limit_exceeded then
                            get stacked diagnostics v_why = message_text;
                            v_found := jsonb_build_array(jsonb_build_array(1, 'refused', v_why));
                            exit;
                    end;
                end loop;
                v_fates := v_fates || scorehouse.shifted(v_found, v_base + v_row.n - 1);
            end loop;
        end;
        v_base := v_base + jsonb_array_length(v_group.group_rows);
    end loop;
    return jsonb_build_object('epoch', scorehouse.epoch(), 'rows', v_base, 'fates', v_fates);
end;
$$;

-- The fates of a group as those of the whole call: numbers from 0, behind the groups before.
create function scorehouse.shifted(p_fates jsonb, p_base bigint) returns jsonb
language sql immutable security invoker
set search_path = ''
as $$
    select coalesce(jsonb_agg(jsonb_build_array((f ->> 0)::bigint - 1 + p_base, f ->> 1, f ->> 2)), '[]')
    from jsonb_array_elements(p_fates) as f
$$;

-- Record one opinion and return it as it is in the table: what its message's request says, where it does not say otherwise.
-- {"feedback": row, or null if no request carries the message and no model was given}.
create function public.submit_feedback(p_row jsonb) returns json
language plpgsql security invoker
set search_path = ''
set timezone = 'UTC'
as $$
declare
    v_asked jsonb;
    v_row jsonb;
    v_stored json;
begin
    select jsonb_strip_nulls(jsonb_build_object(
        'model', e.model, 'is_simulated', e.is_simulated, 'task_type', e.task_type,
        'agent_id', e.agent_id, 'tenant_id', e.tenant_id, 'user_id', e.user_id
    ))
    into v_asked
    from public.request_events e
    where e.message_id = p_row ->> 'message_id'
    order by e.txid desc, e.commit_seq desc
    limit 1;
    v_row := coalesce(v_asked, '{}') || p_row;
    if not v_row ? 'model' then
        return json_build_object('feedback', null);
    end if;
    perform scorehouse.insert_group(
        'feedback_events', 'id', array(select jsonb_object_keys(v_row)), jsonb_build_array(v_row)
    );
    select to_json(f) into v_stored from public.feedback_events f where f.id = (v_row ->> 'id')::uuid;
    return json_build_object('feedback', v_stored);
end;
$$;

-- Functions are everyone's until that is taken back.
revoke execute on function
scorehouse.land_group, scorehouse.picked, scorehouse.land_run, public.land_results, scorehouse.shifted,
public.submit_feedback
from public, anon, authenticated;
grant execute on function
scorehouse.land_group, scorehouse.picked, scorehouse.land_run, public.land_results, scorehouse.shifted,
public.submit_feedback
to service_role;
