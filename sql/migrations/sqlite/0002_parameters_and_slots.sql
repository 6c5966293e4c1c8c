-- What a model was not sent and why, how much its provider would still have taken, and which slot of a schedule a run fills.

-- What the answer's headers said of the provider's limits, as a JSON object; null: nothing. Parts that were not said are absent.
-- {"requests": {"limit": 500, "remaining": 499, "reset_s": 12.5}, "tokens": {...}, "input_tokens": {...}, "output_tokens": {...},
--  "retry_after_s": 3.0}; requests and tokens may have renewal_period_s, the length of their window.
alter table benchmark_results add column rate_limits text;

-- JSON list: parameters that the workload set and that were not sent, because the model refuses them.
alter table benchmark_results add column
dropped_parameters text not null default '[]';

-- JSON object: parameter -> the UTC time at which the provider refused it by name. A sync never touches it.
alter table models add column
rejected_parameters text not null default '{}';

-- The slot of a schedule that this run fills ('benchmark@2026-11-21T04:15:00.000000Z'); null: no schedule started it.
alter table runs add column slot text;
create unique index runs_by_slot on runs (slot) where slot is not null;

drop view catalog;

-- A model as everyone but a sync sees it: what the admin set, else what the provider says, with its price in force.
create view catalog as
select
    m.id as model_id,
    m.key as id,
    p.key as provider_id,
    p.name as provider_name,
    m.name as external_id,
    coalesce(o.display_name, m.display_name) as display_name,
    coalesce(o.model_type, m.model_type) as model_type,
    coalesce(o.capabilities, m.capabilities) as capabilities,
    coalesce(o.priority, m.priority) as priority,
    coalesce(o.cost_tier, m.cost_tier) as cost_tier,
    coalesce(o.domains, m.domains) as domains,
    coalesce(o.context_window, m.context_window) as ctx_length,
    price.input_price_per_m as pricing_input,
    price.output_price_per_m as pricing_output,
    price.id as price_id,
    price.source as price_source,
    m.is_available and p.is_active as is_available,
    coalesce(o.is_active, m.is_active) as is_active,
    coalesce(o.is_enabled, 1) as is_enabled,
    m.is_manual,
    p.is_simulated,
    m.rejected_parameters,
    m.metadata,
    m.synced_at,
    m.created_at,
    m.updated_at
from models as m
inner join providers as p on m.provider_id = p.id
left join model_overrides as o on m.id = o.model_id
left join prices as price on price.id = (
    select q.id from prices as q
    where q.model_id = m.id
    order by q.timestamp desc, q.id desc
    limit 1
);
