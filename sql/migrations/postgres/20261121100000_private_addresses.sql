-- The registry says of a provider whether its host may lead to an address that is not of the public internet.

create or replace view public.provider_registry with (security_invoker = true) as
select
    p.key as id,
    p.name as display_name,
    p.provider_type,
    p.base_url as api_base,
    p.models_endpoint,
    p.api_key_vault_path,
    p.rate_limit_rpm,
    p.is_active,
    p.is_simulated,
    p.last_synced,
    p.last_sync_error,
    p.created_by,
    p.created_at,
    p.updated_at,
    (select count(*) from public.models as m where m.provider_id = p.id and m.is_available) as model_count,
    p.is_private_allowed
from public.providers as p;
comment on column public.provider_registry.is_private_allowed is
'Whether api_base may lead to an address that is not of the public internet: its user said so';

notify pgrst, 'reload schema';
