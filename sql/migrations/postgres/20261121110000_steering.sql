-- What steers routing, changed by the program: an agent's models, and which version of a policy is in force. Each change is one
-- transaction with its rows in the audit log.

-- What the audit log says of one model of an agent.
create function scorehouse.told(p_agent text, p_model text, p_is_enabled boolean, p_priority bigint) returns jsonb
language sql immutable security invoker
set search_path = ''
as $$
    select jsonb_build_object(
        'agent', p_agent, 'model', p_model, 'is_enabled', p_is_enabled, 'priority_override', p_priority
    )
$$;

-- Change which models an agent may use, all or none: p_changes are objects of "model" (its key, once), "is_enabled", "priority_override".
-- {"rows": those of agent_models in the order given, null if the agent is not p_tenant's, "unknown": a model that is not there}.
-- Who changes the same agent waits.
create function public.set_agent_models(
    p_agent text, p_agent_id uuid, p_tenant text, p_changes jsonb, p_actor jsonb, p_at timestamptz
) returns json
language plpgsql security invoker
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '120s'
as $$
declare
    v_unknown text;
    v_agent public.agents;
    v_rows json;
begin
    select c.value ->> 'model' into v_unknown
    from jsonb_array_elements(p_changes) with ordinality as c
    where not exists (select 1 from public.models as m where m.key = c.value ->> 'model')
    order by c.ordinality
    limit 1;
    if found then
        return json_build_object('rows', null, 'unknown', v_unknown);
    end if;
    insert into public.agents (id, key, tenant_id, created_at) values (p_agent_id, p_agent, p_tenant, p_at)
    on conflict (key) do nothing;
    select a.* into v_agent from public.agents as a where a.key = p_agent for update;
    if p_tenant is not null and v_agent.tenant_id is distinct from p_tenant then
        return json_build_object('rows', null, 'unknown', null);
    end if;
    with wanted as (
        select
            m.id as model_id,
            m.key as model,
            o.id as old_id,
            o.is_enabled as old_enabled,
            o.priority_override as old_priority,
            coalesce((c.value ->> 'is_enabled')::boolean, o.is_enabled, false) as is_enabled,
            case
                when c.value ? 'priority_override' then (c.value ->> 'priority_override')::bigint
                else o.priority_override
            end as priority_override
        from jsonb_array_elements(p_changes) as c
        inner join public.models as m on m.key = c.value ->> 'model'
        left join public.agent_models as o on o.agent_id = v_agent.id and o.model_id = m.id
    ),
    changed as (
        insert into public.agent_models (
            agent_id, model_id, tenant_id, is_enabled, priority_override, enabled_by, enabled_at
        )
        select v_agent.id, w.model_id, v_agent.tenant_id, w.is_enabled, w.priority_override, p_actor ->> 'id', p_at
        from wanted as w
        where
            w.old_id is null
            or (w.is_enabled, w.priority_override) is distinct from (w.old_enabled, w.old_priority)
        on conflict (agent_id, model_id) do update set
            is_enabled = excluded.is_enabled,
            priority_override = excluded.priority_override,
            enabled_by = excluded.enabled_by,
            enabled_at = excluded.enabled_at
        returning id, model_id
    )
    insert into public.audit_log (
        tenant_id, actor_id, actor_role, action, object_type, object_id, old_value, new_value, reason, created_at
    )
    select
        v_agent.tenant_id, p_actor ->> 'id', p_actor ->> 'role', 'set_agent_models', 'agent_models', n.id::text,
        case when w.old_id is not null then scorehouse.told(p_agent, w.model, w.old_enabled, w.old_priority) end,
        scorehouse.told(p_agent, w.model, w.is_enabled, w.priority_override),
        p_actor ->> 'reason', p_at
    from changed as n
    inner join wanted as w on w.model_id = n.model_id;
    select json_agg(r order by c.ordinality) into v_rows
    from jsonb_array_elements(p_changes) with ordinality as c
    inner join public.models as m on m.key = c.value ->> 'model'
    inner join public.agent_models as r on r.agent_id = v_agent.id and r.model_id = m.id;
    return json_build_object('rows', v_rows, 'unknown', null);
end;
$$;

-- The policies of one owner in one environment, as the unique indexes of routing_configs see it.
create function scorehouse.owned(p_owner jsonb) returns setof public.routing_configs
language sql stable security invoker
set search_path = ''
as $$
    select r.*
    from public.routing_configs as r
    where
        coalesce(r.tenant_id, '') = coalesce(p_owner ->> 'tenant_id', '')
        and coalesce(r.user_id, '') = coalesce(p_owner ->> 'user_id', '')
        and coalesce(r.agent_id, '') = coalesce(p_owner ->> 'agent_id', '')
        and r.environment = p_owner ->> 'environment'
$$;

-- Who changes an owner's policies waits for others who do.
create function scorehouse.wait_for_owner(p_owner jsonb) returns void
language sql security invoker
set search_path = ''
as $$
    select pg_advisory_xact_lock(hashtext('routing_configs'), hashtext(
        jsonb_build_array(
            p_owner ->> 'tenant_id', p_owner ->> 'user_id', p_owner ->> 'agent_id', p_owner ->> 'environment'
        )::text
    ))
$$;

-- A change of a policy as a row of the audit log.
create function scorehouse.record_policy(
    p_actor jsonb, p_action text, p_policy public.routing_configs, p_old jsonb, p_new jsonb, p_at timestamptz
) returns void
language sql security invoker
set search_path = ''
as $$
    insert into public.audit_log (
        tenant_id, actor_id, actor_role, action, object_type, object_id, old_value, new_value, reason, created_at
    ) values (
        p_policy.tenant_id, p_actor ->> 'id', p_actor ->> 'role', p_action, 'routing_configs', p_policy.id::text,
        p_old, p_new, p_actor ->> 'reason', p_at
    )
$$;

-- Add the next version of a policy; the same id again changes nothing. {"policy": row}
create function public.add_policy(p_row jsonb, p_actor jsonb) returns json
language plpgsql security invoker
set search_path = ''
set timezone = 'UTC'
as $$
declare
    v_made public.routing_configs;
begin
    perform scorehouse.wait_for_owner(p_row);
    select r.* into v_made from public.routing_configs as r where r.id = (p_row ->> 'id')::uuid;
    if not found then
        insert into public.routing_configs (
            id, tenant_id, user_id, agent_id, environment, name, version, rules, description, created_by, created_at
        )
        select
            n.id, n.tenant_id, n.user_id, n.agent_id, n.environment, n.name,
            (select coalesce(max(o.version), 0) + 1 from scorehouse.owned(p_row) as o where o.name = n.name),
            n.rules, n.description, n.created_by, n.created_at
        from jsonb_populate_record(null::public.routing_configs, p_row) as n
        returning * into v_made;
        perform scorehouse.record_policy(
            p_actor, 'add_policy', v_made, null,
            jsonb_build_object(
                'name', v_made.name, 'version', v_made.version, 'user_id', v_made.user_id, 'agent_id', v_made.agent_id,
                'environment', v_made.environment, 'rules', v_made.rules, 'description', v_made.description
            ),
            v_made.created_at
        );
    end if;
    return json_build_object('policy', to_json(v_made));
end;
$$;

-- Put one version (null: the newest) of an owner's policy in force; {"policy": row, or null if the owner has none such}.
create function public.activate_policy(
    p_owner jsonb, p_name text, p_version bigint, p_actor jsonb, p_at timestamptz
) returns json
language plpgsql security invoker
set search_path = ''
set timezone = 'UTC'
as $$
declare
    v_chosen public.routing_configs;
    v_before jsonb;
begin
    perform scorehouse.wait_for_owner(p_owner);
    select o.* into v_chosen
    from scorehouse.owned(p_owner) as o
    where o.name = p_name and (p_version is null or o.version = p_version)
    order by o.version desc
    limit 1;
    if not found then
        return json_build_object('policy', null);
    end if;
    if not v_chosen.is_active then
        select jsonb_build_object('name', o.name, 'version', o.version) into v_before
        from scorehouse.owned(p_owner) as o where o.is_active;
        update public.routing_configs as r set is_active = false
        from scorehouse.owned(p_owner) as o
        where r.id = o.id and r.is_active;
        update public.routing_configs as r set is_active = true, activated_at = p_at
        where r.id = v_chosen.id
        returning r.* into v_chosen;
        perform scorehouse.record_policy(
            p_actor, 'activate_policy', v_chosen, v_before,
            jsonb_build_object('name', v_chosen.name, 'version', v_chosen.version), p_at
        );
    end if;
    return json_build_object('policy', to_json(v_chosen));
end;
$$;

-- Functions are everyone's until that is taken back.
revoke execute on function
scorehouse.record_policy, scorehouse.told, public.set_agent_models, scorehouse.owned, scorehouse.wait_for_owner, public.add_policy,
public.activate_policy
from public, anon, authenticated;
grant execute on function
scorehouse.record_policy, scorehouse.told, public.set_agent_models, scorehouse.owned, scorehouse.wait_for_owner, public.add_policy,
public.activate_policy
to service_role;

notify pgrst, 'reload schema';
