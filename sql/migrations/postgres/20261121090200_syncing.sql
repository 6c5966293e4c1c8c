-- A sync of a catalog: what it is decided by, and its commit.

-- A text that changes with every change of a provider, its models and its prices.
create function scorehouse.catalog_version(p_provider uuid) returns text
language sql stable security invoker
set search_path = ''
as $$
    select concat_ws(
        '/',
        (select p.xmin from public.providers p where p.id = p_provider),
        (select count(*) from public.models m where m.provider_id = p_provider),
        (
            select bit_xor(hashtextextended(m.id::text || m.xmin::text, 0))
            from public.models m where m.provider_id = p_provider
        ),
        (select count(*) from public.prices p where p.provider_id = p_provider),
        (
            select bit_xor(hashtextextended(p.id::text || p.xmin::text, 0))
            from public.prices p where p.provider_id = p_provider
        )
    )
$$;

-- One provider's catalog as it is: {"catalog": {"provider": row, "version": of all of it}, or null}. Its models are read by select_rows.
create function public.catalog_state(p_provider text) returns json
language sql stable security invoker
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '120s'
as $$
    select json_build_object('catalog', (
        select json_build_object('provider', to_json(p), 'version', scorehouse.catalog_version(p.id))
        from public.providers p where p.key = p_provider
    ))
$$;

-- The prices that decide about a next one: of each model the newest from each source, in force or not, with figures or
-- without.
create function public.catalog_prices(p_models uuid[]) returns json
language sql stable security invoker
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '120s'
as $$
    select json_build_object('prices', coalesce(json_agg(q), '[]'))
    from (
        select distinct on (
            p.model_id,
            p.source,
            p.quarantine_reason is null,
            num_nonnulls(p.input_price_per_m, p.output_price_per_m, p.cached_input_price_per_m) = 0
        ) p.*
        from public.prices p
        where p.model_id = any(p_models)
        order by
            p.model_id,
            p.source,
            p.quarantine_reason is null,
            num_nonnulls(p.input_price_per_m, p.output_price_per_m, p.cached_input_price_per_m) = 0,
            p.timestamp desc,
            p.id desc
    ) as q
$$;

-- Make a provider's catalog what a sync made of it, if it is still the one of p_version: the rows written, or null if it is not.
create function public.commit_catalog(
    p_provider uuid, p_version text, p_groups jsonb, p_batch uuid default null, p_parts integer default null
) returns json
language plpgsql security invoker
set search_path = ''
set statement_timeout = '120s'
as $$
begin
    lock table public.providers, public.models, public.prices in share row exclusive mode;
    if scorehouse.catalog_version(p_provider) is distinct from p_version then
        return json_build_object('written', null);
    end if;
    return json_build_object('written', scorehouse.write_groups(p_groups, p_batch, p_parts));
end;
$$;

-- Record that a sync failed; {"found": whether there is such a provider}.
create function public.catalog_failed(p_provider text, p_error text) returns json
language plpgsql security invoker
set search_path = ''
as $$
begin
    update public.providers set last_sync_error = p_error where key = p_provider;
    return json_build_object('found', found);
end;
$$;

-- Change what is known of the parameters that a model rejects: name -> time of the refusal, or null to forget it.
create function public.note_rejected_parameters(p_model uuid, p_changes jsonb) returns json
language plpgsql security invoker
set search_path = ''
as $$
begin
    update public.models
    set rejected_parameters = jsonb_strip_nulls(rejected_parameters || p_changes), updated_at = now()
    where id = p_model;
    return json_build_object('found', found);
end;
$$;

-- Functions are everyone's until that is taken back.
revoke execute on function
scorehouse.catalog_version, public.catalog_state, public.catalog_prices, public.commit_catalog, public.catalog_failed,
public.note_rejected_parameters
from public, anon, authenticated;
grant execute on function
scorehouse.catalog_version, public.catalog_state, public.catalog_prices, public.commit_catalog, public.catalog_failed,
public.note_rejected_parameters
to service_role;

notify pgrst, 'reload schema';
