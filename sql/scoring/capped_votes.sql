-- one row per audience, message_id, user_id: the opinions that count for whom, so that nobody can shout others down
-- audience is own (a tenant's ratings for itself: all of them), agent (an agent's, whoever rates) or everyone. For the
-- last two one user's newest ratings of a model at a task count up to $user_share of what counts there, $user_votes in any
-- case; one tenant's up to $tenant_share, but up to $tenant_votes as many as the others' together: none where no other
-- tenant rated the model. Where only one user, or one tenant, ever rated at all, there is nobody to be protected.
with heard as (
    select 'everyone' as audience, cast(null as varchar) as circle, * from votes
    union all
    select 'agent' as audience, agent as circle, * from votes
    where agent is not null
),

-- a user is one of his tenant; those without a name are one user together
raters as (
    select
        *,
        coalesce(tenant_id, '') as tenant,
        concat(coalesce(tenant_id, ''), chr(31), coalesce(user_id, '')) as rater
    from heard
),

ranked as (
    select
        *,
        min(rater) over (partition by audience, circle) = max(rater) over (partition by audience, circle) as is_only_rater,
        min(tenant) over (partition by audience, circle) = max(tenant) over (partition by audience, circle) as is_only_tenant,
        count(*) over (partition by audience, circle, model, task_type) as cell_n,
        count(*) over (partition by audience, circle, model, task_type, rater) as rater_n,
        row_number() over (
            partition by audience, circle, model, task_type, rater
            order by created_at desc, message_id asc, user_id asc
        ) as rater_place
    from raters
),

of_users as (
    select *
    from ranked
    where
        is_only_rater or cast($user_share as double) >= 1
        or rater_place
        <= greatest(cast($user_votes as double), floor($user_share * (cell_n - rater_n) / (1.0 - $user_share) + 1e-9))
),

of_tenants as (
    select
        *,
        count(*) over (partition by audience, circle, model, task_type) as left_n,
        count(*) over (partition by audience, circle, model, task_type, tenant) as tenant_n,
        row_number() over (
            partition by audience, circle, model, task_type, tenant
            order by created_at desc, message_id asc, user_id asc
        ) as tenant_place
    from of_users
),

counted as (
    select audience, message_id, user_id, model, task_type, agent, tenant_id, rating_micros, created_at, weight
    from of_tenants
    where
        is_only_tenant or cast($tenant_share as double) >= 1
        or tenant_place
        <= greatest(
            least(cast($tenant_votes as double), left_n - tenant_n),
            floor($tenant_share * (left_n - tenant_n) / (1.0 - $tenant_share) + 1e-9)
        )
    union all
    select 'own' as audience, message_id, user_id, model, task_type, agent, tenant_id, rating_micros, created_at, weight
    from votes
    where tenant_id is not null
)

select *
from counted
order by audience, message_id, user_id
