-- The ledger and what hangs on it. Words are those of docs/glossary.md.
create schema if not exists remit;

-- What is deployed ---------------------------------------------------------------------------------------------
create table remit.blobs (
    sha256      text primary key,
    content     bytea not null
);
create table remit.bundles (
    digest      text primary key,
    manifest    bytea not null,               -- canonical JSON: path -> SHA-256 of the file
    key_id      text not null,
    signature   bytea not null,               -- Ed25519 over the digest by the deployer
    deployed_by text not null,
    deployed_at timestamptz not null default clock_timestamp()
);
create table remit.agent_versions (
    agent         text not null,
    digest        text not null,
    bundle_digest text not null references remit.bundles,
    deployed_at   timestamptz not null default clock_timestamp(),
    primary key (agent, digest)
);
create table remit.agent_state (
    agent     text primary key,
    suspended boolean not null default false,
    by        text not null,
    reason    text not null,
    at        timestamptz not null default clock_timestamp()
);
-- One row: the version of everything that a decision is made on. Whoever changes what may be done raises it.
create table remit.governance (
    singleton     boolean primary key default true check (singleton),
    version       bigint not null default 1,
    bundle_digest text references remit.bundles
);
insert into remit.governance default values;

-- Which release prepared this database, so that every command need not look again.
create table remit.prepared (
    component text primary key,
    version   text not null
);
create table remit.stops (
    id          text primary key,
    scope       text not null check (scope in ('all', 'workspace', 'agent', 'action')),
    target      text not null default '',
    reason      text not null,
    by          text not null,
    at          timestamptz not null default clock_timestamp(),
    released_at timestamptz,
    released_by text
);
create index stops_in_force on remit.stops (scope) where released_at is null;

-- Workers ------------------------------------------------------------------------------------------------------
create table remit.executors (
    id         text primary key,
    host       text not null,
    pid        integer not null,
    started_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null
);

-- Sessions, messages, turns ------------------------------------------------------------------------------------
create table remit.sessions (
    id            text primary key,
    status        text not null,
    agent         text not null,
    agent_version text not null,
    workspace     text not null,
    workflow      text,
    principal     text not null,
    on_behalf_of  text,
    trigger       text not null,
    request_id    text not null,
    title         text not null default '',
    simulated     boolean not null default false,
    assisted      boolean not null default false,
    labels        text[] not null default '{}',
    parent_id     text references remit.sessions,
    forked_from   text,
    epoch         bigint not null default 0,  -- rises with every run that proved its ownership
    executor      text,
    running_turn  text,
    reason        text not null default '',
    created_at    timestamptz not null default clock_timestamp(),
    updated_at    timestamptz not null default clock_timestamp(),
    foreign key (agent, agent_version) references remit.agent_versions
) with (fillfactor = 80);
create index sessions_by_status on remit.sessions (status, id desc);
create index sessions_by_agent on remit.sessions (agent, id desc);
create index sessions_by_request on remit.sessions (request_id);

create table remit.messages (
    id         text primary key,
    session_id text not null references remit.sessions,
    author     text not null,                 -- person:ID, agent:ID or trigger:ID
    to_agent   text,
    payload    text not null,                 -- id in remit.payloads
    created_at timestamptz not null default clock_timestamp()
);
create index messages_by_session on remit.messages (session_id, id);

