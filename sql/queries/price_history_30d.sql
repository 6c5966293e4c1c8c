-- price changes of the last 30 days, in USD per 1M tokens; one with a quarantine_reason never counted
-- window: 30 days
select
    m.key as model,
    p.timestamp,
    p.input_price_per_m,
    p.output_price_per_m,
    p.cached_input_price_per_m,
    p.source,
    p.quarantine_reason
from prices as p
inner join models as m on p.model_id = m.id
where p.timestamp > $since and p.timestamp <= $as_of
order by m.key, p.timestamp, p.id
