-- one row per message_id, user_id, feedback_type, is_simulated: the newest opinion of one day
-- A rating is a whole number of millionths, so that means do not depend on the order of adding.
select
    message_id,
    user_id,
    feedback_type,
    is_simulated,
    model as model_name,
    task_type,
    agent_id,
    tenant_id,
    cast(round(rating * 1e6) as bigint) as rating_micros,
    created_at,
    id
from ratings
where left_out is null
qualify row_number() over (partition by message_id, user_id, feedback_type, is_simulated order by created_at desc, id desc) = 1
order by message_id, user_id, feedback_type, is_simulated
