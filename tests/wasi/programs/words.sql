-- A file of some thousand rows, asked in the ways that touch most of SQLite.
.open /words.db
pragma journal_mode = delete;
create table word(id integer primary key, text text, size integer, share real);
create index by_text on word(text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
insert into word select i, printf('w%05d', (i * 7919) % 100003), i % 97,
	i / 7.0 from n;
create table note(word integer references word(id), body text);
insert into note select id, json_object('id', id, 'text', text) from word
	where size < 5;
select count(*), sum(size), round(avg(share), 6), min(text), max(text) from word;
select size, count(*) from word group by size order by count(*) desc, size limit 5;
select json_extract(body, '$.text') from note order by word desc limit 3;
select text, rank() over (partition by size order by share) from word
	where size = 3 order by 2 desc limit 3;
select count(*) from word a join word b on a.text = b.text;
explain query plan select * from word where text = 'w00001';
begin;
delete from word where id % 3 = 0;
select count(*) from word;
rollback;
select count(*) from word;
delete from word where id % 2 = 0;
vacuum;
pragma integrity_check;
select hex(substr(group_concat(text, ''), 1, 20)), length(group_concat(text))
	from (select text from word order by text);
select upper('ünïcode'), length('猫'), quote(x'00ff'), 1e300 * 1e10, -7 / 2,
	9223372036854775807 + 1;
select * from nowhere;
.dump note
