-- Budgets that are reserved before a call and settled after it, and sessions that are touched by each request.

create table public.budget_reservations (
    id uuid primary key,
    tenant_id text not null,
    user_id text,
    agent_id text,
    session_id text,
    model text,
    holds public.list not null default '[]',
    cost_usd public.amount not null,
    actual_usd public.amount,
    state text not null default 'reserved' check (state in ('reserved', 'settled', 'released')),
    expires_at timestamptz not null,
    settled_at timestamptz,
    created_at timestamptz not null default now()
);
create index budget_reservations_by_state on public.budget_reservations (tenant_id, state, expires_at);
create index budget_reservations_by_user on public.budget_reservations (tenant_id, user_id);
create index budget_reservations_by_agent on public.budget_reservations (tenant_id, agent_id);
select scorehouse.describe('public.budget_reservations', 'What callers reserved of budgets before a call, and what the call then cost', '{
    "id": "UUID given by the caller, so that asking again is harmless",
    "session_id": "The caller''s id of the session",
    "model": "Key of the model that is called; null: not said",
    "holds": "JSON list: budgets and session it counts in, each with kind, id and since (start of the budget''s period)",
    "cost_usd": "What was reserved, in USD",
    "actual_usd": "What the call cost, in USD; null: not known, or never made",
    "state": "reserved, settled or released",
    "expires_at": "From when on it counts as released unless it was settled (UTC)",
    "settled_at": "When it was settled or released (UTC)",
    "created_at": "When it was reserved (UTC)"
}');

alter table public.user_sessions add column reserved_usd public.amount not null default 0;
comment on column public.user_sessions.reserved_usd is 'Reserved by calls that are under way, in USD';

-- Who may see them: as with budgets. Only the engine writes.
alter table public.budget_reservations enable row level security, force row level security;
create policy service_select on public.budget_reservations for select to service_role using (true);
create policy service_insert on public.budget_reservations for insert to service_role with check (true);
create policy service_update on public.budget_reservations for update to service_role using (true);
create policy service_delete on public.budget_reservations for delete to service_role using (true);
create policy platform_admin_select on public.budget_reservations for select to authenticated
using ((select scorehouse.claimed_role()) = 'platform_admin');
create policy tenant_admin_select on public.budget_reservations for select to authenticated
using ((select scorehouse.claimed_role()) = 'tenant_admin' and tenant_id = (select scorehouse.claimed_tenant()));
create policy user_select on public.budget_reservations for select to authenticated
using (
    (select scorehouse.claimed_role()) = 'user' and tenant_id = (select scorehouse.claimed_tenant())
    and user_id = (select scorehouse.claimed_user())
);
create policy agent_select on public.budget_reservations for select to authenticated
using (
    (select scorehouse.claimed_role()) = 'agent' and tenant_id = (select scorehouse.claimed_tenant())
    and agent_id = (select scorehouse.claimed_agent())
);
revoke all on public.budget_reservations from anon, authenticated;
grant all on public.budget_reservations to service_role;
grant select on public.budget_reservations to authenticated;

-- Take what a reservation held out of its budgets and its session, and count there what was spent. A budget whose period has
-- ended since then counts neither any more: a call belongs to the period in which it was reserved.
create function scorehouse.let_go(p_holds jsonb, p_reserved double precision, p_spent double precision) returns void
language plpgsql security invoker
set search_path = ''
as $$
begin
    update public.budgets as b
    set reserved_usd = greatest(0, b.reserved_usd - p_reserved), spent_usd = b.spent_usd + p_spent
    from jsonb_array_elements(p_holds) as h
    where
        h.value ->> 'kind' = 'budget' and b.id = (h.value ->> 'id')::uuid
        and b.period_start_at = (h.value ->> 'since')::timestamptz;
    update public.user_sessions as s
    set reserved_usd = greatest(0, s.reserved_usd - p_reserved), spent_usd = s.spent_usd + p_spent
    from jsonb_array_elements(p_holds) as h
    where h.value ->> 'kind' = 'session' and s.id = (h.value ->> 'id')::uuid;
end;
$$;

