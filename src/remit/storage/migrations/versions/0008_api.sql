-- The API: what was answered to whom under which key, for a day. The row commits together with what was done.
create table remit.api_answers (
    person  text not null,
    key     text not null,                  -- Idempotency-Key, as it was sent
    digest  text not null,                  -- SHA-256 of method, path and body: the same key is for the same request
    status  int,                            -- null only inside the transaction that does it
    body    text,
    at      timestamptz not null default clock_timestamp(),
    primary key (person, key)
);
create index api_answers_by_age on remit.api_answers (at);
-- Logins at the company's identity provider that have begun and not come back; each works once.
create table remit.login_attempts (
    state      text primary key,            -- SHA-256 of what the browser brings back
    nonce      text not null,
    verifier   text not null,               -- of PKCE
    next       text not null,
    expires_at timestamptz not null
);

do $$ begin
    if exists (select 1 from pg_roles where rolname = 'remit_app') then
        grant select, insert, update, delete on remit.api_answers, remit.login_attempts to remit_app;
    end if;
end $$;
