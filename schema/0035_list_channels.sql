-- By which channels an account is told, and where. A channel of `src/notify` has its rows here.
CREATE VIEW account_channel AS
    SELECT account_id, 'webhook'::text AS channel, webhook_url AS address, webhook_secret AS secret, NOT disabled AS is_enabled
    FROM account WHERE webhook_url IS NOT NULL;
