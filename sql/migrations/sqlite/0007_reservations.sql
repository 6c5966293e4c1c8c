-- What callers reserved of budgets before a call, and what the call then cost.
create table budget_reservations (
    id text not null primary key,     -- given by the caller, so that asking again is harmless
    tenant_id text not null,
    user_id text,
    agent_id text,
    session_id text,                  -- the caller's id of the session
    model text,                       -- the model that is called; null: not said
    holds text not null default '[]',  -- JSON list: budgets and session it counts in (kind, id, since: start of the period)
    cost_usd real not null check (cost_usd >= 0),  -- what was reserved
    actual_usd real check (actual_usd >= 0),  -- what the call cost; null: not known, or never made
    state text not null default 'reserved' check (state in ('reserved', 'settled', 'released')),
    expires_at text not null,         -- from when on it counts as released unless it was settled
    settled_at text,                  -- when it was settled or released
    created_at text not null
) strict;
create index budget_reservations_by_state on budget_reservations (tenant_id, state, expires_at);
create index budget_reservations_by_user on budget_reservations (tenant_id, user_id);
create index budget_reservations_by_agent on budget_reservations (tenant_id, agent_id);

alter table user_sessions add column
reserved_usd real not null default 0 check (reserved_usd >= 0);
