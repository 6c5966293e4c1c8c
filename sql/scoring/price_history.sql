-- one row per price_id: every price of every model as of $as_of, in USD per 1M tokens, and how long it was in force
-- One with a quarantine_reason never was: its valid_until is null, as is that of the price in force.
-- An estimated price is what a price library says.
with known as (
    select
        p.id as price_id,
        m.key as model,
        r.key as provider,
        r.is_simulated,
        p.timestamp,
        p.input_price_per_m,
        p.output_price_per_m,
        p.cached_input_price_per_m,
        p.source,
        p.source = 'genai-prices' as is_estimated,
        p.quarantine_reason
    from prices as p
    inner join models as m on p.model_id = m.id
    inner join providers as r on m.provider_id = r.id
    where p.timestamp <= cast($as_of as timestamptz) and r.is_simulated = $is_simulated
)

select
    *,
    case
        when quarantine_reason is null
            then lead(timestamp) over (partition by model, quarantine_reason is null order by timestamp, price_id)
    end as valid_until
from known
order by model, timestamp, price_id
