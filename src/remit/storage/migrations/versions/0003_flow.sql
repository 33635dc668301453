-- Triggers, delegation, memory, outputs, ideas, and what is sent to people. Words are those of docs/glossary.md.

-- Triggers -----------------------------------------------------------------------------------------------------
create table remit.trigger_state (
    trigger   text primary key,               -- its name in triggers.yaml
    paused    boolean not null default false,
    by        text not null,
    reason    text not null,
    at        timestamptz not null default clock_timestamp()
);
-- One clock for every schedule and, where it runs in each person's own time zone, every person.
create table remit.trigger_clocks (
    trigger   text not null,
    person    text not null default '',       -- '' where the schedule has one time zone
    spec      text not null,                  -- cron and zone that next_at was computed from; another one resets it
    next_at   timestamptz not null,           -- the earliest time that has not been dealt with
    primary key (trigger, person)
);
create index trigger_clocks_due on remit.trigger_clocks (next_at);
-- Everything that a trigger has done or left out. The key makes each happen once: a due time, a webhook's id, an event.
create table remit.firings (
    trigger    text not null,
    key        text not null,
    due_at     timestamptz not null default clock_timestamp(),
    status     text not null check (status in ('started', 'skipped', 'refused')),
    session_id text references remit.sessions,
    reason     text not null default '',
    at         timestamptz not null default clock_timestamp(),
    primary key (trigger, key)
);
create index firings_newest on remit.firings (trigger, at desc);
alter table remit.turns add column told_until timestamptz; -- what it emitted until then has been written as events
create table remit.events (
    id         bigint generated always as identity primary key,
    key        text not null unique,          -- what happened, so that it is told once
    kind       text not null,                 -- outcome, emit, message
    name       text not null,                 -- finished or failed; the emitted name; the surface of a message
    agent      text,
    workspace  text,
    session_id text references remit.sessions,
    payload    text,                          -- id in remit.payloads
    at         timestamptz not null default clock_timestamp(),
    handled_at timestamptz
);
create index events_open on remit.events (id) where handled_at is null;

-- Sessions: delegated, forked, found ---------------------------------------------------------------------------
alter table remit.sessions add column origin_turn text;   -- the turn that delegated it
alter table remit.sessions add column origin_action text; -- the action that delegated it
alter table remit.sessions add column depth integer not null default 0; -- how many delegations and events led to it
alter table remit.sessions add column origin_waits boolean not null default false; -- that action waits for its outcome
alter table remit.sessions add column due_at timestamptz; -- not done by then: it is cancelled, and has failed for its parent
alter table remit.sessions add column fork_point text;    -- TURN or TURN:KEY, the first thing that the fork does anew
alter table remit.sessions add column inherits text[] not null default '{}'; -- turns before it, of other sessions, in order
alter table remit.sessions add column search tsvector not null default ''; -- words of title, messages and outputs
create unique index sessions_by_origin on remit.sessions (origin_action) where origin_action is not null;
create index sessions_by_parent on remit.sessions (parent_id) where parent_id is not null;
create index sessions_by_words on remit.sessions using gin (search);
alter table remit.turns add column on_behalf_of text;     -- the author of its message, where the session is assisted
alter table remit.turns add column requester text;       -- who asked for it in the end, also through agents: never its approver
alter table remit.turns add column inherits text[] not null default '{}'; -- settled actions of other turns that it begins with
alter table remit.turns add column seed_turn text;       -- the turn whose chance and clock it replays
alter table remit.turns add column seed_at timestamptz;
alter table remit.turns add column delivered text[] not null default '{}'; -- a program's last results, in their order
alter table remit.inbox_items alter column session_id drop not null; -- an idea may come from no session

-- Memory -------------------------------------------------------------------------------------------------------
create table remit.memories (
    id         text primary key,
    agent      text not null,                 -- who remembered
    workspace  text not null,                 -- nothing is seen outside of it
    scope      text not null check (scope in ('agent', 'workspace', 'person')),
    subject    text not null,                 -- the agent, the workspace or the person
    key        text not null,
    value      text not null,                 -- id in remit.payloads
    why        text not null,
    session_id text references remit.sessions, -- where it was learned
    turn_id    text,
    action_id  text,
    item_id    text,                          -- the question whose answer it is
    by         text not null,                 -- person:ID or agent:ID
    labels     text[] not null default '{}',  -- of the session that it was learned in; whoever recalls it gets them
    reviewed_by text,
    reviewed_at timestamptz,
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    ended_at   timestamptz,                   -- replaced, erased or expired
    ended_by   text,
    ended_why  text,
    replaced_by text,
    erased_at  timestamptz                    -- of the contents
);
create unique index memories_in_force on remit.memories (workspace, scope, subject, key) where ended_at is null;
create index memories_expiring on remit.memories (expires_at) where erased_at is null;
create table remit.memory_uses (
    memory_id  text not null references remit.memories,
    action_id  text not null,                 -- the recall
    session_id text not null,
    turn_id    text not null,
    at         timestamptz not null default clock_timestamp(),
    primary key (memory_id, action_id)
);

