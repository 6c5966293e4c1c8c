-- Whether a provider's host may lead to an address that is not of the public internet: a private network, a link, a carrier's
-- network, a cloud's metadata. Only its user can say so.
alter table providers add column
is_private_allowed integer not null default 0 check (is_private_allowed in (0, 1));

drop view provider_registry;

create view provider_registry as
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
    (select count(*) from models as m where m.provider_id = p.id and m.is_available) as model_count,
    p.is_private_allowed
from providers as p;
