-- one row per message_id, user_id, feedback_type: the newest opinion as of $as_of
select
    v.message_id,
    v.user_id,
    v.feedback_type,
    n.model,
    v.task_type,
    v.agent_id as agent,
    v.rating_micros,
    v.created_at
from day_votes as v
inner join model_names as n on v.model_name = n.model_name and n.provider_name is null
where v.is_simulated = $is_simulated and v.created_at <= cast($as_of as timestamptz)
qualify row_number() over (partition by v.message_id, v.user_id, v.feedback_type order by v.created_at desc, v.id desc) = 1
order by v.message_id, v.user_id, v.feedback_type
