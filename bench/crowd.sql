-- A company's past: 100,000 sessions over ninety days with ten actions each, their records, and the inbox. What
-- the road would have written in weeks is written here by a few statements; names, sizes and shares are made up.
create function pg_temp.stamp(at timestamptz) returns text language sql immutable as $$
    select string_agg(substr('0123456789abcdefghjkmnpqrstvwxyz', (((extract(epoch from at) * 1000)::bigint
        >> (5 * (9 - k))) & 31)::integer + 1, 1), '' order by k) from generate_series(0, 9) k
$$;
delete from remit.records; -- of deploying the project just now: the log would begin with what happened last
insert into remit.bundles values ('bench', '', 'bench', '', 'person:ada') on conflict do nothing;
insert into remit.agent_versions (agent, digest, bundle_digest)
select 'agent_' || lpad(n::text, 2, '0'), 'v1', 'bench' from generate_series(1, 20) n;

-- Sessions: agent n works in one of four workspaces; 2,000 of them are open.
create temp table crowd as
select i, 'agent_' || lpad((i * 7919 %% 20 + 1)::text, 2, '0') as agent,
       (array['shop', 'vault', 'north', 'south'])[i * 7919 %% 20 %% 4 + 1] as workspace,
       case when i > %(sessions)s * 0.98 then (array['running', 'waiting'])[i %% 2 + 1]
            when i %% 29 = 0 then 'failed' when i %% 41 = 0 then 'cancelled' else 'finished' end as status,
       at, pg_temp.stamp(at) || lpad(i::text, 16, '0') as id
from (select i, now() - interval '1 hour' - (%(sessions)s - i) * (interval '90 days' / %(sessions)s) as at
      from generate_series(1, %(sessions)s) i) n;
insert into remit.sessions (id, status, agent, agent_version, workspace, principal, trigger, request_id, title,
                            search, created_at, updated_at)
select 'ses_' || id, status, agent, 'v1', workspace, 'person:dov', 'person', 'ses_' || id, title,
       to_tsvector('simple', title || ' Look at account ' || i * 31 %% 4999 || ' and do what is due.'), at, at
from crowd, lateral (select 'Work on account ' || i * 31 %% 4999 as title) x;
insert into remit.payloads (id, session_id, kind, salt, body, digest, bytes)
select 'pay_' || id || 'm', 'ses_' || id, 'message', '', b, sha256(b), length(b)
from crowd, lateral (select convert_to('{"text": "Look at account ' || i * 31 %% 4999 || ' and do what is due."}', 'UTF8') b) x;
insert into remit.messages (id, session_id, author, payload, created_at)
select 'msg_' || id, 'ses_' || id, 'person:dov', 'pay_' || id || 'm', at from crowd;
insert into remit.turns (id, session_id, message_id, agent, agent_version, status, run, waiting_for, created_at,
                         started_at, finished_at)
select 'trn_' || id, 'ses_' || id, 'msg_' || id, agent, 'v1', status, 1,
       case status when 'waiting' then 'approval' else '' end, at, at + interval '1 second',
       case when status in ('finished', 'failed', 'cancelled') then at + interval '3 minutes' end from crowd;

-- Outputs: every second session that has finished put one out; of the last week's nobody has read any yet.
insert into remit.outputs (id, session_id, turn_id, action_id, agent, by, workspace, name, version, kind, title, body,
                           status, decided_by, created_at)
select 'out_' || id, 'ses_' || id, 'trn_' || id, 'act_' || id, agent, 'agent:' || agent, workspace, 'letter', 1, 'draft',
       'Letter to account ' || i * 31 %% 4999, 'pay_' || id || 'm', done, case when done <> 'open' then 'dov' end, at
from crowd, lateral (select case when i %% 1000 = 0 then 'disputed' when i > %(sessions)s * 0.92 then 'open'
                                 when i %% 50 = 0 then 'rejected' else 'accepted' end as done) x
where status = 'finished' and i %% 2 = 0;

-- Actions: three of ten are requests to models; of the others 3 %% fail, 3 %% are refused, 7 %% ask a person.
create temp table deeds as
select c.id, c.agent, c.workspace, 'act_' || left(c.id, 10) || lpad((c.i * 10 + k)::text, 16, '0') as action_id, n, k,
       case when k %% 3 = 0 then 'model' else 'tool' end as mode,
       case when k %% 3 = 0 then 'model.request' else 'till.' || (array['pay', 'unpay', 'hand_out', 'wire', 'find', 'peek'])[(n * 31 + k) / 7 %% 6 + 1] end as action,
       case when c.status = 'waiting' and k = 9 then 'waiting' when n %% 37 = 5 then 'failed'
            when n %% 41 = 7 then 'refused' else 'succeeded' end as status,
       n %% 15 = 4 or c.status = 'waiting' and k = 9 as asked,
       c.at + k * interval '15 seconds' as at
