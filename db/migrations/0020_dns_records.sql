-- Extra records that were set by command become the setting dns.extra_records. They were kept one a line: name, type, value, with
-- tabs between; now as the JSON list that the API shows.
UPDATE setting
SET key = 'dns.extra_records',
    value = CASE WHEN value = '' THEN '[]' ELSE (
        SELECT json_group_array(json_object('name', json_extract(line.value, '$[0]'), 'type', json_extract(line.value, '$[1]'),
                                            'value', json_extract(line.value, '$[2]')))
        FROM json_each('[["' || replace(replace(rtrim(setting.value, char(10)), char(9), '","'), char(10), '"],["') || '"]]') AS line)
    END
WHERE key = 'extra_records';