-- Lock budgets, then sessions, each in the order of their ids, so that no two callers ever wait for each other.
create function scorehouse.lock_budgets(p_budgets uuid[], p_sessions uuid[]) returns void
language plpgsql security invoker
set search_path = ''
as $$
begin
    perform 1 from public.budgets as b where b.id = any(p_budgets) order by b.id for update;
    perform 1 from public.user_sessions as s where s.id = any(p_sessions) order by s.id for update;
end;
$$;

-- The ids of one kind among what reservations hold.
create function scorehouse.held(p_holds jsonb, p_kind text) returns uuid[]
language sql immutable security invoker
set search_path = ''
as $$
    select coalesce(array_agg((h.value ->> 'id')::uuid), '{}') from jsonb_array_elements(p_holds) as h
    where h.value ->> 'kind' = p_kind
$$;

-- Reserve p_cost in every budget that holds for the caller, or in none: {"reservation": its row, null if one refused, "refusal": which
-- one and what is left of it, "left_usd", "left_requests": the least that any of them leaves, null without a limit}. A reservation that
-- was made already is given back as it stands. What expired in this tenant is released first.
create function public.reserve_budget(
    p_reservation uuid, p_cost double precision, p_tenant text, p_user text, p_agent text, p_session text, p_model text,
    p_at timestamptz, p_ttl_s double precision
) returns json
language plpgsql security invoker
set search_path = ''
set timezone = 'UTC'
as $$
declare
    slack constant double precision := 1e-9;  -- USD: sums of the same amounts differ by less, whatever their order
    v_at timestamptz := coalesce(p_at, clock_timestamp());
    v_row public.budget_reservations;
    v_expired uuid[];
    v_mine uuid[];
    v_session uuid;
    v_budgets uuid[];
    v_sessions uuid[];
    v_refusal json;
    v_left_usd double precision;
    v_left_requests bigint;
