-- How often decisions named each policy, and where actions went wrong. A worker counts it from the log behind the
-- facets, never the hot path: emptying these tables together with the cursor `tallies` and beginning again gives the same.

-- Each decision of the gate under each policy that it names.
create table remit.policy_namings (
    policy     text not null,
    workspace  text not null,                 -- '': of no session
    leaf_index bigint not null,
    primary key (policy, workspace, leaf_index)
);
-- How many of them a UTC day had.
create table remit.policy_counts (
    at        timestamptz not null,           -- the day's beginning
    workspace text not null,
    policy    text not null,
    n         bigint not null,
    primary key (at, workspace, policy)
) with (fillfactor = 80);
-- How many actions failed, were refused or denied, expired, or are of an outcome that is still unknown. An outcome that
-- becomes known is taken out of the hour in which it was not.
create table remit.trouble_counts (
    grain     text not null check (grain in ('hour', 'day')),
    agent     text not null,
    at        timestamptz not null,           -- the hour's or UTC day's beginning
    workspace text not null,
    action    text not null,                  -- the action type
    outcome   text not null,
    n         bigint not null,
    primary key (grain, agent, at, workspace, action, outcome)
) with (fillfactor = 80);
create index record_facets_of_trouble on remit.record_facets (agent, action, outcome, leaf_index)
    where outcome in ('failed', 'refused', 'denied', 'expired', 'unknown');

do $$ begin
    if exists (select 1 from pg_roles where rolname = 'remit_app') then
        grant select, insert, update, delete on
            remit.policy_namings, remit.policy_counts, remit.trouble_counts to remit_app;
    end if;
end $$;
