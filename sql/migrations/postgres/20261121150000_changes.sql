-- What a person changes of providers, models and budgets by the program: each row that changed has one row in the audit log, in the
-- transaction of the change.

-- A row as the audit log tells it: without its times and without who set it, which the log says itself; with the model's key, where
-- it belongs to one.
create function scorehouse.told_row(p_table text, p_row jsonb) returns jsonb
language sql stable security invoker
set search_path = ''
as $$
    select
        p_row - 'set_by' - array(
            select a.attname::text
            from pg_catalog.pg_attribute as a
            where
                a.attrelid = to_regclass(format('public.%I', p_table))
                and a.atttypid = 'timestamptz'::regtype
                and not a.attisdropped
        ) || case
            when p_row ? 'model_id' then jsonb_build_object(
                'model', (select m.key from public.models as m where m.id = (p_row ->> 'model_id')::uuid)
            )
            else '{}'
        end
$$;

-- One row of the audit log: p_old became p_new (null: there was none, or it is gone).
create function scorehouse.record_change(
    p_table text, p_action text, p_old jsonb, p_new jsonb, p_actor jsonb, p_at timestamptz
) returns void
language sql security invoker
set search_path = ''
as $$
    insert into public.audit_log (
        tenant_id, actor_id, actor_role, action, object_type, object_id, old_value, new_value, reason, created_at
    ) values (
        coalesce(p_new, p_old) ->> 'tenant_id', p_actor ->> 'id', p_actor ->> 'role', p_action, p_table,
        coalesce(p_new, p_old) ->> scorehouse.key_of(p_table),
        scorehouse.told_row(p_table, p_old), scorehouse.told_row(p_table, p_new), p_actor ->> 'reason', p_at
    )
$$;

-- Insert a row, or change of the one that is there the columns that are given; true if that changed anything but times.
create function scorehouse.change_row(
    p_table text, p_columns text[], p_row jsonb, p_action text, p_actor jsonb, p_at timestamptz
) returns boolean
language plpgsql security invoker
set search_path = ''
as $$
declare
    v_key text := scorehouse.key_of(p_table);
    v_settable text;
    v_given text := (select string_agg(format('%I', c), ', ') from unnest(p_columns) as c);
    v_old jsonb;
    v_new jsonb;
begin
    execute format(
        'select to_jsonb(t), to_jsonb(jsonb_populate_record(t, $1)) from public.%1$I as t '
        'where t.%2$I = (jsonb_populate_record(null::public.%1$I, $1)).%2$I for update',
        p_table, v_key
    ) into v_old, v_new using p_row;
    if v_old is null then
        execute format(
            'insert into public.%1$I as t (%2$s) select %2$s from jsonb_populate_record(null::public.%1$I, $1) '
            'returning to_jsonb(t)', p_table, v_given
        ) into v_new using p_row;
    elsif scorehouse.told_row(p_table, v_old) = scorehouse.told_row(p_table, v_new) then
        return false;
    else
        v_settable := (
            select string_agg(format('%I', c), ', ') from unnest(p_columns) as c where c not in (v_key, 'created_at')
        );
        execute format(
            'update public.%1$I as t set (%3$s) = (select %3$s from jsonb_populate_record(null::public.%1$I, $1)) '
            'where t.%2$I = (jsonb_populate_record(null::public.%1$I, $1)).%2$I returning to_jsonb(t)',
            p_table, v_key, v_settable
        ) into v_new using p_row;
    end if;
    perform scorehouse.record_change(p_table, p_action, v_old, v_new, p_actor, p_at);
    return true;
end;
$$;

-- Change rows, all or none; how many changed. Who changes the same table waits. A row that is refused is named in the error's
-- detail, as by write_rows.
create function public.change_rows(
    p_action text, p_actor jsonb, p_at timestamptz, p_groups jsonb, p_batch uuid default null, p_parts integer default null
) returns json
language plpgsql security invoker
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '120s'
as $$
declare
    v_group record;
    v_row jsonb;
    v_count bigint := 0;
    v_state text;
    v_why text;
begin
    for v_group in select * from scorehouse.groups(p_groups, p_batch, p_parts) order by rank loop
        if scorehouse.is_event(v_group.target) then
            raise exception '% holds events', v_group.target using errcode = 'wrong_object_type';
        end if;
        perform pg_advisory_xact_lock(hashtext('change_rows'), hashtext(v_group.target));
        for v_row in select value from jsonb_array_elements(v_group.group_rows) loop
            begin
                v_count := v_count + scorehouse.change_row(
                    v_group.target, v_group.columns, v_row, p_action, p_actor, p_at
                )::integer;
            exception when integrity_constraint_violation or data_exception or program_limit_exceeded then
                get stacked diagnostics v_state = returned_sqlstate, v_why = message_text;
                raise exception '%', v_why
                    using
                    errcode = v_state,
                    detail = jsonb_build_object(
                        'table', v_group.target, 'key', v_row -> scorehouse.key_of(v_group.target)
                    )::text;
            end;
        end loop;
    end loop;
    return json_build_object('changed', v_count);
end;
$$;

-- Delete rows by key, all or none; how many were there.
create function public.remove_rows(
    p_table text, p_ids jsonb, p_action text, p_actor jsonb, p_at timestamptz
) returns json
language plpgsql security invoker
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '120s'
as $$
declare
    v_old jsonb;
    v_count bigint := 0;
begin
    if scorehouse.is_event(p_table) then
        raise exception '% holds events', p_table using errcode = 'wrong_object_type';
    end if;
    perform pg_advisory_xact_lock(hashtext('change_rows'), hashtext(p_table));
    for v_old in execute format(
        'delete from public.%I as t where %s returning to_jsonb(t)',
        p_table, scorehouse.condition(p_table, jsonb_build_object(scorehouse.key_of(p_table), p_ids))
    ) loop
        perform scorehouse.record_change(p_table, p_action, v_old, null, p_actor, p_at);
        v_count := v_count + 1;
    end loop;
    return json_build_object('removed', v_count);
end;
$$;

-- Functions are everyone's until that is taken back.
revoke execute on function
scorehouse.told_row, scorehouse.record_change, scorehouse.change_row, public.change_rows, public.remove_rows
from public, anon, authenticated;
grant execute on function
scorehouse.told_row, scorehouse.record_change, scorehouse.change_row, public.change_rows, public.remove_rows
to service_role;

notify pgrst, 'reload schema';
