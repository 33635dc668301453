-- Admission and settlement: each is one round trip and one transaction, for one action or for many at once.

-- The advisory lock that stops and deployments take exclusively and every admission takes shared.
create function remit.governance_lock() returns bigint language sql immutable as $$ select 7236349117::bigint $$;

-- Appends an audit record whose body is exactly what the Merkle leaf will cover.
create function remit.append_record(
    p_tag text, p_session text, p_turn text, p_action text, p_body jsonb
) returns void language sql as $$
    insert into remit.records (at, tag, session_id, turn_id, action_id, body)
    select now_, p_tag, p_session, p_turn, p_action,
           (p_body || jsonb_build_object(
               'v', 1, 'tag', p_tag, 'at', to_char(now_ at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
               'session_id', p_session, 'turn_id', p_turn, 'action_id', p_action))::text
    from (select clock_timestamp() as now_) as clock
$$;

-- Stores contents once. The digest covers salt and body, so that it says nothing about an erased body.
create function remit.put_payload(
    p_id text, p_session text, p_kind text, p_salt bytea, p_body bytea
) returns void language sql as $$
    insert into remit.payloads (id, session_id, kind, salt, body, digest, bytes)
    values (p_id, p_session, p_kind, p_salt, p_body, sha256(p_salt || p_body), length(p_body))
    on conflict (id) do nothing
$$;

-- The budget of an action that has no room for it, or null. Rows are locked already.
create function remit.budget_over(p_wanted jsonb) returns jsonb language sql as $$
    select jsonb_build_object('id', b.id, 'blocked', b.blocked)
    from jsonb_to_recordset(p_wanted) as w(id text, usd bigint, tokens bigint, calls bigint,
                                           usd_limit bigint, tokens_limit bigint, calls_limit bigint)
    join remit.budgets b on b.id = w.id
    where b.blocked
       or b.usd_reserved + b.usd_spent + w.usd > w.usd_limit
       or b.tokens_reserved + b.tokens_spent + w.tokens > w.tokens_limit
       or b.calls_reserved + b.calls_spent + w.calls > w.calls_limit
    order by b.id limit 1
$$;

-- Takes one token and one place of a limiter, or returns how many milliseconds to wait and why. Rows are locked.
create function remit.limiter_take(p_limits jsonb, p_action text, p_expires timestamptz) returns jsonb
language plpgsql as $$
declare
    l record;
    have double precision;
    live bigint;
    wait_ms double precision;
begin
    for l in select * from jsonb_to_recordset(p_limits)
             as x(key text, per_second double precision, burst integer, concurrency integer) loop
        if l.per_second is not null then
            select least(l.burst, tokens + extract(epoch from clock_timestamp() - at) * l.per_second)
            into have from remit.limiters where key = l.key;
            if have < 1 then
                wait_ms := greatest(1, ceil((1 - have) / l.per_second * 1000));
                return jsonb_build_object('code', 'over_rate', 'key', l.key, 'wait_ms', wait_ms);
            end if;
        end if;
        if l.concurrency is not null then
            select count(*) into live from remit.live_calls
            where limiter = l.key and expires_at > clock_timestamp() and action_id <> p_action;
            if live >= l.concurrency then
                return jsonb_build_object('code', 'over_concurrency', 'key', l.key, 'wait_ms', 100);
            end if;
        end if;
    end loop;
    for l in select * from jsonb_to_recordset(p_limits)
             as x(key text, per_second double precision, burst integer, concurrency integer) loop
        if l.per_second is not null then
            update remit.limiters
            set tokens = least(l.burst, tokens + extract(epoch from clock_timestamp() - at) * l.per_second) - 1,
                at = clock_timestamp()
            where key = l.key;
        end if;
        if l.concurrency is not null then
            insert into remit.live_calls (action_id, limiter, expires_at) values (p_action, l.key, p_expires)
            on conflict (limiter, action_id) do update set expires_at = excluded.expires_at;
        end if;
    end loop;
    return null;
end $$;

-- Does a stop in force cover this action?
create function remit.stop_covering(p_workspace text, p_agent text, p_action text) returns text language sql as $$
    select id from remit.stops
    where released_at is null
      and (scope = 'all' or (scope = 'workspace' and target = p_workspace)
           or (scope = 'agent' and target = p_agent) or (scope = 'action' and target = p_action))
    limit 1
$$;

-- Admits actions. p_items is an array of objects as storage/ledger.py builds them; p_bodies and p_salts are their
-- canonical arguments, position by position. Returns one answer an item, in order:
--   {"answer": "cleared" | "refused" | "waiting" | "limited" | "settled" | "in_flight" | "diverged" | "halted"
--              | "stale" | "approval_gone", ...}
-- "stale" means that the decision was made on something that has changed: decide again.
create function remit.admit(
    p_executor text, p_items jsonb, p_bodies bytea[], p_salts bytea[]
) returns jsonb language plpgsql as $$
declare
    answers jsonb := '[]';
    current_version bigint;
    any_stop boolean;
    n integer := jsonb_array_length(p_items);
    ids text[];
begin
    -- First the lock, then the look: every later statement sees whatever a stop or a deployment has committed.
    perform pg_advisory_xact_lock_shared(remit.governance_lock());
    select version into current_version from remit.governance;
    any_stop := exists (select 1 from remit.stops where released_at is null);

    -- All rows that are shared are locked in one fixed order: sessions, limiters, budgets; each by id.
    perform 1 from remit.sessions
    where id in (select i ->> 'session_id' from jsonb_array_elements(p_items) i) order by id for no key update;
    select array_agg(distinct l ->> 'key') into ids
    from jsonb_array_elements(p_items) i, jsonb_array_elements(i -> 'limits') l;
    if ids is not null then
        insert into remit.limiters (key, tokens)
        select l.key, max(l.burst) from jsonb_array_elements(p_items) i,
             jsonb_to_recordset(i -> 'limits') as l(key text, burst integer)
        where not exists (select 1 from remit.limiters x where x.key = l.key)
        group by l.key order by l.key
        on conflict (key) do nothing;
        perform 1 from remit.limiters where key = any(ids) order by key for update;
    end if;
    select array_agg(distinct b ->> 'id') into ids
    from jsonb_array_elements(p_items) i, jsonb_array_elements(i -> 'budgets') b;
    if ids is not null then
        insert into remit.budgets (id, usd_limit, tokens_limit, calls_limit)
        select distinct on (b.id) b.id, b.usd_limit, b.tokens_limit, b.calls_limit
        from jsonb_array_elements(p_items) i,
             jsonb_to_recordset(i -> 'budgets') as b(id text, usd_limit bigint, tokens_limit bigint, calls_limit bigint)
        where not exists (select 1 from remit.budgets x where x.id = b.id)
        order by b.id
        on conflict (id) do nothing;
        perform 1 from remit.budgets where id = any(ids) order by id for update;
    end if;
    -- Two admissions of one business effect must not pass each other unseen.
    perform pg_advisory_xact_lock(k) from (
        select distinct hashtextextended(i ->> 'business_key', 0) as k from jsonb_array_elements(p_items) i
        where i ->> 'business_key' is not null order by 1) keys;

    for i in 1 .. n loop
        if (p_items -> (i - 1) ->> 'version')::bigint <> current_version then
            answers := answers || jsonb_build_object('answer', 'stale', 'version', current_version);
        else
            answers := answers || remit.admit_one(p_executor, p_items -> (i - 1), p_bodies[i], p_salts[i], any_stop);
        end if;
    end loop;
    return answers;
end $$;

create function remit.admit_one(
    p_executor text, it jsonb, p_body bytea, p_salt bytea, p_any_stop boolean
) returns jsonb language plpgsql as $$
declare
    s remit.sessions;
    a remit.actions;
    v_status text;
    v_reasons jsonb := it -> 'reasons';
    v_reservations jsonb := '[]';
    v_over jsonb;
    v_expires timestamptz;
    v_repeat boolean := false;
    v_attempt integer := 0;
    v_item text := it -> 'item' ->> 'id';
begin
    select * into s from remit.sessions where id = it ->> 'session_id';
    if s.id is null or s.epoch <> (it ->> 'epoch')::bigint or s.executor is distinct from p_executor then
        return jsonb_build_object('answer', 'halted', 'code', 'stale_run');
    end if;
    if s.status <> 'running' then
        return jsonb_build_object('answer', 'halted', 'code', 'session_not_running', 'status', s.status);
    end if;
    if it ->> 'verdict' = 'permit' and p_any_stop
       and remit.stop_covering(s.workspace, it ->> 'agent', it ->> 'action') is not null then
        return jsonb_build_object('answer', 'halted', 'code', 'stopped',
                                  'stop', remit.stop_covering(s.workspace, it ->> 'agent', it ->> 'action'));
    end if;
    -- The labels that policy saw must be the labels the session has.
    if not (s.labels <@ array(select jsonb_array_elements_text(it -> 'labels'))) then
        return jsonb_build_object('answer', 'stale', 'labels', to_jsonb(s.labels));
    end if;

    select * into a from remit.actions where id = it ->> 'id' for update;
    if a.id is not null then
        if a.asked_digest <> it ->> 'asked_digest' or a.action <> it ->> 'action' then
            return jsonb_build_object('answer', 'diverged', 'action', a.action, 'digest', a.asked_digest);
        end if;
        if a.status = 'cleared' then
            if a.nonce is distinct from it ->> 'nonce' then
                -- A lost model request needs no waiting: asking again costs money, which is booked, and does nothing.
                if a.expires_at > clock_timestamp() and it ->> 'mode' <> 'model' then
                    return jsonb_build_object('answer', 'in_flight', 'wait_ms',
                        ceil(extract(epoch from a.expires_at - clock_timestamp()) * 1000));
                end if;
                if not (it ->> 'repeat')::boolean then
                    return jsonb_build_object('answer', 'in_flight', 'wait_ms', 0);
                end if;
            end if;
            v_repeat := true;
            if it ->> 'verdict' <> 'permit' then
                -- It may have happened: that it may not be made again says nothing of that, so the row stays as it is.
                return jsonb_build_object('answer', 'unrepeated', 'reasons', v_reasons);
            end if;
        elsif a.status not in ('waiting', 'limited') then
            return jsonb_build_object('answer', 'settled');
        end if;
        v_attempt := a.attempt;
    end if;

    v_status := case it ->> 'verdict' when 'permit' then 'cleared' when 'forbid' then 'refused'
                                     when 'note' then 'succeeded' else 'waiting' end;
    -- A second effect under the same business key is asked for, not done; once, with whatever else is asked for.
    if it ->> 'business_key' is not null and not v_repeat and v_status in ('cleared', 'waiting')
       and not (case v_status when 'cleared' then it ->> 'duplicate_approved' else it ->> 'duplicate_known' end)::boolean
       and exists (
        select 1 from remit.actions b where b.business_key = it ->> 'business_key' and b.id <> it ->> 'id'
          and b.undone_by is null and b.status in ('cleared', 'succeeded', 'unknown')) then
        return jsonb_build_object('answer', 'duplicate', 'other', (
            select b.id from remit.actions b where b.business_key = it ->> 'business_key' and b.id <> it ->> 'id'
              and b.undone_by is null and b.status in ('cleared', 'succeeded', 'unknown') order by b.id limit 1));
    end if;
    if v_status = 'cleared' then
        -- An approval is used once, by the action it is bound to, when that is cleared.
        if jsonb_array_length(it -> 'approved_roles') > 0 then
            if (select count(distinct person) from remit.approvals p
                where p.action_id = it ->> 'id' and p.args_digest = it ->> 'args_digest'
                  and p.determining = it ->> 'determining' and (p.used_at is null or v_repeat)
                  and (p.expires_at > clock_timestamp() or v_repeat)
                  and p.role in (select jsonb_array_elements_text(it -> 'approved_roles')))
               < jsonb_array_length(it -> 'approved_roles') then
                return jsonb_build_object('answer', 'approval_gone');
            end if;
        end if;
        v_expires := clock_timestamp() + ((it ->> 'deadline_ms')::bigint + (it ->> 'timeout_ms')::bigint)
                     * interval '1 millisecond';
        if jsonb_array_length(it -> 'limits') > 0 then
            v_over := remit.limiter_take(it -> 'limits', it ->> 'id', v_expires);
        end if;
        if v_over is not null then
            if (v_over ->> 'wait_ms')::bigint < 1000 and not (it ->> 'park')::boolean then
                return jsonb_build_object('answer', 'wait') || v_over;
            elsif v_repeat then
                -- It may have happened: it stays cleared, with its reservation and its approval, until it is repeated.
                return jsonb_build_object('answer', 'in_flight', 'wait_ms', v_over -> 'wait_ms');
            end if;
            v_status := 'limited';
            v_reasons := v_reasons || jsonb_build_array(jsonb_build_object(
                'code', v_over ->> 'code', 'text', 'over the limit of ' || (v_over ->> 'key'), 'policy_id', null));
        elsif v_repeat and (it ->> 'mode' <> 'model' or a.nonce is not distinct from it ->> 'nonce') then
            v_reservations := a.reservations;
        else
            if v_repeat then
                -- A model request that was lost may have been answered: its whole reservation is booked.
                update remit.budgets b
                set usd_reserved = b.usd_reserved - w.usd, tokens_reserved = b.tokens_reserved - w.tokens,
                    calls_reserved = b.calls_reserved - w.calls,
                    usd_spent = b.usd_spent + w.usd, tokens_spent = b.tokens_spent + w.tokens,
                    calls_spent = b.calls_spent + w.calls
                from jsonb_to_recordset(a.reservations) as w(id text, usd bigint, tokens bigint, calls bigint)
                where b.id = w.id;
                update remit.actions set booked_usd = booked_usd + (it ->> 'reserve_usd')::bigint,
                    booked_tokens = booked_tokens + (it ->> 'reserve_tokens')::bigint,
                    usd_micros = usd_micros + (it ->> 'reserve_usd')::bigint
                where id = a.id;
            end if;
            v_over := remit.budget_over(it -> 'budgets');
            if v_over is not null then
                v_status := 'refused';
                v_reasons := v_reasons || jsonb_build_array(jsonb_build_object(
                    'code', case when (v_over ->> 'blocked')::boolean then 'budget_blocked'
                                 when v_over ->> 'id' like 'cap:%' then 'over_cap' else 'over_budget' end,
                    'text', 'no room left in budget ' || (v_over ->> 'id'), 'policy_id', null));
            else
                update remit.budgets b
                set usd_reserved = b.usd_reserved + w.usd, tokens_reserved = b.tokens_reserved + w.tokens,
                    calls_reserved = b.calls_reserved + w.calls,
                    usd_limit = w.usd_limit, tokens_limit = w.tokens_limit, calls_limit = w.calls_limit
                from jsonb_to_recordset(it -> 'budgets') as w(id text, usd bigint, tokens bigint, calls bigint,
                                                usd_limit bigint, tokens_limit bigint, calls_limit bigint)
                where b.id = w.id;
                v_reservations := it -> 'budgets';
            end if;
        end if;
        if v_status = 'cleared' then
            v_attempt := v_attempt + 1;
            if jsonb_array_length(it -> 'approved_roles') > 0 then
                update remit.approvals set used_at = coalesce(used_at, clock_timestamp()) where action_id = it ->> 'id';
            end if;
            if jsonb_array_length(it -> 'adds') > 0
               and not (s.labels @> array(select jsonb_array_elements_text(it -> 'adds'))) then
                update remit.sessions set labels = (
                    select array_agg(distinct x order by x)
                    from unnest(labels || array(select jsonb_array_elements_text(it -> 'adds'))) x)
                where id = s.id;
            end if;
        end if;
    end if;

    if v_status = 'waiting' then
        insert into remit.inbox_items (id, kind, session_id, turn_id, action_id, workspace, summary, roles, assignees,
                                       escalate_at, expires_at, detail)
        select v_item, x.kind, s.id, it ->> 'turn_id', it ->> 'id', s.workspace, x.summary, x.roles, x.assignees,
               x.escalate_at, x.expires_at, x.detail
        from jsonb_to_record(it -> 'item') as x(kind text, summary text, roles text[], assignees text[],
                                                escalate_at timestamptz, expires_at timestamptz, detail jsonb);
        insert into remit.notices (person, kind, session_id, action_id, item_id, text)
        select p, 'consulted', s.id, it ->> 'id', v_item, it -> 'item' ->> 'summary'
        from jsonb_array_elements_text(it -> 'consulted') p;
        if jsonb_array_length(it -> 'consulted') > 0 then
            perform remit.append_record('runtime:consulted:asked', s.id, it ->> 'turn_id', it ->> 'id',
                jsonb_build_object('people', it -> 'consulted', 'item_id', v_item));
        end if;
    end if;

    if a.id is null then
        perform remit.put_payload('pay_' || substr(it ->> 'id', 5) || 'a', s.id, 'arguments', p_salt, p_body);
        if v_status = 'succeeded' then
            perform remit.put_payload('pay_' || substr(it ->> 'id', 5) || 'r', s.id, 'result', p_salt, p_body);
        end if;
        insert into remit.actions (
            id, turn_id, session_id, key, mode, action, agent, agent_version, on_behalf_of, asked_digest, args_digest, asker_digest,
            status, reasons, policy_ids, policy_version, roles, determining, epoch, executor, nonce, attempt,
            first_cleared_at, cleared_at, expires_at, settled_at, reservations, business_key, delivered, provider_call_id, why, item_id)
        values (
            it ->> 'id', it ->> 'turn_id', s.id, it ->> 'key', it ->> 'mode', it ->> 'action', it ->> 'agent',
            it ->> 'agent_version', it ->> 'on_behalf_of', it ->> 'asked_digest', it ->> 'args_digest', it ->> 'asker_digest', v_status,
            v_reasons, array(select jsonb_array_elements_text(it -> 'policy_ids')), it ->> 'policy_version',
            array(select jsonb_array_elements_text(it -> 'roles')), it ->> 'determining', s.epoch, p_executor,
            it ->> 'nonce', v_attempt, case v_status when 'cleared' then clock_timestamp() end,
            case v_status when 'cleared' then clock_timestamp() end, v_expires, case when v_status in ('refused', 'succeeded') then clock_timestamp() end, v_reservations,
            it ->> 'business_key', array(select jsonb_array_elements_text(it -> 'delivered')),
            it ->> 'provider_call_id', it ->> 'why', v_item);
    else
        update remit.actions set
            args_digest = it ->> 'args_digest', status = v_status, reasons = v_reasons,
            policy_ids = array(select jsonb_array_elements_text(it -> 'policy_ids')),
            policy_version = it ->> 'policy_version', roles = array(select jsonb_array_elements_text(it -> 'roles')),
            determining = it ->> 'determining', epoch = s.epoch, executor = p_executor, nonce = it ->> 'nonce',
            attempt = v_attempt,
            first_cleared_at = coalesce(first_cleared_at, case v_status when 'cleared' then clock_timestamp() end),
            cleared_at = case v_status when 'cleared' then clock_timestamp() else cleared_at end,
            expires_at = coalesce(v_expires, expires_at), reservations = v_reservations,
            settled_at = case v_status when 'refused' then clock_timestamp() end, item_id = coalesce(v_item, item_id)
        where id = a.id;
    end if;
    perform remit.append_record(
        case when v_status = 'succeeded' then 'runtime:note:kept'
             when v_repeat and v_status = 'cleared' then 'gate:action:repeated' else 'gate:action:' || v_status end,
        s.id, it ->> 'turn_id', it ->> 'id',
        -- Contents and plumbing stay out of the record.
        (it - '{budgets,limits,item,labels,adds,why,delivered,park,repeat,deadline_ms,timeout_ms,nonce,reasons,id}'::text[]
            - '{turn_id,session_id,duplicate_approved,duplicate_known,provider_call_id,consulted,version,asker_digest,reserve_usd,reserve_tokens}'::text[])
        || jsonb_build_object('status', v_status, 'reasons', v_reasons, 'attempt', v_attempt, 'executor', p_executor,
            'item_id', v_item,
            'reserved', (select coalesce(jsonb_agg(r - '{usd_limit,tokens_limit,calls_limit}'::text[]), '[]')
                         from jsonb_array_elements(v_reservations) r),
            'arguments', case when a.id is null then encode(sha256(p_salt || p_body), 'hex') end));
    return jsonb_build_object('answer', v_status, 'attempt', v_attempt, 'reasons', v_reasons, 'item_id', v_item)
           || coalesce(v_over, '{}');
end $$;

-- Settles actions: knowledge is accepted under any epoch and any stop. Answers with
-- {"answer": "settled" | "already" | "missing", "at": when}.
create function remit.settle(p_items jsonb, p_bodies bytea[], p_salts bytea[]) returns jsonb language plpgsql as $$
declare
    answers jsonb := '[]';
begin
    perform 1 from remit.budgets where id in (
        select r ->> 'id' from jsonb_array_elements(p_items) i join remit.actions a on a.id = i ->> 'id',
             jsonb_array_elements(a.reservations) r) order by id for update;
    for i in 1 .. jsonb_array_length(p_items) loop
        answers := answers || remit.settle_one(p_items -> (i - 1), p_bodies[i], p_salts[i]);
    end loop;
    return answers;
end $$;

create function remit.settle_one(it jsonb, p_body bytea, p_salt bytea) returns jsonb language plpgsql as $$
declare
    a remit.actions;
    v_status text := it ->> 'status';
    v_usd bigint := (it ->> 'usd')::bigint;
    v_tokens bigint := (it ->> 'input_tokens')::bigint + (it ->> 'output_tokens')::bigint;
    v_overrun text[];
    v_item text;
    v_at timestamptz := clock_timestamp();
begin
    select * into a from remit.actions where id = it ->> 'id' for update;
    if a.id is null then
        return jsonb_build_object('answer', 'missing');
    end if;
    if a.status not in ('cleared', 'unknown') or (a.status = 'unknown' and v_status = 'unknown') then
        return jsonb_build_object('answer', 'already', 'at', a.settled_at);
    end if;
    -- That an earlier attempt was not sent, or not answered, says nothing once a later one is on its way.
    if v_status in ('failed', 'unknown') and (it ->> 'attempt')::integer < a.attempt then
        return jsonb_build_object('answer', 'superseded', 'at', v_at);
    end if;
    if v_status <> 'unknown' then
        perform remit.put_payload('pay_' || substr(a.id, 5) || 'r', a.session_id, 'result', p_salt, p_body);
    end if;
    update remit.actions set status = v_status, settled_at = v_at, usd_micros = v_usd + a.booked_usd,
        input_tokens = (it ->> 'input_tokens')::bigint, output_tokens = (it ->> 'output_tokens')::bigint,
        error = it ->> 'error', override = coalesce(nullif(it -> 'override', 'null'), override)
    where id = a.id;
    if a.status = 'cleared' then
        delete from remit.live_calls where action_id = a.id;
    end if;
    if a.status = 'unknown' and it ->> 'by' is null then
        -- The answer has come after all, so nobody needs to be asked; the turn goes on by its timer.
        perform 1 from remit.turns where id = a.turn_id for update;
        update remit.inbox_items set status = 'withdrawn', decided_at = v_at
        where dedup_key = 'unknown:' || a.id and status = 'open' returning id into v_item;
        if v_item is not null then
            perform remit.append_record('runtime:item:withdrawn', a.session_id, a.turn_id, a.id,
                jsonb_build_object('item', v_item, 'why', 'the outcome became known'));
        end if;
        update remit.turns set resume_at = v_at
        where id = a.turn_id and status = 'waiting' and waiting_for = 'reconciliation';
    end if;
    -- An unknown outcome keeps its whole reservation until somebody knows.
    if v_status <> 'unknown' and jsonb_array_length(a.reservations) > 0 then
        with r as (
            select x.*, x.id like 'cap:%' as cap from jsonb_to_recordset(a.reservations)
                as x(id text, usd bigint, tokens bigint, calls bigint)
        ), done as (
            update remit.budgets b set
                usd_reserved = b.usd_reserved - r.usd, tokens_reserved = b.tokens_reserved - r.tokens,
                calls_reserved = b.calls_reserved - r.calls,
                usd_spent = b.usd_spent + case when r.cap then case v_status when 'succeeded' then r.usd else 0 end
                                               else v_usd end,
                tokens_spent = b.tokens_spent + case when r.cap then 0 else v_tokens end,
                calls_spent = b.calls_spent + r.calls,
                blocked = b.blocked or (not r.cap and (
                    coalesce(b.usd_reserved - r.usd + b.usd_spent + v_usd > b.usd_limit, false)
                    or coalesce(b.tokens_reserved - r.tokens + b.tokens_spent + v_tokens > b.tokens_limit, false)))
            from r where b.id = r.id
            returning b.id, not r.cap and (v_usd > r.usd or v_tokens > r.tokens) as overrun
        ) select array_agg(id) into v_overrun from done where overrun;
        if v_overrun is not null then
            update remit.budgets set blocked = true where id = any(v_overrun);
            perform remit.append_record('runtime:budget:overrun', a.session_id, a.turn_id, a.id,
                jsonb_build_object('budgets', to_jsonb(v_overrun), 'usd_micros', v_usd, 'tokens', v_tokens));
            insert into remit.inbox_items (id, kind, session_id, turn_id, action_id, workspace, summary, assignees, detail,
                                           dedup_key)
            select 'itm_' || substr(a.id, 5), 'attention', a.session_id, a.turn_id, a.id, s.workspace,
                   'An action cost more than was reserved for it; its budgets are blocked until somebody looks',
                   array(select jsonb_array_elements_text(it -> 'owners')),
                   jsonb_build_object('why', 'budget_overrun', 'budgets', to_jsonb(v_overrun)), 'overrun:' || v_overrun[1]
            from remit.sessions s where s.id = a.session_id on conflict do nothing;
        end if;
    end if;
    if v_status = 'unknown' then
        insert into remit.inbox_items (id, kind, session_id, turn_id, action_id, workspace, summary, roles, assignees,
                                       detail, dedup_key)
        select x.id, 'reconciliation', a.session_id, a.turn_id, a.id, s.workspace, x.summary, x.roles, x.assignees,
               x.detail, 'unknown:' || a.id
        from jsonb_to_record(it -> 'item') as x(id text, summary text, roles text[], assignees text[], detail jsonb),
             remit.sessions s where s.id = a.session_id on conflict do nothing;
    end if;
    if v_status = 'succeeded' and jsonb_array_length(it -> 'informed') > 0 then
        insert into remit.notices (person, kind, session_id, action_id, text)
        select p, 'informed', a.session_id, a.id, it ->> 'notice' from jsonb_array_elements_text(it -> 'informed') p;
        perform remit.append_record('runtime:informed:told', a.session_id, a.turn_id, a.id,
            jsonb_build_object('people', it -> 'informed'));
    end if;
    perform remit.append_record(
        case when a.status = 'unknown' then 'person:action:reconciled'
             when v_status = 'unknown' then 'runtime:action:unknown' else 'runtime:action:settled' end,
        a.session_id, a.turn_id, a.id,
        jsonb_build_object('action', a.action, 'agent', a.agent, 'status', v_status, 'usd_micros', v_usd,
            'input_tokens', it -> 'input_tokens', 'output_tokens', it -> 'output_tokens',
            'attempt', a.attempt, 'by', it -> 'by', 'result', encode(sha256(p_salt || p_body), 'hex')));
    return jsonb_build_object('answer', 'settled', 'at', v_at);
end $$;

-- Makes this month's and the next two months' partitions; safe to call at any time.
create function remit.month_floor(p_prefix text, p_month date) returns text language plpgsql immutable as $$
declare
    alphabet constant text := '0123456789abcdefghjkmnpqrstvwxyz';
    v bigint := extract(epoch from p_month)::bigint * 1000;
    out_ text := '';
begin
    for i in 1 .. 10 loop
        out_ := substr(alphabet, (v & 31)::integer + 1, 1) || out_;
        v := v >> 5;
    end loop;
    return p_prefix || '_' || out_;
end $$;

create function remit.ensure_partitions() returns void language plpgsql
-- With its owner's rights, so that a worker, which may not make tables, can ask for it.
security definer set search_path = pg_catalog, remit, pg_temp as $$
declare
    m date;
    suffix text;
begin
    perform pg_advisory_xact_lock(7236349119);  -- one process at a time
    for k in 0 .. 2 loop
        m := (date_trunc('month', now() at time zone 'utc') + k * interval '1 month')::date;
        suffix := to_char(m, '_YYYYMM');
        if to_regclass('remit.actions' || suffix) is null then
            execute format('create table remit.actions%s partition of remit.actions for values from (%L) to (%L)
                            with (fillfactor = 70)', suffix,
                remit.month_floor('act', m), remit.month_floor('act', (m + interval '1 month')::date));
        end if;
        if to_regclass('remit.payloads' || suffix) is null then
            execute format('create table remit.payloads%s partition of remit.payloads for values from (%L) to (%L)',
                suffix, remit.month_floor('pay', m), remit.month_floor('pay', (m + interval '1 month')::date));
        end if;
        if to_regclass('remit.records' || suffix) is null then
            execute format('create table remit.records%s partition of remit.records for values from (%L) to (%L)',
                suffix, m::timestamp at time zone 'utc', (m + interval '1 month')::timestamp at time zone 'utc');
        end if;
    end loop;
end $$;
select remit.ensure_partitions();
