-- Who may see and change which rows. Whatever is not written here is refused.
--
-- Roles of a token's app_metadata: platform_admin (manages providers and models, sees everything), tenant_admin (its tenant),
-- user (own rows; the role of whoever has none), agent (own rows, and writes what it did). The engine comes with the service key.
-- Nobody without a token sees anything. Policies say which rows; grants say which columns.

do $$
declare
    tenant constant text := 'tenant_id = (select scorehouse.claimed_tenant())';
    users_own constant text := tenant || ' and user_id = (select scorehouse.claimed_user())';
    agents_own constant text := tenant || ' and agent_id = (select scorehouse.claimed_agent())';
    everybodys constant text := 'tenant_id is null and user_id is null and agent_id is null';
    rule record;
    name text;
    verb text;
    condition text;
begin
    for name in
        select format('%I.%I', n.nspname, c.relname) from pg_catalog.pg_class as c
        inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
        where n.nspname in ('public', 'partitions') and c.relkind in ('r', 'p')
    loop
        execute format('alter table %s enable row level security, force row level security', name);
    end loop;
    for name in
        select c.relname from pg_catalog.pg_class as c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
    loop
        execute format('create policy service_select on public.%I for select to service_role using (true)', name);
        execute format('create policy service_insert on public.%I for insert to service_role with check (true)', name);
        execute format('create policy service_update on public.%I for update to service_role using (true)', name);
        execute format('create policy service_delete on public.%I for delete to service_role using (true)', name);
        execute format(
            'create policy platform_admin_select on public.%I for select to authenticated '
            'using ((select scorehouse.claimed_role()) = ''platform_admin'')', name
        );
    end loop;
    for rule in
        select * from (values
            ('platform_admin', 'insert update delete', 'true', array[
                'providers', 'models', 'model_overrides', 'domains', 'domain_benchmarks', 'task_domains',
                'organizations', 'agents', 'agent_models', 'routing_configs', 'routing_experiments', 'budgets'
            ]),
            ('platform_admin', 'insert update', 'true', array['prices']),  -- a history: nothing is taken out of it

            ('tenant_admin', 'select', 'true', array[
                'providers', 'models', 'model_overrides', 'prices', 'domains', 'task_domains',
                'model_metrics', 'model_metrics_by_window', 'model_performance_history'
            ]),
            ('tenant_admin', 'select', tenant, array[
                'organizations', 'agents', 'agent_models', 'audit_log', 'request_logs', 'compliance_log',
                'request_events', 'feedback_events', 'cache_metrics', 'batch_metrics',
                'routing_experiments', 'routing_decisions', 'user_sessions', 'budgets', 'billing_records'
            ]),
            ('tenant_admin', 'select', format('(%s) or (%s)', tenant, everybodys), array['routing_configs']),
            ('tenant_admin', 'insert update delete', tenant, array['agents', 'routing_configs', 'routing_experiments']),
            -- The agent has to be the tenant's own as well: a row of ours about somebody else's agent would change its choice.
            ('tenant_admin', 'insert update delete', tenant || ' and exists ('
                'select 1 from public.agents as a where a.id = agent_id and a.tenant_id = (select scorehouse.claimed_tenant()))',
            array['agent_models']),
            -- What the tenant as a whole may spend is not its own to say.
            ('tenant_admin', 'insert update delete', tenant || ' and (user_id is not null or agent_id is not null)',
            array['budgets']),
            ('tenant_admin', 'delete', tenant, array['user_sessions']),

            ('user', 'select', 'true', array[
                'providers', 'models', 'model_overrides', 'prices', 'domains', 'task_domains',
                'model_metrics', 'model_metrics_by_window', 'model_performance_history'
            ]),
            ('user', 'select', tenant, array['organizations']),
            ('user', 'select', users_own, array[
                'request_events', 'feedback_events', 'batch_metrics', 'routing_decisions', 'user_sessions', 'budgets'
            ]),
            ('user', 'select', format('(%s) or (%s)', users_own, everybodys), array['routing_configs']),
            ('user', 'insert update delete', users_own, array['routing_configs', 'user_sessions']),
            -- An opinion is on a message that was answered to this user, and names the model that wrote it.
            ('user', 'insert', users_own || ' and exists ('
                'select 1 from public.request_events as e where e.message_id = feedback_events.message_id '
                'and e.model = feedback_events.model and e.is_simulated = feedback_events.is_simulated)',
            array['feedback_events']),

            ('agent', 'select', 'true', array[
                'providers', 'models', 'model_overrides', 'prices', 'domains', 'task_domains',
                'model_metrics', 'model_metrics_by_window', 'model_performance_history'
            ]),
            ('agent', 'select', tenant || ' and key = (select scorehouse.claimed_agent())', array['agents']),
            ('agent', 'select', tenant || ' and exists ('
                'select 1 from public.agents as a where a.id = agent_id and a.key = (select scorehouse.claimed_agent()))',
            array['agent_models']),
            ('agent', 'select', agents_own, array[
                'request_events', 'feedback_events', 'routing_decisions', 'user_sessions', 'budgets'
            ]),
            ('agent', 'select', format('(%s) or (%s)', agents_own, everybodys), array['routing_configs']),
            ('agent', 'insert', agents_own, array['request_events', 'routing_decisions']),
            ('agent', 'insert update', agents_own, array['user_sessions']),
            ('agent', 'insert', agents_own || ' and feedback_type = ''self_eval'' and exists ('
                'select 1 from public.request_events as e where e.message_id = feedback_events.message_id '
                'and e.model = feedback_events.model and e.is_simulated = feedback_events.is_simulated)',
            array['feedback_events'])
        ) as rules (role, verbs, condition, tables)
    loop
        foreach name in array rule.tables loop
            foreach verb in array string_to_array(rule.verbs, ' ') loop
                condition := format('((select scorehouse.claimed_role()) = %L and (%s))', rule.role, rule.condition);
                execute format(
                    'create policy %I on public.%I for %s to authenticated %s', rule.role || '_' || verb, name, verb,
                    case verb
                        when 'insert' then 'with check ' || condition
                        when 'update' then 'using ' || condition || ' with check ' || condition
                        else 'using ' || condition
                    end
                );
            end loop;
        end loop;
    end loop;