from crowd c, generate_series(0, 9) k, lateral (select c.i::bigint * 10 + k as n) x;
insert into remit.actions (id, turn_id, session_id, key, mode, action, agent, agent_version, asked_digest, args_digest,
                           status, policy_ids, attempt, cleared_at, settled_at, usd_micros, input_tokens, output_tokens,
                           item_id, created_at)
select action_id, 'trn_' || id, 'ses_' || id, k::text, mode, action, agent, 'v1', md5(action_id), md5(action_id),
       status, '{writes}', 1, at, case when status <> 'waiting' then at + interval '2 seconds' end,
       case mode when 'model' then 4000 + n %% 900 else 0 end, case mode when 'model' then 900 else 0 end,
       case mode when 'model' then 120 else 0 end, case when asked then 'itm_' || substr(action_id, 5) end, at
from deeds;
insert into remit.inbox_items (id, kind, status, session_id, turn_id, action_id, workspace, summary, roles, assignees,
                               detail, decision, created_at, decided_at, expires_at)
select 'itm_' || substr(action_id, 5), 'approval', case status when 'waiting' then 'open' else 'decided' end,
       'ses_' || id, 'trn_' || id, action_id, workspace, agent || ': ' || action || ' for account ' || n %% 4999,
       '{accountable}', array[(array['bo', 'cleo', 'dov', 'otto'])[n %% 4 + 1]], '{"reasons": [{"text": "over 100"}]}',
       case status when 'waiting' then null else '{"verdict": "approved", "by": "bo"}'::jsonb end, at,
       case status when 'waiting' then null else at + n %% 4000 * interval '1 second' end, at + interval '30 days'
from deeds where asked;
insert into remit.item_views (item_id, person, opened_at, details_at)
select 'itm_' || substr(action_id, 5), 'bo', at + n %% 4000 * interval '0.9 second', case when n %% 2 = 0 then at end
from deeds where asked and status <> 'waiting';

-- The record: two for each action, two for each session, one for each decision, in the order of time.
create temp table said as
select r.at, r.tag, id, action_id, action, agent, r.status, r.asked, r.by
from deeds, lateral (
    select at, case status when 'refused' then 'gate:action:refused' when 'waiting' then 'gate:action:waiting'
                           else 'gate:action:cleared' end, status, asked, null
    union all
    select at + interval '2 seconds', 'runtime:action:settled', status, false, null where status in ('succeeded', 'failed')
    union all
    select at + n %% 4000 * interval '1 second',
           case when n %% 300 = 4 then 'person:approval:denied' else 'person:approval:given' end, '', false,
           (array['bo', 'cleo', 'dov', 'otto'])[n %% 4 + 1]
    where asked and status <> 'waiting') as r(at, tag, status, asked, by)
union all
select r.at, r.tag, id, null, null, agent, '', false, r.by
from crowd, lateral (values (at, 'trigger:session:started', 'person:dov'),
    (at + interval '3 minutes', case status when 'failed' then 'runtime:turn:failed' else 'runtime:turn:finished' end, null))
    as r(at, tag, by) where r.tag = 'trigger:session:started' or status in ('finished', 'failed');
insert into remit.records (at, tag, session_id, turn_id, action_id, body)
select at, tag, 'ses_' || id, 'trn_' || id, action_id,
       '{"v": 1, "tag": "' || tag || '", "at": "' || at || '", "agent": "' || agent || '", "session_id": "ses_' || id
       || '", "turn_id": "trn_' || id || '", "by": ' || coalesce('"' || by || '"', 'null')
       || case when action_id is null then ''
          else ', "action": "' || action || '", "status": "' || status || '", "usd_micros": 4000, "attempt": 1, "epoch": 3, '
               || '"executor": "exe_01k9yfr2t6b3gqk6fkz4wqh1xs", "args_digest": "' || repeat(md5(action_id), 2)
               || '", "policy_ids": ["writes"], "approved_roles": [' || case when asked then '"accountable"' else '' end
               || '], "action_id": "' || action_id || '", "item": "itm_' || substr(action_id, 5) || '"' end || '}'
from (select * from said order by at) as in_order;
insert into remit.leaves (leaf_index, record_id, record_at, leaf_hash)
select (select coalesce(max(leaf_index) + 1, 0) from remit.leaves) + row_number() over (order by id) - 1, id, at,
       decode(md5(id::text) || md5(id::text), 'hex')
from remit.records r where not exists (select 1 from remit.leaves l where l.record_id = r.id);
insert into remit.checkpoints (tree_size, root, note)
select max(leaf_index) + 1, '\x00', 'bench' from remit.leaves having max(leaf_index) + 1 > (
    select coalesce(max(tree_size), 0) from remit.checkpoints);