begin
    perform pg_advisory_xact_lock(hashtext('scorehouse.reservation'), hashtext(p_reservation::text));
    select array_agg(r.id) into v_expired from (
        select e.id from public.budget_reservations as e
        where e.tenant_id = p_tenant and e.state = 'reserved' and e.expires_at <= v_at
        order by e.expires_at limit 100
    ) as r;
    v_mine := array(
        select b.id from public.budgets as b
        where
            b.tenant_id = p_tenant and b.is_active and (b.user_id is null or b.user_id = p_user)
            and (b.agent_id is null or b.agent_id = p_agent)
    );
    select s.id into v_session from public.user_sessions as s
    where coalesce(s.tenant_id, '') = p_tenant and s.session_id = p_session;
    select
        v_mine || coalesce(array_agg(b.id), '{}'), array_remove(array[v_session], null) || coalesce(array_agg(s.id), '{}')
    into v_budgets, v_sessions
    from public.budget_reservations as r
    left join lateral unnest(scorehouse.held(r.holds, 'budget')) as b (id) on true
    left join lateral unnest(scorehouse.held(r.holds, 'session')) as s (id) on true
    where r.id = any(v_expired);
    perform scorehouse.lock_budgets(v_budgets, array_remove(v_sessions, null));
    for v_row in
        update public.budget_reservations as r set state = 'released', settled_at = v_at
        where r.id in (
            select e.id from public.budget_reservations as e
            where e.id = any(v_expired) and e.state = 'reserved'
            for update skip locked
        )
        returning r.*
    loop
        perform scorehouse.let_go(v_row.holds, v_row.cost_usd, 0);
    end loop;
    delete from public.budget_reservations as r where r.id in (
        select o.id from public.budget_reservations as o
        where
            o.tenant_id = p_tenant and o.state <> 'reserved' and o.expires_at < v_at - interval '30 days'
            and o.id <> p_reservation
        limit 100
        for update skip locked
    );

    select r.* into v_row from public.budget_reservations as r where r.id = p_reservation;
    if found and v_row.tenant_id <> p_tenant then
        return json_build_object('reservation', null, 'refusal', json_build_object('what', 'tenant'));
    end if;
    if found and v_row.state <> 'released' then
        return json_build_object('reservation', to_json(v_row), 'refusal', null);
    end if;

    update public.budgets as b
    set period_start_at = date_trunc(b.period, v_at, 'UTC'), spent_usd = 0, reserved_usd = 0
    where b.id = any(v_mine) and b.period <> 'total' and date_trunc(b.period, v_at, 'UTC') > b.period_start_at;
    update public.budgets as b
    set hour_start_at = date_trunc('hour', v_at, 'UTC'), hour_requests = 0
    where b.id = any(v_mine) and coalesce(b.hour_start_at < date_trunc('hour', v_at, 'UTC'), true);

    with purses as (
        select
            'budget' as kind, b.id, b.user_id, b.agent_id, b.period, b.limit_usd, b.requests_per_hour,
            b.limit_usd - b.spent_usd - b.reserved_usd as usd, b.requests_per_hour - b.hour_requests as requests
        from public.budgets as b where b.id = any(v_mine) and b.is_active
        union all
        select
            'session' as kind, s.id, s.user_id, s.agent_id, null, s.budget_usd, null,
            s.budget_usd - s.spent_usd - s.reserved_usd as usd, null
        from public.user_sessions as s where s.id = v_session
    )
    select
        case when min(p.usd) is not null then greatest(0, min(p.usd)) end,
        case when min(p.requests) is not null then greatest(0, min(p.requests)) end,
        (
            select json_build_object(
                'what', case when w.requests < 1 then 'requests' else 'usd' end, 'kind', w.kind, 'id', w.id, 'user_id', w.user_id,
                'agent_id', w.agent_id, 'period', w.period, 'limit_usd', w.limit_usd, 'requests_per_hour', w.requests_per_hour
            )
            from purses as w where w.requests < 1 or w.usd + slack < p_cost
            order by coalesce(w.requests < 1, false) desc, w.usd, w.id limit 1
        )
    into v_left_usd, v_left_requests, v_refusal
    from purses as p;
    if v_refusal is not null then
        return json_build_object(
            'reservation', null, 'refusal', v_refusal, 'left_usd', v_left_usd, 'left_requests', v_left_requests
        );
    end if;

    update public.budgets as b
    set reserved_usd = b.reserved_usd + p_cost, hour_requests = b.hour_requests + 1
    where b.id = any(v_mine) and b.is_active;
    update public.user_sessions as s set reserved_usd = s.reserved_usd + p_cost where s.id = v_session;
    insert into public.budget_reservations as r (
        id, tenant_id, user_id, agent_id, session_id, model, holds, cost_usd, expires_at, created_at
    )
    select
        p_reservation, p_tenant, p_user, p_agent, p_session, p_model,
        coalesce((
            select jsonb_agg(jsonb_build_object('kind', h.kind, 'id', h.id, 'since', h.since) order by h.kind, h.id) from (
                select 'budget' as kind, b.id, b.period_start_at as since from public.budgets as b
                where b.id = any(v_mine) and b.is_active
                union all
                select 'session' as kind, v_session as id, null as since where v_session is not null
            ) as h
        ), '[]'),
        p_cost, v_at + make_interval(secs => p_ttl_s), v_at
    on conflict (id) do update set
    user_id = excluded.user_id, agent_id = excluded.agent_id, session_id = excluded.session_id, model = excluded.model,
    holds = excluded.holds, cost_usd = excluded.cost_usd, actual_usd = null, state = 'reserved',
    expires_at = excluded.expires_at, settled_at = null, created_at = excluded.created_at
    returning r.* into v_row;
    return json_build_object(
        'reservation', to_json(v_row), 'refusal', null, 'left_usd', v_left_usd - p_cost, 'left_requests', v_left_requests - 1
    );
end;
$$;

-- Count what a reserved call cost (null: it was not made) instead of what was reserved: {"reservation": its row, null if there is none,
-- "over": the budgets and the session that have now spent more than their limit}. What was settled once stays so; a call
-- that was made after all, after its reservation was released, is counted all the same.
create function public.settle_budget(p_reservation uuid, p_cost double precision, p_at timestamptz) returns json
language plpgsql security invoker
set search_path = ''
set timezone = 'UTC'
as $$
declare
    slack constant double precision := 1e-9;
    v_row public.budget_reservations;