end
$$;

grant all on all tables in schema public to service_role;
grant select on all tables in schema public to authenticated;
grant insert, update, delete on
public.providers, public.models, public.model_overrides, public.domains, public.domain_benchmarks, public.task_domains,
public.organizations, public.agents, public.agent_models, public.routing_configs, public.routing_experiments
to authenticated;
grant insert, update on public.prices to authenticated;
-- What was spent and asked is counted by the engine alone, and an event's place in the order is the store's own.
grant delete on public.budgets, public.user_sessions to authenticated;
grant insert (
    id, tenant_id, user_id, agent_id, period, limit_usd, requests_per_hour, is_active, set_by
), update (
    limit_usd, requests_per_hour, is_active, set_by, updated_at
) on public.budgets to authenticated;
grant insert (
    id, session_id, tenant_id, user_id, agent_id, model, policy, preferences, conversation_context, budget_usd, last_activity_at,
    expires_at
), update (
    model, policy, preferences, conversation_context, budget_usd, last_activity_at, expires_at
) on public.user_sessions to authenticated;
grant insert (
    id, message_id, model, is_simulated, task_type, rating, feedback_type, signal, conversation_id, agent_id, tenant_id, user_id
) on public.feedback_events to authenticated;
grant insert (
    id, request_id, model, provider, is_simulated, domain, task_type, success, status, error_type, latency_ms, ttft_ms,
    tokens_input, tokens_output, cost, confidence, correct, cache_hit, batch_id, agent_id, tenant_id, user_id, team_alias,
    session_id, message_id, metadata, created_at, total_tokens, cost_source, price_id, complexity, conversation_id, role, content,
    tools_used, decision_id
) on public.request_events to authenticated;
grant insert (
    id, tenant_id, user_id, agent_id, session_id, request_id, task_type, task_source, task_confidence, domain, route_query, model,
    provider, score, source, policy, parts, evidence, fallbacks, candidates, rejected, reasons, reason_codes, snapshot_id,
    configuration_id, is_simulated, is_stale, age_s, experiment_id, experiment_arm, decision_ms, created_at
) on public.routing_decisions to authenticated;
grant usage on all sequences in schema public to service_role;

-- Whatever a person changes through REST is audited here; the engine's commands write their own audit rows.
create function scorehouse.audit() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
    headers constant jsonb := nullif(current_setting('request.headers', true), '')::jsonb;
    old_value constant jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
    new_value constant jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
    changed constant jsonb := coalesce(new_value, old_value);
begin
    insert into public.audit_log (
        tenant_id, actor_id, actor_role, action, object_type, object_id, old_value, new_value, ip_address, user_agent
    ) values (
        coalesce(changed ->> 'tenant_id', scorehouse.claimed_tenant()), scorehouse.claimed_user(), scorehouse.claimed_role(),
        lower(tg_op), tg_table_name, coalesce(changed ->> 'id', changed ->> 'model_id'), old_value, new_value,
        split_part(headers ->> 'x-forwarded-for', ',', 1), headers ->> 'user-agent'
    );
    return null;
end
$$;
do $$
declare
    name text;
begin
    foreach name in array array[
        'providers', 'models', 'model_overrides', 'prices', 'domains', 'domain_benchmarks', 'task_domains', 'organizations',
        'agents', 'agent_models', 'routing_configs', 'routing_experiments', 'budgets'
    ] loop
        -- What a deletion takes along needs no row of its own.
        execute format(
            'create trigger audited after insert or update or delete on public.%I for each row '
            'when (current_user = ''authenticated'' and pg_trigger_depth() = 0) execute function scorehouse.audit()', name
        );
    end loop;
end
$$;