-- Outputs and ideas --------------------------------------------------------------------------------------------
create table remit.outputs (
    id         text primary key,              -- derived from the action that published it
    session_id text not null references remit.sessions,
    turn_id    text not null,
    action_id  text not null,                 -- of a person's version: that of the version that was edited
    agent      text not null,
    by         text not null,                 -- whose version it is: agent:NAME or person:ID
    workspace  text not null,
    name       text not null,                 -- the same name in a session is the same output, in versions
    version    integer not null,
    kind       text not null,                 -- draft, report, list, ...
    title      text not null,
    body       text not null,                 -- id in remit.payloads
    status     text not null default 'open' check (status in ('open', 'accepted', 'edited', 'rejected', 'disputed')),
    decided_by text,
    reason     text not null default '',
    created_at timestamptz not null default clock_timestamp(),
    decided_at timestamptz,
    unique (session_id, name, version)
);
create index outputs_newest on remit.outputs (workspace, id desc);
create table remit.ideas (
    id         text primary key,
    item_id    text references remit.inbox_items,
    session_id text references remit.sessions,
    agent      text not null,
    workspace  text not null,
    requester  text not null,                 -- person:ID or agent:ID
    words      text not null,                 -- id in remit.payloads
    dedup      text not null,                 -- of agent, requester and words: the same wish twice is one
    status     text not null default 'open' check (status in ('open', 'accepted', 'shipped', 'declined')),
    decided_by text,
    reason     text not null default '',
    shipped_in text not null default '',      -- agent version, output or whatever else has it
    created_at timestamptz not null default clock_timestamp(),
    decided_at timestamptz
);
create unique index ideas_wanted on remit.ideas (dedup) where status in ('open', 'accepted');
alter table remit.notices alter column session_id drop not null; -- what became of an idea from no session
create index ideas_newest on remit.ideas (id desc);

-- What is sent to people ---------------------------------------------------------------------------------------
-- One row for one message on one surface. Sent at least once; where the surface can tell, exactly once.
create table remit.deliveries (
    id         text primary key,
    surface    text not null,                 -- slack, mail
    kind       text not null,                 -- item, notice, message, turn
    dedup      text not null unique,          -- what it tells to whom; the id is made of it
    person     text,                          -- id in the directory
    channel    text,                          -- of the surface, where it is not for one person
    thread     text,                          -- ref of the conversation in remit.threads that it belongs into
    item_id    text,
    notice_id  bigint,
    session_id text,
    turn_id    text,                          -- whose output it is, for kind turn
    action_id  text,
    body       text,                          -- id in remit.payloads, for kind message
    status     text not null default 'due' check (status in ('due', 'sent', 'dropped')),
    attempts   integer not null default 0,
    next_at    timestamptz not null default clock_timestamp(),
    sent_at    timestamptz,
    ref        jsonb,                         -- where it stands on the surface, to replace it by the outcome
    shown      text not null default '',      -- how the item stood when it was last shown
    final      boolean not null default false, -- it shows the outcome: nothing will change any more
    error      text not null default '',
    created_at timestamptz not null default clock_timestamp()
);
create index deliveries_due on remit.deliveries (surface, next_at) where status = 'due';
create index deliveries_shown on remit.deliveries (surface, next_at) where status = 'sent' and kind = 'item' and not final;
create index deliveries_by_action on remit.deliveries (action_id) where kind = 'message';
create index deliveries_by_place on remit.deliveries ((ref ->> 'ts')) where kind = 'item' and ref is not null;
create index notices_newest on remit.notices (at);
-- A delivery's id is made of what it tells to whom: whoever looks makes the same one.
create function remit.delivery_id(p_dedup text) returns text language sql immutable as $$
    select 'dlv_' || left(encode(sha256(convert_to(p_dedup, 'UTF8')), 'hex'), 26)
$$;
-- From when on a surface tells what nobody waits for, so that turning it on does not send what is long past.
create table remit.surfaces (
    surface text primary key,
    since   timestamptz not null default clock_timestamp()
);
create index deliveries_of_items on remit.deliveries (item_id) where item_id is not null;
-- Conversations on surfaces: a Slack thread, a mail thread.
create table remit.threads (
    surface    text not null,
    ref        text not null,                 -- TEAM/CHANNEL/TS, or the first message's id
    session_id text not null references remit.sessions,
    created_at timestamptz not null default clock_timestamp(),
    active_at  timestamptz not null default clock_timestamp(), -- when somebody last wrote there
    primary key (surface, ref)
);
create index threads_by_session on remit.threads (session_id);
create index threads_active on remit.threads (surface, active_at);
create table remit.links (
    digest     text primary key,              -- SHA-256 of the link's token; the token itself is never stored
    item_id    text not null references remit.inbox_items,
    person     text not null,
    nonce      bytea not null,                -- random; the token is made of it and of a key outside the database
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    used_at    timestamptz,
    unique (item_id, person)
);

-- Knowledge ----------------------------------------------------------------------------------------------------
create table remit.knowledge (
    agent    text not null,
    digest   text not null,                   -- of the folder's contents: a session reads what it began with
    path     text not null,
    ordinal  integer not null,
    heading  text not null default '',
    line     integer not null,                -- where the passage begins
    body     text not null,
    words    tsvector not null,
    primary key (agent, digest, path, ordinal)
);
create index knowledge_by_words on remit.knowledge using gin (words) with (fastupdate = off); -- read at once after it is written

do $$ begin
    if exists (select 1 from pg_roles where rolname = 'remit_app') then
        grant select, insert, update, delete on
            remit.trigger_state, remit.trigger_clocks, remit.firings, remit.events, remit.memories, remit.memory_uses,
            remit.outputs, remit.ideas, remit.deliveries, remit.surfaces, remit.threads, remit.links, remit.knowledge
            to remit_app;
        grant usage on all sequences in schema remit to remit_app;
    end if;
end $$;
