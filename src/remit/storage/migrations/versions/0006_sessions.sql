-- What the lists of sessions and actions are found by.
-- Whoever is not the session's own agent, or did not start it: few rows, which need not be told from all the others.
alter table remit.turns add column guest boolean not null default false;    -- another agent than the session's answers
alter table remit.messages add column guest boolean not null default false; -- somebody else wrote it than who started it
update remit.turns t set guest = true from remit.sessions s where s.id = t.session_id and s.agent <> t.agent;
update remit.messages m set guest = true from remit.sessions s where s.id = m.session_id and s.principal <> m.author;
create index turns_of_guests on remit.turns (agent, session_id) where guest;
create index messages_of_guests on remit.messages (author, session_id) where guest;
create index sessions_by_principal on remit.sessions (principal, id desc);
create index sessions_on_behalf on remit.sessions (on_behalf_of, id desc) where on_behalf_of is not null;
create index sessions_by_trigger on remit.sessions (trigger, id desc);
create index sessions_labelled on remit.sessions (id desc) where labels <> '{}';
create index sessions_by_fork on remit.sessions (forked_from) where forked_from is not null;
create index actions_by_type on remit.actions (action, id desc);
create index actions_asked_about on remit.actions (action, id desc) where item_id is not null;