create table remit.turns (
    id            text primary key,
    session_id    text not null references remit.sessions,
    message_id    text not null references remit.messages,
    agent         text not null,
    agent_version text not null,
    kind          text not null default 'agent', -- agent; undo: take an action back; external: run by its owner, no worker
    status        text not null,
    run           integer not null default 0, -- newest engine run that was asked for
    failures      integer not null default 0, -- runs in a row that ended by killing their worker or by an error of ours
    loop_allowance integer not null default 0, -- extra repeats that the owner granted
    waiting_for   text not null default '',   -- approval, question, limit, stop, attention, reconciliation, owner
    resume_at     timestamptz,                -- when a timer resumes it
    output        text,                       -- id in remit.payloads
    error         text,
    created_at    timestamptz not null default clock_timestamp(),
    started_at    timestamptz,
    finished_at   timestamptz,
    foreign key (agent, agent_version) references remit.agent_versions
) with (fillfactor = 80);
create index turns_by_session on remit.turns (session_id, id);
create index turns_open on remit.turns (status) where status in ('queued', 'running', 'waiting');
create index turns_stopped on remit.turns (id) where status = 'waiting' and waiting_for = 'stop';
create index turns_due on remit.turns (resume_at) where resume_at is not null;

-- The ledger: write-ahead intent, memory and source of everything else -----------------------------------------
create table remit.actions (
    id               text collate "C" not null, -- derived from turn and key; begins with the turn's time
    turn_id          text not null,
    session_id       text not null,
    key              text not null,           -- place in the turn: m3, m3.t1, 7
    mode             text not null,
    action           text not null,
    agent            text not null,
    agent_version    text not null,
    on_behalf_of     text,
    asked_digest     text not null,           -- of the arguments as the agent asked
    args_digest      text not null,           -- of the arguments as judged; another one after an edit
    asker_digest     text not null default '', -- of the request as a program made it, compared at replay
    status           text not null,
    reasons          jsonb not null default '[]',
    policy_ids       text[] not null default '{}',
    policy_version   text not null default '',
    roles            text[] not null default '{}',
    determining      text not null default '',
    epoch            bigint not null default 0,
    executor         text,
    nonce            text,                    -- of the admission that wrote the newest clearance
    attempt          integer not null default 0,
    first_cleared_at timestamptz,             -- start of the idempotency window
    cleared_at       timestamptz,
    expires_at       timestamptz,             -- deadline and the call's timeout: after it nothing can be in flight
    settled_at       timestamptz,
    reservations     jsonb not null default '[]',
    usd_micros       bigint not null default 0,
    booked_usd       bigint not null default 0, -- for model requests lost in a crash: they may have been answered
    booked_tokens    bigint not null default 0,
    input_tokens     bigint not null default 0,
    output_tokens    bigint not null default 0,
    business_key     text,
    delivered        text[] not null default '{}',
    provider_call_id text,
    why              text not null default '',
    error            text,
    item_id          text,
    override         jsonb,                   -- what a person decided about it
    undone_by        text,                    -- id of the action that took it back
    created_at       timestamptz not null default clock_timestamp(),
    primary key (id)
) partition by range (id);
create table remit.actions_default partition of remit.actions default with (fillfactor = 70);
create index actions_by_turn on remit.actions (turn_id);
create index actions_by_business_key on remit.actions (business_key) where business_key is not null;

create table remit.live_calls (
    action_id   text not null,
    limiter     text not null,
    expires_at  timestamptz not null,
    primary key (limiter, action_id)
);
create index live_calls_by_action on remit.live_calls (action_id);
create table remit.limiters (
    key    text primary key,
    tokens double precision not null,
    at     timestamptz not null default clock_timestamp()
) with (fillfactor = 50);

create table remit.budgets (
    id              text primary key,
    usd_limit       bigint,                   -- micro-units; as of the newest admission
    usd_reserved    bigint not null default 0 check (usd_reserved >= 0),
    usd_spent       bigint not null default 0 check (usd_spent >= 0),
    tokens_limit    bigint,
    tokens_reserved bigint not null default 0 check (tokens_reserved >= 0),
    tokens_spent    bigint not null default 0 check (tokens_spent >= 0),
    calls_limit     bigint,
    calls_reserved  bigint not null default 0 check (calls_reserved >= 0),
    calls_spent     bigint not null default 0 check (calls_spent >= 0),
    blocked         boolean not null default false,
    created_at      timestamptz not null default clock_timestamp()
) with (fillfactor = 50);

