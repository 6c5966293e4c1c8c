-- one row per message_id, user_id: an explicit opinion before an implicit one and one on oneself, the newest as of $as_of
-- weight is what it still counts: half as much every $half_life_days, in whole days, in millionths, at least one.
select
    v.message_id,
    v.user_id,
    v.feedback_type,
    n.model,
    v.task_type,
    v.agent_id as agent,
    v.tenant_id,
    v.rating_micros,
    v.created_at,
    greatest(
        1,
        cast(round(1e6 * pow(
            0.5,
            floor((epoch_us(cast($as_of as timestamptz)) - epoch_us(v.created_at)) / 86400e6)
            / cast($half_life_days as double)
        )) as bigint)
    ) as weight
from day_votes as v
inner join model_names as n on v.model_name = n.model_name and n.provider_name is null
where v.is_simulated = $is_simulated and v.created_at <= cast($as_of as timestamptz)
qualify
    row_number() over (
        partition by v.message_id, v.user_id
        order by v.feedback_type <> 'explicit', v.feedback_type = 'self_eval', v.created_at desc, v.id desc
    ) = 1
order by v.message_id, v.user_id
