-- What the lists of sessions and actions are found by.
create index messages_by_author on remit.messages (author, session_id);
create index turns_by_agent on remit.turns (agent, session_id);
create index sessions_on_behalf on remit.sessions (on_behalf_of) where on_behalf_of is not null;
create index sessions_by_fork on remit.sessions (forked_from) where forked_from is not null;
create index actions_by_type on remit.actions (action, id desc);