begin
    perform pg_advisory_xact_lock(hashtext('scorehouse.reservation'), hashtext(p_reservation::text));
    select r.* into v_row from public.budget_reservations as r where r.id = p_reservation;
    if not found then
        return json_build_object('reservation', null, 'over', '[]'::json);
    end if;
    -- Budgets are locked before their reservations, as when something expires; only then is it known what it is.
    perform scorehouse.lock_budgets(scorehouse.held(v_row.holds, 'budget'), scorehouse.held(v_row.holds, 'session'));
    select r.* into v_row from public.budget_reservations as r where r.id = p_reservation for update;
    if v_row.state = 'reserved' or (v_row.state = 'released' and p_cost is not null) then
        perform scorehouse.let_go(
            v_row.holds, case when v_row.state = 'reserved' then v_row.cost_usd else 0 end, coalesce(p_cost, 0)
        );
        update public.budget_reservations as r
        set
            state = case when p_cost is null then 'released' else 'settled' end, actual_usd = p_cost,
            settled_at = coalesce(p_at, clock_timestamp())
        where r.id = p_reservation
        returning r.* into v_row;
    end if;
    return json_build_object(
        'reservation', to_json(v_row),
        'over', (
            select coalesce(json_agg(o.purse), '[]') from (
                select json_build_object(
                    'what', 'usd', 'kind', 'budget', 'id', b.id, 'user_id', b.user_id, 'agent_id', b.agent_id, 'period', b.period,
                    'limit_usd', b.limit_usd, 'requests_per_hour', b.requests_per_hour
                ) as purse
                from public.budgets as b
                where b.id = any(scorehouse.held(v_row.holds, 'budget')) and b.spent_usd > b.limit_usd + slack
                union all
                select json_build_object(
                    'what', 'usd', 'kind', 'session', 'id', s.id, 'user_id', s.user_id, 'agent_id', s.agent_id, 'period', null,
                    'limit_usd', s.budget_usd, 'requests_per_hour', null
                ) as purse
                from public.user_sessions as s
                where s.id = any(scorehouse.held(v_row.holds, 'session')) and s.spent_usd > s.budget_usd + slack
            ) as o
        )
    );
end;
$$;

-- Note a request of a session, which begins with its first: {"session": its row, null if it is another user's}. What is null is left
-- as it is; a session that was over has forgotten its model.
create function public.touch_session(
    p_session text, p_tenant text, p_user text, p_agent text, p_model text, p_policy text, p_preferences jsonb,
    p_budget_usd double precision, p_at timestamptz, p_ttl_s double precision
) returns json
language plpgsql security invoker
set search_path = ''
set timezone = 'UTC'
as $$
declare
    v_at timestamptz := coalesce(p_at, clock_timestamp());
    v_row public.user_sessions;
begin
    insert into public.user_sessions as s (
        session_id, tenant_id, user_id, agent_id, model, policy, preferences, budget_usd, last_activity_at, expires_at, created_at
    )
    values (
        p_session, p_tenant, p_user, p_agent, p_model, p_policy, coalesce(p_preferences, '{}'), p_budget_usd, v_at,
        v_at + make_interval(secs => p_ttl_s), v_at
    )
    on conflict (coalesce(tenant_id, ''), session_id) do update set
    user_id = coalesce(s.user_id, excluded.user_id),
    agent_id = coalesce(excluded.agent_id, s.agent_id),
    model = coalesce(excluded.model, case when s.expires_at <= v_at then null else s.model end),
    policy = coalesce(excluded.policy, s.policy),
    preferences = coalesce(p_preferences, s.preferences),
    budget_usd = coalesce(excluded.budget_usd, s.budget_usd),
    last_activity_at = greatest(s.last_activity_at, v_at),
    expires_at = greatest(s.expires_at, excluded.expires_at)
    where s.user_id is null or p_user is null or s.user_id = p_user
    returning s.* into v_row;
    return json_build_object('session', case when v_row.id is null then null else to_json(v_row) end);
end;
$$;

-- Functions are everyone's until that is taken back.
revoke execute on function
scorehouse.let_go, scorehouse.lock_budgets, scorehouse.held, public.reserve_budget, public.settle_budget, public.touch_session
from public, anon, authenticated;
grant execute on function
scorehouse.let_go, scorehouse.lock_budgets, scorehouse.held, public.reserve_budget, public.settle_budget, public.touch_session
to service_role;

notify pgrst, 'reload schema';
