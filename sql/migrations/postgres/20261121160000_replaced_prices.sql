-- Prices are a history, of which no row is ever changed: what a person's price takes the place of is the one in force before it, and the audit
-- log tells that as the old value.

-- Of a new price the one of its model that was in force before it; null for other tables, and where there was none.
create function scorehouse.replaced_price(p_table text, p_new jsonb) returns jsonb
language sql stable security invoker
set search_path = ''
as $$
    select to_jsonb(p)
    from public.prices as p
    where
        p_table = 'prices' and p.model_id = (p_new ->> 'model_id')::uuid and p.id <> (p_new ->> 'id')::uuid
        and p.quarantine_reason is null
    order by p.timestamp desc, p.id desc
    limit 1
$$;

-- One row of the audit log: p_old became p_new (null: there was none, or it is gone).
create or replace function scorehouse.record_change(
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
        scorehouse.told_row(p_table, coalesce(p_old, scorehouse.replaced_price(p_table, p_new))),
        scorehouse.told_row(p_table, p_new), p_actor ->> 'reason', p_at
    )
$$;

-- Functions are everyone's until that is taken back.
revoke execute on function scorehouse.replaced_price from public, anon, authenticated;
grant execute on function scorehouse.replaced_price to service_role;
