-- Database roles. Where this user may not create roles (a hosted database), everything runs as the one user and
-- `remit check` says so.
do $$
declare
    role_name text;
begin
    foreach role_name in array array['remit_app', 'remit_sealer', 'remit_dbos'] loop
        if not exists (select 1 from pg_roles where rolname = role_name) then
            if not (select rolcreaterole or rolsuper from pg_roles where rolname = current_user) then
                raise notice 'role % is missing and cannot be created', role_name;
                continue;
            end if;
            execute format('create role %I nologin', role_name);
        end if;
    end loop;
    if exists (select 1 from pg_roles where rolname = 'remit_app') then
        grant usage on schema remit to remit_app;
        grant select, insert, update, delete on all tables in schema remit to remit_app;
        grant usage on all sequences in schema remit to remit_app;
        -- The record is append-only for the application; contents can be erased but not changed.
        revoke update, delete, truncate on remit.records, remit.leaves, remit.checkpoints, remit.merkle_nodes from remit_app;
        revoke insert on remit.leaves, remit.checkpoints, remit.merkle_nodes from remit_app;
        revoke update, delete, truncate on remit.payloads from remit_app;
        grant update (salt, body, erased_at, erased_by) on remit.payloads to remit_app;
    end if;
    if exists (select 1 from pg_roles where rolname = 'remit_sealer') then
        grant usage on schema remit to remit_sealer;
        grant select on remit.records to remit_sealer;
        grant select, insert on remit.leaves, remit.checkpoints to remit_sealer;
        grant select, insert, update on remit.merkle_nodes to remit_sealer;
    end if;
    if exists (select 1 from pg_roles where rolname = 'remit_dbos') then
        execute format('grant create, connect on database %I to remit_dbos', current_database());
        if exists (select 1 from pg_roles where rolname = 'remit_app') then
            -- Enqueueing a turn happens in the application's own transactions.
            grant remit_dbos to remit_app;
        end if;
    end if;
end $$;
