#include "server/store/load.h"

err load_image(struct sql *s, struct store_image *out)
{
	struct store_image i = { 0 };
	err e = tailnet_sql_list(s, &i.tailnets, &i.n_tailnets);

	if (e == OK)
		e = user_sql_list(s, &i.users, &i.n_users);
	if (e == OK)
		e = node_sql_list(s, &i.nodes, &i.n_nodes);
	if (e == OK)
		e = authkey_sql_list(s, &i.authkeys, &i.n_authkeys);
	if (e == OK)
		e = apikey_sql_list(s, &i.apikeys, &i.n_apikeys);
	if (e == OK)
		e = pending_sql_list(s, &i.pendings, &i.n_pendings);
	if (e == OK)
		e = ssh_approval_sql_list(s, &i.ssh_approvals, &i.n_ssh_approvals);
	if (e == OK)
		e = identity_sql_list(s, &i.identities, &i.n_identities);
	if (e == OK)
		e = account_sql_list(s, &i.accounts, &i.n_accounts);
	if (e == OK)
		e = passkey_sql_list(s, &i.passkeys, &i.n_passkeys);
	if (e == OK)
		e = wish_sql_list(s, &i.wishes, &i.n_wishes);
	if (e == OK)
		e = signin_sql_list(s, &i.signins, &i.n_signins);
	if (e == OK)
		e = lock_aum_sql_list(s, &i.lock_aums, &i.n_lock_aums);
	if (e == OK)
		e = service_sql_list(s, &i.services, &i.n_services);
	if (e == OK)
		e = policy_sql_list(s, &i.policies, &i.n_policies);
	if (e == OK)
		e = setting_sql_list(s, &i.settings, &i.n_settings);
	if (e == OK)
		e = draft_sql_list(s, &i.drafts, &i.n_drafts);
	if (e == OK)
		e = webhook_sql_list(s, &i.webhooks, &i.n_webhooks);
	if (e == OK)
		e = server_key_sql_list(s, &i.server_keys, &i.n_server_keys);
	if (e != OK) {
		store_image_done(&i);
		return e;
	}
	*out = i;
	return OK;
}

#define FREE_ROWS(kind, array, n)                                                                                      \
	do {                                                                                                           \
		for (size_t at_ = 0; at_ < (n); at_++)                                                                 \
			kind##_row_done(&(array)[at_]);                                                                \
		free(array);                                                                                           \
	} while (0)

void store_image_done(struct store_image *i)
{
	FREE_ROWS(tailnet, i->tailnets, i->n_tailnets);
	FREE_ROWS(user, i->users, i->n_users);
	FREE_ROWS(node, i->nodes, i->n_nodes);
	FREE_ROWS(authkey, i->authkeys, i->n_authkeys);
	FREE_ROWS(apikey, i->apikeys, i->n_apikeys);
	FREE_ROWS(pending, i->pendings, i->n_pendings);
	FREE_ROWS(ssh_approval, i->ssh_approvals, i->n_ssh_approvals);
	FREE_ROWS(identity, i->identities, i->n_identities);
	FREE_ROWS(account, i->accounts, i->n_accounts);
	FREE_ROWS(passkey, i->passkeys, i->n_passkeys);
	FREE_ROWS(wish, i->wishes, i->n_wishes);
	FREE_ROWS(signin, i->signins, i->n_signins);
	FREE_ROWS(lock_aum, i->lock_aums, i->n_lock_aums);
	FREE_ROWS(service, i->services, i->n_services);
	FREE_ROWS(policy, i->policies, i->n_policies);
	FREE_ROWS(setting, i->settings, i->n_settings);
	FREE_ROWS(draft, i->drafts, i->n_drafts);
	FREE_ROWS(webhook, i->webhooks, i->n_webhooks);
	FREE_ROWS(server_key, i->server_keys, i->n_server_keys);
	*i = (struct store_image){ 0 };
}
