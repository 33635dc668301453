-- What the sealed record says, as people look for it, and counted. A worker fills it from the log, never the hot path:
-- dropping all of it and beginning again gives the same.

-- One row for every leaf of the log, with what people choose by.
create table remit.record_facets (
    leaf_index bigint primary key,
    record_id  bigint not null,
    at         timestamptz not null,
    tag        text not null,
    workspace  text,                          -- null: of the whole company
    session_id text,
    action_id  text,
    agent      text not null default '',
    action     text not null default '',      -- the action type
    who        text not null default '',      -- person, trigger or agent that did it
    outcome    text not null default '',      -- of an action: cleared, succeeded, refused, denied, ...
    road       text not null default '',      -- of an action: auto, asked, model; of the end of a turn: first of its session
    waited     smallint,                      -- of a decision: which of the waiting times of evidence/insights.py
    pace       text not null default ''       -- of a decision: fast, unopened, read, elsewhere
);
-- Nearly every record is of one of the two tags, and has one of the outcomes, that are left out of these: the newest of
-- those are found by the primary key, and an index of them would be as large as the table.
create index record_facets_of_workspace on remit.record_facets (workspace, leaf_index);
create index record_facets_of_agent on remit.record_facets (agent, leaf_index) include (workspace);
create index record_facets_of_action on remit.record_facets (action, leaf_index) include (workspace);
create index record_facets_of_tag on remit.record_facets (tag, leaf_index)
    where tag not in ('gate:action:cleared', 'runtime:action:settled');
create index record_facets_of_outcome on remit.record_facets (outcome, leaf_index)
    where outcome not in ('', 'cleared', 'succeeded');
create index record_facets_of_person on remit.record_facets (who, leaf_index) where who <> '';
create index record_facets_of_pace on remit.record_facets (leaf_index) where pace <> '';
-- Leaves are in the order of transactions, which is not quite that of times: the leaves of an hour lie between these.
create table remit.rollup_hours (
    hour       timestamptz primary key,
    first_leaf bigint not null,
    last_leaf  bigint not null
);
-- How many records of each kind there were, with what they cost. The finer ones are read for one agent, the others for
-- a workspace or the company; each is read in the order of time, so they lie apart.
create table remit.rollups (
    grain         text not null,              -- hour: everything; day (UTC): without action; *_all: also without agent
    at            timestamptz not null,       -- its beginning; of `ever` the epoch
    workspace     text not null,              -- '': of the whole company
    agent         text not null,
    action        text not null,              -- the action type
    tag           text not null,
    outcome       text not null,
    road          text not null,
    n             bigint not null,
    usd_micros    bigint not null,
    input_tokens  bigint not null,
    output_tokens bigint not null,
    primary key (grain, agent, at, workspace, action, tag, outcome, road)
) partition by list (grain);
create table remit.rollups_hour partition of remit.rollups for values in ('hour') with (fillfactor = 80);
create table remit.rollups_day partition of remit.rollups for values in ('day') with (fillfactor = 80);
create table remit.rollups_all partition of remit.rollups for values in ('hour_all', 'day_all', 'ever')
    with (fillfactor = 80);
create index rollups_day_spent on remit.rollups_day (at) include (workspace, agent, usd_micros) where usd_micros > 0;
create index rollups_hour_spent on remit.rollups_hour (at) include (workspace, agent, usd_micros) where usd_micros > 0;
-- Who decided and how they looked at it (waited is -1), and how long decisions had waited (who is '').
create table remit.rollup_decisions (
    grain     text not null check (grain in ('hour', 'day', 'hour_all', 'day_all')),
    at        timestamptz not null,
    workspace text not null,
    agent     text not null,
    who       text not null,
    tag       text not null,
    pace      text not null,
    waited    smallint not null,
    n         bigint not null,
    primary key (grain, agent, at, workspace, who, tag, pace, waited)
) with (fillfactor = 80);

-- The inbox's lists: open ones oldest first, others newest first, of a workspace, of a kind, and of a person.
create index inbox_open_newest on remit.inbox_items (id) where status = 'open';
create index inbox_in_workspace on remit.inbox_items (workspace, id desc);
create index inbox_of_kind on remit.inbox_items (kind, id desc) where kind <> 'approval';
create index inbox_asked on remit.inbox_items using gin (assignees) with (fastupdate = off);
create index inbox_asked_open on remit.inbox_items using gin (assignees) with (fastupdate = off) where status = 'open';

do $$ begin
    if exists (select 1 from pg_roles where rolname = 'remit_app') then
        grant select, insert, update, delete on
            remit.record_facets, remit.rollups, remit.rollup_decisions, remit.rollup_hours to remit_app;
    end if;
end $$;
