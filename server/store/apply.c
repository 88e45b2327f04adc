#include "server/store/apply.h"

err apply_op(struct sql *s, const struct store_op *op)
{
	switch (op->kind) {
	case STORE_PUT_TAILNET:
		return tailnet_sql_put(s, &op->tailnet);
	case STORE_PUT_USER:
		return user_sql_put(s, &op->user);
	case STORE_DEL_USER:
		return user_sql_delete(s, op->user.id);
	case STORE_PUT_NODE:
		return node_sql_put(s, &op->node);
	case STORE_DEL_NODE:
		return node_sql_delete(s, op->node.id);
	case STORE_NODE_SEEN:
		return node_sql_seen(s, &op->node);
	case STORE_PUT_AUTHKEY:
		return authkey_sql_put(s, &op->authkey);
	case STORE_DEL_AUTHKEY:
		return authkey_sql_delete(s, op->authkey.id);
	case STORE_PUT_APIKEY:
		return apikey_sql_put(s, &op->apikey);
	case STORE_DEL_APIKEY:
		return apikey_sql_delete(s, op->apikey.id);
	case STORE_PUT_PENDING:
		return pending_sql_put(s, &op->pending);
	case STORE_DEL_PENDING:
		return pending_sql_delete(s, op->pending.auth_id);
	case STORE_PUT_SSH_APPROVAL:
		return ssh_approval_sql_put(s, &op->ssh_approval);
	case STORE_DEL_SSH_APPROVAL:
		return ssh_approval_sql_delete(s, &op->ssh_approval);
	case STORE_PUT_IDENTITY:
		return identity_sql_put(s, &op->identity);
	case STORE_DEL_IDENTITY:
		return identity_sql_delete(s, op->identity.id);
	case STORE_PUT_ACCOUNT:
		return account_sql_put(s, &op->account);
	case STORE_DEL_ACCOUNT:
		return account_sql_delete(s, op->account.id);
	case STORE_PUT_PASSKEY:
		return passkey_sql_put(s, &op->passkey);
	case STORE_DEL_PASSKEY:
		return passkey_sql_delete(s, op->passkey.id);
	case STORE_PUT_WISH:
		return wish_sql_put(s, &op->wish);
	case STORE_DEL_WISH:
		return wish_sql_delete(s, op->wish.id);
	case STORE_PUT_SIGNIN:
		return signin_sql_put(s, &op->signin);
	case STORE_DEL_SIGNIN:
		return signin_sql_delete(s, op->signin.id);
	case STORE_PUT_LOCK_AUM:
		return lock_aum_sql_put(s, &op->lock_aum);
	case STORE_DEL_LOCK_AUM:
		return lock_aum_sql_delete(s, &op->lock_aum);
	case STORE_PUT_SERVICE:
		return service_sql_put(s, &op->service);
	case STORE_DEL_SERVICE:
		return service_sql_delete(s, &op->service);
	case STORE_PUT_POLICY:
		return policy_sql_put(s, &op->policy);
	case STORE_DEL_POLICY:
		return policy_sql_delete(s, op->policy.id);
	case STORE_PUT_SETTING:
		return setting_sql_put(s, &op->setting);
	case STORE_PUT_SERVER_KEY:
		return server_key_sql_put(s, &op->server_key);
	case STORE_PUT_DRAFT:
		return draft_sql_put(s, &op->draft);
	case STORE_DEL_DRAFT:
		return draft_sql_delete(s, op->draft.id);
	case STORE_PUT_WEBHOOK:
		return webhook_sql_put(s, &op->webhook);
	case STORE_DEL_WEBHOOK:
		return webhook_sql_delete(s, op->webhook.id);
	case STORE_WEBHOOK_CURSOR:
		return webhook_sql_cursor(s, &op->webhook);
	case STORE_PUT_AUDIT:
		return audit_sql_put(s, &op->audit);
	case STORE_TRIM_AUDIT:
		return audit_sql_trim(s, &op->audit_trim);
	}
	return ERR_INVALID;
}

void store_op_done(struct store_op *op)
{
	switch (op->kind) {
	case STORE_PUT_TAILNET:
		tailnet_row_done(&op->tailnet);
		return;
	case STORE_PUT_USER:
	case STORE_DEL_USER:
		user_row_done(&op->user);
		return;
	case STORE_PUT_NODE:
	case STORE_DEL_NODE:
	case STORE_NODE_SEEN:
		node_row_done(&op->node);
		return;
	case STORE_PUT_AUTHKEY:
	case STORE_DEL_AUTHKEY:
		authkey_row_done(&op->authkey);
		return;
	case STORE_PUT_APIKEY:
	case STORE_DEL_APIKEY:
		apikey_row_done(&op->apikey);
		return;
	case STORE_PUT_PENDING:
	case STORE_DEL_PENDING:
		pending_row_done(&op->pending);
		return;
	case STORE_PUT_SSH_APPROVAL:
	case STORE_DEL_SSH_APPROVAL:
		ssh_approval_row_done(&op->ssh_approval);
		return;
	case STORE_PUT_IDENTITY:
	case STORE_DEL_IDENTITY:
		identity_row_done(&op->identity);
		return;
	case STORE_PUT_ACCOUNT:
	case STORE_DEL_ACCOUNT:
		account_row_done(&op->account);
		return;
	case STORE_PUT_WISH:
	case STORE_DEL_WISH:
		wish_row_done(&op->wish);
		break;
	case STORE_PUT_PASSKEY:
	case STORE_DEL_PASSKEY:
		passkey_row_done(&op->passkey);
		return;
	case STORE_PUT_SIGNIN:
	case STORE_DEL_SIGNIN:
		signin_row_done(&op->signin);
		return;
	case STORE_PUT_LOCK_AUM:
	case STORE_DEL_LOCK_AUM:
		lock_aum_row_done(&op->lock_aum);
		return;
	case STORE_PUT_SERVICE:
	case STORE_DEL_SERVICE:
		service_row_done(&op->service);
		return;
	case STORE_PUT_POLICY:
	case STORE_DEL_POLICY:
		policy_row_done(&op->policy);
		return;
	case STORE_PUT_SETTING:
		setting_row_done(&op->setting);
		return;
	case STORE_PUT_SERVER_KEY:
		server_key_row_done(&op->server_key);
		return;
	case STORE_PUT_DRAFT:
	case STORE_DEL_DRAFT:
		draft_row_done(&op->draft);
		return;
	case STORE_PUT_WEBHOOK:
	case STORE_DEL_WEBHOOK:
	case STORE_WEBHOOK_CURSOR:
		webhook_row_done(&op->webhook);
		return;
	case STORE_PUT_AUDIT:
		audit_row_done(&op->audit);
		return;
	case STORE_TRIM_AUDIT:
		return;
	}
}

void store_batch_free(struct store_batch *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < b->n; i++)
		store_op_done(&b->op[i]);
	free(b);
}
