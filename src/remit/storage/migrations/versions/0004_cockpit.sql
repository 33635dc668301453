-- People in the cockpit: how they come in, what they have looked at, what they say to each other.

-- One-time links that log somebody in; of a token only its SHA-256 is kept.
create table remit.login_links (
    digest     text primary key,
    person     text,                          -- whom it is for; null: whoever opens it says who they are (development)
    issued_by  text not null,
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    used_at    timestamptz
);
create table remit.logins (
    id         text primary key,
    digest     text not null unique,          -- SHA-256 of the token in the browser's cookie
    person     text not null,
    via        text not null check (via in ('link', 'oidc')),
    simulated  boolean not null default false, -- the person was only named, as local development allows
    browser    text not null default '',
    created_at timestamptz not null default clock_timestamp(),
    seen_at    timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,          -- at the latest; an idle login ends earlier
    ended_at   timestamptz,
    ended_by   text
);
create index logins_of_person on remit.logins (person, id desc) where ended_at is null;
-- What somebody saw before they decided: the time from first sight, and whether the details were opened.
create table remit.item_views (
    item_id    text not null references remit.inbox_items,
    person     text not null,
    opened_at  timestamptz not null default clock_timestamp(),
    details_at timestamptz,
    primary key (item_id, person)
);
create table remit.comments (
    id         text primary key,
    session_id text not null references remit.sessions,
    item_id    text references remit.inbox_items,
    author     text not null,                 -- person in the directory
    payload    text not null,                 -- id in remit.payloads
    created_at timestamptz not null default clock_timestamp()
);
create index comments_of_session on remit.comments (session_id, id);
create index sessions_in_workspace on remit.sessions (workspace, id desc);
create index sessions_in_workspace_by_status on remit.sessions (workspace, status, id desc);

do $$ begin
    if exists (select 1 from pg_roles where rolname = 'remit_app') then
        grant select, insert, update, delete on remit.login_links, remit.logins, remit.item_views, remit.comments
            to remit_app;
    end if;
end $$;
