-- The rules as they are carried out, kept with the job so that whoever looks at it need not work them out again. Of jobs that
-- were planned, the plan has them; of those that never were, they are worked out when someone looks.
alter table jobs add column effective_config text;
update jobs set effective_config = json_extract(plan, '$.effective_config') where plan is not null;