-- Contents: arguments, results, messages. Canonical JSON as bytes, so that no value can be refused after its effect.
create table remit.payloads (
    id         text collate "C" not null,
    session_id text,
    kind       text not null,
    salt       bytea,
    body       bytea,
    digest     bytea not null,                -- SHA-256 over salt and body; stays when both are erased
    bytes      integer not null,
    created_at timestamptz not null default clock_timestamp(),
    erased_at  timestamptz,
    erased_by  text,
    primary key (id)
) partition by range (id);
create table remit.payloads_default partition of remit.payloads default;
create index payloads_by_session on remit.payloads (session_id);

-- People -------------------------------------------------------------------------------------------------------
create table remit.inbox_items (
    id          text primary key,
    kind        text not null,
    status      text not null default 'open',
    session_id  text not null references remit.sessions,
    turn_id     text,
    action_id   text,
    workspace   text not null,
    summary     text not null,
    roles       text[] not null default '{}',
    assignees   text[] not null default '{}',
    escalations integer not null default 0,
    escalate_at timestamptz,
    expires_at  timestamptz,
    detail      jsonb not null default '{}',
    decision    jsonb,
    dedup_key   text,
    created_at  timestamptz not null default clock_timestamp(),
    decided_at  timestamptz
);
create index inbox_open on remit.inbox_items (workspace, id) where status = 'open';
create index inbox_by_session on remit.inbox_items (session_id);
create index inbox_by_action on remit.inbox_items (action_id);
create unique index inbox_dedup on remit.inbox_items (dedup_key) where status = 'open';
create index inbox_due on remit.inbox_items (least(escalate_at, expires_at)) where status = 'open';

create table remit.approvals (
    action_id   text not null,
    role        text not null,
    item_id     text not null references remit.inbox_items,
    person      text not null,
    args_digest text not null,
    determining text not null,
    at          timestamptz not null default clock_timestamp(),
    expires_at  timestamptz not null,
    used_at     timestamptz,
    primary key (action_id, role, args_digest)
);
create table remit.notices (
    id         bigint generated always as identity primary key,
    person     text not null,
    kind       text not null,                 -- informed, consulted
    session_id text not null,
    action_id  text,
    item_id    text,
    text       text not null,
    at         timestamptz not null default clock_timestamp(),
    seen_at    timestamptz
);
create index notices_unseen on remit.notices (person, id) where seen_at is null;
create table remit.tokens (
    id         text primary key,
    subject    text not null,                 -- person:ID or agent:ID
    digest     text not null unique,          -- SHA-256 of the token; the token itself is never stored
    issued_by  text not null,
    issued_at  timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    revoked_at timestamptz
);

-- Audit --------------------------------------------------------------------------------------------------------
create table remit.records (
    id         bigint generated always as identity,
    at         timestamptz not null default clock_timestamp(),
    xid        xid8 not null default pg_current_xact_id(),
    tag        text not null,
    session_id text,
    turn_id    text,
    action_id  text,
    body       text not null,                 -- the exact text that the Merkle leaf covers
    primary key (id, at)
) partition by range (at);
create table remit.records_default partition of remit.records default;
create index records_by_session on remit.records (session_id, id);
-- The sealer reads on in this order: identity values commit out of order, but below the oldest running transaction
-- nothing can be added any more.
create index records_by_xid on remit.records (xid, id);
create table remit.leaves (
    leaf_index bigint primary key,
    record_id  bigint not null,
    record_at  timestamptz not null,
    leaf_hash  bytea not null
);
create unique index leaves_by_record on remit.leaves (record_id);
create table remit.merkle_nodes (
    level integer not null,
    idx   bigint not null,
    hash  bytea not null,
    primary key (level, idx)
);
create table remit.checkpoints (
    tree_size bigint primary key,
    root      bytea not null,
    note      text not null,
    at        timestamptz not null default clock_timestamp()
);
